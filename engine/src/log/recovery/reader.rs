//! Reading a segment from front to back through a window of fixed size.

use crate::log::frame::{Frame, FrameError, FrameHome};
use crate::log::recovery::RecoveryError;
use crate::log::storage::{LogStorage, SegmentFile};
use crate::log::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::ring::aligned::AlignedBuffer;

/// Bytes of the window: a frame of the largest size, and as much again to be read ahead.
const WINDOW_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// A segment that is being read. The window stays when another one [is opened](SegmentReader::open).
pub(in crate::log) struct SegmentReader<'s> {
    storage: &'s dyn LogStorage,
    file: SegmentFile,
    /// Nothing is read from here on.
    limit: u64,
    /// How many bytes are read at least, if there are as many.
    ahead: usize,
    window: AlignedBuffer,
    window_start: u64,
    window_bytes: usize,
}

impl<'s> SegmentReader<'s> {
    /// A reader of `file`, reading `ahead` bytes at a time.
    pub(in crate::log) fn new(
        storage: &'s dyn LogStorage,
        file: SegmentFile,
        ahead: usize,
    ) -> SegmentReader<'s> {
        SegmentReader {
            storage,
            file,
            limit: file.bytes,
            ahead: ahead.min(WINDOW_BYTES),
            window: AlignedBuffer::zeroed(WINDOW_BYTES),
            window_start: 0,
            window_bytes: 0,
        }
    }

    /// Goes over to another file, of which nothing is read from offset `limit` on.
    pub(in crate::log) fn open(&mut self, file: SegmentFile, limit: u64) {
        (self.file, self.limit) = (file, limit.min(file.bytes));
        (self.window_start, self.window_bytes) = (0, 0);
    }

    /// The bytes from `offset` on, a multiple of the block size: at least `needed`, unless the segment ends sooner.
    pub(in crate::log) fn bytes(&mut self, offset: u64, needed: usize) -> Result<&[u8], RecoveryError> {
        assert!(needed <= WINDOW_BYTES && offset.is_multiple_of(BLOCK_BYTES as u64));
        let needed = needed.min(self.limit.saturating_sub(offset) as usize);
        let kept = self.keep(offset);
        if self.window_bytes - kept < needed {
            self.fill(offset, kept, needed)?;
            return Ok(&self.window[..self.window_bytes]);
        }
        Ok(&self.window[kept..self.window_bytes])
    }

    /// The frame at `offset`, or why there is none.
    pub(in crate::log) fn frame(
        &mut self,
        offset: u64,
        home: &FrameHome,
    ) -> Result<Result<Frame<'_>, FrameError>, RecoveryError> {
        let first = self.bytes(offset, BLOCK_BYTES)?;
        if first.len() < BLOCK_BYTES {
            return Ok(Err(FrameError::CutOff { needed: BLOCK_BYTES, actual: first.len() }));
        }
        match Frame::bytes_needed(first) {
            Ok(needed) => Ok(Frame::decode(self.bytes(offset, needed)?, home)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The first block at `from` or later that is not all zeros, up to where the segment ends.
    pub(in crate::log) fn first_written(&mut self, from: u64) -> Result<Option<u64>, RecoveryError> {
        let mut offset = from;
        loop {
            let bytes = self.bytes(offset, BLOCK_BYTES)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(at) = bytes.chunks(BLOCK_BYTES).position(|block| !is_zero(block)) {
                return Ok(Some(offset + (at * BLOCK_BYTES) as u64));
            }
            offset += bytes.len().next_multiple_of(BLOCK_BYTES) as u64;
        }
    }

    /// Where in the window `offset` is; at its end if it is not there.
    fn keep(&self, offset: u64) -> usize {
        let end = self.window_start + self.window_bytes as u64;
        if (self.window_start..end).contains(&offset) {
            (offset - self.window_start) as usize
        } else {
            self.window_bytes
        }
    }

    /// Makes the window begin at `offset`, keeps what it has from `kept` on, and reads on from there.
    fn fill(&mut self, offset: u64, kept: usize, needed: usize) -> Result<(), RecoveryError> {
        self.window.copy_within(kept..self.window_bytes, 0);
        self.window_bytes -= kept;
        self.window_start = offset;
        let from = offset + self.window_bytes as u64;
        let wanted = needed.max(self.ahead).next_multiple_of(BLOCK_BYTES);
        let room = &mut self.window[self.window_bytes..wanted];
        let read = self.storage.read(self.file.id, from, room);
        let read = read.map_err(|source| RecoveryError::Read {
            path: self.storage.path(self.file.id),
            offset: from,
            source,
        })?;
        if read < room.len() {
            self.limit = self.limit.min(from + read as u64);
        }
        self.window_bytes += read.min(self.limit.saturating_sub(from) as usize);
        Ok(())
    }
}

/// Whether `bytes`, a block at most, are all zero.
pub(in crate::log) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    *bytes == ZEROS[..bytes.len()]
}
