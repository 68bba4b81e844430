//! The search for the end of a head.

use memchr::memchr2;

use super::character::TOKEN;
use super::head::FIELDS_MAX;
use super::{Limits, Reject};

/// How far the search for the end of a head has come. It looks at no byte twice, in however small pieces
/// they arrive, and refuses what is wrong with lines as such.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Bytes that have been looked at, from the beginning of the request line.
    searched: usize,
    /// Where the current line begins.
    line_start: usize,
    /// Lines that are complete, the request line included.
    lines: usize,
    /// Whether an empty line was passed over before the request line.
    after_empty_line: bool,
}

/// What the search has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// The head is not complete.
    Incomplete,
    /// An empty line of this many bytes stands before the request line: to be thrown away, then to go on.
    EmptyLine(usize),
    /// The head with its empty line has this many bytes.
    Complete(usize),
}

impl HeadScan {
    //= RFC 9112 section 2.2
    //# A recipient MUST parse an HTTP message as a sequence of octets in an encoding that is a superset of US-ASCII
    //
    //= RFC 9112 section 2.2
    //# receives a sequence of octets that does not match the HTTP-message grammar aside from the robustness exceptions
    //# listed above, the server SHOULD respond with a 400 (Bad Request) response and close the connection.
    //
    //= RFC 9110 section 5.3
    //# A server MUST NOT apply a request to the target resource until it receives the entire request header section
    /// Goes on in `bytes`, which begin where the last call's began.
    ///
    /// What it answers follows from the first `head_bytes_max` bytes of the request alone, so it does not
    /// matter how many of them are there at each call.
    pub(super) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Scanned, Reject> {
        let bytes = &bytes[..bytes.len().min(limits.head_bytes_max)];
        if self.searched == 0 {
            check_first_byte(bytes)?;
        }
        while let Some(offset) = memchr2(b'\r', b'\n', &bytes[self.searched..]) {
            let line_end = self.searched + offset;
            //= RFC 9112 section 2.2
            //# A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR
            //# with SP before processing the element or forwarding the message.
            //
            //= RFC 9112 section 2.2
            //# a recipient MAY recognize a single LF as a line terminator and ignore any preceding CR.
            // This one does not: others do not either, and would see another message.
            match (bytes[line_end], bytes.get(line_end + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.searched = line_end;
                    return self.incomplete(bytes, limits);
                }
                _ => return Err(Reject::InvalidLineEnd),
            }
            if line_end == self.line_start {
                return self.empty_line(line_end + 2);
            }
            self.line(bytes[self.line_start])?;
            self.line_start = line_end + 2;
            self.searched = self.line_start;
        }
        self.searched = bytes.len();
        self.incomplete(bytes, limits)
    }

    /// Whether it has seen all of so many bytes and not found the end. A CR that came last is yet to be seen.
    pub(super) fn has_seen(&self, bytes: usize) -> bool {
        self.searched + 1 >= bytes
    }

    fn empty_line(&mut self, end: usize) -> Result<Scanned, Reject> {
        if self.lines > 0 {
            *self = HeadScan::default();
            return Ok(Scanned::Complete(end));
        }
        //= RFC 9112 section 2.2
        //# In the interest of robustness, a server that is expecting to receive and parse a request-line SHOULD
        //# ignore at least one empty line (CRLF) received prior to the request-line.
        if self.after_empty_line {
            return Err(Reject::InvalidRequestLine);
        }
        *self = HeadScan { after_empty_line: true, ..HeadScan::default() };
        Ok(Scanned::EmptyLine(end))
    }

    fn line(&mut self, first: u8) -> Result<(), Reject> {
        //= RFC 9112 section 5.2
        //# A server that receives an obs-fold in a request message that is not within a "message/http" container
        //# MUST either reject the message by sending a 400 (Bad Request)
        //
        //= RFC 9112 section 2.2
        //# A recipient that receives whitespace between the start-line and the first header field MUST either
        //# reject the message as invalid or consume each whitespace-preceded line
        if self.lines > 0 && matches!(first, b' ' | b'\t') {
            return Err(Reject::FoldedField);
        }
        self.lines += 1;
        if self.lines > FIELDS_MAX + 1 {
            return Err(Reject::TooManyFields { fields_max: FIELDS_MAX });
        }
        Ok(())
    }

    //= RFC 9110 section 5.4
    //# A server that receives a request header field line, field value, or set of fields larger than it wishes to
    //# process MUST respond with an appropriate 4xx (Client Error) status code.
    fn incomplete(&self, bytes: &[u8], limits: &Limits) -> Result<Scanned, Reject> {
        if bytes.len() < limits.head_bytes_max {
            return Ok(Scanned::Incomplete);
        }
        if self.lines > 0 {
            return Err(Reject::HeadTooLarge { bytes_max: limits.head_bytes_max });
        }
        //= RFC 9112 section 3
        //# A server that receives a request-target longer than any URI it wishes to parse MUST respond with a
        //# 414 (URI Too Long) status code
        if bytes.contains(&b' ') {
            Err(Reject::TargetTooLong { bytes_max: limits.target_bytes_max })
        //= RFC 9112 section 3
        //# A server that receives a method longer than any that it implements SHOULD respond with a 501 (Not
        //# Implemented) status code.
        } else if TOKEN.has_all(bytes) {
            Err(Reject::UnknownMethod)
        } else {
            Err(Reject::InvalidRequestLine)
        }
    }
}

