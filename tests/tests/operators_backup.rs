//! Goal: backups and restores do what the runbooks say, to servers under load as to stopped ones.
//!
//! Method: the commands are typed as they stand there, in an installation whose systemctl is a stand-in, and the claims
//! that clients know to be acknowledged are looked for in what comes out.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stemedb_engine::checkpoint::{DirManifest, OpenTables, ReadError};
use stemedb_engine::claim::Assertion;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::recover_after;
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::table::DirTables;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::disk::{self, Disk, FileSystem, Workshop};
use stemedb_tests::{Client, Installation};

/// The subjects of all claims that a log holds, and the tables beside it.
fn subjects(wal: &Path) -> BTreeSet<String> {
    let mut subjects = BTreeSet::new();
    let mut count = 0;
    let db = wal.with_file_name(wal.file_name().expect("a name").to_string_lossy().replace("wal", "db"));
    let tables =
        OpenTables::open(&DirManifest::new(&db), &DirTables::new(&db)).expect("the tables are sound");
    let read = tables.read_after(0, &(0..1024), &mut |claims| {
        subjects.extend(claims.iter().map(|claim| claim.assertion.claim.subject.as_str().to_owned()));
        count += claims.len();
        Ok::<_, ReadError>(())
    });
    read.expect("the tables are sound");
    let recovered = recover_after(&DirStorage::new(wal), tables.covered(), &mut |records| {
        for record in records.iter().filter(|record| record.kind == RecordKind::Assertion) {
            let assertion = Assertion::decode(record.payload).expect("a record that recovery gives is sound");
            subjects.insert(assertion.claim.subject.as_str().to_owned());
            count += 1;
        }
        Ok(())
    });
    recovered.expect("the log is sound");
    assert_eq!(count, subjects.len(), "no claim is there twice");
    subjects
}

fn write(client: &mut Client, subject: &str) {
    let claim = TestClaim::new(subject, "is", "x".repeat(200));
    client.post("/v1/assert", claim.json()).expect("an answer").ok();
}

fn write_all(installation: &Installation, prefix: &str, count: u64) {
    let mut client = installation.client();
    (0..count).for_each(|number| write(&mut client, &format!("{prefix}/{number}")));
}

/// What is in `metadata.json` of a directory.
fn metadata(directory: &Path) -> Value {
    let text = fs::read(directory.join("metadata.json")).expect("there is metadata");
    serde_json::from_slice(&text).expect("it is JSON")
}

/// Clients that write claims of ever new subjects `w/<client>/<number>` and know how many are acknowledged.
fn under_load<T>(installation: &Installation, clients: u64, act: impl FnOnce(&[AtomicU64]) -> T) -> T {
    let acknowledged: Vec<_> = (0..clients).map(|_| AtomicU64::new(0)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, count) in acknowledged.iter().enumerate() {
            let mut client = installation.client();
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let next = count.load(Ordering::Relaxed);
                    write(&mut client, &format!("w/{number}/{next}"));
                    count.store(next + 1, Ordering::SeqCst);
                }
            });
        }
        let result = act(&acknowledged);
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

fn counts(acknowledged: &[AtomicU64]) -> Vec<u64> {
    acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect()
}

