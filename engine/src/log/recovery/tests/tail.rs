//! Commits that never finished: whatever part of them is on the disk, the log ends before them.

use super::*;

/// A log with `last` as its last commit; returns the disk, where the commit begins, and where it ends.
fn with_last_commit(last: &[&[u8]]) -> (World, usize, usize) {
    let mut world = World::new(1);
    world.commit(0, &[b"one", b"two"]);
    let from = world.end(0).end_offset as usize;
    world.commit(0, last);
    let to = world.end(0).end_offset as usize;
    (world, from, to)
}

#[test]
fn a_frame_of_which_only_a_prefix_was_written_is_dropped() {
    let (world, from, to) = with_last_commit(&[&[7; 3 * BLOCK_BYTES], &[8; 2 * BLOCK_BYTES]]);
    let whole = world.disk.segments[&id(0, 1)].clone();
    // The last byte of the records lies before the padding: cut there, nothing is missing.
    let last_written = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    assert!(last_written <= to);
    for written in (from..last_written).step_by(512).chain([from + 1, from + 63, last_written - 1]) {
        let mut torn = World { disk: world.disk.clone(), lanes: Vec::new() };
        torn.segment(0, 1)[written..to].fill(0);
        let (records, recovered) = torn.read();
        assert_eq!(records.len(), 2, "{written} bytes were written");
        assert_eq!(recovered.lane_ends[0].end_offset, from as u64);
        let dropped: Vec<_> = recovered.tails_dropped.iter().map(|tail| (tail.offset, tail.bytes)).collect();
        let bytes = (written - from).next_multiple_of(BLOCK_BYTES) as u64;
        assert_eq!(dropped, if bytes == 0 { vec![] } else { vec![(from as u64, bytes)] });
    }
}

#[test]
fn a_frame_of_which_any_blocks_are_missing_is_dropped() {
    let (world, from, to) = with_last_commit(&[&[7; 3 * BLOCK_BYTES]]);
    let blocks = (to - from) / BLOCK_BYTES;
    for missing in 1_usize..1 << blocks {
        let mut torn = World { disk: world.disk.clone(), lanes: Vec::new() };
        for block in (0..blocks).filter(|block| missing & 1 << block != 0) {
            torn.segment(0, 1)[from + block * BLOCK_BYTES..][..BLOCK_BYTES].fill(0);
        }
        assert_eq!(torn.payloads(), [b"one", b"two"], "without the blocks {missing:b}");
    }
}

#[test]
fn a_byte_flipped_in_the_last_frame_drops_it() {
    let (world, from, to) = with_last_commit(&[b"three"]);
    for at in (from..from + 80).chain([to - 1]) {
        let mut flipped = World { disk: world.disk.clone(), lanes: Vec::new() };
        flipped.segment(0, 1)[at] ^= 0x10;
        let (records, recovered) = flipped.read();
        assert_eq!(records.len(), 2);
        let [dropped] = &recovered.tails_dropped[..] else { panic!("one tail is dropped") };
        assert_eq!((dropped.offset, dropped.bytes), (from as u64, BLOCK));
        assert_eq!(dropped.path, PathBuf::from("segment-00-0000000001.log"));
        let reason = if at < from + 4 {
            "WAL magic byte validation failed"
        } else {
            "Checksum mismatch in WAL segment"
        };
        assert!(dropped.reason.contains(reason) || at >= from + 60, "{}", dropped.reason);
    }
}

#[test]
fn a_file_cut_anywhere_behind_the_last_commit_loses_nothing() {
    let (mut world, from, to) = with_last_commit(&[b"three"]);
    for length in [to, to + 1, to + 4095, to + BLOCK_BYTES] {
        world.segment(0, 1).truncate(SEGMENT_BYTES_MIN as usize);
        let mut cut = World { disk: world.disk.clone(), lanes: Vec::new() };
        cut.segment(0, 1).truncate(length);
        assert_eq!(cut.payloads().len(), 3);
    }
    for length in [from, from + 1, to - 1] {
        let mut cut = World { disk: world.disk.clone(), lanes: Vec::new() };
        cut.segment(0, 1).truncate(length);
        let (records, recovered) = cut.read();
        assert_eq!(records.len(), 2);
        assert_eq!(recovered.tails_dropped.len(), usize::from(length > from));
        assert_eq!(cut.restarted(1).payloads().len(), 2);
    }
}

#[test]
fn of_two_frames_in_flight_the_second_alone_is_not_a_commit() {
    let mut world = World::new(1);
    let (_, recovered) = world.read();
    let mut two = opening(1);
    two.lane.frames_in_flight = 2;
    world.lanes = open_generation(&mut world.disk, &recovered, &two).unwrap();
    let lane = &mut world.lanes[0];
    lane.append(RecordKind::Assertion, 0, b"first").unwrap();
    let _lost = lane.next_write(NOW).unwrap();
    lane.append(RecordKind::Assertion, 0, b"second").unwrap();
    let second = lane.next_write(NOW).unwrap();
    world.disk.write(id(0, 2), second.offset, &second.buffer[..second.bytes]).unwrap();

    let (records, recovered) = world.read();
    assert!(records.is_empty());
    let [dropped] = &recovered.tails_dropped[..] else { panic!("the second is dropped") };
    assert_eq!((dropped.offset, dropped.bytes), (second.offset - BLOCK, 2 * BLOCK));
    let mut again = world.restarted(1);
    again.commit(0, &[b"third"]);
    assert_eq!(again.payloads(), [b"third"], "what was dropped stays dropped");
}

#[test]
fn a_frame_that_arrives_after_it_was_dropped_stays_dropped() {
    let (mut world, from, to) = with_last_commit(&[b"late"]);
    let late = world.segment(0, 1)[from..to].to_vec();
    world.segment(0, 1)[from..to].fill(0);
    let (_, recovered) = world.read();
    let mut untrimmed = recovered.clone();
    untrimmed.untrimmed.clear();
    world.lanes = open_generation(&mut world.disk, &untrimmed, &opening(1)).unwrap();
    world.segment(0, 1)[from..to].copy_from_slice(&late);
    world.commit(0, &[b"new"]);
    let (records, recovered) = world.read();
    assert_eq!(records.last().unwrap(), &(2, 0, 5, b"new".to_vec()));
    assert_eq!(records.len(), 3);
    assert_eq!(recovered.untrimmed[0], UntrimmedSegment { segment: id(0, 1), end_offset: from as u64 });
    assert!(recovered.tails_dropped.is_empty(), "it was reported when it was dropped");
}

#[test]
fn bytes_that_look_like_a_frame_are_none() {
    let (mut world, from, _) = with_last_commit(&[b"three"]);
    let mut forged = world.segment(0, 1)[from..from + BLOCK_BYTES].to_vec();
    let home = crate::log::frame::FrameHome { segment: id(0, 1), generation: Generation::FIRST, checksum: 0 };
    let header = crate::log::frame::FrameHeader {
        kind: crate::log::frame::FrameKind::Marker,
        first_lsn: Lsn(1000),
        committed_lsn: Lsn(999),
        committed_end: 1000 * BLOCK,
        time: NOW,
        records: 0,
        payload_bytes: 0,
    };
    header.close(&mut forged, &home);
    let at = from + BLOCK_BYTES;
    world.segment(0, 1)[from] ^= 1;
    world.segment(0, 1)[at..at + BLOCK_BYTES].copy_from_slice(&forged);
    assert_eq!(world.payloads(), [b"one", b"two"]);
}
