//! Goal: a start with a snapshot finds what a start without one finds, whatever has happened to log, tables and snapshot since,
//! and with any number of cores. Method: a store with a life of several generations, started with its snapshot and without.

use std::fs;
use std::path::PathBuf;

use stemedb_engine::checkpoint::{STEP_BYTES, Store, Upkeep, UpkeepConfig, UpkeepFacts, Worked};
use stemedb_engine::index::SnapshotCursor;
use stemedb_engine::log::Generation;
use stemedb_engine::snapshots::{Piece, Position, SnapshotRoom, SnapshotStorage, SnapshotWriter, Written};
use stemedb_engine::table::TIER_BYTES;

use super::*;

/// What a store says of its claims.
type Claims = Vec<([u8; 32], u64, bool, Vec<u8>)>;

/// A store that is not served, between starts.
struct World {
    directory: tempfile::TempDir,
    lanes: Vec<Lane>,
    claims: u64,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["wal", "db"] {
            fs::create_dir(directory.path().join(name)).expect("writable");
        }
        let mut world = World { directory, lanes: Vec::new(), claims: 0 };
        world.restart();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn recover(&self, cores: u16) -> Recovery {
        recover(&self.path("wal"), &self.path("db"), None, SlotMap::new(cores)).expect("a sound store")
    }

    /// What a start finds with so many cores, and what it had from a snapshot.
    fn found(&self, cores: u16) -> (Claims, Option<u64>) {
        let recovery = self.recover(cores);
        let used = recovery.snapshot.as_ref().filter(|_| !recovery.snapshot_failed);
        (claims(&recovery), used.map(|used| used.claims))
    }

    /// The same without a snapshot.
    fn found_without(&self) -> Claims {
        let (indexes, aside) = (self.path("db/indexes"), self.path("aside"));
        fs::rename(&indexes, &aside).expect("a snapshot was taken");
        let (found, used) = self.found(2);
        assert_eq!(used, None);
        fs::rename(&aside, &indexes).expect("writable");
        found
    }

    /// Opens the next generation, with two lanes.
    fn restart(&mut self) {
        let recovered = self.recover(1).recovered;
        self.lanes = open(&mut DirStorage::new(&self.path("wal")), &recovered);
    }

    /// Writes some claims, of a few sources.
    fn write(&mut self, count: u64) {
        for number in self.claims..self.claims + count {
            let subject = format!("subject/{}", number % 40);
            let core = SlotMap::new(2).owner(Slot::of(subject.as_bytes()));
            let (source, value) = (format!("source/{}", number % 3), format!("{number}"));
            assert(&mut self.lanes[usize::from(core.0)], &subject, &source, &value);
        }
        self.claims += count;
        self.drive();
    }

    /// Retracts a path in so many of the lanes.
    fn retract(&mut self, path: &str, lanes: usize) {
        let payload = retraction(&self.lanes, path);
        for lane in &mut self.lanes[..lanes] {
            lane.append(RecordKind::Retraction, 0, &payload).expect("there is room");
        }
        self.drive();
    }

    fn drive(&mut self) {
        let mut disk = DirStorage::new(&self.path("wal"));
        self.lanes.iter_mut().for_each(|lane| drive(lane, &mut disk, NOW, 0).expect("a working disk"));
    }

    /// Moves what earlier generations wrote into tables, and merges them if there are many.
    fn upkeep(&mut self) {
        self.restart();
        let db = self.path("db");
        let store = Store {
            log: Box::new(DirStorage::new(&self.path("wal"))),
            tables: Box::new(DirTables::new(&db)),
            manifest: Box::new(DirManifest::new(&db)),
        };
        let manifest = self.recover(1).manifest;
        let config = UpkeepConfig {
            checkpoint_bytes: 1 << 20,
            sort_bytes_max: 1 << 20,
            step_bytes: STEP_BYTES,
            tier_bytes: TIER_BYTES,
            spare_bytes: 0,
            segment_bytes: 2 << 20,
            core_log_bytes_max: u64::MAX,
            archive_hold_bytes_max: 0,
        };
        let writing = self.lanes.iter().map(|lane| (lane.config().lane, lane.writing().expect("it is open")));
        let mut upkeep = Upkeep::new(store, config, manifest, writing.collect(), UpkeepFacts::default());
        while upkeep.step(NOW, &mut |_| true).expect("a working disk") != Worked::Idle {}
    }

