//! What clients of HTTP/1.1 share: reading the heads of responses.

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
