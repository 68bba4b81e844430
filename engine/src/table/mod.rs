//! Tables: claims that left the log, in immutable files of checked and compressed blocks.
//!
//! A table holds the *entries* of an interval of the log, one for each Assertion record, sorted so that all claims of a slot, a
//! subject and a predicate are side by side; and the *retractions* of that interval, which strike claims of it and of older
//! tables. It is written once, under another name until it is whole and durable, and never changed. [`TableBuilder`] makes one of
//! records in any order, [`Merge`] makes one of several, [`pick`] says which. `docs/format.md` has the bytes.
//!
//! Nothing here knows the log, a thread or a clock: what interval a table covers, and which tables are in force, is for
//! whoever keeps the list of tables.

mod block;
mod block_index;
mod builder;
mod cursor;
mod ends;
mod entry;
mod error;
mod in_order;
mod merge;
mod pick;
mod reader;
mod retraction;
mod search;
mod storage;
mod strikes;
#[expect(clippy::module_inception, reason = "a file's name says what its main type is")]
mod table;
#[cfg(test)]
mod tests;
mod verification;
mod writer;

use std::fmt;

pub use builder::{AddError, TableBuild, TableBuilder};
pub use cursor::{Entries, EntryBlock};
pub use entry::Entry;
pub use error::{Damage, TableError, TablePart};
pub use in_order::InOrder;
pub use merge::{Merge, MergeOptions};
pub use pick::{TABLES_MAX, TIER_BYTES, TableSize, pick};
pub use retraction::{Retractions, TableRetraction};
pub use search::{ClaimKey, ReadRange, Search};
pub(crate) use storage::free_bytes;
pub use storage::{DirTables, MemoryTables, TableFile, TableSink, TableSource, TableStorage};
pub use strikes::Strikes;
pub use table::Table;
pub use verification::Verification;
pub use writer::TableWriter;

/// The number of a table, never used twice while a table of that number is there. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableNumber(pub u64);

impl TableNumber {
    /// The first table.
    pub const FIRST: TableNumber = TableNumber(1);

    /// The greatest number that is believed of a file's name: as many again follow it before a manifest believes none any more.
    const OF_FILES_MAX: TableNumber = TableNumber(u64::MAX / 4);

    /// The number after this one.
    pub fn next(self) -> TableNumber {
        TableNumber(self.0.checked_add(1).expect("nobody lives to see 2^64 tables"))
    }

    /// The number of the table that a file of this name holds, or `None` if it is not a table's name.
    ///
    /// Only the very name that the number displays is one, so that no two names stand for the same table; and counting on from it
    /// has no end.
    pub fn from_file_name(name: &str) -> Option<TableNumber> {
        let digits = name.strip_prefix("assertions-")?.strip_suffix(".kv")?;
        let number = TableNumber(digits.parse().ok()?);
        (number.to_string() == name && (Self::FIRST..=Self::OF_FILES_MAX).contains(&number)).then_some(number)
    }
}

/// The file's name: `assertions-<number>.kv`, in decimal, padded to ten digits.
impl fmt::Display for TableNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "assertions-{:010}.kv", self.0)
    }
}

/// What a finished table is, for the list of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFacts {
    /// The table's number.
    pub number: TableNumber,
    /// Bytes of its file.
    pub bytes: u64,
    /// How many claims it holds.
    pub entries: u64,
    /// How many of them are retracted.
    pub retracted: u64,
    /// How many retractions it holds.
    pub retractions: u64,
}

/// How far a step of some longer work came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step<T> {
    /// There is more to do.
    More,
    /// All is done, with this result.
    Done(T),
}

/// Bytes to which all reads and writes are aligned, and of which the header and the footer have one unit each.
const BLOCK_BYTES: usize = crate::ring::aligned::AlignedBuffer::ALIGNMENT;

/// The `N` bytes at `at`, for `from_le_bytes`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

/// Writes `field` at `at`.
fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod number_tests {
    use super::TableNumber;

    #[test]
    fn file_names_stand_for_one_table_each() {
        let name = "assertions-0000000007.kv";
        assert_eq!(TableNumber::from_file_name(name), Some(TableNumber(7)));
        assert_eq!(TableNumber(7).to_string(), name);
        for other in
            ["assertions-7.kv", "assertions-0000000000.kv", "assertions-9999999999999999999.kv", "MANIFEST"]
        {
            assert_eq!(TableNumber::from_file_name(other), None, "{other}");
        }
    }
}
