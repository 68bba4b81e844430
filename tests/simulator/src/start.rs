//! Starts of the server: recovery, the opening of a generation, and whether what was found is what must be there.

use std::io;
use std::sync::Arc;

use stemedb_engine::checkpoint::{OpenTables, TableSet};
use stemedb_engine::index::{ClaimView, Index};
use stemedb_engine::log::Generation;
use stemedb_engine::log::lane::{Lane, LaneConfig};
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{Recovered, recover_after};
use stemedb_engine::log::storage::{LogStorage, SegmentFile};
use stemedb_engine::query::{Execution, LIMIT_MAX, LifecycleFilter, Query, Step, SubjectFilter};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, LaneId, SlotMap};
use stemedb_engine::snapshots::{Part, SnapshotNumber, WholeSnapshot, keep_only};
use stemedb_engine::table::ClaimKey;
use stemedb_engine::time::UnixMicros;
use stemedb_net::core::LogFacts;
use stemedb_net::server::recovery::{Hands, RebuildError, Rebuilt, Sources, rebuild_all};

use crate::client::KnownFigures;
use crate::disk::{Crash, FailedRead, Failure, SharedDisk, StoreFile};
use crate::model::Stored;
use crate::secured::Tls;
use crate::server::{Happening, Server};
use crate::simulation::{Event, Simulation};
use crate::snapshots::Taker;
use crate::upkeep::Keeper;
use crate::wording::stored;

/// What a start has found and made.
struct Opened {
    tables: OpenTables,
    rebuilt: Rebuilt,
    lanes: Vec<Lane>,
    /// When the generation was opened.
    opened: UnixMicros,
}

impl Simulation {
    /// Starts the server, as often as it takes.
    pub(crate) fn start(&mut self) {
        self.totals.runs += 1;
        if self.scenario.clock_jumps.happens(&mut self.random) {
            let days = self.random.within(0..=20) as i64 - 10;
            self.wall_ahead_us += days * 86_400_000_000;
            self.totals.clock_jumps += 1;
        }
        if self.scenario.lies.happens(&mut self.random) {
            self.lie();
        }
        let (cores, Opened { tables, rebuilt, lanes, opened }) = loop {
            let cores = self.random.within(1..=u64::from(self.scenario.cores_max)) as u16;
            if let Some(opened) = self.try_start(cores) {
                break (cores, opened);
            }
        };
        let Rebuilt { recovered, indexes, snapshot, .. } = rebuilt;
        let set = Arc::new(tables.set());
        let rows: Vec<_> = indexes.iter().flat_map(|index| list(index, &set)).collect();
        self.auditor.note(self.time_us, "start", u64::from(cores), rows.len() as u64);
        self.model.restarted(&rows);
        self.model.is_open = false;
        self.check_once(&tables, rows.len() as u64);
        self.check_copy(tables.manifest());
        let manifest = tables.manifest().clone();
        self.totals.starts_on_tables += u64::from(!manifest.tables.is_empty());
        self.totals.starts_on_snapshots += u64::from(snapshot.is_some());
        let writing = |lane: &Lane| (lane.config().lane, lane.writing().expect("it was opened"));
        let slots = SlotMap::new(cores);
        let taker = || Taker::new(&self.disk, slots, opened, snapshot.as_ref(), &self.scenario.upkeep);
        let taker = self.scenario.takes_snapshots.then(taker);
        let writing = lanes.iter().map(writing).collect();
        let keeper =
            Keeper::new(&self.disk, self.scenario.upkeep, manifest, Arc::clone(&set), writing, taker);
        let mut server = Server::new(cores, &self.scenario, self.tls.as_ref().map(Tls::credentials), keeper);
        server.recovered_claims = rows.len() as u64;
        self.server = Some(server);
        let generation = recovered.next_generation.0;
        for (core, (lane, index)) in lanes.into_iter().zip(indexes).enumerate() {
            let log = self.log_facts(core, generation);
            let shard =
                Shard::new(lane, index, slots.slots_of(CoreId(core as u16)), self.scenario.index_bytes_max);
            let shard = shard.after_checkpoints(set.checkpoints());
            let open = Happening::Open(Box::new((shard, log)));
            let in_us = self.random.within(0..=500);
            self.schedule.add(self.time_us + in_us, Event::Tell(core, Box::new(open)));
            self.schedule.add(self.time_us + self.random.within(0..=100_000), Event::Tick(core));
        }
    }

