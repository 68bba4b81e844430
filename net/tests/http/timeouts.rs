//! Time: what is waited for, for how long, and what happens then.

use stemedb_net::http::{BodyMode, Event, Limits, Reject, Timeout};

use crate::script::{Manners, Script, text_head, text_response};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";

impl Script {
    /// Lets time pass up to `now_ms`, waking the connection whenever it wants to be woken. Says which limit
    /// was run into, and when.
    fn wait_until(&mut self, now_ms: u64) -> Option<(u64, Timeout)> {
        let mut reached = None;
        while let Some(deadline_ms) =
            self.connection.deadline_ms().filter(|&deadline_ms| deadline_ms <= now_ms)
        {
            assert!(deadline_ms >= self.now_ms, "a deadline is not in the past");
            let was = (self.now_ms, self.connection.heap_bytes());
            self.now_ms = deadline_ms;
            if let Some(timeout) = self.connection.tick(deadline_ms) {
                reached = reached.or(Some((deadline_ms, timeout)));
            } else {
                assert_ne!(
                    (deadline_ms, self.connection.heap_bytes()),
                    was,
                    "a deadline that is due is acted on"
                );
            }
            self.run();
        }
        self.now_ms = now_ms;
        reached
    }
}

#[test]
fn an_idle_connection_is_closed_after_75_seconds() {
    let mut script = Script::new(Manners::Echo);
    assert_eq!(script.wait_until(74_999), None);
    assert!(!script.connection.should_close());
    script.receive(GET);
    assert_eq!(script.wait_until(200_000), Some((149_999, Timeout::Idle)));
    assert!(script.connection.should_close());
    assert_eq!(script.connection.deadline_ms(), None);
    assert_eq!(script.sent_text(), text_response(0, ""), "nothing is said about it");
}

#[test]
fn a_connection_is_not_idle_while_a_request_is_unanswered() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET);
    assert_eq!(script.wait_until(1_000_000), None);
    script.respond(0, "at last");
    assert_eq!(script.wait_until(2_000_000), Some((1_075_000, Timeout::Idle)));
}

#[test]
fn a_head_must_be_complete_after_10_seconds() {
    let mut script = Script::new(Manners::Echo);
    assert_eq!(script.wait_until(5_000), None);
    for (index, byte) in GET.bytes().take(20).enumerate() {
        assert_eq!(script.wait_until(5_000 + 500 * index as u64), None);
        script.receive([byte]);
    }
    assert_eq!(script.wait_until(15_000), Some((15_000, Timeout::Head)));
    assert_eq!(script.rejected(), Some(Reject::HeadTimeout { ms_max: 10_000 }));
    assert!(script.sent_text().starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{}", script.sent_text());
    assert!(script.connection.take_shutdown());
}

#[test]
fn a_head_that_is_there_is_not_late_while_answers_are_being_sent() {
    let limits = Limits { output_bytes_max: 100, ..Limits::default() };
    let mut script = Script::with_limits(Manners::Echo, limits);
    script.connection.receive(GET.repeat(2).as_bytes(), 0);
    script.run_events();
    assert_eq!(script.requests.len(), 1, "the answer to the first one leaves no room for another");
    let buffer = script.connection.take_output(0).expect("an answer");
    script.connection.sent(buffer.len() - 1, 0);
    assert_eq!(script.wait_until(29_999), None, "there is room now, and the head is whole");
    script.connection.sent(1, 29_999);
    script.run();
    assert_eq!(script.requests.len(), 2);
}

#[test]
fn an_empty_line_begins_no_head() {
    let mut script = Script::new(Manners::Echo);
    script.receive("\r\n");
    assert_eq!(script.wait_until(100_000), Some((75_000, Timeout::Idle)));
    assert_eq!(script.sent_text(), "");
}

#[test]
fn the_time_of_a_head_does_not_run_while_the_connection_does_not_read() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET.repeat(65)).receive("GET /part");
    assert_eq!(script.wait_until(60_000), None);
    script.respond(0, "");
    assert_eq!(script.requests.len(), 65);
    assert_eq!(script.wait_until(120_000), None, "there is room for no further request");
    script.respond(1, "");
    assert_eq!(script.wait_until(200_000), Some((130_000, Timeout::Head)));
}