    /// Takes a snapshot of what there is, as two cores do that have just started.
    fn snapshot(&mut self) {
        let recovery =
            recover(&self.path("wal"), &self.path("db"), None, SlotMap::new(2)).expect("a sound store");
        self.lanes = open(&mut DirStorage::new(&self.path("wal")), &recovery.recovered);
        let storage = DirSnapshots::new(&self.path("db"));
        let slots = [0, 1].map(|core| SlotMap::new(2).slots_of(CoreId(core)));
        let room = SnapshotRoom { expected_bytes: 0, spare_bytes: 0 };
        let mut writer = SnapshotWriter::begin(&storage, &slots, room).expect("writable");
        let mut written = Written::Partly;
        for (core, index) in recovery.indexes.iter().enumerate() {
            let lane = &self.lanes[core];
            let position = Position {
                taken: NOW,
                checkpoints: recovery.manifest.checkpoints,
                generation: lane.config().generation,
                opened: NOW,
                lane: lane.config().lane,
                lsn: lane.committed_lsn(),
            };
            let mut bytes = Vec::new();
            let mut cursor = SnapshotCursor::new(index, slots[core].clone(), position.encode());
            while !cursor.step(index, 1 << 16, &mut bytes) {}
            written = writer.write(&storage, core, &Piece { bytes, is_last: true }).expect("space");
        }
        assert!(matches!(written, Written::Whole { .. }));
    }

    fn parts(&self) -> Vec<PathBuf> {
        let storage = DirSnapshots::new(&self.path("db"));
        let mut parts: Vec<_> =
            storage.list().expect("readable").iter().map(|part| storage.path(part)).collect();
        parts.sort();
        parts
    }
}

fn claims(recovery: &Recovery) -> Claims {
    let all = recovery.indexes.iter().flat_map(Index::claims);
    let mut claims: Claims = all
        .map(|view| {
            let mut canonical = Vec::new();
            view.claim().encode_canonical(&mut canonical);
            (view.hash().0, view.order().as_u64(), view.retracted(), canonical)
        })
        .collect();
    claims.sort();
    claims
}

/// A store with tables, a snapshot, and something beyond it.
fn world() -> World {
    let mut world = World::new();
    world.write(300);
    world.retract("source/1", 2);
    world.upkeep();
    world.write(50);
    world.snapshot();
    world
}

/// Every start finds the same, with the snapshot and without.
fn check(world: &World, expected_used: bool) {
    let expected = world.found_without();
    assert_eq!(expected.len() as u64, world.claims);
    for cores in [1, 2, 3, 5] {
        let (found, used) = world.found(cores);
        assert!(found == expected, "{cores} cores find something else");
        assert_eq!(used.is_some(), expected_used, "{cores} cores");
    }
}

#[test]
fn a_snapshot_saves_reading_and_changes_no_answer() {
    let mut world = world();
    check(&world, true);
    let (_, used) = world.found(2);
    assert_eq!(used, Some(350));
    world.write(100);
    check(&world, true);
}

/// In the log, in a table, in a table that was merged with what the snapshot knows.
#[test]
fn what_was_retracted_after_a_snapshot_is_retracted_wherever_that_is_written() {
    let mut world = world();
    let retracted = |world: &World| world.found(2).0.iter().filter(|claim| claim.2).count();
    let before = retracted(&world);
    world.retract("source/2", 2);
    check(&world, true);
    assert!(retracted(&world) > before);
    world.upkeep();
    check(&world, true);
    // Tables of one size are merged, down to the oldest one, until there is only one: no retraction is left.
    for _ in 0..8 {
        world.write(60);
        world.upkeep();
        check(&world, true);
    }
    let tables = world.recover(1).manifest.tables;
    assert!(*tables[0].checkpoints.start() == 1 && *tables[0].checkpoints.end() > 1, "{tables:?}");
    assert_eq!(tables[0].facts.retractions, 0);
}

