//! Received bytes that have not been read.

use std::ops::Range;

use super::limits::BUFFER_BYTES_KEPT;

/// The bytes of a connection from the first one that has not been read.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Where the bytes that have not been read begin.
    start: usize,
    /// How far the buffer has been filled: memory beyond that was promised, and never touched.
    touched: usize,
}

impl Input {
    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.buffer.capacity() - self.buffer.len();
        // Bytes are moved to the front when that is cheaper than what it makes room for.
        if bytes.len() > room && self.start >= self.len() {
            self.compact();
        }
        self.buffer.extend_from_slice(bytes);
        self.touched = self.touched.max(self.buffer.len());
    }

    /// Makes room for the bytes that are here and as many more as make `bytes` of them.
    pub(super) fn reserve(&mut self, bytes: usize) {
        if self.buffer.capacity() - self.start < bytes {
            self.compact();
            self.buffer.reserve_exact(bytes.saturating_sub(self.buffer.len()));
        }
    }

    /// Takes the first `bytes` off; says where they are until the next call that changes anything.
    pub(super) fn consume(&mut self, bytes: usize) -> Range<usize> {
        assert!(bytes <= self.len(), "{bytes} bytes consumed of {}", self.len());
        let range = self.start..self.start + bytes;
        self.start = range.end;
        range
    }

    /// Bytes that were consumed just before.
    pub(super) fn consumed(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.end <= self.start, "bytes are consumed before they are given out");
        &mut self.buffer[range]
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    /// Gives memory back that is larger than what a connection keeps, if nothing is in it.
    pub(super) fn trim(&mut self) {
        if self.is_empty() {
            self.clear();
            if self.buffer.capacity() > BUFFER_BYTES_KEPT {
                *self = Input::default();
            }
        }
    }

    /// The bytes that have not been read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// How many bytes have not been read.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of heap it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Bytes of heap into which something has been written.
    pub(super) fn touched_bytes(&self) -> usize {
        self.touched
    }

    fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
    }
}
