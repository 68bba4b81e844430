//! Goal: whatever becomes of checkpoints, nothing acknowledged is lost by it, and operators are told.
//!
//! Method: a real server with small segments, of which files are taken away or put in the way of what it does in the
//! background.

use std::fs;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Data, Random, Server, Start};

/// Claims that fill some segments of 2 MiB, and bytes of the value of each.
const CLAIMS: u64 = 360;
const VALUE_BYTES: usize = 16_000;

/// Writes [`CLAIMS`] claims, the first of them number `first`.
fn fill(server: &Server, first: u64, random: &mut Random) {
    let lines = (first..first + CLAIMS).map(|number| {
        TestClaim::new(format!("upkeep/{number}"), "is", random.text(VALUE_BYTES)).json() + "\n"
    });
    server.client().post("/v1/assert/batch", lines.collect::<String>()).expect("an answer").ok();
}

#[test]
fn a_failure_that_ends_checkpoints_is_told_and_all_else_goes_on() {
    let mut random = Random::for_test("failing checkpoints");
    let data = Data::new();
    let server = Start::on(&data).serve();
    assert_eq!(
        (server.health()["status"].as_str(), server.metric("stemedb_upkeep_failed")),
        (Some("healthy"), 0.0)
    );
    // No manifest can be written where a directory is in the way, and space has nothing to do with it.
    let in_the_way = data.db().join("MANIFEST.prepare");
    fs::create_dir(&in_the_way).expect("there is room");
    fill(&server, 0, &mut random);
    let said = server.wait_for_line("Checkpoints have failed");
    assert!(said.contains("MANIFEST") && said.contains("recovery.md"), "{said}");
    let health = server.health();
    assert_eq!(
        (health["status"].as_str(), health["upkeep_failed"].as_bool()),
        (Some("degraded"), Some(true))
    );
    assert_eq!(server.metric("stemedb_upkeep_failed"), 1.0);
    assert!(server.metric("stemedb_checkpoint_failures_total") > 0.0);
    fill(&server, CLAIMS, &mut random);
    assert_eq!(server.client().get("/ready").expect("an answer").status, 200, "claims are taken");
    server.stop();

    fs::remove_dir(&in_the_way).expect("it is empty");
    let server = Start::on(&data).serve();
    assert_eq!(server.health()["status"], "healthy");
    server.wait_for_line("Checkpoint:");
    assert_eq!(server.assertion_count(), 2 * CLAIMS);
    server.stop();
}
