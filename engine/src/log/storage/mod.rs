//! Where segments are kept: what recovery reads through, and what a start prepares and writes through.
//!
//! A running lane's writes do not come this way; they go to the ring.

mod directory;
#[cfg(test)]
pub(crate) mod hooked;
mod memory;

use std::io;
use std::path::PathBuf;

use crate::log::segment::SegmentId;

pub use directory::DirStorage;
pub use memory::MemoryStorage;

/// A segment that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFile {
    /// Which segment.
    pub id: SegmentId,
    /// Bytes of its file.
    pub bytes: u64,
}

/// Segments to be read. Nothing here changes anything.
pub trait LogStorage {
    /// All segments, in any order.
    fn list(&self) -> io::Result<Vec<SegmentFile>>;

    /// Reads from `offset` on into `buffer` and returns how many bytes were read: fewer than it holds only at the end of the file.
    /// Offset, length and address of the buffer are multiples of [`BLOCK_BYTES`](crate::log::BLOCK_BYTES).
    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The segment's file, for messages.
    fn path(&self, segment: SegmentId) -> PathBuf;
}

/// Segments to be written, in the few ways that starting a log needs. When a call returns, its effect is durable.
pub trait LogDisk: LogStorage {
    /// Makes a segment of `bytes` zeros, in place of one of this name.
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()>;

    /// Writes `bytes` at `offset` and returns how many were written. All three are aligned as for [`LogStorage::read`].
    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Makes durable what was written to the segment before, by whomever.
    fn sync(&mut self, segment: SegmentId) -> io::Result<()>;

    /// Makes the names of all segments durable, whoever gave them.
    fn sync_names(&mut self) -> io::Result<()>;

    /// Cuts the segment's file to `bytes`.
    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()>;

    /// Removes the segment.
    fn remove(&mut self, segment: SegmentId) -> io::Result<()>;
}
