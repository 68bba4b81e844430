//! The bound of the index, and that of what connections hold.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Server, Start, http, process};

use crate::{Served, is_refusal, large_claim};

const MIB: u64 = 1 << 20;

/// Memory that a server may need beside the index that it may have.
const BESIDE_INDEX_BYTES_MAX: u64 = 48 * MIB;

/// What the connections of a core may hold.
const CLIENTS_BYTES_MAX: u64 = 256 * MIB;

/// Memory that a server may need beside that.
const BESIDE_CLIENTS_BYTES_MAX: u64 = 48 * MIB;

const PATIENCE: Duration = Duration::from_secs(600);

/// Small claims, a line each, that differ from all others in their path.
fn claims(run: &str, count: usize) -> String {
    (0..count).map(|number| TestClaim::new(format!("{run}/{number}"), "is", 1).json() + "\n").collect()
}

/// Writes until the server refuses even a small claim for want of memory. Gives how many claims it took.
///
/// Room is kept for what is on its way. So a single claim may find some where those of a batch found none.
fn fill(server: &Server, run: &str) -> usize {
    const BATCH: usize = 2000;
    let mut client = server.client();
    let mut accepted = 0;
    for batch in 0.. {
        let lines = claims(&format!("{run}/{batch}"), BATCH);
        let answer = client.post("/v1/assert/batch", lines).expect("an answer").ok();
        accepted += answer["accepted"].as_u64().expect("a count") as usize;
        if answer["rejected"] != 0 {
            let is_full = |error: &Value| error["code"] == "memory_full";
            assert!(answer["errors"].as_array().expect("a list").iter().all(is_full), "{answer}");
            break;
        }
    }
    // None so long that it leaves memory when a table has it, and makes room.
    for value_bytes in [1000, 100, 6] {
        for number in 0.. {
            let claim = large_claim(&format!("{run}/{value_bytes}/{number}"), value_bytes);
            if client.post("/v1/assert", claim).expect("an answer").status != 201 {
                break;
            }
            accepted += 1;
        }
    }
    accepted
}

/// A full server: it takes nothing new, and serves all else.
fn is_full(server: &Server, held: usize) {
    let mut client = server.client();
    let new = TestClaim::new("one/more", "is", 1).json();
    is_refusal(&client.post("/v1/assert", &new).expect("an answer"), 503, "memory_full");
    let answer = client.post("/v1/assert/batch", &new).expect("an answer").ok();
    assert_eq!(answer["errors"][0]["code"], "memory_full");
    let stored = claims("first/0", 1);
    let again = client.post("/v1/assert", stored).expect("an answer");
    assert_eq!((again.status, &again.ok()["status"]), (200, &json!("exists")));
    let found = client.post_json("/v1/query", &json!({"concept_path": "first/*", "limit": 10}));
    assert_eq!(found["count"], 10);
    let health = server.health();
    assert_eq!((&health["status"], &health["assertion_count"]), (&json!("healthy"), &json!(held)));
    assert_eq!(client.get("/ready").expect("an answer").status, 200);
}

/// Waits until log and tables stay as they are: what a checkpoint or a merge needs for a while counts as memory of the server, too.
fn wait_until_upkeep_rests(server: &Server) {
    let done = || {
        ["stemedb_checkpoints_total", "stemedb_table_merges_total", "stemedb_wal_segments_removed_total"]
            .map(|name| server.metric(name))
    };
    let until = Instant::now() + PATIENCE;
    let mut before = done();
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = done();
        if now == before {
            return;
        }
        assert!(Instant::now() < until, "upkeep has not come to rest in {PATIENCE:?}: {now:?}");
        before = now;
    }
}

