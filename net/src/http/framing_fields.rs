//! The header fields that say where a request ends and whether another one follows.

use super::body::Framing;
use super::character::{TOKEN, trim_white_space};
use super::{Reject, Version};

/// What `Content-Length`, `Transfer-Encoding`, `Connection` and `Expect` say together.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    content_length: Option<u64>,
    transfer_encoding: Option<TransferEncoding>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransferEncoding {
    Chunked,
    /// Other codings, then chunked.
    Unknown,
    /// The last coding is not chunked, or chunked comes twice, or the list is no list.
    Invalid,
    /// Other codings; chunked may follow in a further field.
    Unfinished,
}

impl FramingFields {
    /// Takes the value of a `Content-Length` field.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        //= RFC 9112 section 6.3
        //# If a message is received without Transfer-Encoding and with an invalid Content-Length header field, then
        //# the message framing is invalid and the recipient MUST treat it as an unrecoverable error, unless the
        //# field value can be successfully parsed as a comma-separated list [...], all values in the list are
        //# valid, and all values in the list are the same
        //
        //= RFC 9112 section 6.3
        //# If the unrecoverable error is in a request message, the server MUST respond with a 400 (Bad Request) status
        //# code and then close the connection.
        //
        //= RFC 9110 section 8.6
        //# a recipient of a Content-Length header field value consisting of the same decimal value repeated as a
        //# comma-separated list (e.g, "Content-Length: 42, 42") MAY either reject the message as invalid or replace
        //# that invalid field value
        // The exception is not made: neither a list nor a second field is accepted, alike or not.
        if self.content_length.is_some() {
            return Err(Reject::RepeatedContentLength);
        }
        self.content_length = Some(decimal(value).ok_or(Reject::InvalidContentLength)?);
        Ok(())
    }

    //= RFC 9110 section 5.6.1.2
    //# A recipient MUST parse and ignore a reasonable number of empty list elements
    // Not here: to some recipients an empty coding hides the one behind it, and no client sends one.
    /// Takes the value of a `Transfer-Encoding` field; several are one list.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) {
        let mut seen = self.transfer_encoding;
        for coding in value.split(|&byte| byte == b',').map(trim_white_space) {
            let name_bytes = coding.iter().take_while(|&&byte| TOKEN.has(byte)).count();
            seen = Some(if coding.eq_ignore_ascii_case(b"chunked") {
                match seen {
                    None => TransferEncoding::Chunked,
                    Some(TransferEncoding::Unfinished) => TransferEncoding::Unknown,
                    Some(_) => TransferEncoding::Invalid,
                }
            } else {
                //= RFC 9112 section 7.1
                //# The chunked coding does not define any parameters.  Their presence SHOULD be treated as an error.
                let is_chunked = coding[..name_bytes].eq_ignore_ascii_case(b"chunked");
                let well_formed = name_bytes > 0 && !is_chunked;
                match seen {
                    None | Some(TransferEncoding::Unfinished) if well_formed => TransferEncoding::Unfinished,
                    _ => TransferEncoding::Invalid,
                }
            });
        }
        self.transfer_encoding = seen;
    }

    //= RFC 9110 section 7.6.1
    //# Connection options are case-insensitive.
    //
    //= RFC 9110 section 5.6.1.2
    //# A recipient MUST parse and ignore a reasonable number of empty list elements
    /// Takes the value of a `Connection` field; several are one list.
    pub(super) fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(trim_white_space) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    //= RFC 9110 section 5.6.1.2
    //# A recipient MUST parse and ignore a reasonable number of empty list elements
    /// Takes the value of an `Expect` field; several are one list.
    pub(super) fn expect(&mut self, value: &[u8], version: Version) -> Result<(), Reject> {
        let expectations = value.split(|&byte| byte == b',').map(trim_white_space);
        for expectation in expectations.filter(|expectation| !expectation.is_empty()) {
            //= RFC 9110 section 10.1.1
            //# A server that receives an Expect field value containing a member other than 100-continue MAY respond with
            //# a 417 (Expectation Failed) status code
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(Reject::ExpectationFailed);
            }
            //= RFC 9110 section 10.1.1
            //# A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation.
            //
            //= RFC 9110 section 15.2
            //# Since HTTP/1.0 did not define any 1xx status codes, a server MUST NOT send a 1xx response to an HTTP/1.0
            //# client.
            self.expects_continue = version == Version::Http11;
        }
        Ok(())
    }

    /// Where the body ends.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Reject> {
        match (self.transfer_encoding, self.content_length) {
            //= RFC 9112 section 6.3
            //# If this is a request message and none of the above are true, then the message body length is zero (no
            //# message body is present).
            (None, None) => Ok(Framing::Absent),
            (None, Some(bytes)) => Ok(Framing::Length(bytes)),
            //= RFC 9112 section 6.1
            //# A server MAY reject a request that contains both Content-Length and Transfer-Encoding
            (Some(_), Some(_)) => Err(Reject::AmbiguousLength),
            //= RFC 9112 section 6.1
            //# A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST
            //# treat the message as if the framing is faulty
            (Some(_), None) if version == Version::Http10 => Err(Reject::TransferEncodingInHttp10),
            (Some(TransferEncoding::Chunked), None) => Ok(Framing::Chunked),
            //= RFC 9112 section 6.1
            //# A server that receives a request message with a transfer coding it does not understand SHOULD respond
            //# with 501 (Not Implemented).
            (Some(TransferEncoding::Unknown), None) => Err(Reject::UnsupportedTransferEncoding),
            //= RFC 9112 section 6.3
            //# If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the
            //# final encoding, the message body length cannot be determined reliably; the server MUST respond with
            //# the 400 (Bad Request) status code and then close the connection.
            (Some(TransferEncoding::Unfinished | TransferEncoding::Invalid), None) => {
                Err(Reject::InvalidTransferEncoding)
            }
        }
    }

    //= RFC 9112 section 9.3
    //# If the "close" connection option is present (Section 9.6), the connection will not persist after the current
    //# response; else, [...] If the received protocol is HTTP/1.1 (or later), the connection will persist after the
    //# current response; else, [...] If the received protocol is HTTP/1.0, the "keep-alive" connection option is
    //# present, [...] the connection will persist after the current response; otherwise, [...] The connection will
    //# close after the current response.
    /// Whether the connection persists after the response.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether the client waits for leave to send the body.
    pub(super) fn expects_continue(&self) -> bool {
        self.expects_continue
    }
}

