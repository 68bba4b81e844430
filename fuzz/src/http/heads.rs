//! Heads, read a second time by `httparse` alone.
//!
//! What the connection accepts, `httparse` accepts as the same method, target, version and fields, with the same end. So what
//! `httparse` refuses is refused. The other way round it is not so: the connection refuses more, for the reasons that
//! [`is_stricter`] names.

use stemedb_net::http::{Event, Head, Reject, Version};

use super::{Bounds, Treatment};

/// The heads of a stream of which a connection receives one byte at a time, so that an event tells where it stands.
pub(super) struct Heads<'s> {
    stream: &'s [u8],
    /// How much of it the connection has received.
    pub(super) received: usize,
    /// Where the next head begins; unknown in a body.
    begin: Option<usize>,
    bounds: &'s Bounds,
    /// What a body may be refused for, as the head before it says.
    refusable: Refusable,
}

/// What in a head a body may be refused for.
#[derive(Default)]
struct Refusable {
    has_expectation: bool,
    is_encoded: bool,
    is_chunked: bool,
    is_too_large: bool,
}

impl<'s> Heads<'s> {
    pub(super) fn new(stream: &'s [u8], bounds: &'s Bounds) -> Heads<'s> {
        Heads { stream, received: 0, begin: Some(0), bounds, refusable: Refusable::default() }
    }

    pub(super) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Head { head, .. } => {
                if let Some(begin) = self.begin {
                    assert_alike(&self.stream[begin..], self.received - begin, head, self.bounds);
                }
                self.refusable = Refusable::of(head, self.bounds);
                self.begin = match Treatment::of(head) {
                    Treatment::AnsweredEarly => self.after(head.content_length().unwrap_or(0)),
                    Treatment::Body(_) => None,
                };
            }
            Event::Body { .. } | Event::End { .. } => self.begin = Some(self.received),
            Event::Chunk { .. } => {}
            Event::Rejected { reason, .. } => match self.begin {
                Some(begin) => check_refused(&self.stream[begin..], *reason, self.bounds),
                None => {
                    let is_all = self.received == self.stream.len();
                    assert!(
                        self.refusable.is_reason(*reason) || (is_all && *reason == Reject::Truncated),
                        "{reason:?} of a body in {:?}",
                        String::from_utf8_lossy(self.stream)
                    );
                }
            },
        }
    }

    /// The place behind so many more bytes, if the stream has them.
    fn after(&self, bytes: u64) -> Option<usize> {
        let end = self.received.checked_add(usize::try_from(bytes).ok()?)?;
        (end <= self.stream.len()).then_some(end)
    }
}

impl Refusable {
    fn of(head: &Head, bounds: &Bounds) -> Refusable {
        let has = |name: &str| head.fields().any(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        Refusable {
            has_expectation: has("expect"),
            is_encoded: has("content-encoding"),
            is_chunked: head.is_chunked(),
            is_too_large: head
                .content_length()
                .is_some_and(|bytes| bytes > bounds.limits.body_bytes_max as u64),
        }
    }

    fn is_reason(&self, reason: Reject) -> bool {
        match reason {
            Reject::ExpectationFailed => self.has_expectation,
            Reject::UnsupportedContentEncoding => self.is_encoded,
            Reject::BodyTooLarge { .. } => self.is_chunked || self.is_too_large,
            Reject::InvalidChunk
            | Reject::ChunkOverhead
            | Reject::InvalidTrailer
            | Reject::TrailerTooLarge { .. } => self.is_chunked,
            _ => false,
        }
    }
}

/// `rest` begins with the head, which has `head_bytes`.
fn assert_alike(rest: &[u8], head_bytes: usize, head: &Head, bounds: &Bounds) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(rest);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head_bytes)), "{:?}", String::from_utf8_lossy(rest));
    assert!(!exceeds(bounds, rest, head_bytes, &request), "{:?}", String::from_utf8_lossy(rest));
    assert_eq!(request.method, Some(head.method()));
    let version = if head.version() == Version::Http10 { 0 } else { 1 };
    assert_eq!(request.version, Some(version));
    let (path, query) = path_and_query(head.method(), request.path.expect("it is complete"));
    assert_eq!((path.as_str(), query), (head.path(), head.query()));
    let fields = request.headers.iter().map(|field| (field.name.as_bytes(), field.value.trim_ascii()));
    assert!(head.fields().eq(fields), "other fields in {:?}", String::from_utf8_lossy(rest));
}

/// The path of a target, decoded, and its query.
fn path_and_query<'t>(method: &str, target: &'t str) -> (String, &'t str) {
    let rest = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            let rest = rest.trim_start_matches(|letter| !"/?".contains(letter));
            if rest.is_empty() && method == "OPTIONS" { "*" } else { rest }
        }
        _ => target,
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        decoded.push(u8::from_str_radix(&part[..2], 16).expect("an encoding has two digits"));
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    (String::from_utf8(decoded).expect("what is encoded is UTF-8"), query)
}

/// Whether the head of `head_bytes` with which `rest` begins, or its target, is longer than it may be.
fn exceeds(bounds: &Bounds, rest: &[u8], head_bytes: usize, request: &httparse::Request<'_, '_>) -> bool {
    // An empty line before a head is no part of it.
    let head_bytes = if rest.starts_with(b"\r\n") { head_bytes - 2 } else { head_bytes };
    let target_bytes = request.path.map_or(0, str::len);
    head_bytes > bounds.limits.head_bytes_max || target_bytes > bounds.limits.target_bytes_max
}

/// Where the connection refused a head with which `rest` begins, there is none to `httparse` either, or the reason is one
/// that only the connection has.
fn check_refused(rest: &[u8], reason: Reject, bounds: &Bounds) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(rest);
    if let Ok(httparse::Status::Complete(head_bytes)) = parsed {
        let is_ours = match reason {
            Reject::InvalidRequestLine => rest.starts_with(b"\r\n\r\n"),
            Reject::Misdirected => !bounds.is_secured,
            Reject::HeadTooLarge { .. } | Reject::TargetTooLong { .. } => {
                exceeds(bounds, rest, head_bytes, &request)
            }
            reason => is_stricter(reason),
        };
        assert!(is_ours, "{reason:?} of {:?}", String::from_utf8_lossy(rest));
    }
}

/// Whether a head may be refused for this although it is well-formed to `httparse`, which takes a line feed for the end of a
/// line, and does not look into targets and fields.
fn is_stricter(reason: Reject) -> bool {
    matches!(
        reason,
        Reject::InvalidLineEnd
            | Reject::MissingHost
            | Reject::RepeatedHost
            | Reject::InvalidHost
            | Reject::InvalidTarget
            | Reject::InvalidContentLength
            | Reject::RepeatedContentLength
            | Reject::AmbiguousLength
            | Reject::InvalidTransferEncoding
            | Reject::UnsupportedTransferEncoding
            | Reject::TransferEncodingInHttp10
            | Reject::Connect
            | Reject::UnknownMethod
            | Reject::ExpectationFailed
    )
}