#[test]
fn a_full_index_refuses_what_is_new_and_keeps_what_it_has() {
    let data = Data::new();
    let settings = [("STEMEDB_INDEX_BYTES_MAX", "16MiB"), ("STEMEDB_FRAME_BYTES_MAX", "128KiB")];
    let start = settings.iter().fold(Start::on(&data), |start, (name, value)| start.with(name, value));
    let server = start.serve();
    let mut held = fill(&server, "first");
    assert!(held >= 10_000, "only {held} claims fit 16 MiB");
    is_full(&server, held);
    let index_bytes = server.metric("stemedb_core_index_bytes{core=\"0\"}");
    assert!(index_bytes <= (16 * MIB) as f64, "{index_bytes} bytes of index");

    // Overstepping costs nothing.
    wait_until_upkeep_rests(&server);
    let bytes_before = process::anonymous_bytes(server.pid());
    let mut client = server.client();
    for round in 0..20 {
        let lines = claims(&format!("beyond/{round}"), 1000);
        assert_eq!(client.post("/v1/assert/batch", lines).expect("an answer").ok()["accepted"], 0);
    }
    let bytes = process::anonymous_bytes(server.pid());
    assert!(bytes <= 16 * MIB + BESIDE_INDEX_BYTES_MAX, "{bytes} bytes of memory");
    assert!(bytes.saturating_sub(bytes_before) <= MIB, "{bytes_before} bytes became {bytes}");
    println!("{held} claims in 16 MiB; the server needs {bytes} bytes");
    drop(client);
    server.stop();

    // A restart finds room for all that was taken, puts it closer together, and ends at the same bound.
    let server = start.serve();
    assert_eq!(server.assertion_count(), held as u64);
    held += fill(&server, "second");
    is_full(&server, held);
    server.kill();
    let server = start.with("STEMEDB_INDEX_BYTES_MAX", "32MiB").serve();
    assert_eq!(server.assertion_count(), held as u64);
    let answer = server.client().post("/v1/assert", TestClaim::new("one/more", "is", 1).json());
    assert_eq!(answer.expect("an answer").status, 201);
    server.stop();
}

/// For clients that do not read: how long they may do that is not the matter.
const FOR_READERS: [(&str, &str); 2] =
    [("STEMEDB_SEND_TIMEOUT_S", "600"), ("STEMEDB_IDLE_TIMEOUT_S", "3600")];

/// A client whose socket takes little, in small segments so that the server's takes little too: what it does not read
/// stays with the server.
fn small_reader(server: &Server) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket takes the option");
    socket.set_tcp_mss(536).expect("a socket takes the option");
    socket.connect(&server.address().into()).expect("the server listens");
    Client::over(TcpStream::from(socket)).expect("a connection")
}

#[test]
fn queries_are_put_off_while_clients_hold_too_much() {
    /// As many as hold more than 256 MiB together, each a page or two of 1 MiB.
    const READERS: usize = 300;
    let mut served = Served::with(&FOR_READERS);
    let lines: String =
        (0..16).map(|number| large_claim(&format!("page/{number}"), 64 << 10) + "\n").collect();
    served.takes("/v1/assert/batch", lines);
    let question = http::request("GET", "/v1/query?concept_path=page/*", b"").repeat(2);
    let mut readers: Vec<Client> = (0..READERS).map(|_| small_reader(&served.server)).collect();
    for reader in &mut readers {
        reader.send(&question).expect("it is received");
    }
    // Answers are made one after another.
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let response = served.client.get("/v1/query?concept_path=nothing").expect("an answer");
        if response.status == 503 {
            is_refusal(&response, 503, "overloaded");
            break;
        }
        assert_eq!(response.status, 200);
        assert!(Instant::now() < until, "queries are never put off");
    }
    served.takes("/v1/assert", TestClaim::new("writes", "go", "on").json());
    for of_the_server in ["/ready", "/v1/health", "/metrics"] {
        let response = served.client.get(of_the_server).expect("an answer");
        assert_eq!(response.status, 200, "{of_the_server}: {response:?}");
    }
    let bytes = process::anonymous_bytes(served.server.pid());
    assert!(bytes <= CLIENTS_BYTES_MAX + BESIDE_CLIENTS_BYTES_MAX, "{bytes} bytes for {READERS} readers");
    println!("{READERS} readers that do not read: {} MiB", bytes / MIB);
    drop(readers);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let response = served.client.get("/v1/query?concept_path=writes").expect("an answer");
        if response.status == 200 {
            break;
        }
        assert!(Instant::now() < until, "queries are put off for ever");
    }
    served.server.stop();
}

