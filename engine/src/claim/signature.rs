//! Signatures: who vouches for a claim, checked by arithmetic.

use super::hash::ClaimHash;
use crate::time::UnixMicros;
use ed25519_dalek::{Signature, VerifyingKey};

/// The first bytes of every message that an agent signs for a claim. They keep a signature made here from meaning
/// anything elsewhere.
pub const CONTEXT: &[u8; 16] = b"stemedb-claim-v1";

/// The length of a signed message.
pub const MESSAGE_BYTES: usize = CONTEXT.len() + ClaimHash::BYTES + 8;

/// How many signatures can stand beside one claim. Each costs a core most of a tenth of a millisecond to verify.
pub const COUNT_MAX: usize = 16;

/// An Ed25519 signature beside a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimSignature {
    /// The signer's public key.
    pub agent_key: [u8; 32],
    /// The signature over [`message`].
    pub signature: [u8; 64],
    /// When it was made, by the signer's clock; part of the message.
    pub timestamp: UnixMicros,
}

/// The message that `agent_key` signs to vouch for the claim `hash` at `timestamp`: the context, the claim's hash, the
/// time in microseconds since 1970 as a little-endian `i64`.
pub fn message(hash: &ClaimHash, timestamp: UnixMicros) -> [u8; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    message[..16].copy_from_slice(CONTEXT);
    message[16..48].copy_from_slice(&hash.0);
    message[48..].copy_from_slice(&timestamp.0.to_le_bytes());
    message
}

/// Whether `signature` is its key's signature for the claim `hash`.
///
/// Strict Ed25519 (RFC 8032, section 5.1.7, without its leeway): only canonical encodings, no points of small order. So
/// no signature can be changed into another one that also verifies, and no key signs everything.
pub fn verify(hash: &ClaimHash, signature: &ClaimSignature) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&signature.agent_key) else {
        return false;
    };
    let message = message(hash, signature.timestamp);
    key.verify_strict(&message, &Signature::from_bytes(&signature.signature)).is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    /// The key of RFC 8032, section 7.1, test 1.
    const SECRET_KEY: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    /// Its public half.
    pub(crate) const PUBLIC_KEY: [u8; 32] = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
        0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];

    pub(crate) fn sign(hash: &ClaimHash, timestamp: UnixMicros) -> ClaimSignature {
        let mut secret_key = [0; 32];
        hex::decode_to_slice(SECRET_KEY, &mut secret_key).expect("64 digits");
        let key = SigningKey::from_bytes(&secret_key);
        let signature = key.sign(&message(hash, timestamp)).to_bytes();
        ClaimSignature { agent_key: key.verifying_key().to_bytes(), signature, timestamp }
    }

    #[test]
    fn a_signature_holds_for_its_key_claim_and_time_alone() {
        let hash = ClaimHash([0xab; 32]);
        let signature = sign(&hash, UnixMicros(1_700_000_000_000_000));
        assert_eq!(signature.agent_key, PUBLIC_KEY);
        assert!(verify(&hash, &signature));
        for bit in 0..256 {
            let mut other = hash;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&other, &signature), "bit {bit} of the hash");
            let mut other = signature;
            other.agent_key[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&hash, &other), "bit {bit} of the key");
        }
        for bit in 0..512 {
            let mut other = signature;
            other.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&hash, &other), "bit {bit} of the signature");
        }
        for timestamp in [0, -1, 1_700_000_000_000_001, i64::MIN, i64::MAX] {
            assert!(!verify(&hash, &ClaimSignature { timestamp: UnixMicros(timestamp), ..signature }));
        }
        let times = [i64::MIN, -1, 0, i64::MAX].map(UnixMicros);
        assert!(times.iter().all(|timestamp| verify(&hash, &sign(&hash, *timestamp))));
    }

    #[test]
    fn a_key_that_signs_everything_signs_nothing() {
        // The neutral element as key and as R, and S = 0: fulfils the equation for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let signature = ClaimSignature { agent_key: neutral, signature, timestamp: UnixMicros(0) };
        assert!(!verify(&ClaimHash([0; 32]), &signature));
    }

    #[test]
    fn a_signature_has_no_second_form() {
        // S + L, where L is the order of the base point, fulfils the same equation as S.
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let mut order_bytes = [0; 32];
        hex::decode_to_slice(order, &mut order_bytes).expect("64 digits");
        let hash = ClaimHash([1; 32]);
        let mut signature = sign(&hash, UnixMicros(0));
        let mut carry = 0;
        for (byte, added) in signature.signature[32..].iter_mut().zip(order_bytes) {
            let sum = u16::from(*byte) + u16::from(added) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert!(!verify(&hash, &signature));
    }
}
