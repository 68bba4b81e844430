//! Stores with a life behind them, made once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use stemedb_engine::checkpoint::{Manifest, Store, Upkeep, UpkeepConfig, UpkeepFacts};
use stemedb_engine::claim::{
    Claim, ConceptPath, Predicate, Reason, Retraction, RetractionId, Timestamp, Value, assertion,
};
use stemedb_engine::index::SnapshotCursor;
use stemedb_engine::log::blocking::drive;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::lane::{AppendError, Lane, LaneConfig};
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::Recovered;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{LogDisk, MemoryStorage};
use stemedb_engine::log::{BLOCK_BYTES, Generation, SEGMENT_BYTES_LEAST};
use stemedb_engine::slot::{CoreId, LaneId, Slot, SlotMap};
use stemedb_engine::snapshots::{Piece, Position, SnapshotRoom, SnapshotWriter};
use stemedb_engine::time::UnixMicros;

use super::files::{Disk, Files};
use super::start;
use crate::program::next_random;
use crate::recovery::truth::Sound;
use crate::recovery::{Records, read_after};

/// How many different stores there are.
pub(super) const STORES: usize = 12;

/// Generations of each.
const GENERATIONS: i64 = 4;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

/// The paths of sources, and those that are retracted.
const SOURCES: [&str; 3] = ["source/x", "source/x/1", "source/y"];

/// Bytes of the values of claims: some are so long that an index leaves them in tables.
const VALUE_BYTES: [usize; 4] = [0, 100, 1_500, 5_000];

const VALID: &str = "made to be valid";
const WRITABLE: &str = "memory takes every write";

/// A store, and what was acknowledged.
pub(super) struct Lived {
    pub(super) files: Files,
    /// The files as they were before, the oldest first.
    pub(super) older: Vec<Files>,
    /// All records that were ever durable.
    pub(super) records: Records,
    /// How many lanes each generation has.
    pub(super) lanes: BTreeMap<Generation, u16>,
    /// What the whole log said, with the segments that were removed from it.
    pub(super) sound: Sound,
}

/// All stores.
pub(super) fn stores() -> &'static [Lived; STORES] {
    static MADE: LazyLock<[Lived; STORES]> =
        LazyLock::new(|| std::array::from_fn(|number| Life::new(number).live()));
    &MADE
}

/// A store that is being made.
struct Life {
    number: usize,
    random: u64,
    disk: Disk,
    /// Each segment as it was last.
    kept: MemoryStorage,
    older: Vec<Files>,
    lanes: Vec<Lane>,
    lanes_of: BTreeMap<Generation, u16>,
    upkeep: Option<Upkeep>,
    now: UnixMicros,
    /// Claims so far: no two are alike.
    claims: u32,
    /// Whether a retraction of this generation has not reached all lanes.
    is_partly_retracted: bool,
}

