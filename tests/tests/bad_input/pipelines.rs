//! Many requests on a connection, sent ahead of their answers.

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Random, http};

use crate::Watched;

/// A request of some kind, and the status of its answer. Its number is the id that the answer must bear.
fn request(number: u64, random: &mut Random) -> (Vec<u8>, u16, bool) {
    let id = format!("X-Request-Id: {number}\r\n");
    let claim = TestClaim::new(format!("pipeline/{number}"), "is", number).json();
    let (method, target, body, status) = match random.within(0..=8) {
        0 => ("GET", "/v1/health", String::new(), 200),
        1 => ("HEAD", "/v1/health", String::new(), 200),
        2 => ("POST", "/v1/query", r#"{"concept_path":"/*","limit":20}"#.to_owned(), 200),
        3 => ("GET", "/nowhere", String::new(), 404),
        4 => ("POST", "/v1/assert", "{".to_owned(), 400),
        5 => ("POST", "/v1/assert/batch", "{}\n{}\n".to_owned(), 200),
        6 => ("DELETE", "/v1/assert", claim, 405),
        _ => ("POST", "/v1/assert", claim, 201),
    };
    (http::request_with(method, target, &id, body.as_bytes()), status, method == "HEAD")
}

#[test]
fn answers_come_in_the_order_of_requests_however_many_are_sent_ahead() {
    let mut random = Random::for_test("pipelines");
    let mut watched = Watched::start();
    let mut number = 0;
    for depth in [1, 2, 64, 64, 64, 65, 300, 1000] {
        let mut client = watched.server.client();
        let requests: Vec<_> = (0..depth).map(|place| request(number + place, &mut random)).collect();
        let bytes: Vec<u8> = requests.iter().flat_map(|(bytes, ..)| bytes.iter().copied()).collect();
        // In pieces that end anywhere.
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(random.within(1..=20_000) as usize));
            client.send(piece).expect("it is received");
        }
        for (place, (_, status, is_head)) in requests.iter().enumerate() {
            let response = if *is_head { client.head_response() } else { client.response() };
            let response = response.expect("an answer");
            let id = (number + place as u64).to_string();
            assert_eq!(
                (response.field("x-request-id"), response.status),
                (Some(&*id), *status),
                "{response:?}"
            );
            watched.claims += u64::from(*status == 201);
        }
        number += depth;
        watched.is_well(b"a pipeline");
    }
    watched.stop();
}

#[test]
fn garbage_behind_requests_ends_the_connection_after_their_answers() {
    let mut watched = Watched::start();
    for (number, (garbage, code)) in [
        (&b"garbage\r\n\r\n"[..], "invalid_request_line"),
        (b"\0\0\0\0\0\0\0\0", "invalid_request_line"),
        (b"GET / HTTP/1.1\r\n\r\n", "missing_host"),
        (b"\r\n\r\n\r\n", "invalid_request_line"),
        (b"{\"concept_path\":\"smuggled\",\"predicate\":\"is\",\"value\":1}\r\n\r\n", "invalid_request_line"),
        (
            b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "ambiguous_length",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = watched.server.client();
        let mut bytes = Vec::new();
        for place in 0..10 {
            let claim = TestClaim::new(format!("before/{number}/{place}"), "is", place).json();
            bytes.extend(http::request("POST", "/v1/assert", claim.as_bytes()));
        }
        bytes.extend(garbage);
        // A claim that must not be read any more.
        let claim = TestClaim::new("smuggled", "is", number).json();
        bytes.extend(http::request("POST", "/v1/assert", claim.as_bytes()));
        client.send(&bytes).expect("it is received");
        for _ in 0..10 {
            assert_eq!(client.response().expect("an answer").status, 201);
            watched.claims += 1;
        }
        let response = client.response().expect("an answer");
        assert_eq!((response.status, &*response.error_code()), (400, code));
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_end();
        watched.is_well(garbage);
    }
    watched.stop();
}

#[test]
fn a_body_that_is_refused_early_is_no_request() {
    let mut watched = Watched::start();
    let mut client = watched.server.client();
    let smuggled = http::request("POST", "/v1/assert", TestClaim::new("smuggled", "is", 1).json().as_bytes());
    for _ in 0..20 {
        client.send(&http::request("POST", "/nowhere", &smuggled)).expect("it is received");
        assert_eq!(client.response().expect("an answer").status, 404);
        client.send(&http::request("DELETE", "/v1/assert", &smuggled)).expect("it is received");
        assert_eq!(client.response().expect("an answer").status, 405);
    }
    watched.is_well(&smuggled);
    watched.stop();
}
