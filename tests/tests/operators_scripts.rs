//! Goal: a script that an operator types works on what the units work on, stops nothing that it need not stop, and leaves nothing stopped.
//!
//! Method: the scripts are typed in an installation whose systemctl is a stand-in. Where it matters what becomes of a step, a stand-in takes
//! the place of stemedb-admin as well: it notes what it is asked, and passes most of it on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stemedb_tests::Installation;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::disk::{self, Disk, FileSystem, Workshop};

/// The scripts that somebody types or a unit runs. `admin.sh` is stemedb-admin, and explains itself as that does.
const SCRIPTS: [&str; 6] = [
    "archive-wal.sh",
    "backup-stemedb.sh",
    "dr-drill.sh",
    "restore-stemedb.sh",
    "smoke-test.sh",
    "verify-backup.sh",
];

fn write_all(installation: &Installation, prefix: &str, count: u64) {
    let mut client = installation.client();
    for number in 0..count {
        let claim = TestClaim::new(format!("{prefix}/{number}"), "is", number);
        client.post("/v1/assert", claim.json()).expect("an answer").ok();
    }
}

/// Has a backup be of 2020.
fn make_old(backup: &Path) {
    let path = backup.join("metadata.json");
    let text = fs::read_to_string(&path).expect("readable");
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let begun = metadata["timestamp"].as_str().expect("a time");
    fs::write(&path, text.replace(begun, &format!("2020{}", &begun[4..]))).expect("writable");
}

/// Puts a stand-in for stemedb-admin at `fake/admin`, which notes what it is asked in `admin.log` and does `special`, a branch of a
/// `case` on all of its arguments, or what the real one does.
fn stand_in(installation: &Installation, special: &str) {
    let script = format!(
        "#!/usr/bin/env bash\necho \"$*\" >>\"$STEMEDB_HOME/admin.log\"\ncase \"$*\" in\n{special}\nesac\nexec \"$STEMEDB_HOME/bin/stemedb-admin\" \"$@\"\n"
    );
    installation.write_script("fake/admin", &script);
}

/// Goal: what the file of settings says counts for whoever types a script as it does for the units, but for what is typed with it.
/// Method: directories and retention stand in the file alone, beside what a shell would run.
#[test]
fn scripts_take_the_settings_of_the_file() {
    let installation = Installation::new();
    let settings = "# Places with = and blanks.\nSTEMEDB_WAL_DIR = \"the log/wal\"\nSTEMEDB_DB_DIR='tables/db'\n\
                    BACKUP_RETENTION_DAYS=100000\nNOTE=$(touch executed) `touch executed`; touch executed\n";
    installation.set(settings);
    installation.typed("mkdir 'the log' tables");
    installation.typed("STEMEDB_WAL_DIR='the log/wal' STEMEDB_DB_DIR=tables/db systemctl start stemedb-api");
    write_all(&installation, "a", 20);
    let archived = installation.typed("./scripts/archive-wal.sh");
    assert!(archived.starts_with("Archived "), "{archived}");
    let taken = installation.typed("./scripts/backup-stemedb.sh");
    assert!(taken.contains(" 20 assertions"), "{taken}");

    make_old(&installation.backups()[0]);
    let kept = installation.typed("./scripts/backup-stemedb.sh");
    assert!(kept.ends_with("Removed 0 of 2 backups\n"), "{kept}");
    let removed = installation.typed("BACKUP_RETENTION_DAYS=30 ./scripts/backup-stemedb.sh");
    assert!(removed.ends_with("Removed 1 of 3 backups\n"), "what is typed counts before the file: {removed}");

    write_all(&installation, "b", 5);
    let restored = installation.typed("./scripts/restore-stemedb.sh --yes");
    assert!(restored.contains("Restore complete."), "{restored}");
    assert_eq!(installation.assertion_count(), 20);
    installation.typed("ls -d 'the log'/wal.backup.* tables/db.backup.* tables/metadata.json.backup.*");
    assert_eq!(installation.typed("ls -A data; ls -d executed 2>/dev/null || true"), "");
    let listed = installation.typed("cd / && \"$OLDPWD/scripts/admin.sh\" backup list");
    assert_eq!(listed.matches("full_").count(), 2, "{listed}");
}

