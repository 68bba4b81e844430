//! The frames of a lane that wait to be written, the last of them still open, and the memory for all its frames.

use std::collections::VecDeque;

use crate::log::Lsn;
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::layout::blocks_up;
use crate::log::record::{self, RecordKind, record_bytes};
use crate::planted::{self, Bug};
use crate::ring::aligned::AlignedBuffer;

/// Frames that wait, in LSN order. Records go to the last one until it is full or taken.
#[derive(Debug)]
pub(super) struct WaitingFrames {
    frames: VecDeque<FilledFrame>,
    /// Used last in, first out: the memory used last is most likely still in the processor's cache.
    free: Vec<AlignedBuffer>,
    /// Memory for this many more is allocated when it is first needed: most lanes never need all of it.
    unallocated: usize,
    next_lsn: Lsn,
    frame_bytes_max: usize,
}

/// A frame whose records lie in place, behind the room for its header.
#[derive(Debug)]
pub(super) struct FilledFrame {
    pub(super) buffer: AlignedBuffer,
    pub(super) first_lsn: Lsn,
    pub(super) records: u32,
    used: usize,
}

impl FilledFrame {
    pub(super) fn payload_bytes(&self) -> u32 {
        (self.used - FRAME_HEADER_BYTES) as u32
    }
}

impl WaitingFrames {
    pub(super) fn new(next_lsn: Lsn, buffers: usize, frame_bytes_max: usize) -> WaitingFrames {
        WaitingFrames {
            frames: VecDeque::with_capacity(buffers),
            free: Vec::with_capacity(buffers),
            unallocated: buffers,
            next_lsn,
            frame_bytes_max,
        }
    }

    /// Copies a record of at most [`Self::record_bytes_max`] bytes into the last frame. `None` if that is full and no other is free.
    #[inline]
    pub(super) fn append(&mut self, kind: RecordKind, flags: u16, payload: &[u8]) -> Option<Lsn> {
        let bytes = record_bytes(payload.len());
        if self.frames.back().is_none_or(|frame| frame.used + bytes > self.frame_bytes_max) {
            let buffer = self.take_buffer()?;
            let (first_lsn, used) = (self.next_lsn, FRAME_HEADER_BYTES);
            self.frames.push_back(FilledFrame { buffer, first_lsn, records: 0, used });
        }
        let frame = self.frames.back_mut().expect("one was pushed if there was none");
        frame.used += record::encode(&mut frame.buffer[frame.used..], kind, flags, payload);
        frame.records += 1;
        let lsn = self.next_lsn;
        self.next_lsn = lsn.plus(1);
        if planted::is(Bug::SkipLsns) && lsn.0.is_multiple_of(50) {
            self.next_lsn = lsn.plus(2);
        }
        if planted::is(Bug::RepeatLsns) && lsn.0.is_multiple_of(50) && frame.records == 1 {
            self.next_lsn = lsn;
        }
        Some(lsn)
    }

    /// Takes the first frame out, to be written.
    pub(super) fn pop(&mut self) -> Option<FilledFrame> {
        self.frames.pop_front()
    }

    pub(super) fn recycle(&mut self, buffer: AlignedBuffer) {
        assert_eq!(buffer.len(), self.frame_bytes_max, "only the lane's own frames come back");
        self.free.push(buffer);
    }

    /// Gives up all that waits.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
    }

    /// Takes back all that waits, as if it had never been appended. Gives the number of the first record taken back.
    pub(super) fn take_back(&mut self) -> Lsn {
        if let Some(first) = self.frames.front() {
            self.next_lsn = first.first_lsn;
        }
        self.free.extend(self.frames.drain(..).map(|frame| frame.buffer));
        self.next_lsn
    }

    /// Whole blocks that the first frame fills.
    pub(super) fn first_frame_bytes(&self) -> Option<usize> {
        self.frames.front().map(|frame| blocks_up(frame.used))
    }

    /// Whole blocks that all frames fill once a record of this payload has joined them, in a frame of its own at worst.
    pub(super) fn bytes_with(&self, payload_bytes: usize) -> usize {
        let record = blocks_up(FRAME_HEADER_BYTES + record_bytes(payload_bytes));
        self.frames.iter().map(|frame| blocks_up(frame.used)).sum::<usize>() + record
    }

    /// Frames that are neither waiting nor away.
    pub(super) fn frames_free(&self) -> usize {
        self.free.len() + self.unallocated
    }

    fn take_buffer(&mut self) -> Option<AlignedBuffer> {
        if let Some(buffer) = self.free.pop() {
            return Some(buffer);
        }
        if !planted::is(Bug::MakeFrames) || self.unallocated > 0 {
            self.unallocated = self.unallocated.checked_sub(1)?;
        }
        Some(AlignedBuffer::zeroed(self.frame_bytes_max))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    pub(super) fn record_bytes_max(&self) -> usize {
        self.frame_bytes_max - FRAME_HEADER_BYTES
    }
}
