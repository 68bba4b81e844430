//! Random histories of commits, crashes and restarts, against a model of what was acknowledged.
//!
//! Goal: after any crash every acknowledged record is there, every other is there with its whole frame or not at all, and
//! what one recovery found all later ones find. Method: lanes keep up to two frames in flight, which complete in any
//! order; a crash lets any blocks of what is in flight arrive.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::log::frame::FRAME_MAGIC;
use crate::log::lane::{LaneWrite, WriteOutcome};
use crate::log::layout::array;
use crate::random_cases::of_256;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Append { lane: u16, bytes: usize },
    Start { lane: u16 },
    Complete { lane: u16, which: usize },
    Mark { lane: u16 },
}

/// One life of the server, from start to crash.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) lanes: u16,
    pub(super) frames_in_flight: usize,
    pub(super) steps: Vec<Step>,
    pub(super) arriving: u64,
    pub(super) clean: bool,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u16..3, prop_oneof![0_usize..300, 3000_usize..5000, 60_000_usize..65_000])
            .prop_map(|(lane, bytes)| Step::Append { lane, bytes }),
        4 => (0_u16..3).prop_map(|lane| Step::Start { lane }),
        4 => (0_u16..3, 0_usize..2).prop_map(|(lane, which)| Step::Complete { lane, which }),
        1 => (0_u16..3).prop_map(|lane| Step::Mark { lane }),
    ]
}

pub(super) fn life() -> impl Strategy<Value = Life> {
    let steps = prop::collection::vec(step(), 0..300);
    (1_u16..4, 1_usize..3, steps, any::<u64>(), any::<bool>()).prop_map(
        |(lanes, frames_in_flight, steps, arriving, clean)| Life {
            lanes,
            frames_in_flight,
            steps,
            arriving,
            clean,
        },
    )
}

/// What a lane of the current generation did.
struct LaneModel {
    in_flight: Vec<LaneWrite>,
    /// All records by number, acknowledged or not.
    appended: BTreeMap<u64, Vec<u8>>,
    /// The records up to this one are acknowledged.
    acknowledged: u64,
    /// Where frames that were started end, and where the lane was when it was opened: its last records.
    frame_ends: BTreeSet<u64>,
}

impl LaneModel {
    fn new(lane: &Lane) -> LaneModel {
        let acknowledged = lane.committed_lsn().0;
        let frame_ends = BTreeSet::from([acknowledged]);
        LaneModel { in_flight: Vec::new(), appended: BTreeMap::new(), acknowledged, frame_ends }
    }
}

/// Lives one life; returns the disk after the crash and the lanes' models.
fn live(disk: MemoryStorage, life: &Life, number: u32) -> (MemoryStorage, Vec<LaneModel>) {
    let mut world = World { disk, lanes: Vec::new() };
    let (_, recovered) = world.read();
    let mut opening = opening(life.lanes);
    opening.lane.frames_in_flight = life.frames_in_flight;
    world.lanes = open_generation(&mut world.disk, &recovered, &opening).unwrap();
    let mut models: Vec<_> = world.lanes.iter().map(LaneModel::new).collect();
    for step in &life.steps {
        let lane = match *step {
            Step::Append { lane, .. }
            | Step::Start { lane }
            | Step::Complete { lane, .. }
            | Step::Mark { lane } => lane,
        };
        let lane = usize::from(lane % life.lanes);
        match *step {
            Step::Append { bytes, .. } => append(&mut world, &mut models, lane, bytes, number),
            Step::Start { .. } => begin_write(&mut world, &mut models, lane),
            Step::Complete { which, .. } => complete(&mut world, &mut models, lane, which),
            Step::Mark { .. } => world.lanes[lane].mark(),
        }
    }
    if life.clean {
        for lane in 0..models.len() {
            world.lanes[lane].close();
            while !world.lanes[lane].is_idle() {
                begin_write(&mut world, &mut models, lane);
                complete(&mut world, &mut models, lane, 0);
            }
        }
    }
    crash(&mut world, &models, life.arriving);
    (world.disk, models)
}

