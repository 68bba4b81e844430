//! Logs of which segments are gone that are needed.
//!
//! Goal: all that is gone and shows is named, and what is known of it is true; without it all that is there is read, once, and after
//! that nothing is missed any more; and nothing else is forgiven. Method: random histories of commits and restarts with other
//! numbers of lanes, of which any segments are taken away; the whole log is kept beside.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::log::SEGMENT_BYTES_LEAST;
use crate::log::segment::SegmentHeader;
use crate::random_cases::of_256;

#[derive(Debug, Clone)]
enum Step {
    Commit { lane: u16, bytes: usize },
    Restart { lanes: u16, clean: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u16..3, prop_oneof![0_usize..300, 9_000_usize..12_000])
            .prop_map(|(lane, bytes)| Step::Commit { lane, bytes }),
        1 => (1_u16..4, any::<bool>()).prop_map(|(lanes, clean)| Step::Restart { lanes, clean }),
    ]
}

fn small_opening(lanes: u16) -> Opening {
    let mut opening = opening(lanes);
    (opening.lane.segment_bytes, opening.lane.frame_bytes_max) = (SEGMENT_BYTES_LEAST, 4 * BLOCK_BYTES);
    opening
}

fn small_world(lanes: u16) -> World {
    let mut world = World { disk: MemoryStorage::new(), lanes: Vec::new() };
    restart(&mut world, &Covered::default(), lanes);
    world
}

fn restart(world: &mut World, covered: &Covered, lanes: u16) {
    let recovered = recover_after(&world.disk, covered, &mut |_| Ok(())).expect("the log is sound");
    world.lanes = open_generation(&mut world.disk, &recovered, &small_opening(lanes)).unwrap();
}

/// The headers of all segments that were begun.
fn headers(disk: &MemoryStorage) -> BTreeMap<SegmentId, SegmentHeader> {
    let header =
        |bytes: &Vec<u8>| SegmentHeader::decode(&bytes[..BLOCK_BYTES]).ok().map(|(header, _)| header);
    disk.segments.iter().filter_map(|(id, bytes)| Some((*id, header(bytes)?))).collect()
}

/// Reads without what is lost. Gives what was read, and what is covered then.
fn without(disk: &MemoryStorage, lost: &[LostSegments]) -> (Vec<Read>, Covered) {
    let ranges: Vec<_> = lost.iter().map(|lost| lost.segments).collect();
    let mut read = Vec::new();
    let (covered, again) = read_without(disk, &Covered::default(), &ranges, &mut |records| {
        read.extend(
            records
                .iter()
                .map(|record| (record.generation.0, record.lane.0, record.lsn.0, record.payload.to_vec())),
        );
        Ok(())
    })
    .expect("nothing else is wrong");
    assert_eq!(again, lost);
    (read, covered)
}

proptest! {
    #![proptest_config(of_256(192))]

    #[test]
    fn whatever_is_gone_the_rest_is_read_and_then_nothing_is_missed(
        lanes in 1_u16..4,
        steps in prop::collection::vec(step(), 1..80),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let mut world = small_world(lanes);
        for step in &steps {
            match *step {
                Step::Commit { lane, bytes } => {
                    let lane = usize::from(lane) % world.lanes.len();
                    world.commit(lane, &[&vec![b'x'; bytes]]);
                }
                Step::Restart { lanes, clean } => {
                    if clean {
                        world.close();
                    }
                    restart(&mut world, &Covered::default(), lanes);
                }
            }
        }
        let whole = world.disk.clone();
        let (all, recovered) = read(&whole).expect("the whole log is sound");
        let ids: Vec<_> = whole.segments.keys().copied().collect();
        for index in &gone {
            world.disk.segments.remove(index.get(&ids));
        }
        let lost = find_lost(&world.disk, &Covered::default()).expect("nothing else is wrong");
        prop_assert_eq!(lost.is_empty(), read(&world.disk).is_ok(), "what is refused is named: {:?}", lost);

        let headers = headers(&whole);
        for lost in &lost {
            let SegmentRange { lane, first, last } = lost.segments;
            for number in first.0..=last.0 {
                let id = id(lane.0, number);
                prop_assert!(headers.contains_key(&id) && !world.disk.segments.contains_key(&id), "{}", id);
            }
            prop_assert_eq!(lost.first_lsn, headers[&id(lane.0, first.0)].first_lsn);
            let next = headers.get(&id(lane.0, last.0 + 1)).map(|next| next.first_lsn);
            let end = recovered.lane_ends.iter().find(|end| end.lane == lane).map(|end| end.next_lsn);
            prop_assert!(lost.next_lsn.is_none() || lost.next_lsn == next.or(end), "{:?}", lost);
        }

        let (found, covered) = without(&world.disk, &lost);
        let is_left = |read: &&Read| {
            let own = headers.values().filter(|header| header.id.lane.0 == read.1);
            let holder = own.filter(|header| header.first_lsn.0 <= read.2).max_by_key(|header| header.id.number);
            world.disk.segments.contains_key(&holder.expect("it is in a segment").id)
        };
        let left: Vec<_> = all.iter().filter(is_left).cloned().collect();
        prop_assert_eq!(found, left);

        // What is covered now is all there was, and the log goes on behind it.
        for lanes in [2, 1] {
            restart(&mut world, &covered, lanes);
            world.commit(0, &[b"later"]);
        }
        let mut later = Vec::new();
        recover_after(&world.disk, &covered, &mut |records| {
            later.extend(records.iter().map(|record| record.payload.to_vec()));
            Ok(())
        })
        .expect("nothing is missed any more");
        prop_assert_eq!(later, [b"later", b"later"]);
    }
}

