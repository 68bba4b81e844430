//! Parts of a log that are valid each, but cannot have been written by the same history.
//!
//! Goal: what checksums cannot notice is noticed too. Method: headers and records are changed and then given
//! valid checksums again.

use super::*;
use crate::log::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameHome};
use crate::log::generation::GenerationRecord;
use crate::log::record;
use crate::log::segment::SegmentHeader;
use crate::order::WriteOrder;

/// Changes the headers of a segment and of its frames, which are numbered from 0, and makes all checksums hold again.
fn forge(
    world: &mut World,
    segment: SegmentId,
    change_segment: impl FnOnce(&mut SegmentHeader),
    change_frame: impl Fn(usize, &mut FrameHeader),
) {
    let bytes = world.disk.segments.get_mut(&segment).unwrap();
    let (mut header, checksum) = SegmentHeader::decode(&bytes[..BLOCK_BYTES]).unwrap();
    let old_home = FrameHome::new(&header, checksum);
    change_segment(&mut header);
    let checksum = header.encode(&mut bytes[..BLOCK_BYTES]);
    let new_home = FrameHome::new(&header, checksum);
    let (mut offset, mut number) = (BLOCK_BYTES, 0);
    while offset < bytes.len() {
        let Ok(frame) = Frame::decode(&bytes[offset..], &old_home) else { break };
        let mut header = frame.header;
        let frame_bytes = header.frame_bytes();
        change_frame(number, &mut header);
        header.close(&mut bytes[offset..offset + frame_bytes], &new_home);
        (offset, number) = (offset + frame_bytes, number + 1);
    }
}

/// Changes the record of a generation in the segment that it begins, and makes all checksums hold again.
fn forge_record(world: &mut World, segment: SegmentId, change: impl FnOnce(&mut GenerationRecord)) {
    let bytes = world.disk.segments.get_mut(&segment).unwrap();
    let (header, checksum) = SegmentHeader::decode(&bytes[..BLOCK_BYTES]).unwrap();
    let home = FrameHome::new(&header, checksum);
    let frame = &mut bytes[BLOCK_BYTES..2 * BLOCK_BYTES];
    let whole = Frame::decode(frame, &home).unwrap();
    let mut header = whole.header;
    let mut record = GenerationRecord::decode(whole.records().next().unwrap().unwrap().payload).unwrap();
    change(&mut record);
    let payload = record.encode();
    let written = record::encode(&mut frame[FRAME_HEADER_BYTES..], RecordKind::Generation, 0, &payload);
    header.payload_bytes = written as u32;
    header.close(frame, &home);
}

fn assert_contradiction(world: &World, place: &str) {
    let message = world.refused();
    assert!(
        message.starts_with(&format!("the WAL contradicts itself at offset {place}: expected")),
        "{message}"
    );
}

/// Two generations of two lanes.
fn two_generations() -> World {
    let mut world = World::new(2);
    world.commit(0, &[b"one"]);
    world.commit(1, &[b"two"]);
    world.restarted(2)
}

#[test]
fn forging_without_a_change_changes_nothing() {
    let mut world = two_generations();
    let before = world.disk.clone();
    forge(&mut world, id(0, 1), |_| {}, |_, _| {});
    forge_record(&mut world, id(0, 2), |_| {});
    assert!(world.disk == before);
}

#[test]
fn a_lane_that_goes_on_in_a_generation_of_which_no_lane_has_the_record_is_noticed() {
    let mut world = World::new(1);
    world.fill_segments(0, 1);
    let begins_at_once = |header: &mut SegmentHeader| {
        (header.previous_end, header.first_lsn) = (BLOCK, Lsn::FIRST);
    };
    world.segment(0, 2)[BLOCK_BYTES..].fill(0);
    forge(&mut world, id(0, 2), begins_at_once, |_, _| {});
    world.segment(0, 1)[BLOCK_BYTES..].fill(0);
    let message = world.refused();
    assert!(message.contains("at offset 4096 of segment-00-0000000001.log"), "{message}");
}

#[test]
fn a_record_that_differs_between_lanes_is_noticed() {
    let mut world = two_generations();
    forge_record(&mut world, id(1, 2), |record| record.opened = UnixMicros(7));
    assert_contradiction(&world, "4096 of segment-01-0000000002.log");
}

#[test]
fn an_end_that_is_stated_twice_is_stated_alike() {
    for change in
        [|end: &mut LaneEnd| end.end_offset -= BLOCK, |end: &mut LaneEnd| end.next_lsn = end.next_lsn.plus(1)]
    {
        let mut world = two_generations();
        for lane in [0, 1] {
            forge_record(&mut world, id(lane, 2), |record| change(&mut record.ends[0]));
        }
        assert!(
            world.refused().contains("segment-00-0000000001.log: expected an end at offset"),
            "{}",
            world.refused()
        );
    }
}

#[test]
fn a_generation_names_all_lanes_before_it_and_no_other_segment() {
    let mut unnamed = two_generations();
    for lane in [0, 1] {
        forge_record(&mut unnamed, id(lane, 2), |record| record.ends.truncate(1));
    }
    assert_contradiction(&unnamed, "0 of segment-01-0000000001.log");

    let mut of_another = two_generations().restarted(2);
    for lane in [0, 1] {
        forge_record(&mut of_another, id(lane, 3), |record| record.ends[0].generation = Generation(1));
    }
    assert_contradiction(&of_another, "0 of segment-00-0000000002.log");
}