//= RFC 9110 section 8.6
//# Content-Length = 1*DIGIT
//
//= RFC 9110 section 8.6
//# a recipient MUST anticipate potentially large decimal numerals and prevent parsing errors due to integer
//# conversion overflows
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing_of(fields: &[(&str, &str)], version: Version) -> Result<Framing, Reject> {
        let mut framing = FramingFields::default();
        for (name, value) in fields {
            match *name {
                "length" => framing.content_length(value.as_bytes())?,
                "encoding" => framing.transfer_encoding(value.as_bytes()),
                other => unreachable!("{other}"),
            }
        }
        framing.framing(version)
    }

    fn http11(fields: &[(&str, &str)]) -> Result<Framing, Reject> {
        framing_of(fields, Version::Http11)
    }

    #[test]
    fn a_length_is_one_decimal_number() {
        assert_eq!(http11(&[]), Ok(Framing::Absent));
        for (text, bytes) in [("0", 0), ("42", 42), ("0042", 42), ("18446744073709551615", u64::MAX)] {
            assert_eq!(http11(&[("length", text)]), Ok(Framing::Length(bytes)), "{text}");
        }
        for text in [
            "",
            "+1",
            "-1",
            "1 ",
            "0x10",
            "1,1",
            "1, 1",
            "1.0",
            "1e3",
            "18446744073709551616",
            "9".repeat(40).as_str(),
        ] {
            assert_eq!(http11(&[("length", text)]), Err(Reject::InvalidContentLength), "{text:?}");
        }
    }

    #[test]
    fn a_second_length_is_refused_even_if_it_is_the_same() {
        assert_eq!(http11(&[("length", "5"), ("length", "5")]), Err(Reject::RepeatedContentLength));
        assert_eq!(http11(&[("length", "5"), ("length", "6")]), Err(Reject::RepeatedContentLength));
    }

    #[test]
    fn a_length_and_a_coding_together_are_refused() {
        for coding in ["chunked", "identity", ""] {
            assert_eq!(http11(&[("length", "5"), ("encoding", coding)]), Err(Reject::AmbiguousLength));
            assert_eq!(http11(&[("encoding", coding), ("length", "5")]), Err(Reject::AmbiguousLength));
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        for coding in ["chunked", "Chunked", "CHUNKED"] {
            assert_eq!(http11(&[("encoding", coding)]), Ok(Framing::Chunked), "{coding}");
        }
        for coding in [
            "",
            ",",
            "identity",
            "gzip",
            "xchunked",
            "chunked,",
            ",chunked",
            "chunked, chunked",
            "chunked, gzip",
            "gzip, chunked, gzip",
            "chunked;q=1",
            "gzip, chunked;q=1",
            "chunked;q=1, chunked",
            "\"chunked\"",
            "chunked chunked",
            "\x0bchunked",
            ";chunked",
            "chunked, gzip, chunked",
        ] {
            assert_eq!(http11(&[("encoding", coding)]), Err(Reject::InvalidTransferEncoding), "{coding:?}");
        }
        for coding in ["gzip, chunked", "gzip;level=9 , chunked", "a, b, chunked"] {
            assert_eq!(
                http11(&[("encoding", coding)]),
                Err(Reject::UnsupportedTransferEncoding),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn several_coding_fields_are_one_list() {
        let two = |first, second| http11(&[("encoding", first), ("encoding", second)]);
        assert_eq!(two("gzip", "chunked"), Err(Reject::UnsupportedTransferEncoding));
        assert_eq!(two("chunked", "chunked"), Err(Reject::InvalidTransferEncoding));
        assert_eq!(two("chunked", "identity"), Err(Reject::InvalidTransferEncoding));
        assert_eq!(two("", "chunked"), Err(Reject::InvalidTransferEncoding));
    }

    #[test]
    fn http_1_0_has_no_transfer_coding() {
        let framing = framing_of(&[("encoding", "chunked")], Version::Http10);
        assert_eq!(framing, Err(Reject::TransferEncodingInHttp10));
    }

    #[test]
    fn persistence_depends_on_version_and_options() {
        let persists = |options: &[&str], version| {
            let mut fields = FramingFields::default();
            options.iter().for_each(|option| fields.connection(option.as_bytes()));
            fields.keep_alive(version)
        };
        assert!(persists(&[], Version::Http11));
        assert!(persists(&["keep-alive", "upgrade , TE"], Version::Http11));
        assert!(!persists(&["Close"], Version::Http11));
        assert!(!persists(&["keep-alive", "x, close"], Version::Http11));
        assert!(persists(&["closed"], Version::Http11));
        assert!(!persists(&[], Version::Http10));
        assert!(persists(&["Keep-Alive"], Version::Http10));
        assert!(!persists(&["keep-alive, close"], Version::Http10));
    }

    #[test]
    fn the_only_expectation_is_100_continue() {
        let expects = |value: &str, version| {
            let mut fields = FramingFields::default();
            fields.expect(value.as_bytes(), version).map(|()| fields.expects_continue())
        };
        assert_eq!(expects("100-continue", Version::Http11), Ok(true));
        assert_eq!(expects("100-Continue", Version::Http11), Ok(true));
        assert_eq!(expects("100-continue", Version::Http10), Ok(false));
        for list in ["100-continue,", ", ,100-continue", "100-continue, 100-continue"] {
            assert_eq!(expects(list, Version::Http11), Ok(true), "{list:?}");
        }
        for nothing in ["", ",", " , ,"] {
            assert_eq!(expects(nothing, Version::Http11), Ok(false), "{nothing:?}");
        }
        for other in ["200-ok", "100-continue, x", ",x", "100-continue=1", "y 100-continue"] {
            assert_eq!(expects(other, Version::Http11), Err(Reject::ExpectationFailed), "{other:?}");
        }
    }
}
