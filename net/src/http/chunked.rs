//! The decoder of chunked bodies.

use super::Reject;
use super::character::{TOKEN, is_field_value};
use super::limits::PIECE_BYTES_MAX;

/// The bound of a trailer section, in bytes. Its fields are checked and thrown away.
const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// How many bytes of chunk headers may be more than the content justifies: see [`ChunkedDecoder::line_end`].
const OVERHEAD_BYTES_MAX: usize = 16 * 1024;

/// What a chunk header may cost without being overhead, besides twice the bytes of its chunk.
const OVERHEAD_FREE_BYTES: usize = 16;

/// More digits than the largest size has, so leading zeros cannot go on for ever.
const SIZE_DIGITS_MAX: u8 = 16;

//= RFC 9112 section 6.1
//# A recipient MUST be able to parse the chunked transfer coding
//
//= RFC 9112 section 7.1
//# A recipient MUST be able to parse and decode the chunked transfer coding.
//
//= RFC 9112 section 7.1
//# chunked-body = *chunk last-chunk trailer-section CRLF
//# chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//# chunk-size = 1*HEXDIG
//# last-chunk = 1*("0") [ chunk-ext ] CRLF
/// Finds the content in a chunked body. It keeps no bytes and looks at none twice.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// The size of the current chunk while it is read, then how much of its data is to come.
    size: u64,
    size_digits: u8,
    /// Bytes of the current chunk header so far.
    line_bytes: usize,
    overhead_bytes: usize,
    trailer_bytes: usize,
}

/// A step of decoding: first `framing_bytes` to skip, then `data_bytes` of content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) framing_bytes: usize,
    pub(super) data_bytes: usize,
    /// Whether the body is complete.
    pub(super) end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// White space after the size or an extension, which an extension must follow.
    BeforeExtension,
    ExtensionName,
    ExtensionNameRest,
    /// White space after the name of an extension.
    AfterExtensionName,
    ExtensionValue,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscaped,
    /// The closing quote of an extension's value was the last byte.
    AfterQuoted,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerLine,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    EndLineFeed,
    Done,
}

impl ChunkedDecoder {
    /// A decoder at the beginning of a body.
    pub(super) fn new() -> ChunkedDecoder {
        ChunkedDecoder {
            state: State::Size,
            size: 0,
            size_digits: 0,
            line_bytes: 0,
            overhead_bytes: 0,
            trailer_bytes: 0,
        }
    }

    /// Goes on in `input`, to the next content or to its end.
    pub(super) fn decode(&mut self, input: &[u8]) -> Result<Decoded, Reject> {
        for (framing_bytes, &byte) in input.iter().enumerate() {
            match self.state {
                State::Data => return Ok(self.data(framing_bytes, input.len() - framing_bytes)),
                State::Done => return Ok(Decoded { framing_bytes, data_bytes: 0, end: true }),
                _ => self.framing_byte(byte)?,
            }
        }
        Ok(Decoded { framing_bytes: input.len(), data_bytes: 0, end: self.state == State::Done })
    }

    /// How much of the current chunk is to come after what was decoded; 0 between chunks.
    pub(super) fn chunk_rest_bytes(&self) -> u64 {
        if self.state == State::Data { self.size } else { 0 }
    }

