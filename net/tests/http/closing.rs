//! How connections end.

use crate::script::{Manners, Script, text_response};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[test]
fn a_request_to_close_is_the_last_one() {
    let mut script = Script::new(Manners::Silent);
    script.receive(format!("{GET_AND_CLOSE}{GET}"));
    assert_eq!(script.requests.len(), 1);
    assert!(!script.connection.take_shutdown(), "nothing has been said");
    script.respond(0, "bye");
    assert!(script.sent_text().contains("\r\nconnection: close\r\n"), "{}", script.sent_text());
    assert!(script.connection.take_shutdown());
    assert!(!script.connection.take_shutdown(), "once");
}

#[test]
fn a_connection_that_is_ending_throws_away_what_still_comes() {
    let mut script = Script::new(Manners::Echo);
    script.receive(GET_AND_CLOSE);
    assert!(script.connection.take_shutdown());
    for _ in 0..100 {
        assert!(script.connection.wants_receive());
        script.receive([b'x'; 10_000]);
    }
    assert!(script.connection.heap_bytes() < 32 * 1024);
    assert!(!script.connection.should_close(), "the answer could be lost");
    script.receive_eof();
    assert!(script.connection.should_close());
}

#[test]
fn a_connection_does_not_end_before_all_is_sent() {
    let mut script = Script::new(Manners::Echo);
    script.connection.receive(GET_AND_CLOSE.as_bytes(), 0);
    script.run_events();
    let buffer = script.connection.take_output(0).expect("a response");
    script.connection.sent(buffer.len() - 1, 0);
    script.run_events();
    assert!(!script.connection.take_shutdown());
    script.connection.sent(1, 0);
    script.run_events();
    assert!(script.connection.take_shutdown());
}

#[test]
fn a_peer_that_closes_between_requests_ends_the_connection() {
    let mut script = Script::new(Manners::Echo);
    script.receive_eof();
    assert!(script.connection.should_close());
    assert!(!script.connection.take_shutdown());

    let mut script = Script::new(Manners::Echo);
    script.receive(GET).receive("\r\n").receive_eof();
    assert_eq!(script.sent_text(), text_response(0, ""));
    assert!(script.connection.should_close());
}

#[test]
fn a_peer_that_closes_its_side_gets_the_answers_it_waits_for() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET.repeat(100)).receive_eof();
    assert!(!script.connection.wants_receive());
    for index in 0..100 {
        assert!(!script.connection.should_close());
        script.respond(index, "a");
    }
    assert_eq!(script.sent_text().matches("HTTP/1.1 200 OK").count(), 100);
    assert!(script.connection.should_close());
}

#[test]
fn a_drained_connection_that_is_idle_closes() {
    let mut script = Script::new(Manners::Echo);
    script.receive(GET);
    script.connection.drain();
    assert!(script.connection.should_close());
}

#[test]
fn a_drained_connection_answers_what_was_begun() {
    let mut script = Script::new(Manners::Silent);
    script.receive(format!("{GET}POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel"));
    script.connection.drain();
    script.run();
    script.receive(format!("lo{GET}"));
    assert_eq!(script.bodies(), ["", "hello"]);
    assert!(!script.connection.should_close());
    script.respond(0, "a");
    script.respond(1, "b");
    let rest = script.sent_text().strip_prefix(&text_response(0, "a")).expect("the first answer");
    assert!(rest.contains("\r\nconnection: close\r\n"), "{rest}");
    assert!(script.connection.take_shutdown());
}

#[test]
fn a_drained_connection_sends_what_it_has() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET);
    assert!(script.connection.respond(script.requests[0], &crate::script::text_head(), b"a"));
    script.connection.drain();
    assert!(!script.connection.should_close());
    script.run();
    assert_eq!(script.sent_text(), text_response(0, "a"));
    assert!(script.connection.take_shutdown());
}
