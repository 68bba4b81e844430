//! Damage to what was acknowledged: recovery refuses, and says where.

use super::*;

/// A log of two generations and three lanes, with several segments, markers and seals, in the third generation.
fn varied() -> World {
    let mut world = World::new(2);
    world.commit(0, &[b"one"]);
    world.fill_segments(1, 1);
    world.commit(1, &[b"two"]);
    world.close();
    let mut world = world.restarted(3);
    world.commit(2, &[b"three", b"four"]);
    world.commit(0, &[b"five"]);
    world.restarted(1)
}

/// The parts of the segments that belong to the log, as far as something later testifies for them.
fn testified(world: &World) -> Vec<(SegmentId, usize)> {
    let begun = world.disk.segments.iter().filter(|(_, bytes)| bytes[0] != 0);
    let parts = begun.map(|(&id, bytes)| {
        // The last frame of the last lane is the opening marker, for which nothing testifies.
        let last = bytes.iter().rposition(|&byte| byte != 0).unwrap() / BLOCK_BYTES * BLOCK_BYTES;
        let is_last = id.lane == LaneId(0) && id.number == SegmentNumber(3);
        (id, if is_last { last } else { last + BLOCK_BYTES })
    });
    parts.collect()
}

#[test]
fn a_byte_flipped_anywhere_is_noticed() {
    let mut world = varied();
    for (segment, end) in testified(&world) {
        for (block, within) in (0..end / BLOCK_BYTES).zip([0, 5, 70, BLOCK_BYTES - 1].into_iter().cycle()) {
            let at = block * BLOCK_BYTES + within;
            world.disk.segments.get_mut(&segment).unwrap()[at] ^= 0x40;
            let message = world.refused();
            assert!(message.contains(&segment.to_string()), "{segment} at {at}: {message}");
            assert!(message.contains("docs/operations/recovery.md"), "{message}");
            world.disk.segments.get_mut(&segment).unwrap()[at] ^= 0x40;
        }
    }
    assert_eq!(world.payloads().len(), varied().payloads().len(), "and flipped back, all is well");
}

#[test]
fn a_block_that_was_never_written_is_noticed() {
    let mut world = varied();
    for (segment, end) in testified(&world) {
        for block in (0..end).step_by(BLOCK_BYTES) {
            let file = &mut world.disk.segments.get_mut(&segment).unwrap()[block..block + BLOCK_BYTES];
            let written = file.to_vec();
            file.fill(0);
            let message = world.refused();
            assert!(message.contains(&segment.to_string()), "{segment} at {block}: {message}");
            world.disk.segments.get_mut(&segment).unwrap()[block..block + BLOCK_BYTES]
                .copy_from_slice(&written);
        }
    }
}

#[test]
fn a_segment_cut_short_or_missing_is_noticed() {
    let mut world = varied();
    let sound = world.read().0;
    for (segment, end) in testified(&world) {
        let whole = world.disk.segments.remove(&segment).unwrap();
        // For the last segment of the log nothing testifies but its own name.
        let is_last = segment == id(0, 3);
        if is_last {
            assert_eq!(world.read().0, sound, "the last generation is as if it had never been opened");
        } else {
            let message = world.refused();
            assert!(message.contains(&segment.to_string()), "{message}");
        }
        for length in [0, 100, BLOCK_BYTES, end - BLOCK_BYTES, end - 1] {
            world.disk.segments.insert(segment, whole[..length].to_vec());
            if is_last && length >= BLOCK_BYTES {
                assert_eq!(world.read().0, sound);
            } else {
                let message = world.refused();
                assert!(message.contains(&segment.to_string()), "{segment} cut to {length}: {message}");
            }
        }
        world.disk.segments.insert(segment, whole);
    }
}

#[test]
fn a_missing_lane_is_noticed() {
    let world = varied();
    for lane in 1..3 {
        let mut missing = World { disk: world.disk.clone(), lanes: Vec::new() };
        missing.disk.segments.retain(|id, _| id.lane != LaneId(lane));
        let message = missing.refused();
        assert!(message.contains(&format!("segment-{lane:02}-")), "{message}");
        assert!(message.contains("is missing; the record of generation"), "{message}");
    }
    let mut of_newest = World::new(2);
    of_newest.disk.segments.retain(|id, _| id.lane != LaneId(1));
    let message = of_newest.refused();
    assert!(
        message.starts_with("segment-01-0000000001.log is missing; the frame at offset 8192"),
        "{message}"
    );
}

#[test]
fn a_covered_frame_is_named_with_both_checksums() {
    let mut world = World::new(1);
    world.commit(0, &[b"one"]);
    world.commit(0, &[b"two"]);
    world.segment(0, 1)[3 * BLOCK_BYTES + 100] ^= 1;
    let message = world.refused();
    let expected = "Checksum mismatch in WAL segment: expected 0x";
    assert!(message.starts_with(expected), "{message}");
    let place = "at offset 12288 of segment-00-0000000001.log; the frame at offset 16384 was written when everything \
                 before offset 16384 was durable. Nothing on disk was changed; docs/operations/recovery.md says what to do";
    assert!(message.ends_with(place), "{message}");
}