    fn data(&mut self, framing_bytes: usize, available: usize) -> Decoded {
        let available = available.min(PIECE_BYTES_MAX);
        let data_bytes = usize::try_from(self.size).map_or(available, |size| size.min(available));
        self.size -= data_bytes as u64;
        if self.size == 0 {
            self.state = State::DataReturn;
        }
        Decoded { framing_bytes, data_bytes, end: false }
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Reject> {
        match self.state {
            State::DataReturn | State::DataLineFeed => self.after_data(byte),
            State::TrailerLine
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLineFeed
            | State::EndLineFeed => self.trailer_byte(byte),
            _ => self.header_byte(byte),
        }
    }

    fn after_data(&mut self, byte: u8) -> Result<(), Reject> {
        self.state = match (self.state, byte) {
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => {
                self.size_digits = 0;
                State::Size
            }
            _ => return Err(Reject::InvalidChunk),
        };
        Ok(())
    }

    //= RFC 9112 section 7.1.1
    //# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
    //# chunk-ext-name = token
    //# chunk-ext-val = token / quoted-string
    //#
    //# A recipient MUST ignore unrecognized chunk extensions.
    //
    //= RFC 9110 section 5.6.3
    //# A recipient MUST parse for such bad whitespace and remove it before interpreting the protocol element.
    //
    //= RFC 9110 section 5.6.4
    //# Recipients that process the value of a quoted-string MUST handle a quoted-pair as if it were replaced by the
    //# octet following the backslash.
    fn header_byte(&mut self, byte: u8) -> Result<(), Reject> {
        //= RFC 9112 section 7.1.1
        //# A server ought to limit the total length of chunk extensions received in a request to an amount
        //# reasonable for the services provided
        self.line_bytes += 1;
        if self.overhead_bytes + self.line_bytes > OVERHEAD_BYTES_MAX {
            return Err(Reject::ChunkOverhead);
        }
        let white_space = matches!(byte, b' ' | b'\t');
        self.state = match (self.state, byte) {
            (State::Size, digit) if digit.is_ascii_hexdigit() => return self.size_digit(digit),
            (State::Size, _) if self.size_digits == 0 => return Err(Reject::InvalidChunk),
            (
                State::Size
                | State::BeforeExtension
                | State::ExtensionNameRest
                | State::AfterExtensionName
                | State::ExtensionToken
                | State::AfterQuoted,
                b';',
            ) => State::ExtensionName,
            (State::Size | State::ExtensionNameRest | State::ExtensionToken | State::AfterQuoted, b'\r') => {
                State::SizeLineFeed
            }
            (State::Size | State::BeforeExtension | State::ExtensionToken | State::AfterQuoted, _)
                if white_space =>
            {
                State::BeforeExtension
            }
            (State::ExtensionName, _) if white_space => State::ExtensionName,
            (State::ExtensionName | State::ExtensionNameRest, _) if TOKEN.has(byte) => {
                State::ExtensionNameRest
            }
            (State::ExtensionNameRest | State::AfterExtensionName, b'=') => State::ExtensionValue,
            (State::ExtensionNameRest | State::AfterExtensionName, _) if white_space => {
                State::AfterExtensionName
            }
            (State::ExtensionValue, _) if white_space => State::ExtensionValue,
            (State::ExtensionValue, b'"') => State::ExtensionQuoted,
            (State::ExtensionValue | State::ExtensionToken, _) if TOKEN.has(byte) => State::ExtensionToken,
            (State::ExtensionQuoted, b'"') => State::AfterQuoted,
            (State::ExtensionQuoted, b'\\') => State::ExtensionEscaped,
            (State::ExtensionQuoted | State::ExtensionEscaped, _) if is_field_value(byte) => {
                State::ExtensionQuoted
            }
            (State::SizeLineFeed, b'\n') => {
                self.line_end();
                if self.size == 0 { State::TrailerLine } else { State::Data }
            }
            _ => return Err(Reject::InvalidChunk),
        };
        Ok(())
    }

    fn size_digit(&mut self, digit: u8) -> Result<(), Reject> {
        if self.size_digits == SIZE_DIGITS_MAX {
            return Err(Reject::InvalidChunk);
        }
        if self.size_digits == 0 {
            self.size = 0;
        }
        let value = char::from(digit).to_digit(16).expect("a hexadecimal digit");
        //= RFC 9112 section 7.1
        //# recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors due to
        //# integer conversion overflows
        // Sixteen digits fill 64 bits.
        self.size = self.size << 4 | u64::from(value);
        self.size_digits += 1;
        Ok(())
    }

    /// Settles the account of overhead at the end of a chunk header: a client may send its content in small
    /// chunks, or extensions with its chunks, but not a great deal of framing for next to no content.
    fn line_end(&mut self) {
        let content_bytes = usize::try_from(self.size).unwrap_or(usize::MAX);
        let justified_bytes = content_bytes.saturating_mul(2).saturating_add(OVERHEAD_FREE_BYTES);
        self.overhead_bytes = (self.overhead_bytes + self.line_bytes).saturating_sub(justified_bytes);
        self.line_bytes = 0;
    }

    //= RFC 9112 section 7.1.2
    //# trailer-section = *( field-line CRLF )
    //#
    //# A recipient that removes the chunked coding from a message MAY selectively retain or discard the received
    //# trailer fields.
    //
    //= RFC 9112 section 7.1.2
    //# A recipient MUST NOT merge a received trailer field into the header section
    //
    //= RFC 9110 section 6.5.1
    //# A recipient MUST NOT merge a trailer field into a header section
    fn trailer_byte(&mut self, byte: u8) -> Result<(), Reject> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Reject::TrailerTooLarge { bytes_max: TRAILER_BYTES_MAX });
        }
        self.state = match (self.state, byte) {
            (State::TrailerLine, b'\r') => State::EndLineFeed,
            (State::TrailerLine | State::TrailerName, _) if TOKEN.has(byte) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLineFeed,
            (State::TrailerValue, _) if is_field_value(byte) => State::TrailerValue,
            (State::TrailerLineFeed, b'\n') => State::TrailerLine,
            (State::EndLineFeed, b'\n') => State::Done,
            _ => return Err(Reject::InvalidTrailer),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content of a complete body, and how many bytes the body took.
    fn decode(body: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Reject> {
        let mut decoder = ChunkedDecoder::new();
        let mut content = Vec::new();
        let mut at = 0;
        loop {
            let decoded = decoder.decode(&body[at..])?;
            at += decoded.framing_bytes;
            content.extend_from_slice(&body[at..at + decoded.data_bytes]);
            at += decoded.data_bytes;
            if decoded.end {
                return Ok(Some((content, at)));
            }
            if at == body.len() {
                return Ok(None);
            }
        }
    }

    fn content_of(body: &str) -> Option<String> {
        let (content, bytes) =
            decode(body.as_bytes()).unwrap_or_else(|reason| panic!("{body:?}: {reason}"))?;
        assert_eq!(bytes, body.len(), "{body:?}");
        Some(String::from_utf8(content).expect("the content is a part of the text"))
    }

    fn refusal_of(body: &str) -> Reject {
        decode(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(content_of("0\r\n\r\n").as_deref(), Some(""));
        assert_eq!(content_of("3\r\nabc\r\n0\r\n\r\n").as_deref(), Some("abc"));
        assert_eq!(
            content_of("3\r\nabc\r\n0000A\r\n0123456789\r\n000\r\n\r\n").as_deref(),
            Some("abc0123456789")
        );
        assert_eq!(content_of("2\r\n\r\n\r\n0\r\n\r\n").as_deref(), Some("\r\n"));
        assert_eq!(content_of("3\r\nab"), None);
    }

    #[test]
    fn what_follows_the_body_is_left_alone() {
        let decoded = decode(b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n");
        assert_eq!(decoded, Ok(Some((b"a".to_vec(), 11))));
    }

    #[test]
    fn a_size_is_hexadecimal_and_nothing_else() {
        for size in [
            "",
            " 1",
            "+1",
            "-1",
            "0x1",
            "g",
            "1g",
            "1 ",
            "1 1",
            "1\r",
            "1\n",
            "1\0",
            "10000000000000000",
            "\u{ff11}",
        ] {
            assert_eq!(refusal_of(&format!("{size}\r\na\r\n0\r\n\r\n")), Reject::InvalidChunk, "{size:?}");
        }
    }

    #[test]
    fn the_largest_size_does_not_overflow() {
        let mut decoder = ChunkedDecoder::new();
        let decoded = decoder.decode(b"ffffffffffffffff\r\nabc");
        assert_eq!(decoded, Ok(Decoded { framing_bytes: 18, data_bytes: 3, end: false }));
        assert_eq!(decoder.chunk_rest_bytes(), u64::MAX - 3);
    }

    #[test]
    fn the_data_ends_where_its_size_says() {
        for body in
            ["1\r\nab\r\n", "1\r\na\n", "1\r\na0\r\n\r\n", "3\r\na\r\n0\r\n\r\n", "1\r\na\r0\r\n", "1\na\r\n"]
        {
            assert_eq!(refusal_of(body), Reject::InvalidChunk, "{body:?}");
        }
    }

    #[test]
    fn extensions_are_passed_over() {
        for extension in [
            ";a",
            ";a=b",
            ";a;b",
            ";a=\"b;\\\"c\\\\\"",
            " ; a = b ;c",
            "\t;\ta=\"\"",
            ";a=\"\u{e4}\t\" ; b",
            ";a=\"x\";b=y",
        ] {
            let body = format!("1{extension}\r\na\r\n0{extension}\r\n\r\n");
            assert_eq!(content_of(&body).as_deref(), Some("a"), "{extension:?}");
        }
    }

    #[test]
    fn malformed_extensions_are_refused() {
        for extension in [
            ";",
            ";=b",
            ";a=",
            ";a b",
            ";a=b c",
            ";a=\"b",
            ";a=\"b\"c",
            ";a=b\"",
            ";a\n",
            ";a\rb",
            ";a=\"\r\n\"",
            ";a=\"\0\"",
            ";a=b ",
            ";a ",
            ";a=\"\\\u{7f}\"",
            ";;",
            ",a",
            ";a:b",
        ] {
            let body = format!("1{extension}\r\na\r\n0\r\n\r\n");
            assert_eq!(refusal_of(&body), Reject::InvalidChunk, "{extension:?}");
        }
    }

    #[test]
    fn small_chunks_are_no_overhead_but_much_framing_is() {
        let small = "1\r\na\r\n".repeat(100_000) + "0\r\n\r\n";
        assert_eq!(content_of(&small).map(|content| content.len()), Some(100_000));

        let extension = ";a=".to_owned() + &"x".repeat(100);
        let signed = format!("40{extension}\r\n{}\r\n", "a".repeat(64)).repeat(10_000) + "0\r\n\r\n";
        assert_eq!(content_of(&signed).map(|content| content.len()), Some(640_000));

        assert_eq!(refusal_of(&format!("1{extension}\r\na\r\n").repeat(1_000)), Reject::ChunkOverhead);
        assert_eq!(refusal_of(&format!("1;{}", "x".repeat(OVERHEAD_BYTES_MAX))), Reject::ChunkOverhead);
    }

    #[test]
    fn trailers_are_checked_and_thrown_away() {
        for trailers in ["A: b\r\n", "A:\r\nb:c\r\n", "Content-Length: 7\r\n", "A: \u{e4}\t\r\n"] {
            assert_eq!(
                content_of(&format!("1\r\na\r\n0\r\n{trailers}\r\n")).as_deref(),
                Some("a"),
                "{trailers:?}"
            );
        }
        for trailers in [
            "A\r\n",
            ": b\r\n",
            "A : b\r\n",
            " A: b\r\n",
            "A: b\r\n c\r\n",
            "A: b\n",
            "A: \0\r\n",
            "A: b\rc\r\n",
        ] {
            assert_eq!(refusal_of(&format!("0\r\n{trailers}\r\n")), Reject::InvalidTrailer, "{trailers:?}");
        }
    }

    #[test]
    fn the_trailer_section_has_a_bound() {
        let trailers = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "x".repeat(bytes - 6));
        assert_eq!(content_of(&trailers(TRAILER_BYTES_MAX)).as_deref(), Some(""));
        let too_large = Reject::TrailerTooLarge { bytes_max: TRAILER_BYTES_MAX };
        assert_eq!(refusal_of(&trailers(TRAILER_BYTES_MAX + 1)), too_large);
    }
}
