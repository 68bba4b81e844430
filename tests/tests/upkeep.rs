//! Goal: whatever becomes of checkpoints, nothing acknowledged is lost by it, and operators are told.
//!
//! Method: a real server with small segments, of which files are taken away or put in the way of what it does in the
//! background.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use stemedb_engine::checkpoint::{DirManifest, Manifest};
use stemedb_engine::data_dir::Hold;
use stemedb_engine::table::DirTables;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Data, Random, Server, Start, wal};

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

/// Goal: damage of what is stored shows while the server serves, and takes nothing from its clients. Method: a byte of a table, and
/// one of a segment that a reader holds though tables have its claims, are changed under a running server.
#[test]
fn damage_that_the_scrub_finds_is_told_with_file_and_offset_and_other_claims_are_served_on() {
    let mut random = Random::for_test("the scrub");
    let data = Data::new();
    let server = Start::on(&data).serve();
    let _hold = Hold::on(&data.wal()).expect("nobody removes anything");
    fill(&server, 0, &mut random);
    server.wait_for_line("Checkpoint:");
    server.stop();

    // Read before the start, which soon makes another table: the first pass of the scrub leaves that out, and the next is a minute away.
    let manifest = Manifest::open(&DirManifest::new(&data.db()), &DirTables::new(&data.db()));
    let manifest = manifest.expect("it is sound");
    let table = manifest.tables.last().expect("there is a table");
    let table_path = data.db().join(table.facts.number.to_string());
    let kept = wal::segments(&data.wal()).into_iter().find(|segment| manifest.covered.contains(segment.id));
    let segment = kept.expect("covered segments are held");
    let frame = &segment.frames[segment.frames.len() / 2];

    // So slow that what is changed is still to come for some seconds after the start, and is found within the patience of the test.
    let server = Start::on(&data).with("STEMEDB_SCRUB_BYTES_PER_SECOND", "96KiB").serve();
    assert_eq!(server.health()["status"], "healthy");
    change_byte(&table_path, table.facts.bytes / 4 * 3);
    change_byte(&segment.path, frame.offset as u64 + 80);

    for path in [&table_path, &segment.path] {
        let line = server.wait_for_line(&format!("of {}", path.display()));
        assert!(line.contains("ERROR") && line.contains("Stored data is damaged"), "{line}");
        assert!(line.contains("at offset ") && line.contains("disaster.md"), "{line}");
    }
    assert_eq!(server.metric("stemedb_scrub_damage_total"), 2.0);
    assert_eq!(server.metric("stemedb_scrub_damaged_files"), 2.0);
    assert!(server.metric("stemedb_scrub_bytes_total") > 0.0);
    let health = server.health();
    assert_eq!((health["status"].as_str(), health["damaged_files"].as_u64()), (Some("degraded"), Some(2)));
    assert_eq!(health["damage"][0]["file"], table_path.display().to_string());
    let offset = health["damage"][0]["offset"].as_u64().expect("it has an offset");
    assert!((4096..=table.facts.bytes / 4 * 3).contains(&offset), "{health}");
    assert_eq!(health["damage"][1]["file"], segment.path.display().to_string());
    assert_eq!(health["damage"][1]["offset"], frame.offset);
    // Values of this size are read from tables: those of the damaged block cannot be, and all others are served.
    let mut client = server.client();
    let mut unreadable = 0;
    for number in 0..CLAIMS {
        let response = client.get(&format!("/v1/query?concept_path=upkeep/{number}")).expect("an answer");
        if response.status == 500 {
            assert_eq!(response.error_code(), "storage_damaged");
            unreadable += 1;
        } else {
            assert_eq!(response.ok()["count"], 1);
        }
    }
    assert!((1..=4).contains(&unreadable), "{unreadable} claims in one block");
    assert_eq!(server.metric("stemedb_scrub_damage_total"), 2.0, "it is counted once");
    fill(&server, CLAIMS, &mut random);
    assert_eq!(server.client().get("/ready").expect("an answer").status, 200);
    server.stop();
}

/// Goal: who deletes old segments loses nothing as far as tables have their claims, and is told where they have not. Method: the
/// command that operators type, on a log of which the covered segments are old, and then all of them.
#[test]
fn old_segments_may_be_deleted_if_tables_have_their_claims() {
    let mut random = Random::for_test("old segments");
    let data = Data::new();
    let server = Start::on(&data).serve();
    let hold = Hold::on(&data.wal()).expect("nobody removes anything");
    fill(&server, 0, &mut random);
    server.wait_for_line("Checkpoint:");
    server.stop();
    drop(hold);

    let manifest = Manifest::open(&DirManifest::new(&data.db()), &DirTables::new(&data.db()));
    let covered = manifest.expect("it is sound").covered;
    let segments = wal::segments(&data.wal());
    let (needless, needed): (Vec<_>, Vec<_>) =
        segments.iter().partition(|segment| covered.contains(segment.id));
    assert!(!needless.is_empty() && !needed.is_empty(), "{covered:?}");
    needless.iter().for_each(|segment| make_old(&segment.path));
    delete_old_segments(&data);
    assert!(needless.iter().all(|segment| !segment.path.exists()), "the command deletes them");
    assert!(needed.iter().all(|segment| segment.path.exists()));
    let server = Start::on(&data).serve();
    assert_eq!(server.assertion_count(), CLAIMS);
    server.stop();

    wal::segments(&data.wal()).iter().for_each(|segment| make_old(&segment.path));
    delete_old_segments(&data);
    let refused = Start::on(&data).refused();
    for part in ["segment-00-", "is missing", "recovery.md"] {
        assert!(refused.text.contains(part), "no {part} in {}", refused.text);
    }
}

/// Types `find data/wal -name "*.log" -mtime +7 -delete` where `data` is.
fn delete_old_segments(data: &Data) {
    let place = tempfile::tempdir().expect("there is room");
    std::os::unix::fs::symlink(data.root(), place.path().join("data")).expect("a free name");
    let command = r#"find data/wal -name "*.log" -mtime +7 -delete"#;
    let status = Command::new("sh").args(["-c", command]).current_dir(place.path()).status();
    assert!(status.expect("there is a shell").success(), "{command}");
}

/// Has a file look as if nobody had written to it for nine days.
fn make_old(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_secs(9 * 86_400)).expect("it is ours");
}

/// Changes one bit of a file.
fn change_byte(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("it is as long");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("writable");
}
