//! Goal: what is captured of a log that is being written recovers, and holds all that was acknowledged before; and a log
//! that is damaged is not captured. Method: random histories of several lanes and generations, in which things go on
//! happening between any two reads of the capture and of the copying; and one change at a time to a log that stands still.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::history::life;
use super::scripted::{Event, Racing, opening_of, script, three_segments_each};
use super::*;
use crate::log::covered::Covered;
use crate::log::recovery::capture::capture;
use crate::random_cases::of_256;

/// The last acknowledged record of each lane and generation.
fn acknowledged(events: &[Event]) -> BTreeMap<(u32, u16), u64> {
    let told = events.iter().filter_map(|event| match event {
        Event::Acknowledged(generation, lane, lsn, _) => Some(((generation.0, lane.0), lsn.0)),
        _ => None,
    });
    told.collect()
}

proptest! {
    #![proptest_config(of_256(48))]

    #[test]
    fn a_capture_recovers_and_holds_what_was_acknowledged_before_it(
        lives in prop::collection::vec(life(), 1..4),
        starts in prop::collection::vec((0.0..1.0_f64, any::<u64>()), 8),
    ) {
        let events = script(&lives);
        let mut end = MemoryStorage::new();
        events.iter().for_each(|event| event.happen(&mut end));
        let (all, _) = read(&end).unwrap();
        for (start, pace) in starts {
            let before = (start * events.len() as f64) as usize;
            let log = Racing::new(&events, before, pace);
            let captured = capture(&log, &Covered::default()).unwrap();
            let (records, recovered) = read(&copy(&captured, &log)).unwrap();
            for record in &records {
                let known = all.binary_search_by_key(&(record.0, record.1, record.2), |one| (one.0, one.1, one.2));
                prop_assert!(known.is_ok_and(|at| all[at] == *record), "record {:?}", (record.0, record.1, record.2));
            }
            for ((generation, lane), last) in acknowledged(&events[..before]) {
                let mut of_lane = records.iter().filter(|record| (record.0, record.1) == (generation, lane));
                prop_assert!(of_lane.next_back().is_some_and(|record| record.2 >= last), "{generation}, {lane}: {last}");
            }
            prop_assert!(recovered.tails_dropped.is_empty(), "nothing of a frame under way is copied");
            let ends: Vec<_> = captured.lanes.iter().map(|lane| lane.end).collect();
            prop_assert_eq!(ends, recovered.lane_ends);
            prop_assert_eq!(captured.generation().map(Generation::next), captured.generation().map(|_| recovered.next_generation));
        }
    }
}

proptest! {
    #![proptest_config(of_256(48))]

    /// The same behind what tables hold by then.
    #[test]
    fn a_capture_behind_what_is_covered_has_the_rest(
        lives in prop::collection::vec(life(), 1..4),
        starts in prop::collection::vec((0.0..1.0_f64, any::<u64>(), prop_oneof![0_u64..200_000, Just(u64::MAX)]), 8),
    ) {
        let events = script(&lives);
        for (start, pace, bytes_max) in starts {
            let before = (start * events.len() as f64) as usize;
            let mut disk = MemoryStorage::new();
            events[..before].iter().for_each(|event| event.happen(&mut disk));
            let covered = covered_of(&disk, bytes_max);
            let log = Racing::new(&events, before, pace);
            let captured = capture(&log, &covered).unwrap();
            prop_assert!(captured.segments.iter().all(|segment| !covered.contains(segment.id())));
            let (records, recovered) = read_behind(&copy(&captured, &log), &covered).unwrap();
            for ((generation, lane), last) in acknowledged(&events[..before]) {
                let mut of_lane = records.iter().filter(|record| (record.0, record.1) == (generation, lane));
                let is_there = of_lane.next_back().is_some_and(|record| record.2 >= last);
                prop_assert!(is_there || is_covered(&covered, generation, lane, last), "{generation}, {lane}: {last}");
            }
            prop_assert!(recovered.tails_dropped.is_empty());
        }
    }
}

/// Goal: of a generation that tables hold in part a lost record is damage, and no generation that is just being opened. Method: one lane is
/// covered in part, and the record of the other changed, or its segment removed.
#[test]
fn a_generation_that_is_covered_in_part_has_its_record_in_all_lanes() {
    let mut world = World::new(2);
    world.fill_segments(0, 2);
    world.commit(1, &[b"b"]);
    let covered = covered_of(&world.disk, u64::MAX);
    assert!(covered.contains(id(0, 1)) && !covered.contains(id(1, 1)));
    capture(&world.disk, &covered).expect("it is sound");
    let mut lost = world.disk.clone();
    lost.segments.remove(&id(1, 1));
    world.segment(1, 1)[BLOCK_BYTES + 70] ^= 1;
    for disk in [&world.disk, &lost] {
        let error = capture(disk, &covered).unwrap_err().to_string();
        assert!(error.contains("segment-01-0000000001.log"), "{error}");
        assert!(error.contains("the tables hold segment-00-0000000001.log"), "{error}");
    }
}

/// Checks that a copy has all that the log has, also behind what tables hold of it.
fn is_copied(disk: &MemoryStorage) -> bool {
    let (all, _) = read(disk).unwrap();
    let captured = capture(disk, &Covered::default()).unwrap();
    let (records, _) = read(&copy(&captured, disk)).unwrap();
    let covered = covered_of(disk, u64::MAX);
    let captured = capture(disk, &covered).unwrap();
    let (behind, _) = read_behind(&copy(&captured, disk), &covered).unwrap();
    let is_behind = |one: &&Read| !is_covered(&covered, one.0, one.1, one.2);
    records == all && behind.iter().eq(all.iter().filter(is_behind))
}

