//! Classes of characters that RFC 9110 and RFC 3986 allow in a place.

/// A set of byte values.
pub(super) struct CharacterSet([bool; 256]);

impl CharacterSet {
    /// Letters, digits and the bytes of `others`.
    const fn alphanumeric_and(others: &[u8]) -> CharacterSet {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            set[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut index = 0;
        while index < others.len() {
            set[others[index] as usize] = true;
            index += 1;
        }
        CharacterSet(set)
    }

    /// Whether `byte` belongs to the set.
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// Whether all of `bytes` belong to the set.
    pub(super) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.has(byte))
    }
}

//= RFC 9110 section 5.6.2
//# tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." /
//#  "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
/// What a token is made of.
pub(super) static TOKEN: CharacterSet = CharacterSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

//= RFC 3986 section 3.3
//# pchar = unreserved / pct-encoded / sub-delims / ":" / "@"
/// What a path is made of: `pchar`, `/`, and the `%` that begins an encoded byte.
pub(super) static PATH: CharacterSet = CharacterSet::alphanumeric_and(b"-._~!$&'()*+,;=:@/%");

//= RFC 3986 section 3.4
//# query = *( pchar / "/" / "?" )
/// What a query is made of, with the `%` that begins an encoded byte.
pub(super) static QUERY: CharacterSet = CharacterSet::alphanumeric_and(b"-._~!$&'()*+,;=:@/%?");

//= RFC 3986 section 3.2.2
//# reg-name = *( unreserved / pct-encoded / sub-delims )
/// What the name of a host is made of, with the `%` that begins an encoded byte.
pub(super) static REG_NAME: CharacterSet = CharacterSet::alphanumeric_and(b"-._~!$&'()*+,;=%");

/// What an `x-request-id` is made of.
pub(super) static REQUEST_ID: CharacterSet = CharacterSet::alphanumeric_and(b"._-");

//= RFC 9110 section 5.5
//# field-vchar = VCHAR / obs-text
/// Whether `byte` may stand in the value of a field: no control character but the tab.
pub(super) fn is_field_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

//= RFC 9110 section 5.6.3
//# OWS = *( SP / HTAB )
/// `bytes` without the white space around them.
pub(super) fn trim_white_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether every `%` in `text` is followed by two hexadecimal digits.
pub(super) fn percent_encodings_are_valid(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let digits = rest.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return false;
        }
        rest = &rest[at + 3..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_set_is_that_of_the_grammar() {
        let delimiters = b"\"(),/:;<=>?@[\\]{}";
        for byte in 0..=255 {
            let visible = byte > b' ' && byte < 0x7f;
            assert_eq!(TOKEN.has(byte), visible && !delimiters.contains(&byte), "byte {byte:#04x}");
        }
    }

    #[test]
    fn the_uri_sets_hold_no_byte_that_a_uri_must_encode() {
        for byte in 0..=255 {
            let encoded = byte <= b' ' || byte >= 0x7f || b"\"<>\\^`{|}#[]".contains(&byte);
            assert_eq!(QUERY.has(byte), !encoded, "byte {byte:#04x}");
            assert_eq!(PATH.has(byte), !encoded && byte != b'?', "byte {byte:#04x}");
            assert_eq!(REG_NAME.has(byte), !encoded && !b"?/:@".contains(&byte), "byte {byte:#04x}");
        }
    }

    #[test]
    fn a_percent_sign_needs_two_digits() {
        for valid in ["", "a", "%41", "x%e2%82%ACy", "%25%41"] {
            assert!(percent_encodings_are_valid(valid.as_bytes()), "{valid}");
        }
        for invalid in ["%", "%4", "%g1", "%4g", "%%41", "a%41%", "%+1", "% 1"] {
            assert!(!percent_encodings_are_valid(invalid.as_bytes()), "{invalid}");
        }
    }
}
