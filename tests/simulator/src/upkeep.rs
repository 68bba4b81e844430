//! The thread that keeps log and tables in order, as the server runs it: one step after the other, each at once for
//! whoever looks on, and any of them the machine's last.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use stemedb_engine::checkpoint::{
    DamagedPlace, Manifest, Needless, Scrubbed, Store, TableSet, TablesInForce, Upkeep, UpkeepConfig,
    UpkeepError, UpkeepFacts, Worked,
};
use stemedb_engine::claim::Assertion;
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::storage::{LogStorage, SegmentFile};
use stemedb_engine::slot::{LaneId, SLOTS};
use stemedb_engine::snapshots::SnapshotFacts;
use stemedb_engine::table::{TABLES_MAX, Table, TableNumber};

use crate::disk::{Crash, FailedRead, Failure, SharedDisk};
use crate::server::Happening;
use crate::simulation::{Ending, Event, Simulation};
use crate::snapshots::Taker;
use crate::start::chain;

/// How long the thread waits when there is nothing to do, and when there is no space, in microseconds.
const LOOK_AGAIN_US: u64 = 1_000_000;
const NO_SPACE_PAUSE_US: u64 = 5_000_000;

/// Operations, and reads, of a step of upkeep before something goes wrong, where no step of this run had more yet.
const OPERATIONS: u64 = 14;
const READS: u64 = 6;

/// The thread.
pub(crate) struct Keeper {
    /// Where the thread stands.
    state: State,
    /// What it counts, for all cores.
    facts: UpkeepFacts,
    /// The tables that the cores know of.
    tables: TablesInForce,
    /// The segment that each lane was said to write to.
    writing: BTreeMap<LaneId, SegmentNumber>,
    /// When it takes its next step: what was foreseen for another time does not count any more. `None` until it has begun.
    next_us: Option<u64>,
    /// Whether there was nothing to do when it last looked, and no news since.
    is_idle: bool,
    /// Takes snapshots of the indexes, where that is done.
    taker: Option<Taker>,
    /// The most operations, and reads, that one of its steps has had.
    operations_most: u64,
    reads_most: u64,
}

enum State {
    Runs(Box<Upkeep>),
    /// It has ended for this run.
    Ended,
}

impl Keeper {
    /// A thread that is about to begin, in a store on this disk.
    pub(crate) fn new(
        disk: &SharedDisk,
        config: UpkeepConfig,
        manifest: Manifest,
        tables: Arc<TableSet>,
        writing: BTreeMap<LaneId, SegmentNumber>,
        taker: Option<Taker>,
    ) -> Keeper {
        let upkeep = begin(disk, config, manifest, writing.clone());
        Keeper {
            tables: TablesInForce::new(tables),
            facts: upkeep.facts().clone(),
            state: State::Runs(Box::new(upkeep)),
            writing,
            next_us: None,
            is_idle: false,
            taker,
            operations_most: OPERATIONS,
            reads_most: READS,
        }
    }

    /// The manifest that holds; `None` when the thread has ended.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        match &self.state {
            State::Runs(upkeep) => Some(upkeep.manifest()),
            State::Ended => None,
        }
    }

    /// The segment that each lane was said to write to.
    pub(crate) fn writing(&self) -> &BTreeMap<LaneId, SegmentNumber> {
        &self.writing
    }

    /// Says when it begins.
    pub(crate) fn begin_at(&mut self, time_us: u64) {
        self.next_us = Some(time_us);
    }

    /// What it counts.
    pub(crate) fn facts(&self) -> &UpkeepFacts {
        &self.facts
    }

    /// The tables that the cores know of.
    pub(crate) fn tables(&self) -> &Arc<TableSet> {
        self.tables.set()
    }

    /// Which of these tables nobody may remove, since the cores hold them or were not told of others.
    pub(crate) fn held(&mut self, mut tables: Vec<TableNumber>) -> Vec<TableNumber> {
        tables.retain(|table| !self.tables.may_remove(Needless::Table(*table)));
        tables
    }

    /// Whether it has done what there was to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// What takes snapshots.
    pub(crate) fn taker(&mut self) -> Option<&mut Taker> {
        self.taker.as_mut()
    }

    /// What is counted of snapshots.
    pub(crate) fn snapshot_facts(&self) -> SnapshotFacts {
        self.taker.as_ref().map(|taker| taker.facts().clone()).unwrap_or_default()
    }

    /// Ends it between two steps.
    pub(crate) fn stop(&mut self) {
        self.state = State::Ended;
        self.taker = None;
    }
}