    /// Recovers the log and opens a generation with `cores` lanes. `None` if the machine went down meanwhile, or what it
    /// refused has been repaired.
    fn try_start(&mut self, cores: u16) -> Option<Opened> {
        let disk = self.disk.clone();
        self.foresee_failed_read_of_start();
        let before = disk.get().fingerprint();
        let rebuilt = OpenTables::open(&disk, &disk).map_err(RebuildError::from).and_then(|tables| {
            let log = || Box::new(disk.clone()) as Box<dyn LogStorage>;
            let sources = Sources { log: &log, tables: &tables, snapshots: Some(&disk) };
            let rebuilt = rebuild_all(&sources, SlotMap::new(cores), 1, Hands::Caller)?;
            Ok((tables, rebuilt))
        });
        (_, self.reads_of_start) = disk.get().take_counts();
        let failed_read = disk.get().take_failed_read();
        let (tables, rebuilt) = match rebuilt {
            Ok(rebuilt) => rebuilt,
            Err(error) => {
                assert_eq!(disk.get().fingerprint(), before, "a start that refuses changes nothing on disk");
                self.refused(&error, failed_read.as_ref());
                return None;
            }
        };
        let taken = disk.get().put_back_files();
        let missed = taken.into_iter().find(|segment| !tables.covered().contains(*segment));
        assert_eq!(missed, None, "a segment is gone or another one, and nobody misses it");
        if !self.check_snapshot(&rebuilt, failed_read.as_ref()) {
            return None;
        }
        let Rebuilt { recovered, snapshot, .. } = &rebuilt;
        self.auditor.note(
            self.time_us,
            "recovered",
            u64::from(recovered.next_generation.0),
            recovered.records,
        );
        let kept = snapshot.as_ref().map(|used| used.number);
        let lane = LaneConfig { lane: LaneId(0), generation: Generation::FIRST, ..self.scenario.lane };
        let opening = Opening { lanes: cores, lane, now: self.now().wall, monotonic_us: self.time_us };
        let fails = self.foresee_faults_of_opening(recovered, &opening, kept);
        // As the server does it: what does not fit the log now might seem to later. That it fails is only told.
        let kept = keep_only(&disk, kept);
        // Where a process was killed before that, a power cut may still take it.
        self.has_snapshot |= kept.is_ok() && snapshot.is_some();
        let may_fail = fails && disk.get().is_to_fail();
        let opened = open_generation(&mut self.disk, recovered, &opening);
        let is_down = self.disk.get().is_down();
        let has_failed = self.disk.get().has_failed(may_fail);
        self.disk.get().go_down_after(None);
        match opened {
            Ok(lanes) => {
                assert!(!has_failed, "a generation is opened although something has failed");
                self.disk.get().opened(cores);
                Some(Opened { tables, rebuilt, lanes, opened: opening.now })
            }
            Err(_) if is_down => {
                self.totals.crashes += 1;
                self.totals.start_crashes += 1;
                self.end_start("crash of a start");
                None
            }
            Err(_) if has_failed => {
                self.totals.count_fault("opening failed");
                self.end_start("failure of a start");
                None
            }
            Err(error) => {
                let was_full = std::mem::take(&mut self.disk.get().is_full);
                let text = chain(&error);
                let is_no_space = text.contains(&io::Error::from_raw_os_error(libc::ENOSPC).to_string());
                assert!(was_full && is_no_space, "a generation cannot be opened: {text}");
                None
            }
        }
    }

    /// Decides whether a read fails in the start that follows.
    fn foresee_failed_read_of_start(&mut self) {
        self.disk.get().take_counts();
        if self.scenario.start_read_errors.happens(&mut self.random) {
            let reads = self.random.within(0..=self.reads_of_start);
            let errno = if self.random.once_in(3) { libc::ENOMEM } else { libc::EIO };
            self.disk.get().fail_read_after(reads, errno);
        }
    }

    /// Decides whether the disk fails while the generation is opened, or the machine goes down: at any operation, the last one included. True for
    /// the former.
    fn foresee_faults_of_opening(
        &mut self,
        recovered: &Recovered,
        opening: &Opening,
        kept: Option<SnapshotNumber>,
    ) -> bool {
        let goes_down = self.scenario.start_crashes.happens(&mut self.random);
        let fails = !goes_down && self.scenario.start_errors.happens(&mut self.random);
        if !goes_down && !fails {
            return false;
        }
        let last = self.operations_of_opening(recovered, opening, kept) - 1;
        let operations = self.random.within(0..=last);
        if goes_down {
            if operations == last {
                self.totals.count_fault("crash at the last operation of a start");
            }
            self.disk.get().go_down_after(Some(operations));
            return false;
        }
        let failure = match self.random.within(0..=2) {
            0 => Failure::Short,
            1 => Failure::Error(libc::ENOSPC),
            _ => Failure::Error(libc::EIO),
        };
        self.disk.get().fail_after(operations, failure);
        true
    }

