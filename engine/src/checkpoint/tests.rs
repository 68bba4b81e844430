//! Goal: whatever is checkpointed, merged and removed, and wherever that is interrupted: tables and what remains of the log
//! say together what the whole log says.
//!
//! Method: random histories of claims, retractions that reach all lanes or not, restarts with other numbers of lanes, and
//! steps of upkeep whose storage stops working after some changes. Removed segments are kept beside, so that the
//! whole log can be read by a plain model at the end.

mod archive_hold;
mod behind;
mod doubt;
mod failing_log;
mod full_disk;
mod scrub;
mod shortage;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;

use super::*;
use crate::claim::retraction::Reason;
use crate::claim::{
    Assertion, Claim, ConceptPath, Predicate, Retraction, RetractionId, Timestamp, Value, assertion,
};
use crate::log::blocking::drive;
use crate::log::covered::Covered;
use crate::log::lane::{Lane, LaneConfig};
use crate::log::opening::{Opening, open_generation};
use crate::log::record::RecordKind;
use crate::log::recovery::{Recovered, RecoveryError, Replayed, recover_after};
use crate::log::segment::SegmentId;
use crate::log::storage::{LogDisk, LogStorage, MemoryStorage, SegmentFile};
use crate::log::{BLOCK_BYTES, Generation, SEGMENT_BYTES_LEAST};
use crate::order::WriteOrder;
use crate::random_cases::of_256;
use crate::slot::{LaneId, Slot, SlotMap};
use crate::table::{
    MemoryTables, Strikes, TABLES_MAX, TIER_BYTES, Table, TableFile, TableNumber, TableSink, TableSize,
    TableSource, TableStorage, pick,
};
use crate::time::UnixMicros;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

/// A log that keeps what is removed from it.
#[derive(Debug, Clone, Default)]
struct KeptLog(Arc<Mutex<(MemoryStorage, MemoryStorage)>>);

impl KeptLog {
    fn both(&self) -> MutexGuard<'_, (MemoryStorage, MemoryStorage)> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// The log with all that was removed from it.
    fn whole(&self) -> MemoryStorage {
        let (mut present, removed) = self.both().clone();
        present.segments.extend(removed.segments);
        present
    }
}

impl LogStorage for KeptLog {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        self.both().0.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.both().0.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        PathBuf::from(segment.to_string())
    }
}

impl LogDisk for KeptLog {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.both().0.prepare(segment, bytes)
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.both().0.write(segment, offset, bytes)
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.both().0.sync(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.both().0.truncate(segment, bytes)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        let (present, removed) = &mut *self.both();
        let bytes = present.segments.remove(&segment).ok_or(io::ErrorKind::NotFound)?;
        // One that was only prepared is no part of the log.
        if bytes[0] != 0 {
            removed.segments.insert(segment, bytes);
        }
        Ok(())
    }
}

/// What is known of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    order: WriteOrder,
    subject: String,
    source: Option<String>,
    retracted: bool,
}

type Claims = BTreeMap<[u8; 32], Known>;

fn note(claims: &mut Claims, payload: &[u8], order: WriteOrder, retracted: bool) {
    let Assertion { hash, claim, .. } = Assertion::decode(payload).expect("it was encoded");
    let known = Known {
        order,
        subject: claim.subject.as_str().to_owned(),
        source: claim.source.map(|source| source.as_str().to_owned()),
        retracted,
    };
    let before = claims.insert(hash.0, known);
    assert_eq!(before, None, "a claim is in one place");
}

/// What a record does to claims, as the plain model has it: a retraction strikes all that is there.
fn replay(claims: &mut Claims, record: &Replayed<'_>) {
    let order = WriteOrder::new(record.generation.0, record.lsn.0);
    if record.kind == RecordKind::Assertion {
        return note(claims, record.payload, order, false);
    }
    let path = Retraction::decode(record.payload).expect("it was encoded").path.as_str();
    let slots = record.retracts.expect("every retraction has slots");
    for known in claims.values_mut() {
        let slot = Slot::of(known.subject.as_bytes()).number();
        let rests_on = |source: &String| source == path || source.starts_with(&format!("{path}/"));
        if !slots.ranges_within(slot..slot + 1).is_empty()
            && (known.subject == path || known.source.as_ref().is_some_and(rests_on))
        {
            known.retracted = true;
        }
    }
}

