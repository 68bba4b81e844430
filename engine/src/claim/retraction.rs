//! Retractions: that claims about a path, or resting on it, are no longer to be seen.
//!
//! ```text
//! offset  bytes
//!  0      4     generation of the id
//!  4      2     lane of the id
//!  6      8     LSN of the id
//! 14      1     encoding version, 1
//! 15      1     0
//! 16      8     when, i64, microseconds since 1970
//! 24      2     bytes of the path, 1..=512
//! 26      2     bytes of the reason, 1..=1024
//! 28            path ‖ reason
//! ```
//!
//! The id stands first in every version, since recovery counts the copies by it and reads nothing else.
//! All numbers are little-endian.

use super::canonical::DecodeError;
use super::error::{ClaimError, Field, Problem, check_length_max};
use super::path::ConceptPath;
use crate::slot::LaneId;
use crate::time::UnixMicros;
use std::fmt;

/// The length of the longest encoding.
pub const RETRACTION_BYTES_MAX: usize = HEADER_BYTES + ConceptPath::BYTES_MAX + Reason::BYTES_MAX;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 28;

/// A retraction, as every lane that it concerns keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retraction<'a> {
    /// Which retraction this is.
    pub id: RetractionId,
    /// The path whose claims go: those about it, and those whose source is it or lies below it.
    pub path: ConceptPath<'a>,
    /// Why.
    pub reason: Reason<'a>,
    /// When, by the server's clock.
    pub at: UnixMicros,
}

/// Where the first record of a retraction stands. Its copies in other lanes carry the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetractionId {
    /// The generation in which it was written, from 1.
    pub generation: u32,
    /// The lane that owns the path's slot in that generation.
    pub lane: LaneId,
    /// The record's LSN in that lane, from 1.
    pub lsn: u64,
}

impl<'a> Retraction<'a> {
    /// Appends the payload of a Retraction record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (path, reason) = (self.path.as_str(), self.reason.as_str());
        out.reserve(HEADER_BYTES + path.len() + reason.len());
        out.extend_from_slice(&self.id.generation.to_le_bytes());
        out.extend_from_slice(&self.id.lane.0.to_le_bytes());
        out.extend_from_slice(&self.id.lsn.to_le_bytes());
        out.extend_from_slice(&[VERSION, 0]);
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&(path.len() as u16).to_le_bytes());
        out.extend_from_slice(&(reason.len() as u16).to_le_bytes());
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(reason.as_bytes());
    }

    /// The retraction whose payload is all of `payload`. Strict, as [`super::Claim::decode_canonical`] is.
    pub fn decode(payload: &'a [u8]) -> Result<Retraction<'a>, DecodeError> {
        let Some((header, body)) = payload.split_first_chunk::<HEADER_BYTES>() else {
            return Err(DecodeError::Truncated { bytes_needed: HEADER_BYTES, bytes: payload.len() });
        };
        if header[14] != VERSION {
            return Err(DecodeError::UnknownVersion { version: header[14] });
        }
        if header[15] != 0 {
            return Err(DecodeError::BadHeader { offset: 15, found: header[15], expected: "0" });
        }
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let (path_bytes, reason_bytes) = (usize::from(u16_at(24)), usize::from(u16_at(26)));
        let body_bytes = path_bytes + reason_bytes;
        if body.len() < body_bytes {
            let bytes_needed = HEADER_BYTES + body_bytes;
            return Err(DecodeError::Truncated { bytes_needed, bytes: payload.len() });
        }
        if body.len() > body_bytes {
            return Err(DecodeError::TrailingBytes { bytes: body.len() - body_bytes });
        }
        let text = |bytes: &'a [u8], field| str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { field });
        let (path, reason) = body.split_at(path_bytes);
        Ok(Retraction {
            id: RetractionId {
                generation: u32::from_le_bytes(header[0..4].try_into().expect("four bytes")),
                lane: LaneId(u16_at(4)),
                lsn: u64_at(6),
            },
            path: ConceptPath::new(text(path, Field::Subject)?)?,
            reason: Reason::new(text(reason, Field::Reason)?)?,
            at: UnixMicros(u64_at(16) as i64),
        })
    }
}

/// Why something was retracted: 1 to 1024 bytes of UTF-8, not only white space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason<'a>(&'a str);

