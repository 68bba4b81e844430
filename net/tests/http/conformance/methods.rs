//! RFC 9110, sections 8, 9, 13 and 14: methods, and fields that change what they do.

use super::{assert_read, assert_refused, chunked, echo, post};
use crate::script::{Manners, Script};

//= RFC 9110 section 9.1
//# All general-purpose servers MUST support the methods GET and HEAD.
#[test]
fn get_and_head_are_given_out() {
    for method in ["GET", "HEAD"] {
        let mut script = Script::new(Manners::Echo);
        script.receive(format!("{method} /a HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(script.paths(), [format!("{method} /a")]);
    }
}

//= RFC 9110 section 9.1
//# The method token is case-sensitive
//
//= RFC 9110 section 9.1
//# An origin server that receives a request method that is unrecognized or not implemented SHOULD respond with the 501 (Not
//# Implemented) status code.
#[test]
fn an_unknown_method_is_answered_with_501() {
    for method in ["get", "Get", "GETx", "PROPFIND", "PURGE", "X", "!"] {
        assert_refused(format!("{method} /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"), 501);
    }
}

//= RFC 9110 section 9.3.2
//# The HEAD method is identical to GET except that the server MUST NOT send content in the response.
//
//= RFC 9110 section 8.6
//# a server MUST NOT send Content-Length in such a response unless its field value equals the decimal number of octets that
//# would have been sent in the content of a response if the same request had used the GET method.
#[test]
fn a_response_to_head_has_the_length_of_that_to_get_and_no_content() {
    for length in [0, 1, 100, 40_000] {
        let text = "x".repeat(length);
        let heads = ["HEAD", "GET"].map(|method| {
            let mut script = Script::new(Manners::Silent);
            script.receive(format!("{method} /a HTTP/1.1\r\nHost: x\r\n\r\n"));
            script.respond(0, &text);
            let (head, body) = script.sent_text().split_once("\r\n\r\n").expect("a response has a head");
            assert_eq!(body.len(), if method == "HEAD" { 0 } else { length });
            head.to_owned()
        });
        assert_eq!(heads[0], heads[1]);
    }
    // A refusal too, of what can be seen to be a HEAD.
    let (script, _) = echo("HEAD /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert!(script.sent_text().ends_with("\r\n\r\n"));
    let mut refused = Script::new(Manners::Echo);
    refused.receive("HEAD /a HTTP/1.1\r\nA b\r\n\r\n");
    assert!(refused.sent_text().ends_with("\r\n\r\n") && refused.rejected().is_some());
}

//= RFC 9110 section 9.3.6
//# A server MUST reject a CONNECT request that targets an empty or invalid port number, typically by responding with a 400
//# (Bad Request) status code.
#[test]
fn connect_is_refused_whatever_it_targets() {
    for target in ["x:443", "x:", "x", "x:99999", "*", "/", "http://x/", "x:80:80"] {
        assert_refused(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n"), 501);
    }
}

//= RFC 9110 section 9.3.1
//# content received in a GET request has no generally defined semantics, cannot alter the meaning or target of the request
#[test]
fn the_content_of_a_get_is_content() {
    let inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for method in ["GET", "DELETE", "OPTIONS", "TRACE"] {
        let request =
            format!("{method} /a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
        assert_read(request, &[(&format!("{method} /a"), inner)]);
    }
}

//= RFC 9110 section 8.4
//# An origin server MAY respond with a status code of 415 (Unsupported Media Type) if a representation in the request
//# message has a content coding that is not acceptable.
//
//= RFC 9110 section 15.5.16
//# If the problem was caused by an unsupported content coding, the Accept-Encoding response header field (Section 12.5.3)
//# ought to be used to indicate which (if any) content codings would have been accepted in the request.
#[test]
fn a_content_coding_is_answered_with_415() {
    for coding in ["gzip", "x-gzip", "br", "zstd", "identity, gzip", "gzip\r\nContent-Encoding: identity"] {
        let fields = format!("Content-Encoding: {coding}\r\nContent-Length: 1\r\n");
        assert_refused(post(&fields, "a"), 415);
        let (_, answers) = echo(post(&fields, "a"));
        assert_eq!(answers[0].field("accept-encoding"), Some("identity"));
    }
    assert_read(post("Content-Encoding: Identity\r\nContent-Length: 1\r\n", "a"), &[("POST /a", "a")]);
}

//= RFC 9110 section 8.7
//# an origin server MUST NOT use such context information to alter the request semantics.
#[test]
fn a_content_location_changes_nothing() {
    assert_read(post("Content-Location: /b\r\nContent-Length: 1\r\n", "a"), &[("POST /a", "a")]);
}

//= RFC 9110 section 13.1.3
//# A recipient MUST ignore the If-Modified-Since header field if the resource does not have a modification date available.
//
//= RFC 9110 section 13.1.4
//# A recipient MUST ignore the If-Unmodified-Since header field if the resource does not have a modification date available.
//
//= RFC 9110 section 13.1.5
//# An origin server MUST ignore an If-Range header field received in a request for a target resource that does not support
//# Range requests.
//
//= RFC 9110 section 14.2
//# A server MUST ignore a Range header field received with a request method that is unrecognized or for which range handling
//# is not defined.
//
//= RFC 9110 section 14.4
//# A server MUST ignore a Content-Range header field received in a request with a method for which Content-Range support is
//# not defined.
#[test]
fn dates_and_ranges_are_ignored() {
    for field in [
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        "If-Modified-Since: yesterday",
        "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        "If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT",
        "If-Range: \"a\"",
        "If-None-Match: \"a\"",
        "Range: bytes=0-0",
        "Range: lines=1-",
        "Content-Range: bytes 0-0/1",
    ] {
        let request = format!("GET /a HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
        assert_read(
            request + &post(&format!("{field}\r\nContent-Length: 1\r\n"), "a"),
            &[("GET /a", ""), ("POST /a", "a")],
        );
    }
}

//= RFC 9110 section 3.3
//# a server MUST NOT assume that two requests on the same connection are from the same user agent unless the connection is
//# secured and specific to that agent.
#[test]
fn nothing_of_a_request_is_there_in_the_next() {
    let first = "POST /a HTTP/1.1\r\nHost: x\r\nX-Agent-Id: me\r\nX-Request-Id: mine\r\nExpect: 100-continue\r\n\
                 If-Match: *\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\na";
    let (script, answers) =
        echo(format!("{first}GET /b?c HTTP/1.1\r\nHost: x\r\n\r\n{}", chunked("0\r\n\r\n")));
    assert_eq!(script.paths(), ["POST /a", "GET /b", "POST /a"]);
    assert_eq!(answers[1].field("x-request-id"), Some("mine"));
    assert_eq!(answers[2].field("x-request-id"), Some("000000000000abcd-1"));
    assert_eq!(answers[3].field("x-request-id"), Some("000000000000abcd-2"));
}
