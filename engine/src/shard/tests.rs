//! Goal: nothing is acknowledged before it is durable, nothing is visible before that, everything parked is
//! answered once. Method: the test is the disk. It takes the writes out of the shard and decides when, and
//! whether, they are done.

use super::*;
use crate::claim::{Claim, Predicate, Timestamp, Value};
use crate::index::IndexConfig;
use crate::log::Generation;
use crate::log::lane::LaneStart;
use crate::slot::{LaneId, SLOTS};

/// A shard whose tickets are numbers, and the disk under it.
struct World {
    shard: Shard<u32>,
    clock_us: u64,
    /// Whether further segments are prepared as the lane wants them.
    prepares: bool,
}

impl World {
    fn new() -> World {
        World::with(LaneConfig::new(LaneId(0), Generation::FIRST), u64::MAX)
    }

    /// A world of the smallest segments, of which none is prepared but the first.
    fn without_second_segment() -> World {
        let config = LaneConfig {
            segment_bytes: crate::log::SEGMENT_BYTES_MIN,
            ..LaneConfig::new(LaneId(0), Generation::FIRST)
        };
        World { prepares: false, ..World::with(config, u64::MAX) }
    }

    fn with(config: LaneConfig, index_bytes_max: u64) -> World {
        let mut lane = Lane::open(config, LaneStart::NEW);
        lane.segment_ready(SegmentNumber::FIRST);
        let index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 1 });
        World { shard: Shard::new(lane, index, 0..SLOTS, index_bytes_max), clock_us: 0, prepares: true }
    }

    fn next_write(&mut self) -> Option<LaneWrite> {
        self.shard.next_write(UnixMicros(1))
    }

    fn finish(&mut self, write: LaneWrite, result: Result<usize, i32>) {
        self.clock_us += 100;
        self.shard.write_done(write.id, write.buffer, result, self.clock_us);
        self.shard.apply_committed(|_| {});
    }

    /// Does writes until the shard wants none.
    fn flush(&mut self) {
        if let Some(segment) = self.shard.lane().segment_wanted().filter(|_| self.prepares) {
            self.shard.segment_ready(segment);
        }
        while let Some(write) = self.next_write() {
            let bytes = write.bytes;
            self.finish(write, Ok(bytes));
        }
    }

    fn outcomes(&mut self) -> Vec<(u32, Outcome)> {
        self.shard.drain_outcomes().collect()
    }

    fn assert(&mut self, payload: &[u8], ticket: u32) {
        self.shard.assert(payload, Admission::Single, ticket);
    }
}

fn payload_of(subject: &str, value: &str) -> Vec<u8> {
    let claim = Claim::new(
        ConceptPath::new(subject).expect("a valid path"),
        Predicate::new("is").expect("a valid predicate"),
        Value::text(value).expect("a valid value"),
        Timestamp::new(UnixMicros(1_000_000)).expect("a valid time"),
    );
    let mut payload = Vec::new();
    assertion::encode(&claim, &[], &mut payload);
    payload
}

fn path(text: &str) -> ConceptPath<'_> {
    ConceptPath::new(text).expect("a valid path")
}

fn reason() -> Reason<'static> {
    Reason::new("a test").expect("a valid reason")
}

#[test]
fn a_claim_is_acknowledged_and_visible_when_its_frame_is_durable_and_not_before() {
    let mut world = World::new();
    world.flush();
    let payload = payload_of("a", "1");
    world.assert(&payload, 7);
    let mut write = world.next_write().expect("an idle lane commits at once");
    // The first write of a fresh segment is its header.
    while world.shard.lane().committed_lsn() == Lsn::ZERO {
        assert_eq!(world.outcomes(), []);
        assert!(world.shard.index().is_empty());
        let bytes = write.bytes;
        world.finish(write, Ok(bytes));
        match world.next_write() {
            Some(next) => write = next,
            None => break,
        }
    }
    assert_eq!(world.outcomes(), [(7, Outcome::Created)]);
    assert!(world.shard.index().contains(&assertion::hash(&payload)));
}