fn wait_for_progress(acknowledged: &[AtomicU64], more: u64) {
    let goal: u64 = counts(acknowledged).iter().sum::<u64>() + more;
    while counts(acknowledged).iter().sum::<u64>() < goal {
        thread::sleep(Duration::from_millis(1));
    }
}

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
fn a_restore_says_what_it_does_and_brings_back_what_the_backup_counted() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 500);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 100);
    let backup = installation.backups().remove(0);
    let output = installation
        .typed("BACKUP_DIR=$(ls -d backups/stemedb-backup-*); ./scripts/restore-stemedb.sh $BACKUP_DIR");
    let mut rest = output.as_str();
    for line in [
        "Stopping StemeDB API service...\n",
        "Renaming existing data/wal to data/wal.backup.",
        "Renaming existing data/db to data/db.backup.",
        "Copying WAL from backup...\n",
        "Copying DB from backup...\n",
        "Copying metadata...\n",
        "Restore complete. Starting StemeDB API service...\n",
        "StemeDB API service started successfully.\n",
    ] {
        let (_, behind) =
            rest.split_once(line).unwrap_or_else(|| panic!("{line:?} is not next in\n{output}"));
        rest = behind;
    }
    assert_eq!(metadata(&backup)["assertion_count"], 500);
    let line = format!("curl --noproxy '*' -s {}/v1/health | jq '.assertion_count'", installation.url());
    assert_eq!(installation.typed(&line), "500\n");
    assert_eq!(installation.typed("cat data/metadata.json | jq '.assertion_count'"), "500\n");
    installation.stop();
    assert_eq!(installation.typed("cat data/metadata.json | jq '.assertion_count'"), "500\n");
    // Nothing is deleted: what was there can be put back.
    let aside = installation.typed("ls -d data/wal.backup.*");
    assert_eq!(subjects(&installation.path(aside.trim())).len(), 600);
    installation.typed("rm -r data/wal data/db data/metadata.json; mv data/wal.backup.* data/wal; mv data/db.backup.* data/db; mv data/metadata.json.backup.* data/metadata.json");
    installation.start();
    assert_eq!(installation.assertion_count(), 600);
}

/// Goal: a log that was given up does not come back for want of another one. Method: a restore to before the only backup's end, and another one to
/// a moment after that.
#[test]
fn the_only_backup_is_not_taken_for_one_of_another_log() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    let first = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01");
    write_all(&installation, "b", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.stop();
    installation.typed(&format!("stemedb-admin restore --target-time {} --yes", first.trim()));
    installation.start();
    assert_eq!(installation.assertion_count(), 50);
    write_all(&installation, "c", 5);
    let second = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01");
    write_all(&installation, "d", 5);
    installation.stop();
    let line = format!("stemedb-admin restore --target-time {} --yes", second.trim());
    let (code, said) = installation.refused(&line);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no backup in backups is of the log that was current"), "{said}");
    installation.start();
    assert_eq!(installation.assertion_count(), 60, "nothing was changed");
}

/// Goal: nothing is put in place but what is restored. Method: half a log, as a restore leaves it that was killed, and a backup of tables only.
#[test]
fn what_a_restore_has_left_that_was_killed_is_not_put_in_place() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("stemedb-admin backup run --type db");
    installation.stop();
    installation.typed("mv data/wal data/wal.aside; cp -r data/wal.aside data/wal.restoring");
    installation.typed("stemedb-admin restore --type db --yes");
    let found = installation.typed("find data -maxdepth 1 -name wal -o -maxdepth 1 -name '*.restoring'");
    assert_eq!(found, "");
}

/// Goal: a restore that is interrupted puts back what was there. Method: nobody takes its output, so that it stands still when something has been
/// changed; then a signal comes.
#[test]
fn a_restore_that_is_interrupted_puts_back_what_was_there() {
    const PIPE_BYTES: usize = 64 << 10;
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 10);
    installation.stop();
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&[b'.'; PIPE_BYTES]).expect("a pipe holds so much");
    let mut restoring = {
        let mut command = installation.command("exec stemedb-admin restore --yes");
        command.stdout(writer).stderr(Stdio::null()).spawn().expect("it starts")
    };
    // It writes to its standard output: system call 1 with 1 as the first argument.
    let path = format!("/proc/{}/syscall", restoring.id());
    while !fs::read_to_string(&path).is_ok_and(|call| call.starts_with("1 0x1 ")) {
        assert!(restoring.try_wait().expect("a child").is_none(), "it ends when its output is taken");
        thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&restoring);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("it is text");
    assert!(output.contains("Renaming existing data/wal"), "{output}");
    assert!(!output.contains("Copying metadata"), "{output}");
    assert_eq!(restoring.wait().expect("a child").code(), Some(1));
    let found =
        installation.typed("find data -maxdepth 1 -name '*.backup.*' -o -maxdepth 1 -name '*.restoring'");
    assert_eq!(found, "");
    installation.start();
    assert_eq!(installation.assertion_count(), 60);
}

#[test]
fn a_restore_works_where_the_log_was_moved_aside() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 300);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.stop();
    installation.typed("mv data/wal data/wal.corrupted.$(date +%Y%m%d-%H%M%S)");
    // A start without the log is refused: nothing may be lost in silence.
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("generation 1 was begun"), "{text}");
    installation.typed("./scripts/restore-stemedb.sh backups/stemedb-backup-[0-9]*");
    assert_eq!(installation.assertion_count(), 300);
}

