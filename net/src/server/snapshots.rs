//! When snapshots of the indexes are taken, and their way from the cores to the disk.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::snapshots::{
    Piece, SnapshotFacts, SnapshotRoom, SnapshotStorage, SnapshotWriter, WriteError, Written, keep_newest,
};
use stemedb_engine::time::UnixMicros;

use crate::core::{Now, SnapshotOrder};
use crate::driver::PieceSender;

/// Pieces of one core that may wait to be written.
const PIECES_MAX: usize = 1;

/// How long to wait after a piece of each core. A core that has nothing to wait for works on its snapshot without a pause, and takes the CPU
/// from the kernel's workers for its own log writes; so it is made to wait, and gives 64 MB/s.
const PIECE_PAUSE_US: u64 = 4_000;

/// A snapshot is due when at least this part of the tables, in bytes, is not in the last one: a start reads them anew.
const BYTES_DUE_SHARE: u64 = 2;

/// And not before there are as many bytes of them as this part of a checkpoint: below that a start is quick without.
const CHECKPOINT_DUE_SHARE: u64 = 4;

/// How long to wait with the next snapshot after one that failed.
const FAILED_PAUSE_US: u64 = 60_000_000;

/// The cores whose indexes are written down.
pub trait SnapshotCores: Send {
    /// Orders a snapshot from a core, in the place of one that it is taking; its pieces are to go there.
    fn order(&self, core: usize, order: SnapshotOrder, pieces: PieceSender);

    /// Lets a core look again whether there is room for its piece.
    fn wake(&self, core: usize);
}

/// What taking snapshots takes.
pub struct SnapshotPlan {
    /// Where they are kept.
    pub storage: Box<dyn SnapshotStorage + Send>,
    /// The slots of each core.
    pub slots: Vec<Range<u16>>,
    /// The cores.
    pub cores: Box<dyn SnapshotCores>,
    /// When the generation was opened.
    pub opened: UnixMicros,
    /// Checkpoints that the snapshot holds that is there; 0 if there is none.
    pub checkpoints: u64,
    /// About how many bytes go into a checkpoint.
    pub checkpoint_bytes: u64,
    /// Bytes of the disk that are left for the log.
    pub spare_bytes: u64,
    /// What is counted.
    pub facts: SnapshotFacts,
}

/// Orders snapshots when they are due, and writes them. It is told the time, by any clock that never goes back.
pub struct Snapshots {
    plan: SnapshotPlan,
    /// Called when a piece of a snapshot has come.
    notify: Arc<dyn Fn() + Send + Sync>,
    taking: Option<Taking>,
    size: Size,
    /// After a failure: when to try again.
    not_before_us: Option<u64>,
}

/// What is known of how large a snapshot will be.
#[derive(Debug, Default)]
struct Size {
    /// Bytes of the last one that was taken since the start.
    last_bytes: Option<u64>,
    /// Bytes that one had taken since then when there was no room for more.
    given_up_bytes: u64,
}

struct Taking {
    writer: SnapshotWriter,
    order: SnapshotOrder,
    began_us: u64,
    /// By core. None once its last piece was there.
    pieces: Vec<Option<Receiver<Piece>>>,
    /// When the next pieces may be taken.
    next_write_us: u64,
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
    pub fn new(plan: SnapshotPlan, notify: Arc<dyn Fn() + Send + Sync>) -> Snapshots {
        Snapshots { plan, notify, taking: None, size: Size::default(), not_before_us: None }
    }

    /// Orders a snapshot if one is due, of what is in the tables of `manifest` and more.
    pub fn begin_if_due(&mut self, manifest: &Manifest, now: Now) {
        let is_soon = self.not_before_us.is_some_and(|not_before_us| now.monotonic_us < not_before_us);
        if self.taking.is_some() || is_soon || !self.is_due(manifest) {
            return;
        }
        let expected_bytes =
            self.size.expected_bytes(manifest.bytes(), manifest.bytes_after(self.plan.checkpoints));
        let room = SnapshotRoom { expected_bytes, spare_bytes: self.plan.spare_bytes };
        match SnapshotWriter::begin(&*self.plan.storage, &self.plan.slots, room) {
            Ok(writer) => self.begin(writer, manifest.checkpoints, now),
            Err(error) => self.give_up(&error.into(), now.monotonic_us),
        }
    }

