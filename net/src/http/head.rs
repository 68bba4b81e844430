//! The head of a request: request line and header fields.

use std::mem::MaybeUninit;

use super::body::Framing;
use super::character::{REQUEST_ID, trim_white_space};
use super::framing_fields::FramingFields;
use super::host::authority_is_valid;
use super::method;
use super::{BodyMode, Limits, QueryPairs, Reject, target};

/// How many header fields a request may have.
pub(super) const FIELDS_MAX: usize = 64;

/// The longest `x-request-id` that is taken over from a client, in bytes.
pub(super) const REQUEST_ID_BYTES_MAX: usize = 64;

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
    /// The method, the decoded path and the query as sent, one after the other.
    text: String,
    method_bytes: usize,
    path_bytes: usize,
    /// The head as it was received, for the names and values of the fields.
    raw: Vec<u8>,
    fields: Vec<Field>,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
    /// The body is in a content coding.
    is_encoded: bool,
    /// What is asked for is to have an entity tag.
    wants_entity_tag: bool,
    request_id: Option<Span>,
    /// Room to decode a target in, kept to be used again.
    scratch: Vec<u8>,
}

/// A header field is there several times that may be there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

/// A place within [`Head::raw`].
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Head {
    /// The method, as sent: methods are case-sensitive. Any token; known or not is for the router to say.
    pub fn method(&self) -> &str {
        &self.text[..self.method_bytes]
    }

    /// The path of the target, percent-decoded; `*` for a request about the server as a whole.
    ///
    /// An encoded slash is refused, so the path has the same segments in every reading. Dot segments stay as
    /// they are.
    pub fn path(&self) -> &str {
        &self.text[self.method_bytes..self.method_bytes + self.path_bytes]
    }

    /// The query as sent, without the `?`; empty when there is none.
    pub fn query(&self) -> &str {
        &self.text[self.method_bytes + self.path_bytes..]
    }

    /// The parameters of the query, decoded.
    pub fn query_pairs(&self) -> QueryPairs<'_> {
        QueryPairs::new(self.query())
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The value of the first header field of this name, without white space around it. `name` in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the one header field of this name, as [`Head::field`] gives it.
    ///
    /// # Errors
    ///
    /// [`Repeated`] if there are several: which of them counts would be for everybody to guess.
    pub fn sole_field(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.fields().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (first, None) => Ok(first.map(|(_, value)| value)),
        }
    }

    /// All header fields in the order in which they were sent: names as sent, values without white space
    /// around them. Names are tokens, values have no control characters but tabs.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (field.name.of(&self.raw), field.value.of(&self.raw)))
    }

    /// The length of the body as the client declared it: `None` when it is chunked or nothing is declared.
    pub fn content_length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(bytes) => Some(bytes),
            Framing::Chunked | Framing::Absent => None,
        }
    }

    /// Whether the body is chunked. A request that is neither chunked nor has a content length has no body.
    pub fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// The client's `x-request-id`, if it sent one, once, of 1 to 64 letters, digits, dots, underscores and
    /// dashes.
    pub fn request_id(&self) -> Option<&str> {
        let bytes = self.request_id?.of(&self.raw);
        Some(std::str::from_utf8(bytes).expect("letters, digits, dots, underscores and dashes"))
    }

    /// Whether an `If-Match` wants what is asked for to have one of some entity tags. Nothing here has any.
    pub fn wants_entity_tag(&self) -> bool {
        self.wants_entity_tag
    }

    /// Whether a body such as the head promises can be taken in this way. [`Connection::accept`](super::Connection::accept) asks
    /// it too, and whoever must know before that.
    ///
    /// # Errors
    ///
    /// Why [`Connection::accept`](super::Connection::accept) would reject the request.
    pub fn check_body(&self, mode: BodyMode, body_bytes_max: usize) -> Result<(), Reject> {
        //= RFC 9110 section 8.4
        //# An origin server MAY respond with a status code of 415 (Unsupported Media Type) if a representation in
        //# the request message has a content coding that is not acceptable.
        if self.is_encoded && !matches!(self.framing, Framing::Absent | Framing::Length(0)) {
            return Err(Reject::UnsupportedContentEncoding);
        }
        match (mode, self.framing) {
            //= RFC 9110 section 15.5.14
            //# the server is refusing to process a request because the request content is larger than the server
            //# is willing or able to process
            (BodyMode::Whole, Framing::Length(bytes)) if bytes > body_bytes_max as u64 => {
                Err(Reject::BodyTooLarge { bytes_max: body_bytes_max })
            }
            _ => Ok(()),
        }
    }

    /// How the body is delimited.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection persists after the response.
    pub(super) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for leave to send the body.
    pub(super) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// A head of no request, to read requests into.
    pub(super) fn new() -> Head {
        Head {
            text: String::new(),
            method_bytes: 0,
            path_bytes: 0,
            raw: Vec::new(),
            fields: Vec::new(),
            version: Version::Http11,
            framing: Framing::Absent,
            keep_alive: true,
            expects_continue: false,
            is_encoded: false,
            wants_entity_tag: false,
            request_id: None,
            scratch: Vec::new(),
        }
    }

    /// Reads a complete head, from its request line to the empty line, whose lines have been found to end as
    /// lines must. What was here before is overwritten, whether the new head is valid or not.
    pub(super) fn read(&mut self, raw: &[u8], limits: &Limits, is_secured: bool) -> Result<(), Reject> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(raw, &mut fields) {
            Ok(httparse::Status::Complete(bytes)) => assert_eq!(bytes, raw.len(), "a head has one end"),
            Ok(httparse::Status::Partial) => unreachable!("a head that ends with an empty line is complete"),
            Err(error) => return Err(reject_of(error, raw)),
        }
        let parsed = "the tokeniser accepted the request line";
        self.version = if request.version.expect(parsed) == 0 { Version::Http10 } else { Version::Http11 };
        let (method, target) = (request.method.expect(parsed), request.path.expect(parsed));
        self.read_target(method, target, limits, is_secured)?;
        self.read_fields(raw, request.headers)
    }

    /// Forgets the head and gives its memory back.
    pub(super) fn release(&mut self) {
        *self = Head::new();
    }

    /// Bytes of heap it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.text.capacity()
            + self.raw.capacity()
            + self.scratch.capacity()
            + self.fields.capacity() * size_of::<Field>()
    }

    fn read_target(
        &mut self,
        method: &str,
        target: &str,
        limits: &Limits,
        is_secured: bool,
    ) -> Result<(), Reject> {
        if target.len() > limits.target_bytes_max {
            return Err(Reject::TargetTooLong { bytes_max: limits.target_bytes_max });
        }
        method::check(method)?;
        let target = target::parse(method, target, is_secured, &mut self.scratch)?;
        self.text.clear();
        self.text.push_str(method);
        self.method_bytes = method.len();
        if memchr::memchr(b'%', target.path.as_bytes()).is_some() {
            self.scratch.clear();
            target::decode_onto(target.path, &mut self.scratch);
            self.text.push_str(std::str::from_utf8(&self.scratch).expect("checked by target::parse"));
        } else {
            self.text.push_str(target.path);
        }
        self.path_bytes = self.text.len() - self.method_bytes;
        self.text.push_str(target.query);
        Ok(())
    }

    //= RFC 9110 section 5.1
    //# Other recipients SHOULD ignore unrecognized header and trailer fields.
    //
    //= RFC 9110 section 5.5
    //# a field parsing implementation MUST exclude such whitespace prior to evaluating the field value.
    // The tokeniser excludes it.
    //
    //= RFC 9110 section 3.3
    //# a server MUST NOT assume that two requests on the same connection are from the same user agent
    //
    //= RFC 9110 section 13.1.3
    //# A recipient MUST ignore the If-Modified-Since header field if the resource does not have a modification date
    //# available.
    //
    //= RFC 9110 section 13.1.4
    //# A recipient MUST ignore the If-Unmodified-Since header field if the resource does not have a modification date
    //# available.
    //
    //= RFC 9110 section 13.1.5
    //# An origin server MUST ignore an If-Range header field received in a request for a target resource that does not
    //# support Range requests.
    //
    //= RFC 9110 section 14.2
    //# A server MUST ignore a Range header field received with a request method that is unrecognized or for which range
    //# handling is not defined.
    //
    //= RFC 9110 section 14.4
    //# A server MUST ignore a Content-Range header field received in a request with a method for which Content-Range
    //# support is not defined.
    //
    //= RFC 9110 section 8.7
    //# an origin server MUST NOT use such context information to alter the request semantics.
    //
    //= RFC 9110 section 7.8
    //# A server that receives an Upgrade header field in an HTTP/1.0 request MUST ignore that Upgrade field.
    //
    //= RFC 9110 section 7.8
    //# A server MAY ignore a received Upgrade header field if it wishes to continue using the current protocol on that
    //# connection.
    fn read_fields(&mut self, raw: &[u8], parsed: &[httparse::Header<'_>]) -> Result<(), Reject> {
        self.raw.clear();
        self.raw.extend_from_slice(raw);
        self.fields.clear();
        self.request_id = None;
        self.is_encoded = false;
        self.wants_entity_tag = false;
        let mut hosts = 0_u32;
        let mut request_ids = 0_u32;
        let mut framing = FramingFields::default();
        for field in parsed {
            let (name, value) = (field.name, field.value);
            let value_span = Span::within(raw, value);
            self.fields.push(Field { name: Span::within(raw, name.as_bytes()), value: value_span });
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    hosts += 1;
                    check_host(hosts, value)?;
                }
                6 if name.eq_ignore_ascii_case("expect") => framing.expect(value, self.version)?,
                8 if name.eq_ignore_ascii_case("if-match") => self.wants_entity_tag |= value != b"*",
                10 if name.eq_ignore_ascii_case("connection") => framing.connection(value),
                12 if name.eq_ignore_ascii_case("x-request-id") => {
                    request_ids += 1;
                    let sane = request_id_is_sane(value) && request_ids == 1;
                    self.request_id = sane.then_some(value_span);
                }
                14 if name.eq_ignore_ascii_case("content-length") => framing.content_length(value)?,
                16 if name.eq_ignore_ascii_case("content-encoding") => self.is_encoded |= !is_identity(value),
                17 if name.eq_ignore_ascii_case("transfer-encoding") => framing.transfer_encoding(value),
                _ => {}
            }
        }
        //= RFC 9112 section 3.2
        //# A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a
        //# Host header field
        if hosts == 0 && self.version == Version::Http11 {
            return Err(Reject::MissingHost);
        }
        self.framing = framing.framing(self.version)?;
        self.keep_alive = framing.keep_alive(self.version);
        self.expects_continue = framing.expects_continue();
        Ok(())
    }
}