#[test]
fn a_retraction_that_was_interrupted_after_a_snapshot_is_completed() {
    let mut world = world();
    world.retract("subject/7", 1);
    world.retract("source/0", 1);
    world.write(30);
    check(&world, true);
    world.restart();
    check(&world, true);
}

/// Whatever byte of it has changed.
#[test]
fn a_damaged_snapshot_makes_no_difference_but_to_the_time() {
    let world = world();
    let expected = world.found_without();
    for path in world.parts() {
        let bytes = fs::read(&path).expect("readable");
        // Behind the last block there are zeros, which nobody reads.
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty");
        for at in (0..end).step_by(97).chain([end - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            fs::write(&path, changed).expect("writable");
            for cores in [2, 3] {
                let recovery = world.recover(cores);
                assert!(recovery.snapshot_failed, "byte {at}");
                assert!(claims(&recovery) == expected, "byte {at}, {cores} cores");
            }
        }
        for cut in [0, 5, 4096, end / 2] {
            fs::write(&path, &bytes[..cut]).expect("writable");
            let (found, used) = world.found(2);
            assert!(found == expected && used.is_none(), "cut to {cut} bytes");
        }
        fs::write(&path, bytes).expect("writable");
    }
    assert_eq!(world.found(2), (expected, Some(350)));
}

#[test]
fn a_part_that_is_gone_or_in_another_ones_place_makes_no_difference() {
    let world = world();
    let expected = world.found_without();
    let [first, second] = &world.parts()[..] else { panic!("{:?}", world.parts()) };
    fs::copy(first, second).expect("writable");
    assert!(world.found(2) == (expected.clone(), None));
    fs::remove_file(second).expect("there");
    let recovery = world.recover(2);
    assert!(claims(&recovery) == expected && recovery.snapshot.is_none() && recovery.snapshot_failed);
}

/// An older copy of the log is put in its place, and the snapshot is left: it has claims that are nowhere else.
#[test]
fn a_snapshot_of_another_log_is_not_believed() {
    let copy = |from: &PathBuf, to: &PathBuf| {
        fs::create_dir(to).expect("writable");
        for entry in fs::read_dir(from).expect("readable") {
            let entry = entry.expect("readable");
            fs::copy(entry.path(), to.join(entry.file_name())).expect("writable");
        }
    };
    let mut world = World::new();
    world.write(100);
    world.upkeep();
    world.write(20);
    copy(&world.path("wal"), &world.path("older"));
    world.write(30);
    world.snapshot();
    assert_eq!(world.found(2).1, Some(150));
    fs::remove_dir_all(world.path("wal")).expect("there");
    fs::rename(world.path("older"), world.path("wal")).expect("there");
    for cores in [1, 2] {
        let recovery = world.recover(cores);
        assert!(recovery.snapshot.is_none() && recovery.snapshot_failed);
        assert_eq!(recovery.assertions(), 120);
    }
    // The log goes on as far as the snapshot reaches: it is still another one, of a generation opened at another time.
    let recovered = world.recover(1).recovered;
    let lane = LaneConfig { segment_bytes: 2 << 20, ..LaneConfig::new(LaneId(0), Generation::FIRST) };
    let later = UnixMicros(NOW.0 + 1);
    let opening = Opening { lanes: 2, lane, now: later, monotonic_us: 0 };
    let mut disk = DirStorage::new(&world.path("wal"));
    world.lanes = open_generation(&mut disk, &recovered, &opening).expect("a working disk");
    world.claims = 1_000;
    world.write(300);
    let recovery = world.recover(2);
    assert!(recovery.snapshot.is_none() && recovery.snapshot_failed);
    assert_eq!(recovery.assertions(), 420);
}
