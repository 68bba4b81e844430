//! The head of a request: request line and header fields.

use super::QueryPairs;

/// How many header fields a request may have.
pub(super) const FIELDS_MAX: usize = 64;

/// The version of HTTP a request is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A valid head.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// The method, as sent: methods are case-sensitive. Any token; known or not is for the router to say.
    pub fn method(&self) -> &str {
        todo!()
    }

    /// The path of the target, percent-decoded; `*` for a request about the server as a whole.
    ///
    /// An encoded slash (`%2F`) is refused, so that the number of segments is the same in every reading. Dot segments stay as they are.
    pub fn path(&self) -> &str {
        todo!()
    }

    /// The query as sent, without the `?`; empty when there is none.
    pub fn query(&self) -> &str {
        todo!()
    }

    /// The parameters of the query, decoded.
    pub fn query_pairs(&self) -> QueryPairs<'_> {
        QueryPairs::new(self.query())
    }

    /// The version.
    pub fn version(&self) -> Version {
        todo!()
    }

    /// The value of the first header field of this name, without white space around it. `name` in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All header fields in the order in which they were sent; names as sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        std::iter::once((std::str::from_utf8(&self.bytes).unwrap_or_default(), &self.bytes[..]))
    }

    /// The length of the body as the client declared it: `None` when it is chunked or there is no declaration.
    pub fn content_length(&self) -> Option<u64> {
        todo!()
    }

    /// Whether the body is chunked. A request that is neither chunked nor has a content length has no body.
    pub fn is_chunked(&self) -> bool {
        todo!()
    }

    /// The client's `x-request-id`, if it sent one of 1 to 64 letters, digits, dots, underscores and dashes.
    pub fn request_id(&self) -> Option<&str> {
        todo!()
    }
}
