//! `stemedb-bench soak` on the real server, for a few seconds: descriptors, threads, memory and answers are judged,
//! latencies are not.

use std::fs;
use std::process::Command;

use serde_json::Value;
use stemedb_tests::{Data, Start, binary};

/// Runs a soak with these arguments. Gives what it says and what it writes.
fn soak(arguments: &[&str]) -> (String, Value, String, String) {
    let directory = tempfile::tempdir_in(binary::scratch_directory()).expect("writable");
    let path = |name: &str| directory.path().join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_stemedb-bench"))
        .args(["soak", "--rate", "150", "--ignore-latency"])
        .args(arguments)
        .arg("--json")
        .arg(path("soak.json"))
        .arg("--svg")
        .arg(path("soak.svg"))
        .arg("--html")
        .arg(path("soak.html"))
        .output()
        .expect("the command can be run");
    let said = String::from_utf8(output.stdout).expect("text");
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{failed}");
    let read = |name: &str| fs::read_to_string(path(name)).expect("it was written");
    let json = serde_json::from_str(&read("soak.json")).expect("it is JSON");
    (said, json, read("soak.svg"), read("soak.html"))
}

#[test]
fn a_short_soak_finds_a_server_that_stays_as_it_is() {
    let server = binary::stemedb_api().to_str().expect("a path in UTF-8");
    let scratch = binary::scratch_directory().to_str().expect("a path in UTF-8");
    let (said, record, svg, html) =
        soak(&["--server", server, "--dir", scratch, "--seconds", "6", "--every", "0.2"]);
    assert!(said.contains("Sound:"), "{said}");
    assert_eq!(record["verdict"]["is_sound"], true);
    assert_eq!(record["verdict"]["findings"].as_array().map(Vec::len), Some(5), "all but the latency");
    assert_eq!(record["answers"]["wrong"], 0);
    let samples = record["samples"].as_array().expect("a list");
    assert!(samples.iter().all(|sample| sample["process"]["threads"].as_u64() >= Some(2)));
    let picture = roxmltree::Document::parse(&svg).expect("well-formed");
    assert_eq!(picture.descendants().filter(|node| node.has_tag_name("svg")).count(), 1 + 2 * 6);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(&html, options).expect("well-formed");
}

#[test]
fn a_server_that_runs_already_is_judged_by_what_it_says() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let (said, record, ..) =
        soak(&["--address", &server.address().to_string(), "--seconds", "6", "--every", "0.2"]);
    assert!(said.contains("Sound:"), "{said}");
    assert!(record["samples"][0]["process"].is_null());
    server.stop();
}
