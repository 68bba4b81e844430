//! The corpus through a proxy.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::Value;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Server, Start, http, listing, process};

use crate::client::{Answer, Sent, answers_in};
use crate::corpus::{Entry, entries};
use crate::log::Logged;
use crate::proxy::Proxy;

/// How a proxy is configured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manners {
    /// As it is, where nothing has to be set.
    Strict,
    /// It passes on what it can.
    Lenient,
}

/// A server behind a proxy.
pub(crate) struct Behind {
    proxy: Proxy,
    server: Server,
    /// A direct connection that is there from the beginning.
    watcher: Client,
    sockets_before: usize,
    requests_before: u64,
    _data: Data,
}

impl Behind {
    /// Sends the corpus through the proxy that `start` starts in front of a server, and checks all that must hold.
    /// `stop` is the signal that ends the proxy in its orderly way.
    pub(crate) fn run(name: &str, stop: Signal, start: impl FnOnce(SocketAddr) -> Option<Proxy>) {
        let data = Data::new();
        // A proxy that waits for a client without end is not waited for as long. The watcher is silent meanwhile.
        let server = Start::on(&data)
            .with("STEMEDB_HEAD_TIMEOUT_S", "1")
            .with("STEMEDB_IDLE_TIMEOUT_S", "3600")
            .serve();
        let mut watcher = server.client();
        let requests_before = requests_counted(&mut watcher);
        let sockets_before = process::sockets(server.pid());
        let Some(proxy) = start(server.address()) else { return };
        let behind = Behind { proxy, server, watcher, sockets_before, requests_before, _data: data };
        let entries = entries();
        for entry in &entries {
            behind.send(entry);
            behind.next_client_gets_its_own(&entry.name);
        }
        behind.check(name, stop, &entries);
    }

    /// Sends an entry; what comes back must be answers to requests of this connection.
    fn send(&self, entry: &Entry) {
        let received = Sent::to(&self.proxy.socket()).send_and_read(&entry.bytes);
        for answer in answers_in(&received) {
            assert_own(&answer, &entry.name);
        }
    }

    /// A client without guile stores a claim and asks for it.
    fn next_client_gets_its_own(&self, name: &str) {
        let path = format!("good/{name}");
        let claim = TestClaim::new(path.clone(), "is", name).json();
        let stored = self.exchange("POST", &format!("/v1/assert?good={name}"), claim.as_bytes(), name);
        assert_eq!(stored.status, 201, "after {name}: {stored:?}");
        let found = self.exchange("GET", &format!("/v1/query?concept_path={path}"), b"", name);
        let found: Value = serde_json::from_slice(&found.body).expect("the answer to a query is JSON");
        assert_eq!(
            (&found["count"], &found["assertions"][0]["value"]),
            (&1.into(), &name.into()),
            "after {name}: {found}"
        );
    }

    fn exchange(&self, method: &str, target: &str, body: &[u8], name: &str) -> Answer {
        let request = http::request_with(method, target, "Connection: close\r\n", body);
        let received = Sent::to(&self.proxy.good_socket()).send_and_read(&request);
        let mut answers = answers_in(&received);
        assert_eq!(answers.len(), 1, "after {name}: {answers:?}");
        let answer = answers.remove(0);
        assert_own(&answer, name);
        assert!(answer.field("x-request-id").is_some(), "after {name} the proxy itself answers: {answer:?}");
        answer
    }