fn append(world: &mut World, models: &mut [LaneModel], lane: usize, bytes: usize, life: u32) {
    let payload = format!("{life}.{lane}.{}:", world.lanes[lane].next_lsn()).into_bytes();
    let payload = payload.iter().copied().cycle().take(payload.len() + bytes).collect::<Vec<_>>();
    if let Ok(lsn) = world.lanes[lane].append(RecordKind::Assertion, 0, &payload) {
        models[lane].appended.insert(lsn.0, payload);
    }
}

fn begin_write(world: &mut World, models: &mut [LaneModel], lane: usize) {
    if let Some(number) = world.lanes[lane].stalled_on() {
        world.disk.prepare(id(lane as u16, number.0), SEGMENT_BYTES_MIN).unwrap();
        world.lanes[lane].segment_ready(number);
    }
    let Some(write) = world.lanes[lane].next_write(NOW) else { return };
    if write.buffer[..4] == FRAME_MAGIC {
        let first_lsn = u64::from_le_bytes(array(&write.buffer, 24));
        let records = u32::from_le_bytes(array(&write.buffer, 56));
        models[lane].frame_ends.insert(first_lsn + u64::from(records) - 1);
    }
    models[lane].in_flight.push(write);
}

fn complete(world: &mut World, models: &mut [LaneModel], lane: usize, which: usize) {
    let model = &mut models[lane];
    if model.in_flight.is_empty() {
        return;
    }
    let write = model.in_flight.remove(which % model.in_flight.len());
    let bytes = &write.buffer[..write.bytes];
    let written = world.disk.write(id(lane as u16, write.segment.0), write.offset, bytes).unwrap();
    world.lanes[lane].write_done(write.id, write.buffer, Ok(written), 0);
    while let Some(outcome) = world.lanes[lane].next_outcome() {
        if let WriteOutcome::Frame(frame) = outcome {
            for record in frame.records() {
                assert_eq!(model.appended[&record.lsn.0], record.payload);
            }
            model.acknowledged = frame.last_lsn().0;
            world.lanes[lane].recycle(frame);
        }
    }
}

/// Lets some of the blocks that are in flight arrive, as the bits of `arriving` say.
fn crash(world: &mut World, models: &[LaneModel], arriving: u64) {
    let mut bits = (0..64).cycle().map(|bit| arriving >> bit & 1 != 0);
    for (lane, model) in models.iter().enumerate() {
        for write in &model.in_flight {
            let file = world.segment(lane as u16, write.segment.0);
            let whole = arriving >> (write.id.0 % 64) & 1 != 0;
            for (block, bytes) in write.buffer[..write.bytes].chunks(BLOCK_BYTES).enumerate() {
                if whole || bits.next().expect("it has no end") {
                    let at = write.offset as usize + block * BLOCK_BYTES;
                    file[at..at + BLOCK_BYTES].copy_from_slice(bytes);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(of_256(64))]

    #[test]
    fn acknowledged_records_survive_and_frames_are_never_halved(lives in prop::collection::vec(life(), 1..5)) {
        let mut disk = MemoryStorage::new();
        let mut known: Vec<Read> = Vec::new();
        for (number, life) in (1..).zip(&lives) {
            let (after, models) = live(disk, life, number);
            disk = after;
            let (records, recovered) = read(&disk).unwrap();
            let (old, new): (Vec<_>, Vec<_>) = records.iter().cloned().partition(|record| record.0 < number);
            prop_assert_eq!(&old, &known, "what was found once is found again");
            for (lane, model) in models.iter().enumerate() {
                let last = recovered.lane_start(LaneId(lane as u16)).next_lsn.0 - 1;
                prop_assert!(last >= model.acknowledged, "what was acknowledged is there");
                prop_assert!(model.frame_ends.contains(&last), "no frame is there in part");
                prop_assert!(!life.clean || last == model.acknowledged);
                let of_lane = new.iter().filter(|record| usize::from(record.1) == lane);
                let found: Vec<_> = of_lane.map(|record| (record.2, &record.3)).collect();
                let expected: Vec<_> =
                    model.appended.range(..=last).map(|(&lsn, payload)| (lsn, payload)).collect();
                prop_assert_eq!(found, expected, "no gap, no repeat, nothing else");
            }
            prop_assert_eq!(recovered.next_generation.0, number + 1);
            known = records;
        }
    }
}
