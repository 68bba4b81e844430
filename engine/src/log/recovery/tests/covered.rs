//! Logs of which a part is covered, and gone.
//!
//! Goal: what was read out of ended segments and what recovery reads behind them are together what recovery reads in the whole
//! log, with the same ends and the same interrupted retractions; whatever of the covered segments is still there. What is
//! needed and gone is missed. Method: random histories of commits, retractions, restarts with other numbers of
//! lanes, and covering in small pieces; the whole log is kept beside the one from which segments are removed.

use proptest::prelude::*;

use super::*;
use crate::log::covered::CoveredError;
use crate::log::generation::LaneEnd;
use crate::order::WriteOrder;
use crate::random_cases::of_256;

/// A record as it was replayed, with the slots that it strikes.
type ReadWithSlots = (Read, Option<SlotSet>);

#[derive(Debug, Clone)]
enum Step {
    Commit {
        lane: u16,
        bytes: usize,
    },
    /// A retraction that reaches the first so many of the lanes from its own on.
    Retract {
        lane: u16,
        lanes: u16,
    },
    Cover {
        bytes_max: u64,
        removed: u64,
    },
    /// A restart, before which another one may fail in the midst of its opening.
    Restart {
        lanes: u16,
        clean: bool,
        fails_before: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u16..3, prop_oneof![0_usize..300, 9_000_usize..12_000])
            .prop_map(|(lane, bytes)| Step::Commit { lane, bytes }),
        1 => (0_u16..3, 1_u16..4).prop_map(|(lane, lanes)| Step::Retract { lane, lanes }),
        2 => (prop_oneof![0_u64..100_000, Just(u64::MAX)], any::<u64>())
            .prop_map(|(bytes_max, removed)| Step::Cover { bytes_max, removed }),
        1 => (1_u16..4, any::<bool>(), any::<bool>())
            .prop_map(|(lanes, clean, fails_before)| Step::Restart { lanes, clean, fails_before }),
    ]
}

/// A log, and what has been read out of it.
struct CoveredWorld {
    world: World,
    /// Segments that were removed, as they were.
    removed: MemoryStorage,
    covered: Covered,
    read: Vec<ReadWithSlots>,
}

fn recovered_after(
    disk: &MemoryStorage,
    covered: &Covered,
) -> Result<(Vec<ReadWithSlots>, Recovered), RecoveryError> {
    let mut records = Vec::new();
    let recovered = recover_after(disk, covered, &mut |replayed| {
        records.extend(replayed.iter().map(with_slots));
        Ok(())
    })?;
    Ok((records, recovered))
}

fn with_slots(record: &Replayed<'_>) -> ReadWithSlots {
    ((record.generation.0, record.lane.0, record.lsn.0, record.payload.to_vec()), record.retracts)
}

impl CoveredWorld {
    fn new(lanes: u16) -> CoveredWorld {
        let world = World { disk: MemoryStorage::new(), lanes: Vec::new() };
        let mut world = CoveredWorld {
            world,
            removed: MemoryStorage::new(),
            covered: Covered::default(),
            read: Vec::new(),
        };
        world.restart(lanes);
        world
    }

    /// The log with the segments that were removed.
    fn whole(&self) -> MemoryStorage {
        let mut whole = self.world.disk.clone();
        whole.segments.extend(self.removed.segments.clone());
        whole
    }

    fn restart(&mut self, lanes: u16) {
        let (_, recovered) = recovered_after(&self.world.disk, &self.covered).expect("the log is sound");
        self.world.lanes = open_generation(&mut self.world.disk, &recovered, &small_opening(lanes)).unwrap();
    }

    /// A restart that ends when the first segments of its generation have their headers, and none its record.
    fn fail_restart(&mut self, lanes: u16) {
        self.restart(lanes);
        for lane in 0..lanes {
            let begun = self.world.lanes[usize::from(lane)].writing().expect("it was opened");
            self.world.segment(lane, begun.0)[BLOCK_BYTES..].fill(0);
        }
    }

    fn take(&mut self, step: &Step) {
        let lane_count = self.world.lanes.len() as u16;
        match *step {
            Step::Commit { lane, bytes } => {
                let payload = vec![b'x'; bytes];
                self.world.commit(usize::from(lane % lane_count), &[&payload]);
            }
            Step::Retract { lane, lanes } => {
                let lane = lane % lane_count;
                let first = &self.world.lanes[usize::from(lane)];
                let mut payload = first.config().generation.0.to_le_bytes().to_vec();
                payload.extend(lane.to_le_bytes());
                payload.extend(first.next_lsn().0.to_le_bytes());
                for at in 0..lanes.min(lane_count) {
                    let at = usize::from((lane + at) % lane_count);
                    self.world.lanes[at].append(RecordKind::Retraction, 0, &payload).unwrap();
                    self.world.drive(at);
                }
            }
            Step::Cover { bytes_max, removed } => self.cover(bytes_max, removed),
            Step::Restart { lanes, clean, fails_before } => {
                if clean {
                    self.world.close();
                }
                self.check();
                if fails_before {
                    self.fail_restart(lanes);
                    self.check();
                }
                self.restart(lanes);
            }
        }
    }

