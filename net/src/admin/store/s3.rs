//! A bucket of an S3-compatible store.
//!
//! Requests are signed in their URLs (AWS Signature Version 4) and sent one after the other. A large object goes up in parts,
//! each of which is tried again when the store is away for a while; it is there when all parts are, and never in part. What
//! comes down goes on where it was broken off. No bound says how long an object may take, only for how long nothing may come.

use std::env;
use std::io::{self, Read, Write};
use std::mem;
use std::thread;
use std::time::Duration;

use rusty_s3::actions::{CreateMultipartUpload, ListObjectsV2};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::http::{Method, Request, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, BodyReader};

use super::{Upload, failed};
use crate::admin::error::AdminError;
use crate::admin::tls::system_roots;

/// How long a signature holds.
const SIGNATURE_LIFE: Duration = Duration::from_secs(3600);

/// How often a request is sent that the store does not answer, or answers with an error of its own.
const TRIES_MAX: u32 = 5;

/// How long is waited for the store.
const PATIENCE: Patience = Patience {
    connection: Duration::from_secs(30),
    answer: Duration::from_secs(300),
    bytes: Duration::from_secs(60),
    pause: Duration::from_millis(200),
};

/// Bytes of a part. An object has 10 000 parts at most, so parts double in size as there are more of them: up to a terabyte.
const PART_BYTES: usize = 16 << 20;
const PARTS_OF_ONE_SIZE: usize = 2000;

/// The status of an answer that has a part of an object (RFC 9110, section 15.3.7).
const PARTIAL_CONTENT: u16 = 206;

/// The most bytes of an answer that is not an object.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A bucket.
pub(in crate::admin) struct S3Store {
    agent: Agent,
    bucket: Bucket,
    credentials: Credentials,
    patience: Patience,
}

/// How long is waited for a store.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the name of its machine, and for a connection to it.
    connection: Duration,
    /// For its answer: it may have to put together what was sent.
    answer: Duration,
    /// For it to take the next bytes of what is sent, or to send the next bytes of an object.
    bytes: Duration,
    /// Before a request is sent again; each pause is twice as long as the one before.
    pause: Duration,
}

/// An object that comes down.
struct S3Read<'s> {
    store: &'s S3Store,
    key: String,
    body: BodyReader<'static>,
    /// Which content this is, if the store says so.
    tag: Option<String>,
    /// How many bytes have come.
    bytes: u64,
    /// How often it was begun since the last byte came.
    tries: u32,
}

/// An object that goes up in parts.
struct S3Upload<'s> {
    store: &'s S3Store,
    key: String,
    part: Vec<u8>,
    /// The upload's identity, once it has more than one part, and what the store calls the parts.
    begun: Option<String>,
    tags: Vec<String>,
    finished: bool,
}

/// An answer of the store.
struct Answer {
    status: u16,
    tag: Option<String>,
    body: Body,
}

