//! Where snapshots are kept.

mod directory;
mod memory;

use std::io::{self, Read};
use std::path::PathBuf;

use super::Part;

pub use directory::DirSnapshots;
pub use memory::MemorySnapshots;

/// The place of all snapshots of a store. Errors are passed on as they come, and nothing is tried twice.
pub trait SnapshotStorage {
    /// The parts that are finished.
    fn list(&self) -> io::Result<Vec<Part>>;

    /// Opens a finished part, to be read from its beginning. Behind its end there may be zeros.
    fn open(&self, part: &Part) -> io::Result<Box<dyn Read>>;

    /// Begins a part, in the place of what was begun of it and not finished.
    fn create(&self, part: &Part) -> io::Result<Box<dyn PartSink>>;

    /// Removes a finished part. That is durable when it returns.
    fn remove(&self, part: &Part) -> io::Result<()>;

    /// Removes what was begun and not finished, and is not being written.
    fn remove_unfinished(&self) -> io::Result<()>;

    /// Makes durable which parts there are: one that is found may have been named by a process that was killed before that.
    fn sync(&self) -> io::Result<()>;

    /// How many bytes there is still room for.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The part's file, for messages.
    fn path(&self, part: &Part) -> PathBuf;
}

/// A part that is being written. Dropped before it is finished, it leaves nothing behind.
pub trait PartSink: Send {
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the part durable, then gives it its name, durably. Answers the bytes of its file.
    fn finish(self: Box<Self>) -> io::Result<u64>;
}