    /// Ends the proxy and holds what the server has seen against what the proxy says it has forwarded.
    fn check(self, name: &str, stop: Signal, entries: &[Entry]) {
        let Behind { proxy, server, mut watcher, sockets_before, requests_before, _data } = self;
        let log: Vec<Logged> = proxy.stop(stop).lines().filter_map(Logged::read).collect();
        // What the proxy has left half said is over when its connections are.
        while process::sockets(server.pid()) > sockets_before {
            std::thread::yield_now();
        }
        // The count before had not yet counted itself.
        let seen = requests_counted(&mut watcher) - requests_before - 1;
        let forwarded = log.iter().filter(|logged| logged.is_forwarded).count() as u64;
        let answered = log.iter().filter(|logged| logged.answered.is_some()).count() as u64;
        println!("{name}: {} requests, {forwarded} forwarded, {seen} seen, {answered} answered", log.len());
        assert_eq!(seen, forwarded, "requests that were seen, and forwarded");
        assert!(answered <= seen, "{answered} answers to {seen} requests");
        check_answers(&log);

        let meant: BTreeSet<&str> = log
            .iter()
            .filter(|logged| logged.is_forwarded && logged.status == 201)
            .filter_map(Logged::canary)
            .collect();
        let rows = listing::all(&mut watcher, "canary/*");
        let stored: BTreeSet<&str> = rows
            .iter()
            .map(|row| row.concept_path.strip_prefix("canary/").expect("it was asked for"))
            .collect();
        assert_eq!(stored, meant, "what is stored is what was forwarded");
        let reused = server.metric("stemedb_core_connections_accepted_total{core=\"0\"}");
        assert!(reused < entries.len() as f64 * 1.5, "{reused} connections: clients did not share them");
        tell(name, entries, &log);
        drop(watcher);
        server.stop();
    }
}

/// Lists what became of each entry, for the documentation.
fn tell(name: &str, entries: &[Entry], log: &[Logged]) {
    let mut rest = log;
    for entry in entries {
        let good = format!("/v1/assert?good={}", entry.name);
        let end = rest.iter().position(|logged| logged.target == good).unwrap_or(rest.len());
        let outcomes: Vec<String> = rest[..end].iter().map(Logged::outcome).collect();
        println!("{name} | {} | {}", entry.name, outcomes.join(", "));
        // The good client's question follows its claim.
        rest = &rest[(end + 2).min(rest.len())..];
    }
}

/// The answer must be one of the proxy itself, or one of the server to the request that the proxy says it is to.
fn assert_own(answer: &Answer, name: &str) {
    if answer.status >= 200
        && let Some(id) = answer.field("x-request-id")
        && refusal(id, answer.status).is_none()
    {
        assert_eq!(answer.field("x-proxy-id"), Some(id), "{name}: the answer to another request: {answer:?}");
    }
}

/// Every answer must be to the request that the proxy takes it for: it bears that request's id, or one that the server made
/// for a head in which it could find none. Such an answer ends its connection, of which the proxy has one at a time: so
/// their connections come one after the other, and no more requests were there than the proxy had forwarded since the last.
fn check_answers(log: &[Logged]) {
    let (mut connection_before, mut forwarded) = (0, 0);
    for logged in log.iter().filter(|logged| logged.is_forwarded) {
        forwarded += 1;
        let Some(answered) = logged.answered.as_ref().filter(|answered| **answered != logged.id) else {
            continue;
        };
        let (connection, request) = refusal(answered, logged.status)
            .unwrap_or_else(|| panic!("the answer to another request was taken for that to {logged:?}"));
        assert!(connection > connection_before, "connection {connection_before} went on after {logged:?}");
        assert!(request < forwarded, "{request} requests before this of {forwarded} forwarded: {logged:?}");
        (connection_before, forwarded) = (connection, 0);
    }
}

/// The connection and the request that the server names in an id which it makes when it refuses a head in which it could find
/// none.
fn refusal(id: &str, status: u16) -> Option<(u64, u64)> {
    let (connection, request) = id.split_once('-').filter(|(connection, _)| connection.len() == 16)?;
    let made = (u64::from_str_radix(connection, 16).ok()?, request.parse().ok()?);
    (status >= 400).then_some(made)
}

/// How many requests the server has answered since it was started.
fn requests_counted(watcher: &mut Client) -> u64 {
    let response = watcher.get("/metrics").expect("a running server answers");
    let text = String::from_utf8(response.body).expect("metrics are text");
    let samples = text.lines().filter(|line| line.starts_with("stemedb_http_requests_total{"));
    samples
        .map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a count"))
        .sum()
}
