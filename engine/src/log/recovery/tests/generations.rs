//! Generations: lanes that come and go, and what their records testify.

use super::*;

#[test]
fn lanes_come_and_go_and_nothing_is_lost() {
    let mut world = World::new(2);
    world.commit(0, &[b"1.0"]);
    world.commit(1, &[b"1.1"]);
    let mut world = world.restarted(1);
    world.commit(0, &[b"2.0"]);
    let mut world = world.restarted(2);
    world.commit(1, &[b"3.1"]);
    world.commit(0, &[b"3.0"]);
    let (records, recovered) = world.read();
    let payloads: Vec<_> =
        records.iter().map(|record| String::from_utf8_lossy(&record.3).into_owned()).collect();
    assert_eq!(payloads, ["1.0", "1.1", "2.0", "3.0", "3.1"]);
    let lsns: Vec<_> = records.iter().map(|record| record.2).collect();
    assert_eq!(lsns, [2, 2, 4, 6, 4], "each generation takes one number of each of its lanes");
    assert_eq!(recovered.next_generation, Generation(4));
    assert_eq!(recovered.lane_ends[0].segment, SegmentNumber(3));
    assert_eq!(recovered.lane_ends[1].segment, SegmentNumber(2), "lane 1 had no segment in generation 2");
}

#[test]
fn old_tails_and_unused_segments_do_not_pile_up() {
    let mut world = World::new(3);
    for lanes in [1, 2, 1, 3, 1] {
        world = world.restarted(lanes);
    }
    let whole: Vec<_> =
        world.disk.segments.iter().filter(|(_, bytes)| bytes.len() > 3 * BLOCK_BYTES).collect();
    assert_eq!(whole.len(), 1, "only the segment that is being written is whole");
    assert!(world.read().1.prepared.is_empty());
}

#[test]
fn prepared_segments_are_used_if_they_fit_and_removed_if_not() {
    let mut world = World::new(1);
    let size = SEGMENT_BYTES_MIN;
    for (segment, bytes) in
        [(id(0, 2), size), (id(0, 3), size), (id(0, 4), size), (id(1, 1), size), (id(1, 2), 2 * size)]
    {
        world.disk.prepare(segment, bytes).unwrap();
    }
    let (_, recovered) = world.read();
    assert_eq!(recovered.prepared.len(), 5);
    let world = world.restarted(1);
    assert_eq!(world.disk.segments.keys().copied().collect::<Vec<_>>(), [id(0, 1), id(0, 2), id(0, 3)]);
    assert_eq!(world.lanes[0].segment_wanted(), None, "segment 3 is ready");

    let mut world = World::new(1);
    world.disk.prepare(id(0, 2), 2 * size).unwrap();
    let world = world.restarted(1);
    assert_eq!(world.disk.segments[&id(0, 2)].len() as u64, size, "one of another size is made anew");
}

#[test]
fn a_segment_whose_header_is_torn_is_abandoned() {
    let world = World::new(1);
    for torn in [1, 511, 512, 4095] {
        let mut next = World { disk: world.disk.clone(), lanes: Vec::new() }.restarted(1);
        let header = next.segment(0, 2)[..BLOCK_BYTES].to_vec();
        next.segment(0, 2).fill(0);
        next.segment(0, 2)[..torn].copy_from_slice(&header[..torn]);
        let (_, recovered) = next.read();
        assert_eq!(recovered.abandoned.iter().map(|file| file.id).collect::<Vec<_>>(), [id(0, 2)]);
        assert_eq!(recovered.next_generation, Generation(2), "it never began");
        let mut again = next.restarted(1);
        again.commit(0, &[b"goes on"]);
        assert_eq!(again.payloads(), [b"goes on"]);
    }
    // A crash may leave a wrong bit anywhere in the block that was being written, in its version too.
    for byte in [8, 11, 40, 4095] {
        let mut next = World { disk: world.disk.clone(), lanes: Vec::new() }.restarted(1);
        next.segment(0, 2)[BLOCK_BYTES..].fill(0);
        next.segment(0, 2)[byte] ^= 4;
        let (_, recovered) = next.read();
        assert_eq!(
            recovered.abandoned.iter().map(|file| file.id).collect::<Vec<_>>(),
            [id(0, 2)],
            "byte {byte}"
        );
    }
    let mut elsewhere = World { disk: world.disk.clone(), lanes: Vec::new() };
    elsewhere.disk.prepare(id(0, 2), SEGMENT_BYTES_MIN).unwrap();
    elsewhere.disk.prepare(id(0, 3), SEGMENT_BYTES_MIN).unwrap();
    elsewhere.segment(0, 3)[7] = 1;
    assert!(elsewhere.refused().contains("it is not the segment that its lane would have begun next"));
}

