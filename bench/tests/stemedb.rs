//! The load generator and `stemedb-bench run` against the real server.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use stemedb_bench::client::{Operation, StemeDb};
use stemedb_bench::load::{self, Load, LoadError, Outcome, Pacing};
use stemedb_bench::workload::{Mix, RunId, Workload};
use stemedb_tests::{Data, Server, Start};

/// The kinds of requests.
const KINDS: [Operation; 4] = [Operation::Assert, Operation::Batch, Operation::Query, Operation::Subtree];

/// How long is measured. On a disk that is held up, some kind of request may not have its turn in a moment, and an answer may come later
/// than it is waited for: then it is measured for longer.
const DURATIONS: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(3), Duration::from_secs(30)];

/// All kinds of requests alike, batches being small.
fn workload() -> Workload {
    let mix: Mix = "assert=1,batch=1,query=1,subtree=1".parse().expect("a mix");
    Workload { mix, batch_claims: 10, subjects: 500, ..Workload::new(RunId::new(1)) }
}

fn run(server: &Server, workload: &Workload, duration: Duration) -> Result<Outcome, LoadError> {
    let load = Load {
        address: server.address(),
        depth: 3,
        pacing: Pacing::Closed,
        warm_up: Duration::from_millis(100),
        duration,
    };
    load::run(&load, StemeDb::connections(workload, load.address, 4))
}

/// Goal: what was answered is stored, all of it and once. Method: the server's own count. A run that does not count has stored claims,
/// too, and may yet store some, so the next try has another server.
#[test]
fn the_server_holds_what_it_has_answered_for() {
    let mut durations = DURATIONS.into_iter().peekable();
    let (_data, server, outcome) = loop {
        let duration = *durations.peek().expect("the last one counts");
        let data = Data::new();
        let server = Start::on(&data).serve();
        let outcome = match run(&server, &workload(), duration) {
            Err(LoadError::Stopped(_)) => continue,
            result => result.expect("the server is healthy"),
        };
        durations.next();
        let is_whole =
            outcome.unanswered == 0 && KINDS.iter().all(|kind| outcome.units_answered.contains_key(kind));
        if is_whole || durations.peek().is_none() {
            break (data, server, outcome);
        }
        println!("not all was asked and answered in {duration:?}: {:?}", outcome.units_answered);
    };
    assert_eq!(outcome.unanswered, 0);
    for operation in KINDS {
        assert!(outcome.units_answered[&operation] > 0, "{operation}");
    }
    let written = outcome.units_answered[&Operation::Assert] + outcome.units_answered[&Operation::Batch];
    assert_eq!(server.assertion_count(), written);
    server.stop();
}

#[test]
fn the_command_tells_programs_what_it_measured() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let report = bench(&server, &["--connections", "1,3", "--rounds", "2", "--rate", "200", "--json"]);
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    let runs = report["runs"].as_array().expect("a list");
    assert_eq!(runs.iter().map(|run| run["connections"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(3)]);
    for run in runs {
        assert_eq!(run["rounds"].as_array().map(Vec::len), Some(2));
        assert_eq!(run["all"]["due"], 80);
        assert_eq!(run["all"]["operations"]["assert"]["latency_us"]["count"], 80);
    }
    server.stop();
}

#[test]
fn the_command_tells_people_what_it_measured() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let report = bench(&server, &["--mix", "batch=1", "--batch-claims", "5"]);
    assert!(report.contains("answered/s") && report.contains("claims a second in batches"), "{report}");
    server.stop();
}

/// What `stemedb-bench run` says. It is run again when it was kept from running, which it says.
fn bench(server: &Server, arguments: &[&str]) -> String {
    loop {
        let output = Command::new(env!("CARGO_BIN_EXE_stemedb-bench"))
            .args([
                "run",
                "--address",
                &server.address().to_string(),
                "--warm-up-s",
                "0",
                "--duration-s",
                "0.2",
            ])
            .args(arguments)
            .output()
            .expect("the command can be run");
        let said = String::from_utf8(output.stderr).expect("text");
        if output.status.success() {
            return String::from_utf8(output.stdout).expect("text");
        }
        assert!(said.contains("did not run for"), "{said}");
    }
}