#[test]
fn a_log_that_is_copied_from_a_backup_by_hand_is_started_from() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 300);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 10);
    installation.stop();
    // A copy that was interrupted is noticed, and so is a log that was lost.
    installation.typed(LOG_BY_HAND);
    let segment = installation.typed("ls data/wal/segment-00-*.log | head -1");
    let file =
        fs::OpenOptions::new().write(true).open(installation.path(segment.trim())).expect("it was copied");
    file.set_len(file.metadata().expect("readable").len() - 8192).expect("writable");
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("is a copy of full_") && text.contains("but not all of it"), "{text}");
    installation.typed("rm -rf data/wal; mkdir data/wal");
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("is not the one that was here"), "{text}");
    installation.typed(LOG_BY_HAND);
    installation.start();
    assert_eq!(installation.assertion_count(), 300);
    write_all(&installation, "c", 5);
    installation.stop();
    installation.start();
    assert_eq!(installation.assertion_count(), 305, "and it goes on");
}

/// What is typed to put the log of the only backup in the place of the log.
const LOG_BY_HAND: &str = "BACKUP_DIR=$(ls -d backups/stemedb-backup-*); rm -rf data/wal; cp -r $BACKUP_DIR/wal data/wal; \
                           chown -R $(id -un):$(id -gn) data/wal; chmod -R 755 data/wal";

/// Starts the service again, and waits until all claims are in tables that were in the log before.
fn move_into_tables(installation: &Installation, claims: u64) {
    installation.stop();
    installation.start();
    let figure = |name: &str| {
        let line = format!("curl --noproxy '*' -s {}/metrics | sed -n 's/^{name} //p'", installation.url());
        installation.typed(&line).trim().parse::<u64>().expect("a figure")
    };
    while figure("stemedb_tables_assertions") < claims {
        assert_eq!(figure("stemedb_upkeep_failed"), 0, "{}", installation.log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Goal: a log that is put back while newer tables are kept takes nothing from them, and what is in both is there once. Method:
/// claims go into tables after the backup, the log is replaced as the runbook types it, and the server is started on it again and
/// again, with other numbers of cores.
#[test]
fn the_log_of_a_backup_goes_below_newer_tables() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 200);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 50);
    move_into_tables(&installation, 250);
    write_all(&installation, "lost with the log", 10);
    installation.stop();
    installation.typed(LOG_BY_HAND);
    for (cores, count) in [(2, 250), (1, 255), (2, 260)] {
        installation.typed(&format!("STEMEDB_CORES={cores} systemctl start stemedb-api"));
        assert_eq!(installation.assertion_count(), count);
        write_all(&installation, &format!("after/{count}"), 5);
        installation.stop();
    }
    // Once more over what has grown since.
    installation.start();
    move_into_tables(&installation, 265);
    installation.stop();
    installation.typed(LOG_BY_HAND);
    installation.start();
    write_all(&installation, "again", 5);
    assert_eq!(installation.assertion_count(), 270);
    installation.typed(
        "stemedb-admin validate --url $(sed -n 's/.*on \\(http:[^ ]*\\).*/\\1/p' server.log | head -1)",
    );
}

#[test]
fn the_log_of_another_history_is_not_taken_for_that_of_the_tables() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 20);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.stop();
    installation.typed("rm -r data; mkdir data");
    installation.start();
    write_all(&installation, "b", 100);
    move_into_tables(&installation, 100);
    installation.stop();
    installation.typed(LOG_BY_HAND);
    let before = installation.typed("find data -type f ! -name LOCK -exec sha256sum {} + | sort");
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("have come from another log") && text.contains("stemedb-admin restore"), "{text}");
    assert_eq!(installation.typed("find data -type f ! -name LOCK -exec sha256sum {} + | sort"), before);
}

