//! Why tables cannot be relied on, or not be made.

use std::io;
use std::path::{Path, PathBuf};

use super::damage::with_causes;
use super::{ManifestError, ReplaceError, Worked};
use crate::claim::DecodeError;
use crate::log::recovery::RecoveryError;
use crate::log::segment::SegmentId;
use crate::shortage;
use crate::table::{TableError, TableNumber};

/// What ends every message about tables that are not as they must be.
const ADVICE: &str = "Nothing on disk was changed; docs/operations/recovery.md says what to do";

/// Why a store's tables cannot be relied on. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The manifest cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    ReadManifest {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is damaged, or from another version.
    #[error("the manifest of the tables, {}, is not valid: {cause}. {ADVICE}", .path.display())]
    Manifest {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ManifestError,
    },
    /// The tables cannot be listed.
    #[error("the tables in the directory of {} cannot be listed: {source}", .path.display())]
    ListTables {
        /// The manifest's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table that the manifest lists is not there, or is another one.
    #[error("{}, which the manifest lists with {expected} bytes, {}. {ADVICE}", .path.display(), match .actual {
        None => "is missing".to_owned(),
        Some(actual) => format!("has {actual} bytes"),
    })]
    Table {
        /// The table's file.
        path: PathBuf,
        /// The bytes that it must have.
        expected: u64,
        /// The bytes that it has, if it is there.
        actual: Option<u64>,
    },
    /// A table is damaged, or cannot be read.
    #[error("{}. {ADVICE}", with_causes(.0))]
    Damage(Box<TableError>),
    /// A retraction of a table cannot be understood.
    #[error("a retraction in {} cannot be understood: {cause}. {ADVICE}", .path.display())]
    Record {
        /// The table's file.
        path: PathBuf,
        /// What is wrong with it.
        cause: DecodeError,
    },
}

impl From<TableError> for StoreError {
    fn from(error: TableError) -> StoreError {
        StoreError::Damage(Box::new(error))
    }
}

/// Why upkeep could not go on.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// What the log holds cannot be read.
    #[error("the log cannot be checkpointed")]
    Log(#[from] RecoveryError),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The manifest cannot be replaced.
    #[error("cannot replace {}", .path.display())]
    Manifest {
        /// Its file.
        path: PathBuf,
        /// Why, and which holds.
        source: ReplaceError,
    },
    /// The manifest that the start has read may be gone after a power cut.
    #[error("cannot make {} durable", .path.display())]
    SyncManifest {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is not needed any more cannot be found.
    #[error("cannot look for what is not needed any more")]
    List {
        /// Why.
        source: io::Error,
    },
    /// A segment that is covered cannot be removed.
    #[error("cannot remove {segment}, whose claims are in tables")]
    RemoveSegment {
        /// The segment.
        segment: SegmentId,
        /// Why.
        source: io::Error,
    },
    /// A segment that is covered is gone, but after a power cut it may be there again.
    #[error("cannot make it durable that {segment}, whose claims are in tables, is removed")]
    SyncRemoval {
        /// The segment.
        segment: SegmentId,
        /// What was done all the same.
        done: Worked,
        /// Why.
        source: io::Error,
    },
    /// A table that was merged into another cannot be removed.
    #[error("cannot remove {table}, whose claims are in other tables")]
    RemoveTable {
        /// The table.
        table: TableNumber,
        /// Why.
        source: io::Error,
    },
}

impl UpkeepError {
    /// The file, and the offset in it, of what is damaged or cannot be read; `None` if the error is of another kind.
    pub fn damaged_place(&self) -> Option<(&Path, u64)> {
        match self {
            UpkeepError::Log(error) => error.damaged_place(),
            UpkeepError::Table(error) => error.damaged_place(),
            _ => None,
        }
    }

    /// What was done before it failed, and counts.
    pub fn done(&self) -> Option<&Worked> {
        match self {
            UpkeepError::SyncRemoval { done, .. } => Some(done),
            _ => None,
        }
    }

    /// Whether it is not known which manifest holds.
    pub(super) fn leaves_doubt(&self) -> bool {
        matches!(
            self,
            UpkeepError::Manifest { source: ReplaceError::InDoubt(_), .. } | UpkeepError::SyncManifest { .. }
        )
    }

    /// Whether there was no space on the disk, and nothing else is the matter: then it can be tried again later.
    pub fn is_no_space(&self) -> bool {
        let is_no_space =
            |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
        !self.leaves_doubt() && self.cause().is_some_and(is_no_space)
    }

    /// Whether memory or open files were [short](shortage), and nothing else is the matter: that can be tried again later, too.
    pub fn is_shortage(&self) -> bool {
        !self.leaves_doubt() && self.cause().is_some_and(shortage::is_shortage)
    }

    /// What the operating system has said.
    fn cause(&self) -> Option<&io::Error> {
        let begin = self as &(dyn std::error::Error + 'static);
        std::iter::successors(Some(begin), |error| error.source()).find_map(|error| error.downcast_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator does another thing about a disk that fails than about memory that is short.
    #[test]
    fn a_table_that_cannot_be_read_says_why() {
        for errno in [libc::EIO, libc::ENOMEM] {
            let why = || io::Error::from_raw_os_error(errno);
            let path = PathBuf::from("assertions-0000000001.kv");
            let errors = [
                TableError::Read { path: path.clone(), offset: 4096, source: why() },
                TableError::Open { path, source: why() },
            ];
            for error in errors {
                let text = StoreError::from(error).to_string();
                assert!(text.contains("assertions-0000000001.kv cannot be "), "{text}");
                assert!(text.contains(&why().to_string()) && text.ends_with(ADVICE), "{text}");
            }
        }
    }
}