#[test]
fn the_time_of_a_head_begins_with_its_own_first_byte() {
    let mut script = Script::new(Manners::Echo);
    let (first, rest) = GET.split_at(10);
    script.receive(first);
    for round in 1..=100 {
        assert_eq!(script.wait_until(9_000 * round), None);
        script.receive(rest.to_owned() + first);
    }
    assert_eq!(script.requests.len(), 100);
    assert_eq!(script.wait_until(1_000_000), Some((910_000, Timeout::Head)));
}

#[test]
fn the_rate_of_a_body_is_measured_from_its_own_beginning() {
    let mut script = Script::new(Manners::Echo);
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789";
    let (first, rest) = post.split_at(post.len() - 5);
    script.receive(first);
    for round in 1..=100 {
        assert_eq!(script.wait_until(9_000 * round), None);
        script.receive(rest.to_owned() + first);
    }
    assert_eq!(script.bodies().len(), 100);
    assert_eq!(script.wait_until(1_000_000), Some((910_000, Timeout::Body)));
}

#[test]
fn the_time_of_a_body_begins_when_the_client_is_told_to_send_it() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET);
    script.receive("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(script.wait_until(60_000), None, "it waits for the answer to the first request");
    script.respond(0, "");
    assert!(script.sent_text().ends_with("HTTP/1.1 100 Continue\r\n\r\n"), "{}", script.sent_text());
    assert_eq!(script.wait_until(200_000), Some((70_000, Timeout::Body)));
}

#[test]
fn the_time_of_a_body_begins_when_what_tells_the_client_is_taken() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET);
    script.receive("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(script.connection.respond(script.requests[0], &text_head(), b"a page"));
    let buffer = script.connection.take_output(0).expect("an answer, and leave to go on");
    assert!(buffer.ends_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
    script.connection.sent(buffer.len() - 1, 20_000);
    assert_eq!(script.wait_until(40_000), None, "the client is slow to take the page");
    script.connection.sent(1, 40_000);
    assert_eq!(script.wait_until(200_000), Some((50_000, Timeout::Body)));
}

#[test]
fn a_body_must_come_at_256_bytes_a_second() {
    let mut script = Script::new(Manners::Echo);
    script.receive(POST);
    for round in 1..=5 {
        script.receive([b'x'; 2_560]);
        assert_eq!(script.wait_until(10_000 * round), None);
    }
    script.receive([b'x'; 2_559]);
    assert_eq!(script.wait_until(100_000), Some((60_000, Timeout::Body)));
    assert_eq!(script.rejected(), Some(Reject::BodyTimeout { bytes_min: 2_560, ms: 10_000 }));
    assert!(script.sent_text().starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{}", script.sent_text());
}

#[test]
fn the_bytes_that_come_with_the_head_do_not_help_a_slow_body() {
    let mut script = Script::new(Manners::Stream);
    script.receive(POST.to_owned() + &"x".repeat(5_000));
    assert_eq!(script.wait_until(100_000), Some((10_000, Timeout::Body)));
}

#[test]
fn a_pause_does_not_count_against_the_client() {
    let mut script = Script::new(Manners::Stream);
    script.receive(POST);
    assert_eq!(script.wait_until(9_000), None);
    script.connection.pause();
    script.run();
    assert_eq!(script.wait_until(500_000), None);
    script.connection.resume();
    script.run();
    assert_eq!(script.wait_until(600_000), Some((510_000, Timeout::Body)));
}

#[test]
fn a_body_whose_request_is_answered_must_come_too() {
    let mut script = Script::new(Manners::Hasty);
    script.receive(POST);
    assert_eq!(script.wait_until(10_000), Some((10_000, Timeout::Body)));
    assert_eq!(script.sent_text(), text_response(0, "hasty"), "there is one answer");
    assert_eq!(script.happened.len(), 1);
    assert!(script.connection.take_shutdown());
}

#[test]
fn a_peer_that_takes_nothing_for_30_seconds_is_left() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET);
    assert!(script.connection.respond(script.requests[0], &text_head(), &[b'x'; 1_000]));
    script.now_ms = 1_000;
    let buffer = script.connection.take_output(1_000).expect("a response");
    assert_eq!(script.wait_until(30_000), None);
    script.connection.sent(10, 30_000);
    script.run();
    assert_eq!(script.wait_until(59_999), None);
    assert_eq!(script.wait_until(60_000), Some((60_000, Timeout::Send)));
    assert!(script.connection.should_close());
    assert!(!script.connection.wants_receive());
    assert!(buffer.len() > 10);
}

