//! The thread that keeps log and tables in order while the cores serve.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stemedb_engine::background::step_back;
use stemedb_engine::checkpoint::{
    DirManifest, Manifest, Store, Upkeep, UpkeepConfig, UpkeepError, UpkeepFacts, Worked,
};
use stemedb_engine::data_dir::{DataDir, RemovalRight};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::storage::{DirStorage, SegmentFile};
use stemedb_engine::slot::LaneId;
use stemedb_engine::table::DirTables;

use super::StartError;
use crate::driver::wall_clock;

/// How long to wait for something to do before looking again: files that were held may have been let go of.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long to wait on a full disk.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(5);

/// The thread, and the way to it.
pub(super) struct UpkeepThread {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

/// What the thread is told.
enum Order {
    /// A lane has sealed all segments before this one.
    LaneWrites(LaneId, SegmentNumber),
    /// End with the step at hand.
    Stop,
}

impl UpkeepThread {
    /// Starts upkeep of the store in `data`. Tells `removed` of each segment that it removes.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(
        data: &DataDir,
        config: UpkeepConfig,
        manifest: Manifest,
        writing: BTreeMap<LaneId, SegmentNumber>,
        facts: UpkeepFacts,
        removed: impl FnMut(SegmentFile) + Send + 'static,
    ) -> Result<UpkeepThread, StartError> {
        let (orders, received) = channel();
        let wal = data.wal().to_owned();
        let store = Store {
            log: Box::new(DirStorage::new(data.wal())),
            tables: Box::new(DirTables::new(data.db())),
            manifest: Box::new(DirManifest::new(data.db())),
        };
        let run = move || {
            step_back();
            match Upkeep::new(store, config, manifest, writing, facts) {
                Ok(upkeep) => Keeper { upkeep, wal, removed, has_warned: false }.run(&received),
                Err(error) => give_up(&error),
            }
        };
        let thread =
            thread::Builder::new().name("upkeep".to_owned()).spawn(run).map_err(StartError::Thread)?;
        Ok(UpkeepThread { orders, thread })
    }

    /// Tells that a lane has sealed all segments before `writing`.
    pub(super) fn lane_writes(&self, lane: LaneId, writing: SegmentNumber) {
        // A thread that has given up has said so.
        let _ = self.orders.send(Order::LaneWrites(lane, writing));
    }

    /// Ends the thread, with the step at hand, and waits for that.
    pub(super) fn stop(self) {
        let _ = self.orders.send(Order::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread for upkeep has panicked");
        }
    }
}

struct Keeper<R> {
    upkeep: Upkeep,
    wal: PathBuf,
    removed: R,
    /// Whether it was said that there is no space, since something was done last.
    has_warned: bool,
}

impl<R: FnMut(SegmentFile)> Keeper<R> {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut pause = Duration::ZERO;
        loop {
            match orders.recv_timeout(pause) {
                Ok(Order::LaneWrites(lane, writing)) => {
                    self.upkeep.lane_writes(lane, writing);
                    continue;
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            pause = match self.step() {
                Ok(pause) => pause,
                Err(error) if error.is_no_space() => {
                    if !self.has_warned {
                        tracing::warn!("No checkpoint for want of space, trying on: {}", chain(&error));
                    }
                    self.has_warned = true;
                    NO_SPACE_PAUSE
                }
                Err(error) => return give_up(&error),
            };
        }
    }

    /// Takes a step, and gives how long to wait before the next.
    fn step(&mut self) -> Result<Duration, UpkeepError> {
        // Let go of after the step.
        let mut right = None;
        let wal = &self.wal;
        let may_remove = &mut || match RemovalRight::on(wal) {
            Ok(granted) => {
                right = granted;
                right.is_some()
            }
            Err(error) => {
                tracing::warn!(%error, "files that are needed no more are kept");
                false
            }
        };
        let worked = self.upkeep.step(wall_clock(), may_remove)?;
        let manifest = self.upkeep.manifest();
        match worked {
            Worked::Idle => return Ok(LOOK_AGAIN),
            Worked::Partly => {}
            Worked::Checkpointed => tracing::info!(
                "Checkpoint: {} assertions in {} tables, {} bytes",
                manifest.entries(),
                manifest.tables.len(),
                manifest.bytes()
            ),
            Worked::Merged => tracing::debug!(tables = manifest.tables.len(), "tables merged"),
            Worked::RemovedSegment(file) => {
                tracing::debug!(segment = %file.id, "segment removed, its claims are in tables");
                (self.removed)(file);
            }
            Worked::RemovedTable(table) => tracing::debug!(%table, "table removed"),
        }
        self.has_warned = false;
        Ok(Duration::ZERO)
    }
}

fn give_up(error: &UpkeepError) {
    tracing::error!(
        "Checkpoints have failed: {}. Claims are safe in the log, which grows until a restart; \
         docs/operations/recovery.md says what to do",
        chain(error)
    );
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