#[test]
fn settings_that_cannot_be_read_end_a_script() {
    let installation = Installation::new();
    installation.typed("mkdir stemedb.env");
    let (code, said) = installation.refused("./scripts/backup-stemedb.sh");
    assert_eq!(code, 1);
    assert!(said.contains("stemedb.env") && said.contains("Type it with sudo"), "{said}");
    assert!(!installation.path("backups").exists());
}

#[test]
fn a_restore_that_is_to_change_nothing_stops_nothing() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    let look = "cat systemctl.log; ls -A data";
    let before = installation.typed(look);
    let dry = installation.typed("./scripts/restore-stemedb.sh backups/stemedb-backup-* --dry-run");
    assert!(dry.contains("Dry run: full_") && !dry.contains("Restore complete"), "{dry}");
    let valid = installation.typed("./scripts/restore-stemedb.sh --validate-only");
    assert!(valid.contains("is valid: 10 assertions") && !valid.contains("Restore complete"), "{valid}");
    for (line, code, part) in [
        ("./scripts/restore-stemedb.sh ''", 2, "the name of the backup is empty"),
        ("./scripts/restore-stemedb.sh full_20200101_000000", 1, "no backup \"full_20200101_000000\" in"),
        ("./scripts/restore-stemedb.sh --validate-only --target-time never", 2, "`never` is not a time"),
    ] {
        let (its_code, said) = installation.refused(line);
        assert_eq!(its_code, code, "{line}: {said}");
        assert!(said.contains(part), "{line}: {said}");
    }
    assert_eq!(installation.typed(look), before);
    assert_eq!(installation.assertion_count(), 10);
}

#[test]
fn a_restore_takes_the_newest_backup_or_one_by_its_identity() {
    let installation = Installation::new();
    installation.start();
    for round in 0..2 {
        write_all(&installation, &format!("r{round}"), 10);
        installation.typed("./scripts/backup-stemedb.sh");
    }
    let id = |at: usize| {
        let list = "./scripts/admin.sh backup list --json | jq -r '.backups[].backup_id'";
        installation.typed(list).lines().nth(at).expect("there are two").to_owned()
    };
    write_all(&installation, "later", 10);
    let told = installation.typed("./scripts/restore-stemedb.sh 2>&1");
    let (before, behind) = told.split_once("Stopping StemeDB API service...").expect("it is stopped");
    assert!(
        before.contains(&format!("Backup {} is valid", id(0))) && before.contains("Ctrl-C within 5 s"),
        "{told}"
    );
    assert!(behind.contains(&format!("Restored {}", id(0))), "{told}");
    assert_eq!(installation.assertion_count(), 20);
    installation.typed(&format!("./scripts/restore-stemedb.sh {}", id(1)));
    assert_eq!(installation.assertion_count(), 10);
}

/// Goal: whatever ends a restore, the service is started on what is in place. Method: stemedb-admin and the script get the signal in the place of
/// the copy; then the same where the log was renamed already, so that the server refuses to start.
#[test]
fn a_restore_that_is_interrupted_starts_the_service_again() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    let line = "ADMIN=$PWD/fake/admin ./scripts/restore-stemedb.sh --yes";
    stand_in(&installation, "*--yes*) kill -TERM \"$PPID\" \"$$\" ;;");
    let (code, said) = installation.refused(line);
    assert_eq!(code, 143, "{said}");
    assert!(said.contains("The restore was interrupted; what is in place is served again"), "{said}");
    assert_eq!(installation.assertion_count(), 10);

    stand_in(&installation, "*--yes*) mv data/wal data/wal.backup.0; kill -TERM \"$PPID\" \"$$\" ;;");
    let (code, said) = installation.refused(line);
    assert_eq!(code, 143, "{said}");
    assert!(said.contains("does not start") && said.contains("type the same again"), "{said}");
    installation.typed("./scripts/restore-stemedb.sh --yes");
    assert_eq!(installation.assertion_count(), 10);

    stand_in(&installation, "*--yes*) exit 5 ;;");
    let (code, said) = installation.refused(line);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("The restore has failed; what is in place is served again"), "{said}");
    assert_eq!(installation.assertion_count(), 10);
}

