//! Taking a snapshot of the core's index, a little in each turn.

use stemedb_engine::index::SnapshotCursor;
use stemedb_engine::log::Generation;
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::LaneId;
use stemedb_engine::snapshots::{PIECE_BYTES, Piece, Position};
use stemedb_engine::time::UnixMicros;

use super::Ticket;

/// What a turn does for a snapshot, in bytes: some ten microseconds' worth.
pub(super) const BYTES_A_TURN: usize = 16 << 10;

/// A snapshot that is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotOrder {
    /// When it was ordered.
    pub taken: UnixMicros,
    /// How many checkpoints had been made by then, of segments that lanes had told to have left.
    pub checkpoints: u64,
    /// When the server's generation was opened.
    pub opened: UnixMicros,
}

/// The snapshot that a core takes, if it takes one.
#[derive(Debug, Default)]
pub(super) struct Snapshotting {
    /// It begins when no retraction is being applied.
    ordered: Option<SnapshotOrder>,
    taking: Option<Taking>,
}

#[derive(Debug)]
struct Taking {
    cursor: SnapshotCursor,
    /// The piece that is being filled.
    bytes: Vec<u8>,
}

impl Snapshotting {
    /// Begins as soon as may be, in the place of what was under way.
    pub(super) fn order(&mut self, order: SnapshotOrder) {
        *self = Snapshotting { ordered: Some(order), taking: None };
    }

    /// Gives up what is under way.
    pub(super) fn give_up(&mut self) {
        *self = Snapshotting::default();
    }

    /// Whether a step would do something.
    pub(super) fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// Goes on by a little. Answers a piece when that is full, or the last one.
    ///
    /// To be called when all that is durable has been applied to the index.
    pub(super) fn step(&mut self, shard: &Shard<Ticket>) -> Option<Piece> {
        if let Some(order) = self.ordered
            && let Some(lsn) = shard.applied()
        {
            self.ordered = None;
            let config = shard.lane().config();
            let (lane, generation): (LaneId, Generation) = (config.lane, config.generation);
            let SnapshotOrder { taken, checkpoints, opened } = order;
            let checkpoints = checkpoints + u64::from(planted::is(Bug::CountCheckpointsTooEarly));
            let position = Position { taken, checkpoints, generation, opened, lane, lsn };
            let cursor = SnapshotCursor::new(shard.index(), shard.slots(), position.encode());
            self.taking = Some(Taking { cursor, bytes: Vec::new() });
        }
        let Taking { cursor, bytes } = self.taking.as_mut()?;
        if bytes.capacity() == 0 {
            bytes.reserve_exact(PIECE_BYTES + 2 * BYTES_A_TURN);
        }
        let is_last = cursor.step(shard.index(), BYTES_A_TURN, bytes);
        if !is_last && bytes.len() < PIECE_BYTES {
            return None;
        }
        let bytes = std::mem::take(bytes);
        if is_last {
            self.taking = None;
        }
        Some(Piece { bytes, is_last })
    }
}