    /// Reads on, and removes those covered segments of which a bit of `removed` says so.
    fn cover(&mut self, bytes_max: u64, removed: u64) {
        let writing = self
            .world
            .lanes
            .iter()
            .map(|lane| (lane.config().lane, lane.writing().expect("it was opened")))
            .collect();
        let read = &mut self.read;
        let now = read_ended(&self.world.disk, &self.covered, &writing, bytes_max, &mut |records| {
            read.extend(records.iter().map(with_slots));
            Ok(())
        });
        let Some(now) = now.expect("the log is sound") else { return };
        assert_ne!(now, self.covered);
        self.covered = Covered::decode(&now.encode()).expect("it was just encoded");
        assert_eq!(self.covered, now);
        let is_removed = |segment: &SegmentId| {
            self.covered.contains(*segment) && removed >> (segment.number.0 % 64) & 1 != 0
        };
        let gone: Vec<_> = self.world.disk.segments.keys().copied().filter(is_removed).collect();
        for segment in gone {
            let bytes = self.world.disk.segments.remove(&segment).expect("it was listed");
            self.removed.segments.insert(segment, bytes);
        }
    }

    fn check(&self) {
        let (all, expected) = recovered_after(&self.whole(), &Covered::default()).expect("the log is sound");
        let (behind, mut recovered) =
            recovered_after(&self.world.disk, &self.covered).expect("the log is sound");
        let mut found = [&self.read[..], &behind[..]].concat();
        found.sort_by_key(|((generation, lane, lsn, _), _)| (*generation, *lane, *lsn));
        assert_eq!(found, all);
        assert_eq!(recovered.unfinished_retractions, expected.unfinished_retractions);
        assert_eq!(recovered.lane_ends, expected.lane_ends);
        assert_eq!(recovered.next_generation, expected.next_generation);
        let is_covered =
            |end: &&LaneEnd| self.covered.contains(SegmentId { lane: end.lane, number: end.segment });
        assert_eq!(recovered.covered.len(), expected.lane_ends.iter().filter(is_covered).count());
        recovered.untrimmed.retain(|untrimmed| !self.covered.contains(untrimmed.segment));
        assert!(recovered.untrimmed.iter().all(|untrimmed| expected.untrimmed.contains(untrimmed)));
    }
}

proptest! {
    #![proptest_config(of_256(192))]

    #[test]
    fn what_is_covered_and_what_is_behind_it_are_the_whole_log(
        lanes in 1_u16..4,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = CoveredWorld::new(lanes);
        for step in &steps {
            world.take(step);
        }
        world.check();
    }
}

/// A world of two lanes, of which the first two segments of lane 0 and the first of lane 1 are covered and gone.
fn covered_world() -> CoveredWorld {
    let mut world = CoveredWorld::new(2);
    for (lane, segments) in [(0, 2), (1, 1)] {
        world.world.fill_segments(lane, segments);
    }
    world.cover(u64::MAX, u64::MAX);
    let ends: Vec<_> =
        world.covered.ends.iter().map(|covered| (covered.end.lane.0, covered.end.segment.0)).collect();
    assert_eq!(ends, [(0, 2), (1, 1)]);
    assert!(world.covered.ends.iter().all(|covered| covered.continues));
    assert_eq!(world.removed.segments.len(), 3);
    world
}

#[test]
fn a_lane_that_is_gone_behind_what_is_covered_is_missed() {
    for lane in [0, 1] {
        let mut world = covered_world();
        world.world.disk.segments.retain(|id, _| id.lane.0 != lane);
        let error = recovered_after(&world.world.disk, &world.covered).unwrap_err().to_string();
        assert!(error.contains("is missing; the manifest of the tables says that it was begun"), "{error}");
    }
}

#[test]
fn a_segment_that_does_not_follow_what_is_covered_is_a_contradiction() {
    let world = covered_world();
    for change in [
        |end: &mut LaneEnd| end.end_offset += BLOCK,
        |end: &mut LaneEnd| end.next_lsn.0 += 1,
        |end: &mut LaneEnd| end.generation = Generation(2),
    ] {
        let mut covered = world.covered.clone();
        change(&mut covered.ends[1].end);
        let error = recovered_after(&world.world.disk, &covered).unwrap_err().to_string();
        assert!(error.contains("the WAL contradicts itself"), "{error}");
    }
}

