//! Why a request is refused.

use super::{ResponseHead, Status};

//= RFC 9110 section 15.5
//# Except when responding to a HEAD request, the server SHOULD send a representation containing an explanation of the
//# error situation
/// A request that the connection itself answers with an error, and after which it closes.
///
/// The text of each is a sentence for the person who wrote the client; it holds nothing of the request, so
/// it needs no escaping in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// The first bytes are a TLS handshake.
    #[error("the connection begins with a TLS handshake, but plain HTTP is spoken here")]
    TlsHandshake,
    /// A request in plain HTTP, where TLS is spoken.
    #[error("plain HTTP was sent to a port that speaks TLS; ask for https")]
    PlainHttp,
    /// The request line is not `method SP target SP version`.
    #[error("the request line must be a method, a target and HTTP/1.1, with one space between each")]
    InvalidRequestLine,
    /// A CR without LF, or a LF without CR.
    #[error("lines of a request must end with CR LF; a CR or a LF stood alone")]
    InvalidLineEnd,
    /// A header field continues on the next line, or white space stands before the first one.
    #[error("a line of the head begins with white space; header fields must not be folded")]
    FoldedField,
    /// A header field's name is empty, not a token, or has white space before its colon.
    #[error(
        "a header field must be a name of letters, digits and -_.!#$%&'*+^`|~, directly followed by a colon"
    )]
    InvalidFieldName,
    /// A control character in a header field's value.
    #[error("a header field's value has a control character")]
    InvalidFieldValue,
    /// No Host in HTTP/1.1.
    #[error("an HTTP/1.1 request must have a Host header field")]
    MissingHost,
    /// More than one Host.
    #[error("a request must have one Host header field, not several")]
    RepeatedHost,
    /// Host is not `host [":" port]`.
    #[error("the Host header field must be a host name or address, and optionally a colon and a port")]
    InvalidHost,
    /// The request target is not a path with an optional query, nor an absolute http URI.
    #[error(
        "the request target must be a path that begins with / and holds only characters a URI may hold, others percent-encoded as UTF-8"
    )]
    InvalidTarget,
    /// `Content-Length` is not one decimal number.
    #[error("Content-Length must be one decimal number below 2^64")]
    InvalidContentLength,
    /// More than one `Content-Length`, alike or not.
    #[error("a request must have one Content-Length, not several")]
    RepeatedContentLength,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("a request must not have both Content-Length and Transfer-Encoding")]
    AmbiguousLength,
    /// `Transfer-Encoding` does not end in chunked, or has it twice, or with parameters.
    #[error("Transfer-Encoding must be chunked, once and without parameters")]
    InvalidTransferEncoding,
    /// A transfer coding before chunked that this server does not know.
    #[error("no transfer coding but chunked is supported")]
    UnsupportedTransferEncoding,
    /// `Transfer-Encoding` in an HTTP/1.0 request.
    #[error("an HTTP/1.0 request must not have Transfer-Encoding")]
    TransferEncodingInHttp10,
    /// A malformed chunk: its size, its extensions or the line end after its data.
    #[error(
        "the chunked body is malformed: a chunk must be a size in hexadecimal, CR LF, that many bytes, CR LF"
    )]
    InvalidChunk,
    /// Much more chunk framing than content.
    #[error("the chunked body has too many bytes of chunk extensions")]
    ChunkOverhead,
    /// A malformed trailer field.
    #[error("a trailer field of the chunked body is malformed")]
    InvalidTrailer,
    /// The trailer section is too long.
    #[error("the trailer section of the chunked body is larger than {bytes_max} bytes")]
    TrailerTooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// A well-formed version that is neither 1.0 nor 1.1.
    #[error("HTTP/1.1 and HTTP/1.0 are spoken here, no other version")]
    UnsupportedVersion,
    /// CONNECT: this is no proxy.
    #[error("CONNECT is for proxies, and this is none")]
    Connect,
    /// A method that no specification of HTTP has registered.
    #[error("the method is not known here; methods are case-sensitive, as in GET, HEAD and POST")]
    UnknownMethod,
    /// A target of the scheme https on a connection that is not secured.
    #[error("an https resource was asked for over a connection that is not secured")]
    Misdirected,
    /// A body in a content coding.
    #[error("a request body must not have a Content-Encoding but identity")]
    UnsupportedContentEncoding,
    /// An expectation other than `100-continue`.
    #[error("the only expectation that can be met is 100-continue")]
    ExpectationFailed,
    /// The request target is too long.
    #[error("the request target is longer than {bytes_max} bytes")]
    TargetTooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// The head is too long.
    #[error("the request line and header fields are larger than {bytes_max} bytes")]
    HeadTooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// Too many header fields.
    #[error("the request has more than {fields_max} header fields")]
    TooManyFields {
        /// The bound.
        fields_max: usize,
    },
    /// A body that is buffered whole is too long.
    #[error("the request body is larger than {bytes_max} bytes")]
    BodyTooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// The head took too long.
    #[error("the request line and header fields did not arrive within {ms_max} ms")]
    HeadTimeout {
        /// The bound.
        ms_max: u64,
    },
    /// The body came too slowly.
    #[error("the request body arrived too slowly: fewer than {bytes_min} bytes in {ms} ms")]
    BodyTimeout {
        /// The bytes that should have come.
        bytes_min: usize,
        /// The time in which they should have come.
        ms: u64,
    },
    /// The peer closed its side in the middle of a request.
    #[error("the client closed its side of the connection before the request was complete")]
    Truncated,
}

