//! Retractions: that claims about a path, or resting on it, are no longer to be seen.
//!
//! ```text
//! offset  bytes
//!  0      1     encoding version, 1
//!  1      1     0
//!  2      2     lane of the id
//!  4      4     generation of the id
//!  8      8     LSN of the id
//! 16      8     when, i64, microseconds since 1970
//! 24      2     bytes of the path, 1..=512
//! 26      2     bytes of the reason, 1..=1024
//! 28            path ‖ reason
//! ```
//!
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
        out.extend_from_slice(&[VERSION, 0]);
        out.extend_from_slice(&self.id.lane.0.to_le_bytes());
        out.extend_from_slice(&self.id.generation.to_le_bytes());
        out.extend_from_slice(&self.id.lsn.to_le_bytes());
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
        if header[0] != VERSION {
            return Err(DecodeError::UnknownVersion { version: header[0] });
        }
        if header[1] != 0 {
            return Err(DecodeError::BadHeader { offset: 1, found: header[1], expected: "0" });
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
                generation: u32::from_le_bytes(header[4..8].try_into().expect("four bytes")),
                lane: LaneId(u16_at(2)),
                lsn: u64_at(8),
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

    #[test]
    fn a_retraction_leads_back() {
        let retraction = Retraction {
            id: RetractionId { generation: 3, lane: LaneId(2), lsn: 4711 },
            path: ConceptPath::new("source/fda").expect("a valid path"),
            reason: Reason::new("withdrawn").expect("a valid reason"),
            at: UnixMicros(1_700_000_000_000_000),
        };
        let mut bytes = Vec::new();
        retraction.encode(&mut bytes);
        assert_eq!(Retraction::decode(&bytes), Ok(retraction));
        for end in 0..bytes.len() {
            assert!(Retraction::decode(&bytes[..end]).is_err());
        }
        bytes.push(0);
        assert_eq!(Retraction::decode(&bytes), Err(DecodeError::TrailingBytes { bytes: 1 }));
    }
}