/// The lanes are what they are; the manifest names another segment, which is there no more or not yet.
#[test]
fn a_gap_behind_what_is_covered_is_missed() {
    let mut world = covered_world();
    world.covered.ends[0].end.segment = SegmentNumber(1);
    let error = recovered_after(&world.world.disk, &world.covered).unwrap_err().to_string();
    assert!(error.contains("segment-00-0000000002.log is missing"), "{error}");
}

#[test]
fn nothing_is_read_of_segments_that_are_written_to() {
    let mut world = CoveredWorld::new(1);
    world.world.commit(0, &[b"a"]);
    world.cover(u64::MAX, 0);
    assert_eq!((world.covered, world.read.len()), (Covered::default(), 0));
}

/// The generation's record is in one place, that place is damaged, and all before it is covered.
#[test]
fn a_damaged_record_of_a_generation_behind_what_is_covered_is_refused() {
    let mut world = CoveredWorld::new(1);
    world.world.fill_segments(0, 1);
    world.restart(1);
    let writing = world.world.lanes[0].writing().expect("it was opened").0;
    world.cover(u64::MAX, u64::MAX);
    assert_eq!(world.covered.ends[0].end.segment.0, writing - 1);
    let generation = world.covered.generation.as_ref().map(|record| record.generation);
    assert_eq!(generation, Some(Generation(1)), "nothing of generation 2 is covered");
    let (_, recovered) = recovered_after(&world.world.disk, &world.covered).expect("the log is sound");
    assert_eq!(recovered.next_generation, Generation(3));
    world.world.segment(0, writing)[BLOCK_BYTES] ^= 1;
    let damaged = recovered_after(&world.world.disk, &world.covered).unwrap_err().to_string();
    assert!(damaged.contains(&format!("segment-00-{writing:010}.log")), "{damaged}");
    // Nor is a manifest taken at its word that names a generation of which it covers nothing.
    let record = world.covered.generation.as_mut().expect("it was just looked at");
    (record.generation, record.ends) = (Generation(2), vec![world.covered.ends[0].end]);
    let damaged = recovered_after(&world.world.disk, &world.covered).unwrap_err().to_string();
    assert!(damaged.contains(&format!("segment-00-{writing:010}.log")), "{damaged}");
}

#[test]
fn bytes_that_nobody_wrote_say_nothing_of_what_is_covered() {
    let mut world = covered_world();
    world.take(&Step::Retract { lane: 1, lanes: 1 });
    world.world.fill_segments(1, 2);
    world.cover(u64::MAX, 0);
    assert_eq!(world.covered.retractions.len(), 1);
    let bytes = world.covered.encode();
    assert_eq!(Covered::decode(&bytes).unwrap(), world.covered);
    for end in 0..bytes.len() {
        assert!(Covered::decode(&bytes[..end]).is_err(), "cut to {end} bytes");
    }
    assert!(Covered::decode(&[&bytes[..], &[0]].concat()).is_err());
    for (at, byte) in [(0, 2), (12, 1), (22, 2)] {
        let mut changed = bytes.clone();
        changed[at] = byte;
        assert!(Covered::decode(&changed).is_err(), "byte {at}");
    }
    // Of the first end: its generation, its segment and what comes next, each the least that is too much.
    let covered = Covered { generation: None, ..world.covered.clone() };
    let bytes = covered.encode();
    let beyond = [
        (24..28, u64::from(WriteOrder::GENERATION_MAX) + 1),
        (28..36, u64::MAX / 2 + 1),
        (44..52, WriteOrder::LSN_MAX + 2),
    ];
    for (place, number) in beyond {
        let mut changed = bytes.clone();
        let mut change = |number: u64| {
            let length = place.len();
            changed[place.clone()].copy_from_slice(&number.to_le_bytes()[..length]);
            Covered::decode(&changed)
        };
        change(number - 1).expect("it is possible");
        let refused = change(number);
        assert!(
            matches!(refused, Err(CoveredError::Inconsistent { .. })),
            "{place:?} is {number}: {refused:?}"
        );
    }
}

/// Goal: what is covered still names a retraction that was interrupted, where that ends in a generation without a record: what completes
/// the retraction later strikes no claim that was written behind its first record.
#[test]
fn an_interrupted_retraction_is_known_behind_a_start_that_failed() {
    let mut world = CoveredWorld::new(2);
    world.take(&Step::Retract { lane: 0, lanes: 1 });
    world.world.commit(0, &[b"written behind the retraction"]);
    world.fail_restart(1);
    world.restart(1);
    world.cover(u64::MAX, 0);
    assert_eq!(world.covered.generation, None, "it ends in the generation whose opening failed");
    assert_eq!(world.covered.retractions.len(), 1);
    world.check();
}