/// Goal: wherever a crash left a log, and wherever another left its next opening, all is captured, and so is what is written afterwards.
/// Method: each block and name of a log in which lanes go from one segment to the next was the last one, fewer lanes, as many and more
/// go on, and the same with each step of that.
#[test]
fn a_log_that_goes_on_after_a_crash_is_captured_whole() {
    let events = three_segments_each(2);
    let mut crashed = MemoryStorage::new();
    for (last, event) in events.iter().enumerate() {
        event.happen(&mut crashed);
        for lanes in 1..=3 {
            let mut disk = crashed.clone();
            for (step, event) in opening_of(&crashed, lanes).iter().enumerate() {
                event.happen(&mut disk);
                assert!(is_copied(&disk), "event {last}, step {step} to {lanes} lanes");
            }
            let mut world = World { disk, lanes: Vec::new() }.restarted(lanes);
            (0..lanes).for_each(|lane| world.commit(usize::from(lane), &[b"later"]));
            assert!(is_copied(&world.disk), "event {last}, {lanes} lanes");
            let captured = capture(&world.disk, &Covered::default()).unwrap();
            let ends: Vec<_> = captured.lanes.iter().map(|lane| lane.end).collect();
            assert_eq!(ends, world.read().1.lane_ends, "event {last}, {lanes} lanes");
        }
    }
}

#[test]
fn a_log_that_stands_still_is_captured_to_its_last_frame() {
    let mut world = World::new(2);
    world.fill_segments(0, 3);
    world.commit(1, &[b"b"]);
    let mut world = world.restarted(1);
    world.commit(0, &[b"a"]);
    let captured = capture(&world.disk, &Covered::default()).unwrap();
    let copied = copy(&captured, &world.disk);
    assert_eq!(read(&copied).unwrap().0, world.read().0);
    assert!(captured.bytes() < world.disk.segments.values().map(|bytes| bytes.len() as u64).sum());
    assert!(captured.lanes.iter().all(|lane| lane.last_frame == Some(NOW)));
    assert_eq!(
        capture(&MemoryStorage::new(), &Covered::default()).unwrap(),
        Capture { segments: Vec::new(), lanes: Vec::new() }
    );
    assert_eq!(
        capture(&copied, &Covered::default()).unwrap().lanes,
        captured.lanes,
        "a capture of the copy is the same"
    );
}

#[test]
fn damage_is_reported_and_not_copied() {
    for lanes in 1..=2 {
        let mut world = World::new(lanes);
        world.fill_segments(0, 1);
        for value in [b"1", b"2", b"3"] {
            (0..lanes).for_each(|lane| world.commit(usize::from(lane), &[value]));
        }
        world.close();
        damage_is_reported(&world);
    }
}

fn damage_is_reported(world: &World) {
    let segments: Vec<_> = world.disk.segments.keys().copied().collect();
    for id in segments {
        let Some(captured) = capture(&world.disk, &Covered::default())
            .unwrap()
            .segments
            .into_iter()
            .find(|one| one.id() == id)
        else {
            continue;
        };
        let last = captured.bytes - BLOCK;
        for block in (0..captured.bytes).step_by(BLOCK_BYTES).filter(|&block| block != last) {
            let mut damaged = world.disk.clone();
            damaged.segments.get_mut(&id).unwrap()[block as usize + 70] ^= 1;
            // The blocks of a sealed segment are not read before they are copied; recovery of the copy finds those.
            match capture(&damaged, &Covered::default()) {
                Err(_) => {}
                Ok(captured) => assert!(read(&copy(&captured, &damaged)).is_err(), "block {block} of {id}"),
            }
        }
        let mut lost = world.disk.clone();
        lost.segments.remove(&id);
        capture(&lost, &Covered::default()).unwrap_err();
    }
}

/// Goal: a lane ends with the record that comes before the next segment's, also where that is left out. Method: another frame of the segment stands
/// in the place of the last one, and the next opening came as far as its header.
#[test]
fn a_frame_in_the_place_of_another_is_not_copied() {
    let mut world = World::new(1);
    world.commit(0, &[b"a"]);
    world.lanes[0].mark();
    world.drive(0);
    world.commit(0, &[b"b"]);
    let last = world.end(0).end_offset as usize - BLOCK_BYTES;
    let is_header = |event: &Event| matches!(event, Event::Arrived(_, 0, _));
    let events = opening_of(&world.disk, 1);
    let header = events.iter().position(is_header).expect("a generation begins with a segment");
    events[..=header].iter().for_each(|event| event.happen(&mut world.disk));
    assert!(is_copied(&world.disk));
    world.segment(0, 1).copy_within(last - BLOCK_BYTES..last, last);
    let error = capture(&world.disk, &Covered::default()).unwrap_err().to_string();
    assert_eq!(error, world.refused());
}

#[test]
fn a_generation_that_is_being_opened_is_left_out() {
    let mut world = World::new(2);
    world.commit(0, &[b"a"]);
    let mut world = world.restarted(2);
    // The second lane's record has not arrived, and neither has what waits for it.
    for (lane, from) in [(0, 2 * BLOCK_BYTES), (1, BLOCK_BYTES)] {
        world.segment(lane, 2)[from..].fill(0);
    }
    let captured = capture(&world.disk, &Covered::default()).unwrap();
    assert_eq!(captured.generation(), Some(Generation::FIRST));
    assert_eq!(read(&copy(&captured, &world.disk)).unwrap().0.len(), 1);
    let mut lost = world.restarted(2);
    lost.segment(1, 3)[BLOCK_BYTES..].fill(0);
    let error = capture(&lost.disk, &Covered::default()).unwrap_err().to_string();
    assert!(error.contains("the record of generation 3 in all its lanes"), "{error}");
}