/// Goal: readers that take something now and then keep others from their queries for a while only. Method: as many as hold all the memory,
/// each of which takes far less than 16 KiB a second. Whether one gives way, or is cut off for having taken nothing, is for the kernel to
/// say, whose own buffer empties in lumps; that they give way a test of the core shows.
#[test]
fn readers_that_trickle_keep_nobody_out_for_long() {
    /// As many as hold more than 256 MiB together, each a page or two of 1 MiB.
    const READERS: usize = 300;
    /// What each of them takes about once a second.
    const TRICKLE_BYTES: usize = 4 << 10;
    let mut served = Served::with(&[("STEMEDB_SEND_TIMEOUT_S", "6"), ("STEMEDB_IDLE_TIMEOUT_S", "3600")]);
    let lines: String =
        (0..16).map(|number| large_claim(&format!("page/{number}"), 64 << 10) + "\n").collect();
    served.takes("/v1/assert/batch", lines);
    let question = http::request("GET", "/v1/query?concept_path=page/*", b"").repeat(2);
    let mut readers: Vec<Client> = (0..READERS).map(|_| small_reader(&served.server)).collect();
    for reader in &mut readers {
        reader.stream().set_nonblocking(true).expect("a socket takes the option");
        reader.send(&question).expect("it is received");
    }
    let until = Instant::now() + Duration::from_secs(60);
    let (mut was_put_off, mut answered) = (false, 0);
    while !was_put_off || answered < 20 {
        let response = served.client.get("/v1/query?concept_path=nothing").expect("an answer");
        match response.status {
            200 if was_put_off => answered += 1,
            200 => {}
            503 => {
                is_refusal(&response, 503, "overloaded");
                (was_put_off, answered) = (true, 0);
                thread::sleep(Duration::from_secs(1));
                for reader in &mut readers {
                    // One that was cut off has nothing more to take, or says so.
                    let _ = reader.stream().read(&mut [0; TRICKLE_BYTES]);
                }
            }
            other => panic!("{other}: {response:?}"),
        }
        assert!(Instant::now() < until, "queries are put off: {was_put_off}, for ever");
    }
    served.takes("/v1/assert", TestClaim::new("writes", "go", "on").json());
    drop(readers);
    served.server.stop();
}

#[test]
fn what_thousands_do_not_read_is_bounded_for_all_together() {
    /// Each of which may have a mebibyte that it does not read.
    const READERS: usize = 600;
    let mut served = Served::with(&FOR_READERS);
    let pid = served.server.pid();
    let question = http::request("GET", "/api-doc/openapi.json", b"").repeat(200);
    let mut readers: Vec<Client> = (0..READERS).map(|_| small_reader(&served.server)).collect();
    let mut bytes_most = 0;
    for (number, reader) in readers.iter_mut().enumerate() {
        reader.send(&question).expect("the sockets have room for it");
        if number % 10 == 0 {
            served.takes("/v1/assert", TestClaim::new(format!("writes/{number}"), "go", "on").json());
            assert_eq!(served.client.get("/ready").expect("an answer").status, 200);
            bytes_most = bytes_most.max(process::anonymous_bytes(pid));
        }
    }
    // What was sent last has come in when a later connection is served.
    is_refusal(&served.client.get("/api-doc/openapi.json").expect("an answer"), 503, "overloaded");
    bytes_most = bytes_most.max(process::anonymous_bytes(pid));
    assert!(bytes_most >= CLIENTS_BYTES_MAX / 2, "{bytes_most} bytes: something else refuses");
    let bytes_max = CLIENTS_BYTES_MAX + BESIDE_CLIENTS_BYTES_MAX;
    assert!(bytes_most <= bytes_max, "{bytes_most} bytes for {READERS} readers");
    println!("{READERS} readers that do not read: {} MiB", bytes_most / MIB);

    // When some are gone, the others go on, those that were held back too.
    readers.drain(..READERS / 2);
    let last = readers.last_mut().expect("there are some");
    for _ in 0..200 {
        let response = last.response().expect("an answer");
        assert!(matches!(response.status, 200 | 503), "{response:?}");
    }
    drop(readers);
    let until = Instant::now() + Duration::from_secs(60);
    while served.client.get("/api-doc/openapi.json").expect("an answer").status != 200 {
        assert!(Instant::now() < until, "large answers are refused for ever");
    }
    served.server.stop();
}
