//! Why a snapshot is of no use.

use std::io;

use crate::index::IndexFull;

/// Why an index cannot be restored from a snapshot. It can always be built without one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("the index snapshot cannot be read at offset {offset}")]
    Read {
        /// Where, in bytes.
        offset: u64,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It ends before its footer: it was never finished, or was cut.
    #[error("the index snapshot ends too early: nothing more to read behind offset {offset}")]
    Truncated {
        /// Where what is missing begins, in bytes.
        offset: u64,
    },
    /// It is something else.
    #[error("this is no index snapshot: it begins with \"{}\", expected \"STEMEIDX\"", found.escape_ascii())]
    Magic {
        /// What it begins with.
        found: [u8; 8],
    },
    /// Another version wrote it.
    #[error(
        "the index snapshot is of version {version}, expected {}; it is made anew",
        super::block::VERSION
    )]
    Version {
        /// Which.
        version: u32,
    },
    /// A block is larger than any can be.
    #[error(
        "the block at offset {offset} of the index snapshot says {bytes} bytes, expected at most {bytes_max}"
    )]
    BlockBytes {
        /// Where the block begins.
        offset: u64,
        /// How large it says it is.
        bytes: usize,
        /// How large a block can be.
        bytes_max: usize,
    },
    /// A block is damaged, or does not belong where it is.
    #[error(
        "the block at offset {offset} of the index snapshot is damaged: its checksum is {expected:#010x}, \
         its content has {actual:#010x}"
    )]
    Checksum {
        /// Where the block begins.
        offset: u64,
        /// The checksum that it says.
        expected: u32,
        /// The checksum of its content.
        actual: u32,
    },
    /// A block is of a section that does not exist.
    #[error(
        "the block at offset {offset} of the index snapshot is of section {number}, which does not exist"
    )]
    Section {
        /// Where the block begins.
        offset: u64,
        /// The number of the section.
        number: u32,
    },
    /// It holds the claims of other slots.
    #[error(
        "the index snapshot holds slots {} to {}, expected {} to {}; the number of cores was another one",
        actual.0, actual.1, expected.0, expected.1
    )]
    Slots {
        /// The first slot, and the one after the last.
        expected: (u16, u16),
        /// The same, as the snapshot has it.
        actual: (u16, u16),
    },
    /// A block is undamaged and what it says is wrong.
    #[error("the block at offset {offset} of the index snapshot, its {section}, is wrong: {problem}")]
    Content {
        /// Where the block begins.
        offset: u64,
        /// What the block holds.
        section: &'static str,
        /// What is wrong: what was expected, and what is there.
        problem: String,
    },
    /// The index does not fit.
    #[error("the index snapshot does not fit")]
    Full(#[source] IndexFull),
}