    /// How many operations the opening of a generation has if nothing goes wrong: it is tried on a copy of the disk.
    fn operations_of_opening(
        &self,
        recovered: &Recovered,
        opening: &Opening,
        kept: Option<SnapshotNumber>,
    ) -> u64 {
        let mut copy = SharedDisk::new(self.disk.get().clone());
        copy.get().take_counts();
        keep_only(&copy, kept).expect("nothing is to go wrong yet");
        let opened = open_generation(&mut copy, recovered, opening);
        let (operations, _) = copy.get().take_counts();
        assert!(opened.is_ok() || self.disk.get().is_full, "only a full disk refuses a generation by itself");
        operations
    }

    /// A start has ended before the server served. The machine may go down as well.
    fn end_start(&mut self, what: &'static str) {
        let crash = if self.random.once_in(2) { Crash::Kill } else { Crash::PowerCut };
        self.auditor.note(self.time_us, what, u64::from(crash == Crash::PowerCut), 0);
        self.disk.get().crash(crash);
    }

    /// Checks that a start has used the snapshot that is there, all of it that is as it was written and nothing else.
    ///
    /// Of tables that the snapshot has, a start reads none. False if one is damaged, which would show later: it is repaired, and the start begins
    /// anew.
    fn check_snapshot(&mut self, rebuilt: &Rebuilt, failed_read: Option<&FailedRead>) -> bool {
        let Rebuilt { snapshot, snapshot_failed, .. } = rebuilt;
        let whole = self.disk.get().whole_snapshot();
        assert!(whole.is_some() || !self.has_snapshot, "no snapshot is whole any more, and one was taken");
        let number = |whole: &WholeSnapshot| whole.number;
        let used = snapshot.as_ref().map(|used| used.number);
        assert_eq!(used, whole.as_ref().map(number), "the snapshot used, and the newest that is whole");
        if let (Some(whole), Some(used)) = (&whole, snapshot) {
            let disk = self.disk.get();
            let failed = failed_read.and_then(|failed| failed.file.as_deref());
            let has_failed = |part: &Part| failed == Some(part.to_string().as_str());
            let is_damaged = |part: &&Part| disk.is_lied_about(part) || has_failed(part);
            let damaged: Vec<_> = whole.parts.iter().filter(is_damaged).collect();
            assert!(
                failed_read.is_none() || damaged.iter().any(|part| has_failed(part)),
                "{failed_read:?} made no difference"
            );
            let is_sound = damaged.is_empty();
            assert_eq!(
                (used.is_all(), *snapshot_failed),
                (is_sound, !is_sound),
                "with damage in {damaged:?}"
            );
            self.totals.snapshots_damaged += u64::from(!is_sound);
        } else {
            assert_eq!(failed_read, None, "it made no difference");
        }
        let lied_about = self.disk.get().lied_about_in_store();
        let may_be_unread = snapshot.is_some() && matches!(lied_about, Some(StoreFile::Table(_)));
        assert!(lied_about.is_none() || may_be_unread, "{lied_about:?} is damaged, and was taken for sound");
        self.disk.get().repair_store();
        lied_about.is_none()
    }

    /// A start has refused what is there: a read has failed, or there was a lie about it, which is repaired.
    fn refused(&mut self, error: &RebuildError, failed_read: Option<&FailedRead>) {
        let text = chain(error);
        self.auditor.tell(self.time_us, || format!("refused: {text}"));
        if failed_read.is_some_and(|failed| failed.is_told_by(&text)) {
            self.totals.count_fault("read of a start failed");
            return;
        }
        self.totals.lies_refused += 1;
        match error {
            RebuildError::Log(_) => self.log_refused(&text),
            _ => self.store_refused(&text),
        }
    }

    /// A start has refused the log: that must be because of a lie, and is repaired.
    fn log_refused(&mut self, text: &str) {
        let lied_about = self.disk.get().lied_about();
        assert!(!lied_about.is_empty(), "a sound log is refused: {text}");
        assert!(
            lied_about.iter().any(|segment| text.contains(&format!("segment-{:02}-", segment.lane.0))),
            "damage in {lied_about:?} is not where the message says: {text}"
        );
        self.disk.get().repair();
    }

    /// A start has refused the tables or their manifest: that must be because of a lie about that very file, and is repaired.
    fn store_refused(&mut self, text: &str) {
        let lied_about = self.disk.get().lied_about_in_store();
        let Some(file) = lied_about else { panic!("a sound store is refused: {text}") };
        assert!(text.contains(&file.name()), "damage in {file:?} is not where the message says: {text}");
        self.disk.get().repair_store();
    }

