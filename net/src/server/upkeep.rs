//! The thread that keeps log and tables in order while the cores serve.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stemedb_engine::background::{step_back, take_turns};
use stemedb_engine::checkpoint::{
    DamagedPlace, DirManifest, Manifest, ScrubPace, Scrubbed, Store, TablesInForce, Upkeep, UpkeepConfig,
    UpkeepError, UpkeepFacts, Worked,
};
use stemedb_engine::data_dir::{DataDir, RemovalRight};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::storage::{DirStorage, SegmentFile};
use stemedb_engine::shortage::is_shortage;
use stemedb_engine::slot::LaneId;
use stemedb_engine::table::{DirTables, TableNumber};

use super::StartError;
use super::cores::Announcer;
use super::snapshots::{SnapshotPlan, Snapshots};
use crate::archive_mark;
use crate::core::Now;
use crate::driver::{AtWork, Control, wall_clock};

/// How long to wait for something to do before looking again: files that were held may have been let go of.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long to wait where space, memory or open files are short.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(5);

/// The thread, and the way to it.
pub(super) struct UpkeepThread {
    orders: Sender<Order>,
    /// Says nothing, and ends with the thread.
    life: Receiver<()>,
    thread: JoinHandle<()>,
}

/// What upkeep is to begin with.
pub(super) struct UpkeepPlan {
    pub(super) config: UpkeepConfig,
    /// Of the scrub.
    pub(super) pace: ScrubPace,
    pub(super) manifest: Manifest,
    /// The segment that each lane writes to.
    pub(super) writing: BTreeMap<LaneId, SegmentNumber>,
    pub(super) facts: UpkeepFacts,
    pub(super) snapshots: SnapshotPlan,
}

/// What the thread is told.
enum Order {
    /// A lane has sealed all segments before this one.
    LaneWrites(LaneId, SegmentNumber),
    /// A piece of a snapshot has come.
    Piece,
    /// End with the step at hand.
    Stop,
}

impl UpkeepThread {
    /// Starts upkeep of the store in `data`, which stays locked until the thread has ended, and keeps the cores informed.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(
        data: &Arc<DataDir>,
        plan: UpkeepPlan,
        informed: Informed<impl FnMut(SegmentFile) + Send + 'static>,
    ) -> Result<UpkeepThread, StartError> {
        let UpkeepPlan { config, pace, manifest, writing, facts, snapshots } = plan;
        let store = Store {
            log: Box::new(DirStorage::new(data.wal())),
            tables: Box::new(DirTables::new(data.db())),
            manifest: Box::new(DirManifest::new(data.db())),
        };
        let data = Arc::clone(data);
        UpkeepThread::running(move |orders, own| {
            step_back();
            let upkeep = Upkeep::new(store, config, manifest, writing, facts);
            let notify = Arc::new(move || drop(own.send(Order::Piece)));
            let snapshots = Snapshots::new(snapshots, notify);
            Keeper::new(upkeep, pace, snapshots, Arc::clone(&data), informed).run(orders);
        })
    }

    /// A thread that runs `keep`, which ends when it is told to stop, and is given a way to itself.
    fn running(
        keep: impl FnOnce(&Receiver<Order>, Sender<Order>) + Send + 'static,
    ) -> Result<UpkeepThread, StartError> {
        let (orders, received) = channel();
        let (alive, life) = channel();
        let own = orders.clone();
        let run = move || {
            let _alive: Sender<()> = alive;
            keep(&received, own);
        };
        let thread =
            thread::Builder::new().name("upkeep".to_owned()).spawn(run).map_err(StartError::Thread)?;
        Ok(UpkeepThread { orders, life, thread })
    }

    /// Tells that a lane has sealed all segments before `writing`.
    pub(super) fn lane_writes(&self, lane: LaneId, writing: SegmentNumber) {
        // A thread that has given up has said so.
        let _ = self.orders.send(Order::LaneWrites(lane, writing));
    }

    /// Tells the thread to end with the step at hand.
    pub(super) fn stop_soon(&self) {
        let _ = self.orders.send(Order::Stop);
    }

    /// Waits until the thread has ended, but no longer than `until`: the step at hand may take as long as the disk likes, and
    /// may be cut short at any point. A thread that is left keeps the store locked until the process ends.
    pub(super) fn wait(self, until: Instant) {
        let patience = until.saturating_duration_since(Instant::now());
        if self.life.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            tracing::info!("A checkpoint is broken off; the next start goes on from the one before");
        } else if self.thread.join().is_err() {
            tracing::error!("the thread for upkeep has panicked");
        }
    }
}