    /// Notes that a piece has come.
    pub fn piece_came(&mut self) {
        if let Some(taking) = &mut self.taking {
            taking.has_pieces = true;
        }
    }

    /// When there is something to be written.
    pub fn due_us(&self) -> Option<u64> {
        self.taking.as_ref().filter(|taking| taking.has_pieces).map(|taking| taking.next_write_us)
    }

    /// Writes a piece of each core that has one, and lets these cores go on.
    pub fn write(&mut self, now_us: u64) {
        let Some(taking) = &mut self.taking else { return };
        match taking.write(&self.plan, now_us) {
            Ok(Written::Partly) => {}
            Ok(Written::Whole { bytes }) => self.end(bytes, now_us),
            Err(error) => self.give_up(&error, now_us),
        }
    }

    fn is_due(&self, manifest: &Manifest) -> bool {
        let beyond_bytes = manifest.bytes_after(self.plan.checkpoints);
        beyond_bytes >= self.plan.checkpoint_bytes / CHECKPOINT_DUE_SHARE
            && beyond_bytes >= manifest.bytes() / BYTES_DUE_SHARE
    }

    fn begin(&mut self, writer: SnapshotWriter, checkpoints: u64, now: Now) {
        let order = SnapshotOrder { taken: now.wall, checkpoints, opened: self.plan.opened };
        let begin = |core| {
            let (sender, receiver) = sync_channel(PIECES_MAX);
            let sender = PieceSender::new(sender, Arc::clone(&self.notify));
            self.plan.cores.order(core, order, sender);
            Some(receiver)
        };
        let pieces = (0..self.plan.slots.len()).map(begin).collect();
        tracing::debug!(number = writer.number().0, "index snapshot begun");
        let began_us = now.monotonic_us;
        self.taking =
            Some(Taking { writer, order, began_us, pieces, next_write_us: began_us, has_pieces: false });
    }

    fn end(&mut self, bytes: u64, now_us: u64) {
        let Taking { writer, order, began_us, .. } = self.taking.take().expect("it has just become whole");
        let took_us = now_us.saturating_sub(began_us);
        self.plan.checkpoints = order.checkpoints;
        self.size = Size { last_bytes: Some(bytes), given_up_bytes: 0 };
        self.not_before_us = None;
        self.plan.facts.taken(order.taken.0.unsigned_abs(), bytes, took_us);
        let took = Duration::from_micros(took_us);
        tracing::info!("Index snapshot {} taken: {bytes} bytes in {took:.1?}", writer.number().0);
    }

    /// Leaves the snapshot. The cores find that nobody takes their pieces any more.
    fn give_up(&mut self, error: &GivenUp, now_us: u64) {
        let taken_bytes = self.taking.take().map(|taking| taking.writer.taken_bytes());
        if taken_bytes.is_some() {
            // What has its name already takes room, too. What cannot be removed now is when the next one begins.
            let _ = keep_newest(&*self.plan.storage);
        }
        if let GivenUp::Write(WriteError::NoRoom { .. }) = error {
            // What is wrong is told by what tells of full disks.
            self.size.given_up_bytes = taken_bytes.unwrap_or(self.size.given_up_bytes);
        } else {
            self.plan.facts.failed();
        }
        if self.not_before_us.is_none() {
            tracing::warn!("No index snapshot, trying again later: {error}. The next start may take longer");
        }
        self.not_before_us = Some(now_us + FAILED_PAUSE_US);
    }
}

