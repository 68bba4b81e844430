//! What overstepping bounds costs in memory: nothing that stays.

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{http, process};

use crate::{Served, text};

const WARM_UP_ROUNDS: usize = 12;
const ROUNDS: usize = 40;

/// By how much the memory may have grown, after more than a hundred mebibytes beyond bounds.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

/// What goes beyond a bound and is answered, on a connection that goes on.
fn beyond_and_on() -> Vec<(&'static str, String)> {
    let claim = |field: &str, value: &str| {
        format!("{{\"concept_path\":\"a\",\"predicate\":\"p\",\"value\":1,\"{field}\":{value}}}")
    };
    let hash = text(64).replace('x', "0");
    let hashes = |count: usize| format!("[{}]", vec![hash.as_str(); count].join(","));
    vec![
        ("/v1/assert", format!("{{\"concept_path\":{},\"predicate\":\"p\",\"value\":1}}", text(513))),
        ("/v1/assert", format!("{{\"concept_path\":\"a\",\"predicate\":{},\"value\":1}}", text(257))),
        ("/v1/assert", format!("{{\"concept_path\":\"a\",\"predicate\":\"p\",\"value\":{}}}", text(900_000))),
        ("/v1/assert", claim("metadata", &format!("{{\"a\":{}}}", text(8 << 10)))),
        ("/v1/assert", claim("derived_from", &hashes(65))),
        ("/v1/assert", claim("derived_from", &hashes(10_000))),
        ("/v1/assert", claim("signatures", &format!("[{}]", vec!["{}"; 10_000].join(",")))),
        ("/v1/assert", claim("epoch", &text(129))),
        ("/v1/assert", claim("source", &text(513))),
        ("/v1/assert", claim("timestamp", "99999999999")),
        ("/v1/assert", "[".repeat(1 << 20)),
        ("/v1/retract", format!("{{\"concept_path\":\"a\",\"reason\":{}}}", text(1025))),
        ("/v1/query", "{\"concept_path\":\"/*\",\"limit\":10001}".to_owned()),
        ("/v1/assert/batch", format!("[{}", "1,".repeat(600_000))),
        ("/v1/assert/batch", "{}\n".repeat(20_000)),
        ("/v1/assert/batch", format!("{}\n{{}}\n", "x".repeat(3 << 20))),
    ]
}

/// What goes beyond a bound and ends its connection.
fn beyond_and_away() -> Vec<Vec<u8>> {
    let chunked = "POST /v1/assert HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        http::request_with("GET", "/ready", &format!("A: {}\r\n", "a".repeat(16 << 10)), b""),
        http::request_with("GET", "/ready", &"A: a\r\n".repeat(64), b""),
        http::request("GET", &format!("/{}", "t".repeat(8 << 10)), b""),
        http::request("POST", "/v1/assert", &vec![b' '; (1 << 20) + 1]),
        format!("{chunked}00000000000000001\r\n").into_bytes(),
        format!("{chunked}1;{}\r\n", "e".repeat(20 << 10)).into_bytes(),
        format!("{chunked}0\r\nA: {}\r\n", "t".repeat(5 << 10)).into_bytes(),
        format!("{chunked}fffffff\r\n{}", "x".repeat(2 << 20)).into_bytes(),
    ]
}

#[test]
fn overstepping_every_bound_again_and_again_costs_no_memory() {
    let mut served = Served::with(&[]);
    let (on, away) = (beyond_and_on(), beyond_and_away());
    let round = |served: &mut Served| {
        for (target, body) in &on {
            let response = served.client.post(target, body).expect("an answer");
            // A batch is answered for its lines.
            assert!((200..500).contains(&response.status), "{response:?}");
        }
        for bytes in &away {
            let mut client = served.server.client();
            let _ = client.send(bytes);
            let response = client.response().expect("an answer");
            assert!((400..500).contains(&response.status), "{response:?}");
            client.expect_end();
        }
    };
    for _ in 0..WARM_UP_ROUNDS {
        round(&mut served);
    }
    let pid = served.server.pid();
    let (sockets, bytes_before) = (process::sockets(pid), process::anonymous_bytes(pid));
    for _ in 0..ROUNDS {
        round(&mut served);
    }
    let growth = process::anonymous_bytes(pid).saturating_sub(bytes_before);
    assert!(growth <= GROWTH_BYTES_MAX, "{growth} bytes more than {bytes_before}");
    // The last connection or two may not be closed yet.
    assert!(process::sockets(pid) <= sockets + 2, "{} sockets after {sockets}", process::sockets(pid));
    println!("{growth} bytes more than {bytes_before}");
    assert_eq!(served.server.assertion_count(), 0);
    served.works(&TestClaim::new("still", "works", 1));
    served.server.stop();
}