#[test]
fn backups_are_listed_newest_first_and_chosen_by_identity() {
    let installation = Installation::new();
    installation.start();
    for round in 0..3 {
        write_all(&installation, &format!("r{round}"), 10);
        installation.typed("./scripts/backup-stemedb.sh");
    }
    installation.typed("stemedb-admin backup run --type wal");
    let list = installation.typed("stemedb-admin backup list");
    let lines: Vec<_> = list.lines().collect();
    assert_eq!((lines[0], lines[4]), ("FULL Backups:", "WAL Backups:"), "{list}");
    let shape = installation.typed(
        r"stemedb-admin backup list --type full | grep -cE '^  full_[0-9]{8}_[0-9]{6}: [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} \([0-9]+\.[0-9]{2} MB\)$'",
    );
    assert_eq!(shape, "3\n", "{list}");
    assert!(lines[1] > lines[2] && lines[2] > lines[3], "{list}");
    let oldest =
        installation.typed("stemedb-admin backup list --type full --json | jq -r '.backups[-1].backup_id'");
    installation.stop();
    let valid =
        installation.typed(&format!("stemedb-admin restore --backup-id {} --validate-only", oldest.trim()));
    assert!(valid.contains("is valid: 10 assertions"), "{valid}");
    let began = SystemTime::now();
    installation.typed(&format!("stemedb-admin restore --backup-id {}", oldest.trim()));
    assert!(began.elapsed().expect("time goes on") >= Duration::from_secs(5), "there is a countdown");
    installation.start();
    assert_eq!(installation.assertion_count(), 10);
    installation.stop();
}

#[test]
fn a_damaged_backup_is_refused_with_a_code_of_its_own_and_another_is_named() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("./scripts/backup-stemedb.sh");
    // The next backup shares nothing with it: all segments are of one that is still being written.
    write_all(&installation, "b", 50);
    installation.typed("./scripts/backup-stemedb.sh");
    let backups = installation.backups();
    let good = metadata(&backups[0])["backup_id"].as_str().expect("an identity").to_owned();
    let file = metadata(&backups[1])["files"][0].clone();
    let path = backups[1].join(file["path"].as_str().expect("a path"));
    let mut bytes = fs::read(&path).expect("readable");
    bytes[5000] ^= 1;
    fs::File::create(&path).and_then(|mut damaged| damaged.write_all(&bytes)).expect("writable");
    let untouched = "cat systemctl.log | wc -l; find data -type f -not -path 'data/status/*' | sort";
    let before = installation.typed(untouched);
    for line in [
        format!("./scripts/restore-stemedb.sh {}", backups[1].display()),
        "stemedb-admin restore --yes --validate-only".to_owned(),
        "./scripts/verify-backup.sh".to_owned(),
    ] {
        let (code, text) = installation.refused(&line);
        assert_eq!(code, 3, "{line}: {text}");
        let expected = file["sha256"].as_str().expect("a checksum");
        for part in ["checksum mismatch", expected, "actual", &format!("--backup-id {good}")] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    let after = installation.typed(untouched);
    assert_eq!(before, after, "the server was not stopped, and nothing was touched");
    // A copy that went bad is not passed on to the next backup.
    installation.typed("./scripts/backup-stemedb.sh && ./scripts/verify-backup.sh");
}

#[test]
fn a_restore_that_fails_leaves_what_was_there() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 100);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 20);
    let (_, text) = installation.refused("stemedb-admin restore --yes");
    assert!(text.contains("is in use by process"), "a running server is left alone: {text}");
    installation.stop();
    let before = installation
        .typed("find data -type f -not -path '*/status/*' -not -name LOCK | sort | xargs sha256sum");
    // A file in the place where the tables are to be copied to: the log is renamed and copied by then.
    installation.typed("touch data/db.restoring");
    let (code, text) = installation.refused("stemedb-admin restore --yes");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("what was there is in its place again"), "{text}");
    installation.typed("rm -f data/db.restoring");
    let after = installation
        .typed("find data -type f -not -path '*/status/*' -not -name LOCK | sort | xargs sha256sum");
    assert_eq!(before, after);
    assert!(installation.typed("cat data/status/restore.json").contains("\"last_run_failed\":true"));
    installation.start();
    assert_eq!(installation.assertion_count(), 120);
}

