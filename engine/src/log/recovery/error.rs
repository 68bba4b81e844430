//! Why a log cannot be recovered.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::log::Lsn;
use crate::log::frame::FrameError;
use crate::log::generation::GenerationRecordError;
use crate::log::record::RecordError;
use crate::log::recovery::{Replayed, SegmentRange};
use crate::log::segment::SegmentHeaderError;
use crate::shortage::is_shortage;

/// What ends every message about damage.
const ADVICE: &str = "Nothing on disk was changed; docs/operations/recovery.md says what to do";

/// Why a log cannot be recovered. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The segments could not be listed.
    #[error("the segments of the log cannot be listed")]
    List {
        /// Why.
        source: io::Error,
    },
    /// A segment could not be read.
    #[error("{} cannot be read at offset {offset}", path.display())]
    Read {
        /// The segment's file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A segment that was begun has no valid header.
    #[error("{cause}, at offset 0 of {}; {testimony}. {ADVICE}", path.display())]
    Header {
        /// The segment's file.
        path: PathBuf,
        /// What is wrong with the header.
        cause: SegmentHeaderError,
        /// How we know that there was one.
        testimony: String,
    },
    /// A frame that was acknowledged is damaged.
    #[error("{cause}, at offset {offset} of {}; {testimony}. {ADVICE}", path.display())]
    Frame {
        /// The segment's file.
        path: PathBuf,
        /// Where the frame begins in it, in bytes.
        offset: u64,
        /// What is wrong with the frame.
        cause: Box<FrameError>,
        /// How we know that it was acknowledged.
        testimony: String,
    },
    /// A segment that was written is gone.
    #[error("{} is missing; {testimony}. {ADVICE}", path.display())]
    Missing {
        /// The segment's file.
        path: PathBuf,
        /// The segment, and those behind it that are known to be gone as well.
        segments: SegmentRange,
        /// How we know that there was one.
        testimony: String,
    },
    /// Two parts of the log that are each valid do not fit together.
    #[error("the WAL contradicts itself at offset {offset} of {}: expected {expected}, found {actual}. {ADVICE}", path.display())]
    Contradiction {
        /// The segment's file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// A valid frame's records cannot be read.
    #[error("{cause}, in the frame at offset {offset} of {}. {ADVICE}", path.display())]
    Records {
        /// The segment's file.
        path: PathBuf,
        /// Where the frame begins in it, in bytes.
        offset: u64,
        /// What is wrong with the records.
        cause: RecordError,
    },
    /// A generation's record cannot be read.
    #[error("{cause}, in the frame at offset {offset} of {}. {ADVICE}", path.display())]
    Generation {
        /// The segment's file.
        path: PathBuf,
        /// Where the frame begins in it, in bytes.
        offset: u64,
        /// What is wrong with the record.
        cause: Box<GenerationRecordError>,
    },
    /// A record was refused by whom it was given to.
    #[error("record {lsn} in the frame at offset {offset} of {} cannot be replayed", path.display())]
    Replay {
        /// The segment's file.
        path: PathBuf,
        /// Where the frame begins in it, in bytes.
        offset: u64,
        /// The record.
        lsn: Lsn,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl RecoveryError {
    /// The file, and the offset in it, of what is damaged or cannot be read; `None` if the error is of another kind.
    pub fn damaged_place(&self) -> Option<(&Path, u64)> {
        match self {
            RecoveryError::Read { source, .. } if is_shortage(source) => None,
            RecoveryError::Header { path, .. } | RecoveryError::Missing { path, .. } => Some((path, 0)),
            RecoveryError::Read { path, offset, .. }
            | RecoveryError::Frame { path, offset, .. }
            | RecoveryError::Contradiction { path, offset, .. }
            | RecoveryError::Records { path, offset, .. }
            | RecoveryError::Generation { path, offset, .. } => Some((path, *offset)),
            RecoveryError::List { .. } | RecoveryError::Replay { .. } => None,
        }
    }
}

/// Which record a visitor refused, and why: any error at all, which ends the recovery.
#[derive(Debug)]
pub struct RecoveryVisitError {
    pub(super) lsn: Lsn,
    pub(super) source: Box<dyn Error + Send + Sync>,
}

impl RecoveryVisitError {
    /// The refusal of `record`, one of those that were given, for this reason.
    pub fn new(record: &Replayed<'_>, source: impl Error + Send + Sync + 'static) -> RecoveryVisitError {
        RecoveryVisitError { lsn: record.lsn, source: Box::new(source) }
    }
}
