//! Going over from one segment to the next.

use super::*;

#[test]
fn a_full_segment_is_left_header_first_then_seal_then_frames() {
    let mut bench = Bench::begun(config());
    let told = bench.run_until_sealed();
    let last_lsn = bench.lane.committed_lsn();
    assert_eq!(told, [Told::Begun(6), Told::Sealed(5), frame(last_lsn.0, &[&[0xAB; 3 * BLOCK_BYTES]])]);

    let frames = bench.frames(5);
    let seal = frames.last().unwrap();
    assert_eq!(seal.header.kind, FrameKind::Seal);
    assert_eq!((seal.header.first_lsn, seal.header.committed_lsn), (last_lsn, last_lsn.before()));
    assert_eq!(seal.header.committed_end, seal.offset);
    let others = &frames[..frames.len() - 1];
    assert!(others.iter().all(|frame| frame.header.kind == FrameKind::Records));
    let room = SEGMENT_BYTES_MIN - seal.offset;
    assert!(
        room < 6 * BLOCK,
        "{room} bytes are left: a frame of four blocks, a marker and a seal would not fit"
    );

    let (header, _) = bench.home(6);
    assert_eq!((header.first_lsn, header.previous_end), (last_lsn, seal.offset));
    assert_eq!(bench.frames(6)[0].offset, BLOCK);
}

#[test]
fn a_segment_is_left_only_when_all_its_frames_are_durable() {
    let mut bench = Bench::begun(LaneConfig { frames_in_flight: 2, ..config() });
    let (first, second) = loop {
        bench.append(&[1; 3 * BLOCK_BYTES]);
        let first = bench.next_write().unwrap();
        bench.append(&[2; 3 * BLOCK_BYTES]);
        match bench.next_write() {
            Some(second) => {
                bench.complete(first);
                bench.complete(second);
                bench.told();
            }
            None => break (first, bench.lane.next_lsn().before()),
        }
    };
    assert!(bench.next_write().is_none(), "the last frame is in flight");
    bench.complete(first);
    let told = bench.run();
    assert_eq!(
        told,
        [
            frame(second.0 - 1, &[&[1; 3 * BLOCK_BYTES]]),
            Told::Begun(6),
            Told::Sealed(5),
            frame(second.0, &[&[2; 3 * BLOCK_BYTES]])
        ]
    );
}

#[test]
fn one_segment_is_kept_prepared_ahead() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.lane.segment_wanted(), Some(SegmentNumber(5)));
    bench.prepare();
    assert_eq!(bench.lane.segment_wanted(), None);
    bench.append(b"first");
    let header = bench.lane.next_write(NOW).unwrap();
    assert_eq!(bench.lane.segment_wanted(), Some(SegmentNumber(6)));
    bench.complete(header);
    bench.run();
    bench.run_until_sealed();
    assert_eq!(bench.disk.segments.keys().map(|id| id.number.0).collect::<Vec<_>>(), [5, 6, 7]);
}

#[test]
fn a_lane_without_a_prepared_segment_waits_and_says_so() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.lane.stalled_on(), None, "nothing has to be written yet");
    bench.append(b"first");
    assert!(bench.lane.next_write(NOW).is_none());
    assert_eq!(bench.lane.stalled_on(), Some(SegmentNumber(5)));
    assert_eq!(bench.run(), [Told::Begun(5), frame(101, &[b"first"])]);
    assert_eq!(bench.lane.stalled_on(), None);
}

#[test]
#[should_panic(expected = "only the segment that is wanted can become ready")]
fn a_segment_that_is_not_wanted_cannot_become_ready() {
    Bench::new(config()).lane.segment_ready(SegmentNumber(6));
}

#[test]
fn many_segments_hold_every_record_once() {
    let mut bench = Bench::begun(LaneConfig { frames_in_flight: 2, ..config() });
    let mut lengths = (0_usize..).map(|n| n * 7919 % (4 * BLOCK_BYTES - 72));
    let mut appended = vec![b"first".to_vec()];
    while bench.disk.segments.len() < 5 {
        let payload = vec![appended.len() as u8; lengths.next().unwrap()];
        match bench.lane.append(RecordKind::Assertion, 0, &payload) {
            Ok(_) => appended.push(payload),
            Err(AppendError::Busy) => drop(bench.run()),
            Err(error) => panic!("{error}"),
        }
    }
    bench.run();
    let last = bench.disk.segments.keys().map(|id| id.number.0).max().unwrap();
    let begun: Vec<_> = (5..last).flat_map(|number| bench.frames(number)).collect();
    let mut next_lsn = Lsn(101);
    for frame in &begun {
        assert_eq!(frame.header.first_lsn, next_lsn);
        next_lsn = frame.header.next_lsn();
    }
    let payloads: Vec<_> = begun.into_iter().flat_map(|frame| frame.payloads).collect();
    assert_eq!(payloads, appended);
    assert_eq!(next_lsn, bench.lane.next_lsn());
}
