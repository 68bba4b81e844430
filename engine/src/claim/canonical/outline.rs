//! What decides where an assertion stands among others, read without decoding the rest of it.

use super::{DecodeError, Header};
use crate::claim::ClaimHash;
use crate::time::UnixMicros;

/// An assertion's place among others and the evidence it rests on, as bytes of its payload.
///
/// Costs a fraction of decoding: lengths and numbers of the header are checked, texts are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline<'a> {
    /// The stored hash.
    pub hash: &'a [u8; ClaimHash::BYTES],
    /// The subject.
    pub subject: &'a [u8],
    /// The predicate.
    pub predicate: &'a [u8],
    /// The source; empty where there is none.
    pub source: &'a [u8],
    /// The claim's own time.
    pub timestamp: UnixMicros,
}

impl<'a> Outline<'a> {
    /// The outline of the assertion whose payload is `payload`.
    pub fn read(payload: &'a [u8]) -> Result<Outline<'a>, DecodeError> {
        let truncated = |bytes_needed| DecodeError::Truncated { bytes_needed, bytes: payload.len() };
        let Some((hash, canonical)) = payload.split_first_chunk() else {
            return Err(truncated(ClaimHash::BYTES));
        };
        let header = Header::decode(canonical)?;
        let end = header.canonical_bytes();
        let Some(body) = canonical.get(super::HEADER_BYTES..end) else {
            return Err(truncated(ClaimHash::BYTES + end));
        };
        // In the order of the encoding: subject, predicate, value, source.
        let (subject, rest) = body.split_at(header.subject_bytes);
        let (predicate, rest) = rest.split_at(header.predicate_bytes);
        let source = &rest[header.value_bytes..][..header.source_bytes];
        let timestamp = header.timestamp.unix_micros();
        Ok(Outline { hash, subject, predicate, source, timestamp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{arbitrary, assertion};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_outline_is_what_the_claim_says(owned in arbitrary::claims()) {
            let claim = owned.claim();
            let mut payload = Vec::new();
            let hash = assertion::encode(&claim, &[], &mut payload);
            let expected = Outline {
                hash: &hash.0,
                subject: claim.subject.as_str().as_bytes(),
                predicate: claim.predicate.as_str().as_bytes(),
                source: claim.source.map_or(&[], |source| source.as_str().as_bytes()),
                timestamp: claim.timestamp.unix_micros(),
            };
            prop_assert_eq!(Outline::read(&payload), Ok(expected));
            // Behind the claim there is one byte, the number of its signatures.
            for end in [0, 31, 67, payload.len() - 2] {
                prop_assert!(Outline::read(&payload[..end]).is_err());
            }
        }
    }
}