/// Goal: a lane that is gone is missed although the tables hold all frames of the generation in the other lane that came behind its record.
/// Method: lane 0 has only just begun its second segment when the first one is covered and removed.
#[test]
fn a_lane_is_missed_when_the_other_one_has_only_begun_its_next_segment() {
    let mut world = World::new(2);
    world.commit(1, &[b"acknowledged"]);
    world.fill_segments(0, 1);
    world.segment(0, 2)[BLOCK_BYTES..].fill(0);
    let writing = [(LaneId(0), SegmentNumber(2)), (LaneId(1), SegmentNumber(1))].into();
    let covered = read_ended(&world.disk, &Covered::default(), &writing, u64::MAX, &mut |_| Ok(()));
    let covered = covered.unwrap().expect("the first segment of lane 0 has ended");
    world.disk.segments.remove(&id(0, 1)).expect("it is covered");
    read_behind(&world.disk, &covered).expect("nothing is gone that is needed");

    world.disk.segments.retain(|segment, _| segment.lane == LaneId(0));
    let error = read_behind(&world.disk, &covered).expect_err("lane 1 is gone");
    assert!(error.to_string().contains(&id(1, 1).to_string()), "{error}");
}

/// Goal: it is damage, and told, if nothing states any more where lanes ended that nobody writes: they would never be covered, without a word.
/// Method: the record of a generation of one lane is changed, which alone has the end of the other lane.
#[test]
fn a_record_that_is_damaged_is_told_though_all_before_it_waits_for_it() {
    let mut world = World::new(2);
    world.commit(1, &[b"acknowledged"]);
    let mut world = world.restarted(1);
    world.fill_segments(0, 1);
    world.segment(0, 2)[BLOCK_BYTES + 100] ^= 1;
    let writing = [(LaneId(0), SegmentNumber(3))].into();
    let read = read_ended(&world.disk, &Covered::default(), &writing, u64::MAX, &mut |_| Ok(()));
    let error = read.expect_err("the record is damaged").to_string();
    assert!(error.contains("offset 4096 of segment-00-0000000002.log"), "{error}");
}

/// Goal: it is damage, and told, if the header of the segment is gone that a lane writes to, before there is any frame in it: the end of the one before
/// it would never be known, and that one stay behind without a word.
/// Method: the header is set to zeros, changed in one bit, or goes with its file.
#[test]
fn a_header_that_is_gone_is_told_before_there_is_a_frame_behind_it() {
    let mut world = World::new(1);
    world.fill_segments(0, 1);
    world.segment(0, 2)[BLOCK_BYTES..].fill(0);
    let writing = [(LaneId(0), SegmentNumber(2))].into();
    let read = |world: &World| {
        let read = read_ended(&world.disk, &Covered::default(), &writing, u64::MAX, &mut |_| Ok(()));
        read.map_err(|error| error.to_string())
    };
    read(&world).expect("the header is there").expect("the first segment has ended");

    let sound = world.segment(0, 2).clone();
    world.segment(0, 2)[40] ^= 1;
    let error = read(&world).expect_err("the header is changed");
    assert!(error.starts_with("Checksum mismatch in WAL segment header"), "{error}");
    assert!(error.contains("its lane writes to it"), "{error}");
    world.segment(0, 2).fill(0);
    let error = read(&world).expect_err("the header is gone");
    assert!(error.contains("at offset 0 of segment-00-0000000002.log"), "{error}");
    world.disk.segments.remove(&id(0, 2));
    let error = read(&world).expect_err("the segment is gone");
    assert!(error.contains("segment-00-0000000002.log is missing"), "{error}");
    world.disk.segments.insert(id(0, 2), sound);
    read(&world).expect("the header is there").expect("the first segment has ended");
}

/// Goal: the same if it is the record of the generation that is gone, before there is anything behind it: it alone has the ends of lanes that are not
/// written any more.
#[test]
fn a_record_that_is_gone_is_told_before_there_is_a_frame_behind_it() {
    let mut world = World::new(2);
    world.commit(0, &[b"covered"]);
    world.commit(1, &[b"waits for its end"]);
    let mut world = world.restarted(1);
    let writing = [(LaneId(0), SegmentNumber(2))].into();
    let read = |world: &World| {
        let read = read_ended(&world.disk, &Covered::default(), &writing, u64::MAX, &mut |_| Ok(()));
        read.map_err(|error| error.to_string())
    };
    read(&world).expect("the record is there").expect("the segments before it have ended");
    world.segment(0, 2)[BLOCK_BYTES + 100] ^= 1;
    let error = read(&world).expect_err("the record is damaged");
    assert!(error.contains("offset 4096 of segment-00-0000000002.log"), "{error}");
}