/// Goal: the backup that was made is copied, and backups beside it are removed, also where the copy fails. Method: a store that refuses, and old
/// backups there and where they usually are.
#[test]
fn a_backup_elsewhere_is_pushed_and_pruned_there() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/backup-stemedb.sh; ./scripts/backup-stemedb.sh --to elsewhere");
    installation.typed("ls -d elsewhere/stemedb-backup-*");
    installation.backups().iter().for_each(|backup| make_old(backup));
    let there = installation.typed("ls -d elsewhere/stemedb-backup-*");
    make_old(&installation.path(there.trim()));
    stand_in(&installation, "'backup push'*) exit 7 ;;");
    let run = "ADMIN=$PWD/fake/admin BACKUP_BUCKET=stemedb ./scripts/backup-stemedb.sh";
    for option in ["--to elsewhere", "--to=elsewhere --json"] {
        installation.typed("rm -f admin.log");
        let (code, said) = installation.refused(&format!("{run} {option} >told"));
        // That of the copy would say what is untrue of the backup.
        assert_eq!(code, 1, "{said}");
        let id = installation.typed("grep -oE 'full_[0-9]{8}_[0-9]{6}' told | head -n 1");
        let asked = installation.typed("cat admin.log");
        let expected = format!(
            "backup run {option} --help\nbackup run {option}\nbackup push {} --local=elsewhere\nbackup prune --from=elsewhere\n",
            id.trim()
        );
        assert_eq!(asked, expected);
    }
    assert_eq!(installation.typed("ls -d elsewhere/stemedb-backup-* | wc -l"), "2\n", "the old one is gone");
    assert_eq!(installation.backups().len(), 1, "what is elsewhere says nothing of these");
}

/// Goal: whoever asks what a script does is told, and nothing else happens. Method: there is no installation yet.
#[test]
fn each_script_explains_itself() {
    let installation = Installation::new();
    installation.typed("rm -r data bin fake");
    let before = installation.typed("find . | sort");
    for script in SCRIPTS {
        for option in ["--help", "-h", "backups --help"] {
            let line = format!("env -i PATH=/usr/bin:/bin ./scripts/{script} {option}");
            let page = installation.typed(&line);
            assert!(page.starts_with(&format!("Usage: {script}")), "{line}: {page}");
            for part in ["\nExample:\n", "ettings", "\nExit codes: 0 "] {
                assert!(page.contains(part), "{line} has no {part:?}: {page}");
            }
            assert!(page.lines().all(|line| line.len() <= 130), "{page}");
        }
    }
    assert_eq!(installation.typed("find . | sort"), before);
}

/// Goal: what a script does not know is refused before anything is done. Method: where there is nothing yet, and where a server runs.
#[test]
fn what_a_script_does_not_know_is_refused() {
    let refuse_all = |installation: &Installation| {
        let look = "find . -not -path './data/db*' | sort; cat systemctl.log 2>/dev/null || true";
        let before = installation.typed(look);
        for line in SCRIPTS.map(|script| format!("{script} --bogus")).iter().map(String::as_str).chain([
            "backup-stemedb.sh --to backups --bogus=1",
            "dr-drill.sh drill",
            "restore-stemedb.sh backups --bogus",
            "smoke-test.sh http://127.0.0.1:1 --bogus",
            "smoke-test.sh http://127.0.0.1:1 http://127.0.0.1:2",
            "smoke-test.sh ''",
        ]) {
            let (code, said) = installation.refused(&format!("./scripts/{line}"));
            assert_eq!(code, 2, "{line}: {said}");
            let refused = line.rsplit(' ').next().expect("there are arguments");
            assert!(said.contains(refused.split('=').next().expect("it has a name")), "{line}: {said}");
        }
        assert_eq!(installation.typed(look), before);
    };
    let installation = Installation::new();
    refuse_all(&installation);
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.backups().iter().for_each(|backup| make_old(backup));
    installation.typed("./scripts/backup-stemedb.sh --to elsewhere");
    installation.wait_until_prepared();
    refuse_all(&installation);
    assert_eq!(installation.assertion_count(), 10);
}