impl Span {
    /// Where `part` lies in `whole`, of which it is a part.
    fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr() - whole.as_ptr().addr();
        // Limits keep a head far below 4 GiB.
        Span { start: start as u32, end: (start + part.len()) as u32 }
    }

    fn of(self, whole: &[u8]) -> &[u8] {
        &whole[self.start as usize..self.end as usize]
    }
}

//= RFC 9112 section 3.2
//# A server MUST respond with a 400 (Bad Request) status code [...] to any request message that contains more
//# than one Host header field line or a Host header field with an invalid field value.
fn check_host(count: u32, value: &[u8]) -> Result<(), Reject> {
    if count > 1 {
        Err(Reject::RepeatedHost)
    } else if authority_is_valid(value) {
        Ok(())
    } else {
        Err(Reject::InvalidHost)
    }
}

//= RFC 9110 section 5.6.1.2
//# A recipient MUST parse and ignore a reasonable number of empty list elements
/// Whether a `Content-Encoding` leaves the content as it is.
fn is_identity(value: &[u8]) -> bool {
    let mut codings = value.split(|&byte| byte == b',').map(trim_white_space);
    codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

fn request_id_is_sane(value: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && REQUEST_ID.has_all(value)
}

/// What the tokeniser's complaint about `raw` means.
fn reject_of(error: httparse::Error, raw: &[u8]) -> Reject {
    match error {
        //= RFC 9112 section 5.1
        //# A server MUST reject, with a response status code of 400 (Bad Request), any received request message
        //# that contains whitespace between a header field name and colon.
        httparse::Error::HeaderName => Reject::InvalidFieldName,
        //= RFC 9110 section 5.5
        //# Field values containing CR, LF, or NUL characters are invalid and dangerous [...]; a recipient of CR,
        //# LF, or NUL within a field value MUST either reject the message or replace each of those characters
        //# with SP
        httparse::Error::HeaderValue => Reject::InvalidFieldValue,
        httparse::Error::TooManyHeaders => Reject::TooManyFields { fields_max: FIELDS_MAX },
        //= RFC 9110 section 6.2
        //# A server can send a 505 (HTTP Version Not Supported) response if it wishes, for any reason, to refuse service
        //# of the client's major protocol version.
        httparse::Error::Version if names_another_version(raw) => Reject::UnsupportedVersion,
        httparse::Error::Version
        | httparse::Error::NewLine
        | httparse::Error::Token
        | httparse::Error::Status => Reject::InvalidRequestLine,
    }
}

//= RFC 9112 section 2.3
//# HTTP-version = HTTP-name "/" DIGIT "." DIGIT
/// Whether the request line is a good one but for its version.
fn names_another_version(raw: &[u8]) -> bool {
    let line_bytes = memchr::memchr(b'\r', raw).unwrap_or(raw.len());
    let mut parts = raw[..line_bytes].split(|&byte| byte == b' ');
    let version = parts.nth(2).and_then(|version| version.strip_prefix(b"HTTP/"));
    parts.next().is_none()
        && matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}
