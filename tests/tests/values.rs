//! Goal: values that are too long to stay in memory are answered from disk, with the memory of a server that has none of them.
//!
//! Method: a real server is filled with long values until tables have nearly all of them, asked for some, started anew and asked for all; its
//! memory is what the kernel says.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Random, Server, Start, listing};

/// Bytes of a value.
const VALUE_BYTES: usize = 16 << 10;

/// Claims of a batch.
const BATCH: u64 = 256;

/// Memory that all this may take while it is written, in bytes: the segments that no table has yet, which are more where checkpoints get little of the
/// processor, a checkpoint, and what the allocator keeps. Only with a gibibyte of values does this bound say anything; the next one does with few.
const GROWTH_MAX: f64 = 128e6;

/// Memory that it may take after the next start, beside some bytes for each claim: the segments that were not full hold the newest values.
const GROWTH_AT_REST_MAX: f64 = 10e6;
const CLAIM_BYTES_MAX: f64 = 400.0;

/// How long a server may take to come to rest, and how often it is looked at. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

fn resident_bytes(server: &Server) -> f64 {
    server.metric("process_resident_memory_bytes")
}

/// Waits until tables have all values but those of the segments being written.
fn wait_for_tables(server: &Server, claims: u64) {
    // Two lanes, in each a segment of 2 MiB.
    let in_memory_max = 2.0 * (2 << 20) as f64 / VALUE_BYTES as f64;
    while server.metric("stemedb_values_long{place=\"memory\"}") > in_memory_max {
        server.client().get("/ready").expect("an answer");
    }
    assert!(server.metric("stemedb_values_long{place=\"table\"}") >= claims as f64 - in_memory_max);
}

#[test]
fn long_values_leave_memory_and_are_read_back() {
    fill_and_read_back(4 << 10);
}

#[test]
#[ignore = "writes a gibibyte: run it by `cargo test -p stemedb-tests --test values -- --ignored --nocapture`"]
fn a_gibibyte_of_long_values_takes_hardly_any_memory() {
    fill_and_read_back(64 << 10);
}

/// Goal: a server that may open no more files says so to who asks for a value, serves everything else, and takes nothing for damaged. Method: the
/// limit of a running server is lowered below what it has open, and raised again.
#[test]
fn a_value_that_finds_no_descriptor_is_to_be_asked_for_again() {
    let data = Data::new();
    let server = Start::on(&data).cores(2).with("STEMEDB_CHECKPOINT_BYTES", "4MiB").serve();
    let mut client = server.client();
    let claims = 2 * BATCH;
    fill(&mut client, claims, &mut Random::for_test("values without descriptors"));
    wait_for_tables(&server, claims);
    let pid = Pid::from_raw(server.pid() as i32);
    let lowered = Rlimit { current: Some(4), ..getrlimit(Resource::Nofile) };
    let before = prlimit(pid, Resource::Nofile, lowered).expect("it may be lowered");
    let target = "/v1/query?concept_path=values/0";
    let answer = client.get(target).expect("an answer");
    assert_eq!((answer.status, answer.error_code().as_str()), (503, "overloaded"));
    assert_eq!(client.get("/v1/health").expect("an answer").ok()["damage"], serde_json::json!([]));
    prlimit(pid, Resource::Nofile, before).expect("it may be raised to what it was");
    assert_eq!(client.get(target).expect("an answer").ok()["count"], 1);
    assert_eq!(server.health()["status"], "healthy");
    server.stop();
}

fn fill_and_read_back(claims: u64) {
    let mebibytes = (claims as usize * VALUE_BYTES) >> 20;
    let mut random = Random::for_test("long values");
    let data = Data::new();
    let start = Start::on(&data).cores(2).with("STEMEDB_CHECKPOINT_BYTES", "4MiB");
    let server = start.serve();
    let before = resident_bytes(&server);
    let values = fill(&mut server.client(), claims, &mut random);
    wait_for_tables(&server, claims);
    let grown = resident_bytes(&server) - before;
    println!("{mebibytes} MiB of values: {:.1} MB more memory when they were written", grown / 1e6);
    assert!(grown < GROWTH_MAX + claims as f64 * CLAIM_BYTES_MAX, "{grown} bytes");
    check_all(&server, &values);
    server.stop();

    // With other cores, what an index snapshot has is copied from those of the old ones.
    for cores in [2, 1] {
        let server = start.clone().cores(cores).serve();
        let in_tables = server.metric("stemedb_values_long{place=\"table\"}");
        assert!(in_tables > 0.9 * claims as f64, "{in_tables} values in tables");
        // It does not rest at once: what the last server had begun is moved into tables.
        let until = Instant::now() + PATIENCE;
        let grown = loop {
            let grown = resident_bytes(&server) - before;
            if grown < GROWTH_AT_REST_MAX + claims as f64 * CLAIM_BYTES_MAX {
                break grown;
            }
            assert!(Instant::now() < until, "{grown} bytes");
            thread::sleep(PAUSE);
        };
        println!("{:.1} MB more memory after a start with {cores} cores", grown / 1e6);
        check_all(&server, &values);
        assert!(server.metric("stemedb_value_read_seconds_count{}") > 0.0);
        assert_eq!(server.metric("stemedb_value_read_errors_total"), 0.0);
        server.stop();
    }
}

/// Stores so many long values. Gives how each begins.
fn fill(client: &mut Client, claims: u64, random: &mut Random) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for first in (0..claims).step_by(BATCH as usize) {
        let lines: String = (first..first + BATCH)
            .map(|number| {
                let value = random.text(VALUE_BYTES);
                values.insert(format!("values/{number}"), value[..64].to_owned());
                TestClaim::new(format!("values/{number}"), "is", value).json() + "\n"
            })
            .collect();
        let answer = client.post("/v1/assert/batch", lines).expect("an answer").ok();
        assert_eq!(answer["accepted"], BATCH);
    }
    values
}

fn check_all(server: &Server, values: &BTreeMap<String, String>) {
    let rows = listing::all(&mut server.client(), "values/*");
    assert_eq!(rows.len(), values.len());
    for row in rows {
        let value = row.value.as_str().expect("a text");
        assert_eq!(value.len(), VALUE_BYTES);
        assert_eq!(&value[..64], values[&row.concept_path]);
    }
}
