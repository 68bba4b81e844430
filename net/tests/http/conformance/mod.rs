//! What RFC 9110 and RFC 9112 demand of a server, sentence by sentence.
//!
//! Each test begins with the sentence and its section, and sends what the sentence speaks of. What only a whole server can
//! obey, such as `Allow` in a 405, is in the suite `http_conformance` of the tests with the real binary. The table in
//! `docs/reliability/http.md` lists the sentences, where they are obeyed, and these tests; a test holds the two together.

mod connections;
mod expectations;
mod fields;
mod framing;
mod messages;
mod methods;
mod responses;
mod table;
mod targets;

use stemedb_net::http::Limits;

use crate::script::{Manners, Script};

/// A response, read with no lenience.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// The value of the one field of this name, if it is there.
    fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is there twice: {self:?}");
        first
    }
}

/// What is answered to these bytes by a server that answers each request with its body.
fn echo(bytes: impl AsRef<[u8]>) -> (Script, Vec<Answer>) {
    let mut script = Script::with_limits(Manners::Echo, Limits::default());
    script.receive(bytes);
    let answers = answers_in(script.sent_text());
    (script, answers)
}

/// The responses in what was sent, of which each has the length that it says.
fn answers_in(mut sent: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !sent.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(sent.as_bytes()).unwrap_or_else(|error| panic!("{error}: {sent}"));
        let httparse::Status::Complete(head_bytes) = parsed else { panic!("half a response: {sent}") };
        assert_eq!(response.version, Some(1), "{sent}");
        let fields: Vec<(String, String)> = response
            .headers
            .iter()
            .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
            .collect();
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length is a number"));
        let (head, rest) = sent.split_at(head_bytes);
        // The answer to a HEAD ends where its content would begin.
        let length = if rest.is_empty() { 0 } else { length };
        assert!(rest.len() >= length, "a body is shorter than its length: {head}");
        let (body, rest) = rest.split_at(length);
        let status = response.code.expect("a response has a status");
        answers.push(Answer { status, fields, body: body.to_owned() });
        sent = rest;
    }
    answers
}

/// The bytes must be refused with this status: by the only response, which says and does close the connection. Nothing
/// that follows is read.
fn assert_refused(bytes: impl AsRef<[u8]>, status: u16) {
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let (mut script, _) = echo(bytes);
    script.receive("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    let answers = answers_in(script.sent_text());
    let [answer] = &answers[..] else { panic!("{shown:?} is answered with {answers:#?}") };
    assert_eq!(answer.status, status, "{shown:?}: {answer:?}");
    assert_eq!(answer.field("connection"), Some("close"), "{shown:?}: {answer:?}");
    assert!(script.rejected().is_some() && script.connection.take_shutdown(), "{shown:?}");
    assert!(!script.paths().iter().any(|path| path.contains("next")), "{shown:?}");
}

/// The bytes must be read as these requests, each answered with 200, and the connection must stay open.
fn assert_read(bytes: impl AsRef<[u8]>, requests: &[(&str, &str)]) {
    let shown = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let (mut script, answers) = echo(bytes);
    assert_eq!(script.rejected(), None, "{shown:?}");
    let read: Vec<(String, &str)> = script.paths().into_iter().zip(script.bodies()).collect();
    let read: Vec<(&str, &str)> = read.iter().map(|(path, body)| (path.as_str(), *body)).collect();
    assert_eq!(read, requests, "{shown:?}");
    assert!(answers.iter().all(|answer| answer.status == 200), "{shown:?}: {answers:?}");
    assert_eq!(answers.len(), requests.len(), "{shown:?}");
    assert!(!script.connection.take_shutdown(), "{shown:?}");
}

/// A request with these header fields, each with its line end, and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}")
}

/// A chunked request with this body, framing included.
fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}