/// What could not be removed in a step, since somebody holds it.
#[derive(Debug, Default)]
struct Held {
    segments: bool,
    tables: Vec<TableNumber>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("facts", &self.facts.snapshot()).finish_non_exhaustive()
    }
}

impl Simulation {
    /// Tells the thread that a lane writes to a segment, all before it being sealed.
    pub(crate) fn lane_writes(&mut self, lane: LaneId, number: SegmentNumber) {
        let Keeper { state, writing, is_idle, next_us, .. } = &mut self.server().keeper;
        writing.insert(lane, number);
        *is_idle = false;
        if let State::Runs(upkeep) = state {
            upkeep.lane_writes(lane, number);
            if next_us.is_some() {
                self.foresee_upkeep(0);
            }
        }
    }

    /// Has the thread take its next step in a while.
    pub(crate) fn foresee_upkeep(&mut self, pause_us: u64) {
        let takes_us = if self.scenario.upkeep_stalls.happens(&mut self.random) {
            self.random.within(10_000..=3_000_000)
        } else {
            self.random.within(100..=5_000)
        };
        let next_us = self.time_us + pause_us + takes_us;
        self.server().keeper.next_us = Some(next_us);
        self.schedule.add(next_us, Event::Upkeep);
    }

    /// The thread takes a step.
    pub(crate) fn upkeep(&mut self) {
        let time_us = self.time_us;
        if self.server().keeper.next_us != Some(time_us) {
            return;
        }
        let State::Runs(mut upkeep) = std::mem::replace(&mut self.server().keeper.state, State::Ended) else {
            return;
        };
        if self.scenario.lies_in_runs.happens(&mut self.random) {
            self.lie_in_run();
        }
        let faults = self.foresee_faults();
        self.foresee_failed_read();
        let snapshot_failures = self.server().keeper.snapshot_facts().figures().failures;
        self.totals.upkeep_steps += 1;
        let listed_before: Vec<_> = upkeep.manifest().tables.iter().map(|table| table.facts.number).collect();
        let mut held = Held::default();
        let is_held = self.scenario.upkeep_holds.happens(&mut self.random);
        let now = self.now();
        let tables = &mut self.server().keeper.tables;
        let worked = upkeep.step(now.wall, &mut |file| {
            let may = !is_held && tables.may_remove(file);
            match file {
                Needless::Segment(_) => held.segments |= !may,
                Needless::Table(table) if !may => held.tables.push(table),
                Needless::Table(_) => {}
            }
            may
        });
        if let (Ok(Worked::Idle), Some(taker)) = (&worked, self.server().keeper.taker()) {
            taker.begin_if_due(upkeep.manifest(), now);
        }
        if is_held && (held.segments || !held.tables.is_empty()) {
            self.totals.count_fault("files were held");
        }
        self.server().keeper.state = State::Runs(upkeep);
        self.auditor.note(self.time_us, "upkeep", what(&worked), self.disk.get().moment());
        self.auditor.tell(self.time_us, || format!("{worked:?}"));
        let failed_read = self.take_failed_read();
        if self.ends_in_step() {
            return;
        }
        let has_failed = self.disk.get().has_failed(faults);
        if has_failed {
            self.totals.count_fault("operation of upkeep failed");
        }
        self.check_snapshots(snapshot_failures, has_failed);
        self.pass_on_snapshots();
        match worked {
            Ok(Worked::Merged) => {
                self.worked(Worked::Merged, &held, failed_read.as_ref());
                self.check_merged(&listed_before);
            }
            Ok(worked) => self.worked(worked, &held, failed_read.as_ref()),
            Err(error) => self.upkeep_failed(&error, has_failed, failed_read.as_ref()),
        }
        if self.scenario.scrubs.happens(&mut self.random) {
            self.scrub_on();
        }
    }