#[test]
fn what_is_damaged_beside_what_is_gone_is_refused() {
    let mut world = small_world(2);
    world.fill_segments(0, 4);
    world.fill_segments(1, 1);
    world.disk.segments.remove(&id(0, 3));
    let lost = find_lost(&world.disk, &Covered::default()).expect("nothing else is wrong");
    assert_eq!(lost.iter().map(|lost| lost.segments.to_string()).collect::<Vec<_>>(), ["0:3"]);
    for (lane, number, offset) in
        [(0, 1, 2 * BLOCK_BYTES), (0, 2, 2 * BLOCK_BYTES), (1, 1, BLOCK_BYTES), (0, 4, 8)]
    {
        let mut damaged = world.disk.clone();
        damaged.segments.get_mut(&id(lane, number)).expect("it is there")[offset] ^= 1;
        let error = find_lost(&damaged, &Covered::default()).expect_err("damage is not forgiven").to_string();
        assert!(error.contains(&id(lane, number).to_string()), "{error}");
    }
    // The seal of a segment behind which the lane went on is missed as well.
    let mut cut = world.disk.clone();
    let segment = cut.segments.get_mut(&id(0, 2)).expect("it is there");
    let seal = segment.chunks(BLOCK_BYTES).rposition(|block| block.iter().any(|byte| *byte != 0));
    segment[seal.expect("it was filled") * BLOCK_BYTES..].fill(0);
    let error = find_lost(&cut, &Covered::default()).expect_err("damage is not forgiven").to_string();
    assert!(error.contains(&id(0, 2).to_string()), "{error}");
}

#[test]
fn a_retraction_of_which_a_part_is_gone_is_completed_later() {
    let mut world = small_world(2);
    let mut payload = Generation::FIRST.0.to_le_bytes().to_vec();
    payload.extend(0_u16.to_le_bytes());
    payload.extend(world.lanes[0].next_lsn().0.to_le_bytes());
    for lane in 0..2 {
        world.lanes[lane].append(RecordKind::Retraction, 0, &payload).unwrap();
        world.drive(lane);
        world.fill_segments(lane, 2);
    }
    assert!(world.read().1.unfinished_retractions.is_empty(), "it is in both lanes");
    world.disk.segments.remove(&id(1, 1));
    let lost = find_lost(&world.disk, &Covered::default()).expect("nothing else is wrong");
    let (_, covered) = without(&world.disk, &lost);
    let recovered =
        recover_after(&world.disk, &covered, &mut |_| Ok(())).expect("nothing is missed any more");
    let unfinished: Vec<_> =
        recovered.unfinished_retractions.iter().map(|retraction| retraction.payload.clone()).collect();
    assert_eq!(unfinished, [payload]);
}

/// Goal: what is gone of earlier generations does not make damage of a start that was cut short. Method: the header of a lane's first
/// segment in the new generation is there and the generation's record is not, as after a crash between both.
#[test]
fn a_lane_that_was_being_opened_is_not_taken_for_one_that_went_on() {
    for lane in 0..2 {
        let mut world = small_world(2);
        world.commit(0, &[b"first"]);
        world.commit(1, &[b"second"]);
        restart(&mut world, &Covered::default(), 2);
        world.segment(lane, 2)[BLOCK_BYTES..].fill(0);
        world.segment(1 - lane, 2)[2 * BLOCK_BYTES..].fill(0);
        world.read();
        world.disk.segments.remove(&id(lane, 1)).expect("it was there");

        let lost = find_lost(&world.disk, &Covered::default()).expect("nothing else is wrong");
        assert_eq!(
            lost.iter().map(|lost| lost.segments.to_string()).collect::<Vec<_>>(),
            [format!("{lane}:1")]
        );
        let (found, _) = without(&world.disk, &lost);
        let left: &[u8] = if lane == 0 { b"second" } else { b"first" };
        assert_eq!(found.iter().map(|read| &read.3[..]).collect::<Vec<_>>(), [left]);
    }
}

#[test]
fn ranges_are_written_in_one_way() {
    for text in ["0:1", "7:12-15", "1023:1-18446744073709551614"] {
        assert_eq!(text.parse::<SegmentRange>().expect("it is one").to_string(), text);
    }
    let wrong =
        ["", "0", "0:", ":1", "0:0", "0:2-1", "0:1-1", "00:1", "0:01", "-1:1", "0:1-2-3", "65536:1", "0: 1"];
    for text in wrong.into_iter().chain(["0:18446744073709551615"]) {
        assert!(text.parse::<SegmentRange>().is_err(), "{text:?}");
    }
}
