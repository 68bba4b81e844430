//! What is served is compared with what is stored.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stemedb_tests::Installation;

use crate::{move_into_tables, write_all};

#[test]
fn a_validation_compares_what_is_served_with_the_log() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 700);
    let url = installation.url();
    let output = installation.typed(&format!("stemedb-admin validate --url {url}"));
    assert!(output.ends_with("Validation: PASSED\n"), "{output}");
    let names = installation.typed("ls validation_report_*");
    let is_report = |end: &str| {
        names.lines().any(|name| {
            name.len() == "validation_report_20260130_020000.txt".len() + end.len() - 4 && name.ends_with(end)
        })
    };
    assert!(is_report(".txt") && is_report(".json"), "{names}");
    // Validated against another log, the counts differ.
    let other = Installation::new();
    other.start();
    write_all(&other, "b", 5);
    let line = format!("stemedb-admin validate --url {} --json", other.url());
    let output = installation.output_of(&line);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["validation"], "FAILED");
    let (code, _) = installation.refused("stemedb-admin validate --url http://127.0.0.1:1");
    assert_eq!(code, 1);
}

/// Goal: a claim that one of tables, log and index lacks is named, with the file. Method: a byte of a table, and of a segment, is changed under a
/// running server; and servers are compared with data that has a claim more, or less, than theirs.
#[test]
fn a_validation_names_what_tables_log_or_index_lack() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "tabled", 250);
    move_into_tables(&installation, 250);
    write_all(&installation, "logged", 20);
    let passed = installation.typed(&format!("stemedb-admin validate --url {}", installation.url()));
    assert!(passed.contains("270 claims about 270 paths are found"), "{passed}");

    // The index has a claim that is not stored, and the other way round.
    installation.stop();
    installation.typed("cp -a data data.less");
    installation.start();
    write_all(&installation, "one/more", 1);
    let orphan = failed_checks(&installation, "data.less");
    assert!(orphan.contains("in no table and no segment") && orphan.contains("about one/more/0"), "{orphan}");
    installation.stop();
    installation.typed("mv data data.more; cp -a data.less data");
    installation.start();
    let missing = failed_checks(&installation, "data.more");
    assert!(
        missing.contains("not found by the server")
            && missing.contains("about one/more/0, which is in segment-"),
        "{missing}"
    );

    // A table, then the log.
    let table = installation.typed("ls data/db/assertions-*.kv | head -1");
    let table = table.trim();
    change_a_byte(&installation.path(table), 4096 + 300);
    let damaged = failed_checks(&installation, "data");
    let name = table.trim_start_matches("data/db/");
    assert!(damaged.contains(name) && damaged.contains("offset 4096"), "{damaged}");
    assert!(damaged.contains("about tabled/"), "what the block held is named: {damaged}");
    change_a_byte(&installation.path(table), 4096 + 300);
    // Of a segment that is still being written, the second frame.
    let begun =
        "for file in data/wal/segment-00-*.log; do cmp -s -n 4096 $file /dev/zero || echo $file; done";
    let segment = installation.typed(&format!("{begun} | tail -1"));
    write_all(&installation, "behind", 20);
    change_a_byte(&installation.path(segment.trim()), 8192 + 70);
    let damaged = failed_checks(&installation, "data");
    let name = segment.trim().trim_start_matches("data/wal/");
    assert!(damaged.contains(name) && damaged.contains("offset 8192"), "{damaged}");
    assert!(damaged.contains("about behind/") || damaged.contains("about logged/"), "{damaged}");
}

/// Runs a validation that must fail, and gives what it says of each check.
fn failed_checks(installation: &Installation, data: &str) -> String {
    let line = format!("stemedb-admin validate --url {} --data-dir {data}", installation.url());
    let output = installation.output_of(&line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.ends_with("Validation: FAILED\n"), "{text}");
    assert_eq!(installation.typed("ls -A | grep -c validating || true"), "0\n", "passing files are removed");
    text.lines().filter(|line| line.starts_with("fail")).map(|line| format!("{line}\n")).collect()
}

fn change_a_byte(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, offset).expect("readable");
    std::os::unix::fs::FileExt::write_all_at(&file, &[byte[0] ^ 1], offset).expect("writable");
}
