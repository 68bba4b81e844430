//! Hexadecimal digits: how hashes, keys and signatures are written in requests and answers.

use super::error::{ClaimError, Field, Problem};

/// The `N` bytes that `text` gives as `2 N` hexadecimal digits of either case. An error speaks of `field`.
pub fn decode<const N: usize>(field: Field, text: &str) -> Result<[u8; N], ClaimError> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(hex::FromHexError::InvalidHexCharacter { c, index }) => {
            // The crate reports the first byte of the character; the text knows all of it.
            let character = text.get(index..).and_then(|rest| rest.chars().next()).unwrap_or(c);
            Err(Problem::NotHex { digits: 2 * N, got: format!("{character:?} at byte {index}") }.of(field))
        }
        Err(hex::FromHexError::OddLength | hex::FromHexError::InvalidStringLength) => {
            let got = format!("{} characters", text.chars().count());
            Err(Problem::NotHex { digits: 2 * N, got }.of(field))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_case_of_the_right_length_passes() {
        assert_eq!(decode(Field::SourceHash, "00fF"), Ok([0, 255]));
        for text in ["", "00f", "00ff0", "00ff00", "00fg", "é0f", "00 f", "0x0f"] {
            assert!(decode::<2>(Field::SourceHash, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn messages_say_what_is_there() {
        let message = |text| decode::<2>(Field::ParentHash, text).map_err(|e| e.to_string());
        assert_eq!(message("abc"), Err("parent_hash must be 4 hexadecimal digits, got 3 characters".into()));
        assert_eq!(
            message("abxd"),
            Err("parent_hash must be 4 hexadecimal digits, got 'x' at byte 2".into())
        );
    }
}