#[test]
fn a_log_goes_back_to_any_moment() {
    let installation = Installation::new();
    installation.start();
    // Where there is an archive, the log is kept for it; and the first moments need a backup whose tables do not go beyond them.
    installation.typed("stemedb-admin archive run && stemedb-admin backup run");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    let moments = under_load(&installation, 4, |acknowledged| {
        let mut moments = Vec::new();
        for round in 0..10 {
            wait_for_progress(acknowledged, 150);
            // Whatever is acknowledged before the time is taken is there; what is not yet begun afterwards is not.
            let before = counts(acknowledged);
            let time = now();
            moments.push((time, before, counts(acknowledged)));
            if round == 5 {
                installation.typed("./scripts/backup-stemedb.sh");
            }
        }
        moments
    });
    installation.stop();
    installation.typed("cp -a data data.all");
    for (time, before, after) in moments {
        let seconds = format!("{}.{:06}", time / 1_000_000, time % 1_000_000);
        installation.typed("rm -rf data && cp -a data.all data");
        let dry = installation.typed(&format!("stemedb-admin restore --target-time {seconds} --dry-run"));
        assert!(dry.contains("lane 0: ") && dry.contains(" dropped"), "{dry}");
        assert_eq!(
            installation.typed("ls data"),
            installation.typed("ls data.all"),
            "a dry run changes nothing"
        );
        let output = installation.typed(&format!("stemedb-admin restore --target-time {seconds} --yes 2>&1"));
        assert!(
            output.trim_end().lines().last().is_some_and(|line| line.contains("ready to accept connections")),
            "{output}"
        );
        let found = subjects(&installation.path("data/wal"));
        for (client, (&acknowledged, &begun)) in before.iter().zip(&after).enumerate() {
            let of_client = format!("w/{client}/");
            let there = found.iter().filter(|subject| subject.starts_with(&of_client)).count() as u64;
            assert!(
                (acknowledged..=begun + 1).contains(&there),
                "{there} of {acknowledged} to {begun}: {output}"
            );
            assert!((0..there).all(|number| found.contains(&format!("w/{client}/{number}"))), "no gap");
        }
        installation.start();
        assert_eq!(installation.assertion_count(), found.len() as u64);
        installation.stop();
    }
}

#[test]
fn a_log_that_was_given_up_is_not_mixed_with_the_one_that_went_on() {
    let installation = Installation::new();
    let now = || installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01").trim().to_owned();
    let back_to =
        |time: &str| installation.typed(&format!("stemedb-admin restore --target-time {time} --yes"));
    installation.start();
    write_all(&installation, "a", 10);
    // Where there is an archive, the log is kept for it.
    installation.typed("stemedb-admin archive run && stemedb-admin backup run");
    write_all(&installation, "b", 10);
    let branch = now();
    write_all(&installation, "given-up", 100);
    let given_up = now();
    installation.typed("stemedb-admin backup run");
    installation.stop();
    back_to(&branch);
    installation.start();
    write_all(&installation, "c", 10);
    let later = now();
    installation.stop();
    // Once the log that went on is only in its place, once it is also in a backup.
    for _ in 0..2 {
        installation.typed("rm -rf data.kept; cp -a data data.kept");
        for (time, count) in [(&later, 30), (&given_up, 120), (&branch, 20)] {
            installation.typed("rm -rf data; cp -a data.kept data");
            back_to(time);
            installation.start();
            assert_eq!(installation.assertion_count(), count);
            installation.stop();
        }
        installation.typed("rm -rf data; mv data.kept data; stemedb-admin backup run");
    }
}

/// Goal: a record that the newest backup has in its tables, which cannot be cut, is reached from an older one, or refused in a line that says so.
/// Method: claims go into tables between two backups, while the log is kept for an archive.
#[test]
fn a_record_that_tables_hold_is_reached_from_an_older_backup() {
    let installation = Installation::new();
    installation.start();
    installation.typed("stemedb-admin archive run && stemedb-admin backup run");
    write_all(&installation, "a", 40);
    move_into_tables(&installation, 40);
    installation.typed("stemedb-admin backup run");
    write_all(&installation, "b", 10);
    installation.stop();
    let newest = metadata(&installation.backups()[1])["backup_id"].as_str().expect("an identity").to_owned();
    let line = format!("stemedb-admin restore --backup-id {newest} --target-lsn 0:4 --yes");
    let (_, text) = installation.refused(&line);
    let expected = format!("the tables of {newest} may hold record 4 of lane 0");
    assert!(text.contains(&expected) && text.contains("take an older backup"), "{text}");
    installation.typed("stemedb-admin restore --target-lsn 0:4 --yes");
    let found = subjects(&installation.path("data/wal"));
    let first: BTreeSet<_> = (0..found.len()).map(|number| format!("a/{number}")).collect();
    assert_eq!(found, first, "one client wrote them, one after the other");
    assert!((3..40).contains(&found.len()), "record 1 is the generation's: {}", found.len());
    installation.start();
    assert_eq!(installation.assertion_count(), found.len() as u64);
}

