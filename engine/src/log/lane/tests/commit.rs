//! Frames: what is in them, how they fill, and in which order they are told.

use super::*;

#[test]
fn a_segment_is_begun_before_its_first_frame() {
    let mut bench = Bench::new(config());
    assert!(bench.next_write().is_none(), "nothing is written before there is a record");
    assert_eq!(bench.append(b"one"), Lsn(101));
    assert_eq!(bench.append(b"two"), Lsn(102));

    let header = bench.next_write().unwrap();
    assert_eq!((header.segment, header.offset, header.bytes), (SegmentNumber(5), 0, BLOCK_BYTES));
    assert!(bench.next_write().is_none(), "no frame goes out before the header is durable");
    bench.complete(header);
    assert_eq!(bench.told(), [Told::Begun(5)]);
    let (header, _) = bench.home(5);
    assert_eq!((header.generation, header.first_lsn), (Generation(7), Lsn(101)));
    assert_eq!((header.previous_end, header.segment_bytes), (7 * BLOCK, SEGMENT_BYTES_MIN));
    assert_eq!(header.created, NOW);

    assert_eq!(bench.lane.committed_lsn(), Lsn(100));
    assert_eq!(bench.run(), [frame(101, &[b"one", b"two"])]);
    assert_eq!(bench.lane.committed_lsn(), Lsn(102));
    assert!(bench.lane.is_idle());
    let frames = bench.frames(5);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].payloads, [b"one", b"two"]);
    assert_eq!((frames[0].header.committed_lsn, frames[0].header.committed_end), (Lsn(100), BLOCK));
    assert_eq!(frames[0].header.time, NOW);
}

#[test]
fn records_that_come_while_a_frame_is_in_flight_share_the_next() {
    let mut bench = Bench::begun(config());
    bench.append(b"a");
    let write = bench.next_write().unwrap();
    for payload in [b"b", b"c", b"d"] {
        bench.append(payload);
        assert!(bench.next_write().is_none());
    }
    assert!(bench.told().is_empty(), "nothing is told before it is durable");
    bench.complete(write);
    assert_eq!(bench.run(), [frame(102, &[b"a"]), frame(103, &[b"b", b"c", b"d"])]);
    let committed: Vec<_> = bench.frames(5).iter().map(|frame| frame.header.committed_lsn.0).collect();
    assert_eq!(committed, [100, 101, 102]);
}

#[test]
fn a_full_frame_is_followed_by_another() {
    let mut bench = Bench::begun(config());
    let record = [5; BLOCK_BYTES];
    for _ in 0..7 {
        bench.append(&record);
    }
    let sizes: Vec<_> =
        bench.run().iter().map(|told| if let Told::Frame(all) = told { all.len() } else { 0 }).collect();
    assert_eq!(sizes, [3, 3, 1], "a frame of four blocks holds three records of a little more than one");
}

#[test]
fn the_largest_record_fills_a_frame_and_a_larger_one_is_refused() {
    let mut bench = Bench::begun(config());
    let payload_bytes_max = 4 * BLOCK_BYTES - 64 - 8;
    let too_large = AppendError::TooLarge { bytes: 4 * BLOCK_BYTES - 63, bytes_max: 4 * BLOCK_BYTES - 64 };
    let refused = bench.lane.append(RecordKind::Vote, 0, &vec![1; payload_bytes_max + 1]);
    assert_eq!(refused, Err(too_large));
    let largest = vec![1; payload_bytes_max];
    assert_eq!(bench.append(&largest), Lsn(102), "a refused record takes no number");
    assert_eq!(bench.run(), [frame(102, &[&largest])]);
}

#[test]
fn kind_flags_and_empty_payloads_are_kept() {
    let mut bench = Bench::begun(config());
    bench.lane.append(RecordKind::Epoch, 0xABCD, b"").unwrap();
    let write = bench.next_write().unwrap();
    bench.complete(write);
    let Some(WriteOutcome::Frame(frame)) = bench.lane.next_outcome() else { panic!("a frame was written") };
    let record = frame.records().next().unwrap();
    assert_eq!((record.kind, record.flags, record.payload), (RecordKind::Epoch, 0xABCD, &b""[..]));
    bench.lane.recycle(frame);
}

#[test]
fn a_short_frame_in_used_memory_is_padded_with_zeros() {
    let mut bench = Bench::begun(config());
    bench.append(&[0xFF; 3 * BLOCK_BYTES]);
    bench.run();
    bench.append(b"short");
    bench.run();
    let last = bench.frames(5).pop().unwrap();
    let from = last.offset as usize + 64 + 8 + 5;
    let to = last.offset as usize + BLOCK_BYTES;
    let (_, home) = bench.home(5);
    assert!(bench.disk.segments[&home.segment][from..to].iter().all(|&byte| byte == 0));
}

#[test]
fn two_frames_in_flight_are_told_in_order_whichever_is_done_first() {
    let mut bench = Bench::begun(LaneConfig { frames_in_flight: 2, ..config() });
    bench.append(b"a");
    let first = bench.next_write().unwrap();
    bench.append(b"b");
    let second = bench.next_write().unwrap();
    bench.append(b"c");
    assert!(bench.next_write().is_none(), "two are in flight");
    assert_eq!(second.offset, first.offset + BLOCK);

    bench.complete(second);
    assert!(bench.told().is_empty(), "the second is not told before the first");
    assert_eq!((bench.lane.committed_lsn(), bench.lane.writes_in_flight()), (Lsn(101), 1));
    assert!(bench.next_write().is_none(), "a third would not be covered by the window of two");
    bench.complete(first);
    assert_eq!(bench.told(), [frame(102, &[b"a"]), frame(103, &[b"b"])]);
    assert_eq!(bench.lane.committed_lsn(), Lsn(103));
    assert_eq!(bench.run(), [frame(104, &[b"c"])]);

    let frames = bench.frames(5);
    let testimony = |at: usize| (frames[at].header.committed_lsn, frames[at].header.committed_end);
    assert_eq!(testimony(1), (Lsn(101), frames[1].offset));
    assert_eq!(
        testimony(2),
        (Lsn(101), frames[1].offset),
        "the first was not durable when the second went out"
    );
    assert_eq!(testimony(3), (Lsn(103), frames[3].offset));
}

#[test]
fn memory_is_bounded_and_the_bound_is_reported() {
    let mut bench = Bench::begun(config());
    let record = [9; 3 * BLOCK_BYTES];
    for _ in 0..4 {
        bench.append(&record);
    }
    let busy = bench.lane.append(RecordKind::Assertion, 0, &record);
    assert_eq!(busy, Err(AppendError::Busy), "four buffers are full");
    let write = bench.next_write().unwrap();
    assert_eq!(bench.lane.append(RecordKind::Assertion, 0, &record), Err(AppendError::Busy));
    bench.complete(write);
    let Some(WriteOutcome::Frame(committed)) = bench.lane.next_outcome() else { panic!("it is durable") };
    assert_eq!(bench.lane.append(RecordKind::Assertion, 0, &record), Err(AppendError::Busy));
    bench.lane.recycle(committed);
    assert_eq!(bench.append(&record), Lsn(106), "no number was lost to the refusals");
    assert_eq!(bench.run().len(), 4);
}
