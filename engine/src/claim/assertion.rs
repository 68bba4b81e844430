//! Assertions: claims as the log keeps them, with their hash in front and their signatures behind.
//!
//! ```text
//! offset  bytes
//!  0      32    the claim's hash: BLAKE3 of its canonical encoding
//! 32      n     the claim's canonical encoding; its header says how long it is
//! 32+n    1     number of signatures, 0..=16
//! 33+n    104   for each: agent key 32 ‖ signature 64 ‖ timestamp 8 (i64, microseconds since 1970, little-endian)
//! ```

use super::canonical::{CANONICAL_BYTES_MAX, DecodeError};
use super::signature::{self, ClaimSignature};
use super::{Claim, ClaimHash};
use crate::time::UnixMicros;

/// The length of the longest assertion.
pub const ASSERTION_BYTES_MAX: usize =
    ClaimHash::BYTES + CANONICAL_BYTES_MAX + 1 + signature::COUNT_MAX * SIGNATURE_BYTES;

const SIGNATURE_BYTES: usize = 32 + 64 + 8;

/// Appends the payload of an Assertion record to `out` and returns the claim's hash.
///
/// There can be at most [`signature::COUNT_MAX`] signatures; [`signature::check_count`] is for the edge.
pub fn encode(claim: &Claim<'_>, signatures: &[ClaimSignature], out: &mut Vec<u8>) -> ClaimHash {
    assert!(signatures.len() <= signature::COUNT_MAX, "{} signatures beside one claim", signatures.len());
    let begin = out.len();
    out.reserve(ClaimHash::BYTES + claim.canonical_bytes() + 1 + signatures.len() * SIGNATURE_BYTES);
    out.extend_from_slice(&[0; ClaimHash::BYTES]);
    let canonical_begin = out.len();
    claim.encode_canonical(out);
    let hash = ClaimHash::of_canonical(&out[canonical_begin..]);
    out[begin..canonical_begin].copy_from_slice(&hash.0);
    out.push(signatures.len() as u8);
    for signature in signatures {
        out.extend_from_slice(&signature.agent_key);
        out.extend_from_slice(&signature.signature);
        out.extend_from_slice(&signature.timestamp.0.to_le_bytes());
    }
    hash
}

/// The hash at the beginning of an Assertion record's payload.
///
/// # Panics
///
/// When the payload is shorter than a hash, which no encoded one is.
pub fn hash(payload: &[u8]) -> ClaimHash {
    ClaimHash(*payload.first_chunk().expect("an assertion begins with its hash"))
}

/// The payload of an Assertion record, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion<'a> {
    /// The hash that was stored. [`Assertion::check_hash`] says whether it is the claim's.
    pub hash: ClaimHash,
    /// The claim.
    pub claim: Claim<'a>,
    /// The claim's canonical encoding.
    pub canonical: &'a [u8],
    /// The signatures that were verified when the claim was accepted.
    pub signatures: Signatures<'a>,
}