    /// Checks that each claim is in one place: a table, or the log behind the tables.
    fn check_once(&self, tables: &OpenTables, held: u64) {
        let mut in_log = 0;
        let counted = recover_after(&self.disk, tables.covered(), &mut |records| {
            in_log += records.iter().filter(|record| record.kind == RecordKind::Assertion).count() as u64;
            Ok(())
        });
        counted.expect("it was just recovered");
        let in_tables = tables.manifest().entries();
        assert_eq!(
            held,
            in_tables + in_log,
            "claims held, and those of tables ({in_tables}) and log ({in_log})"
        );
    }

    /// The segments that count as those of a core.
    pub(crate) fn files_of(&self, core: usize) -> Vec<SegmentFile> {
        let cores = self.server.as_ref().expect("it is there").cores.len() as u16;
        let mut files = LogStorage::list(&self.disk).expect("the disk can be listed");
        files.retain(|file| usize::from(file.id.lane.charged_to(cores).0) == core);
        files
    }

    fn log_facts(&self, core: usize, generation: u32) -> LogFacts {
        let keeper = &self.server.as_ref().expect("it is being started").keeper;
        let (upkeep, snapshots) = (keeper.facts().clone(), keeper.snapshot_facts());
        let tables = Arc::clone(keeper.tables());
        let own = self.files_of(core);
        LogFacts {
            upkeep,
            jobs: stemedb_net::run_status::JobFacts::default(),
            snapshots,
            recovery_us: 1,
            generation,
            segments: own.len() as u64,
            segment_bytes: own.iter().map(|file| file.bytes).sum(),
            segments_given_up: 0,
            segment_bytes_each: self.scenario.lane.segment_bytes,
            tables,
        }
    }

    /// Checks what a server at rest holds. Gives what its figures must say.
    pub(crate) fn check_rest(&mut self) -> KnownFigures {
        let server = self.server.as_ref().expect("it is at rest, and runs");
        let indexes = || server.cores.iter().filter_map(|running| Some(running.core.shard()?.index()));
        let rows: Vec<_> = indexes().flat_map(|index| list(index, server.keeper.tables())).collect();
        let held: u64 = indexes().map(Index::len).sum();
        assert_eq!(held, rows.len() as u64, "claims counted, and claims listed");
        let retracted: u64 = indexes().map(Index::retracted_len).sum();
        assert_eq!(retracted, rows.iter().filter(|row| row.retracted).count() as u64, "retracted claims");
        self.model.rests(&rows);
        let files = LogStorage::list(&self.disk).expect("the disk can be listed");
        let upkeep = server.keeper.facts().snapshot();
        let new_claims = held - server.recovered_claims;
        let there = self.disk.get().tables();
        let read = self.server().keeper.held(there);
        assert!(read.is_empty(), "nobody asks for anything, and tables that were merged are held: {read:?}");
        KnownFigures {
            claims: held,
            new_claims,
            segments: files.len() as u64,
            segment_bytes: files.iter().map(|file| file.bytes).sum(),
            tables: upkeep.tables,
            table_entries: upkeep.table_entries,
        }
    }
}

/// All claims of an index, with what these tables have of them.
fn list(index: &Index, tables: &TableSet) -> Vec<Stored> {
    let mut rows = Vec::new();
    let mut query = Query {
        limit: LIMIT_MAX,
        lifecycle: LifecycleFilter::Any,
        include_retracted: true,
        ..Query::new(SubjectFilter::Subtree(String::new()))
    };
    loop {
        let mut execution = Execution::new(&query, index);
        while execution.step(index, usize::MAX) == Step::More {}
        let hits = execution.into_hits();
        let is_last = hits.len() <= LIMIT_MAX;
        rows.extend(hits.iter().take(LIMIT_MAX).map(|hit| whole(&index.view(hit.claim), tables)));
        if is_last {
            return rows;
        }
        query.after = Some(hits[LIMIT_MAX - 1].key);
    }
}

/// A claim, with what these tables have of it if it is not in memory.
fn whole(view: &ClaimView<'_>, tables: &TableSet) -> Stored {
    let Some(checkpoints) = view.stored() else { return stored(view) };
    let key = ClaimKey::new(view.subject_utf8(), view.predicate_utf8(), &view.key());
    let mut search = tables.search(&key, checkpoints);
    loop {
        let (table, range) = search.next_read().expect("a table has what is not in memory");
        let mut window = AlignedBuffer::zeroed(range.bytes);
        table.read_at(range.offset, &mut window).expect("the disk can be read");
        if let Some(parts) = search.take(&window).expect("the table is sound") {
            return stored(&view.with(&parts));
        }
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
