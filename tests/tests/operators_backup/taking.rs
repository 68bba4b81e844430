//! Backups are taken: of a server under load, one after another, on a disk that is full, and when they are due.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stemedb_tests::Installation;
use stemedb_tests::disk::{self, Disk, FileSystem, Workshop};

use crate::{counts, metadata, subjects, under_load, wait_for_progress, write_all};

#[test]
fn a_backup_under_load_holds_all_that_was_acknowledged_before() {
    let installation = Installation::new();
    installation.start();
    let starts = under_load(&installation, 6, |acknowledged| {
        let mut starts = Vec::new();
        for _ in 0..8 {
            wait_for_progress(acknowledged, 1500);
            starts.push(counts(acknowledged));
            let output = installation.typed("./scripts/backup-stemedb.sh");
            assert!(output.contains(" complete: "), "{output}");
        }
        starts
    });
    let backups = installation.backups();
    assert_eq!(backups.len(), starts.len());
    for (directory, start) in backups.iter().zip(&starts) {
        let found = subjects(&directory.join("wal"));
        for (client, &count) in start.iter().enumerate() {
            for number in 0..count {
                assert!(found.contains(&format!("w/{client}/{number}")), "{client}/{number} of {count}");
            }
        }
        let metadata = metadata(directory);
        assert_eq!(metadata["assertion_count"], found.len());
        assert_eq!(metadata["backup_type"], "full");
        assert_eq!(metadata["version"].as_str().map(|version| version.split('.').count()), Some(3));
        let timestamp = metadata["timestamp"].as_str().expect("a time");
        assert!(timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T', "{timestamp}");
        let files = metadata["files"].as_array().expect("files");
        let segments =
            files.iter().filter(|file| file["path"].as_str().is_some_and(|path| path.ends_with(".log")));
        assert_eq!(metadata["wal_segment_count"], segments.count());
        let bytes: u64 = files.iter().map(|file| file["bytes"].as_u64().expect("bytes")).sum();
        assert_eq!(metadata["size_bytes"], bytes);
        assert!(files.iter().all(|file| file["sha256"].as_str().is_some_and(|sum| sum.len() == 64)));
        assert!(directory.join("db").is_dir());
    }
    let size = |directory: &Path| metadata(directory)["size_bytes"].as_u64().expect("bytes");
    let last = backups.last().expect("backups were taken");
    let history = fs::read_to_string(installation.path("backups/history.jsonl")).expect("a history");
    assert_eq!(history.lines().filter(|line| line.contains("\"succeeded\":true")).count(), starts.len());
    let status: Value =
        serde_json::from_slice(&fs::read(installation.path("data/status/backup.json")).expect("a status"))
            .expect("JSON");
    assert_eq!(
        (&status["last_run_failed"], &status["size_bytes"]),
        (&Value::from(false), &Value::from(size(last)))
    );
}

/// Goal: whoever begins a second backup gets it. Method: the lock of the first is held until the second has said that it waits; then the drill's
/// and the timer's begin together, as two timers of systemd may.
#[test]
fn two_backups_at_once_are_taken_one_after_the_other() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    let told = installation.typed(
        "mkdir -p backups; exec 9>backups/.lock; flock 9; stemedb-admin backup run 2>told 9>&- & \
         until grep -q waiting told; do sleep 0.02; done; flock -u 9; wait $!; cat told",
    );
    assert!(
        told.contains("a backup is under way in another process") && told.contains("backups/.lock"),
        "{told}"
    );
    let output = installation
        .typed("./scripts/dr-drill.sh >drilled & ./scripts/backup-stemedb.sh && wait $! && cat drilled");
    assert!(output.contains(": PASSED (full_"), "{output}");
    assert_eq!(installation.backups().len(), 3);
    installation.typed("for backup in backups/stemedb-backup-*; do ./scripts/verify-backup.sh $backup; done");
}

#[test]
fn a_backup_shares_what_has_not_changed_since_the_last() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 500);
    installation.stop();
    for _ in 0..2 {
        installation.typed("./scripts/backup-stemedb.sh");
    }
    let backups = installation.backups();
    // All but the note of which backup it is.
    let files = |directory: &Path| {
        let mut files = metadata(directory)["files"].as_array().expect("files").clone();
        files.retain(|file| file["path"] != "wal/BACKUP");
        files
    };
    assert_eq!(files(&backups[0]), files(&backups[1]));
    assert_eq!(metadata(&backups[1])["copied_bytes"], 0);
}

#[test]
fn a_backup_on_a_full_disk_fails_is_noted_and_leaves_nothing() {
    if let Err(reason) = disk::lack() {
        stemedb_tests::skip(reason);
        return;
    }
    let workshop = Workshop::new();
    let mount_point = workshop.path("mounted");
    fs::create_dir(&mount_point).expect("writable");
    let disk = Disk::make(FileSystem::Ext4, &workshop.path("image"), 192 << 20, &mount_point);
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 2000);
    let to = disk.path().join("backups");
    let run = format!("stemedb-admin backup run --to {}", to.display());
    installation.typed(&run);
    // All that is left goes to somebody else, to the last byte.
    installation.refused(&format!("cat /dev/zero > {}", disk.path().join("filler").display()));
    write_all(&installation, "b", 2000);
    let (code, text) = installation.refused(&run);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("No space left on device"), "{text}");
    let list = installation
        .typed(&format!("stemedb-admin backup list --from {} --json | jq '.backups | length'", to.display()));
    assert_eq!(list, "1\n");
    assert_eq!(installation.typed(&format!("ls -A {} | grep -c partial || true", to.display())), "0\n");
    let history = fs::read_to_string(to.join("history.jsonl")).expect("a history");
    let last = history.lines().last().expect("a line");
    assert!(last.contains("\"succeeded\":false") && last.contains("No space left"), "{history}");
    assert!(installation.typed("cat data/status/backup.json").contains("\"last_run_failed\":true"));
    installation.typed(&format!("rm {} && {run}", disk.path().join("filler").display()));
    assert_eq!(installation.assertion_count(), 4000);
}

#[test]
fn a_schedule_of_cron_is_one_of_systemd() {
    let installation = Installation::new();
    let drop_in = installation.typed("stemedb-admin backup schedule");
    assert_eq!(drop_in, "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 02:00:00 UTC\n");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let timer = fs::read_to_string(units.join("stemedb-backup.timer")).expect("a timer");
    assert!(timer.contains("OnCalendar=*-*-* 02:00:00 UTC\n"), "the default is that of the unit");
    if !installation.output_of("systemd-analyze --version").status.success() {
        stemedb_tests::skip("no systemd-analyze on this machine");
        return;
    }
    for cron in ["0 2 * * *", "*/15 1-5 1,15 * 1-5", "59 23 31 12 7"] {
        let line = format!(
            "BACKUP_SCHEDULE='{cron}' stemedb-admin backup schedule | sed -n 's/^OnCalendar=//p' | sed '/^$/d' \
             | while read -r event; do systemd-analyze calendar \"$event\"; done"
        );
        assert!(installation.typed(&line).contains("Normalized form"), "{cron}");
    }
}
