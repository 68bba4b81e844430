//! What keeps log and tables in order, one small step after the other.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::hold::too_many;
use super::making::{Making, take_number};
use super::scrub::{Scrub, Scrubbable};
use super::{
    DamagedPlace, ListedTable, Manifest, ManifestStorage, Scrubbed, StoreError, UpkeepError, UpkeepFacts,
};
use crate::background::offer_turn;
use crate::log::SegmentNumber;
use crate::log::covered::Covered;
use crate::log::recovery::{RecoveryVisitError, Replayed, read_ended};
use crate::log::segment::SegmentId;
use crate::log::storage::{LogDisk, SegmentFile};
use crate::planted::{self, Bug};
use crate::slot::{CoreId, LaneId};
use crate::table::{
    Merge, MergeOptions, Step, TABLES_MAX, Table, TableError, TableNumber, TableSize, TableStorage,
    TableWriter, pick,
};
use crate::time::UnixMicros;

/// Bytes of records that a step of a merge works on as a rule: some milliseconds' worth.
pub const STEP_BYTES: usize = 1 << 20;

/// Where a server keeps its claims.
pub struct Store {
    /// The log.
    pub log: Box<dyn LogDisk + Send>,
    /// What has left the log.
    pub tables: Box<dyn TableStorage + Send>,
    /// What says which is where.
    pub manifest: Box<dyn ManifestStorage + Send>,
}

/// Ended segments of a core that may wait to be covered before upkeep counts as behind, where the log has room for more.
const SEGMENTS_WAITING_MAX: u64 = 4;

/// Segments that a core needs besides: the one that it writes to, and the next one.
const SEGMENTS_IN_USE: u64 = 2;

/// What upkeep is given.
#[derive(Debug, Clone, Copy)]
pub struct UpkeepConfig {
    /// About how many bytes of the log go into one checkpoint; a whole segment does in any case.
    pub checkpoint_bytes: u64,
    /// Memory in which the records of a table are sorted: at least that of the largest record, and below 4 GiB.
    pub sort_bytes_max: usize,
    /// Bytes of records that a step of a merge works on.
    pub step_bytes: usize,
    /// Tables below this many bytes are merged without asking which is larger.
    pub tier_bytes: u64,
    /// Bytes of the disk that merges leave for the log: a merge holds its inputs and its output for a while.
    pub spare_bytes: u64,
    /// Bytes of a new segment.
    pub segment_bytes: u64,
    /// Bytes that the segments of a core may have together: beyond them it refuses writes.
    pub core_log_bytes_max: u64,
    /// Bytes of segments that tables cover and that are kept for the archive all the same; beyond them those are given up that were begun
    /// first.
    pub archive_hold_bytes_max: u64,
}

/// What a step has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worked {
    /// It was found out what the last start has left. The first step that succeeds does this.
    Opened {
        /// Tables that are there and that the manifest does not list: they are removed.
        unlisted: Vec<TableNumber>,
    },
    /// Nothing: there is nothing to do until a lane leaves a segment.
    Idle,
    /// A part of something, or nothing but finding out what is next.
    Partly,
    /// Segments are covered that were not before.
    Checkpointed,
    /// Tables were merged.
    Merged,
    /// A covered segment's file was removed.
    RemovedSegment(SegmentFile),
    /// The same of one that is not in the archive yet: no more are kept for that.
    GaveUpSegment(SegmentFile),
    /// A file that no manifest lists was removed.
    RemovedTable(TableNumber),
    /// What was to be read is damaged. A damaged table stays as it is and is not merged any more; behind a damaged place of the log
    /// there is no checkpoint until the next start.
    FoundDamage(DamagedPlace),
}

/// A file that is needed no more, and that is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needless {
    /// All that is in it is in tables.
    Segment(SegmentId),
    /// No manifest lists it.
    Table(TableNumber),
}

/// Moves claims out of ended segments into tables, merges tables, and removes what is needed no more.
///
/// Above the seam: it is told which segments have ended, and asked to take a step. A step that fails has changed nothing that
/// counts but what its error [says](UpkeepError::done), and may be tried again.
pub struct Upkeep {
    store: Store,
    config: UpkeepConfig,
    manifest: Manifest,
    /// The number that no table has, listed or not.
    next_table: TableNumber,
    facts: UpkeepFacts,
    /// The segment that each lane writes to.
    writing: BTreeMap<LaneId, SegmentNumber>,
    /// Whether it was found out what is needless.
    is_open: bool,
    /// Whether there may be ended segments that are not covered.
    may_checkpoint: bool,
    /// Whether the log was found to be damaged.
    log_is_damaged: bool,
    scrub: Scrub,
    merging: Option<Merging>,
    /// Files that are covered, or of a lane that nobody writes any more.
    left_segments: Vec<SegmentFile>,
    /// Files to be removed, the last one first.
    needless_segments: Vec<SegmentFile>,
    needless_tables: Vec<TableNumber>,
    /// Whether it is not known which of two manifests holds. Then nothing is done until the next start, which reads it.
    is_in_doubt: bool,
    /// Which part of the log is in the archive; `None` where there is no archive.
    archived: Option<Covered>,
}

