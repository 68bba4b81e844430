//! RFC 9112, section 9: connections. RFC 9110, section 7.8.

use stemedb_net::http::Timeout;

use super::{answers_in, assert_read, assert_refused, chunked, echo, post};
use crate::script::{Manners, Script};

const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

//= RFC 9112 section 9.3
//# If the received protocol is HTTP/1.1 (or later), the connection will persist after the current response
#[test]
fn a_connection_persists_as_its_version_says() {
    for (request, persists) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: closed, xclose\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, CLOSE\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: b, close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", false),
    ] {
        let (mut script, answers) = echo(request);
        assert_eq!(script.connection.take_shutdown(), !persists, "{request:?}");
        let is_http_1_0 = request.contains("HTTP/1.0");
        let said = if !persists { Some("close") } else { is_http_1_0.then_some("keep-alive") };
        assert_eq!(answers[0].field("connection"), said, "{request:?}");
    }
}

//= RFC 9112 section 9.3
//# A server MUST read the entire request message body or close the connection after sending its response; otherwise, the
//# remaining data on a persistent connection would be misinterpreted as the next request.
#[test]
fn a_body_that_nobody_wants_is_read_or_the_connection_closes() {
    let inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let of_length = post(&format!("Content-Length: {}\r\n", inner.len()), inner);
    let in_chunks = chunked(&format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()));
    for request in [of_length, in_chunks] {
        let mut script = Script::new(Manners::Hasty);
        script.receive(request + GET);
        assert_eq!(script.paths(), ["POST /a", "GET /a"]);
    }
    let too_long = post("Content-Length: 10000000\r\n", inner);
    let without_end = chunked(&format!("{:x}\r\n{inner}", inner.len()));
    for request in [too_long, without_end] {
        let mut script = Script::new(Manners::Hasty);
        script.receive(request).receive(inner.repeat(1000));
        assert_eq!(script.paths(), ["POST /a"]);
        assert!(script.sent_text().contains("\r\nconnection: close\r\n"));
        assert!(script.connection.take_shutdown());
    }
}

//= RFC 9112 section 9.3.2
//# it MUST send the corresponding responses in the same order that the requests were received.
#[test]
fn responses_come_in_the_order_of_the_requests() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET.repeat(5));
    for index in [4, 2, 0, 3, 1] {
        assert!(script.respond(index, &index.to_string()));
    }
    let bodies: Vec<String> = answers_in(script.sent_text()).into_iter().map(|answer| answer.body).collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
}

//= RFC 9112 section 9.5
//# A client or server that wishes to time out SHOULD issue a graceful close on the connection.
#[test]
fn a_timeout_is_a_graceful_close() {
    let mut idle = Script::new(Manners::Echo);
    assert_eq!(idle.connection.tick(75_000), Some(Timeout::Idle));
    assert!(idle.connection.should_close());
    let mut half = Script::new(Manners::Echo);
    half.receive("GET /a");
    assert_eq!(half.connection.tick(10_000), Some(Timeout::Head));
    half.run();
    let answers = answers_in(half.sent_text());
    assert_eq!((answers[0].status, answers[0].field("connection")), (408, Some("close")));
    assert!(half.connection.take_shutdown() && !half.connection.should_close());
}

//= RFC 9112 section 9.6
//# A server that receives a "close" connection option MUST initiate closure of the connection (see below) after it sends
//# the final response to the request that contained the "close" connection option. The server SHOULD send a "close"
//# connection option in its final response on that connection. The server MUST NOT process any further requests received
//# on that connection.
#[test]
fn a_request_to_close_is_the_last() {
    for (version, fields) in [("1.1", "Connection: close\r\n"), ("1.0", "Connection: close\r\n"), ("1.0", "")]
    {
        let mut script = Script::new(Manners::Silent);
        script.receive(format!("GET /last HTTP/{version}\r\nHost: x\r\n{fields}\r\n{GET}"));
        script.receive(GET);
        assert_eq!(script.paths(), ["GET /last"]);
        assert!(!script.connection.take_shutdown());
        script.respond(0, "");
        let answers = answers_in(script.sent_text());
        assert_eq!((answers.len(), answers[0].field("connection")), (1, Some("close")));
        assert!(script.connection.take_shutdown());
    }
}

//= RFC 9112 section 9.6
//# A server that sends a "close" connection option MUST initiate closure of the connection (see below) after it sends the
//# response containing the "close" connection option. The server MUST NOT process any further requests received on that
//# connection.
#[test]
fn a_response_that_says_close_is_the_last() {
    // `assert_refused` checks that the response says so, that the connection is shut down, and that nothing more is read.
    assert_refused(format!("nonsense\r\n\r\n{GET}"), 400);
    let mut drained = Script::new(Manners::Silent);
    drained.receive(GET);
    drained.connection.drain();
    drained.receive(GET).respond(0, "");
    assert_eq!(drained.paths().len(), 1);
    assert_eq!(answers_in(drained.sent_text())[0].field("connection"), Some("close"));
    assert!(drained.connection.take_shutdown());
}

//= RFC 9110 section 7.6.1
//# Connection options are case-insensitive.
#[test]
fn options_of_a_connection_are_read_in_any_case() {
    for option in ["close", "CLOSE", "Close"] {
        let (mut script, _) = echo(post(&format!("Connection: {option}\r\n"), ""));
        assert!(script.connection.take_shutdown(), "{option}");
    }
}

//= RFC 9110 section 7.8
//# A server that receives an Upgrade header field in an HTTP/1.0 request MUST ignore that Upgrade field.
//
//= RFC 9110 section 7.8
//# A server MAY ignore a received Upgrade header field if it wishes to continue using the current protocol on that
//# connection.
#[test]
fn an_upgrade_is_ignored() {
    for (version, protocol) in
        [("1.0", "websocket"), ("1.1", "h2c"), ("1.1", "HTTP/2.0, websocket"), ("1.1", "TLS/1.2")]
    {
        let request = format!(
            "GET /a HTTP/{version}\r\nHost: x\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\n\
             Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n{GET}"
        );
        assert_read(request, &[("GET /a", ""), ("GET /a", "")]);
    }
}