impl S3Store {
    /// The bucket of this name, at the place and with the credentials that the environment has for it.
    pub(super) fn from_environment(bucket: &str) -> Result<S3Store, AdminError> {
        let variable =
            |names: [&str; 2]| names.iter().find_map(|name| env::var(name).ok().filter(|it| !it.is_empty()));
        let needed = |names: [&str; 2]| {
            variable(names).ok_or_else(|| {
                AdminError::Usage(format!("set {} or {} for s3://{bucket}", names[0], names[1]))
            })
        };
        let region = variable(["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or_else(|| "us-east-1".to_owned());
        let (endpoint, style) = match variable(["MINIO_ENDPOINT", "AWS_ENDPOINT_URL"]) {
            Some(endpoint) if endpoint.contains("://") => (endpoint, UrlStyle::Path),
            Some(endpoint) => (format!("http://{endpoint}"), UrlStyle::Path),
            None => (format!("https://s3.{region}.amazonaws.com"), UrlStyle::VirtualHost),
        };
        let wrong = |reason: String| AdminError::Usage(format!("s3://{bucket} at {endpoint}: {reason}"));
        let url = endpoint.parse().map_err(|_| wrong("the endpoint is not a URL".to_owned()))?;
        let name = bucket.to_owned();
        let bucket = Bucket::new(url, style, name, region).map_err(|error| wrong(error.to_string()))?;
        let key = needed(["MINIO_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])?;
        let secret = needed(["MINIO_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"])?;
        let credentials = match variable(["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]) {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        };
        Ok(S3Store::new(bucket, credentials, PATIENCE))
    }

    fn new(bucket: Bucket, credentials: Credentials, patience: Patience) -> S3Store {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(patience.connection))
            .timeout_connect(Some(patience.connection))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.answer))
            .timeout_per_write(Some(patience.bytes))
            .tls_config(TlsConfig::builder().root_certs(system_roots()).build())
            .user_agent(concat!("stemedb-admin/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        S3Store { agent, bucket, credentials, patience }
    }

    pub(super) fn name(&self) -> String {
        format!("s3://{}", self.bucket.name())
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>, AdminError> {
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(prefix);
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let text = self
                .done(prefix, Method::GET, action.sign(SIGNATURE_LIFE).as_str(), &[])?
                .text(self, prefix)?;
            let listed = ListObjectsV2::parse_response(&text)
                .map_err(|error| failed(&self.name(), prefix, &format!("no list of objects: {error}")))?;
            keys.extend(listed.contents.into_iter().map(|object| object.key));
            match listed.next_continuation_token {
                Some(next) => token = Some(next),
                None => return Ok(keys),
            }
        }
    }

    pub(super) fn read(&self, key: &str) -> Result<Box<dyn Read + '_>, AdminError> {
        let answer = self.tried(key, || self.sent_back(key, 0, None))?;
        let body = whole(answer.body);
        Ok(Box::new(S3Read { store: self, key: key.to_owned(), body, tag: answer.tag, bytes: 0, tries: 1 }))
    }

    pub(super) fn write(&self, key: &str) -> Box<dyn Upload + '_> {
        Box::new(S3Upload {
            store: self,
            key: key.to_owned(),
            part: Vec::new(),
            begun: None,
            tags: Vec::new(),
            finished: false,
        })
    }

    /// Sends a request until it succeeds, or fails in a way that will not change.
    fn done(&self, key: &str, method: Method, url: &str, body: &[u8]) -> Result<Answer, AdminError> {
        self.tried(key, || self.sent(&method, url, body))
    }

    fn tried(&self, key: &str, send: impl Fn() -> Result<Answer, ureq::Error>) -> Result<Answer, AdminError> {
        let mut tries = 1;
        loop {
            let reason = match send() {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(answer) => {
                    let status = answer.status;
                    let may_pass = status >= 500 || status == 429;
                    let reason = refusal(status, &answer.text(self, key)?);
                    if !may_pass {
                        return Err(failed(&self.name(), key, &reason));
                    }
                    reason
                }
                Err(error) => format!("no answer: {error}"),
            };
            if tries == TRIES_MAX {
                return Err(failed(&self.name(), key, &format!("{reason} (tried {tries} times)")));
            }
            self.pause_after(tries);
            tries += 1;
        }
    }

    fn pause_after(&self, tries: u32) {
        thread::sleep(self.patience.pause * 2_u32.pow(tries - 1));
    }

    fn sent(&self, method: &Method, url: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let request = Request::builder().method(method.clone()).uri(url);
        let response = match *method {
            Method::PUT | Method::POST => self.agent.run(request.body(body)?)?,
            _ => self.agent.run(request.body(())?)?,
        };
        Ok(Answer::of(response))
    }

    /// Asks for an object, from its byte `from` on and only if it is still the content `tag`.
    fn sent_back(&self, key: &str, from: u64, tag: Option<&str>) -> Result<Answer, ureq::Error> {
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNATURE_LIFE);
        let mut request = Request::builder().method(Method::GET).uri(url.as_str());
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        let request = self.agent.configure_request(request.body(())?);
        let request = request.timeout_per_read(Some(self.patience.bytes)).build();
        Ok(Answer::of(self.agent.run(request)?))
    }
}

/// Reads all of a body, however long it is.
fn whole(body: Body) -> BodyReader<'static> {
    body.into_with_config().limit(u64::MAX).reader()
}

impl Read for S3Read<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.body.read(bytes) {
                Ok(count) => {
                    self.bytes += count as u64;
                    self.tries = if count > 0 { 1 } else { self.tries };
                    return Ok(count);
                }
                Err(error) => self.begin_again(&error)?,
            }
        }
    }
}