#[test]
fn a_lane_beyond_those_of_its_generation_is_noticed() {
    let mut world = two_generations();
    world.segment(1, 2)[BLOCK_BYTES..].fill(0);
    world.segment(0, 2)[2 * BLOCK_BYTES..].fill(0);
    assert_eq!(world.payloads().len(), 2, "the second generation was not opened");
    forge_record(&mut world, id(0, 2), |record| record.lanes = 1);
    assert_contradiction(&world, "0 of segment-01-0000000002.log");
    let mut own = two_generations();
    forge_record(&mut own, id(1, 2), |record| record.lanes = 1);
    assert_contradiction(&own, "4096 of segment-01-0000000002.log");
}

#[test]
fn a_segment_that_a_later_generation_leaves_out_is_noticed() {
    let mut world = World::new(1).restarted(1);
    world.segment(0, 2)[BLOCK_BYTES..].fill(0);
    let end = world.end(0);
    let mut world = world.restarted(1);
    forge_record(&mut world, id(0, 3), |record| {
        let first =
            LaneEnd { generation: Generation(1), segment: SegmentNumber(1), end_offset: 3 * BLOCK, ..end };
        record.ends = vec![first];
    });
    assert_contradiction(&world, "0 of segment-00-0000000002.log");
}

#[test]
fn a_gap_in_the_numbers_of_records_is_noticed() {
    let mut world = World::new(1);
    world.commit(0, &[b"one"]);
    world.commit(0, &[b"two"]);
    let skip = |from: usize| {
        move |number: usize, header: &mut FrameHeader| {
            if number >= from {
                header.first_lsn = header.first_lsn.plus(1);
            }
        }
    };
    forge(&mut world, id(0, 1), |_| {}, skip(3));
    assert_contradiction(&world, "16384 of segment-00-0000000001.log");

    let mut world = World::new(1);
    world.fill_segments(0, 1);
    let end = SegmentHeader::decode(&world.segment(0, 2)[..BLOCK_BYTES]).unwrap().0.previous_end;
    forge(&mut world, id(0, 2), |header| header.first_lsn = header.first_lsn.plus(1), skip(0));
    assert_contradiction(&world, &format!("{end} of segment-00-0000000001.log"));
}

#[test]
fn a_frame_that_testifies_for_itself_is_noticed() {
    let mut world = World::new(1);
    world.commit(0, &[b"one"]);
    forge(
        &mut world,
        id(0, 1),
        |_| {},
        |number, header| {
            if number == 2 {
                header.committed_end += BLOCK;
            }
        },
    );
    assert_contradiction(&world, "12288 of segment-00-0000000001.log");
}

#[test]
fn headers_that_do_not_follow_each_other_are_noticed() {
    let changes: [fn(&mut SegmentHeader); 7] = [
        |header| header.previous_end += 1,
        |header| header.previous_end = 0,
        |header| header.previous_end = 2 * SEGMENT_BYTES_MIN,
        |header| header.generation = Generation(0),
        |header| header.generation = Generation(WriteOrder::GENERATION_MAX + 1),
        |header| header.first_lsn = Lsn(WriteOrder::LSN_MAX + 2),
        |header| header.segment_bytes += 1,
    ];
    for change in changes {
        let mut world = two_generations();
        forge(&mut world, id(0, 2), change, |_, _| {});
        assert_contradiction(&world, "0 of segment-00-0000000002.log");
    }
    let changes: [fn(&mut SegmentHeader); 2] =
        [|header| header.previous_end = BLOCK, |header| header.first_lsn = Lsn(2)];
    for change in changes {
        let mut world = two_generations();
        forge(&mut world, id(0, 1), change, |_, _| {});
        assert_contradiction(&world, "0 of segment-00-0000000001.log");
    }
    let mut older = two_generations().restarted(2);
    forge(&mut older, id(0, 3), |header| header.generation = Generation(1), |_, _| {});
    assert_contradiction(&older, "0 of segment-00-0000000003.log");
}

#[test]
fn records_and_frames_in_the_wrong_place_are_noticed() {
    let mut record = World::new(1);
    record.lanes[0].append(RecordKind::Generation, 0, b"again").unwrap();
    record.drive(0);
    assert_contradiction(&record, "12288 of segment-00-0000000001.log");

    let mut retraction = World::new(1);
    retraction.lanes[0].append(RecordKind::Retraction, 0, b"too short").unwrap();
    retraction.drive(0);
    assert_contradiction(&retraction, "12288 of segment-00-0000000001.log");

    let mut no_record = World::new(1);
    let mut frames = World::new(1);
    frames.commit(0, &[b"one"]);
    let (header, _) = SegmentHeader::decode(&no_record.segment(0, 1)[..BLOCK_BYTES]).unwrap();
    assert_eq!(frames.segment(0, 1)[..BLOCK_BYTES], no_record.segment(0, 1)[..BLOCK_BYTES], "{header:?}");
    let records = frames.segment(0, 1)[3 * BLOCK_BYTES..4 * BLOCK_BYTES].to_vec();
    no_record.segment(0, 1)[BLOCK_BYTES..2 * BLOCK_BYTES].copy_from_slice(&records);
    assert_contradiction(&no_record, "4096 of segment-00-0000000001.log");
    let marker = frames.segment(0, 1)[2 * BLOCK_BYTES..3 * BLOCK_BYTES].to_vec();
    no_record.segment(0, 1)[BLOCK_BYTES..2 * BLOCK_BYTES].copy_from_slice(&marker);
    assert_contradiction(&no_record, "4096 of segment-00-0000000001.log");
}
