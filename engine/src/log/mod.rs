//! The log: what makes a write durable, and what the indexes are rebuilt from.
//!
//! Each core writes one *lane*, a sequence of *segments*; a segment holds *frames*, one for each group commit; a frame
//! holds *records*. A [`Lane`](lane::Lane) says which bytes it wants written where and is told what became of them;
//! [`recovery`] reads through a [`LogStorage`](storage::LogStorage), and [`opening`] makes what it found binding. Only
//! [`DirStorage`](storage::DirStorage) touches files. `docs/format.md` shows all that is on disk, byte by byte, and argues
//! what a crash can do to it.

pub mod blocking;
pub mod covered;
pub mod frame;
pub mod generation;
pub mod id;
pub mod inspect;
pub mod lane;
mod layout;
pub mod opening;
pub mod record;
pub mod recovery;
pub mod segment;
pub mod storage;

pub use id::{Generation, Lsn, SegmentNumber};

/// Bytes of a block: every segment header and frame starts on a block's boundary and fills whole blocks.
pub const BLOCK_BYTES: usize = 4096;

/// The largest frame, its header and padding included.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// The smallest segment that a server may be asked for: a header, a frame of the largest size, a marker and a seal fit
/// with room to spare.
pub const SEGMENT_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// The smallest segment that a log may have at all. Lanes with small frames can live in such segments, and go from one to
/// the next so often that a simulation sees it all the time.
pub const SEGMENT_BYTES_LEAST: u64 = 64 * 1024;

/// The size of a segment unless another is asked for.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