#[test]
fn a_claim_on_its_way_is_stored_once_and_its_retry_waits_for_it() {
    let mut world = World::new();
    let payload = payload_of("a", "1");
    world.assert(&payload, 1);
    world.assert(&payload, 2);
    world.assert(&payload_of("a", "2"), 3);
    world.assert(&payload, 4);
    assert_eq!(world.outcomes(), []);
    world.flush();
    assert_eq!(
        world.outcomes(),
        [(1, Outcome::Created), (2, Outcome::Exists), (3, Outcome::Created), (4, Outcome::Exists)]
    );
    assert_eq!(world.shard.index().len(), 2);
    world.assert(&payload, 5);
    assert_eq!(world.outcomes(), [(5, Outcome::Exists)], "what is durable is known at once");
    assert!(world.next_write().is_none(), "and not written again");
}

#[test]
fn a_retry_of_a_frame_in_flight_waits_although_the_open_frame_is_empty() {
    let mut world = World::new();
    world.assert(&payload_of("x", "0"), 0);
    world.flush();
    world.outcomes();
    let payload = payload_of("a", "1");
    world.assert(&payload, 1);
    let write = world.next_write().expect("an idle lane commits at once");
    world.assert(&payload, 2);
    assert_eq!(world.outcomes(), []);
    let bytes = write.bytes;
    world.finish(write, Ok(bytes));
    assert_eq!(world.outcomes(), [(1, Outcome::Created), (2, Outcome::Exists)]);
}

#[test]
fn a_failed_write_refuses_all_that_wait_and_all_that_come() {
    for result in [Err(libc::EIO), Ok(512)] {
        let mut world = World::new();
        world.assert(&payload_of("x", "0"), 0);
        world.flush();
        world.outcomes();
        world.assert(&payload_of("a", "1"), 1);
        let write = world.next_write().expect("an idle lane commits at once");
        world.assert(&payload_of("a", "2"), 2);
        world.finish(write, result);
        let failed = Outcome::Refused(Refusal::LaneFailed);
        assert_eq!(world.outcomes(), [(1, failed), (2, failed)]);
        world.assert(&payload_of("a", "1"), 3);
        assert_eq!(world.outcomes(), [(3, failed)]);
        assert_eq!(world.shard.retract(path("x"), reason(), UnixMicros(1), 4), Err(Refusal::LaneFailed));
        assert!(world.next_write().is_none(), "a failed lane writes nothing more");
        // What was durable before is still answered for.
        world.assert(&payload_of("x", "0"), 5);
        assert_eq!(world.outcomes(), [(5, Outcome::Exists)]);
        assert_eq!(world.shard.index().len(), 1);
    }
}