impl S3Read<'_> {
    /// Goes on where the body has ended too early.
    fn begin_again(&mut self, error: &io::Error) -> io::Result<()> {
        let after = format!("{error} after {} bytes", self.bytes);
        if self.tries == TRIES_MAX {
            return Err(io::Error::other(format!("{after} (tried {TRIES_MAX} times)")));
        }
        self.store.pause_after(self.tries);
        self.tries += 1;
        let (store, tag) = (self.store, self.tag.as_deref());
        let answer = store.tried(&self.key, || store.sent_back(&self.key, self.bytes, tag));
        let answer = answer.map_err(|error| io::Error::other(format!("{after}; then {error}")))?;
        if self.bytes > 0 && answer.status != PARTIAL_CONTENT {
            return Err(io::Error::other(format!("{after}; the store gives objects only as a whole")));
        }
        self.body = whole(answer.body);
        Ok(())
    }
}

impl Answer {
    fn of(response: Response<Body>) -> Answer {
        let tag = response.headers().get("ETag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Answer { status: response.status().as_u16(), tag, body: response.into_body() }
    }

    fn text(mut self, store: &S3Store, key: &str) -> Result<String, AdminError> {
        let read = self.body.with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        read.map_err(|error| failed(&store.name(), key, &error.to_string()))
    }
}

impl S3Upload<'_> {
    fn send_part(&mut self) -> Result<(), AdminError> {
        let (store, credentials) = (self.store, Some(&self.store.credentials));
        if self.begun.is_none() {
            let url = store.bucket.create_multipart_upload(credentials, &self.key).sign(SIGNATURE_LIFE);
            let text = store.done(&self.key, Method::POST, url.as_str(), &[])?.text(store, &self.key)?;
            let begun = CreateMultipartUpload::parse_response(&text)
                .map_err(|error| failed(&store.name(), &self.key, &format!("no upload begun: {error}")))?;
            self.begun = Some(begun.upload_id().to_owned());
        }
        let upload = self.begun.as_deref().expect("it was just begun");
        let number = self.tags.len() as u16 + 1;
        let url = store.bucket.upload_part(credentials, &self.key, number, upload).sign(SIGNATURE_LIFE);
        let answer = store.done(&self.key, Method::PUT, url.as_str(), &self.part)?;
        let tag = answer.tag.ok_or_else(|| failed(&store.name(), &self.key, "a part without an ETag"))?;
        self.tags.push(tag);
        self.part.clear();
        Ok(())
    }
}