/// A merge under way.
struct Merging {
    merge: Merge,
    inputs: Vec<TableNumber>,
    checkpoints: RangeInclusive<u64>,
}

impl Upkeep {
    /// Upkeep of a store whose manifest was read at the start, and whose lanes were opened after that. `writing` has the segment
    /// that each of them writes to; what is done is counted in `facts`. The store is not touched before the first step.
    pub fn new(
        store: Store,
        config: UpkeepConfig,
        manifest: Manifest,
        writing: BTreeMap<LaneId, SegmentNumber>,
        facts: UpkeepFacts,
    ) -> Upkeep {
        let upkeep = Upkeep {
            store,
            config,
            next_table: manifest.next_table,
            manifest,
            facts,
            writing,
            is_open: false,
            may_checkpoint: true,
            log_is_damaged: false,
            scrub: Scrub::default(),
            merging: None,
            left_segments: Vec::new(),
            needless_segments: Vec::new(),
            needless_tables: Vec::new(),
            is_in_doubt: false,
            archived: None,
        };
        upkeep.note_tables();
        upkeep
    }

    /// What is done so far.
    pub fn facts(&self) -> &UpkeepFacts {
        &self.facts
    }

    /// The manifest that holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Notes that a lane has sealed all segments before `writing`.
    pub fn lane_writes(&mut self, lane: LaneId, writing: SegmentNumber) {
        self.writing.insert(lane, writing);
        self.may_checkpoint = !self.log_is_damaged;
    }

    /// Whether more waits to be done than upkeep can put off: so many ended segments that a core may soon have to refuse writes, or more
    /// tables than there should be. What cannot be done for damage does not count.
    pub fn is_behind(&self) -> bool {
        let has_many = |tables: &[ListedTable]| tables.len() > TABLES_MAX;
        let log_is_behind = !self.log_is_damaged && self.log_is_behind();
        log_is_behind || (has_many(&self.manifest.tables) && self.sound_tables().any(has_many))
    }

    fn log_is_behind(&self) -> bool {
        // Each core writes a lane.
        let cores = self.writing.len() as u16;
        let covered = &self.manifest.covered;
        let mut waiting: BTreeMap<CoreId, u64> = BTreeMap::new();
        for (&lane, writing) in &self.writing {
            let last = covered.end_of(lane).map_or(0, |covered| covered.end.segment.0);
            *waiting.entry(lane.charged_to(cores)).or_default() += writing.0.saturating_sub(last + 1);
        }
        let mut covered_bytes: BTreeMap<CoreId, u64> = BTreeMap::new();
        for file in &self.left_segments {
            let core = file.id.lane.charged_to(cores);
            if covered.contains(file.id) {
                *covered_bytes.entry(core).or_default() += file.bytes;
            } else {
                *waiting.entry(core).or_default() += 1;
            }
        }
        waiting.iter().any(|(core, waiting)| {
            *waiting > self.segments_waiting_max(covered_bytes.get(core).copied().unwrap_or(0))
        })
    }

    /// How many ended segments of a core may wait that has so many bytes of segments which are covered and still there: they are
    /// held by somebody, or kept for the archive. Half of what there is room for; the core may fill the rest meanwhile.
    fn segments_waiting_max(&self, covered_bytes: u64) -> u64 {
        let room_bytes = self.config.core_log_bytes_max.saturating_sub(covered_bytes);
        let room = (room_bytes / self.config.segment_bytes).saturating_sub(SEGMENTS_IN_USE);
        (room / 2).min(SEGMENTS_WAITING_MAX)
    }

    /// Reads on in what is stored, some milliseconds' worth, and checks it. When the step is due is for the caller's
    /// [pace](super::ScrubPace).
    pub fn scrub(&mut self, now: UnixMicros) -> Scrubbed {
        let Upkeep { store, manifest, writing, facts, scrub, .. } = self;
        scrub.step(&Scrubbable { store, manifest, writing, facts }, now)
    }

