//! What a lane asks its driver to write, and what it says when that is done.

use std::fmt;

use crate::log::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::log::lane::LaneFailure;
use crate::log::layout::blocks_up;
use crate::log::record::{Record, Records};
use crate::log::{Lsn, SegmentNumber};
use crate::ring::aligned::AlignedBuffer;

/// Names a write between [`Lane::next_write`](super::Lane::next_write) and [`Lane::write_done`](super::Lane::write_done).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteId(pub u64);

/// One write, to be done with `O_DSYNC` semantics: its data is durable when it completes.
#[derive(Debug)]
pub struct LaneWrite {
    /// To be given back with the result.
    pub id: WriteId,
    /// The segment of the lane that it goes to.
    pub segment: SegmentNumber,
    /// Where in the segment, in bytes; a multiple of the block size.
    pub offset: u64,
    /// The bytes are at its beginning. To be given back, unchanged, with the result.
    pub buffer: AlignedBuffer,
    /// How many bytes; a multiple of the block size.
    pub bytes: usize,
}

/// What became of a lane's writes.
#[derive(Debug)]
pub enum WriteOutcome {
    /// The header of `segment` is durable.
    Begun {
        /// The segment.
        segment: SegmentNumber,
    },
    /// A frame is durable: its records can be applied and acknowledged. To be [recycled](super::Lane::recycle).
    Frame(CommittedFrame),
    /// A marker is durable.
    Marked {
        /// The segment it is in.
        segment: SegmentNumber,
    },
    /// The seal of `segment` is durable: nothing more is written to the segment, and its file can be closed.
    Sealed {
        /// The segment.
        segment: SegmentNumber,
    },
    /// A write failed, and with it the lane. Told once, after everything that was durable before.
    Failed(LaneFailure),
}

/// A durable frame, still in the memory it was written from.
#[must_use = "a frame that is not recycled is lost to its lane"]
pub struct CommittedFrame {
    buffer: AlignedBuffer,
    header: FrameHeader,
}

impl CommittedFrame {
    pub(super) fn new(buffer: AlignedBuffer, header: FrameHeader) -> CommittedFrame {
        CommittedFrame { buffer, header }
    }

    pub(super) fn into_buffer(self) -> AlignedBuffer {
        self.buffer
    }

    /// The frame's header.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Its bytes on disk: whole blocks.
    pub fn bytes(&self) -> usize {
        blocks_up(FRAME_HEADER_BYTES + self.header.payload_bytes as usize)
    }

    /// The number of its first record.
    pub fn first_lsn(&self) -> Lsn {
        self.header.first_lsn
    }

    /// The number of its last record.
    pub fn last_lsn(&self) -> Lsn {
        self.header.next_lsn().before()
    }

    /// Its records, in LSN order. Nothing is checked again: these are the bytes that the lane put there.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let payload_end = FRAME_HEADER_BYTES + self.header.payload_bytes as usize;
        let payload = &self.buffer[FRAME_HEADER_BYTES..payload_end];
        Records::new(payload, self.header.first_lsn, self.header.records)
            .map(|record| record.expect("the lane encoded these records itself"))
    }
}

impl fmt::Debug for CommittedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommittedFrame({} to {})", self.first_lsn(), self.last_lsn())
    }
}
