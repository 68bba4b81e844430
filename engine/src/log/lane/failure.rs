//! Why a lane takes a record no longer.

use std::{fmt, io};

use crate::log::Lsn;
use crate::log::segment::SegmentId;

/// Why a record was not appended. The lane is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// All frame buffers are full or in flight. Records are taken again after a committed frame was recycled.
    #[error("all frame buffers of the lane are full: try again when a frame is durable")]
    Busy,
    /// The record does not fit into a frame.
    #[error("the record has {bytes} bytes, but a frame holds {bytes_max}")]
    TooLarge {
        /// Bytes of the record with its header.
        bytes: usize,
        /// Bytes that a frame has for records.
        bytes_max: usize,
    },
    /// The lane has [ended](super::Lane::failure).
    #[error("a write of the lane has failed: it takes records again after a restart")]
    Failed,
    /// The lane was [closed](super::Lane::close).
    #[error("the lane is closed")]
    Closed,
}

/// How a write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// The kernel reported an error.
    Error {
        /// Its number, as in errno(3).
        errno: i32,
    },
    /// Only part of the bytes was written.
    Short {
        /// How many were.
        written: usize,
    },
}

/// The write that ended a lane. It is never tried again: what the disk holds there is unknown until recovery reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneFailure {
    /// The segment that was written to.
    pub segment: SegmentId,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes were to be written.
    pub bytes: usize,
    /// What happened instead.
    pub cause: FailureCause,
    /// Records up to this one are durable and acknowledged; none after it is acknowledged.
    pub committed_lsn: Lsn,
}

impl fmt::Display for LaneFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LaneFailure { segment, offset, bytes, cause, committed_lsn } = self;
        let lane = segment.lane.0;
        write!(f, "lane {lane} has ended: writing {bytes} bytes at offset {offset} of {segment} ")?;
        match *cause {
            FailureCause::Error { errno } => write!(f, "failed: {}", io::Error::from_raw_os_error(errno))?,
            FailureCause::Short { written } => write!(f, "wrote only {written}")?,
        }
        write!(f, "; its records up to {committed_lsn} are durable, and it takes more only after a restart")
    }
}

impl std::error::Error for LaneFailure {}
