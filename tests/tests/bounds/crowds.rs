//! How many may come at once: batches, queries, writes that wait for the disk, requests sent ahead.

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, http, listing, process};

use crate::{Served, batch_head, is_refusal, large_claim};

/// Batches whose bodies may be coming in on a core.
const BATCHES_MAX: usize = 64;

/// Requests of a connection that may be unanswered.
const PIPELINE_MAX: usize = 64;

#[test]
fn batches_beyond_those_at_once_are_told_to_come_back() {
    // However long their bodies are away.
    let patient = [("STEMEDB_HEAD_TIMEOUT_S", "600"), ("STEMEDB_BODY_BYTES_PER_SECOND_MIN", "0")];
    let mut served = Served::with(&patient);
    let body = TestClaim::new("batch", "is", 1).json();
    let begin = |client: &mut Client| {
        client.send(&batch_head(body.len())).expect("it is received");
        client.response().expect("an answer")
    };
    let mut open: Vec<Client> = (0..BATCHES_MAX).map(|_| served.server.client()).collect();
    for client in &mut open {
        assert_eq!(begin(client).status, 100);
    }
    for _ in 0..3 {
        let mut client = served.server.client();
        is_refusal(&begin(&mut client), 503, "overloaded");
        // One that comes with its body keeps its connection.
        served.refuses("/v1/assert/batch", &body, 503, "overloaded");
    }
    // Singles are no batches.
    served.takes("/v1/assert", TestClaim::new("single", "is", 1).json());

    // Whether one is finished or breaks off, another may come.
    let mut finished = open.pop().expect("there are some");
    finished.send(body.as_bytes()).expect("it is received");
    assert_eq!(finished.response().expect("an answer").ok()["accepted"], 1);
    assert_eq!(begin(&mut finished).status, 100);
    is_refusal(&begin(&mut served.server.client()), 503, "overloaded");
    drop(open);
    finished.send(body.as_bytes()).expect("it is received");
    assert_eq!(finished.response().expect("an answer").ok()["exists"], 1);
    served.takes("/v1/assert/batch", &body);
    assert_eq!(served.server.assertion_count(), 2);
    served.server.stop();
}

#[test]
fn queries_beyond_those_at_once_wait_and_are_answered() {
    const QUERIES: usize = 300;
    let mut served = Served::with(&[]);
    served.takes("/v1/assert", TestClaim::new("asked/for", "is", 1).json());
    let mut clients: Vec<Client> = (0..QUERIES).map(|_| served.server.client()).collect();
    served.server.pause();
    for client in &mut clients {
        client.send(&http::request("GET", "/v1/query?concept_path=asked/*", b"")).expect("it is received");
    }
    served.server.resume();
    for client in &mut clients {
        assert_eq!(client.response().expect("an answer").ok()["count"], 1);
    }
    served.server.stop();
}

#[test]
fn writes_beyond_what_may_wait_for_the_disk_are_told_to_come_back_and_then_taken() {
    const WRITERS: usize = 60;
    const VALUE_BYTES: usize = 60_000;
    // What the core receives into becomes memory when it is first used, in whichever round that is.
    const GROWTH_BYTES_MAX: usize = (8 << 20) + (4 << 20);
    // Four frames of which two are for single claims, each with room for two of these.
    // No checkpoint: what one needs for a while is no memory of refused writes.
    let served = Served::with(&[
        ("STEMEDB_CORES", "1"),
        ("STEMEDB_FRAME_BYTES_MAX", "128KiB"),
        ("STEMEDB_FRAME_BUFFERS", "4"),
        ("STEMEDB_CHECKPOINT_BYTES", "1GiB"),
    ]);
    let pid = served.server.pid();
    let mut clients: Vec<Client> = (0..WRITERS).map(|_| served.server.client()).collect();
    let (mut refused, mut bytes_first) = (0, 0);
    for round in 0..8 {
        served.server.pause();
        let claims: Vec<String> =
            (0..WRITERS).map(|number| large_claim(&format!("w/{round}/{number}"), VALUE_BYTES)).collect();
        for (client, claim) in clients.iter_mut().zip(&claims) {
            client.send(&http::request("POST", "/v1/assert", claim.as_bytes())).expect("it is received");
        }
        served.server.resume();
        for (client, claim) in clients.iter_mut().zip(&claims) {
            let mut response = client.response().expect("an answer");
            if response.status != 201 {
                // Nothing was written, so that it is new when it comes again. Others may still be in its way.
                while response.status != 201 {
                    is_refusal(&response, 503, "overloaded");
                    refused += usize::from(round > 0);
                    response = client.post("/v1/assert", claim).expect("an answer");
                }
            }
        }
        if round == 0 {
            bytes_first = process::anonymous_bytes(pid);
        }
    }
    assert!(refused * VALUE_BYTES > GROWTH_BYTES_MAX, "{refused} refused");
    assert_eq!(served.server.assertion_count(), 8 * WRITERS as u64);
    // What is stored needs memory, what was refused does not.
    let growth = process::anonymous_bytes(pid).saturating_sub(bytes_first);
    assert!(growth <= (7 * WRITERS * VALUE_BYTES + GROWTH_BYTES_MAX) as u64, "{growth} bytes more");
    println!("{refused} writes refused; {growth} bytes more after 7 rounds");
    served.server.stop();
}

