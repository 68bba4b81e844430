//! Decoding what the log holds: whatever is accepted is exactly what encoding writes.

use stemedb_engine::claim::{Assertion, Claim, ClaimSignature, Retraction, assertion as assertions};

/// Canonical claim: the bytes consumed are the encoding of the claim that came out.
pub fn claim(input: &[u8]) {
    if let Ok((claim, consumed)) = Claim::decode_canonical(input) {
        let mut encoded = Vec::new();
        claim.encode_canonical(&mut encoded);
        assert_eq!(encoded, &input[..consumed], "a second encoding of {claim:?}");
        assert_eq!(Claim::decode_canonical(&encoded), Ok((claim, consumed)));
    }
}

/// Payload of an Assertion record: all of it is the encoding of what came out, but for the hash, which is checked.
pub fn assertion(input: &[u8]) {
    if let Ok(assertion) = Assertion::decode(input) {
        let signatures: Vec<ClaimSignature> = assertion.signatures.iter().collect();
        let mut encoded = Vec::new();
        let hash = assertions::encode(&assertion.claim, &signatures, &mut encoded);
        assert_eq!(encoded[32..], input[32..], "a second encoding of {assertion:?}");
        assert_eq!(assertion.check_hash().is_ok(), assertion.hash == hash);
    }
}

/// Payload of a Retraction record: all of it is the encoding of what came out.
pub fn retraction(input: &[u8]) {
    if let Ok(retraction) = Retraction::decode(input) {
        let mut encoded = Vec::new();
        retraction.encode(&mut encoded);
        assert_eq!(encoded, input, "a second encoding of {retraction:?}");
    }
}