    /// Decides whether the disk fails in the step that follows, or the machine goes down. True for the former.
    pub(crate) fn foresee_faults(&mut self) -> bool {
        let operations_max = self.server().keeper.operations_most;
        if self.scenario.upkeep_crashes.happens(&mut self.random) {
            let operations = self.random.within(0..=operations_max);
            self.disk.get().go_down_after(Some(operations));
        }
        let fails = self.scenario.upkeep_errors.happens(&mut self.random);
        if fails {
            let operations = self.random.within(0..=operations_max);
            let errno = if self.random.once_in(2) { libc::ENOSPC } else { libc::EIO };
            self.disk.get().fail_after(operations, Failure::Error(errno));
        }
        fails
    }

    /// Decides whether a read fails in the step that follows.
    fn foresee_failed_read(&mut self) {
        self.disk.get().take_counts();
        if self.scenario.upkeep_read_errors.happens(&mut self.random) {
            let reads_max = self.server().keeper.reads_most;
            let reads = self.random.within(0..=reads_max);
            let errno = if self.random.once_in(3) { libc::ENOMEM } else { libc::EIO };
            self.disk.get().fail_read_after(reads, errno);
        }
    }

    /// The read that has failed in the step that was just taken.
    fn take_failed_read(&mut self) -> Option<FailedRead> {
        let (operations, reads) = self.disk.get().take_counts();
        let keeper = &mut self.server().keeper;
        keeper.operations_most = keeper.operations_most.max(operations);
        keeper.reads_most = keeper.reads_most.max(reads);
        let failed_read = self.disk.get().take_failed_read();
        if failed_read.is_some() {
            self.totals.count_fault("read of upkeep failed");
        }
        failed_read
    }

    /// A step was taken.
    fn worked(&mut self, worked: Worked, held: &Held, failed_read: Option<&FailedRead>) {
        let pause_us = match worked {
            Worked::Idle => LOOK_AGAIN_US,
            _ => 0,
        };
        let keeper = &mut self.server().keeper;
        keeper.is_idle = worked == Worked::Idle;
        if matches!(worked, Worked::Checkpointed | Worked::Merged)
            || keeper.is_idle && keeper.tables.is_stale()
        {
            self.tell_tables();
        }
        match worked {
            Worked::Idle => self.check_kept(held),
            Worked::Opened { .. } | Worked::Partly => {}
            Worked::Checkpointed => self.totals.checkpoints += 1,
            Worked::Merged => self.totals.merges += 1,
            Worked::RemovedSegment(file) => self.tell_removed(file),
            Worked::GaveUpSegment(file) => panic!("{} was given up where nothing is archived", file.id),
            Worked::RemovedTable(_) => self.totals.tables_removed += 1,
            Worked::FoundDamage(place) => self.met_damage(&place, failed_read, false),
        }
        self.foresee_upkeep(pause_us);
    }

    /// Checks that each claim of the table that was just made is what its hash says: a merge that believes what is rotten would give
    /// it a checksum that is right.
    fn check_merged(&mut self, listed_before: &[TableNumber]) {
        let manifest = self.server().keeper.manifest().expect("it has just merged");
        let mut numbers = manifest.tables.iter().map(|listed| listed.facts.number);
        let number = numbers.find(|number| !listed_before.contains(number)).expect("a merge lists a table");
        let table = Table::open(&self.disk, number).expect("it was just made");
        let mut entries = table.entries(0..SLOTS);
        while let Some(block) = entries.next_block().expect("it was just made") {
            for entry in block.iter() {
                let assertion = Assertion::decode(entry.payload).expect("a table holds claims");
                assert!(assertion.check_hash().is_ok(), "a merge has made a table of rot: {assertion:?}");
            }
        }
    }

    /// Upkeep has met damage, or the scrub has: that must be because of a lie about what it reads, or a read that failed, and is to be told
    /// from now on.
    fn met_damage(&mut self, place: &DamagedPlace, failed_read: Option<&FailedRead>, by_scrub: bool) {
        // That memory is short says nothing of what is stored, nor that files cannot be listed.
        let is_of_file = |failed: &FailedRead| failed.file.is_some() && !failed.is_shortage();
        let has_failed =
            failed_read.is_some_and(|failed| is_of_file(failed) && failed.is_told_by(&place.problem));
        let is_lie = self.is_lied_about(&place.path, by_scrub);
        assert!(has_failed || is_lie, "upkeep finds damage in a sound store: {place:?}, {failed_read:?}");
        self.totals.count_fault(if by_scrub { "damage met by the scrub" } else { "damage met by upkeep" });
        let facts = &self.server().keeper.facts;
        let is_told = facts.damage().iter().any(|told| told.path == place.path);
        assert!(is_told, "damage is met and not told: {place:?}");
        self.model.upkeep_failed |= self.server().keeper.facts.snapshot().has_ended;
        self.model.damage_met = true;
    }