impl Reject {
    /// The status of the response.
    pub fn status(self) -> Status {
        match self {
            Reject::UnsupportedTransferEncoding | Reject::Connect | Reject::UnknownMethod => {
                Status::NotImplemented
            }
            Reject::Misdirected => Status::MisdirectedRequest,
            Reject::UnsupportedContentEncoding => Status::UnsupportedMediaType,
            Reject::UnsupportedVersion => Status::HttpVersionNotSupported,
            Reject::ExpectationFailed => Status::ExpectationFailed,
            Reject::TargetTooLong { .. } => Status::UriTooLong,
            Reject::HeadTooLarge { .. } | Reject::TooManyFields { .. } | Reject::TrailerTooLarge { .. } => {
                Status::RequestHeaderFieldsTooLarge
            }
            Reject::BodyTooLarge { .. } => Status::ContentTooLarge,
            Reject::HeadTimeout { .. } | Reject::BodyTimeout { .. } => Status::RequestTimeout,
            Reject::TlsHandshake
            | Reject::PlainHttp
            | Reject::InvalidRequestLine
            | Reject::InvalidLineEnd
            | Reject::FoldedField
            | Reject::InvalidFieldName
            | Reject::InvalidFieldValue
            | Reject::MissingHost
            | Reject::RepeatedHost
            | Reject::InvalidHost
            | Reject::InvalidTarget
            | Reject::InvalidContentLength
            | Reject::RepeatedContentLength
            | Reject::AmbiguousLength
            | Reject::InvalidTransferEncoding
            | Reject::TransferEncodingInHttp10
            | Reject::InvalidChunk
            | Reject::ChunkOverhead
            | Reject::InvalidTrailer
            | Reject::Truncated => Status::BadRequest,
        }
    }

    /// The head of the response.
    pub(super) fn response(self) -> ResponseHead {
        let fields: &[_] = match self {
            //= RFC 9110 section 12.5.3
            //# servers that fail a request with a 415 status for reasons unrelated to content codings MUST NOT include
            //# the Accept-Encoding header field.
            //
            //= RFC 9110 section 15.5.16
            //# If the problem was caused by an unsupported content coding, the Accept-Encoding response header field
            //# (Section 12.5.3) ought to be used to indicate which (if any) content codings would have been accepted
            //# in the request.
            Reject::UnsupportedContentEncoding => &[("accept-encoding", "identity")],
            _ => &[],
        };
        ResponseHead { fields, ..ResponseHead::json(self.status()) }
    }

