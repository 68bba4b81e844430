//! What clients of HTTP/1.1 share: the heads of requests and responses.

use std::net::SocketAddr;

use thiserror::Error;

/// How many fields the head of a response may have.
const FIELDS_MAX: usize = 32;

/// How long the head of a response may be.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What the head of a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// How long the head is, the empty line included.
    pub head_bytes: usize,
    /// How long the body is that follows.
    pub body_bytes: usize,
}

/// Why a head makes no sense to this client.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// It is not HTTP/1.1.
    #[error("expected the head of an HTTP/1.1 response ({reason}), got {}", excerpt(.received))]
    Malformed {
        /// What is wrong.
        reason: String,
        /// The beginning of what was received.
        received: Vec<u8>,
    },
    /// It does not say in one number how long the body is.
    #[error("expected one content-length in the head of a response, got {}", excerpt(.head))]
    Length {
        /// The head.
        head: Vec<u8>,
    },
}

/// The head of a POST.
pub fn post_head(path: &str, media_type: &str, body_bytes: usize, address: SocketAddr) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media_type}\r\nContent-Length: {body_bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// Reads heads, one after the other, of responses that resemble each other.
///
/// Most heads of a connection differ in nothing, or only in the value of the last field (a request id). Such a head is
/// recognised by comparing it with the one before it.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// The last head that was parsed.
    seen: Vec<u8>,
    /// How many bytes of it must be the same for another head to mean the same: all but the value of the last field, if
    /// that field says nothing of the body.
    fixed_bytes: usize,
    head: Option<Head>,
}

impl HeadReader {
    /// A reader that has seen nothing yet.
    pub fn new() -> HeadReader {
        HeadReader::default()
    }

    /// The head at the front of `received`, if it is there as a whole.
    ///
    /// # Errors
    ///
    /// When it is no head of a response, or does not say how long the body is.
    pub fn read(&mut self, received: &[u8]) -> Result<Option<Head>, HeadError> {
        match self.recognise(received) {
            Some(head) => Ok(Some(head)),
            None => self.parse(received),
        }
    }

    /// The head, if it is like the last one.
    fn recognise(&self, received: &[u8]) -> Option<Head> {
        let mut head = self.head?;
        let rest = received.strip_prefix(&self.seen[..self.fixed_bytes])?;
        if self.fixed_bytes < self.seen.len() {
            let value_bytes = memchr::memchr2(b'\r', b'\n', rest)?;
            if !rest[value_bytes..].starts_with(b"\r\n\r\n") {
                return None;
            }
            head.head_bytes = self.fixed_bytes + value_bytes + 4;
        }
        Some(head)
    }

    fn parse(&mut self, received: &[u8]) -> Result<Option<Head>, HeadError> {
        let malformed =
            |reason: String| HeadError::Malformed { reason, received: beginning(received).to_vec() };
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let head_bytes = match response.parse(received) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) if received.len() <= HEAD_BYTES_MAX => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(malformed("it has no end".to_owned())),
            Err(error) => return Err(malformed(error.to_string())),
        };
        if response.version != Some(1) {
            return Err(malformed("another version".to_owned()));
        }
        let head = &received[..head_bytes];
        let body_bytes = body_bytes(response.headers)
            .ok_or_else(|| HeadError::Length { head: beginning(head).to_vec() })?;
        let status = response.code.expect("a complete head has a status");
        let parsed = Head { status, head_bytes, body_bytes };
        let last = response.headers.last().map_or("", |field| field.name);
        self.fixed_bytes = head_bytes;
        if !says_something_of_the_body(last) && head.ends_with(b"\r\n\r\n") {
            let line = head[..head_bytes - 4].rsplit(|byte| *byte == b'\n').next().unwrap_or(head);
            self.fixed_bytes = head_bytes - 4 - line.len() + last.len() + 1;
        }
        self.seen.clear();
        self.seen.extend_from_slice(head);
        self.head = Some(parsed);
        Ok(Some(parsed))
    }
}