impl Life {
    fn new(number: usize) -> Life {
        Life {
            number,
            random: number as u64,
            disk: Disk::default(),
            kept: MemoryStorage::new(),
            older: Vec::new(),
            lanes: Vec::new(),
            lanes_of: BTreeMap::new(),
            upkeep: None,
            now: NOW,
            claims: 0,
            is_partly_retracted: false,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = next_random(self.random);
        (self.random >> 33) as usize % bound
    }

    fn live(mut self) -> Lived {
        for generation in 0..GENERATIONS {
            self.now = UnixMicros(NOW.0 + generation * 1_000_000);
            self.start();
            // A third of the stores have no snapshot, the others one of the beginning or of the end.
            if self.number % 3 == 1 && generation == GENERATIONS / 2 {
                self.take_snapshot();
            }
            for _ in 0..4 + self.below(4) {
                self.operate();
            }
            if self.number % 3 == 2 && generation > 0 && !self.is_partly_retracted {
                self.take_snapshot();
                self.operate();
            }
            if self.below(2) == 0 {
                self.lanes.iter_mut().for_each(Lane::close);
                self.drive_all();
            } else {
                self.crash();
            }
            self.keep();
        }
        let (records, _) = read_after(&self.kept, &Covered::default()).expect("no disk was damaged");
        let files = self.older.pop().expect("it was just kept");
        let sound = Sound::of(&self.kept);
        Lived { files, older: self.older, records, lanes: self.lanes_of, sound }
    }

    fn start(&mut self) {
        let lanes = 1 + self.below(3) as u16;
        let started = start(&self.disk, lanes).expect("the store is sound");
        let manifest = started.tables.manifest().clone();
        let recovered = started.rebuilt.recovered;
        self.lanes = open(&mut self.disk.log, &recovered, lanes, self.now);
        self.lanes_of.insert(recovered.next_generation, lanes);
        self.upkeep = Some(upkeep(&self.disk, manifest, &self.lanes));
        self.is_partly_retracted = false;
    }

    /// Keeps all that there is.
    fn keep(&mut self) {
        self.keep_segments();
        self.older.push(self.disk.files());
    }

    fn keep_segments(&mut self) {
        let log = self.disk.log.get();
        // One that is only prepared is no part of the log.
        let begun = log.segments.iter().filter(|(_, bytes)| bytes.first().is_some_and(|byte| *byte != 0));
        self.kept.segments.extend(begun.map(|(id, bytes)| (*id, bytes.clone())));
    }

    fn operate(&mut self) {
        match self.below(8) {
            0..4 => {
                for _ in 0..4 + self.below(12) {
                    self.claim();
                }
                self.drive_all();
            }
            4 => {
                let lanes = self.lanes.len();
                self.retract(lanes);
            }
            5 => {
                let lanes = 1 + self.below(self.lanes.len());
                self.retract(lanes);
            }
            _ => {
                let (steps, may_remove) = (4 + self.below(40), self.below(4) > 0);
                self.keep_segments();
                let upkeep = self.upkeep.as_mut().expect("it was started");
                for _ in 0..steps {
                    upkeep.step(self.now, &mut |_| may_remove).expect("nothing is in the way");
                }
                self.keep();
            }
        }
    }

    fn owner(&self, path: &str) -> usize {
        SlotMap::new(self.lanes.len() as u16).owner(Slot::of(path.as_bytes())).0.into()
    }

    fn claim(&mut self) {
        self.claims += 1;
        let subject = format!("s/{}", self.below(24));
        let value_bytes = VALUE_BYTES[self.below(VALUE_BYTES.len())];
        let value = format!("{} {}", self.claims, "v".repeat(value_bytes));
        let mut claim = Claim::new(
            ConceptPath::new(&subject).expect(VALID),
            Predicate::new("is").expect(VALID),
            Value::text(&value).expect(VALID),
            Timestamp::new(UnixMicros(NOW.0 + self.below(7) as i64)).expect(VALID),
        );
        let source = self.below(SOURCES.len() + 2);
        claim.source = SOURCES.get(source).map(|path| ConceptPath::new(path).expect(VALID));
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        self.append(self.owner(&subject), RecordKind::Assertion, &payload);
    }

    /// Retracts a path in so many lanes, that of its owner first.
    fn retract(&mut self, lanes: usize) {
        let path = SOURCES[self.below(SOURCES.len())];
        let owner = self.owner(path);
        let first = &self.lanes[owner];
        let id = RetractionId {
            generation: first.config().generation.0,
            lane: LaneId(owner as u16),
            lsn: first.next_lsn().0,
        };
        let (path, reason) = (ConceptPath::new(path).expect(VALID), Reason::new("withdrawn").expect(VALID));
        let mut payload = Vec::new();
        Retraction { id, path, reason, at: self.now }.encode(&mut payload);
        for at in 0..lanes {
            self.append((owner + at) % self.lanes.len(), RecordKind::Retraction, &payload);
            self.drive_all();
        }
        self.is_partly_retracted |= lanes < self.lanes.len();
    }

    fn append(&mut self, lane: usize, kind: RecordKind, payload: &[u8]) {
        if let Err(AppendError::Busy) = self.lanes[lane].append(kind, 0, payload) {
            self.drive_all();
            self.lanes[lane].append(kind, 0, payload).expect("nothing waits any more");
        }
    }

    /// Writes all that waits: it is acknowledged then.
    fn drive_all(&mut self) {
        for lane in &mut self.lanes {
            // It ends where a segment is prepared that the lane then begins.
            while !lane.is_idle() {
                drive(lane, &mut self.disk.log, self.now, 0).expect(WRITABLE);
            }
            let writing = lane.writing().expect("it was opened");
            let upkeep = self.upkeep.as_mut().expect("it was started");
            upkeep.lane_writes(lane.config().lane, writing);
        }
    }

    /// Of a write that is under way in each lane, the first block arrives. Nothing of it was acknowledged.
    fn crash(&mut self) {
        for _ in 0..6 {
            self.claim();
        }
        for lane in &mut self.lanes {
            if let Some(write) = lane.next_write(self.now).filter(|write| write.bytes > BLOCK_BYTES) {
                let segment = SegmentId { lane: lane.config().lane, number: write.segment };
                let block = &write.buffer[..BLOCK_BYTES];
                self.disk.log.write(segment, write.offset, block).expect(WRITABLE);
            }
        }
    }

    /// Takes a snapshot of what there is.
    fn take_snapshot(&mut self) {
        let slots = SlotMap::new(self.lanes.len() as u16);
        let started = start(&self.disk, slots.cores()).expect("the store is sound");
        let own: Vec<_> = (0..slots.cores()).map(|core| slots.slots_of(CoreId(core))).collect();
        let room = SnapshotRoom { expected_bytes: 0, spare_bytes: 0 };
        let mut writer = SnapshotWriter::begin(&self.disk.snapshots, &own, room).expect(WRITABLE);
        for (core, index) in started.rebuilt.indexes.iter().enumerate() {
            let lane = &self.lanes[core];
            let position = Position {
                taken: self.now,
                checkpoints: started.tables.manifest().checkpoints,
                generation: lane.config().generation,
                opened: self.now,
                lane: lane.config().lane,
                lsn: lane.committed_lsn(),
            };
            let mut bytes = Vec::new();
            let mut cursor = SnapshotCursor::new(index, own[core].clone(), position.encode());
            while !cursor.step(index, 1 << 16, &mut bytes) {}
            writer.write(&self.disk.snapshots, core, &Piece { bytes, is_last: true }).expect(WRITABLE);
        }
        self.keep();
    }
}

/// Opens the next generation.
pub(super) fn open(log: &mut impl LogDisk, recovered: &Recovered, lanes: u16, now: UnixMicros) -> Vec<Lane> {
    let lane = LaneConfig {
        segment_bytes: SEGMENT_BYTES_LEAST,
        frame_bytes_max: 8 * BLOCK_BYTES,
        frames_in_flight: 1,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    open_generation(log, recovered, &Opening { lanes, lane, now, monotonic_us: 0 }).expect(WRITABLE)
}

/// What keeps a store in order whose lanes were just opened.
pub(super) fn upkeep(disk: &Disk, manifest: Manifest, lanes: &[Lane]) -> Upkeep {
    let store = Store {
        log: Box::new(disk.log.clone()),
        tables: Box::new(disk.tables.clone()),
        manifest: Box::new(disk.manifest.clone()),
    };
    let config = UpkeepConfig {
        checkpoint_bytes: 30_000,
        sort_bytes_max: 60_000,
        step_bytes: 20_000,
        tier_bytes: 64 << 10,
        spare_bytes: 0,
        segment_bytes: SEGMENT_BYTES_LEAST,
        core_log_bytes_max: u64::MAX,
        archive_hold_bytes_max: 0,
    };
    let writing = |lane: &Lane| (lane.config().lane, lane.writing().expect("it was opened"));
    Upkeep::new(store, config, manifest, lanes.iter().map(writing).collect(), UpkeepFacts::default())
}

#[cfg(test)]
mod tests {
    use super::super::files::Name;
    use super::*;

    /// A target that damages stores of which nothing is left to damage would find nothing.
    #[test]
    fn the_stores_have_all_that_can_be_damaged() {
        let all = stores();
        let count = |files: &Files, is: fn(&Name) -> bool| files.keys().filter(|name| is(name)).count();
        let have = |is: fn(&Name) -> bool, least: usize| {
            all.iter().filter(|lived| count(&lived.files, is) >= least).count()
        };
        let (segments, tables) =
            (|name: &Name| matches!(name, Name::Segment(_)), |name: &Name| matches!(name, Name::Table(_)));
        assert!(have(segments, 3) >= STORES / 2 && have(tables, 2) >= STORES / 2);
        assert!(have(|name| matches!(name, Name::Part(..)), 2) >= 3);
        let manifests = all.iter().filter_map(|lived| lived.files.get(&Name::Manifest));
        let manifests: Vec<_> =
            manifests.map(|bytes| Manifest::decode(bytes).expect("it is sound")).collect();
        let mut listed = manifests.iter().flat_map(|manifest| &manifest.tables);
        assert!(listed.any(|table| table.checkpoints.clone().count() > 1), "no tables were merged");
        for lived in all {
            let kinds = |kind| lived.records.values().filter(|record| record.kind == kind).count();
            assert!(kinds(RecordKind::Assertion) > 30 && lived.older.len() >= GENERATIONS as usize - 1);
            let bytes: usize = lived.files.values().map(Vec::len).sum();
            assert!(bytes < 2 << 20, "a store of {bytes} bytes takes long to read");
        }
    }
}
