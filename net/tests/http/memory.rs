//! What a connection costs.

use stemedb_net::http::{Connection, Limits, Timeout};

use crate::script::{Manners, Script};

const GET: &str = "GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1:18180\r\nUser-Agent: test\r\n\r\n";

#[test]
fn a_connection_itself_is_small() {
    assert!(size_of::<Connection>() <= 768, "{} bytes", size_of::<Connection>());
}

#[test]
fn a_new_connection_holds_no_heap() {
    assert_eq!(Connection::new(Limits::default().into(), 0, 0).heap_bytes(), 0);
}

#[test]
fn a_busy_connection_holds_little() {
    let mut script = Script::new(Manners::Echo);
    script.receive(GET);
    assert!((1..2_048).contains(&script.connection.heap_bytes()), "{} bytes", script.connection.heap_bytes());
}

#[test]
fn the_same_memory_serves_request_after_request() {
    let mut script = Script::new(Manners::Echo);
    let post = "POST /a?b=%20 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut buffers = std::collections::BTreeSet::new();
    let mut heap_bytes = 0;
    for round in 0..100 {
        for request in [GET, post] {
            script.connection.receive(request.as_bytes(), 0);
            script.run_events();
            let buffer = script.connection.take_output(0).expect("a response");
            buffers.insert(buffer.as_ptr());
            script.connection.sent(buffer.len(), 0);
            script.connection.recycle(buffer);
        }
        if round == 1 {
            heap_bytes = script.connection.heap_bytes();
        } else if round > 1 {
            assert_eq!(script.connection.heap_bytes(), heap_bytes);
        }
    }
    assert!(buffers.len() <= 2, "{} buffers were used", buffers.len());
}

#[test]
fn requests_that_straddle_what_is_received_take_no_more_memory_with_time() {
    let mut script = Script::new(Manners::Echo);
    let (first, rest) = GET.split_at(20);
    script.receive(first);
    for _ in 0..10_000 {
        script.receive(rest.to_owned() + first);
    }
    assert_eq!(script.requests.len(), 10_000);
    assert!(script.connection.heap_bytes() < 2_048, "{} bytes", script.connection.heap_bytes());
}

#[test]
fn a_connection_past_reading_keeps_nothing() {
    let mut refused = Script::new(Manners::Echo);
    refused.receive("nonsense\r\n\r\n");
    let mut closed = Script::new(Manners::Echo);
    assert_eq!(closed.connection.tick(75_000), Some(Timeout::Idle));
    for mut script in [refused, closed] {
        let before = script.connection.heap_bytes();
        script.connection.receive(&[b'x'; 100_000], 0);
        assert_eq!(script.connection.heap_bytes(), before);
    }
}

#[test]
fn an_idle_connection_gives_all_back_after_a_second() {
    let mut script = Script::new(Manners::Silent);
    script.receive(GET.repeat(20));
    for index in (0..20).rev() {
        script.respond(index, "hello");
    }
    script.receive("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    script.respond(20, "hello");
    assert!(script.connection.heap_bytes() > 0);
    assert_eq!(script.connection.deadline_ms(), Some(1_000));
    assert_eq!(script.connection.tick(999), None);
    assert!(script.connection.heap_bytes() > 0);
    assert_eq!(script.connection.tick(1_000), None);
    assert_eq!(script.connection.heap_bytes(), 0);
    assert_eq!(script.connection.deadline_ms(), Some(75_000));

    script.receive(GET);
    assert_eq!(script.requests.len(), 22, "it works as before");
}

#[test]
fn large_buffers_are_given_back_at_once() {
    let body = "x".repeat(1_000_000);
    let length = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{body}");
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n{body}\r\n0\r\n\r\n"
    );
    for request in [length, chunked] {
        let mut script = Script::new(Manners::Silent);
        script.receive(&request);
        assert_eq!(script.bodies(), [body.as_str()]);
        script.respond(0, &body);
        assert!(script.connection.heap_bytes() < 32 * 1024, "{} bytes", script.connection.heap_bytes());
    }
}

#[test]
fn a_body_takes_the_room_it_needs() {
    let mut script = Script::new(Manners::Silent);
    script.receive("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..100 {
        script.receive([b'x'; 10_000]);
    }
    assert_eq!(script.bodies().len(), 1);

    let mut connection = Connection::new(Limits::default().into(), 0, 0);
    connection.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", 0);
    let Some(stemedb_net::http::Event::Head { id, .. }) = connection.next_event(0) else { panic!("no head") };
    connection.accept(id, stemedb_net::http::BodyMode::Whole);
    for _ in 0..100 {
        assert!(connection.wants_receive());
        assert!(connection.next_event(0).is_none());
        assert!(connection.heap_bytes() < 1_002_000, "{} bytes", connection.heap_bytes());
        connection.receive(&[b'x'; 10_000], 0);
    }
    assert!(connection.next_event(0).is_some());
}
