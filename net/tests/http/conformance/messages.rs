//! RFC 9112, section 2 and 3: messages and request lines. RFC 9110, section 2.

use super::{assert_read, assert_refused, echo};
use crate::script::{Happened, Manners, Script};

//= RFC 9112 section 2.2
//# A recipient MUST parse an HTTP message as a sequence of octets in an encoding that is a superset of US-ASCII
#[test]
fn a_message_is_octets_not_characters() {
    let (script, answers) = echo(b"GET / HTTP/1.1\r\nHost: x\r\nA: \xe5\x98\x8a\xff\xc4\r\n\r\n");
    assert_eq!((script.rejected(), answers.len()), (None, 1));
    let Some(Happened::Head { fields, .. }) = script.happened.first() else { panic!("no head") };
    assert_eq!(fields[1].1, b"\xe5\x98\x8a\xff\xc4");
}

//= RFC 9112 section 2.2
//# A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP before
//# processing the element or forwarding the message.
#[test]
fn a_bare_cr_is_invalid() {
    for request in [
        "GET /\r HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA\r: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\r\n",
        "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_refused(request, 400);
    }
}

//= RFC 9112 section 2.2
//# A recipient that receives whitespace between the start-line and the first header field MUST either reject the
//# message as invalid or consume each whitespace-preceded line without further processing of it
#[test]
fn white_space_before_the_first_field_is_refused() {
    for line in [" Host: y\r\n", "\tx\r\n", " \r\n"] {
        assert_refused(format!("GET / HTTP/1.1\r\n{line}Host: x\r\n\r\n"), 400);
    }
}

//= RFC 9112 section 2.2
//# a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF) received
//# prior to the request-line.
#[test]
fn an_empty_line_before_a_request_is_ignored() {
    let request = "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_read(request.repeat(2), &[("GET /a", ""), ("GET /a", "")]);
}

//= RFC 9112 section 2.2
//# receives a sequence of octets that does not match the HTTP-message grammar aside from the robustness exceptions listed
//# above, the server SHOULD respond with a 400 (Bad Request) response and close the connection.
#[test]
fn what_is_no_message_is_answered_with_400_and_a_close() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n",
    ] {
        assert_refused(bytes, 400);
    }
}

//= RFC 9112 section 3
//# A server that receives a method longer than any that it implements SHOULD respond with a 501 (Not Implemented) status
//# code.
#[test]
fn a_long_method_is_answered_with_501() {
    assert_refused(format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "M".repeat(100)), 501);
    assert_refused("M".repeat(100_000), 501);
}

//= RFC 9112 section 3
//# A server that receives a request-target longer than any URI it wishes to parse MUST respond with a 414 (URI Too Long)
//# status code
#[test]
fn a_long_target_is_answered_with_414() {
    for bytes in [8_193, 16_384, 100_000] {
        assert_refused(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - 1)), 414);
        assert_refused(format!("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - 2)), 414);
    }
}

//= RFC 9112 section 3
//# It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line lengths of 8000 octets.
#[test]
fn a_request_line_of_8000_octets_is_read() {
    let path = format!("/{}", "a".repeat(8_000 - "GET / HTTP/1.1".len()));
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(request.find('\r'), Some(8_000));
    assert_read(request, &[(&format!("GET {path}"), "")]);
}

//= RFC 9112 section 3.2
//# Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request) error or a 301 (Moved
//# Permanently) redirect with the request-target properly encoded. A recipient SHOULD NOT attempt to autocorrect and then
//# process the request without a redirect
#[test]
fn an_invalid_request_line_is_not_corrected() {
    for line in [
        "GET /a b HTTP/1.1",
        "GET  /a HTTP/1.1",
        "GET /a  HTTP/1.1",
        "GET\t/a HTTP/1.1",
        "GET /a HTTP/1.1 ",
        " GET /a HTTP/1.1",
        "GET /a\u{b}b HTTP/1.1",
        "GET /a\u{e9} HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /a",
        "GET",
        "GET /a HTTP/1",
        "GET /a http/1.1",
        "GET /a HTTP/01.1",
    ] {
        assert_refused(format!("{line}\r\nHost: x\r\n\r\n"), 400);
    }
}

//= RFC 9110 section 2.2
//# A sender MUST NOT generate protocol elements that do not match the grammar defined by the corresponding ABNF rules.
#[test]
fn what_is_sent_back_of_a_request_cannot_break_the_grammar() {
    for id in ["a\tb", "a:b", "\"", "a b", "\u{e4}", "%0d%0aA: b"] {
        // Parsed without lenience by `echo`.
        let (_, answers) = echo(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: {id}\r\n\r\n"));
        assert_eq!(answers[0].field("x-request-id"), Some("000000000000abcd-0"), "{id:?}");
        let (_, answers) = echo(format!("GET /{id} HTTP/1.1\r\nX-Request-Id: {id}\r\n\r\n"));
        assert_eq!(answers.len(), 1, "{id:?}");
    }
}

//= RFC 9110 section 2.3
//# At a minimum, a recipient MUST be able to parse and process protocol element lengths that are at least as long as the
//# values that it generates for those same protocol elements in other messages.
#[test]
fn what_the_server_generates_it_accepts() {
    let (_, answers) = echo("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let id = answers[0].field("x-request-id").expect("every response has one").to_owned();
    let (_, answers) = echo(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: {id}\r\n\r\n"));
    assert_eq!(answers[0].field("x-request-id"), Some(id.as_str()));
}

//= RFC 9110 section 5.3
//# A server MUST NOT apply a request to the target resource until it receives the entire request header section, since
//# later header field lines might include conditionals, authentication credentials, or deliberately misleading duplicate
//# header fields that could impact request processing.
#[test]
fn nothing_is_given_out_before_the_head_is_complete() {
    let head = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let mut script = Script::new(Manners::Echo);
    for byte in head.bytes() {
        assert_eq!((&script.happened[..], script.sent_text()), (&[][..], ""));
        script.receive([byte]);
    }
    assert_eq!(script.happened.len(), 2);
}
