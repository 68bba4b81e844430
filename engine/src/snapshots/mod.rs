//! Index snapshots on disk: what makes a start quick, and what it may believe of them.
//!
//! A snapshot is a set of *parts*, one for each core that took it, each the [index](crate::index::SnapshotCursor) of a range of
//! slots. A part says by its [`Position`] which checkpoints and which records of the log it holds all of; a start adds the tables of later
//! checkpoints and the log, which may tell again what the part has. A snapshot is whole when its parts hold all slots, whatever
//! cores there are at the next start.
//!
//! Snapshots are not authoritative. A part gets its name when it is durable; parts of an older snapshot go when all of a newer
//! one have their names. What is missing, damaged, or of another log than the one that is there makes a start slower, and nothing else.

mod facts;
mod part;
mod position;
mod storage;
#[cfg(test)]
mod tests;
mod writer;

pub use facts::{SnapshotFacts, SnapshotFigures};
pub use part::{Part, SnapshotNumber, WholeSnapshot};
pub use position::{Mismatch, Position, PositionError};
pub use storage::{DirSnapshots, MemorySnapshots, PartSink, SnapshotStorage};
pub use writer::{
    PIECE_BYTES, Piece, SnapshotRoom, SnapshotWriter, WriteError, Written, keep_newest, keep_only,
};
