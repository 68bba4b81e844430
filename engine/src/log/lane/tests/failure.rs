//! A write that fails or is cut short ends the lane.

use super::*;

const EIO: i32 = libc::EIO;

fn assert_ended(bench: &mut Bench, committed: u64) {
    assert_eq!(bench.lane.append(RecordKind::Assertion, 0, b"late"), Err(AppendError::Failed));
    assert!(bench.next_write().is_none());
    assert_eq!(bench.lane.segment_wanted(), None);
    assert_eq!(bench.lane.stalled_on(), None);
    assert_eq!(bench.lane.next_deadline(), None);
    assert_eq!(bench.lane.committed_lsn(), Lsn(committed));
    assert_eq!(bench.lane.failure().unwrap().committed_lsn, Lsn(committed));
    assert!(bench.told().is_empty(), "nothing more is told");
}

#[test]
fn an_error_ends_the_lane() {
    let mut bench = Bench::begun(config());
    bench.append(b"a");
    let write = bench.next_write().unwrap();
    bench.append(b"b");
    bench.done(write, Err(EIO));
    assert_eq!(bench.told(), [Told::Failed]);
    assert_ended(&mut bench, 101);
    assert!(bench.lane.is_idle());
    let message = bench.lane.failure().unwrap().to_string();
    assert_eq!(
        message,
        "lane 2 has ended: writing 4096 bytes at offset 8192 of segment-02-0000000005.log failed: \
         Input/output error (os error 5); its records up to 101 are durable, and it takes more only after a restart"
    );
}

#[test]
fn a_short_write_ends_the_lane() {
    for written in [0, 1, 4095] {
        let mut bench = Bench::begun(config());
        bench.append(b"a");
        let write = bench.next_write().unwrap();
        bench.done(write, Ok(written));
        assert_eq!(bench.told(), [Told::Failed]);
        assert_eq!(bench.lane.failure().unwrap().cause, FailureCause::Short { written });
        assert_ended(&mut bench, 101);
    }
}

#[test]
fn what_is_in_flight_with_a_failed_frame_is_not_acknowledged() {
    for second_is_done_first in [false, true] {
        for second_fails in [false, true] {
            let mut bench = Bench::begun(LaneConfig { frames_in_flight: 2, ..config() });
            bench.append(b"a");
            let first = bench.next_write().unwrap();
            bench.append(b"b");
            let second = bench.next_write().unwrap();
            let results = |fails| if fails { Err(EIO) } else { Ok(BLOCK_BYTES) };
            let first_is_acknowledged = second_fails && !second_is_done_first;
            if second_is_done_first {
                bench.done(second, results(second_fails));
                bench.done(first, results(!second_fails));
            } else {
                bench.done(first, results(!second_fails));
                bench.done(second, results(second_fails));
            }
            if first_is_acknowledged {
                assert_eq!(bench.told(), [frame(102, &[b"a"]), Told::Failed]);
            } else {
                assert_eq!(bench.told(), [Told::Failed]);
            }
            assert_ended(&mut bench, if first_is_acknowledged { 102 } else { 101 });
            assert!(bench.lane.is_idle());
            assert_eq!(bench.lane.writes_in_flight(), 0);
        }
    }
}

#[test]
fn a_failed_lane_waits_for_the_buffers_in_flight() {
    let mut bench = Bench::begun(LaneConfig { frames_in_flight: 2, ..config() });
    bench.append(b"a");
    let first = bench.next_write().unwrap();
    bench.append(b"b");
    let second = bench.next_write().unwrap();
    bench.done(first, Err(EIO));
    bench.told();
    assert_eq!((bench.lane.writes_in_flight(), bench.lane.is_idle()), (1, false));
    bench.done(second, Err(EIO));
    assert_eq!((bench.lane.writes_in_flight(), bench.lane.is_idle()), (0, true));
    assert!(bench.told().is_empty(), "the failure is told once");
}

#[test]
fn failing_headers_seals_and_markers_end_the_lane_too() {
    let mut first_header = Bench::new(config());
    first_header.append(b"a");
    let write = first_header.next_write().unwrap();
    first_header.done(write, Err(EIO));
    assert_eq!(first_header.told(), [Told::Failed]);
    assert_ended(&mut first_header, 100);

    let mut marker = Bench::begun(config());
    marker.lane.mark();
    let write = marker.next_write().unwrap();
    marker.done(write, Ok(512));
    assert_eq!(marker.told(), [Told::Failed]);
    assert_ended(&mut marker, 101);

    for writes_that_succeed in [0, 1] {
        let mut roll = Bench::begun(config());
        while roll.lane.cursor.has_room(4 * BLOCK_BYTES) {
            roll.append(&[1; 3 * BLOCK_BYTES]);
            roll.run();
        }
        let committed = roll.lane.committed_lsn().0;
        roll.append(&[1; 3 * BLOCK_BYTES]);
        for _ in 0..writes_that_succeed {
            let write = roll.next_write().unwrap();
            roll.complete(write);
            assert_eq!(roll.told(), [Told::Begun(6)]);
        }
        let write = roll.next_write().unwrap();
        assert_eq!(write.segment, SegmentNumber(6 - writes_that_succeed));
        roll.done(write, Err(EIO));
        assert_eq!(roll.told(), [Told::Failed]);
        assert_ended(&mut roll, committed);
    }
}