impl Write for S3Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part_bytes = PART_BYTES << (self.tags.len() / PARTS_OF_ONE_SIZE);
        if self.part.len() >= part_bytes {
            self.send_part().map_err(|error| io::Error::other(error.to_string()))?;
        }
        let count = bytes.len().min(part_bytes - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for S3Upload<'_> {
    fn finish(mut self: Box<Self>) -> Result<(), AdminError> {
        let (store, credentials) = (self.store, Some(&self.store.credentials));
        if self.begun.is_none() {
            let part = mem::take(&mut self.part);
            let url = store.bucket.put_object(credentials, &self.key).sign(SIGNATURE_LIFE);
            store.done(&self.key, Method::PUT, url.as_str(), &part)?;
        } else {
            if !self.part.is_empty() {
                self.send_part()?;
            }
            let upload = self.begun.clone().expect("it was begun");
            let tags = self.tags.iter().map(String::as_str);
            let action = store.bucket.complete_multipart_upload(credentials, &self.key, &upload, tags);
            let url = action.sign(SIGNATURE_LIFE);
            let body = action.body();
            let text =
                store.done(&self.key, Method::POST, url.as_str(), body.as_bytes())?.text(store, &self.key)?;
            // The store may answer 200 before it knows, and an error in the body then.
            if text.contains("<Error>") {
                return Err(failed(&store.name(), &self.key, &refusal(200, &text)));
            }
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for S3Upload<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Some(upload) = &self.begun {
            let credentials = Some(&self.store.credentials);
            let url =
                self.store.bucket.abort_multipart_upload(credentials, &self.key, upload).sign(SIGNATURE_LIFE);
            // Parts that stay are invisible, and expire by the bucket's own rules.
            let _ = self.store.sent(&Method::DELETE, url.as_str(), &[]);
        }
    }
}

/// What the store says, by the code and message of its XML.
fn refusal(status: u16, text: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message} (status {status})"),
        (Some(code), None) => format!("{code} (status {status})"),
        _ => format!("status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_store() {
        let text = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>It does not exist</Message></Error>";
        assert_eq!(refusal(404, text), "NoSuchBucket: It does not exist (status 404)");
        assert_eq!(refusal(503, "<html>"), "status 503");
    }

    const OBJECT: &str = "a whole object, which comes in pieces";

    /// What a stand-in does once it has sent what it sends.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Then {
        Close,
        /// Nothing more, until the client goes.
        FallSilent,
    }

    /// A store that answers each request with so many bytes of the object at most, and what it does behind them; by the number of the request
    /// and whether it asks for a part of the object.
    struct StandIn {
        store: S3Store,
        /// The heads of all requests.
        heads: Receiver<String>,
    }

    impl StandIn {
        fn new(answers: fn(usize, bool) -> (usize, Then)) -> StandIn {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let url = format!("http://{}", listener.local_addr().expect("it is bound"));
            let (told, heads) = channel();
            thread::spawn(move || {
                for (number, client) in listener.incoming().enumerate() {
                    let told = told.clone();
                    let answers = move |is_part| answers(number, is_part);
                    thread::spawn(move || answer(client.expect("it came"), answers, &told));
                }
            });
            let url = url.parse().expect("it is a URL");
            let bucket = Bucket::new(url, UrlStyle::Path, "bucket", "us-east-1").expect("a bucket");
            // Long enough for a machine that is at work. If it stands still for longer, a request is repeated, which no test minds.
            let silence = Duration::from_secs(2);
            let patience = Patience { bytes: silence, pause: Duration::from_millis(1), ..PATIENCE };
            StandIn { store: S3Store::new(bucket, Credentials::new("key", "secret"), patience), heads }
        }
    }

    fn answer(mut client: TcpStream, answers: impl Fn(bool) -> (usize, Then), told: &Sender<String>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a request has a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("it is text").to_ascii_lowercase();
        let from = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
        let (bytes, then) = answers(from.is_some());
        let (status, from) =
            from.map_or(("200 OK", 0), |from| ("206 Partial Content", from.parse().expect("a number")));
        // Nobody has to listen.
        let _ = told.send(head);
        let rest = &OBJECT[from..];
        let length = rest.len();
        let answer = format!("HTTP/1.1 {status}\r\nETag: \"tag\"\r\nContent-Length: {length}\r\n\r\n");
        // The client may have gone.
        let _ = client.write_all((answer + &rest[..bytes.min(length)]).as_bytes());
        if then == Then::FallSilent {
            let _ = client.read(&mut [0]);
        }
    }

    /// Goal: an object comes whole if only something comes again and again. Method: a store that sends some bytes and then nothing, or breaks
    /// off, and is asked for the rest.
    #[test]
    fn a_read_goes_on_where_the_last_one_ended() {
        let stand_in =
            StandIn::new(|number, _| (7, if number == 1 { Then::FallSilent } else { Then::Close }));
        assert_eq!(stand_in.store.text_of("key"), OBJECT);
        let heads: Vec<_> = stand_in.heads.try_iter().collect();
        assert!(heads.len() >= OBJECT.len().div_ceil(7), "{heads:?}");
        assert!(!heads[0].contains("range:") && !heads[0].contains("if-match:"), "{heads:?}");
        // Until the first bytes have come, all is asked for.
        for head in heads.iter().skip_while(|head| !head.contains("range:")) {
            assert!(head.contains("range: bytes=") && head.contains("if-match: \"tag\""), "{head}");
        }
    }

    /// Goal: a store that has fallen silent is not waited for for ever. Method: it sends the beginning, and then heads without bytes.
    #[test]
    fn a_read_that_does_not_get_on_is_given_up() {
        let stand_in = StandIn::new(|_, is_part| (if is_part { 0 } else { 7 }, Then::FallSilent));
        let mut text = String::new();
        let mut read = stand_in.store.read("key").expect("it begins");
        let error = read.read_to_string(&mut text).expect_err("it falls silent").to_string();
        assert!(error.contains("after 7 bytes") && error.contains("tried 5 times"), "{error}");
        assert!(stand_in.heads.try_iter().count() >= TRIES_MAX as usize);
    }

    impl S3Store {
        fn text_of(&self, key: &str) -> String {
            let mut text = String::new();
            self.read(key).expect("it begins").read_to_string(&mut text).expect("it ends");
            text
        }
    }
}