#[test]
fn a_broken_magic_or_version_is_refused() {
    let mut world = World::new(1);
    world.commit(0, &[b"one"]);
    world.segment(0, 1)[0] ^= 1;
    let message = world.refused();
    let expected = "WAL magic byte validation failed: a segment begins with 5354454d4557414c, this begins with 5254454d4557414c, \
                    at offset 0 of segment-00-0000000001.log;";
    assert!(message.starts_with(expected), "{message}");
    world.segment(0, 1)[0] ^= 1;
    let header = &mut world.segment(0, 1)[..BLOCK_BYTES];
    header[8] = 2;
    let checksum = crc32c::crc32c(&header[..BLOCK_BYTES - 4]);
    header[BLOCK_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    let message = world.refused();
    assert!(message.starts_with("WAL format version is 2, but only version 1 can be read"), "{message}");

    let mut covered = World::new(1);
    covered.commit(0, &[b"one"]);
    covered.commit(0, &[b"two"]);
    covered.segment(0, 1)[3 * BLOCK_BYTES] ^= 1;
    assert!(
        covered.refused().starts_with("WAL magic byte validation failed: a frame"),
        "{}",
        covered.refused()
    );
}

#[test]
fn a_damaged_marker_hides_no_frame_behind_it() {
    let mut world = World::new(1);
    world.commit(0, &[b"behind the opening marker"]);
    world.segment(0, 1)[2 * BLOCK_BYTES + 8] ^= 1;
    let message = world.refused();
    assert!(
        message.contains("at offset 8192 of segment-00-0000000001.log; the frame at offset 12288"),
        "{message}"
    );
}

#[test]
fn the_last_marker_testifies_for_the_last_frame() {
    let mut world = World::new(1);
    world.commit(0, &[b"last"]);
    world.segment(0, 1)[3 * BLOCK_BYTES + 80] ^= 1;
    assert!(world.payloads().is_empty(), "nothing says that the last frame was acknowledged");
    world.segment(0, 1)[3 * BLOCK_BYTES + 80] ^= 1;
    world.close();
    world.segment(0, 1)[3 * BLOCK_BYTES + 80] ^= 1;
    assert!(world.refused().contains("at offset 12288 of segment-00-0000000001.log"), "{}", world.refused());
}

#[test]
fn a_seal_testifies_for_the_next_segment() {
    let mut world = World::new(1);
    world.fill_segments(0, 1);
    for blank in [false, true] {
        let mut broken = World { disk: world.disk.clone(), lanes: Vec::new() };
        if blank {
            broken.segment(0, 2).fill(0);
        } else {
            broken.disk.segments.remove(&id(0, 2));
        }
        let message = broken.refused();
        assert!(message.contains("segment-00-0000000002.log"), "{message}");
        assert!(message.contains("the seal at offset"), "{message}");
    }
}

#[test]
fn a_missing_seal_is_damage_only_if_the_next_segment_was_written_to() {
    let mut world = World::new(1);
    world.fill_segments(0, 1);
    let seal = world.segment(0, 1).iter().rposition(|&byte| byte != 0).unwrap() / BLOCK_BYTES * BLOCK_BYTES;
    world.segment(0, 1)[seal..seal + BLOCK_BYTES].fill(0);
    let message = world.refused();
    assert!(message.contains("segment-00-0000000002.log was written to"), "{message}");
    assert!(message.contains(&format!("at offset {seal} of segment-00-0000000001.log")), "{message}");

    let frames = world.segment(0, 2);
    frames[BLOCK_BYTES..].fill(0);
    let (records, recovered) = world.read();
    assert_eq!(recovered.lane_ends[0].end_offset, BLOCK);
    assert_eq!(recovered.lane_ends[0].next_lsn.0, records.len() as u64 + 2);
    let mut again = world.restarted(1);
    again.commit(0, &[b"goes on"]);
    assert_eq!(again.restarted(2).payloads().len(), records.len() + 1);
}

#[test]
fn segments_of_another_log_are_noticed() {
    let mut world = World::new(1);
    world.commit(0, &[b"one"]);
    let world = world.restarted(1);
    let mut renamed = World { disk: world.disk.clone(), lanes: Vec::new() };
    let bytes = renamed.segment(0, 1).clone();
    renamed.disk.segments.insert(id(1, 1), bytes);
    let message = renamed.refused();
    assert!(message.contains("expected the header of segment-01-0000000001.log, found"), "{message}");

    let mut other = World::new(2);
    other.commit(1, &[b"other"]);
    let mut mixed = World { disk: world.disk.clone(), lanes: Vec::new() };
    mixed.disk.segments.insert(id(1, 1), other.segment(1, 1).clone());
    let message = mixed.refused();
    assert!(message.contains("the WAL contradicts itself at offset"), "{message}");
}