/// What cores are told while their store is kept.
pub(super) struct Informed<R> {
    /// Told of each segment that is removed.
    pub(super) removed: R,
    /// The tables that the cores know of.
    pub(super) tables: TablesInForce,
    /// Tells them of others.
    pub(super) announcer: Announcer,
    /// Where they look whether this thread is at work.
    pub(super) at_work: AtWork,
}

struct Keeper<R> {
    upkeep: Upkeep,
    pace: ScrubPace,
    snapshots: Snapshots,
    data: Arc<DataDir>,
    informed: Informed<R>,
    /// What the clock of pace and snapshots counts from.
    began: Instant,
    /// When the next step of upkeep is due; `None` once it has failed.
    due: Option<Instant>,
    /// Whether it was said what is short, since something was done last.
    has_warned: bool,
    /// When the mark of the archive is looked at again.
    archive_due: Instant,
    /// What it said.
    archived: Option<Covered>,
}

impl<R: FnMut(SegmentFile)> Keeper<R> {
    fn new(
        upkeep: Upkeep,
        pace: ScrubPace,
        snapshots: Snapshots,
        data: Arc<DataDir>,
        informed: Informed<R>,
    ) -> Keeper<R> {
        let began = Instant::now();
        Keeper {
            upkeep,
            pace,
            snapshots,
            data,
            informed,
            began,
            due: Some(began),
            has_warned: false,
            archive_due: began,
            archived: None,
        }
    }

    /// Takes steps until it is told to stop.
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            match wait(orders, self.pause(), &self.informed.at_work) {
                Ok(Order::LaneWrites(lane, writing)) => {
                    self.upkeep.lane_writes(lane, writing);
                    self.due = self.due.map(|_| Instant::now());
                    continue;
                }
                Ok(Order::Piece) => {
                    self.snapshots.piece_came();
                    continue;
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    return self.informed.at_work.set(false);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.snapshots.due_us().is_some_and(|due_us| self.at(due_us) <= Instant::now()) {
                self.snapshots.write(self.now().monotonic_us);
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.keep_up();
            }
            // One step, and checkpoints have their turn again.
            if self.scrub_due().is_some_and(|due| due <= Instant::now()) {
                self.scrub();
            }
        }
    }

    /// How long to wait for orders until there is something to do.
    fn pause(&self) -> Duration {
        let written = self.snapshots.due_us().map(|due_us| self.at(due_us));
        let due = self.due.into_iter().chain(self.scrub_due()).chain(written).min();
        due.map_or(LOOK_AGAIN, |due| due.saturating_duration_since(Instant::now()))
    }

    fn scrub_due(&self) -> Option<Instant> {
        self.pace.due_us().map(|due_us| self.at(due_us))
    }

    /// The time as snapshots are told it.
    fn now(&self) -> Now {
        Now { monotonic_us: self.began.elapsed().as_micros() as u64, wall: wall_clock() }
    }

    /// The moment that it calls so.
    fn at(&self, monotonic_us: u64) -> Instant {
        self.began + Duration::from_micros(monotonic_us)
    }

