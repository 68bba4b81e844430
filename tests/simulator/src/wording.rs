//! Requests as bytes, and responses from bytes.

use std::fmt::Write;

use serde::Deserialize;
use serde::de::IgnoredAny;
use stemedb_engine::index::ClaimView;

use crate::model::{Claim, ClaimNumber, Stored};

/// A response as a client reads it.
#[derive(Debug)]
pub(crate) struct Response {
    /// Its status code.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Whether the server will close the connection after it.
    pub(crate) closes: bool,
}

impl Response {
    /// Takes the first response out of what was received, once it is whole.
    pub(crate) fn take(received: &mut Vec<u8>) -> Option<Response> {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(received).unwrap_or_else(|error| {
            panic!("no response: {error} in {:?}", String::from_utf8_lossy(received))
        });
        let httparse::Status::Complete(head_bytes) = parsed else { return None };
        let status = head.code.expect("a parsed head has a code");
        let field =
            |name: &str| head.headers.iter().find(|field| field.name == name).map(|field| field.value);
        let body_bytes = match field("content-length") {
            Some(text) => {
                std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a length")
            }
            None => 0,
        };
        assert!(status == 100 || field("content-length").is_some(), "a response without a length");
        let closes = field("connection") == Some(b"close");
        if received.len() < head_bytes + body_bytes {
            return None;
        }
        let body = received[head_bytes..head_bytes + body_bytes].to_vec();
        received.drain(..head_bytes + body_bytes);
        Some(Response { status, body, closes })
    }

    /// The code of an error.
    pub(crate) fn error_code(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            error: Error,
        }
        #[derive(Deserialize)]
        struct Error {
            code: String,
        }
        self.json::<Body>().error.code
    }

    /// The body as what it has to be.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{error} in a response of status {}: {:?}",
                self.status,
                String::from_utf8_lossy(&self.body)
            )
        })
    }
}

/// The answer to a batch.
#[derive(Debug, Deserialize)]
pub(crate) struct BatchAnswer {
    /// Claims stored.
    pub(crate) accepted: u64,
    /// Claims that were stored before.
    pub(crate) exists: u64,
    /// Lines that were not stored.
    pub(crate) rejected: u64,
    /// Why, for the first 100 of them.
    pub(crate) errors: Vec<LineError>,
}

/// Why a line of a batch was not stored.
#[derive(Debug, Deserialize)]
pub(crate) struct LineError {
    /// Which line, from 1.
    pub(crate) line: usize,
    /// Why.
    pub(crate) code: String,
}

/// The answer to a retraction.
#[derive(Debug, Deserialize)]
pub(crate) struct RetractAnswer {
    /// Claims taken back.
    pub(crate) retracted: u64,
}

/// The answer to the question how the server is.
#[derive(Debug, Deserialize)]
pub(crate) struct HealthAnswer<'a> {
    /// In a word.
    pub(crate) status: &'a str,
    /// Whether claims are still read from the disk.
    pub(crate) recovering: bool,
    /// Lanes that a failed write has ended.
    pub(crate) lanes_failed: usize,
    /// Whether checkpoints have ended.
    pub(crate) upkeep_failed: bool,
    /// Files in which something is damaged, or cannot be read.
    pub(crate) damage: Vec<IgnoredAny>,
    /// Claims that it holds.
    pub(crate) assertion_count: usize,
}

/// A page of claims.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<'a> {
    /// The claims.
    #[serde(borrow)]
    pub(crate) assertions: Vec<Row<'a>>,
    /// How many.
    pub(crate) count: usize,
    /// Where the next page begins.
    pub(crate) cursor: Option<&'a str>,
}

/// A claim in a page.
#[derive(Debug, Deserialize)]
pub(crate) struct Row<'a> {
    concept_path: &'a str,
    predicate: &'a str,
    value: &'a str,
    confidence: f64,
    timestamp: f64,
    status: &'a str,
}

impl Row<'_> {
    /// The claim.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            number: number_of(self.value),
            subject: self.concept_path.to_owned(),
            predicate: self.predicate.to_owned(),
            value: self.value.to_owned(),
            confidence_milli: (self.confidence * 1000.0).round() as u64,
            timestamp_us: (self.timestamp * 1e6).round() as i64,
            retracted: match self.status {
                "active" => false,
                "retracted" => true,
                other => panic!("a status {other}"),
            },
        }
    }
}

/// A claim as an index holds it.
pub(crate) fn stored(view: &ClaimView<'_>) -> Stored {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("texts are UTF-8");
    let value = text(view.value_utf8().1.expect("all values are texts"));
    Stored {
        number: number_of(&value),
        subject: text(view.subject_utf8()),
        predicate: text(view.predicate_utf8()),
        value,
        confidence_milli: (view.confidence().value() * 1000.0).round() as u64,
        timestamp_us: view.key().timestamp.0,
        retracted: view.retracted(),
    }
}

/// The value of a claim: it tells its number.
pub(crate) fn value_of(number: ClaimNumber, filling: &str) -> String {
    format!("c{number}.{filling}")
}

fn number_of(value: &str) -> ClaimNumber {
    let number = value.strip_prefix('c').and_then(|rest| rest.split_once('.')?.0.parse().ok());
    number.unwrap_or_else(|| panic!("{value:?} is no value that was sent"))
}

/// A claim as JSON.
pub(crate) fn claim_json(claim: &Claim) -> String {
    let Claim { subject, predicate, source, value, confidence_milli, timestamp_us } = claim;
    let mut json = format!(
        r#"{{"subject":"{subject}","predicate":"{predicate}","object":"{value}","confidence":{}"#,
        *confidence_milli as f64 / 1000.0
    );
    if let Some(source) = source {
        write!(json, r#","source":"{source}""#).expect("writing to memory does not fail");
    }
    if let Some(timestamp_us) = timestamp_us {
        let (seconds, rest) = (timestamp_us / 1_000_000, timestamp_us % 1_000_000);
        write!(json, r#","timestamp":{seconds}.{rest:06}"#).expect("writing to memory does not fail");
    }
    json.push('}');
    json
}

/// A request with a body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: sim\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request with a body in chunks of up to `chunk_bytes`.
pub(crate) fn post_chunked(path: &str, body: &str, chunk_bytes: usize) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nhost: sim\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.as_bytes().chunks(chunk_bytes) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// A request without a body.
pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: sim\r\n\r\n").into_bytes()
}