#[test]
fn old_backups_go_but_never_the_last_whole_one() {
    let installation = Installation::new();
    installation.start();
    for round in 0..3 {
        write_all(&installation, &format!("r{round}"), 10);
        installation.typed("stemedb-admin backup run");
    }
    let backups = installation.backups();
    for directory in &backups {
        let path = directory.join("metadata.json");
        let text = fs::read_to_string(&path).expect("readable");
        let begun = metadata(directory)["timestamp"].as_str().expect("a time").to_owned();
        fs::write(&path, text.replace(&begun, &format!("2020{}", &begun[4..]))).expect("writable");
    }
    // The newest is damaged: the one before it is the last whole one.
    let file = metadata(&backups[2])["files"][0]["path"].as_str().expect("a path").to_owned();
    fs::write(backups[2].join(file), "damaged").expect("writable");
    assert_eq!(
        installation.typed("BACKUP_RETENTION_DAYS=100000 stemedb-admin backup prune"),
        "Removed 0 of 3 backups\n"
    );
    installation.typed("stemedb-admin backup prune --dry-run");
    assert_eq!(installation.backups().len(), 3);
    let output = installation.typed("stemedb-admin backup prune");
    assert!(output.ends_with("Removed 1 of 3 backups\n"), "{output}");
    assert_eq!(installation.backups(), backups[1..]);
}

/// Goal: that the newest backup cannot be read is told, whoever takes the one before. Method: its metadata is damaged; then it is checked, pushed
/// and restored without a word of which one.
#[test]
fn a_backup_that_cannot_be_read_is_not_passed_over() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin backup run && ./scripts/verify-backup.sh");
    let status = || installation.typed("cat data/status/verify.json");
    assert!(status().contains("\"last_run_failed\":false"), "{}", status());
    installation.typed("stemedb-admin backup run");
    let newest = installation.backups().remove(1);
    let metadata = newest.join("metadata.json");
    let text = fs::read(&metadata).expect("readable");
    fs::write(&metadata, "{").expect("writable");
    let newest = newest.file_name().expect("it has a name").to_string_lossy().into_owned();
    let (code, said) = installation.refused("./scripts/verify-backup.sh");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&newest) && said.contains("The newest one that can be read is full_"), "{said}");
    assert!(status().contains("\"last_run_failed\":true"), "{}", status());
    // What is named is what is asked about, and says nothing of the newest.
    installation.typed("./scripts/verify-backup.sh $(ls -d backups/stemedb-backup-* | head -1)");
    assert!(status().contains("\"last_run_failed\":true"), "{}", status());
    for line in ["backup push --store store 2>&1", "restore --validate-only 2>&1"] {
        let said = installation.typed(&format!("stemedb-admin {line}"));
        assert!(said.contains(&newest) && said.contains("a backup that is newer than full_"), "{said}");
    }
    fs::write(&metadata, text).expect("writable");
    let said =
        installation.typed("./scripts/verify-backup.sh 2>&1 && stemedb-admin restore --validate-only 2>&1");
    assert!(!said.contains("newer than"), "{said}");
    assert!(status().contains("\"last_run_failed\":false"), "{}", status());
    // The newest one is watched under its name as well.
    let id = installation.typed("stemedb-admin backup list --json | jq -r '.backups[0].backup_id'");
    installation.typed(&format!("rm data/status/*; ./scripts/verify-backup.sh {id}"));
    installation.refused(&format!("BACKUP_BUCKET=nowhere stemedb-admin backup push {}", id.trim()));
    assert!(status().contains("\"last_run_failed\":false"), "{}", status());
    assert!(installation.typed("cat data/status/push.json").contains("\"last_run_failed\":true"));
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
        eprintln!("skipped: no systemd-analyze on this machine");
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

