//! Bytes to be sent.

use std::collections::VecDeque;

use super::limits::BUFFER_BYTES_KEPT;

/// From this size on a body that is given away is sent from its own buffer instead of being copied.
const OWN_BUFFER_BYTES_MIN: usize = 32 * 1024;

/// From this size on a buffer takes no further response.
const BUFFER_FULL_BYTES: usize = 64 * 1024;

/// How many empty buffers are kept: one is filled while another one is sent.
const SPARE_MAX: usize = 1;

/// Responses in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Buffers that are full, the next one to be sent first.
    full: VecDeque<Vec<u8>>,
    /// The buffer that is filled; sent after the full ones.
    tail: Vec<u8>,
    spare: Vec<Vec<u8>>,
    full_bytes: usize,
    /// Bytes of the buffer that was taken last which the socket has not taken.
    taken_bytes: usize,
    /// Bytes of memory of that buffer.
    taken_capacity: usize,
}

impl Output {
    /// The buffer to append to.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.len() >= BUFFER_FULL_BYTES {
            self.seal();
        }
        &mut self.tail
    }

    /// Appends a body that is the output's to keep.
    pub(super) fn push(&mut self, body: Vec<u8>) {
        if body.len() < OWN_BUFFER_BYTES_MIN {
            self.tail().extend_from_slice(&body);
            self.recycle(body);
        } else {
            self.seal();
            self.full_bytes += body.len();
            self.full.push_back(body);
        }
    }

    /// The next buffer to send, if there is one and the one before has been sent.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        if self.taken_bytes > 0 {
            return None;
        }
        let buffer = match self.full.pop_front() {
            Some(buffer) => {
                self.full_bytes -= buffer.len();
                buffer
            }
            None if self.tail.is_empty() => return None,
            None => self.take_tail(),
        };
        self.taken_bytes = buffer.len();
        self.taken_capacity = buffer.capacity();
        Some(buffer)
    }

    /// Notes that the socket took `bytes` of the buffer that was taken last.
    pub(super) fn sent(&mut self, bytes: usize) {
        assert!(bytes <= self.taken_bytes, "{bytes} bytes sent of {} that were taken", self.taken_bytes);
        self.taken_bytes -= bytes;
    }

    /// Takes an empty or sent buffer back.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && (1..=BUFFER_BYTES_KEPT).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Gives all memory back. There must be nothing to send.
    pub(super) fn release(&mut self) {
        assert!(self.is_empty(), "buffers with bytes to send are not released");
        *self = Output::default();
    }

    /// Whether there is anything that can be taken, now or when the buffer taken last has been sent.
    pub(super) fn has_untaken(&self) -> bool {
        !self.full.is_empty() || !self.tail.is_empty()
    }

    /// Whether part of a buffer that was taken is still to be sent.
    pub(super) fn is_sending(&self) -> bool {
        self.taken_bytes > 0
    }

    /// Whether everything has been sent.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_untaken() && !self.is_sending()
    }

    /// Bytes that have not been sent.
    pub(super) fn bytes(&self) -> usize {
        self.full_bytes + self.tail.len() + self.taken_bytes
    }

    /// Bytes of heap it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        let buffers = self.full.iter().chain(&self.spare).map(Vec::capacity).sum::<usize>();
        let lists = (self.full.capacity() + self.spare.capacity()) * size_of::<Vec<u8>>();
        buffers + lists + self.tail.capacity()
    }

    /// As [`Output::heap_bytes`], with the buffer that was taken and has not been sent whole.
    pub(super) fn held_bytes(&self) -> usize {
        self.heap_bytes() + if self.is_sending() { self.taken_capacity } else { 0 }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let buffer = self.take_tail();
            self.full_bytes += buffer.len();
            self.full.push_back(buffer);
        }
    }

    fn take_tail(&mut self) -> Vec<u8> {
        let next = self.spare.pop().unwrap_or_default();
        std::mem::replace(&mut self.tail, next)
    }
}
