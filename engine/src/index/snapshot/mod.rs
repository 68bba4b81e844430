//! Snapshots: an index written down piece by piece while it goes on changing, and read back at a start.
//!
//! What an index holds is never changed once it is there, but for links, order lists, hash tables and whether claims are
//! retracted. So a [`SnapshotCursor`] fixes how much there is when it begins, and writes that, whatever comes meanwhile.
//! Links and hash tables are not written: they are made anew. Order is, since to find it takes much longer than to check
//! it. Claims that were retracted after their rows were written count as not retracted: who restores a snapshot reads
//! the log from where the snapshot began.
//!
//! ```text
//! magic "STEMEIDX", version u32, blocks
//! block: section u16, zero u16, bytes of the payload u32, CRC-32C u32, payload
//! ```
//!
//! The checksum of a block covers all before it too, but for the other checksums. `docs/format.md` has the payloads.
//!
//! Nothing in a snapshot is trusted because its checksums are right: what could make a query panic, or find something else
//! than the same claims inserted one by one, is checked. Whether a claim's hash is that of its content is not: that would
//! take longer than the rest together.

mod block;
mod body;
mod cursor;
mod error;
mod restore;
mod sections;

pub use cursor::SnapshotCursor;
pub use error::SnapshotError;

/// The longest position, in bytes.
pub const POSITION_BYTES_MAX: usize = 64 << 10;

/// How much of everything a snapshot holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    claims: u32,
    series: u32,
    subjects: u32,
    sources: u32,
    predicates: u32,
    epochs: u32,
    agents: u32,
    /// Claims with long parts.
    long: u32,
}

/// The bit of a row's series that says that the claim is retracted.
const RETRACTED: u32 = 1 << 31;

/// The bit of a claim's number that says that it is the oldest of the next series.
const FIRST_OF_SERIES: u32 = 1 << 31;

/// Bytes of a row: hash, timestamp, order, series.
const ROW_BYTES: usize = 32 + 8 + 8 + 4;

/// Bytes of long parts before their texts: first and last checkpoint, both 0 if they are in memory; bytes of the value, bytes of
/// the metadata.
const LONG_BYTES: usize = 4 * 4;

#[cfg(test)]
mod tests;
