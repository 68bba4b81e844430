//! A server that is looked after while it is maltreated.

use serde_json::Value;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Response, Server, Start, http};

/// A server, a connection that asks how it is, and how many claims it must hold.
pub(crate) struct Watched {
    pub(crate) server: Server,
    watcher: Client,
    /// For requests that an answer does not close the connection to.
    client: Client,
    pub(crate) claims: u64,
    _data: Data,
}

impl Watched {
    /// A server with one claim.
    pub(crate) fn start() -> Watched {
        Watched::start_with(|start| start)
    }

    pub(crate) fn start_with(settings: impl FnOnce(Start) -> Start) -> Watched {
        let data = Data::new();
        let server = settings(Start::on(&data).cores(2)).serve();
        let (mut watcher, client) = (server.client(), server.client());
        watcher.post("/v1/assert", TestClaim::new("watched", "is", "there").json()).expect("an answer").ok();
        Watched { server, watcher, client, claims: 1, _data: data }
    }

    /// A POST that must be refused with `status` and `code`; the connection stays open.
    pub(crate) fn refuses(
        &mut self,
        target: &str,
        body: impl AsRef<[u8]>,
        status: u16,
        code: &str,
    ) -> Response {
        self.refuses_request(&http::request("POST", target, body.as_ref()), status, code)
    }

    /// A request that must be refused with `status` and `code`; the connection stays open.
    pub(crate) fn refuses_request(&mut self, request: &[u8], status: u16, code: &str) -> Response {
        self.client.send(request).expect("it is received");
        let response =
            self.client.response().unwrap_or_else(|error| panic!("{error} after {}", shown(request)));
        assert_eq!((response.status, &*response.error_code()), (status, code), "{}", shown(request));
        self.is_well(request);
        response
    }

    /// Bytes that must be refused with `status` and `code`, after which the connection ends.
    pub(crate) fn refuses_and_closes(&mut self, bytes: &[u8], status: u16, code: &str) -> Response {
        let mut client = self.server.client();
        // The server may have enough before it has all.
        let _ = client.send(bytes);
        let response = client.response().unwrap_or_else(|error| panic!("{error} after {}", shown(bytes)));
        assert_eq!((response.status, &*response.error_code()), (status, code), "{}", shown(bytes));
        assert_eq!(response.field("connection"), Some("close"), "{}", shown(bytes));
        client.expect_end();
        self.is_well(bytes);
        response
    }

    /// A POST that must be answered with 2xx and store so many claims.
    pub(crate) fn takes(&mut self, target: &str, body: impl AsRef<[u8]>, claims: u64) -> Value {
        let body = body.as_ref();
        let response = self.client.post(target, body).expect("an answer");
        assert!((200..300).contains(&response.status), "{response:?}\n to {}", shown(body));
        let answer = response.json();
        self.claims += claims;
        self.is_well_after(&format!("{answer} to {}", shown(body)));
        answer
    }

    /// The server must be well and hold all its claims and no others.
    pub(crate) fn is_well(&mut self, after: &[u8]) {
        self.is_well_after(&shown(after));
    }

    fn is_well_after(&mut self, after: &str) {
        let health = self.watcher.get("/v1/health");
        let health = health.unwrap_or_else(|error| panic!("{error} after {after}")).ok();
        assert_eq!(health["status"], "healthy", "after {after}");
        assert_eq!(health["assertion_count"], self.claims, "after {after}");
    }

    /// Stops the server, which must still be able to.
    pub(crate) fn stop(self) {
        drop((self.watcher, self.client));
        self.server.stop();
    }
}

/// Bytes for a message, cut short.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    format!("{text:?}… ({} bytes)", bytes.len())
}

/// The body of a claim that is right, with one field replaced or added. `value` is JSON, right or not.
pub(crate) fn claim_with(field: &str, value: &str) -> String {
    let right = [("concept_path", "\"bad/input\""), ("predicate", "\"is\""), ("value", "1")];
    let kept = right.iter().filter(|(name, _)| *name != field);
    let mut members: Vec<String> = kept.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    members.push(format!("\"{field}\":{value}"));
    format!("{{{}}}", members.join(","))
}
