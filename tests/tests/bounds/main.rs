//! Goal: every bound of the server holds. What is at a bound is served, what is one beyond it gets the documented answer,
//! and overstepping bounds again and again costs no memory.
//!
//! Method: servers with bounds that are easily reached, or in which much comes in at once because they were stopped
//! meanwhile. `docs/reliability/bounds.md` lists all bounds, and the tests of each, here and elsewhere; a test here
//! holds that list together with the tests that there are.

mod build;
mod crowds;
mod fields;
mod flatness;
mod list;
mod memory;
mod messages;
mod no_panic;
mod pages;
mod settings;

use serde_json::json;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Response, Server, Start, http};

/// A server and a connection to it.
struct Served {
    client: Client,
    server: Server,
    data: Data,
}

impl Served {
    /// A server of one core with these settings besides.
    fn with(settings: &[(&str, &str)]) -> Served {
        let data = Data::new();
        let start = settings.iter().fold(Start::on(&data), |start, (name, value)| start.with(name, value));
        let server = start.serve();
        Served { client: server.client(), server, data }
    }

    /// A POST that must be answered with 2xx.
    fn takes(&mut self, target: &str, body: impl AsRef<[u8]>) -> serde_json::Value {
        self.client.post(target, body).expect("an answer").ok()
    }

    /// A POST that must be refused, after which the connection goes on.
    #[track_caller]
    fn refuses(&mut self, target: &str, body: impl AsRef<[u8]>, status: u16, code: &str) -> Response {
        let response = self.client.post(target, body).expect("an answer");
        is_refusal(&response, status, code);
        response
    }

    /// Bytes, on a connection of their own, that must be refused, after which it ends.
    fn refuses_and_closes(&self, bytes: &[u8], status: u16, code: &str) {
        let mut client = self.server.client();
        // The server may have enough before it has all.
        let _ = client.send(bytes);
        let response = client.response().expect("an answer");
        is_refusal(&response, status, code);
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_end();
    }

    /// The server must be able to write and to find what it wrote.
    fn works(&mut self, claim: &TestClaim) {
        self.takes("/v1/assert", claim.json());
        let query = json!({"concept_path": claim.path, "predicate": claim.predicate}).to_string();
        assert_eq!(self.takes("/v1/query", query)["count"], 1);
    }
}

/// The answer must be this error, in few words.
#[track_caller]
fn is_refusal(response: &Response, status: u16, code: &str) {
    /// However long what was wrong is, nobody reads more.
    const ERROR_BYTES_MAX: usize = 1024;
    assert_eq!((response.status, &*response.error_code()), (status, code), "{response:?}");
    assert!(response.body.len() <= ERROR_BYTES_MAX, "an error of {} bytes", response.body.len());
    assert_eq!(response.field("retry-after"), (status == 503).then_some("1"), "{response:?}");
}

/// A text in quotation marks of so many bytes.
fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

/// A claim about `path` whose value is a text of so many bytes.
fn large_claim(path: &str, value_bytes: usize) -> String {
    TestClaim::new(path, "is", "x".repeat(value_bytes)).json()
}

/// The head of a batch whose body waits for leave to come, so that its sender knows when it has been let in.
fn batch_head(body_bytes: usize) -> Vec<u8> {
    let fields = format!("Expect: 100-continue\r\nContent-Length: {body_bytes}\r\n");
    http::request_with("GET", "/v1/assert/batch", &fields, b"")
        .strip_prefix(b"GET")
        .map(|rest| [b"POST", rest].concat())
        .expect("it begins with its method")
}
