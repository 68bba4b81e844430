//! What a request is read as.

use crate::script::{Happened, Manners, Script, text_response};
use stemedb_net::http::{BodyMode, Connection, Event, Limits, Repeated, Version};

fn read(request: impl AsRef<[u8]>) -> Script {
    let mut script = Script::new(Manners::Echo);
    script.receive(request);
    script
}

#[test]
fn a_get_is_read_and_answered() {
    let script =
        read("GET /v1/query?concept_path=a%2Fb&limit=1 HTTP/1.1\r\nHost: x\r\nAccept:\t*/* \r\n\r\n");
    let expected = [
        Happened::Head {
            method: "GET".to_owned(),
            path: "/v1/query".to_owned(),
            query: "concept_path=a%2Fb&limit=1".to_owned(),
            fields: vec![("Host".to_owned(), b"x".to_vec()), ("Accept".to_owned(), b"*/*".to_vec())],
        },
        Happened::Body(Vec::new()),
    ];
    assert_eq!(script.happened, expected);
    assert_eq!(script.sent_text(), text_response(0, ""));
    assert!(!script.connection.should_close());
}

#[test]
fn a_body_of_a_declared_length_ends_there() {
    let script = read(
        "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nhost: x\r\n\r\n",
    );
    assert_eq!(script.paths(), ["POST /a", "GET /b"]);
    assert_eq!(script.bodies(), ["hello", ""]);
    assert_eq!(script.sent_text(), text_response(0, "hello") + &text_response(1, ""));
}

#[test]
fn a_chunked_body_is_put_together() {
    let script = read(
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nhello\r\n7\r\n, world\r\n0\r\nTrailer: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(script.paths(), ["POST /a", "GET /b"]);
    assert_eq!(script.bodies(), ["hello, world", ""]);
}

#[test]
fn a_post_without_length_has_an_empty_body() {
    let script = read("POST /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(script.paths(), ["POST /a", "GET /b"]);
    assert_eq!(script.bodies(), ["", ""]);
}

#[test]
fn every_known_method_is_given_out() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let script = read(format!("{method} /pot HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(script.paths(), [format!("{method} /pot")]);
    }
}

#[test]
fn a_path_is_decoded() {
    let script = read("GET /caf%C3%A9/a%20b/%2e HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(script.paths(), ["GET /café/a b/."]);
}

#[test]
fn an_absolute_target_is_read_as_its_path() {
    let script = read("GET http://example.org:80/v1/feed?limit=1 HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(script.paths(), ["GET /v1/feed"]);
    let script = read("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(script.paths(), ["OPTIONS *"]);
}

#[test]
fn values_may_have_bytes_beyond_ascii_and_tabs() {
    let script = read(b"GET / HTTP/1.1\r\nHost: x\r\nA: \xff\t\xfe\r\nEmpty:\r\nB:c\r\n\r\n");
    let Some(Happened::Head { fields, .. }) = script.happened.first() else { panic!("no head") };
    assert_eq!(
        fields[1..],
        [
            ("A".to_owned(), b"\xff\t\xfe".to_vec()),
            ("Empty".to_owned(), Vec::new()),
            ("B".to_owned(), b"c".to_vec())
        ]
    );
}

#[test]
fn one_empty_line_before_each_request_is_passed_over() {
    let script = read("\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n\r\n");
    assert_eq!(script.paths(), ["GET /a", "GET /b"]);
    assert_eq!(script.rejected(), None);
}

#[test]
fn a_head_tells_what_it_says() {
    let mut connection = Connection::new(Limits::default().into(), 0, 0);
    connection.receive(
        b"POST /x?a+b=%26&c HTTP/1.0\r\nX-Agent-Id: me\r\nx-agent-id: you\r\nContent-Length: 3\r\nX-Request-Id: r.1\r\n\r\n",
        0,
    );
    let Some(Event::Head { id, head }) = connection.next_event(0) else { panic!("no head") };
    assert_eq!(id.number(), 0);
    assert_eq!(head.version(), Version::Http10);
    assert_eq!(head.field("X-AGENT-ID"), Some(&b"me"[..]));
    assert_eq!(head.sole_field("X-AGENT-ID"), Err(Repeated));
    assert_eq!(head.sole_field("content-length"), Ok(Some(&b"3"[..])));
    assert_eq!(head.sole_field("accept"), Ok(None));
    assert_eq!(head.field("accept"), None);
    assert_eq!(head.content_length(), Some(3));
    assert!(!head.is_chunked());
    assert_eq!(head.request_id(), Some("r.1"));
    let pairs: Vec<_> = head.query_pairs().collect();
    assert_eq!(pairs, [("a b".into(), "&".into()), ("c".into(), "".into())]);

    connection.accept(id, BodyMode::Whole);
    connection.receive(b"abc", 0);
    let Some(Event::Body { head, body, .. }) = connection.next_event(0) else { panic!("no body") };
    assert_eq!((head.path(), &*body), ("/x", &b"abc"[..]));
}

#[test]
fn nothing_is_read_past_a_head_until_the_caller_has_chosen() {
    let mut connection = Connection::new(Limits::default().into(), 0, 0);
    connection.receive(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    let Some(Event::Head { id, .. }) = connection.next_event(0) else { panic!("no head") };
    assert!(connection.next_event(0).is_none());
    connection.accept(id, BodyMode::Stream);
    assert!(matches!(connection.next_event(0), Some(Event::End { .. })));
    assert!(matches!(connection.next_event(0), Some(Event::Head { .. })));
}
