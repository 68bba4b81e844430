//! Connections that end before their requests do.

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{http, listing};

use crate::Watched;

fn claim(path: String) -> TestClaim {
    TestClaim::new(path, "is", "a value of some length that may be cut")
}

#[test]
fn a_connection_closed_at_any_byte_of_a_request_stores_nothing_by_half() {
    let mut watched = Watched::start();
    let request =
        |cut: usize| http::request("POST", "/v1/assert", claim(format!("closed/{cut:03}")).json().as_bytes());
    let length = request(0).len();
    for cut in 0..=length {
        let mut client = watched.server.client();
        client.send(&request(cut)[..cut]).expect("it is received");
        client.finish_sending();
        match cut {
            0 => {}
            cut if cut < length => {
                let response = client.response().unwrap_or_else(|error| panic!("{error} after {cut} bytes"));
                assert_eq!(
                    (response.status, &*response.error_code()),
                    (400, "incomplete_request"),
                    "{cut} bytes"
                );
            }
            _ => {
                assert_eq!(client.response().expect("an answer").status, 201);
                watched.claims += 1;
            }
        }
        client.expect_end();
        watched.is_well(&request(cut)[..cut]);
    }
    watched.stop();
}

#[test]
fn a_connection_reset_at_any_byte_of_a_request_stores_nothing_by_half() {
    let mut watched = Watched::start();
    let request =
        |cut: usize| http::request("POST", "/v1/assert", claim(format!("reset/{cut:03}")).json().as_bytes());
    let length = request(0).len();
    for cut in 0..length {
        let mut client = watched.server.client();
        client.send(&request(cut)[..cut]).expect("it is received");
        client.reset();
        watched.is_well(&request(cut)[..cut]);
    }
    // A whole request may be stored, although nobody hears the answer.
    let mut client = watched.server.client();
    client.send(&request(length)).expect("it is received");
    client.reset();
    let rows = listing::all(&mut watched.server.client(), "reset/*");
    assert!(rows.iter().all(|row| claim(format!("reset/{length:03}")).is_told_by(row)), "{rows:?}");
    let count = watched.server.assertion_count();
    assert!((watched.claims..=watched.claims + 1).contains(&count), "{count}");
    watched.claims = count.max(watched.claims);
    watched.stop();
}

#[test]
fn a_batch_that_breaks_off_at_any_byte_stores_whole_lines_only() {
    const LINES: u64 = 4;
    let watched = Watched::start();
    let mut reader = watched.server.client();
    for is_chunked in [false, true] {
        let line = |cut: usize, number: u64| {
            let mut claim = claim(format!("broken/{is_chunked}/{cut:04}"));
            claim.timestamp_us += number;
            claim
        };
        let request = |cut: usize| {
            let lines: String = (0..LINES).map(|number| line(cut, number).json() + "\n").collect();
            if is_chunked {
                let head =
                    b"POST /v1/assert/batch HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
                [&head[..], &http::chunked(lines.as_bytes(), 50)].concat()
            } else {
                http::request("POST", "/v1/assert/batch", lines.as_bytes())
            }
        };
        for cut in (0..request(0).len()).step_by(3) {
            let bytes = &request(cut)[..cut];
            let mut client = watched.server.client();
            client.send(bytes).expect("it is received");
            if cut % 2 == 0 {
                client.reset();
            } else {
                client.finish_sending();
                let response = client.response().expect("an answer");
                assert_eq!(
                    (response.status, &*response.error_code()),
                    (400, "incomplete_request"),
                    "{cut} bytes"
                );
                client.expect_end();
            }
            let whole = bytes.iter().filter(|byte| **byte == b'\n').count();
            for row in listing::all(&mut reader, &format!("broken/{is_chunked}/{cut:04}")) {
                let sent = (0..LINES).any(|number| line(cut, number).is_told_by(&row));
                assert!(sent && whole > 0, "after {cut} bytes there is {row:?}");
            }
        }
    }
    // Sent once more and to the end, everything is stored once.
    let lines: String =
        (0..LINES).map(|number| claim(format!("broken/whole/{number}")).json() + "\n").collect();
    let half = http::request("POST", "/v1/assert/batch", lines.as_bytes());
    let mut client = watched.server.client();
    client.send(&half[..half.len() - 20]).expect("it is received");
    client.reset();
    let answer = reader.post("/v1/assert/batch", &lines).expect("an answer").ok();
    let stored = answer["accepted"].as_u64().zip(answer["exists"].as_u64()).map(|(new, old)| new + old);
    assert_eq!(stored, Some(LINES), "{answer}");
    assert_eq!(listing::all(&mut reader, "broken/whole/*").len() as u64, LINES);
    let count = watched.server.assertion_count();
    assert_eq!(count, listing::all(&mut reader, "/*").len() as u64);
    watched.stop();
}