    /// Notes which part of the log is in the archive. From now on segments that are not are kept, as far as the configuration allows.
    ///
    /// # Errors
    ///
    /// When the log's files cannot be listed. Then nothing is noted.
    pub fn archived(&mut self, archived: Covered) -> Result<(), UpkeepError> {
        if self.archived.as_ref() == Some(&archived) {
            return Ok(());
        }
        let before = self.archived.replace(archived);
        self.find_needless_segments().inspect_err(|_| self.archived = before)
    }

    #[cfg(test)]
    pub(super) fn config_mut(&mut self) -> &mut UpkeepConfig {
        &mut self.config
    }

    /// Does what is most needed: removes what is in the way, makes a checkpoint if there is anything for one, merges if there
    /// are too many tables. `may_remove` is asked whether a file may be removed now: it is kept as long as that says no, and so are the
    /// segments behind it.
    ///
    /// # Errors
    ///
    /// When something could not be done; what was begun is given up. If that has left a doubt as to which manifest holds, no further
    /// step does anything.
    pub fn step(
        &mut self,
        now: UnixMicros,
        may_remove: &mut dyn FnMut(Needless) -> bool,
    ) -> Result<Worked, UpkeepError> {
        if self.is_in_doubt {
            return Ok(Worked::Idle);
        }
        let error = match self.try_step(now, may_remove) {
            Ok(worked) => return Ok(worked),
            Err(error) => error,
        };
        self.merging = None;
        self.is_in_doubt = error.leaves_doubt();
        // What was finished and is not listed, and what may be gone already. Where that cannot be found now, the next step looks again.
        let found = self.find_needless_tables().and_then(|()| self.find_needless_segments());
        self.is_open &= found.is_ok();
        let found = error.damaged_place().map(|(path, offset)| DamagedPlace::new(path, offset, &error));
        let Some(place) = found else {
            self.facts.failed();
            return Err(error);
        };
        if let UpkeepError::Log(_) = error {
            (self.log_is_damaged, self.may_checkpoint) = (true, false);
            self.facts.failed();
            self.facts.ended();
        }
        self.facts.damaged(place.clone());
        Ok(Worked::FoundDamage(place))
    }

    fn try_step(
        &mut self,
        now: UnixMicros,
        may_remove: &mut dyn FnMut(Needless) -> bool,
    ) -> Result<Worked, UpkeepError> {
        if !self.is_open {
            return self.open();
        }
        if let Some(&file) = self.needless_segments.last()
            && may_remove(Needless::Segment(file.id))
        {
            return self.remove_segment(file);
        }
        if let Some(at) = self.needless_tables.iter().rposition(|table| may_remove(Needless::Table(*table))) {
            return self.remove_table(at);
        }
        if self.may_checkpoint {
            return self.checkpoint(now);
        }
        if self.merging.is_some() {
            return self.merge();
        }
        if self.begin_merge(now)? { Ok(Worked::Partly) } else { Ok(Worked::Idle) }
    }

    /// Finds what was left behind when the store was kept last.
    fn open(&mut self) -> Result<Worked, UpkeepError> {
        let Store { manifest, tables, .. } = &self.store;
        // When the store was kept last, that may have ended between the manifest's replacement and the directory's synchronisation:
        // what the new one makes needless is removed now, and a power cut would bring back the old one, which needs it.
        manifest.sync().map_err(|source| UpkeepError::SyncManifest { path: manifest.path(), source })?;
        tables.remove_unfinished().map_err(|source| UpkeepError::List { source })?;
        self.find_needless_segments()?;
        self.find_needless_tables()?;
        self.is_open = true;
        Ok(Worked::Opened { unlisted: self.needless_tables.clone() })
    }

    /// Reads on in the log, writes what is there into tables, and lists them.
    fn checkpoint(&mut self, now: UnixMicros) -> Result<Worked, UpkeepError> {
        let Upkeep { store, config, manifest, writing, .. } = self;
        let mut making = Making {
            tables: &*store.tables,
            now,
            sort_bytes_max: config.sort_bytes_max,
            builder: None,
            next_table: &mut self.next_table,
            manifest: manifest.clone(),
        };
        let visit = &mut |records: &[Replayed<'_>]| {
            offer_turn();
            let mut each = records.iter();
            each.try_for_each(|record| {
                making.take(record).map_err(|error| RecoveryVisitError::new(record, error))
            })
        };
        let covered = read_ended(&*store.log, &manifest.covered, writing, config.checkpoint_bytes, visit)?;
        let Some(covered) = covered else {
            self.may_checkpoint = false;
            return Ok(Worked::Partly);
        };
        let manifest = making.finish(covered)?;
        if planted::is(Bug::RemoveTooEarly) {
            let before = std::mem::replace(&mut self.manifest, manifest.clone());
            self.find_needless_segments()?;
            while let Some(&file) = self.needless_segments.last() {
                self.remove_segment(file)?;
            }
            self.manifest = before;
        }
        self.replace_manifest(manifest)?;
        self.find_needless_segments()?;
        self.facts.checkpointed(now.0.unsigned_abs());
        Ok(Worked::Checkpointed)
    }