#[test]
fn a_backup_on_a_full_disk_fails_is_noted_and_leaves_nothing() {
    if let Err(reason) = disk::lack() {
        eprintln!("skipped: {reason}");
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
    assert_eq!(code, 1);
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
fn a_drill_leaves_production_alone_and_a_line_in_the_log() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 200);
    let before = installation.typed("ls data; cat systemctl.log");
    let home = "ls -A | grep -vx backups";
    let home_before = installation.typed(&format!("mkdir -p data/status drill; {home}"));
    let output = installation.typed("./scripts/dr-drill.sh");
    assert!(output.contains("Validation: PASSED") && output.contains("Smoke test: PASSED"), "{output}");
    let log = installation.typed("cat drill/dr-test-log.txt");
    assert!(
        log.starts_with("DR Test 2") && log.contains(": PASSED (full_") && log.contains("200 assertions"),
        "{log}"
    );
    assert_eq!(installation.typed("ls data | grep -v status; cat systemctl.log"), before);
    assert_eq!(installation.assertion_count(), 200);
    assert_eq!(installation.typed("ls -A drill"), "dr-test-log.txt\n");
    assert_eq!(
        installation.typed(home),
        home_before,
        "the unit lets a drill write to drill, backups and data only"
    );
}

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

#[test]
fn diagnostics_are_collected_and_hide_secrets() {
    let installation = Installation::new();
    installation.start();
    let url = installation.url();
    let output = installation.typed(&format!("MINIO_SECRET_KEY=hunter2 stemedb-admin diagnose --url {url}"));
    assert!(output.contains(" in ./incident-"), "{output}");
    let there = installation.typed("ls incident-*");
    for name in ["health.json", "metrics.txt", "environment.txt", "disk.txt", "process.txt", "metadata.json"]
    {
        assert!(there.lines().any(|line| line == name), "no {name} in {there}");
    }
    assert_eq!(installation.typed("cat incident-*/environment.txt"), "MINIO_SECRET_KEY=[hidden]\n");
    installation.refused("grep -r hunter2 incident-*");
}

/// Goal: who collects diagnostics gets those of the server, wherever it is typed, and no word of what is not there. Method: the data is where only
/// the unit's file of settings says; it is typed elsewhere, and again when the tables are gone.
#[test]
fn diagnostics_are_of_the_unit_wherever_they_are_typed() {
    let installation = Installation::new();
    installation
        .set("STEMEDB_DB_DIR=tables/db\nMINIO_SECRET_KEY = \"hunter2\n3\"\nSTEMEDB_CONFIG=own.toml\n");
    installation.typed("mkdir tables elsewhere; echo '# Of the operator' >own.toml");
    installation.typed("STEMEDB_DB_DIR=tables/db systemctl start stemedb-api");
    let line = format!("cd elsewhere && stemedb-admin diagnose --url {}", installation.url());
    installation.typed(&line);
    installation.typed(
        "cd elsewhere/incident-* && ls metadata.json process.txt && grep 'Of the operator' config.toml",
    );
    let home = installation.home().display();
    let disk = installation.typed("cat elsewhere/incident-*/disk.txt");
    for name in ["data/wal", "tables/db", "tables"] {
        assert!(disk.contains(&format!("{home}/{name}: ")), "no {name} in {disk}");
    }
    assert_eq!(disk.matches(" free\n").count(), 3, "{disk}");
    let expected = format!(
        "# {home}/stemedb.env\nSTEMEDB_DB_DIR=tables/db\nMINIO_SECRET_KEY=[hidden]\nSTEMEDB_CONFIG=own.toml\n"
    );
    assert_eq!(installation.typed("cat elsewhere/incident-*/settings.txt"), expected);
    installation.refused("grep -r hunter2 elsewhere");

    installation.stop();
    installation.typed("mv tables tables.away; rm -r elsewhere/incident-*");
    installation.typed(&line);
    let disk = installation.typed("cat elsewhere/incident-*/disk.txt");
    assert!(disk.contains("tables/db: No such file or directory"), "{disk}");
    assert_eq!(disk.matches(" free\n").count(), 1, "{disk}");
}
