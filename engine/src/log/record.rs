//! Records: what a frame carries, one for each claim, vote, epoch, retraction or generation.
//!
//! ```text
//! 0        4      6       8
//! ├────────┼──────┼───────┼─────────────────┤
//! │ length │ kind │ flags │ payload …       │   the next record follows without padding
//! ```

use crate::log::Lsn;
use crate::log::layout::{array, put};

/// Bytes before the payload of a record: length `u32`, kind `u16`, flags `u16`.
pub const RECORD_HEADER_BYTES: usize = 8;

/// Bytes at the beginning of a retraction's payload that name the record written first.
pub(in crate::log) const RETRACTION_NAME_BYTES: usize = 14;

/// What a record's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RecordKind {
    /// A claim with its hash and signatures.
    Assertion = 0,
    /// An agent's vote on a claim.
    Vote = 1,
    /// An epoch, and what it supersedes.
    Epoch = 2,
    /// The retraction of all claims about or from a path. Each lane has a copy; the payload of all of them begins with
    /// the 14 bytes that name the record written first: its generation `u32`, lane `u16` and LSN `u64`.
    Retraction = 3,
    /// The beginning of a generation; written and read by the log itself.
    Generation = 4,
}

impl RecordKind {
    /// The kind with this number, if there is one.
    pub fn from_number(number: u16) -> Option<RecordKind> {
        match number {
            0 => Some(RecordKind::Assertion),
            1 => Some(RecordKind::Vote),
            2 => Some(RecordKind::Epoch),
            3 => Some(RecordKind::Retraction),
            4 => Some(RecordKind::Generation),
            _ => None,
        }
    }

    /// The number that stands for this kind on disk.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// A record as it lies in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record's number in its lane.
    pub lsn: Lsn,
    /// What the payload is.
    pub kind: RecordKind,
    /// Flags that belong to the kind; the log keeps them and does not read them.
    pub flags: u16,
    /// The payload.
    pub payload: &'a [u8],
}

/// How many bytes a record with a payload of `payload_bytes` takes in a frame.
pub fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + payload_bytes
}

/// Writes a record to the beginning of `into`, which has [`record_bytes`] bytes at least, and returns how many it took.
pub fn encode(into: &mut [u8], kind: RecordKind, flags: u16, payload: &[u8]) -> usize {
    let length = u32::try_from(payload.len()).expect("a payload fits into a frame");
    put(into, 0, &length.to_le_bytes());
    put(into, 4, &kind.number().to_le_bytes());
    put(into, 6, &flags.to_le_bytes());
    put(into, RECORD_HEADER_BYTES, payload);
    record_bytes(payload.len())
}

/// The records of one frame's payload, in LSN order.
///
/// Ends after the first error. A frame whose checksum holds has an error only if other software, or a later version of this one, wrote it.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    next_lsn: Lsn,
    left: u32,
}

impl<'a> Records<'a> {
    /// The `records` records that fill `payload`, the first of them numbered `first_lsn`.
    pub fn new(payload: &'a [u8], first_lsn: Lsn, records: u32) -> Records<'a> {
        Records { rest: payload, next_lsn: first_lsn, left: records }
    }

    fn split_first(&mut self) -> Result<Record<'a>, RecordError> {
        let lsn = self.next_lsn;
        let Some((header, rest)) = self.rest.split_at_checked(RECORD_HEADER_BYTES) else {
            return Err(RecordError::Truncated { lsn, needed: RECORD_HEADER_BYTES, left: self.rest.len() });
        };
        let length = u32::from_le_bytes(array(header, 0)) as usize;
        let kind = u16::from_le_bytes(array(header, 4));
        let flags = u16::from_le_bytes(array(header, 6));
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            return Err(RecordError::Truncated { lsn, needed: length, left: rest.len() });
        };
        let Some(kind) = RecordKind::from_number(kind) else {
            return Err(RecordError::UnknownKind { lsn, kind });
        };
        self.rest = rest;
        Ok(Record { lsn, kind, flags, payload })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return None;
            }
            let error = RecordError::Surplus { bytes: self.rest.len() };
            self.rest = &[];
            return Some(Err(error));
        }
        let record = self.split_first();
        match record {
            Ok(_) => {
                self.left -= 1;
                self.next_lsn = self.next_lsn.plus(1);
            }
            Err(_) => {
                self.left = 0;
                self.rest = &[];
            }
        }
        Some(record)
    }
}