impl<'a> Reason<'a> {
    /// The longest reason, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// Checks a reason.
    pub fn new(text: &'a str) -> Result<Reason<'a>, ClaimError> {
        if text.trim().is_empty() {
            return Err(Problem::Blank.of(Field::Reason));
        }
        check_length_max(text, Self::BYTES_MAX).map_err(|problem| problem.of(Field::Reason))?;
        Ok(Reason(text))
    }

    /// The reason as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(retraction: &Retraction<'_>) -> Vec<u8> {
        let mut payload = Vec::new();
        retraction.encode(&mut payload);
        payload
    }

    fn retraction<'a>(path: &'a str, reason: &'a str) -> Retraction<'a> {
        Retraction {
            id: RetractionId { generation: 3, lane: LaneId(2), lsn: 4711 },
            path: ConceptPath::new(path).expect("a valid path"),
            reason: Reason::new(reason).expect("a valid reason"),
            at: UnixMicros(1_700_000_000_000_000),
        }
    }

    proptest! {
        #[test]
        fn every_retraction_leads_back(
            generation in any::<u32>(),
            lane in any::<u16>(),
            lsn in any::<u64>(),
            at in any::<i64>(),
            path in "[a-zé]{1,9}(/[a-z]{1,9}){0,3}",
            reason in "[a-z é\n]{0,20}[!-~]",
        ) {
            let id = RetractionId { generation, lane: LaneId(lane), lsn };
            let retraction = Retraction { id, at: UnixMicros(at), ..retraction(&path, &reason) };
            let payload = encoded(&retraction);
            prop_assert_eq!(Retraction::decode(&payload), Ok(retraction));
        }
    }

    #[test]
    fn every_truncation_is_refused_and_every_bit_flip_is_another_retraction() {
        let original = encoded(&retraction("source/größe", "withdrawn by its author"));
        for end in 0..original.len() {
            let truncated = Retraction::decode(&original[..end]);
            assert!(matches!(truncated, Err(DecodeError::Truncated { bytes, .. }) if bytes == end), "{end}");
        }
        for bit in 0..8 * original.len() {
            let mut flipped = original.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = Retraction::decode(&flipped) {
                assert_eq!(encoded(&decoded), flipped, "bit {bit}");
            }
        }
        let longer = [&original[..], &[0]].concat();
        assert_eq!(Retraction::decode(&longer), Err(DecodeError::TrailingBytes { bytes: 1 }));
    }

    #[test]
    fn header_bytes_are_held_to_their_values() {
        let mut payload = encoded(&retraction("p", "r"));
        payload[14] = 2;
        assert_eq!(Retraction::decode(&payload), Err(DecodeError::UnknownVersion { version: 2 }));
        payload[14..16].copy_from_slice(&[1, 1]);
        assert!(matches!(Retraction::decode(&payload), Err(DecodeError::BadHeader { offset: 15, .. })));
    }

    #[test]
    fn lengths_are_held_to_their_bounds() {
        let longest = "x".repeat(1024);
        let retraction = retraction(&longest[..512], &longest);
        let payload = encoded(&retraction);
        assert_eq!(payload.len(), RETRACTION_BYTES_MAX);
        assert_eq!(Retraction::decode(&payload), Ok(retraction));

        let decode_with = |path_bytes: usize, reason_bytes: usize| {
            let mut payload = payload[..HEADER_BYTES].to_vec();
            payload[24..26].copy_from_slice(&(path_bytes as u16).to_le_bytes());
            payload[26..28].copy_from_slice(&(reason_bytes as u16).to_le_bytes());
            payload.extend(vec![b'x'; path_bytes + reason_bytes]);
            Retraction::decode(&payload).map(|_| ())
        };
        assert_eq!(decode_with(1, 1), Ok(()));
        assert_eq!(decode_with(0, 1), Err(Problem::Empty.of(Field::Subject).into()));
        assert_eq!(decode_with(1, 0), Err(Problem::Blank.of(Field::Reason).into()));
        let too_long = |bytes: usize| Problem::TooLong { bytes, bytes_max: bytes - 1 };
        assert_eq!(decode_with(513, 1), Err(too_long(513).of(Field::Subject).into()));
        assert_eq!(decode_with(1, 1025), Err(too_long(1025).of(Field::Reason).into()));
    }

    #[test]
    fn a_reason_is_not_blank() {
        for text in ["", " ", "\n\t", "\u{a0}\u{2003}"] {
            assert_eq!(Reason::new(text), Err(Problem::Blank.of(Field::Reason)), "{text:?}");
        }
        assert_eq!(Reason::new(" because\n").map(|reason| reason.as_str()), Ok(" because\n"));
    }
}