    /// Whether something is not what was written that may make this file seem damaged: of a table, the table itself; of a segment, one of the same
    /// lane, which says where it begins or ends. What tables cover only the scrub reads.
    fn is_lied_about(&mut self, path: &Path, by_scrub: bool) -> bool {
        let mut disk = self.disk.get();
        let lied_about = disk.lied_about_in_store().map(|file| file.name());
        let segments = disk.lied_about();
        drop(disk);
        let State::Runs(upkeep) = &self.server().keeper.state else { panic!("it has just done something") };
        let covered = &upkeep.manifest().covered;
        let mut read = segments.iter().filter(|segment| by_scrub || !covered.contains(**segment));
        let name = path.to_string_lossy();
        lied_about.is_some_and(|file| file == name)
            || read.any(|segment| name.starts_with(&format!("segment-{:02}-", segment.lane.0)))
    }

    /// The scrub takes a step.
    fn scrub_on(&mut self) {
        if self.server().keeper.manifest().is_none() {
            return;
        }
        let now = self.now();
        self.foresee_failed_read();
        let State::Runs(upkeep) = &mut self.server().keeper.state else { unreachable!("it has not ended") };
        let scrubbed = upkeep.scrub(now.wall);
        self.auditor.tell(self.time_us, || format!("{scrubbed:?}"));
        let failed_read = self.take_failed_read();
        match scrubbed {
            Scrubbed::Sound { .. } | Scrubbed::Passed => {}
            Scrubbed::Damaged(place) => self.met_damage(&place, failed_read.as_ref(), true),
            Scrubbed::Skipped { problem } => {
                let may_be_sound = |failed: &FailedRead| failed.is_shortage() || failed.file.is_none();
                let has_failed = failed_read
                    .as_ref()
                    .is_some_and(|failed| may_be_sound(failed) && failed.is_told_by(&problem));
                assert!(has_failed, "the scrub passes over a file: {problem}, {failed_read:?}");
            }
        }
    }

    fn tell_removed(&mut self, file: SegmentFile) {
        self.totals.segments_removed += 1;
        let core = file.id.lane.charged_to(self.server().cores.len() as u16);
        self.tell(usize::from(core.0), Happening::SegmentRemoved(file.bytes));
    }

    /// Tells the cores which tables are in force; where one cannot be opened, they go on with those that they have.
    fn tell_tables(&mut self) {
        let disk = self.disk.clone();
        self.foresee_failed_read();
        let Keeper { state: State::Runs(upkeep), tables, .. } = &mut self.server().keeper else { return };
        let followed = tables.follow(upkeep.manifest(), &disk).map(Arc::clone);
        let failed_read = self.take_failed_read();
        let set = match followed {
            Ok(set) => set,
            Err(error) => {
                let lied_about = self.disk.get().lied_about_in_store();
                let is_lie = lied_about.is_some_and(|file| chain(&error).contains(&file.name()));
                let text = chain(&error);
                let has_failed = failed_read.is_some_and(|failed| failed.is_told_by(&text));
                assert!(is_lie || has_failed, "a sound table cannot be opened: {text}");
                return;
            }
        };
        for core in 0..self.server().cores.len() {
            self.tell(core, Happening::Tables(Arc::clone(&set)));
        }
    }