fn world_config() -> UpkeepConfig {
    UpkeepConfig {
        checkpoint_bytes: 100_000,
        sort_bytes_max: 60_000,
        step_bytes: STEP_BYTES,
        tier_bytes: TIER_BYTES,
        spare_bytes: 1 << 20,
        segment_bytes: SEGMENT_BYTES_LEAST,
        core_log_bytes_max: u64::MAX,
        archive_hold_bytes_max: 0,
    }
}

struct World {
    log: KeptLog,
    tables: MemoryTables,
    manifest: MemoryManifest,
    lanes: Vec<Lane>,
    upkeep: Upkeep,
    claims: u64,
    /// The time that headers say.
    now: UnixMicros,
}

#[derive(Debug, Clone)]
enum Step {
    Claim { subject: u8, source: Option<u8>, padding: usize },
    Retract { path: u8, lanes: u16 },
    Upkeep { steps: u8, changes: Option<u64>, may_remove: bool },
    Restart { lanes: u16, clean: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let source = prop::option::of(0_u8..3);
    prop_oneof![
        12 => (0_u8..20, source, 0_usize..9_000)
            .prop_map(|(subject, source, padding)| Step::Claim { subject, source, padding }),
        1 => (0_u8..25, 1_u16..4).prop_map(|(path, lanes)| Step::Retract { path, lanes }),
        3 => (1_u8..12, prop::option::of(0_u64..12), prop::bool::weighted(0.8))
            .prop_map(|(steps, changes, may_remove)| Step::Upkeep { steps, changes, may_remove }),
        1 => (1_u16..4, any::<bool>()).prop_map(|(lanes, clean)| Step::Restart { lanes, clean }),
    ]
}

fn opening(lanes: u16) -> Opening {
    let lane = LaneConfig {
        segment_bytes: SEGMENT_BYTES_LEAST,
        frame_bytes_max: 8 * BLOCK_BYTES,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    Opening { lanes, lane, now: NOW, monotonic_us: 0 }
}

impl World {
    fn new(lanes: u16) -> World {
        World::on(KeptLog::default(), MemoryTables::new(), MemoryManifest::default(), 0, &opening(lanes))
    }

    /// Starts on what is there.
    fn on(
        mut log: KeptLog,
        tables: MemoryTables,
        place: MemoryManifest,
        claims: u64,
        opening: &Opening,
    ) -> World {
        tables.restart();
        let manifest = Manifest::open(&place, &tables).expect("the store is sound");
        let recovered = recover_after(&log, &manifest.covered, &mut |_| Ok(())).expect("the log is sound");
        let lanes = open_generation(&mut log, &recovered, opening).unwrap();
        let store = Store {
            log: Box::new(log.clone()),
            tables: Box::new(tables.clone()),
            manifest: Box::new(place.clone()),
        };
        let upkeep = Upkeep::new(store, world_config(), manifest, writing(&lanes), UpkeepFacts::default());
        World { log, tables, manifest: place, lanes, upkeep, claims, now: opening.now }
    }

    fn restarted(self, lanes: u16) -> World {
        self.opened(&opening(lanes))
    }

    /// Restarted with lanes of any kind.
    fn opened(self, opening: &Opening) -> World {
        let opening = Opening { now: self.now, ..*opening };
        World::on(self.log, self.tables, self.manifest, self.claims, &opening)
    }

    fn append(&mut self, lane: usize, kind: RecordKind, payload: &[u8]) {
        self.lanes[lane].append(kind, 0, payload).unwrap();
        // It ends where a segment is prepared that the lane then begins.
        while !self.lanes[lane].is_idle() {
            drive(&mut self.lanes[lane], &mut self.log, self.now, 0).unwrap();
        }
    }

    fn owner(&self, path: &str) -> usize {
        usize::from(SlotMap::new(self.lanes.len() as u16).owner(Slot::of(path.as_bytes())).0)
    }

    fn claim(&mut self, subject: u8, source: Option<u8>, padding: usize) {
        self.claims += 1;
        let subject = format!("a/{subject}");
        let source = source.map(|source| ["s", "s/1", "s/1/2"][usize::from(source)]);
        let text = format!("{}:{}", self.claims, "x".repeat(padding));
        let value = Value::text(&text).unwrap();
        let timestamp = Timestamp::new(UnixMicros(NOW.0 + self.claims as i64 % 7)).unwrap();
        let subject_path = ConceptPath::new(&subject).unwrap();
        let mut claim = Claim::new(subject_path, Predicate::new("is").unwrap(), value, timestamp);
        claim.source = source.map(|source| ConceptPath::new(source).unwrap());
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        self.append(self.owner(&subject), RecordKind::Assertion, &payload);
    }

    fn retract(&mut self, path: u8, lanes: u16) {
        let path = match path {
            0..20 => format!("a/{path}"),
            _ => ["s", "s/1", "s/1/2", "s/2", "a"][usize::from(path - 20)].to_owned(),
        };
        let owner = self.owner(&path);
        let first = &self.lanes[owner];
        let id = RetractionId {
            generation: first.config().generation.0,
            lane: LaneId(owner as u16),
            lsn: first.next_lsn().0,
        };
        let mut payload = Vec::new();
        let path = ConceptPath::new(&path).unwrap();
        Retraction { id, path, reason: Reason::new("wrong").unwrap(), at: NOW }.encode(&mut payload);
        for at in 0..usize::from(lanes).min(self.lanes.len()) {
            self.append((owner + at) % self.lanes.len(), RecordKind::Retraction, &payload);
        }
    }

    /// Takes steps of upkeep; if the storage stops working meanwhile, the server goes on, or is started anew.
    fn keep_up(&mut self, steps: u8, changes: Option<u64>, may_remove: bool) {
        for (lane, writing) in writing(&self.lanes) {
            self.upkeep.lane_writes(lane, writing);
        }
        if let Some(changes) = changes {
            self.tables.fail_after(changes);
        }
        for _ in 0..steps {
            let worked = self.upkeep.step(NOW, &mut |_| may_remove);
            assert!(worked.is_ok() || changes.is_some(), "{worked:?}");
        }
        self.tables.restart();
    }

    /// Reads all that is stored once. Gives what is damaged.
    fn scrub(&mut self) -> Vec<DamagedPlace> {
        let mut damage = Vec::new();
        loop {
            match self.upkeep.scrub(NOW) {
                Scrubbed::Passed => return damage,
                Scrubbed::Sound { .. } => {}
                Scrubbed::Damaged(place) => damage.push(place),
                skipped @ Scrubbed::Skipped { .. } => panic!("{skipped:?}"),
            }
        }
    }

    fn take(mut self, step: &Step) -> World {
        match *step {
            Step::Claim { subject, source, padding } => self.claim(subject, source, padding),
            Step::Retract { path, lanes } => self.retract(path, lanes),
            Step::Upkeep { steps, changes, may_remove } => self.keep_up(steps, changes, may_remove),
            Step::Restart { lanes, clean } => {
                if clean {
                    for lane in &mut self.lanes {
                        lane.close();
                        drive(lane, &mut self.log, NOW, 0).unwrap();
                    }
                }
                self.check();
                return self.restarted(lanes);
            }
        }
        self
    }

    /// What tables and log say, as a start reads them.
    fn read(&self) -> (Claims, Recovered) {
        let manifest = Manifest::open(&self.manifest, &self.tables).expect("the store is sound");
        let mut claims = Claims::new();
        let open = |table: &ListedTable| Table::open(&self.tables, table.facts.number).expect("it is sound");
        let tables: Vec<_> = manifest.tables.iter().map(open).collect();
        let mut strikes = Strikes::default();
        for table in &tables {
            let mut retractions = table.retractions();
            while let Some(retraction) = retractions.next().unwrap() {
                strikes.add_record(&retraction).unwrap();
            }
        }
        for table in &tables {
            let mut entries = table.entries(0..crate::slot::SLOTS);
            while let Some(block) = entries.next_block().unwrap() {
                for entry in block.iter() {
                    let claim = Assertion::decode(entry.payload).unwrap().claim;
                    let (subject, source) =
                        (claim.subject.as_str(), claim.source.map_or("", |path| path.as_str()));
                    let slot = Slot::of(subject.as_bytes());
                    let struck = strikes.strike(slot, entry.order, subject.as_bytes(), source.as_bytes());
                    note(&mut claims, entry.payload, entry.order, entry.retracted || struck);
                }
            }
        }
        assert_eq!(claims.len() as u64, manifest.entries());
        let recovered = recover_after(&self.log, &manifest.covered, &mut |records| {
            records.iter().for_each(|record| replay(&mut claims, record));
            Ok(())
        });
        (claims, recovered.expect("the log is sound"))
    }

    fn check(&self) {
        let mut expected = Claims::new();
        let whole = self.log.whole();
        let all = recover_after(&whole, &Covered::default(), &mut |records| {
            records.iter().for_each(|record| replay(&mut expected, record));
            Ok(())
        });
        let (claims, recovered) = self.read();
        assert_eq!(claims, expected);
        assert_eq!(claims.len() as u64, self.claims);
        assert_eq!(recovered.unfinished_retractions, all.unwrap().unfinished_retractions);
    }
}

fn writing(lanes: &[Lane]) -> BTreeMap<LaneId, crate::log::SegmentNumber> {
    lanes.iter().map(|lane| (lane.config().lane, lane.writing().expect("it was opened"))).collect()
}

proptest! {
    #![proptest_config(of_256(24))]

    #[test]
    fn tables_and_log_say_together_what_the_whole_log_says(
        lanes in 1_u16..4,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(lanes);
        for step in &steps {
            world = world.take(step);
            if matches!(step, Step::Upkeep { .. }) {
                prop_assert_eq!(world.scrub(), []);
            }
        }
        world.check();
        let mut world = world.restarted(1);
        prop_assert_eq!(world.scrub(), []);
        world.check();
    }
}

/// Works until there is nothing to do; gives what was done.
fn work(world: &mut World) -> Vec<Worked> {
    for (lane, writing) in writing(&world.lanes) {
        world.upkeep.lane_writes(lane, writing);
    }
    let mut done = Vec::new();
    loop {
        match world.upkeep.step(NOW, &mut |_| true).expect("nothing is in the way") {
            Worked::Idle => return done,
            Worked::Opened { .. } | Worked::Partly => {}
            worked => done.push(worked),
        }
    }
}

#[test]
fn log_and_tables_stay_few_however_much_is_written() {
    let mut world = World::new(2);
    let mut done = Vec::new();
    for round in 0..600 {
        world.claim(round as u8 % 20, None, 4_000);
        if round % 10 == 0 {
            done.extend(work(&mut world));
        }
        let segments = world.log.list().unwrap().len();
        assert!(segments <= 2 * 3, "{segments} segments");
        assert!(world.tables.list().unwrap().len() <= 2 * TABLES_MAX);
    }
    let count = |wanted: fn(&Worked) -> bool| done.iter().filter(|&worked| wanted(worked)).count() as u64;
    let facts = world.upkeep.facts().snapshot();
    assert_eq!(facts.checkpoints, count(|worked| matches!(worked, Worked::Checkpointed)));
    assert_eq!(facts.merges, count(|worked| matches!(worked, Worked::Merged)));
    assert_eq!(facts.segments_removed, count(|worked| matches!(worked, Worked::RemovedSegment(_))));
    assert!(facts.checkpoints > 10 && facts.merges > 2 && facts.segments_removed > 10, "{facts:?}");
    assert_eq!((facts.tables, facts.failures), (world.upkeep.manifest().tables.len() as u64, 0));
    assert_eq!(world.tables.list().unwrap().len() as u64, facts.tables, "what was merged is removed");
    world.check();
}

#[test]
fn nothing_is_removed_while_that_is_not_allowed() {
    let mut world = World::new(1);
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    let before = world.log.list().unwrap();
    world.keep_up(100, None, false);
    assert_eq!(world.upkeep.facts().snapshot().segments_removed, 0);
    assert!(world.upkeep.facts().snapshot().checkpoints > 0);
    assert_eq!(world.log.list().unwrap(), before);
    // What was kept is removed after the next start.
    let mut world = world.restarted(1);
    assert!(work(&mut world).iter().any(|worked| matches!(worked, Worked::RemovedSegment(_))));
    world.check();
}

#[test]
fn a_table_that_is_gone_or_cut_is_missed_at_the_start() {
    let mut world = World::new(1);
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    work(&mut world);
    let number = world.upkeep.manifest().tables[0].facts.number;
    let mut bytes = world.tables.bytes(number).unwrap();
    bytes.truncate(bytes.len() - BLOCK_BYTES);
    world.tables.insert(number, bytes);
    let error = Manifest::open(&world.manifest, &world.tables).unwrap_err().to_string();
    assert!(error.contains("assertions-0000000001.kv") || error.contains(&number.to_string()), "{error}");
    world.tables.remove(number).unwrap();
    let error = Manifest::open(&world.manifest, &world.tables).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn a_damaged_manifest_is_refused() {
    let mut world = World::new(1);
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    work(&mut world);
    let mut bytes = world.manifest.read().unwrap().expect("a checkpoint was made");
    bytes[30] ^= 1;
    world.manifest.replace(&bytes).unwrap();
    let error = Manifest::open(&world.manifest, &world.tables).unwrap_err().to_string();
    assert!(error.contains("MANIFEST, is not valid: checksum mismatch"), "{error}");
}
