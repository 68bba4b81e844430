//! Signatures: who vouches for a claim, checked by arithmetic.

use super::error::{ClaimError, Field, Problem};
use super::hash::ClaimHash;
use crate::time::UnixMicros;
use ed25519_dalek::{Signature, VerifyingKey};

/// The first bytes of every message that an agent signs for a claim. They keep a signature made here from meaning
/// anything elsewhere.
pub const CONTEXT: &[u8; 16] = b"stemedb-claim-v1";

/// The length of a signed message.
pub const MESSAGE_BYTES: usize = CONTEXT.len() + ClaimHash::BYTES + 8;

/// How many signatures can stand beside one claim.
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

/// Checks that `signatures` are few enough to stand beside one claim.
pub fn check_count(signatures: &[ClaimSignature]) -> Result<(), ClaimError> {
    if signatures.len() > COUNT_MAX {
        let problem = Problem::TooMany { count: signatures.len(), count_max: COUNT_MAX };
        return Err(problem.of(Field::Signatures));
    }
    Ok(())
}
