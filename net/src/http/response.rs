//! Responses: what is said before the body, and how it is written.

use super::head::REQUEST_ID_BYTES_MAX;
use super::{Date, Status};
use crate::hex_digits;

/// The head of a response, as far as the caller decides it.
///
/// `content-length`, `connection`, `date`, `server` and `x-request-id` are the connection's own. What may vary is
/// typed or static, so that no request can put a line of its own into a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: Status,
    /// The media type of the body.
    pub content_type: &'static str,
    /// After how many seconds the client should come again: `Retry-After`.
    pub retry_after_s: Option<u32>,
    /// Further header fields, names in lower case, such as `("allow", "GET, HEAD")`.
    pub fields: &'static [(&'static str, &'static str)],
}

impl ResponseHead {
    /// A response whose body is JSON.
    pub fn json(status: Status) -> ResponseHead {
        ResponseHead { status, content_type: "application/json", retry_after_s: None, fields: &[] }
    }
}

//= RFC 9112 section 9.6
//# A server that sends a "close" connection option MUST initiate closure of the connection (see below) after it sends the
//# response containing the "close" connection option.  The server MUST NOT process any further requests received on that
//# connection.
// Whoever sets `Close` stops the reader.
/// What the connection itself says in a response about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Nothing: an HTTP/1.1 connection persists.
    Silent,
    /// `connection: keep-alive`, which an HTTP/1.0 client has to be told.
    KeepAlive,
    /// `connection: close`.
    Close,
}

/// The name under which a request is found in logs, of the client's choice or made here.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestName {
    text: [u8; REQUEST_ID_BYTES_MAX],
    bytes: u8,
}

impl RequestName {
    //= RFC 9110 section 2.2
    //# A sender MUST NOT generate protocol elements that do not match the grammar defined by the corresponding ABNF rules.
    //
    //= RFC 9110 section 2.3
    //# At a minimum, a recipient MUST be able to parse and process protocol element lengths that are at least as long as
    //# the values that it generates
    // Only a name that was found to be sane is sent back, and what is made here is one.
    /// The client's own.
    pub(super) fn of_client(text: &str) -> RequestName {
        let mut name = RequestName { text: [0; REQUEST_ID_BYTES_MAX], bytes: 0 };
        name.push(text.as_bytes());
        name
    }

    /// The number of the connection in sixteen hexadecimal digits, a dash, and the number of the request.
    pub(super) fn made(connection: u64, request: u64) -> RequestName {
        let mut name = RequestName { text: [0; REQUEST_ID_BYTES_MAX], bytes: 0 };
        let (high, low) = ((connection >> 32) as u32, connection as u32);
        name.push(&hex_digits::of_four(high.to_be_bytes()));
        name.push(&hex_digits::of_four(low.to_be_bytes()));
        name.push(b"-");
        name.push(itoa::Buffer::new().format(request).as_bytes());
        name
    }

    fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.bytes);
        self.text[start..start + part.len()].copy_from_slice(part);
        self.bytes += part.len() as u8;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.bytes)]
    }
}

//= RFC 9110 section 6.6.1
//# An origin server with a clock (as defined in Section 5.6.7) MUST generate a Date header field in all 2xx
//# (Successful), 3xx (Redirection), and 4xx (Client Error) responses, and MAY generate a Date header field in 1xx
//# (Informational) and 5xx (Server Error) responses.
//
//= RFC 9110 section 6.6.1
//# An origin server without a clock MUST NOT generate a Date header field.
//
//= RFC 9112 section 4
//# A server MUST send the space that separates the status-code from the reason-phrase even when the reason-phrase is
//# absent
//
//= RFC 9110 section 6.2
//# A server SHOULD send a response version equal to the highest version to which the server is conformant
//
//= RFC 9110 section 6.2
//# A server MUST NOT send a version to which it is not conformant.
//
//= RFC 9112 section 6.1
//# A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request indicates HTTP/1.1
//# (or later minor revisions).
//
//= RFC 9112 section 6.2
//# A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding header field.
//
//= RFC 9110 section 8.6
//# an origin server SHOULD send a Content-Length header field when the content size is known
//
//= RFC 9110 section 8.3
//# A sender that generates a message containing content SHOULD generate a Content-Type header field in that message
//
//= RFC 9110 section 10.2.4
//# An origin server SHOULD NOT generate a Server header field containing needlessly fine-grained detail
/// Writes the head of a response whose body has `body_bytes`. `date` is there if the time of day is known.
pub(super) fn write_head(
    head: &ResponseHead,
    body_bytes: usize,
    name: &RequestName,
    persistence: Persistence,
    date: Option<&Date>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.status.line().as_bytes());
    if let Some(date) = date {
        out.extend_from_slice(date.line());
    }
    out.extend_from_slice(b"server: stemedb\r\ncontent-type: ");
    out.extend_from_slice(head.content_type.as_bytes());
    out.extend_from_slice(b"\r\ncontent-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(body_bytes).as_bytes());
    out.extend_from_slice(b"\r\nx-request-id: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(match persistence {
        Persistence::Silent => b"\r\n".as_slice(),
        Persistence::KeepAlive => b"\r\nconnection: keep-alive\r\n",
        Persistence::Close => b"\r\nconnection: close\r\n",
    });
    if let Some(seconds) = head.retry_after_s {
        out.extend_from_slice(b"retry-after: ");
        out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for (field, value) in head.fields {
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