    /// Takes a step of the scrub, and tells what it has found.
    fn scrub(&mut self) {
        let scrubbed = self.upkeep.scrub(wall_clock());
        match &scrubbed {
            Scrubbed::Sound { .. } => {}
            Scrubbed::Damaged(place) => tell_damage(place),
            Scrubbed::Skipped { problem } => tracing::warn!("The scrub has passed over a file: {problem}"),
            Scrubbed::Passed => tracing::debug!("all that is stored was read again"),
        }
        self.pace.took(&scrubbed, self.now().monotonic_us);
    }

    /// Takes a step of upkeep, and sees when the next one is due.
    fn keep_up(&mut self) {
        // Cores go first, but not until the log has reached its bound and they refuse all writes.
        take_turns(!self.upkeep.is_behind());
        let stepped = self.step();
        if let Some(worked) = stepped.as_ref().err().and_then(UpkeepError::done) {
            self.tell(worked);
        }
        let pause = match stepped {
            Ok(pause) => pause,
            Err(error) if error.is_no_space() || error.is_shortage() => {
                if !self.has_warned {
                    let lack = if error.is_no_space() { "space" } else { "memory or open files" };
                    tracing::warn!("No checkpoint for want of {lack}, trying on: {}", chain(&error));
                }
                self.has_warned = true;
                SHORTAGE_PAUSE
            }
            Err(error) => {
                give_up(&error, self.upkeep.facts());
                self.due = None;
                return;
            }
        };
        self.due = Some(Instant::now() + pause);
    }

    /// Looks which part of the log is archived by now, if that is due.
    fn look_at_archive(&mut self) -> Result<(), UpkeepError> {
        if self.archive_due > Instant::now() {
            return Ok(());
        }
        self.archive_due = Instant::now() + LOOK_AGAIN;
        let Ok(Some(now)) = archived_in(self.data.wal()) else { return Ok(()) };
        if self.archived.as_ref() == Some(&now) {
            return Ok(());
        }
        // Until it is noted, nothing is removed.
        self.upkeep.archived(now.clone())?;
        self.archived = Some(now);
        Ok(())
    }

    /// Takes a step, and gives how long to wait before the next.
    fn step(&mut self) -> Result<Duration, UpkeepError> {
        self.look_at_archive()?;
        // Taken for a file that is removed, which ends the step: nobody who wants the files held waits for a checkpoint.
        let mut right = None;
        let (wal, archived) = (self.data.wal(), self.archived.as_ref());
        let tables = &mut self.informed.tables;
        let may_remove = &mut |file| {
            tables.may_remove(file) && right.get_or_insert_with(|| removal_right(wal, archived)).is_some()
        };
        let worked = self.upkeep.step(wall_clock(), may_remove)?;
        if let Worked::Checkpointed | Worked::Merged = worked {
            self.tell_tables();
        }
        if worked == Worked::Idle {
            if self.informed.tables.is_stale() {
                self.tell_tables();
            }
            // Not while tables are still to be merged: they would hold what the snapshot does not know.
            let now = self.now();
            self.snapshots.begin_if_due(self.upkeep.manifest(), now);
            return Ok(LOOK_AGAIN);
        }
        self.tell(&worked);
        self.has_warned = false;
        Ok(Duration::ZERO)
    }

    /// Tells what was done: an operator, and the cores, whose part of the log it is that gets shorter.
    fn tell(&mut self, worked: &Worked) {
        let manifest = self.upkeep.manifest();
        match worked {
            Worked::Idle | Worked::Partly => {}
            Worked::Opened { unlisted } => tell_unlisted(unlisted),
            Worked::Checkpointed => tracing::info!(
                "Checkpoint: {} assertions in {} tables, {} bytes",
                manifest.entries(),
                manifest.tables.len(),
                manifest.bytes()
            ),
            Worked::Merged => tracing::debug!(tables = manifest.tables.len(), "tables merged"),
            Worked::RemovedSegment(file) => {
                tracing::debug!(segment = %file.id, "segment removed, its claims are in tables");
                (self.informed.removed)(*file);
            }
            Worked::GaveUpSegment(file) => {
                tracing::warn!(
                    "{} was removed before it was archived, for STEMEDB_ARCHIVE_HOLD_BYTES: the archive has a gap, and needs a new full \
                     backup; docs/operations/disaster.md says more",
                    file.id
                );
                (self.informed.removed)(*file);
            }
            Worked::RemovedTable(table) => tracing::debug!(%table, "table removed"),
            Worked::FoundDamage(place) => tell_damage(place),
        }
    }
}

