//! The way of a snapshot's pieces from a core to whoever writes them.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use stemedb_engine::snapshots::Piece;

/// Takes the pieces of one core's part of a snapshot, a bounded number of them at a time, and never waits.
pub struct PieceSender {
    pieces: SyncSender<Piece>,
    notify: Arc<dyn Fn() + Send + Sync>,
}

/// Why a piece was not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// There is no room yet.
    Full(Piece),
    /// The snapshot was given up.
    GivenUp,
}

impl PieceSender {
    /// Sends there, and calls `notify` for each piece. Who makes room is to wake the core.
    pub fn new(pieces: SyncSender<Piece>, notify: Arc<dyn Fn() + Send + Sync>) -> PieceSender {
        PieceSender { pieces, notify }
    }

    /// Hands a piece over.
    ///
    /// # Errors
    ///
    /// When there is no room for it, or nobody wants it any more.
    pub fn send(&self, piece: Piece) -> Result<(), NotTaken> {
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