    /// A step has failed, which only what the disk did excuses: damage is another thing. Without space or memory the thread tries on;
    /// otherwise it ends.
    fn upkeep_failed(&mut self, error: &UpkeepError, has_failed: bool, failed_read: Option<&FailedRead>) {
        self.totals.upkeep_failures += 1;
        if let Some(&Worked::RemovedSegment(file)) = error.done() {
            self.tell_removed(file);
        }
        let is_full = self.disk.get().is_full && error.is_no_space();
        let read_failed = failed_read.is_some_and(|failed| failed.is_told_by(&chain(error)));
        let is_excused = has_failed || read_failed || is_full;
        assert!(is_excused, "upkeep fails on a sound store: {}", chain(error));
        let is_shortage = read_failed && failed_read.is_some_and(FailedRead::is_shortage);
        assert!(
            !is_shortage || error.is_shortage() || has_failed || is_full,
            "memory that is short ends upkeep: {}",
            chain(error)
        );
        if error.is_no_space() || error.is_shortage() {
            self.foresee_upkeep(NO_SPACE_PAUSE_US);
        } else {
            self.server().keeper.state = State::Ended;
            self.server().keeper.facts.ended();
            self.model.upkeep_failed = true;
        }
    }

    /// Checks that there is nothing too much when there is nothing to do, but for what is held.
    fn check_kept(&mut self, held: &Held) {
        let Keeper { state: State::Runs(upkeep), writing, facts, .. } = &self.server().keeper else { return };
        let manifest = upkeep.manifest().clone();
        let (writing, facts) = (writing.clone(), facts.snapshot());
        if facts.has_ended {
            return;
        }
        let mut listed: Vec<_> = manifest.tables.iter().map(|table| table.facts.number).collect();
        // A damaged table stays as it is, and others are merged on either side of it.
        let tables_max = TABLES_MAX + (TABLES_MAX + 1) * facts.scrub.damaged_files as usize;
        assert!(listed.len() <= tables_max, "upkeep is idle with {} tables", listed.len());
        listed.sort_unstable();
        let mut there = self.disk.get().tables();
        there.retain(|table| !held.tables.contains(table));
        assert_eq!(there, listed, "upkeep is idle, and tables that are there are not those that are listed");
        let counted = (facts.tables, facts.table_bytes, facts.table_entries);
        let kept = (listed.len() as u64, manifest.bytes(), manifest.entries());
        assert_eq!(counted, kept, "tables, their bytes and claims, as counted and as listed");
        let files = LogStorage::list(&self.disk).expect("the disk can be listed");
        let is_left = |id: stemedb_engine::log::segment::SegmentId| {
            writing.get(&id.lane).is_none_or(|writing| id.number < *writing)
        };
        let left: Vec<_> = files.iter().filter(|file| is_left(file.id)).map(|file| file.id).collect();
        assert!(
            left.is_empty() || held.segments,
            "upkeep is idle, and segments that have ended are there: {left:?}"
        );
    }

    /// Whether the machine has gone down in the midst of the step that was just taken.
    pub(crate) fn ends_in_step(&mut self) -> bool {
        let is_down = self.disk.get().is_down();
        if is_down {
            self.totals.upkeep_crashes += 1;
            let Ending::Crash(crash) = self.crash_kind() else { unreachable!("a crash is an ending") };
            self.end_at_once(crash);
        } else {
            self.disk.get().go_down_after(None);
        }
        is_down
    }

    /// The machine goes down in the midst of something.
    fn end_at_once(&mut self, crash: Crash) {
        self.auditor.tell(self.time_us, || format!("down in a step of upkeep: {crash:?}"));
        self.crash(crash);
        self.has_ended = true;
    }
}

/// Upkeep of the store on a disk, which it has not touched yet.
pub(crate) fn begin(
    disk: &SharedDisk,
    config: UpkeepConfig,
    manifest: Manifest,
    writing: BTreeMap<LaneId, SegmentNumber>,
) -> Upkeep {
    let store = Store {
        log: Box::new(disk.clone()),
        tables: Box::new(disk.clone()),
        manifest: Box::new(disk.clone()),
    };
    Upkeep::new(store, config, manifest, writing, UpkeepFacts::default())
}

/// What a step has done, as a number.
fn what(worked: &Result<Worked, UpkeepError>) -> u64 {
    match worked {
        Ok(Worked::Idle) => 0,
        Ok(Worked::Partly) => 1,
        Ok(Worked::Checkpointed) => 2,
        Ok(Worked::Merged) => 3,
        Ok(Worked::RemovedSegment(_)) => 4,
        Ok(Worked::RemovedTable(_)) => 5,
        Ok(Worked::FoundDamage(_)) => 7,
        Ok(Worked::Opened { .. }) => 8,
        Ok(Worked::GaveUpSegment(_)) => 9,
        Err(_) => 6,
    }
}
