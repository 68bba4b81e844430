//! The way of a snapshot's pieces from a core to whoever writes them.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use stemedb_engine::snapshots::Piece;

use crate::core::{Core, SnapshotOrder};

/// Takes the pieces of one core's part of a snapshot, a bounded number of them at a time, and never waits.
pub struct PieceSender {
    pieces: SyncSender<Piece>,
    notify: Arc<dyn Fn() + Send + Sync>,
}

/// Why a piece was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// There is no room yet.
    Full(Piece),
    /// The snapshot was given up.
    GivenUp,
}

/// The snapshot that a core takes, if it takes one, as its driver sees it.
#[derive(Debug, Default)]
pub struct SnapshotPieces(Option<PieceSender>);

impl SnapshotPieces {
    /// Has the core take a snapshot whose pieces go to `pieces`.
    pub fn begin(&mut self, core: &mut Core, order: SnapshotOrder, pieces: PieceSender) {
        self.0 = Some(pieces);
        core.take_snapshot(order);
    }

    /// Hands over the piece that the core has, if there is room for it. True if the core can go on with the next one.
    pub fn hand_over(&mut self, core: &mut Core) -> bool {
        let Some(pieces) = &self.0 else { return false };
        let Some(piece) = core.wants().piece.take() else { return false };
        let is_last = piece.is_last;
        match pieces.send(piece) {
            Ok(()) if is_last => self.0 = None,
            Ok(()) => return true,
            // Whoever makes room wakes this core.
            Err(NotTaken::Full(piece)) => core.wants().piece = Some(piece),
            Err(NotTaken::GivenUp) => {
                self.0 = None;
                core.give_up_snapshot();
            }
        }
        false
    }
}

impl PieceSender {
    /// Sends there, and calls `notify` for each piece. Who makes room is to wake the core.
    pub fn new(pieces: SyncSender<Piece>, notify: Arc<dyn Fn() + Send + Sync>) -> PieceSender {
        PieceSender { pieces, notify }
    }

    /// Hands a piece over, unless there is no room for it, or nobody wants it any more.
    pub(crate) fn send(&self, piece: Piece) -> Result<(), NotTaken> {
        let sent = self.pieces.try_send(piece).map_err(|error| match error {
            TrySendError::Full(piece) => NotTaken::Full(piece),
            TrySendError::Disconnected(_) => NotTaken::GivenUp,
        });
        sent.map(|()| (self.notify)())
    }
}

impl fmt::Debug for PieceSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceSender").finish_non_exhaustive()
    }
}
