//! What wrong requests leave behind in the server's memory and among its sockets: nothing.

use stemedb_tests::{http, process};

use crate::Watched;
use crate::watched::claim_with;

/// Rounds of wrong requests before the memory is looked at, and until it is looked at again.
const WARM_UP_ROUNDS: usize = 100;
const ROUNDS: usize = 400;

/// By how much the memory may have grown: an eighth of what is sent, which is four mebibytes.
const GROWTH_BYTES_MAX: u64 = 512 << 10;

/// One request of each kind that is answered with an error, or not at all; the connection stays open where it can.
fn misbehave(watched: &Watched) -> usize {
    let requests: Vec<u8> = [
        http::request("POST", "/v1/assert", claim_with("metadata", "{\"a\":[1,2,{\"b\":null}]").as_bytes()),
        http::request("POST", "/v1/assert", claim_with("confidence", "7").as_bytes()),
        http::request("POST", "/v1/assert", claim_with("value", &"[".repeat(5000)).as_bytes()),
        http::request("POST", "/v1/assert", &[0xFF; 3000]),
        http::request("POST", "/v1/query", b"{\"concept_path\":\"/*\",\"cursor\":\"zzz\"}"),
        http::request("POST", "/v1/retract", b"{\"concept_path\":\"x\"}"),
        http::request("POST", "/v1/assert/batch", "{}\n".repeat(150).as_bytes()),
        http::request("POST", "/v1/assert/batch", b"[1,2,3"),
        http::request("GET", "/nowhere", b""),
        http::request("DELETE", "/v1/assert", &[b'x'; 1000]),
    ]
    .concat();
    let mut client = watched.server.client();
    client.send(&requests).expect("it is received");
    for _ in 0..10 {
        client.response().expect("an answer");
    }
    client.send(b"nonsense\r\n\r\n").expect("it is received");
    client.response().expect("an answer");
    let mut half = watched.server.client();
    half.send(&http::request("POST", "/v1/assert/batch", &[b'{'; 2000])[..1500]).expect("it is received");
    half.reset();
    requests.len()
}

#[test]
fn wrong_requests_leave_no_memory_and_no_socket_behind() {
    let mut watched = Watched::start();
    let pid = watched.server.pid();
    for _ in 0..WARM_UP_ROUNDS {
        misbehave(&watched);
    }
    watched.is_well(b"the warm-up");
    let (sockets, bytes) = (process::sockets(pid), process::anonymous_bytes(pid));
    let sent: usize = (0..ROUNDS).map(|_| misbehave(&watched)).sum();
    watched.is_well(b"all of it");
    let growth = process::anonymous_bytes(pid).saturating_sub(bytes);
    assert!(growth <= GROWTH_BYTES_MAX, "{growth} bytes more after {sent} bytes of wrong requests");
    // A connection or two may not be closed yet.
    let more = process::sockets(pid).saturating_sub(sockets);
    assert!(more <= 10, "{more} sockets more after {ROUNDS} rounds");
    println!("{growth} bytes more after {} KiB of wrong requests", sent / 1024);
    watched.stop();
}