impl<R> Keeper<R> {
    /// Tells the cores which tables are in force now. Where one cannot be opened, they go on with those that they have.
    fn tell_tables(&mut self) {
        let Informed { tables, announcer, .. } = &mut self.informed;
        let was_stale = tables.is_stale();
        match tables.follow(self.upkeep.manifest(), &DirTables::new(self.data.db())) {
            Ok(set) => announcer.tell(|| Control::Tables(Arc::clone(set))),
            Err(_) if was_stale => {}
            Err(error) => tracing::warn!(
                "Long values stay in memory, and merged tables on the disk, trying on: {}",
                chain(&error)
            ),
        }
    }
}

/// Waits for an order, for as long as `pause`. Before and after that the thread is `at_work`.
fn wait(orders: &Receiver<Order>, pause: Duration, at_work: &AtWork) -> Result<Order, RecvTimeoutError> {
    // A glance at the orders between two steps is no rest.
    at_work.set(pause.is_zero());
    let order = orders.recv_timeout(pause);
    at_work.set(true);
    order
}

/// The right to remove files, unless somebody holds them or another part of the log is archived than is `known`: an archive run that has just
/// let go of the files counts on those being kept that it has not taken.
fn removal_right(wal: &Path, known: Option<&Covered>) -> Option<RemovalRight> {
    let right = RemovalRight::on(wal).unwrap_or_else(|error| {
        tracing::warn!(%error, "files that are needed no more are kept");
        None
    })?;
    archived_in(wal).is_ok_and(|now| now.is_none_or(|now| Some(&now) == known)).then_some(right)
}

/// Which part of the log is archived: nothing where that cannot be read. `None` where there is no archive.
///
/// # Errors
///
/// When memory or open files are too short to look: whether there is an archive is not known.
fn archived_in(wal: &Path) -> io::Result<Option<Covered>> {
    archived_by(archive_mark::read(wal), wal)
}

/// The same, where the mark was `read` so.
fn archived_by(read: io::Result<Option<Covered>>, wal: &Path) -> io::Result<Option<Covered>> {
    read.or_else(|error| {
        let path = archive_mark::path(wal);
        if is_shortage(&error) {
            tracing::warn!(%error, "{} cannot be read; nothing is removed", path.display());
            return Err(error);
        }
        tracing::warn!(%error, "{} cannot be read; nothing counts as archived", path.display());
        Ok(Some(Covered::default()))
    })
}

/// Tells what a stop in the midst of a checkpoint or a merge has left.
fn tell_unlisted(tables: &[TableNumber]) {
    if !tables.is_empty() {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        tracing::info!(
            "Removing {} tables that the manifest does not list: {}. Their claims are in the log, or in other tables",
            names.len(),
            names.join(", ")
        );
    }
}

fn tell_damage(place: &DamagedPlace) {
    tracing::error!(
        file = %place.path.display(),
        offset = place.offset,
        "Stored data is damaged: {}. All other claims are still served; docs/operations/disaster.md says what to do",
        place.problem
    );
}

fn give_up(error: &UpkeepError, facts: &UpkeepFacts) {
    facts.ended();
    tracing::error!(
        "Checkpoints have failed: {}. Claims are safe in the log, which grows up to STEMEDB_WAL_BYTES_MAX until a restart; \
         docs/operations/recovery.md says what to do",
        chain(error)
    );
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
