//! The Host header field, and the authority of an absolute target.

use std::net::Ipv6Addr;

use super::character::{REG_NAME, percent_encodings_are_valid};

//= RFC 9110 section 7.2
//# Host = uri-host [ ":" port ]
/// Whether `authority` is the name or address of a host, and optionally a colon and a port.
///
/// An empty host is refused, and so is user information before an `@`.
pub(super) fn authority_is_valid(authority: &[u8]) -> bool {
    match authority.first() {
        Some(b'[') => ipv6_is_valid(&authority[1..]),
        Some(_) => {
            let host_bytes = memchr::memchr(b':', authority).unwrap_or(authority.len());
            let (host, port) = authority.split_at(host_bytes);
            //= RFC 9110 section 4.2.1
            //# A sender MUST NOT generate an "http" URI with an empty host identifier.  A recipient that
            //# processes such a URI reference MUST reject it as invalid.
            //
            //= RFC 9110 section 4.2.2
            //# A recipient that processes such a URI reference MUST reject it as invalid.
            !host.is_empty()
                && REG_NAME.has_all(host)
                && percent_encodings_are_valid(host)
                && port_is_valid(port)
        }
        None => false,
    }
}

fn ipv6_is_valid(after_bracket: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b']', after_bracket) else { return false };
    let address = std::str::from_utf8(&after_bracket[..end]).ok();
    address.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok()) && port_is_valid(&after_bracket[end + 1..])
}

/// Whether this is nothing, or a colon and a port number that may be missing.
fn port_is_valid(port: &[u8]) -> bool {
    match port.split_first() {
        None => true,
        Some((b':', digits)) => {
            let number = digits.iter().try_fold(0_u32, |number, digit| {
                digit.is_ascii_digit().then(|| (number * 10 + u32::from(digit - b'0')).min(65_536))
            });
            number.is_some_and(|number| number <= 65_535)
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_valid() {
        for valid in [
            "localhost",
            "127.0.0.1:18180",
            "a.example.org",
            "a:",
            "[::1]",
            "[2001:db8::1]:80",
            "x_y~!$&'()*+,;=",
            "%41",
            "h:00080",
            "h:65535",
        ] {
            assert!(authority_is_valid(valid.as_bytes()), "{valid}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for invalid in [
            "",
            ":80",
            "a b",
            "a/b",
            "a,b c",
            "user@host",
            "a:b",
            "a:80:90",
            "a:65536",
            "a:99999999999999999999",
            "[::1",
            "[::1]x",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "::1",
            "a#b",
            "a?b",
            "\u{e4}",
            "%4",
            "a\\b",
            "a:+80",
            "a:-1",
        ] {
            assert!(!authority_is_valid(invalid.as_bytes()), "{invalid}");
        }
    }
}
