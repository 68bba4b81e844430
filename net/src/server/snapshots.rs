//! When snapshots of the indexes are taken, and their way from the cores to the disk.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::snapshots::{DirSnapshots, Piece, SnapshotFacts, SnapshotWriter, WriteError, Written};
use stemedb_engine::time::UnixMicros;

use super::cores::Announcer;
use crate::core::SnapshotOrder;
use crate::driver::{Control, PieceSender};

/// Pieces of one core that may wait to be written.
const PIECES_MAX: usize = 1;

/// How long to wait after a piece of each core. A core that has nothing to wait for works on its snapshot without a pause, and takes the CPU
/// from the kernel's workers for its own log writes; so it is made to wait, and gives 64 MB/s.
const PIECE_PAUSE: Duration = Duration::from_millis(4);

/// A snapshot is due when at least this part of the tables, in bytes, is not in the last one: a start reads them anew.
const BYTES_DUE_SHARE: u64 = 4;

/// And not before there are as many bytes of them as this part of a checkpoint: below that a start is quick without.
const CHECKPOINT_DUE_SHARE: u64 = 4;

/// How long to wait with the next snapshot after one that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// What taking snapshots takes.
pub(super) struct SnapshotPlan {
    pub(super) storage: DirSnapshots,
    /// The slots of each core.
    pub(super) slots: Vec<Range<u16>>,
    pub(super) cores: Announcer,
    /// When the generation was opened.
    pub(super) opened: UnixMicros,
    /// Checkpoints that the snapshot holds that is there; 0 if there is none.
    pub(super) checkpoints: u64,
    /// About how many bytes go into a checkpoint.
    pub(super) checkpoint_bytes: u64,
    pub(super) facts: SnapshotFacts,
}

/// Orders snapshots when they are due, and writes them.
pub(super) struct Snapshots {
    plan: SnapshotPlan,
    /// Called when a piece of a snapshot has come.
    notify: Arc<dyn Fn() + Send + Sync>,
    taking: Option<Taking>,
    /// After a failure: when to try again.
    not_before: Option<Instant>,
}

struct Taking {
    writer: SnapshotWriter,
    order: SnapshotOrder,
    began: Instant,
    /// By core. None once its last piece was there.
    pieces: Vec<Option<Receiver<Piece>>>,
    /// When the next pieces may be taken.
    next_write: Instant,
    /// Whether there may be one.
    has_pieces: bool,
}

/// Why a snapshot was given up.
#[derive(Debug, thiserror::Error)]
enum GivenUp {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("core {core} does not go on with it")]
    Core { core: usize },
}

impl Snapshots {
    /// None yet. When a piece of one has come, `notify` is called, by the core that it is from.
    pub(super) fn new(plan: SnapshotPlan, notify: Arc<dyn Fn() + Send + Sync>) -> Snapshots {
        Snapshots { plan, notify, taking: None, not_before: None }
    }

    /// Orders a snapshot if one is due, of what is in the tables of `manifest` and more.
    pub(super) fn begin_if_due(&mut self, manifest: &Manifest, now: UnixMicros) {
        let is_soon = self.not_before.is_some_and(|not_before| Instant::now() < not_before);
        if self.taking.is_some() || is_soon || !self.is_due(manifest) {
            return;
        }
        match SnapshotWriter::begin(&self.plan.storage, &self.plan.slots) {
            Ok(writer) => self.begin(writer, manifest.checkpoints, now),
            Err(error) => self.give_up(&error.into()),
        }
    }

    /// Notes that a piece has come.
    pub(super) fn piece_came(&mut self) {
        if let Some(taking) = &mut self.taking {
            taking.has_pieces = true;
        }
    }

    /// When there is something to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.taking.as_ref().filter(|taking| taking.has_pieces).map(|taking| taking.next_write)
    }

    /// Writes a piece of each core that has one, and lets these cores go on.
    pub(super) fn write(&mut self) {
        let Some(taking) = &mut self.taking else { return };
        match taking.write(&self.plan) {
            Ok(Written::Partly) => {}
            Ok(Written::Whole { bytes }) => self.end(bytes),
            Err(error) => self.give_up(&error),
        }
    }

    fn is_due(&self, manifest: &Manifest) -> bool {
        let beyond_bytes = manifest.bytes_after(self.plan.checkpoints);
        beyond_bytes >= self.plan.checkpoint_bytes / CHECKPOINT_DUE_SHARE
            && beyond_bytes >= manifest.bytes() / BYTES_DUE_SHARE
    }

    fn begin(&mut self, writer: SnapshotWriter, checkpoints: u64, now: UnixMicros) {
        let order = SnapshotOrder { taken: now, checkpoints, opened: self.plan.opened };
        let begin = |core| {
            let (sender, receiver) = sync_channel(PIECES_MAX);
            let sender = PieceSender::new(sender, Arc::clone(&self.notify));
            self.plan.cores.tell_one(core, Control::TakeSnapshot(order, sender));
            Some(receiver)
        };
        let pieces = (0..self.plan.slots.len()).map(begin).collect();
        tracing::debug!(number = writer.number().0, "index snapshot begun");
        let began = Instant::now();
        self.taking = Some(Taking { writer, order, began, pieces, next_write: began, has_pieces: false });
    }

    fn end(&mut self, bytes: u64) {
        let Taking { writer, order, began, .. } = self.taking.take().expect("it has just become whole");
        let took = began.elapsed();
        self.plan.checkpoints = order.checkpoints;
        self.not_before = None;
        self.plan.facts.taken(order.taken.0.unsigned_abs(), bytes, took.as_micros() as u64);
        tracing::info!("Index snapshot {} taken: {bytes} bytes in {took:.1?}", writer.number().0);
    }

    /// Leaves the snapshot. The cores find that nobody takes their pieces any more.
    fn give_up(&mut self, error: &GivenUp) {
        self.taking = None;
        self.plan.facts.failed();
        if self.not_before.is_none() {
            tracing::warn!("No index snapshot, trying again later: {error}. The next start may take longer");
        }
        self.not_before = Some(Instant::now() + FAILED_PAUSE);
    }
}

impl Taking {
    fn write(&mut self, plan: &SnapshotPlan) -> Result<Written, GivenUp> {
        self.has_pieces = false;
        self.next_write = Instant::now() + PIECE_PAUSE;
        for (core, receiver) in self.pieces.iter_mut().enumerate() {
            let Some(pieces) = receiver else { continue };
            let piece = match pieces.try_recv() {
                Ok(piece) => piece,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Disconnected) => return Err(GivenUp::Core { core }),
            };
            // The next one may be there already, whose coming was noted together with this one's.
            self.has_pieces = true;
            plan.cores.wake(core);
            if piece.is_last {
                *receiver = None;
            }
            let written = self.writer.write(&plan.storage, core, &piece)?;
            if written != Written::Partly {
                return Ok(written);
            }
        }
        Ok(Written::Partly)
    }
}
