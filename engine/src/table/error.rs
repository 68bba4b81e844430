//! Why a table cannot be written or read.

use std::io;
use std::path::{Path, PathBuf};

use super::ends;
use crate::claim::{ClaimHash, DecodeError};
use crate::shortage::is_shortage;

/// Why a table cannot be written or read. Nothing that is wrong is ever handed out instead.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A table's file cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The table's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table's file cannot be read.
    #[error("{} cannot be read at offset {offset}", path.display())]
    Read {
        /// The table's file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A table's file cannot be created.
    #[error("{} cannot be created", path.display())]
    Create {
        /// The table's file, once it is finished.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table's file cannot be written. There will be no such table.
    #[error("{} cannot be written at offset {offset}", path.display())]
    Write {
        /// The table's file, once it is finished.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A table was written and could not be made durable under its name. There may or may not be such a table.
    #[error("{} cannot be made durable", path.display())]
    Finish {
        /// The table's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table is not what was written.
    #[error("{part} at offset {offset} of {} is damaged: {damage}. Nothing on disk was changed", path.display())]
    Damaged {
        /// The table's file.
        path: PathBuf,
        /// Where in it the damaged part begins, in bytes.
        offset: u64,
        /// What is damaged.
        part: TablePart,
        /// In what way.
        damage: Damage,
    },
    /// A claim was to be written that is none.
    #[error("what is to be written to {} as a claim is none: {cause}", path.display())]
    NotAClaim {
        /// The file of the table that is written.
        path: PathBuf,
        /// Why.
        cause: DecodeError,
    },
    /// Two inputs of a table hold one record, with different contents.
    #[error(
        "claim {hash} has two different records among the inputs of {}: one of them was damaged before its checksum was made. \
         Nothing on disk was changed",
        path.display()
    )]
    Contradiction {
        /// The file of the table that is written.
        path: PathBuf,
        /// The claim's hash.
        hash: ClaimHash,
    },
}

impl TableError {
    /// The file, and the offset in it, of what is damaged or cannot be read; `None` if the error is of another kind.
    pub fn damaged_place(&self) -> Option<(&Path, u64)> {
        match self {
            TableError::Open { source, .. } | TableError::Read { source, .. } if is_shortage(source) => None,
            TableError::Read { path, offset, .. } | TableError::Damaged { path, offset, .. } => {
                Some((path, *offset))
            }
            TableError::Open { path, .. } => Some((path, 0)),
            TableError::Create { .. }
            | TableError::Write { .. }
            | TableError::Finish { .. }
            | TableError::NotAClaim { .. }
            | TableError::Contradiction { .. } => None,
        }
    }
}

/// A part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablePart {
    /// The first 4 KiB.
    Header,
    /// A block of claims.
    Claims,
    /// A block of retractions.
    Retractions,
    /// The list of blocks.
    Index,
    /// The last 4 KiB.
    Footer,
}

impl std::fmt::Display for TablePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TablePart::Header => "the header",
            TablePart::Claims => "the block of claims",
            TablePart::Retractions => "the block of retractions",
            TablePart::Index => "the block index",
            TablePart::Footer => "the footer",
        })
    }
}

/// In what way a part of a table is damaged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Damage {
    /// The file does not begin or end as a table's does.
    #[error("it begins with {}, expected {}", hex::encode(actual), hex::encode(expected))]
    Magic {
        /// What each such part begins with.
        expected: [u8; 8],
        /// What this one begins with.
        actual: [u8; 8],
    },
    /// The table is of a version of the format that this software does not read.
    #[error("its format version is {actual}, but only version {} can be read", ends::FORMAT_VERSION)]
    Version {
        /// The version.
        actual: u32,
    },
    /// The part was changed, or is from another place or table.
    #[error("checksum mismatch, expected {expected:#010x}, actual {actual:#010x}")]
    Checksum {
        /// The checksum that is stored.
        expected: u32,
        /// The checksum that the bytes have.
        actual: u32,
    },
    /// A number contradicts the rest of the table.
    #[error("{field} is {actual}, expected {expected}")]
    Number {
        /// What the number says.
        field: &'static str,
        /// What it should be.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// A number is beyond its bound.
    #[error("{field} is {actual}, expected at most {bound}")]
    Bound {
        /// What the number says.
        field: &'static str,
        /// The most that it can be.
        bound: u64,
        /// What it is.
        actual: u64,
    },
    /// The file is too short.
    #[error("the file ends after {actual} bytes, expected {expected} at least")]
    CutOff {
        /// Bytes that there should be at least.
        expected: u64,
        /// Bytes that there are.
        actual: u64,
    },
    /// What was compressed cannot be decompressed.
    #[error("its bytes cannot be decompressed: {problem}")]
    Compression {
        /// Why.
        problem: String,
    },
    /// An entry is longer than what is left of its block.
    #[error("entry {entry} of the block needs {expected} bytes, {actual} are left")]
    Entry {
        /// Which, counted from 0.
        entry: u32,
        /// Bytes that it needs.
        expected: u64,
        /// Bytes that are left.
        actual: u64,
    },
    /// An entry is not behind the one before it.
    #[error("entry {entry} of the block is not in order")]
    Order {
        /// Which, counted from 0.
        entry: u32,
    },
    /// An entry's payload is none.
    #[error("the payload of entry {entry} of the block cannot be read: {cause}")]
    Payload {
        /// Which, counted from 0.
        entry: u32,
        /// Why.
        cause: DecodeError,
    },
}

impl Damage {
    /// An error if `actual` is not `expected`.
    pub(super) fn check(field: &'static str, expected: u64, actual: u64) -> Result<(), Damage> {
        if expected == actual { Ok(()) } else { Err(Damage::Number { field, expected, actual }) }
    }

    /// An error if `actual` is beyond `bound`.
    pub(super) fn check_bound(field: &'static str, bound: u64, actual: u64) -> Result<(), Damage> {
        if actual <= bound { Ok(()) } else { Err(Damage::Bound { field, bound, actual }) }
    }

    /// An error if the checksums differ.
    pub(super) fn check_sum(expected: u32, actual: u32) -> Result<(), Damage> {
        if expected == actual { Ok(()) } else { Err(Damage::Checksum { expected, actual }) }
    }

    /// The damage, and where it is.
    pub(super) fn at(self, path: &Path, offset: u64, part: TablePart) -> TableError {
        TableError::Damaged { path: path.to_path_buf(), offset, part, damage: self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_or_read_is_damaged_unless_something_is_short() {
        let is_damaged = |errno| {
            let (path, why) = (PathBuf::from("a.kv"), || io::Error::from_raw_os_error(errno));
            let errors = [
                TableError::Open { path: path.clone(), source: why() },
                TableError::Read { path, offset: 0, source: why() },
            ];
            errors.map(|error| error.damaged_place() == Some((Path::new("a.kv"), 0)))
        };
        for errno in [libc::EIO, libc::ENOENT, libc::EACCES] {
            assert_eq!(is_damaged(errno), [true; 2], "{errno}");
        }
        for errno in [libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::EAGAIN] {
            assert_eq!(is_damaged(errno), [false; 2], "{errno}");
        }
    }
}