/// Goal: who types a script in the wrong place finds nothing new there. Method: there is neither a log nor a backup; then there is no program either.
#[test]
fn scripts_that_find_nothing_leave_nothing() {
    let installation = Installation::new();
    installation.typed("rmdir data");
    let before = installation.typed("find . | sort");
    for (line, part) in [
        ("./scripts/archive-wal.sh", "there is no data: \"data/wal\""),
        ("./scripts/backup-stemedb.sh", "there is no data: \"data/wal\""),
        ("./scripts/backup-stemedb.sh --data-dir=other --to there", "there is no data: \"other/wal\""),
        ("./scripts/backup-stemedb.sh --wal-dir w --data-dir other", "there is no data: \"w\""),
        ("STEMEDB_WAL_DIR=w ./scripts/backup-stemedb.sh", "there is no data: \"w\""),
        ("./scripts/dr-drill.sh", "There is no log in data/wal and no backup in backups"),
        ("./scripts/restore-stemedb.sh", "there is no directory \"backups\""),
        ("./scripts/verify-backup.sh", "there is no directory \"backups\""),
        ("STEMEDB_HOME=/nowhere PATH=/usr/bin:/bin ./scripts/dr-drill.sh", "stemedb-admin is neither in"),
        (
            "STEMEDB_HOME=/nowhere PATH=/usr/bin:/bin ./scripts/backup-stemedb.sh",
            "stemedb-admin is neither in",
        ),
    ] {
        let (code, said) = installation.refused(line);
        assert_eq!(code, 1, "{line}: {said}");
        assert!(said.contains(part), "{line}: {said}");
        assert_eq!(installation.typed("find . | sort"), before, "{line}");
    }
    // Where the log's disk is missing and that of the backups, somebody has to hear of it.
    installation.typed("mkdir data");
    installation.refused("./scripts/backup-stemedb.sh");
    assert!(installation.typed("cat data/status/backup.json").contains("\"last_run_failed\":true"));
    installation.typed("rm -r data");
    // A log that is gone from an installation that has been backed up is no wrong place.
    installation.typed("mkdir backups data");
    installation.refused("./scripts/backup-stemedb.sh");
    assert!(installation.typed("cat backups/history.jsonl").contains("\"succeeded\":false"));
    assert!(installation.typed("cat data/status/backup.json").contains("\"last_run_failed\":true"));
    installation.refused("./scripts/dr-drill.sh");
    assert!(installation.typed("cat drill/dr-test-log.txt").contains(": FAILED at: backup"));
}

/// Goal: how the copy of a backup went is noted where its data is. Method: there is no store, and the data is elsewhere.
#[test]
fn the_copy_of_a_backup_is_noted_where_its_data_is() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.stop();
    installation.typed("mv data other; mkdir data");
    for option in ["--data-dir other", "--data-dir=other", "--wal-dir other/wal --db-dir=other/db"] {
        let line = format!("BACKUP_BUCKET=nowhere ./scripts/backup-stemedb.sh {option}");
        installation.refused(&line);
        for name in ["backup.json", "push.json"] {
            let status = installation.typed(&format!("cat other/status/{name}; rm other/status/{name}"));
            assert_eq!(status.contains("\"last_run_failed\":true"), name == "push.json", "{line}: {status}");
        }
        assert_eq!(installation.typed("ls data"), "", "{line}");
    }
}