/// Why a frame's payload is not the records that its header promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record is longer than what is left of the frame.
    #[error("record {lsn} needs {needed} bytes, but its frame has {left} left")]
    Truncated {
        /// The record.
        lsn: Lsn,
        /// Bytes of the part that does not fit.
        needed: usize,
        /// Bytes left for it.
        left: usize,
    },
    /// A record's kind is none that this version knows.
    #[error(
        "record {lsn} is of kind {kind}, which this version does not know: was it written by a later one?"
    )]
    UnknownKind {
        /// The record.
        lsn: Lsn,
        /// Its kind.
        kind: u16,
    },
    /// Bytes are left after the last record.
    #[error("{bytes} bytes are left in the frame after its last record")]
    Surplus {
        /// How many.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(records: &[(RecordKind, u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(kind, flags, payload) in records {
            let at = bytes.len();
            bytes.resize(at + record_bytes(payload.len()), 0);
            assert_eq!(encode(&mut bytes[at..], kind, flags, payload), bytes.len() - at);
        }
        bytes
    }

    #[test]
    fn a_record_is_these_very_bytes() {
        let bytes = encoded(&[(RecordKind::Retraction, 0x0201, b"abc")]);
        assert_eq!(bytes, [3, 0, 0, 0, 3, 0, 1, 2, b'a', b'b', b'c']);
    }

    #[test]
    fn records_come_back_in_order_with_their_numbers() {
        let bytes = encoded(&[(RecordKind::Assertion, 0, b"one"), (RecordKind::Vote, 7, b"")]);
        let records: Vec<_> = Records::new(&bytes, Lsn(9), 2).map(Result::unwrap).collect();
        let one = Record { lsn: Lsn(9), kind: RecordKind::Assertion, flags: 0, payload: b"one" };
        let two = Record { lsn: Lsn(10), kind: RecordKind::Vote, flags: 7, payload: b"" };
        assert_eq!(records, [one, two]);
    }

    #[test]
    fn every_kind_keeps_its_number() {
        for number in 0..5 {
            assert_eq!(RecordKind::from_number(number).map(RecordKind::number), Some(number));
        }
        assert_eq!(RecordKind::from_number(5), None);
    }

    #[test]
    fn a_payload_cut_anywhere_is_an_error_and_ends_the_records() {
        let bytes = encoded(&[(RecordKind::Assertion, 0, b"one"), (RecordKind::Vote, 7, b"payload")]);
        for cut in 0..bytes.len() {
            let mut records = Records::new(&bytes[..cut], Lsn(1), 2);
            let whole = records.by_ref().take_while(Result::is_ok).count();
            assert_eq!(whole, usize::from(cut >= record_bytes(3)), "cut at {cut}");
            assert!(records.next().is_none());
        }
    }

    #[test]
    fn surplus_bytes_and_unknown_kinds_are_errors() {
        let bytes = encoded(&[(RecordKind::Assertion, 0, b"one"), (RecordKind::Vote, 7, b"payload")]);
        let last = Records::new(&bytes, Lsn(1), 1).last();
        assert_eq!(last, Some(Err(RecordError::Surplus { bytes: record_bytes(7) })));
        let unknown = [0, 0, 0, 0, 5, 0, 0, 0];
        let first = Records::new(&unknown, Lsn(4), 1).next();
        assert_eq!(first, Some(Err(RecordError::UnknownKind { lsn: Lsn(4), kind: 5 })));
    }
}
