//! Goal: a start that misses segments says which, and how much was in them; it goes on without them when exactly they are given
//! up, for good, and takes that for leave to nothing else. Method: a real server whose checkpoints are kept from being made,
//! so that all of its log is needed; segments are taken away.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::Value;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::wal::Segment;
use stemedb_tests::{Data, Random, Server, Start, wal};

const CLAIMS: u64 = 500;
const VALUE_BYTES: usize = 16_000;

/// A log of several segments, all of them needed.
fn filled(data: &Data) -> Vec<Segment> {
    let mut random = Random::for_test("given up");
    fs::create_dir_all(data.db()).expect("there is room");
    // No manifest can be written where a directory is in the way.
    let in_the_way = data.db().join("MANIFEST.prepare");
    fs::create_dir(&in_the_way).expect("there is room");
    let server = Start::on(data).serve();
    let lines = (0..CLAIMS)
        .map(|number| TestClaim::new(format!("kept/{number}"), "is", random.text(VALUE_BYTES)).json() + "\n");
    server.client().post("/v1/assert/batch", lines.collect::<String>()).expect("an answer").ok();
    server.stop();
    fs::remove_dir(&in_the_way).expect("it is empty");
    let begun: Vec<_> =
        wal::segments(&data.wal()).into_iter().filter(|segment| segment.header.is_some()).collect();
    assert!(begun.len() >= 4, "only {} segments", begun.len());
    begun
}

fn records(segment: &Segment) -> u64 {
    segment.frames.iter().map(|frame| u64::from(frame.header.records)).sum()
}

fn refused(data: &Data, agreed: &str, parts: &[&str]) {
    let before = data.snapshot();
    let start = Start::on(data);
    let start = if agreed.is_empty() { start } else { start.argument("--give-up-segments").argument(agreed) };
    let refused = start.refused();
    for part in parts {
        assert!(refused.text.contains(part), "{part:?} is not in\n{}", refused.text);
    }
    assert_eq!(refused.status.code(), Some(1));
    assert!(data.snapshot() == before, "something was changed on disk:\n{}", refused.text);
}

fn change_byte(segment: &Segment) {
    let file = fs::OpenOptions::new().read(true).write(true).open(&segment.path).expect("it is there");
    let offset = segment.frames[segment.frames.len() / 2].offset as u64 + 100;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("it is as long");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("writable");
}

fn is_there(server: &Server, number: u64) -> bool {
    let path = format!("/v1/query?concept_path=kept/{number}");
    server.client().get(&path).expect("an answer").ok()["count"] == 1
}

#[test]
fn what_is_missing_is_named_and_given_up_only_when_that_is_said() {
    let data = Data::new();
    let segments = filled(&data);
    let gone = &segments[1];
    fs::remove_file(&gone.path).expect("it is there");
    let count = records(gone);
    let says = format!("segment 2 of lane 0 ({count} records, ");
    refused(
        &data,
        "",
        &[&gone.name(), "is missing", &says, ", written after 2", "--give-up-segments 0:2", "recovery.md"],
    );
    refused(
        &data,
        "0:3",
        &[&says, "which is not what STEMEDB_GIVE_UP_SEGMENTS names: 0:3", "--give-up-segments 0:2"],
    );
    refused(&data, "2-3", &["flag --give-up-segments: '2-3' is not valid"]);

    // What is damaged is not missing.
    change_byte(&segments[2]);
    refused(&data, "0:2", &["Checksum mismatch", &segments[2].name()]);
    change_byte(&segments[2]);

    let server = Start::on(&data).with("STEMEDB_GIVE_UP_SEGMENTS", "0:2").serve();
    let said = server.wait_for_line("Given up for good");
    assert!(said.contains("WARN") && said.contains(&says), "{said}");
    let left = CLAIMS - count;
    assert_eq!(server.assertion_count(), left);
    assert_eq!(server.metric("stemedb_wal_segments_given_up"), 1.0);
    assert!(is_there(&server, 0) && is_there(&server, CLAIMS - 1));
    let note = fs::read(data.root().join("given-up.json")).expect("it is written down");
    let note: Value = serde_json::from_slice(&note).expect("it is JSON");
    let first = &note["given_up"][0];
    assert_eq!(
        (&first["lane"], &first["first_segment"], &first["last_segment"]),
        (&0.into(), &2.into(), &2.into())
    );
    assert_eq!(first["records"], count);
    server.client().post("/v1/assert", TestClaim::new("later", "is", 1).json()).expect("an answer").ok();
    server.kill();

    // Nothing is missing any more, and nobody need say so again.
    for agreed in ["none", "0:2"] {
        let server = Start::on(&data).with("STEMEDB_GIVE_UP_SEGMENTS", agreed).serve();
        assert_eq!(server.assertion_count(), left + 1);
        assert_eq!(server.metric("stemedb_wal_segments_given_up"), 1.0);
        assert!(is_there(&server, 0) && is_there(&server, CLAIMS - 1));
        server.stop();
    }
}

/// Goal: when all of the log is gone, what tables have is what is left, and numbers are not used twice. Method: everything that is behind
/// a checkpoint is deleted.
#[test]
fn all_that_is_behind_the_tables_may_be_given_up() {
    let data = Data::new();
    filled(&data);
    let server = Start::on(&data).serve();
    server.wait_for_line("Checkpoint:");
    let generation = server.health()["generation"].as_u64().expect("a number");
    server.stop();
    wal::segments(&data.wal())
        .iter()
        .for_each(|segment| fs::remove_file(&segment.path).expect("it is there"));
    let text = Start::on(&data).refused().text;
    let (_, rest) = text.split_once("--give-up-segments ").expect("it says how to go on");
    let agreed = rest.split(' ').next().expect("a split has a first part").to_owned();
    let server = Start::on(&data).with("STEMEDB_GIVE_UP_SEGMENTS", agreed).serve();
    let left = server.assertion_count();
    assert!(left > 0 && left <= CLAIMS, "{left}");
    assert!(server.health()["generation"].as_u64().expect("a number") > generation);
    server.stop();
    let server = Start::on(&data).serve();
    assert_eq!(server.assertion_count(), left);
    server.stop();
}