#[test]
fn how_fast_a_peer_takes_what_is_sent_is_known_after_30_seconds() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET.repeat(2));
    assert!(script.connection.respond(script.requests[0], &text_head(), &[b'x'; 100_000]));
    assert_eq!(script.connection.taken_bytes_per_s(100_000), None, "nothing is being sent");
    let buffer = script.connection.take_output(1_000).expect("a response");
    assert_eq!(script.connection.taken_bytes_per_s(30_999), None);
    assert_eq!(script.connection.taken_bytes_per_s(31_000), Some(0));
    script.connection.sent(30_000, 20_000);
    assert_eq!(script.connection.taken_bytes_per_s(30_999), None);
    assert_eq!(script.connection.taken_bytes_per_s(31_000), Some(1_000));
    // What was known holds until the next 30 seconds are over.
    script.connection.sent(3_000, 31_000);
    script.connection.sent(6_000, 40_000);
    assert_eq!(script.connection.taken_bytes_per_s(60_999), Some(1_100));
    assert_eq!(script.connection.taken_bytes_per_s(61_000), Some(200));
    // Who takes a buffer and has another one to take is measured on; who has taken all, anew.
    assert!(script.connection.respond(script.requests[1], &text_head(), b"more"));
    script.connection.sent(buffer.len() - 39_000, 50_000);
    let buffer = script.connection.take_output(50_000).expect("the second response");
    assert_eq!(script.connection.taken_bytes_per_s(60_999), Some(1_100));
    script.connection.sent(buffer.len(), 51_000);
    assert_eq!(script.connection.taken_bytes_per_s(100_000), None);
}

#[test]
fn a_connection_that_was_left_says_nothing_more() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET.repeat(2));
    assert!(script.connection.respond(script.requests[0], &text_head(), b"a"));
    let _buffer = script.connection.take_output(0).expect("a response");
    assert_eq!(script.wait_until(30_000), Some((30_000, Timeout::Send)));
    assert!(!script.connection.respond(script.requests[1], &text_head(), b"b"));
    assert!(script.connection.next_event(40_000).is_none());
}

#[test]
fn a_body_may_be_accepted_after_its_connection_has_closed() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET);
    assert!(script.connection.respond(script.requests[0], &text_head(), b"a"));
    let _buffer = script.connection.take_output(0).expect("a response");
    script.connection.receive(POST.as_bytes(), 0);
    let Some(Event::Head { id, .. }) = script.connection.next_event(0) else { panic!("no head") };
    assert_eq!(script.connection.tick(30_000), Some(Timeout::Send));
    script.connection.accept(id, BodyMode::Stream);
    assert!(script.connection.next_event(30_000).is_none());
    assert!(script.connection.should_close());
}

#[test]
fn a_peer_that_does_not_close_is_waited_for_2_seconds() {
    let mut script = Script::new(Manners::Echo);
    script.now_ms = 5_000;
    script.receive("nonsense\r\n\r\n");
    assert!(script.connection.take_shutdown());
    script.now_ms = 6_000;
    script.receive("more nonsense");
    assert_eq!(script.wait_until(6_999), None);
    assert!(!script.connection.should_close());
    assert_eq!(script.wait_until(7_000), Some((7_000, Timeout::Linger)));
    assert!(script.connection.should_close());
    assert!(!script.connection.take_shutdown());
}

#[test]
fn time_that_goes_backwards_stands_still() {
    let mut script = Script::new(Manners::Echo);
    script.now_ms = 10_000;
    script.receive("GET");
    script.now_ms = 0;
    script.receive(" ");
    assert_eq!(script.connection.deadline_ms(), Some(20_000));
    assert_eq!(script.connection.tick(0), None);
}