    fn begin_merge(&mut self, now: UnixMicros) -> Result<bool, UpkeepError> {
        let Some(range) = self.pick_sound() else { return Ok(false) };
        let bottom = range.start == 0;
        let inputs = &self.manifest.tables[range];
        // It would fill the disk, to which the log writes what is acknowledged, give up, and begin again.
        let needed_bytes =
            inputs.iter().map(|table| table.facts.bytes).sum::<u64>() + self.config.spare_bytes;
        if self.store.tables.free_bytes().map_err(|source| UpkeepError::List { source })? < needed_bytes {
            return Ok(false);
        }
        let (first, last) = (inputs.first(), inputs.last());
        let (first, last) = first.zip(last).expect("a merge has inputs");
        let checkpoints = *first.checkpoints.start()..=*last.checkpoints.end();
        let numbers: Vec<_> = inputs.iter().map(|table| table.facts.number).collect();
        let open = |number: &TableNumber| Table::open(&*self.store.tables, *number);
        let tables = numbers.iter().map(open).collect::<Result<Vec<Arc<Table>>, TableError>>()?;
        let writer = TableWriter::create(&*self.store.tables, take_number(&mut self.next_table), now)?;
        let merge = Merge::new(&tables, writer, MergeOptions { bottom });
        self.merging = Some(Merging { merge, inputs: numbers, checkpoints });
        Ok(true)
    }

    /// Which tables to merge, of those side by side that are not known to be damaged.
    fn pick_sound(&self) -> Option<Range<usize>> {
        let mut begin = 0;
        for sound in self.sound_tables() {
            let sizes: Vec<_> = sound.iter().map(|table| TableSize { bytes: table.facts.bytes }).collect();
            if let Some(range) = pick(&sizes, self.config.tier_bytes) {
                return Some(begin + range.start..begin + range.end);
            }
            begin += sound.len() + 1;
        }
        None
    }

    /// The tables side by side that are not known to be damaged; between two of these lists is a table that is.
    fn sound_tables(&self) -> impl Iterator<Item = &[ListedTable]> {
        let is_damaged =
            |table: &ListedTable| self.facts.is_damaged(&self.store.tables.path(table.facts.number));
        self.manifest.tables.split(is_damaged)
    }

    fn merge(&mut self) -> Result<Worked, UpkeepError> {
        let merging = self.merging.as_mut().expect("the caller has seen one");
        let Step::Done(facts) = merging.merge.step(self.config.step_bytes)? else {
            return Ok(Worked::Partly);
        };
        let Merging { inputs, checkpoints, .. } = self.merging.take().expect("it has just been done");
        let mut manifest = self.manifest.clone();
        manifest.next_table = manifest.next_table.max(facts.number.next());
        let is_input = |table: &ListedTable| inputs.contains(&table.facts.number);
        let at = manifest.tables.iter().position(is_input).expect("only a merge takes tables from the list");
        manifest.tables.retain(|table| !is_input(table));
        manifest.tables.insert(at, ListedTable { facts, checkpoints });
        self.replace_manifest(manifest)?;
        if !planted::is(Bug::KeepTables) {
            self.needless_tables.extend(inputs);
        }
        self.facts.merged();
        Ok(Worked::Merged)
    }

    fn remove_table(&mut self, at: usize) -> Result<Worked, UpkeepError> {
        let table = self.needless_tables[at];
        let removed = self.store.tables.remove(table);
        removed.map_err(|source| UpkeepError::RemoveTable { table, source })?;
        self.needless_tables.remove(at);
        self.facts.gone(&self.store.tables.path(table));
        Ok(Worked::RemovedTable(table))
    }

