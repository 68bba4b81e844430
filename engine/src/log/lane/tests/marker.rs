//! Markers: an idle lane and a closed one leave no record without a frame that testifies for it.

use super::*;

#[test]
fn an_idle_lane_writes_one_marker() {
    let mut bench = Bench::begun(config());
    let deadline_us = bench.lane.next_deadline().expect("a record is durable, and nothing says so");
    assert_eq!(deadline_us, bench.monotonic_us + 1000);
    bench.lane.tick(deadline_us - 1);
    assert!(bench.next_write().is_none());
    bench.lane.tick(deadline_us);
    assert!(!bench.lane.is_idle());
    assert_eq!(bench.run(), [Told::Marked(5)]);
    assert_eq!(bench.lane.next_deadline(), None, "the marker needs no marker");
    assert!(bench.lane.is_idle());
    bench.lane.tick(deadline_us + 1_000_000);
    assert!(bench.next_write().is_none());

    let marker = bench.frames(5).pop().unwrap();
    assert_eq!(marker.header.kind, FrameKind::Marker);
    assert_eq!((marker.header.first_lsn, marker.header.committed_lsn), (Lsn(102), Lsn(101)));
    assert_eq!(marker.header.committed_end, marker.offset);
}

#[test]
fn a_busy_lane_is_not_idle() {
    let mut bench = Bench::begun(config());
    bench.append(b"a");
    assert_eq!(bench.lane.next_deadline(), None, "a record waits");
    let write = bench.next_write().unwrap();
    assert_eq!(bench.lane.next_deadline(), None, "a frame is in flight");
    bench.lane.tick(u64::MAX);
    bench.complete(write);
    assert_eq!(bench.run(), [frame(102, &[b"a"])], "the time before the frame was done does not count");
}

#[test]
fn a_closed_lane_commits_what_it_has_and_then_marks() {
    let mut bench = Bench::begun(config());
    bench.append(b"a");
    let write = bench.next_write().unwrap();
    bench.append(b"b");
    bench.lane.close();
    assert_eq!(bench.lane.append(RecordKind::Assertion, 0, b"late"), Err(AppendError::Closed));
    assert!(!bench.lane.is_idle());
    bench.complete(write);
    assert_eq!(bench.run(), [frame(102, &[b"a"]), frame(103, &[b"b"]), Told::Marked(5)]);
    assert!(bench.lane.is_idle());
    assert_eq!(bench.lane.segment_wanted(), None);
}

#[test]
fn a_closed_lane_with_nothing_to_testify_writes_nothing() {
    let mut bench = Bench::begun(config());
    bench.lane.mark();
    assert_eq!(bench.run(), [Told::Marked(5)]);
    bench.lane.close();
    assert!(bench.lane.is_idle());
    assert!(bench.next_write().is_none());

    let mut unused = Bench::new(config());
    unused.lane.close();
    assert!(unused.lane.is_idle());
    assert_eq!(unused.lane.segment_wanted(), None);
    assert!(unused.next_write().is_none());
}

#[test]
fn a_marker_waits_for_the_frames_before_it() {
    let mut bench = Bench::begun(LaneConfig { frames_in_flight: 2, ..config() });
    bench.append(b"a");
    bench.lane.mark();
    let write = bench.next_write().unwrap();
    assert!(bench.next_write().is_none());
    bench.complete(write);
    assert_eq!(bench.run(), [frame(102, &[b"a"]), Told::Marked(5)]);
}

#[test]
fn a_marker_fits_behind_the_last_frame_of_a_segment() {
    let mut bench = Bench::begun(config());
    bench.run_until_sealed();
    let sealed_end = bench.frames(5).last().unwrap().offset;

    let mut bench = Bench::begun(config());
    while bench.frames(5).last().unwrap().offset + 4 * BLOCK < sealed_end {
        bench.append(&[1; 3 * BLOCK_BYTES]);
        bench.run();
    }
    while bench.lane.cursor.has_room(BLOCK_BYTES) {
        bench.append(b"one block");
        bench.run();
    }
    bench.lane.close();
    assert_eq!(bench.run(), [Told::Marked(5)], "no further segment is needed to stop");

    let mut bench = Bench::begun(config());
    while bench.lane.cursor.has_room(BLOCK_BYTES) {
        bench.append(b"one block");
        bench.run();
    }
    bench.lane.mark();
    bench.run();
    bench.append(b"next");
    let last = bench.lane.committed_lsn().plus(1).0;
    assert_eq!(bench.run(), [Told::Begun(6), Told::Sealed(5), frame(last, &[b"next"])]);
    assert_eq!(bench.frames(5).last().unwrap().offset + BLOCK, SEGMENT_BYTES_MIN);
}
