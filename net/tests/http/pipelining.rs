//! Several requests at a time: answers in the order of the requests, in whatever order they are given.

use stemedb_net::http::Limits;

use crate::script::{Manners, Script, text_response};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn silent_with(requests: usize) -> Script {
    let mut script = Script::new(Manners::Silent);
    script.receive((0..requests).map(|number| get(&format!("/{number}"))).collect::<String>());
    assert_eq!(script.requests.len(), requests);
    script
}

#[test]
fn answers_leave_in_the_order_of_the_requests() {
    let orders: [[usize; 4]; 6] =
        [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 1, 3], [0, 3, 1, 2], [3, 0, 2, 1]];
    for order in orders {
        let mut script = silent_with(4);
        for index in order {
            assert!(script.respond(index, &format!("answer {index}")));
        }
        let expected: String = (0..4).map(|index| text_response(index, &format!("answer {index}"))).collect();
        assert_eq!(script.sent_text(), expected, "{order:?}");
    }
}

#[test]
fn an_answer_leaves_as_soon_as_all_before_it_have() {
    let mut script = silent_with(3);
    script.respond(1, "b");
    assert_eq!(script.sent_text(), "");
    script.respond(0, "a");
    assert_eq!(script.sent_text(), text_response(0, "a") + &text_response(1, "b"));
    script.respond(2, "c");
    assert!(script.sent_text().ends_with(&text_response(2, "c")));
}

#[test]
fn large_answers_keep_their_place() {
    let large = "x".repeat(100_000);
    let mut script = silent_with(4);
    let respond_owned = |script: &mut Script, index: usize, body: &str| {
        let head = crate::script::text_head();
        assert!(script.connection.respond_owned(script.requests[index], &head, body.as_bytes().to_vec()));
        script.run();
    };
    respond_owned(&mut script, 2, &large);
    respond_owned(&mut script, 1, "small");
    respond_owned(&mut script, 0, &large);
    script.respond(3, &large);
    let expected = [(0, large.as_str()), (1, "small"), (2, &large), (3, &large)];
    let expected: String = expected.iter().map(|(number, body)| text_response(*number, body)).collect();
    assert_eq!(script.sent_text(), expected);
}

#[test]
fn many_answers_are_sent_in_buffers_of_bounded_size() {
    let mut script = silent_with(60);
    for index in 0..60 {
        let id = script.requests[index];
        assert!(script.connection.respond(id, &crate::script::text_head(), &[b'x'; 10_000]));
    }
    let mut buffers = 0;
    while let Some(buffer) = script.connection.take_output(0) {
        assert!(buffer.len() < 80_000, "{} bytes", buffer.len());
        script.connection.sent(buffer.len(), 0);
        buffers += 1;
    }
    assert_eq!(buffers, 9, "seven answers in each, four in the last");
}

#[test]
fn a_request_is_answered_once() {
    let mut script = silent_with(2);
    assert!(script.respond(1, "b"));
    assert!(!script.respond(1, "again"));
    assert!(script.respond(0, "a"));
    assert!(!script.respond(0, "again"));
    assert_eq!(script.sent_text(), text_response(0, "a") + &text_response(1, "b"));
}

#[test]
#[should_panic(expected = "request 1 has not been given out")]
fn a_request_that_was_not_given_out_cannot_be_answered() {
    let mut script = silent_with(1);
    script.requests = {
        let mut other = silent_with(2);
        std::mem::take(&mut other.requests)
    };
    script.respond(1, "b");
}

#[test]
fn a_refusal_waits_for_the_answers_before_it() {
    let mut script = Script::new(Manners::Silent);
    script.receive(get("/a") + "nonsense\r\n\r\n");
    assert!(script.rejected().is_some());
    assert_eq!(script.sent_text(), "");
    script.respond(0, "a");
    let rest = script.sent_text().strip_prefix(&text_response(0, "a")).expect("the first answer");
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
}

#[test]
fn a_bounded_number_of_requests_is_unanswered() {
    let mut script = Script::new(Manners::Silent);
    script.receive((0..100).map(|number| get(&format!("/{number}"))).collect::<String>());
    assert_eq!(script.requests.len(), 64);
    script.respond(1, "b");
    assert_eq!(script.requests.len(), 64);
    script.respond(0, "a");
    assert_eq!(script.requests.len(), 66);
    for index in 2..100 {
        script.respond(index, "");
    }
    assert_eq!(script.requests.len(), 100);
    assert_eq!(script.sent_text().matches("HTTP/1.1 200 OK\r\n").count(), 100);
}

#[test]
fn nothing_is_begun_while_too_much_is_unsent() {
    let limits = Limits { output_bytes_max: 1_000, ..Limits::default() };
    let mut script = Script::with_limits(Manners::Echo, limits);
    let body = "x".repeat(300);
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n{body}");
    script.connection.receive(post.repeat(10).as_bytes(), 0);
    script.run_events();
    assert_eq!(script.bodies().len(), 3, "three responses are more than a thousand bytes");

    let buffer = script.connection.take_output(0).expect("three responses");
    script.run_events();
    assert_eq!(script.bodies().len(), 3, "taken is not sent");
    script.connection.sent(buffer.len() / 2, 0);
    script.run_events();
    assert_eq!(script.bodies().len(), 4);
    script.connection.sent(buffer.len() - buffer.len() / 2, 0);
    script.run();
    assert_eq!(script.bodies().len(), 10);
}

#[test]
fn answers_that_wait_for_their_turn_count_as_unsent() {
    let limits = Limits { output_bytes_max: 1_000, ..Limits::default() };
    let mut script = Script::with_limits(Manners::Silent, limits);
    script.receive(get("/a") + &get("/b"));
    script.respond(1, &"x".repeat(2_000));
    script.receive(get("/c"));
    assert_eq!(script.requests.len(), 2);
    script.respond(0, "a");
    assert_eq!(script.requests.len(), 3);
}