    fn remove_segment(&mut self, file: SegmentFile) -> Result<Worked, UpkeepError> {
        let removed = self.store.log.remove(file.id);
        if let Err(source) = removed {
            let files = self.store.log.list();
            if files.is_ok_and(|files| files.iter().all(|there| there.id != file.id)) {
                // It takes no space any more, and nobody would remove it again and say so.
                let done = self.segment_is_gone(file);
                return Err(UpkeepError::SyncRemoval { segment: file.id, done, source });
            }
            return Err(UpkeepError::RemoveSegment { segment: file.id, source });
        }
        Ok(self.segment_is_gone(file))
    }

    fn segment_is_gone(&mut self, file: SegmentFile) -> Worked {
        self.needless_segments.retain(|needless| needless.id != file.id);
        self.left_segments.retain(|left| left.id != file.id);
        self.facts.gone(&self.store.log.path(file.id));
        self.facts.removed_segment(file.bytes);
        if self.is_held(&file) {
            self.facts.gave_up_segment();
            return Worked::GaveUpSegment(file);
        }
        Worked::RemovedSegment(file)
    }

    fn replace_manifest(&mut self, manifest: Manifest) -> Result<(), UpkeepError> {
        let place = &self.store.manifest;
        let replaced = place.replace(&manifest.encode());
        planted::catch_up();
        replaced.map_err(|source| UpkeepError::Manifest { path: place.path(), source })?;
        self.manifest = manifest;
        self.note_tables();
        Ok(())
    }

    fn note_tables(&self) {
        let Manifest { tables, .. } = &self.manifest;
        self.facts.tables(tables.len() as u64, self.manifest.bytes(), self.manifest.entries());
    }

    fn find_needless_tables(&mut self) -> Result<(), UpkeepError> {
        let files = self.store.tables.list().map_err(|source| UpkeepError::List { source })?;
        let numbers = files.into_iter().map(|file| file.number);
        let first = self.manifest.tables.first().filter(|_| planted::is(Bug::RemoveListedTables));
        let is_first = |number| first.is_some_and(|first| first.facts.number == number);
        self.needless_tables =
            numbers.filter(|&number| !self.manifest.lists(number) || is_first(number)).collect();
        let free = self.needless_tables.iter().map(|number| number.next()).max();
        self.next_table = self.next_table.max(free.unwrap_or(TableNumber::FIRST));
        Ok(())
    }

    fn find_needless_segments(&mut self) -> Result<(), UpkeepError> {
        let mut files = self.store.log.list().map_err(|source| UpkeepError::List { source })?;
        let is_covered = |file: &SegmentFile| self.manifest.covered.contains(file.id);
        let is_left = |file: &SegmentFile| is_covered(file) || !self.writing.contains_key(&file.id.lane);
        self.left_segments = files.iter().copied().filter(is_left).collect();
        files.retain(|file| is_covered(file) && !planted::is(Bug::KeepSegments));
        // The oldest one goes first: what remains has no gap.
        files.sort_unstable_by_key(|file| std::cmp::Reverse(file.id.number));
        let (held, archived): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| self.is_held(file));
        let held_segments = held.len();
        let mut needless = too_many(&*self.store.log, held, self.config.archive_hold_bytes_max);
        self.facts.holding((held_segments - needless.len()) as u64);
        needless.extend(archived);
        self.needless_segments = needless;
        Ok(())
    }

    /// Whether the archive still lacks a segment.
    fn is_held(&self, file: &SegmentFile) -> bool {
        self.archived.as_ref().is_some_and(|archived| !archived.contains(file.id))
    }
}

impl Manifest {
    /// The manifest of a store, after a look at whether its tables are there.
    ///
    /// # Errors
    ///
    /// When it is damaged, or a table that it lists is not there in its size.
    pub fn open(manifest: &dyn ManifestStorage, tables: &dyn TableStorage) -> Result<Manifest, StoreError> {
        let path = manifest.path();
        let read =
            manifest.read().map_err(|source| StoreError::ReadManifest { path: path.clone(), source })?;
        let manifest = match read {
            None => return Ok(Manifest::empty()),
            Some(bytes) => Manifest::decode(&bytes)
                .map_err(|cause| StoreError::Manifest { path: path.clone(), cause })?,
        };
        let files = tables.list().map_err(|source| StoreError::ListTables { path, source })?;
        for ListedTable { facts, .. } in &manifest.tables {
            let file = files.iter().find(|file| file.number == facts.number);
            let actual = file.map(|file| file.bytes);
            if actual != Some(facts.bytes) {
                let path = tables.path(facts.number);
                return Err(StoreError::Table { path, expected: facts.bytes, actual });
            }
        }
        Ok(manifest)
    }
}
