//! What responses look like on the wire.

use stemedb_net::http::{ResponseHead, Status};

use crate::script::{Manners, Script, text_head};

fn silent(request: &str) -> Script {
    let mut script = Script::new(Manners::Silent);
    script.receive(request);
    script
}

#[test]
fn a_response_says_what_it_was_told_and_what_it_must() {
    let mut script = silent("POST /v1/assert HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = ResponseHead {
        retry_after_s: Some(7),
        fields: &[("allow", "GET, HEAD"), ("cache-control", "no-store")],
        ..ResponseHead::json(Status::ServiceUnavailable)
    };
    assert!(script.connection.respond(script.requests[0], &head, b"{}"));
    script.run();
    assert_eq!(
        script.sent_text(),
        "HTTP/1.1 503 Service Unavailable\r\nserver: stemedb\r\ncontent-type: application/json\r\n\
         content-length: 2\r\nx-request-id: 000000000000abcd-0\r\nretry-after: 7\r\nallow: GET, HEAD\r\n\
         cache-control: no-store\r\n\r\n{}"
    );
}

#[test]
fn a_client_names_its_request_if_the_name_is_sane() {
    let name_of = |fields: &str| {
        let mut script = silent(&format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        script.respond(0, "");
        let (_, rest) = script.sent_text().split_once("x-request-id: ").expect("every response has a name");
        rest.split_once("\r\n").expect("the name is a line").0.to_owned()
    };
    let longest = "a".repeat(64);
    for sane in ["a", "Abc-1_2.3", "0", longest.as_str()] {
        assert_eq!(name_of(&format!("X-Request-ID: {sane}\r\n")), sane);
    }
    for insane in ["", "a b", "a/b", "a,b", "\"a\"", "a\u{e4}", &"a".repeat(65), "a:b", "a\tb"] {
        assert_eq!(name_of(&format!("X-Request-ID: {insane}\r\n")), "000000000000abcd-0", "{insane:?}");
    }
    assert_eq!(name_of("X-Request-ID: a\r\nX-Request-ID: b\r\n"), "000000000000abcd-0");
}

#[test]
fn a_head_request_is_answered_with_the_length_but_without_the_body() {
    let mut script = silent(
        "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let large = vec![b'x'; 100_000];
    assert!(script.connection.respond_owned(script.requests[1], &text_head(), large));
    script.respond(0, "hello");
    script.respond(2, "there");
    let responses: Vec<_> = script.sent_text().split_inclusive("\r\n\r\n").collect();
    assert_eq!(responses.len(), 4, "three heads and one body");
    assert!(responses[0].contains("\r\ncontent-length: 5\r\n"));
    assert!(responses[1].contains("\r\ncontent-length: 100000\r\n"));
    assert_eq!(responses[3], "there");
}

#[test]
fn every_status_has_its_line() {
    let all = [
        (Status::Ok, "200 OK"),
        (Status::Created, "201 Created"),
        (Status::BadRequest, "400 Bad Request"),
        (Status::Unauthorized, "401 Unauthorized"),
        (Status::Forbidden, "403 Forbidden"),
        (Status::NotFound, "404 Not Found"),
        (Status::MethodNotAllowed, "405 Method Not Allowed"),
        (Status::RequestTimeout, "408 Request Timeout"),
        (Status::Conflict, "409 Conflict"),
        (Status::LengthRequired, "411 Length Required"),
        (Status::PreconditionFailed, "412 Precondition Failed"),
        (Status::ContentTooLarge, "413 Content Too Large"),
        (Status::UriTooLong, "414 URI Too Long"),
        (Status::UnsupportedMediaType, "415 Unsupported Media Type"),
        (Status::ExpectationFailed, "417 Expectation Failed"),
        (Status::MisdirectedRequest, "421 Misdirected Request"),
        (Status::TooManyRequests, "429 Too Many Requests"),
        (Status::RequestHeaderFieldsTooLarge, "431 Request Header Fields Too Large"),
        (Status::InternalServerError, "500 Internal Server Error"),
        (Status::NotImplemented, "501 Not Implemented"),
        (Status::ServiceUnavailable, "503 Service Unavailable"),
        (Status::HttpVersionNotSupported, "505 HTTP Version Not Supported"),
    ];
    for (status, text) in all {
        let mut script = silent("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(script.connection.respond(script.requests[0], &ResponseHead::json(status), b""));
        script.run();
        assert!(script.sent_text().starts_with(&format!("HTTP/1.1 {text}\r\n")), "{text}");
        assert!(text.starts_with(&status.code().to_string()), "{text}");
    }
}

#[test]
fn an_http_1_0_client_is_told_when_the_connection_persists() {
    let mut script = silent("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n");
    script.respond(0, "");
    assert!(script.sent_text().contains("\r\nconnection: keep-alive\r\n"), "{}", script.sent_text());
    assert!(!script.connection.take_shutdown());
    script.sent.clear();
    script.respond(1, "");
    assert!(script.sent_text().contains("\r\nconnection: close\r\n"), "{}", script.sent_text());
    assert!(script.connection.take_shutdown());
}