/// Goal: where old backups take the room of the next one they make it, and where there is no room otherwise they stay. Method: backups on a disk that is
/// full of what lies beside the last one, and then in the oldest.
#[test]
fn old_backups_make_room_for_the_next() {
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
    let to = disk.path().join("backups");
    let run = format!("./scripts/backup-stemedb.sh --to {}", to.display());
    for prefix in ["a", "b"] {
        write_all(&installation, prefix, 500);
        installation.typed(&run);
    }
    let list = || installation.typed(&format!("ls -d {}/stemedb-backup-*", to.display()));
    let before = list();
    let oldest = Path::new(before.lines().next().expect("there are two"));
    let fill = |directory: &Path| {
        installation.refused(&format!("cat /dev/zero >{}/filler", directory.display()));
    };
    fill(disk.path());
    write_all(&installation, "c", 2000);
    // None is older than may be.
    for _ in 0..2 {
        let (code, said) = installation.refused(&run);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("No space left on device") && said.contains("Removed 0 of 2"), "{said}");
        assert_eq!(list(), before);
    }
    installation.typed(&format!("rm {}/filler", disk.path().display()));
    make_old(oldest);
    fill(oldest);
    let output = installation.output_of(&run);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("No space left on device") && said.contains("Removed 1 of 2 backups"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(" 3,000 assertions"), "{output:?}");
    assert!(!oldest.exists());
    assert_eq!(list().lines().count(), 2);
    assert!(installation.typed("cat data/status/backup.json").contains("\"last_run_failed\":false"));
}

/// Goal: while backups fail for another reason, old ones are all that there is. Method: a log that is gone, after a run that had no room.
#[test]
fn a_backup_that_fails_for_another_reason_removes_none() {
    let installation = Installation::new();
    installation.start();
    for _ in 0..2 {
        installation.typed("./scripts/backup-stemedb.sh");
    }
    installation.backups().iter().for_each(|backup| make_old(backup));
    installation.stop();
    installation.typed("mv data/wal data/wal.aside");
    let no_room = r#"{"succeeded":false,"error":"No space left on device"}"#;
    installation.typed(&format!("echo '{no_room}' >>backups/history.jsonl"));
    let (code, said) = installation.refused("./scripts/backup-stemedb.sh");
    assert_eq!(code, 1, "{said}");
    assert!(installation.typed("tail -n 1 backups/history.jsonl").contains("\"succeeded\":false"));
    assert_eq!(installation.backups().len(), 2);
}

/// Goal: the file of settings that is installed names every one that somebody may set, and no other. Method: the names in the sources of the programs
/// and in the scripts are those in the example.
#[test]
fn the_example_of_settings_has_all_that_are_read() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &Path| fs::read_to_string(path).expect("text");
    let mut expected = BTreeSet::new();
    let mut sources = vec![repository.join("net/src")];
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources
                .extend(fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path()));
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            let text = read(&path);
            let code = text.split("#[cfg(test)]").next().expect("a split has a first part");
            expected.extend(names_behind(code, "\"").filter(|name| is_setting(name)));
            for mark in ["env = \"", "env::var(\"", "env::var_os(\""] {
                expected.extend(names_behind(code, mark));
            }
        }
    }
    for script in fs::read_dir(repository.join("deploy/scripts")).expect("readable") {
        let text = read(&script.expect("readable").path());
        expected.extend(names_behind(&text, "${").filter(|name| is_setting(name)));
    }
    // The file itself is looked for where this says; and the journal's is systemd's to set.
    for name in ["STEMEDB_HOME", "JOURNAL_STREAM"] {
        assert!(expected.remove(name), "{name} is not read any more");
    }
    let example = read(&repository.join(".env.example"));
    let named = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let named = named.filter(|(name, _)| !name.starts_with(' '));
    let found: BTreeSet<_> = named.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(found, expected);
    for unit in fs::read_dir(repository.join("deploy/systemd")).expect("readable") {
        let path = unit.expect("readable").path();
        let is_read = read(&path).contains("\nEnvironmentFile=-/etc/stemedb/stemedb.env\n");
        assert_eq!(is_read, path.extension().is_some_and(|kind| kind == "service"), "{}", path.display());
    }
}

/// The names of variables that a text has behind this mark.
fn names_behind<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = String> + 't {
    let is_of_name = |character: char| character.is_ascii_uppercase() || matches!(character, '_' | '0'..='9');
    text.split(mark).skip(1).map(move |rest| {
        let end = rest.find(|character| !is_of_name(character)).unwrap_or(rest.len());
        rest[..end].to_owned()
    })
}

/// Whether a name is one of our settings.
fn is_setting(name: &str) -> bool {
    let rests = ["STEMEDB_", "BACKUP_", "MINIO_", "AWS_"].map(|prefix| name.strip_prefix(prefix));
    rests.into_iter().flatten().any(|rest| !rest.is_empty())
}