    /// The stable code of the error, for machines.
    pub fn code(self) -> &'static str {
        match self {
            Reject::TlsHandshake => "tls_handshake",
            Reject::PlainHttp => "tls_required",
            Reject::InvalidRequestLine => "invalid_request_line",
            Reject::InvalidLineEnd => "invalid_line_end",
            Reject::FoldedField => "folded_header",
            Reject::InvalidFieldName => "invalid_header_name",
            Reject::InvalidFieldValue => "invalid_header_value",
            Reject::MissingHost => "missing_host",
            Reject::RepeatedHost => "repeated_host",
            Reject::InvalidHost => "invalid_host",
            Reject::InvalidTarget => "invalid_target",
            Reject::InvalidContentLength => "invalid_content_length",
            Reject::RepeatedContentLength => "repeated_content_length",
            Reject::AmbiguousLength => "ambiguous_length",
            Reject::InvalidTransferEncoding => "invalid_transfer_encoding",
            Reject::UnsupportedTransferEncoding => "unsupported_transfer_encoding",
            Reject::TransferEncodingInHttp10 => "transfer_encoding_in_http_1_0",
            Reject::InvalidChunk => "invalid_chunk",
            Reject::ChunkOverhead => "chunk_overhead",
            Reject::InvalidTrailer => "invalid_trailer",
            Reject::TrailerTooLarge { .. } => "trailer_too_large",
            Reject::UnsupportedVersion => "unsupported_version",
            Reject::Connect => "connect_not_supported",
            Reject::UnknownMethod => "unknown_method",
            Reject::Misdirected => "misdirected_request",
            Reject::UnsupportedContentEncoding => "unsupported_content_encoding",
            Reject::ExpectationFailed => "expectation_failed",
            Reject::TargetTooLong { .. } => "target_too_long",
            Reject::HeadTooLarge { .. } => "head_too_large",
            Reject::TooManyFields { .. } => "too_many_headers",
            Reject::BodyTooLarge { .. } => "body_too_large",
            Reject::HeadTimeout { .. } => "head_timeout",
            Reject::BodyTimeout { .. } => "body_timeout",
            Reject::Truncated => "incomplete_request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reject; 34] = [
        Reject::TlsHandshake,
        Reject::PlainHttp,
        Reject::InvalidRequestLine,
        Reject::InvalidLineEnd,
        Reject::FoldedField,
        Reject::InvalidFieldName,
        Reject::InvalidFieldValue,
        Reject::MissingHost,
        Reject::RepeatedHost,
        Reject::InvalidHost,
        Reject::InvalidTarget,
        Reject::InvalidContentLength,
        Reject::RepeatedContentLength,
        Reject::AmbiguousLength,
        Reject::InvalidTransferEncoding,
        Reject::UnsupportedTransferEncoding,
        Reject::TransferEncodingInHttp10,
        Reject::InvalidChunk,
        Reject::ChunkOverhead,
        Reject::InvalidTrailer,
        Reject::TrailerTooLarge { bytes_max: 1 },
        Reject::UnsupportedVersion,
        Reject::Connect,
        Reject::UnknownMethod,
        Reject::Misdirected,
        Reject::UnsupportedContentEncoding,
        Reject::ExpectationFailed,
        Reject::TargetTooLong { bytes_max: 1 },
        Reject::HeadTooLarge { bytes_max: 1 },
        Reject::TooManyFields { fields_max: 1 },
        Reject::BodyTooLarge { bytes_max: 1 },
        Reject::HeadTimeout { ms_max: 1 },
        Reject::BodyTimeout { bytes_min: 1, ms: 1 },
        Reject::Truncated,
    ];

    #[test]
    fn the_texts_need_no_escaping_in_json() {
        for reason in ALL {
            let text = reason.to_string();
            let json: String = serde_json::from_str(&format!("\"{text}\"")).expect("a string");
            assert_eq!(json, text);
        }
    }

    #[test]
    fn the_documentation_lists_every_reason() {
        let documentation = include_str!("../../../docs/http.md");
        for reason in ALL {
            let row = format!("| {} | `{}` | ", reason.status().code(), reason.code());
            assert!(documentation.contains(&row), "docs/http.md has no row that begins with {row}");
        }
    }

    #[test]
    fn every_reason_has_a_code_of_its_own() {
        let codes: std::collections::BTreeSet<_> = ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), ALL.len());
        for code in codes {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || b"_01".contains(&byte)), "{code}");
        }
    }
}