#[test]
fn a_generation_that_was_not_opened_in_all_lanes_is_no_damage() {
    let mut world = World::new(2);
    world.commit(0, &[b"zero"]);
    world.commit(1, &[b"one"]);
    let opened = World { disk: world.disk.clone(), lanes: Vec::new() }.restarted(2);
    let record = |lane| opened.disk.segments[&id(lane, 2)][..2 * BLOCK_BYTES].to_vec();
    // What each lane has of the second generation: nothing, a prepared segment, a header, the record.
    for (lane_0, lane_1) in (0..4).flat_map(|lane_0| (0..4).map(move |lane_1| (lane_0, lane_1))) {
        let mut crashed = World { disk: world.disk.clone(), lanes: Vec::new() };
        for (lane, has) in [(0, lane_0), (1, lane_1)] {
            if has > 0 {
                crashed.disk.prepare(id(lane, 2), SEGMENT_BYTES_MIN).unwrap();
                let bytes = (has - 1) * BLOCK_BYTES;
                crashed.segment(lane, 2)[..bytes].copy_from_slice(&record(lane)[..bytes]);
            }
        }
        let (records, recovered) = crashed.read();
        assert_eq!(records.len(), 2);
        let begun = lane_0 > 1 || lane_1 > 1;
        assert_eq!(recovered.next_generation, Generation(if begun { 3 } else { 2 }));
        for lanes in [1, 2, 3] {
            let mut again = World { disk: crashed.disk.clone(), lanes: Vec::new() }.restarted(lanes);
            again.commit(0, &[b"next"]);
            let again = again.restarted(2);
            assert_eq!(again.payloads(), [&b"zero"[..], b"one", b"next"], "{lane_0} {lane_1} {lanes}");
        }
    }
}

#[test]
fn a_generation_that_was_opened_has_its_record_in_all_lanes() {
    let mut world = World::new(2).restarted(2);
    for (blank, what) in [(0..0, ""), (BLOCK_BYTES..2 * BLOCK_BYTES, "record"), (0..BLOCK_BYTES, "header")] {
        let mut broken = World { disk: world.disk.clone(), lanes: Vec::new() };
        broken.segment(1, 2)[2 * BLOCK_BYTES..].fill(0);
        if blank.is_empty() {
            assert!(broken.payloads().is_empty(), "the opening marker of lane 1 may be lost with the crash");
            continue;
        }
        broken.segment(1, 2)[blank].fill(0);
        let message = broken.refused();
        assert!(message.contains("segment-01-0000000002.log"), "without its {what}: {message}");
    }
    world.segment(1, 2).fill(0);
    assert!(world.refused().contains("all lanes of generation 2 had its record"), "{}", world.refused());
}

#[test]
fn interrupted_retractions_are_completed_in_all_lanes() {
    fn retraction(lsn: u64) -> Vec<u8> {
        [&1_u32.to_le_bytes()[..], &0_u16.to_le_bytes(), &lsn.to_le_bytes(), b"a path"].concat()
    }
    let mut world = World::new(2);
    let first = world.lanes[0].append(RecordKind::Retraction, 0, &retraction(2)).unwrap();
    assert_eq!(first, Lsn(2));
    world.drive(0);
    assert_eq!(world.read().1.unfinished_retractions[0].payload, retraction(2));

    let mut finished = World { disk: world.disk.clone(), lanes: Vec::new() };
    finished.lanes = World::new(2).lanes;
    let mut completed = world.restarted(3);
    assert!(completed.read().1.unfinished_retractions.is_empty());
    let copies = completed.payloads().iter().filter(|payload| **payload == retraction(2)).count();
    assert_eq!(copies, 4, "the first, and one in each of the three lanes");
    completed.commit(0, &[b"goes on"]);
    let again = completed.restarted(2);
    assert_eq!(again.payloads().len(), 5, "it is completed once");
}

#[test]
fn a_completion_that_was_interrupted_is_completed_again() {
    let payload = [&1_u32.to_le_bytes()[..], &0_u16.to_le_bytes(), &2_u64.to_le_bytes()].concat();
    let mut world = World::new(2);
    world.lanes[0].append(RecordKind::Retraction, 0, &payload).unwrap();
    world.drive(0);
    let mut world = world.restarted(2);
    // The copy in lane 1 was written after the one in lane 0.
    world.segment(1, 2)[2 * BLOCK_BYTES..].fill(0);
    assert_eq!(world.read().1.unfinished_retractions[0].payload, payload);
    assert!(world.restarted(1).read().1.unfinished_retractions.is_empty());
}