/// Refuses what can be no request by its first byte, without waiting for the end of a line that may not come.
fn check_first_byte(bytes: &[u8]) -> Result<(), Reject> {
    const TLS_HANDSHAKE: u8 = 0x16;
    match bytes.first() {
        Some(&TLS_HANDSHAKE) => Err(Reject::TlsHandshake),
        Some(b'\r' | b'\n' | b'!'..=b'~') | None => Ok(()),
        Some(_) => Err(Reject::InvalidRequestLine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Scanned, Reject> {
        HeadScan::default().advance(bytes, &Limits::default())
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line() {
        assert_eq!(scan(b""), Ok(Scanned::Incomplete));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\r"), Ok(Scanned::Incomplete));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\r\nHost: x\r\n\r\n"), Ok(Scanned::Complete(18)));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nmore"), Ok(Scanned::Complete(27)));
    }

    #[test]
    fn no_byte_is_looked_at_twice_but_a_cr_at_the_end() {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(10_000));
        let mut scan = HeadScan::default();
        for bytes in 0..head.len() {
            assert_eq!(scan.advance(&head.as_bytes()[..bytes], &Limits::default()), Ok(Scanned::Incomplete));
            let ends_with_cr = head[..bytes].ends_with('\r');
            assert_eq!(scan.searched, bytes - usize::from(ends_with_cr));
        }
    }

    #[test]
    fn one_empty_line_before_the_request_line_is_passed_over() {
        let mut scan = HeadScan::default();
        let limits = Limits::default();
        assert_eq!(scan.advance(b"\r\n\r\nGET", &limits), Ok(Scanned::EmptyLine(2)));
        assert_eq!(scan.advance(b"\r\nGET", &limits), Err(Reject::InvalidRequestLine));
    }

    #[test]
    fn an_empty_line_may_stand_before_each_request() {
        let mut scan = HeadScan::default();
        let limits = Limits::default();
        for _ in 0..3 {
            assert_eq!(scan.advance(b"\r\nG / H\r\n\r\n", &limits), Ok(Scanned::EmptyLine(2)));
            assert_eq!(scan.advance(b"G / H\r\n\r\n", &limits), Ok(Scanned::Complete(9)));
        }
    }

    #[test]
    fn a_cr_or_a_lf_alone_is_refused_where_it_stands() {
        for invalid in ["GET / HTTP/1.1\n", "GET / HTTP/1.1\rX", "\n", "\rG", "G / H\r\nA: b\n\n", "G\r\r\n"]
        {
            assert_eq!(scan(invalid.as_bytes()), Err(Reject::InvalidLineEnd), "{invalid:?}");
        }
    }

    #[test]
    fn a_line_that_begins_with_white_space_is_refused() {
        assert_eq!(scan(b"G / H\r\nA: b\r\n c\r\n"), Err(Reject::FoldedField));
        assert_eq!(scan(b"G / H\r\n\tA: b\r\n"), Err(Reject::FoldedField));
        assert_eq!(scan(b" G / H\r\n"), Err(Reject::InvalidRequestLine));
    }

    #[test]
    fn what_is_no_request_is_known_by_its_first_byte() {
        assert_eq!(scan(b"\x16\x03\x01"), Err(Reject::TlsHandshake));
        assert_eq!(scan(b"\x00"), Err(Reject::InvalidRequestLine));
        assert_eq!(scan(b"\xff"), Err(Reject::InvalidRequestLine));
    }

    #[test]
    fn a_head_has_bounds() {
        let limits = Limits { head_bytes_max: 64, target_bytes_max: 32, ..Limits::default() };
        let scan = |text: String| HeadScan::default().advance(text.as_bytes(), &limits);
        let target_too_long = Err(Reject::TargetTooLong { bytes_max: 32 });
        let head_too_large = Err(Reject::HeadTooLarge { bytes_max: 64 });
        assert_eq!(scan("GET /".to_owned() + &"a".repeat(58)), Ok(Scanned::Incomplete));
        assert_eq!(scan("GET /".to_owned() + &"a".repeat(59)), target_too_long);
        assert_eq!(scan("GET /".to_owned() + &"a".repeat(599) + "\n"), target_too_long);
        assert_eq!(scan("a".repeat(64)), Err(Reject::UnknownMethod));
        assert_eq!(scan("a/".repeat(32)), Err(Reject::InvalidRequestLine));
        assert_eq!(scan("G / H\r\nA: ".to_owned() + &"a".repeat(53)), Ok(Scanned::Incomplete));
        assert_eq!(scan("G / H\r\nA: ".to_owned() + &"a".repeat(54)), head_too_large);
        assert_eq!(scan("G / H\r\nA: ".to_owned() + &"a".repeat(50) + "\r\n\r\n"), Ok(Scanned::Complete(64)));
        assert_eq!(scan("G / H\r\nA: ".to_owned() + &"a".repeat(51) + "\r\n\r\n"), head_too_large);
    }

    #[test]
    fn a_head_has_at_most_64_fields() {
        let fields = |count| scan(("G / H\r\n".to_owned() + &"A: b\r\n".repeat(count) + "\r\n").as_bytes());
        assert!(matches!(fields(64), Ok(Scanned::Complete(_))));
        assert_eq!(fields(65), Err(Reject::TooManyFields { fields_max: 64 }));
    }
}
