//! RFC 9110, section 10.1.1: `Expect: 100-continue`.

use super::{answers_in, assert_read, assert_refused, echo, post};
use crate::script::{Manners, Script};

const EXPECTING: &str = "Expect: 100-continue\r\nContent-Length: 5\r\n";

//= RFC 9110 section 10.1.1
//# Upon receiving an HTTP/1.1 (or later) request that has a method, target URI, and complete header section that contains a
//# 100-continue expectation and an indication that request content will follow, an origin server MUST send either:
//
//= RFC 9110 section 10.1.1
//# The origin server MUST NOT wait for the content before sending the 100 (Continue) response.
#[test]
fn leave_to_send_is_given_or_refused_at_once() {
    let mut wanted = Script::new(Manners::Echo);
    wanted.receive(post(EXPECTING, ""));
    assert_eq!(wanted.sent_text(), "HTTP/1.1 100 Continue\r\n\r\n");
    let mut unwanted = Script::new(Manners::Hasty);
    unwanted.receive(post(EXPECTING, ""));
    assert_eq!(answers_in(unwanted.sent_text())[0].status, 200);
    assert_refused(post("Expect: 100-continue\r\nContent-Length: 2000000\r\n", ""), 413);
    assert_refused(post("Expect: 100-continue\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n", ""), 415);
}

//= RFC 9110 section 10.1.1
//# A server that sends a 100 (Continue) response MUST ultimately send a final status code, once it receives and processes
//# the request content, unless the connection is closed prematurely.
#[test]
fn a_final_response_follows_the_leave_to_send() {
    let mut script = Script::new(Manners::Echo);
    script.receive(post(EXPECTING, "")).receive("hello");
    let answers = answers_in(script.sent_text());
    assert_eq!((answers[0].status, answers[1].status, &*answers[1].body), (100, 200, "hello"));
}

//= RFC 9110 section 10.1.1
//# A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation.
//
//= RFC 9110 section 15.2
//# Since HTTP/1.0 did not define any 1xx status codes, a server MUST NOT send a 1xx response to an HTTP/1.0 client.
#[test]
fn an_http_1_0_client_gets_no_interim_response() {
    let mut script = Script::new(Manners::Echo);
    script.receive(format!("POST /a HTTP/1.0\r\n{EXPECTING}\r\n"));
    assert_eq!(script.sent_text(), "");
    script.receive("hello");
    assert_eq!(answers_in(script.sent_text())[0].status, 200);
}

//= RFC 9110 section 10.1.1
//# A server that receives an Expect field value containing a member other than 100-continue MAY respond with a 417
//# (Expectation Failed) status code to indicate that the unexpected expectation cannot be met.
#[test]
fn another_expectation_is_answered_with_417() {
    for expectation in ["200-ok", "100-continue, x", "100-continue;a", "x=y", "100 -continue"] {
        assert_refused(post(&format!("Expect: {expectation}\r\nContent-Length: 5\r\n"), "hello"), 417);
    }
    assert_refused(post("Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n", "hello"), 417);
}

//= RFC 9110 section 5.6.1.2
//# A recipient MUST parse and ignore a reasonable number of empty list elements
#[test]
fn empty_elements_of_an_expectation_are_ignored() {
    for expectation in ["100-continue,", ",100-continue", ", 100-Continue ,,", "100-continue, 100-continue"] {
        let mut script = Script::new(Manners::Echo);
        script.receive(post(&format!("Expect: {expectation}\r\nContent-Length: 5\r\n"), ""));
        assert_eq!(script.sent_text(), "HTTP/1.1 100 Continue\r\n\r\n", "{expectation}");
    }
    for nothing in ["", ",", " , ,"] {
        assert_read(post(&format!("Expect: {nothing}\r\nContent-Length: 1\r\n"), "a"), &[("POST /a", "a")]);
    }
    assert_refused(post("Expect: 100-continue,,x\r\nContent-Length: 5\r\n", "hello"), 417);
}

//= RFC 9110 section 10.1.1
//# A server that responds with a final status code before reading the entire request content SHOULD indicate whether it
//# intends to close the connection (e.g., see Section 9.6 of [HTTP/1.1]) or continue reading the request content.
#[test]
fn an_early_response_says_whether_the_body_is_still_read() {
    let early = |fields: &str| {
        let mut script = Script::new(Manners::Hasty);
        script.receive(post(fields, ""));
        let said = answers_in(script.sent_text())[0].field("connection").map(str::to_owned);
        (said, script.connection.take_shutdown())
    };
    assert_eq!(early("Content-Length: 5\r\n"), (None, false));
    // Nobody knows whether the rest is short enough to be read.
    assert_eq!(early("Transfer-Encoding: chunked\r\n"), (Some("close".to_owned()), true));
    // Who waits for leave may send the body or not: what follows could be read in two ways.
    assert_eq!(early(EXPECTING), (Some("close".to_owned()), true));
}

//= RFC 9110 section 15.2
//# A 1xx response is terminated by the end of the header section; it cannot contain content or trailers.
//
//= RFC 9110 section 8.6
//# A server MUST NOT send a Content-Length header field in any response with a status code of 1xx (Informational) or 204 (No
//# Content).
//
//= RFC 9112 section 6.1
//# A server MUST NOT send a Transfer-Encoding header field in any response with a status code of 1xx (Informational) or 204
//# (No Content).
#[test]
fn an_interim_response_has_no_length() {
    let (_, answers) = echo(post(EXPECTING, "hello"));
    let [interim, last] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((interim.status, interim.fields.len(), &*interim.body), (100, 0, ""));
    assert_eq!((last.status, &*last.body), (200, "hello"));
}
