//! Received bytes, record by record.

/// Bytes of a record's header: its type, a version, and the length of what follows.
const HEADER_BYTES: usize = 5;

//= RFC 8446 section 5.2
//# The length MUST NOT exceed 2^14 + 256 bytes.
//
//= RFC 5246 section 6.2.3
//# The length MUST NOT exceed 2^14 + 2048.
/// The most that follows a header.
const PAYLOAD_BYTES_MAX: usize = (16 << 10) + 2048;

/// The largest record.
pub(super) const RECORD_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// The largest empty buffer that is kept to use again.
const BUFFER_BYTES_KEPT: usize = RECORD_BYTES_MAX;

/// What has been received and is not done with.
#[derive(Debug, Default)]
pub(super) struct Records {
    buffer: Vec<u8>,
    /// Where it begins: bytes before that are done with.
    start: usize,
    /// Up to where TLS has looked at it. What it has looked at and keeps are pieces of a message of the handshake.
    seen: usize,
}

impl Records {
    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.buffer.capacity() - self.buffer.len() < bytes.len() {
            self.buffer.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Lets TLS look at the next record, with all that it keeps before that. False if it is not there whole.
    pub(super) fn advance(&mut self) -> bool {
        let rest = &self.buffer[self.seen..];
        let Some(header) = rest.first_chunk::<HEADER_BYTES>() else { return false };
        let payload_bytes = usize::from(u16::from_be_bytes([header[3], header[4]]));
        // What can be no header is shown as it is, to be refused.
        let is_sound = matches!(header[0], 20..=23) && payload_bytes <= PAYLOAD_BYTES_MAX;
        let record_bytes = if is_sound { HEADER_BYTES + payload_bytes } else { rest.len() };
        if rest.len() < record_bytes {
            return false;
        }
        self.seen += record_bytes;
        true
    }

    /// What TLS may look at.
    pub(super) fn seen_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.seen]
    }

    /// Bytes that TLS has looked at and keeps.
    pub(super) fn kept_bytes(&self) -> usize {
        self.seen - self.start
    }

    /// Bytes that TLS has not looked at.
    pub(super) fn unseen(&self) -> &[u8] {
        &self.buffer[self.seen..]
    }

    /// Takes off the first `bytes` of those that TLS may look at.
    pub(super) fn discard(&mut self, bytes: usize) {
        assert!(bytes <= self.kept_bytes(), "{bytes} bytes discarded of {}", self.kept_bytes());
        self.start += bytes;
        if self.start == self.buffer.len() {
            self.clear();
        }
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        (self.start, self.seen) = (0, 0);
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
    }

    /// Gives the memory back, if nothing is in it.
    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }

    /// Bytes of heap it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of application data.
    fn record(payload: &[u8]) -> Vec<u8> {
        [&[23, 3, 3], &(payload.len() as u16).to_be_bytes()[..], payload].concat()
    }

    #[test]
    fn a_record_is_shown_when_it_is_whole_and_alone() {
        let mut records = Records::default();
        let bytes = [record(b"one"), record(b"")].concat();
        for byte in &bytes[..7] {
            records.push(&[*byte]);
            assert!(!records.advance());
        }
        records.push(&bytes[7..]);
        assert!(records.advance());
        assert_eq!(records.seen_mut(), record(b"one"));
        assert_eq!(records.unseen(), record(b""));
        records.discard(8);
        assert!(records.advance());
        assert_eq!(records.seen_mut(), record(b""));
        records.discard(5);
        assert!(!records.advance() && records.unseen().is_empty());
    }

    #[test]
    fn what_is_kept_is_shown_again_before_the_next() {
        let mut records = Records::default();
        records.push(&[record(b"first half"), record(b"second half")].concat());
        assert!(records.advance());
        records.discard(5);
        assert!(records.advance());
        assert_eq!(records.seen_mut(), [b"first half".to_vec(), record(b"second half")].concat());
        // The memory of what is done with is used before there is more of it.
        records.push(&[0; 100]);
        assert_eq!(records.kept_bytes(), 26);
        assert_eq!(records.unseen(), [0; 100]);
    }

    #[test]
    fn what_can_be_no_header_is_shown_at_once() {
        for bytes in [b"GET / HTTP/1.1".as_slice(), &[22, 3, 1, 0xff, 0xff], &[22, 3, 1, 0x48, 0x01]] {
            let mut records = Records::default();
            records.push(bytes);
            assert!(records.advance());
            assert_eq!(records.seen_mut(), bytes);
        }
        let mut records = Records::default();
        records.push(&[22, 3, 1, 0x48, 0x00]);
        assert!(!records.advance(), "the largest record is waited for");
    }

    #[test]
    fn large_buffers_are_given_back() {
        let mut records = Records::default();
        records.push(&vec![23; 3 * RECORD_BYTES_MAX]);
        records.clear();
        assert_eq!(records.heap_bytes(), 0);
        records.push(&[0; 100]);
        records.release();
        assert!(records.heap_bytes() >= 100, "bytes are not given away");
        records.clear();
        assert!(records.heap_bytes() >= 100);
        records.release();
        assert_eq!(records.heap_bytes(), 0);
    }
}