#[test]
fn batches_never_meet_a_full_lane() {
    const BATCHES: usize = 16;
    const LINES: usize = 40;
    for cores in ["1", "2"] {
        let settings = [("STEMEDB_FRAME_BYTES_MAX", "128KiB"), ("STEMEDB_FRAME_BUFFERS", "4")];
        let cores = cores.parse::<usize>().expect("a number").min(process::cpus()).to_string();
        let served = Served::with(&[settings[0], settings[1], ("STEMEDB_CORES", &cores)]);
        let mut clients: Vec<Client> = (0..BATCHES).map(|_| served.server.client()).collect();
        std::thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                scope.spawn(move || {
                    let lines: String = (0..LINES)
                        .map(|line| large_claim(&format!("b/{number}/{line}"), 60_000) + "\n")
                        .collect();
                    let answer = client.post("/v1/assert/batch", lines).expect("an answer").ok();
                    assert_eq!(answer["accepted"], LINES, "{answer}");
                });
            }
        });
        assert_eq!(served.server.assertion_count(), (BATCHES * LINES) as u64);
        served.server.stop();
    }
}

#[test]
fn requests_sent_ahead_wait_unread_and_are_all_answered() {
    const AHEAD: usize = 20 * PIPELINE_MAX;
    let mut served = Served::with(&[("STEMEDB_CORES", "1")]);
    let pid = served.server.pid();
    served.takes("/v1/assert", TestClaim::new("warm", "is", 1).json());
    let bytes_before = process::anonymous_bytes(pid);
    let mut clients: Vec<Client> = (0..8).map(|_| served.server.client()).collect();
    let padding = format!("X-Padding: {}\r\n", "x".repeat(8000));
    let request = http::request_with("GET", "/v1/health", &padding, b"");
    std::thread::scope(|scope| {
        for client in &mut clients {
            let mut reader = client.stream().try_clone().map(Client::over).expect("a socket").expect("open");
            let request = &request;
            scope.spawn(move || {
                for _ in 0..AHEAD {
                    client.send(request).expect("it is received");
                }
            });
            scope.spawn(move || {
                for _ in 0..AHEAD {
                    assert_eq!(reader.response().expect("an answer").status, 200);
                }
            });
        }
    });
    // Ten mebibytes were sent on each, 80 in all. What may wait is 64 KiB for each, and what the ring had received before it was told to
    // stop: no more than the core's 8 MiB of buffers. Their copies grow by doubling, with the old beside the new: 32 MiB at the most, of which
    // the allocator keeps what it likes.
    let growth = process::anonymous_bytes(pid).saturating_sub(bytes_before);
    println!("{growth} bytes more after all that was sent ahead");
    assert!(growth <= 32 << 20, "{growth} bytes more");
    assert_eq!(listing::all(&mut served.client, "warm").len(), 1);
    served.server.stop();
}

#[test]
fn an_array_is_taken_whole_whatever_the_lane_has_room_for() {
    const CLAIMS: usize = 16;
    for (frame_bytes_max, frame_buffers) in [("128KiB", "4"), ("1MiB", "32")] {
        let mut served = Served::with(&[
            ("STEMEDB_FRAME_BYTES_MAX", frame_bytes_max),
            ("STEMEDB_FRAME_BUFFERS", frame_buffers),
        ]);
        let claims: Vec<String> =
            (0..CLAIMS).map(|number| large_claim(&format!("array/{number}"), 64_000)).collect();
        let answer = served.takes("/v1/assert/batch", format!("[{}]", claims.join(",")));
        assert_eq!(answer["accepted"], CLAIMS, "with {frame_buffers} of {frame_bytes_max}: {answer}");
        served.server.stop();
    }
}
