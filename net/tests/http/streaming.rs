//! Streamed bodies, early answers, and leave to send.

use stemedb_net::http::{BodyMode, Connection, Event, Limits, Reject};

use crate::script::{Happened, Manners, Script, text_head, text_response};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn post(fields: &str) -> String {
    format!("POST /v1/assert/batch HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// A connection that has given out one head, and the request it belongs to.
fn after_head(request: &str) -> (Connection, stemedb_net::http::RequestId) {
    let mut connection = Connection::new(Limits::default().into(), 0xabcd, 0);
    connection.receive(request.as_bytes(), 0);
    let Some(Event::Head { id, .. }) = connection.next_event(0) else { panic!("no head") };
    (connection, id)
}

fn output_of(connection: &mut Connection) -> String {
    let mut output = Vec::new();
    while let Some(buffer) = connection.take_output(0) {
        output.extend_from_slice(&buffer);
        connection.sent(buffer.len(), 0);
    }
    String::from_utf8(output).expect("all tests send text")
}

#[test]
fn a_stream_has_no_bound() {
    let mut script = Script::with_limits(Manners::Stream, Limits { body_bytes_max: 10, ..Limits::default() });
    script.receive(post("Content-Length: 1000000\r\n"));
    for _ in 0..1_000 {
        script.receive("x".repeat(1_000));
        assert!(script.connection.heap_bytes() < 32 * 1024);
    }
    script.receive(post("Transfer-Encoding: chunked\r\n"));
    for _ in 0..1_000 {
        script.receive(format!("3e8\r\n{}\r\n", "y".repeat(1_000)));
    }
    script.receive("0\r\n\r\n");
    assert_eq!(script.happened[1], Happened::Stream { bytes: vec![b'x'; 1_000_000], ended: true });
    assert_eq!(script.happened[3], Happened::Stream { bytes: vec![b'y'; 1_000_000], ended: true });
    assert_eq!(script.sent_text(), text_response(0, "1000000") + &text_response(1, "1000000"));
}

#[test]
fn an_empty_stream_ends_at_once() {
    let mut script = Script::new(Manners::Stream);
    script.receive(
        post("") + &post("Content-Length: 0\r\n") + &post("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
    );
    assert_eq!(script.happened.len(), 6);
    assert_eq!(script.sent_text(), (0..3).map(|number| text_response(number, "0")).collect::<String>());
}

#[test]
fn a_stream_that_breaks_off_or_is_malformed_is_rejected() {
    let mut script = Script::new(Manners::Stream);
    script.receive(post("Content-Length: 100\r\n") + "abc").receive_eof();
    assert_eq!(script.happened[1], Happened::Stream { bytes: b"abc".to_vec(), ended: false });
    assert_eq!(script.rejected(), Some(Reject::Truncated));

    let mut script = Script::new(Manners::Stream);
    script.receive(post("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\nx");
    assert_eq!(script.happened[1], Happened::Stream { bytes: b"abc".to_vec(), ended: false });
    assert_eq!(script.rejected(), Some(Reject::InvalidChunk));
    assert!(script.sent_text().starts_with("HTTP/1.1 400 "));
    assert!(!script.respond(0, "too late"), "the connection has answered");
}

#[test]
fn a_paused_stream_gives_out_nothing_and_stops_receiving() {
    let (mut connection, id) = after_head(&(post("Content-Length: 1000000\r\n") + "abc"));
    connection.accept(id, BodyMode::Stream);
    connection.pause();
    assert!(connection.next_event(0).is_none());
    assert!(connection.wants_receive());
    let mut received = 3;
    while connection.wants_receive() {
        connection.receive(&[b'x'; 1_000], 0);
        received += 1_000;
        assert!(connection.next_event(0).is_none());
    }
    assert!((64 * 1024..66 * 1024).contains(&received), "{received} bytes were taken");

    connection.resume();
    let mut given = 0;
    while let Some(event) = connection.next_event(0) {
        let Event::Chunk { bytes, .. } = event else { panic!("no piece") };
        assert!(bytes.len() <= 16 * 1024, "{} bytes between two chances to pause", bytes.len());
        given += bytes.len();
    }
    assert_eq!(given, received);
    assert!(connection.wants_receive());
}

#[test]
fn a_pause_ends_with_the_request() {
    let (mut connection, id) = after_head(&(post("Content-Length: 5\r\n") + "abc"));
    connection.accept(id, BodyMode::Stream);
    connection.pause();
    assert!(connection.respond(id, &text_head(), b"enough"));
    connection.receive(format!("de{}", post("")).as_bytes(), 0);
    let Some(Event::Head { id, .. }) = connection.next_event(0) else { panic!("no second head") };
    connection.pause();
    connection.accept(id, BodyMode::Stream);
    assert!(matches!(connection.next_event(0), Some(Event::End { .. })), "there was no stream to pause");
}

#[test]
fn an_early_answer_throws_the_rest_of_the_body_away() {
    for (body_fields, body) in [("Content-Length: 5\r\n", "hello"), ("", "")] {
        let mut script = Script::new(Manners::Hasty);
        script.receive(post(body_fields));
        script.receive(body);
        script.receive(post(body_fields) + body);
        let expected = text_response(0, "hasty") + &text_response(1, "hasty");
        assert_eq!(script.sent_text(), expected, "{body_fields:?}");
        assert_eq!(script.happened.len(), 2, "{body_fields:?}: heads and nothing else");
        assert!(!script.connection.take_shutdown());
    }
}

/// Whether the connection closes is known when the answer is written, and the answer says it, wherever the body was cut.
#[test]
fn an_early_answer_closes_when_a_body_in_chunks_has_not_come_to_its_end() {
    let request = post("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\nT: x\r\n\r\n";
    let head_bytes = request.find("5\r\nhello").expect("it is there");
    for received in head_bytes..=request.len() {
        let (first, rest) = request.split_at(received);
        let mut script = Script::new(Manners::Hasty);
        // The next request comes with the end of the body, or behind it.
        script.receive(first.to_owned() + if rest.is_empty() { &request } else { "" });
        script.receive(rest.to_owned() + &request);
        let is_whole = rest.is_empty();
        assert_eq!(script.sent_text().contains("\r\nconnection: close\r\n"), !is_whole, "{received} bytes");
        assert_eq!(script.connection.take_shutdown(), !is_whole, "{received} bytes");
        assert_eq!(script.requests.len(), if is_whole { 3 } else { 1 }, "{received} bytes");
    }
}

#[test]
fn an_early_answer_closes_when_too_much_would_be_thrown_away() {
    for (body_fields, piece) in [
        ("Content-Length: 1048577\r\n", "x".repeat(1_000)),
        ("Transfer-Encoding: chunked\r\n", format!("3e8\r\n{}\r\n", "y".repeat(1_000))),
    ] {
        let mut script = Script::new(Manners::Hasty);
        script.receive(post(body_fields));
        assert!(script.sent_text().contains("\r\nconnection: close\r\n"), "{}", script.sent_text());
        assert!(script.connection.take_shutdown());
        for _ in 0..1_100 {
            script.receive(&piece);
        }
        assert!(script.connection.heap_bytes() < 32 * 1024, "what follows is not kept");
        assert_eq!(script.happened.len(), 1);
    }
}

#[test]
fn an_early_answer_is_the_only_one_even_if_the_rest_is_malformed() {
    let mut script = Script::new(Manners::Hasty);
    script.receive(post("Transfer-Encoding: chunked\r\n") + "nonsense");
    assert_eq!(script.sent_text().matches("HTTP/1.1").count(), 1);
    assert!(script.sent_text().contains("\r\nconnection: close\r\n"));
    assert_eq!(script.happened.len(), 1);
    assert!(script.connection.take_shutdown());
}

#[test]
fn an_answer_in_the_middle_of_a_stream_ends_its_events() {
    let (mut connection, id) = after_head(&(post("Content-Length: 10\r\n") + "abc"));
    connection.accept(id, BodyMode::Stream);
    assert!(matches!(connection.next_event(0), Some(Event::Chunk { .. })));
    assert!(connection.respond(id, &text_head(), b"enough"));
    connection.receive(b"defghij", 0);
    assert!(connection.next_event(0).is_none());
    assert_eq!(output_of(&mut connection), text_response(0, "enough"));
    connection.receive(post("").as_bytes(), 0);
    assert!(matches!(connection.next_event(0), Some(Event::Head { .. })));
}

#[test]
fn leave_is_given_when_the_body_is_accepted() {
    for mode in [BodyMode::Whole, BodyMode::Stream] {
        let (mut connection, id) = after_head(&post("Expect: 100-continue\r\nContent-Length: 5\r\n"));
        assert_eq!(output_of(&mut connection), "");
        connection.accept(id, mode);
        assert_eq!(output_of(&mut connection), CONTINUE);
        connection.receive(b"hello", 0);
        assert!(matches!(connection.next_event(0), Some(Event::Body { .. } | Event::Chunk { .. })));
        while connection.next_event(0).is_some() {}
        assert!(connection.respond(id, &text_head(), b"done"));
        assert_eq!(output_of(&mut connection), text_response(0, "done"));
        assert!(!connection.take_shutdown());
    }
}

#[test]
fn no_leave_is_given_without_need() {
    for fields in ["Expect: 100-continue\r\n", "Expect: 100-continue\r\nContent-Length: 0\r\n"] {
        let mut script = Script::new(Manners::Silent);
        script.receive(post(fields));
        assert_eq!(script.sent_text(), "", "{fields:?}");
    }
    let mut script = Script::new(Manners::Silent);
    script.receive("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(script.sent_text(), "");
}

#[test]
fn no_leave_is_given_for_a_body_that_is_too_large() {
    let mut script = Script::new(Manners::Silent);
    script.receive(post("Expect: 100-continue\r\nContent-Length: 1048577\r\n"));
    assert!(script.sent_text().starts_with("HTTP/1.1 413 "), "{}", script.sent_text());
}

#[test]
fn leave_waits_for_the_answers_before_it() {
    let mut script = Script::new(Manners::Silent);
    script.receive(post("") + &post("Expect: 100-continue\r\nContent-Length: 5\r\n"));
    assert_eq!(script.sent_text(), "");
    script.respond(0, "a");
    assert_eq!(script.sent_text(), text_response(0, "a") + CONTINUE);
    script.receive("hello");
    script.respond(1, "b");
    assert_eq!(script.sent_text(), text_response(0, "a") + CONTINUE + &text_response(1, "b"));
}

#[test]
fn leave_that_comes_too_late_is_not_given() {
    let mut script = Script::new(Manners::Silent);
    script.receive(post("") + &post("Expect: 100-continue\r\nContent-Length: 5\r\n") + "hello");
    script.respond(1, "b");
    script.respond(0, "a");
    assert_eq!(script.sent_text(), text_response(0, "a") + &text_response(1, "b"));
}

#[test]
fn an_answer_instead_of_leave_closes_the_connection() {
    let mut script = Script::new(Manners::Hasty);
    script.receive(post("Expect: 100-continue\r\nContent-Length: 5\r\n"));
    assert!(script.sent_text().contains("\r\nconnection: close\r\n"), "{}", script.sent_text());
    script.receive("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(script.happened.len(), 1);
}