impl Size {
    /// About how many bytes the next one will have, where tables have so many, of which so many are not in the last one. Where there was no
    /// room for that, twice as many as there was room for: what is given up costs the disk as much as what is not.
    fn expected_bytes(&self, table_bytes: u64, beyond_bytes: u64) -> u64 {
        let expected = self.last_bytes.map_or(table_bytes, |last_bytes| last_bytes + beyond_bytes);
        expected.max(2 * self.given_up_bytes)
    }
}

impl Taking {
    fn write(&mut self, plan: &SnapshotPlan, now_us: u64) -> Result<Written, GivenUp> {
        self.has_pieces = false;
        self.next_write_us = now_us + PIECE_PAUSE_US;
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
            let written = self.writer.write(&*plan.storage, core, &piece)?;
            if written != Written::Partly {
                return Ok(written);
            }
        }
        Ok(Written::Partly)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: where there is no room, snapshots are not begun again and again, and leave nothing. Method: what is expected of the next one after
    //! each course that one can take, and a storage that has too little room for one of two parts.

    use std::sync::Mutex;

    use stemedb_engine::slot::SLOTS;
    use stemedb_engine::snapshots::{MemorySnapshots, Part, SnapshotNumber};

    use super::*;

    /// Cores whose pieces the test sends.
    #[derive(Clone, Default)]
    struct Cores(Arc<Mutex<Vec<PieceSender>>>);

    impl Cores {
        fn send(&self, core: usize, bytes: usize, is_last: bool) {
            let senders = self.0.lock().expect("nobody panics with it");
            senders[core].send(Piece { bytes: vec![1; bytes], is_last }).expect("it is taken");
        }
    }

    impl SnapshotCores for Cores {
        fn order(&self, core: usize, _: SnapshotOrder, pieces: PieceSender) {
            self.0.lock().expect("nobody panics with it").insert(core, pieces);
        }

        fn wake(&self, _: usize) {}
    }

    #[test]
    fn a_snapshot_that_is_given_up_leaves_the_one_before_it_and_nothing_else() {
        let (storage, cores) = (MemorySnapshots::new(), Cores::default());
        let before = Part { number: SnapshotNumber::FIRST, slots: 0..SLOTS };
        storage.insert(&before, vec![1; 40]);
        let plan = SnapshotPlan {
            storage: Box::new(storage.clone()),
            slots: vec![0..512, 512..SLOTS],
            cores: Box::new(cores.clone()),
            opened: UnixMicros(1),
            checkpoints: 0,
            checkpoint_bytes: 0,
            spare_bytes: 1000,
            facts: SnapshotFacts::default(),
        };
        let mut snapshots = Snapshots::new(plan, Arc::new(|| {}));
        snapshots.begin_if_due(&Manifest::empty(), Now { monotonic_us: 0, wall: UnixMicros(1) });
        cores.send(0, 40, true);
        snapshots.piece_came();
        snapshots.write(0);
        assert_eq!(storage.list().expect("memory").len(), 2, "one part of two has its name");
        storage.set_bytes_max(80 + 1000 + 9);
        cores.send(1, 10, false);
        snapshots.piece_came();
        snapshots.write(PIECE_PAUSE_US);
        assert_eq!((storage.list().expect("memory"), storage.unfinished()), (vec![before], 0));
        assert_eq!(snapshots.size.given_up_bytes, 40);
    }

    #[test]
    fn a_snapshot_is_expected_to_be_like_the_last_one_and_larger_than_there_was_room_for() {
        let mut size = Size::default();
        assert_eq!(size.expected_bytes(1000, 300), 1000, "nothing is known but the tables");
        size.given_up_bytes = 400;
        assert_eq!(size.expected_bytes(1000, 300), 1000);
        size.given_up_bytes = 900;
        assert_eq!(size.expected_bytes(1000, 300), 1800);
        size = Size { last_bytes: Some(2000), given_up_bytes: 0 };
        assert_eq!(size.expected_bytes(1000, 300), 2300);
    }
}