impl<'a> Assertion<'a> {
    /// The assertion whose payload is all of `payload`.
    ///
    /// Does not compute the hash: whoever reads the log has checked the frame's checksum already.
    pub fn decode(payload: &'a [u8]) -> Result<Assertion<'a>, DecodeError> {
        let Some((hash, rest)) = payload.split_first_chunk() else {
            return Err(DecodeError::Truncated { bytes_needed: ClaimHash::BYTES, bytes: payload.len() });
        };
        let (claim, canonical_bytes) = Claim::decode_canonical(rest)?;
        let (canonical, rest) = rest.split_at(canonical_bytes);
        let signatures = Signatures::decode(rest)?;
        Ok(Assertion { hash: ClaimHash(*hash), claim, canonical, signatures })
    }

    /// Checks that the stored hash is that of the claim.
    pub fn check_hash(&self) -> Result<(), DecodeError> {
        let actual = ClaimHash::of_canonical(self.canonical);
        if actual != self.hash {
            return Err(DecodeError::HashMismatch { expected: self.hash, actual });
        }
        Ok(())
    }
}

/// The signatures of an assertion, at most [`signature::COUNT_MAX`], still encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures<'a>(&'a [[u8; SIGNATURE_BYTES]]);

impl<'a> Signatures<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Signatures<'a>, DecodeError> {
        let Some((&count, rest)) = bytes.split_first() else {
            return Err(DecodeError::Truncated { bytes_needed: 1, bytes: 0 });
        };
        let count = usize::from(count);
        if count > signature::COUNT_MAX {
            let problem = super::Problem::TooMany { count, count_max: signature::COUNT_MAX };
            return Err(problem.of(super::Field::Signatures).into());
        }
        let bytes_needed = count * SIGNATURE_BYTES;
        if rest.len() < bytes_needed {
            return Err(DecodeError::Truncated { bytes_needed, bytes: rest.len() });
        }
        if rest.len() > bytes_needed {
            return Err(DecodeError::TrailingBytes { bytes: rest.len() - bytes_needed });
        }
        Ok(Signatures(rest.as_chunks().0))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The signatures, in the order they were given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ClaimSignature> + 'a {
        self.0.iter().map(|bytes| {
            let (agent_key, rest) = bytes.split_first_chunk().expect("104 bytes");
            let (signature, timestamp) = rest.split_first_chunk().expect("72 bytes");
            let timestamp = i64::from_le_bytes(timestamp.try_into().expect("8 bytes"));
            ClaimSignature { agent_key: *agent_key, signature: *signature, timestamp: UnixMicros(timestamp) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Field, Problem, arbitrary, vectors};
    use proptest::array::{uniform4, uniform32};
    use proptest::prelude::*;

    fn signatures() -> impl Strategy<Value = Vec<ClaimSignature>> {
        let signature = (uniform32(any::<u8>()), uniform4(any::<[u8; 16]>()), any::<i64>());
        let signature = signature.prop_map(|(agent_key, quarters, timestamp)| ClaimSignature {
            agent_key,
            signature: quarters.concat().try_into().expect("four times 16 bytes"),
            timestamp: UnixMicros(timestamp),
        });
        prop::collection::vec(signature, 0..=signature::COUNT_MAX)
    }

    fn encoded(claim: &Claim<'_>, signatures: &[ClaimSignature]) -> Vec<u8> {
        let mut payload = Vec::new();
        encode(claim, signatures, &mut payload);
        payload
    }

    /// What must hold for any bytes whatever: they are refused, or they are what encoding writes, but for the hash.
    fn check_strict(payload: &[u8]) -> Option<Assertion<'_>> {
        let assertion = Assertion::decode(payload).ok()?;
        let again = encoded(&assertion.claim, &assertion.signatures.iter().collect::<Vec<_>>());
        assert_eq!(&again[32..], &payload[32..], "a second encoding of {assertion:?}");
        assert_eq!(assertion.check_hash().is_ok(), again == payload);
        Some(assertion)
    }

    proptest! {
        #[test]
        fn every_assertion_leads_back(owned in arbitrary::claims(), signatures in signatures()) {
            let claim = owned.claim();
            let mut payload = vec![7];
            let hash = encode(&claim, &signatures, &mut payload);
            prop_assert_eq!(payload.remove(0), 7, "what was there before stays");
            let assertion = Assertion::decode(&payload).expect("it was just encoded");
            prop_assert_eq!(assertion.hash, hash);
            prop_assert_eq!(assertion.check_hash(), Ok(()));
            prop_assert_eq!(assertion.claim, claim);
            prop_assert_eq!(assertion.signatures.len(), signatures.len());
            prop_assert_eq!(assertion.signatures.is_empty(), signatures.is_empty());
            prop_assert_eq!(assertion.signatures.iter().collect::<Vec<_>>(), signatures);
        }

        #[test]
        fn changed_payloads_are_refused_or_other_assertions(
            owned in arbitrary::claims(),
            signatures in signatures(),
            at in any::<prop::sample::Index>(),
            replacement in prop::collection::vec(any::<u8>(), 0..4),
            removed in 0..4_usize,
        ) {
            let original = encoded(&owned.claim(), &signatures);
            let begin = at.index(original.len());
            let mut changed = original.clone();
            changed.splice(begin..original.len().min(begin + removed), replacement);
            let decoded = check_strict(&changed);
            if changed != original {
                prop_assert_ne!(decoded, Assertion::decode(&original).ok());
            }
        }
    }

    #[test]
    fn every_truncation_is_refused_and_every_bit_flip_seen() {
        let signature = ClaimSignature { agent_key: [1; 32], signature: [2; 64], timestamp: UnixMicros(-3) };
        for vector in vectors::claims() {
            let original = encoded(&vector.claim, &[signature, signature]);
            for end in 0..original.len() {
                let truncated = Assertion::decode(&original[..end]);
                assert!(matches!(truncated, Err(DecodeError::Truncated { .. })), "{end}");
            }
            for bit in 0..8 * original.len() {
                let mut flipped = original.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let in_signatures = bit / 8 >= original.len() - 2 * SIGNATURE_BYTES;
                match check_strict(&flipped) {
                    Some(assertion) => assert_eq!(assertion.check_hash().is_ok(), in_signatures, "bit {bit}"),
                    None => assert!(!in_signatures, "bit {bit}"),
                }
            }
        }
    }

    #[test]
    fn the_end_is_where_it_is_announced() {
        let claim = vectors::claims().remove(0).claim;
        let signature = ClaimSignature { agent_key: [1; 32], signature: [2; 64], timestamp: UnixMicros(3) };
        let mut payload = encoded(&claim, &[signature; signature::COUNT_MAX]);
        payload.push(0);
        assert_eq!(Assertion::decode(&payload), Err(DecodeError::TrailingBytes { bytes: 1 }));

        let mut payload = encoded(&claim, &[]);
        let count = payload.len() - 1;
        payload[count] = 17;
        payload.extend([0; 17 * SIGNATURE_BYTES]);
        let too_many = Problem::TooMany { count: 17, count_max: 16 };
        assert_eq!(Assertion::decode(&payload), Err(too_many.of(Field::Signatures).into()));
    }

    #[test]
    #[should_panic(expected = "17 signatures")]
    fn seventeen_signatures_are_never_written() {
        let claim = vectors::claims().remove(0).claim;
        let signature = ClaimSignature { agent_key: [1; 32], signature: [2; 64], timestamp: UnixMicros(3) };
        encoded(&claim, &[signature; 17]);
    }
}
