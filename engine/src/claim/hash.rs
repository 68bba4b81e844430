//! Claim hashes: the names of claims.

use super::error::{ClaimError, Field, Problem};
use super::hex;
use std::fmt;
use std::ops::Deref;

/// The BLAKE3 hash of a claim's canonical bytes.
///
/// Displays as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimHash(pub [u8; 32]);

impl ClaimHash {
    /// How long a hash is.
    pub const BYTES: usize = 32;

    /// The hash of a claim, from its canonical bytes.
    pub fn of_canonical(canonical: &[u8]) -> ClaimHash {
        ClaimHash(*blake3::hash(canonical).as_bytes())
    }

    /// The hash that `text` gives as 64 hexadecimal digits. An error speaks of `field`.
    pub fn from_hex(field: Field, text: &str) -> Result<ClaimHash, ClaimError> {
        hex::decode(field, text).map(ClaimHash)
    }
}

impl fmt::Display for ClaimHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * Self::BYTES];
        ::hex::encode_to_slice(self.0, &mut digits).expect("two digits a byte fit");
        f.write_str(str::from_utf8(&digits).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for ClaimHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The claims that a claim was derived from: at most 64, in the agent's order, repeats allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DerivedFrom(Vec<ClaimHash>);

impl DerivedFrom {
    /// The most claims a claim can be derived from.
    pub const COUNT_MAX: usize = 64;

    /// Checks the number of hashes.
    pub fn new(hashes: Vec<ClaimHash>) -> Result<DerivedFrom, ClaimError> {
        if hashes.len() > Self::COUNT_MAX {
            let problem = Problem::TooMany { count: hashes.len(), count_max: Self::COUNT_MAX };
            return Err(problem.of(Field::DerivedFrom));
        }
        Ok(DerivedFrom(hashes))
    }
}

impl Deref for DerivedFrom {
    type Target = [ClaimHash];

    fn deref(&self) -> &[ClaimHash] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_leads_back() {
        let hash = ClaimHash::of_canonical(b"");
        // The hash of no bytes, from BLAKE3's own test vectors.
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(hash.to_string(), text);
        assert_eq!(ClaimHash::from_hex(Field::ParentHash, text), Ok(hash));
        assert_eq!(ClaimHash::from_hex(Field::ParentHash, &text.to_uppercase()), Ok(hash));
        assert!(ClaimHash::from_hex(Field::ParentHash, &text[1..]).is_err());
    }

    #[test]
    fn derived_from_is_bounded() {
        let hash = ClaimHash([7; 32]);
        assert_eq!(DerivedFrom::new(vec![hash; 64]).map(|d| d.len()), Ok(64));
        let message = DerivedFrom::new(vec![hash; 65]).map_err(|e| e.to_string());
        assert_eq!(message, Err("derived_from must have at most 64 entries, got 65".to_string()));
    }
}