#[test]
fn a_failed_lane_says_so_however_full_its_buffers_and_its_disk_were() {
    let config = LaneConfig {
        segment_bytes: crate::log::SEGMENT_BYTES_MIN,
        frame_bytes_max: 128 << 10,
        frame_buffers: 4,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    let mut world = World::with(config, u64::MAX);
    world.prepares = false;
    world.assert(&payload_of("first", "1"), 0);
    world.flush();
    world.shard.segment_failed(true);
    let value = "v".repeat(60 << 10);
    for number in 0..8 {
        world.shard.assert(&payload_of(&format!("a/{number}"), &value), Admission::Stream, 0);
    }
    let write = world.next_write().expect("frames wait");
    world.finish(write, Err(libc::EIO));
    world.outcomes();
    for number in 0..40 {
        world.assert(&payload_of(&format!("b/{number}"), &value), number);
        assert_eq!(world.outcomes(), [(number, Outcome::Refused(Refusal::LaneFailed))]);
        let refused = world.shard.retract(path("first"), reason(), UnixMicros(1), number);
        assert_eq!(refused, Err(Refusal::LaneFailed));
    }
}

#[test]
fn a_retraction_takes_what_was_written_before_it_and_nothing_after() {
    let mut world = World::new();
    world.assert(&payload_of("a", "1"), 1);
    world.assert(&payload_of("b", "1"), 2);
    let record = world.shard.retract(path("a"), reason(), UnixMicros(1), 3).expect("the lane works");
    world.assert(&payload_of("a", "2"), 4);
    world.flush();
    while world.shard.is_retracting() {
        world.shard.step(1);
    }
    let mut outcomes = world.outcomes();
    outcomes.sort_by_key(|(ticket, _)| *ticket);
    assert_eq!(
        outcomes,
        [(1, Outcome::Created), (2, Outcome::Created), (3, Outcome::Retracted(1)), (4, Outcome::Created)]
    );
    assert_eq!(world.shard.index().retracted_len(), 1);
    assert_eq!(Retraction::decode(&record).expect("it was just made").id.lsn, 3);
    // A copy does the same on a shard that has nothing left to retract but the later claim.
    world.shard.retract_copy(&record, 5).expect("the lane works");
    world.flush();
    while world.shard.is_retracting() {
        world.shard.step(1);
    }
    assert_eq!(world.outcomes(), [(5, Outcome::Retracted(1))]);
}

#[test]
fn half_of_the_frames_are_kept_for_streams() {
    let config = LaneConfig {
        frame_bytes_max: 128 << 10,
        frame_buffers: 4,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    let mut world = World::with(config, u64::MAX);
    let value = "v".repeat(60 << 10);
    let (mut singles, mut streams) = (0, 0);
    let busy = |world: &mut World| {
        let refused = (0, Outcome::Refused(Refusal::Busy));
        let outcomes = world.outcomes();
        assert!(outcomes.iter().all(|outcome| *outcome == refused), "{outcomes:?}");
        !outcomes.is_empty()
    };
    while !busy(&mut world) {
        world.assert(&payload_of(&format!("single/{singles}"), &value), 0);
        singles += 1;
    }
    while !busy(&mut world) {
        world.shard.assert(&payload_of(&format!("stream/{streams}"), &value), Admission::Stream, 0);
        streams += 1;
    }
    // Two records a frame: a single may open the third frame, whose rest and the fourth are for streams.
    assert_eq!((singles - 1, streams - 1), (5, 3));
    world.flush();
    let stored = world.outcomes();
    assert_eq!(stored.len(), 8);
    assert!(stored.iter().all(|(_, outcome)| *outcome == Outcome::Created));
}

#[test]
fn a_full_index_refuses_new_claims_and_loses_none() {
    let mut world = World::with(LaneConfig::new(LaneId(0), Generation::FIRST), 64 << 20);
    let value = "v".repeat(30 << 10);
    let mut stored = 0;
    loop {
        world.assert(&payload_of(&format!("a/{stored}"), &value), stored);
        world.flush();
        match world.outcomes()[..] {
            [(_, Outcome::Created)] => stored += 1,
            [(_, Outcome::Refused(Refusal::IndexFull))] => break,
            ref other => panic!("{other:?}"),
        }
        assert!(world.shard.index().bytes() <= 64 << 20);
    }
    assert!(stored > 1000, "only {stored} claims of 30 KiB fit into 64 MiB");
    assert_eq!(world.shard.index().len(), u64::from(stored));
    world.assert(&payload_of("a/0", &value), 0);
    assert_eq!(world.outcomes(), [(0, Outcome::Exists)]);
}

#[test]
fn a_full_disk_refuses_what_finds_no_place_until_there_is_a_segment() {
    let mut world = World::without_second_segment();
    world.assert(&payload_of("first", "1"), 0);
    world.flush();
    world.outcomes();
    world.shard.segment_failed(true);
    let value = "v".repeat(60 << 10);
    let mut stored = 0;
    loop {
        world.assert(&payload_of(&format!("a/{stored}"), &value), stored);
        world.flush();
        match world.outcomes()[..] {
            [(_, Outcome::Created)] => stored += 1,
            [(_, Outcome::Refused(Refusal::DiskFull))] => break,
            ref other => panic!("{other:?}"),
        }
    }
    assert!((30..=33).contains(&stored), "{stored} claims of 60 KiB in a segment of 2 MiB");
    world.shard.segment_ready(SegmentNumber::FIRST.next());
    world.assert(&payload_of(&format!("a/{stored}"), &value), stored);
    world.flush();
    assert_eq!(world.outcomes(), [(stored, Outcome::Created)]);
}

#[test]
fn a_full_log_refuses_what_needs_a_segment_and_goes_on_when_there_is_one() {
    let mut world = World::without_second_segment();
    let value = "v".repeat(60 << 10);
    // Some are let in before anybody knows, and the last of them need a second segment.
    for ticket in 0..40 {
        world.shard.assert(&payload_of(&format!("a/{ticket}"), &value), Admission::Stream, ticket);
    }
    world.shard.log_full();
    world.flush();
    let outcomes = world.outcomes();
    let stored = outcomes.iter().take_while(|(_, outcome)| *outcome == Outcome::Created).count();
    assert!((1..=33).contains(&stored), "{stored} claims of 60 KiB in a segment of 2 MiB");
    let refused = &outcomes[stored..];
    assert!(refused.iter().all(|(_, outcome)| *outcome == Outcome::Refused(Refusal::LogFull)), "{refused:?}");
    let tickets: Vec<_> = outcomes.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(tickets, (0..40).collect::<Vec<_>>(), "each is answered once");
    world.assert(&payload_of("a/0", &value), 40);
    assert_eq!(world.outcomes(), [(40, Outcome::Exists)], "what is stored is known");
    world.shard.segment_ready(SegmentNumber::FIRST.next());
    world.assert(&payload_of("a/39", &value), 41);
    world.flush();
    assert_eq!(world.outcomes(), [(41, Outcome::Created)]);
}

#[test]
fn what_was_let_in_before_the_disk_was_full_is_refused_and_not_left_waiting() {
    let mut world = World::without_second_segment();
    let value = "v".repeat(60 << 10);
    // All are let in while nobody knows that there will be no second segment.
    for ticket in 0..60 {
        world.shard.assert(&payload_of(&format!("a/{ticket}"), &value), Admission::Stream, ticket);
    }
    world.flush();
    let stored = world.outcomes();
    assert!(stored.iter().all(|(_, outcome)| *outcome == Outcome::Created), "{stored:?}");
    world.shard.segment_failed(true);
    world.flush();
    let refused = world.outcomes();
    assert!(
        refused.iter().all(|(_, outcome)| *outcome == Outcome::Refused(Refusal::DiskFull)),
        "{refused:?}"
    );
    let tickets: Vec<_> = stored.iter().chain(&refused).map(|(ticket, _)| *ticket).collect();
    assert_eq!(tickets, (0..60).collect::<Vec<_>>(), "each is answered once");
    // What was refused was not stored, and is when there is a place for it.
    world.shard.segment_ready(SegmentNumber::FIRST.next());
    let again = refused[0].0;
    world.assert(&payload_of(&format!("a/{again}"), &value), again);
    world.flush();
    assert_eq!(world.outcomes(), [(again, Outcome::Created)]);
    assert_eq!(world.shard.index().len(), stored.len() as u64 + 1);
}

#[test]
fn a_shard_without_a_further_segment_still_closes() {
    let mut world = World::without_second_segment();
    let value = "v".repeat(60 << 10);
    for ticket in 0..60 {
        world.shard.assert(&payload_of(&format!("a/{ticket}"), &value), Admission::Stream, ticket);
    }
    world.flush();
    world.shard.segment_failed(false);
    world.shard.close();
    world.flush();
    assert!(world.shard.is_idle());
    assert_eq!(world.outcomes().last(), Some(&(59, Outcome::Refused(Refusal::NoSegment))));
}

#[test]
fn a_closed_shard_finishes_what_is_parked_and_leaves_a_marker() {
    let mut world = World::new();
    world.assert(&payload_of("a", "1"), 1);
    world.shard.close();
    assert!(!world.shard.is_idle());
    world.flush();
    assert_eq!(world.outcomes(), [(1, Outcome::Created)]);
    assert!(world.shard.is_idle());
}