/// The length of the body: the value of the one `content-length`, if there is no transfer encoding.
fn body_bytes(fields: &[httparse::Header<'_>]) -> Option<usize> {
    let mut framing = fields.iter().filter(|field| says_something_of_the_body(field.name));
    let field = framing.next()?;
    let is_length = field.name.eq_ignore_ascii_case("content-length") && framing.next().is_none();
    let digits = str::from_utf8(field.value).ok()?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_length && all_digits { digits.parse().ok() } else { None }
}

fn says_something_of_the_body(field: &str) -> bool {
    field.eq_ignore_ascii_case("content-length") || field.eq_ignore_ascii_case("transfer-encoding")
}

/// How much of a response is shown in an error.
const EXCERPT_BYTES: usize = 400;

fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(EXCERPT_BYTES)]
}

/// The beginning of what was received, readable in one line.
pub fn excerpt(received: &[u8]) -> String {
    let cut = if received.len() > EXCERPT_BYTES { "…" } else { "" };
    format!("`{}`{cut}", beginning(received).escape_ascii().to_string().replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"HTTP/1.1 201 Created\r\nserver: x\r\ncontent-length: 12\r\nx-request-id: ab-1\r\n\r\n";

    fn with(old: &str, new: &str) -> Vec<u8> {
        let text = str::from_utf8(HEAD).expect("ASCII");
        assert!(text.contains(old));
        text.replace(old, new).into_bytes()
    }

    fn read(reader: &mut HeadReader, received: &[u8]) -> Option<Head> {
        reader.read(received).expect("a head of a response")
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        for seen_before in [false, true] {
            let mut reader = HeadReader::new();
            if seen_before {
                read(&mut reader, HEAD);
            }
            for end in 0..HEAD.len() {
                assert_eq!(read(&mut reader, &HEAD[..end]), None, "{end} bytes");
            }
            let head = Head { status: 201, head_bytes: HEAD.len(), body_bytes: 12 };
            assert_eq!(read(&mut reader, HEAD), Some(head));
        }
    }

    /// A head that differs from the last one is read for what it says, whichever way it is recognised.
    #[test]
    fn heads_are_not_confused() {
        let variants = [
            HEAD.to_vec(),
            with("ab-1", "ab-1000"),
            with("201", "503"),
            with("length: 12", "length: 13"),
            with("x-request-id: ab-1", "x-request-id: ab-1\r\nretry-after: 1"),
        ];
        for first in &variants {
            for second in &variants {
                let mut reader = HeadReader::new();
                read(&mut reader, first);
                let expected = read(&mut HeadReader::new(), second);
                assert_eq!(read(&mut reader, second), expected);
                assert_eq!(expected.map(|head| head.head_bytes), Some(second.len()));
            }
        }
    }

    #[test]
    fn a_length_at_the_end_is_compared_too() {
        let mut reader = HeadReader::new();
        for bytes in [5, 6] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            assert_eq!(read(&mut reader, head.as_bytes()).map(|head| head.body_bytes), Some(bytes));
        }
    }

    #[test]
    fn a_body_of_uncertain_length_is_refused() {
        let refused = [
            with("content-length: 12\r\n", ""),
            with("content-length: 12", "content-length: 12\r\ncontent-length: 12"),
            with("content-length: 12", "transfer-encoding: chunked"),
            with("content-length: 12", "content-length: +12"),
            // Behind a head that is recognised by its beginning.
            with("ab-1", "ab-1\r\ntransfer-encoding: chunked"),
        ];
        for head in refused {
            let mut reader = HeadReader::new();
            read(&mut reader, HEAD);
            assert!(matches!(reader.read(&head), Err(HeadError::Length { .. })), "{}", excerpt(&head));
        }
        let error = HeadReader::new().read(b"SSH-2.0-OpenSSH\r\n").expect_err("this is not HTTP");
        assert!(error.to_string().contains("SSH-2.0"), "{error}");
    }
}
