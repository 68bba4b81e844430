//! `stemedb-admin import` against a stand-in that breaks, refuses and delays as servers do.

use std::fs::{File, FileTimes};
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, SystemTime};

use crate::stand_in::{StandIn, Turn};
use serde_json::Value;
use tempfile::TempDir;

/// A file of claims in a directory of its own.
struct Claims {
    directory: TempDir,
}

impl Claims {
    fn new(lines: &str) -> Claims {
        let claims = Claims { directory: tempfile::tempdir().expect("the temporary directory is writable") };
        std::fs::write(claims.path(), lines).expect("the temporary directory is writable");
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let file = File::options().write(true).open(claims.path()).expect("the file was just written");
        file.set_times(FileTimes::new().set_modified(modified)).expect("the file is ours");
        claims
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("claims.ndjson")
    }

    fn import(&self, server: &StandIn, options: &[&str]) -> (Output, Value) {
        let path = self.path();
        let mut arguments = vec!["import", path.to_str().expect("the path is ASCII"), "--json"];
        arguments.extend(options);
        let output = server.admin(&arguments, "");
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output, report)
    }
}

fn numbered_lines(count: u32) -> String {
    (0..count)
        .map(|number| format!("{{\"concept_path\":\"t/{number}\",\"predicate\":\"p\",\"value\":1}}\n"))
        .collect()
}

#[test]
fn every_line_arrives_once_with_the_files_time() {
    let server = StandIn::start([]);
    let (output, report) = Claims::new(&numbered_lines(25_000)).import(&server, &[]);
    assert!(output.status.success());
    assert_eq!((&report["accepted"], &report["complete"]), (&25_000.into(), &true.into()));
    assert_eq!(server.stored().len(), 25_000);
    assert!(
        server.stored().contains(
            r#"{"timestamp":1700000000.500000,"concept_path":"t/24999","predicate":"p","value":1}"#
        )
    );
    assert!(server.requests().len() >= 3, "requests are bounded");
}

#[test]
fn broken_connections_are_resumed_without_loss_or_duplicates() {
    use Turn::*;
    let server =
        StandIn::start([BreakMidway, BreakBeforeAnswer, Serve, BreakMidway, BreakMidway, BreakBeforeAnswer]);
    let claims = Claims::new(&numbered_lines(40_000));
    let (output, report) = claims.import(&server, &["--connections", "3"]);
    assert!(output.status.success(), "{output:?}");
    let counted = report["accepted"].as_u64().unwrap() + report["exists"].as_u64().unwrap();
    assert_eq!((counted, &report["retries"]), (40_000, &5.into()));
    assert_eq!(
        server.stored().len(),
        40_000,
        "each line is stored once, with the same timestamp in each attempt"
    );
}

#[test]
fn importing_a_file_again_stores_nothing_twice() {
    let server = StandIn::start([]);
    let claims = Claims::new(&numbered_lines(1_000));
    claims.import(&server, &[]);
    let (_, report) = claims.import(&server, &[]);
    assert_eq!((&report["accepted"], &report["exists"]), (&0.into(), &1_000.into()));
    assert_eq!(server.stored().len(), 1_000);
}

#[test]
fn a_busy_server_is_asked_again() {
    let busy = Turn::Say(503, r#"{"error":{"code":"overloaded","message":"try later"}}"#.to_owned());
    let server = StandIn::start([busy.clone(), busy]);
    let (output, report) = Claims::new(&numbered_lines(10)).import(&server, &["--connections", "1"]);
    assert!(output.status.success());
    assert_eq!((&report["accepted"], &report["retries"]), (&10.into(), &2.into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("try later"));
}

#[test]
fn a_refusal_ends_the_import_and_says_how_far_it_came() {
    let refusal =
        Turn::Say(500, r#"{"error":{"code":"storage_failed","message":"lane 0 has failed"}}"#.to_owned());
    let server = StandIn::start([Turn::Serve, refusal]);
    let (output, report) = Claims::new(&numbered_lines(25_000)).import(&server, &["--connections", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&report["complete"], &report["done_to_line"]), (&false.into(), &10_000.into()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("lane 0 has failed (status 500, code storage_failed)"), "{stderr}");
    assert!(stderr.contains("all lines up to 10,000 are done"), "{stderr}");
}

#[test]
fn an_import_gives_up_when_the_server_stays_away() {
    let server = StandIn::start((0..100).map(|_| Turn::BreakBeforeAnswer));
    let (output, report) = Claims::new(&numbered_lines(10)).import(&server, &["--retry-for", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["complete"], false);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer from http://127.0.0.1:"));
}

#[test]
fn rejected_lines_are_named_by_their_number_in_the_file() {
    let server = StandIn::start([]);
    let mut lines: Vec<String> = numbered_lines(12_000).lines().map(str::to_owned).collect();
    lines[4] = String::new();
    lines[10_998] = r#"{"bad":1}"#.to_owned();
    lines[11_499] = r#"{"bad":2}"#.to_owned();
    lines[11_500] = "bad".to_owned();
    let (output, report) = Claims::new(&lines.join("\n")).import(&server, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&report["accepted"], &report["rejected"]), (&11_996.into(), &3.into()));
    let numbers: Vec<_> = report["errors"].as_array().unwrap().iter().map(|error| &error["line"]).collect();
    assert_eq!(numbers, [10_999, 11_500, 11_501]);
    assert_eq!(report["errors"][0]["message"], "this one is bad");
}

#[test]
fn an_answer_that_does_not_count_every_line_is_not_believed() {
    let server = StandIn::start([Turn::Say(200, r#"{"accepted":9,"exists":0,"rejected":0}"#.to_owned())]);
    let (output, _) = Claims::new(&numbered_lines(10)).import(&server, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("10 claims were sent, but it counts 9"));
}

#[test]
fn standard_input_is_imported_and_reported_for_people() {
    let server = StandIn::start([]);
    let input = numbered_lines(3) + "{\"bad\":1}\n" + r#"{"timestamp":5,"value":1}"#;
    let output = server.admin(&["import", "-"], &input);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("accepted               4\n"), "{stdout}");
    assert!(stdout.contains("line 4: this one is bad (invalid_value)\n"), "{stdout}");
    assert!(server.stored().contains(r#"{"timestamp":5,"value":1}"#));
    assert!(server.stored().iter().all(|line| line.starts_with(r#"{"timestamp":"#)));
}

#[test]
fn what_cannot_be_an_import_is_wrong_usage() {
    let server = StandIn::start([]);
    let array = server.admin(&["import", "-"], "\n [{\"value\":1}]");
    assert_eq!(array.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&array.stderr).contains("jq -c '.[]'"));
    assert_eq!(server.admin(&["import"], "").status.code(), Some(2));
    assert_eq!(server.admin(&["import", "-", "--url", "ftp://db"], "").status.code(), Some(2));
    assert_eq!(server.admin(&["import", "/no/such/file"], "").status.code(), Some(1));
    assert_eq!(server.admin(&["import", "/"], "").status.code(), Some(1));
    assert!(server.requests().is_empty());
}
