//! What a response says before its body.

use super::Status;

/// The head of a response, as far as the caller decides it.
///
/// `content-length`, `connection`, `server` and `x-request-id` are the connection's own. What may vary is
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
