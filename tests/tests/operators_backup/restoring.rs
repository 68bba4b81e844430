//! A backup is put in the place of the data, and what was there comes back if that fails.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, thread};

use stemedb_tests::Installation;

use crate::{metadata, subjects, write_all};

/// How long a process may take for what is waited for. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

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
    wait_until_signals_are_noted(restoring.id());
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

/// Waits until a process has noted all signals that it was sent: none is pending, and its thread that takes them waits for another one.
fn wait_until_signals_are_noted(pid: u32) {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let process = PathBuf::from(format!("/proc/{pid}"));
    let is_pending = || {
        let status = read(&process.join("status"));
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        pending.expect("a line of proc(5)").trim().contains(|digit: char| digit != '0')
    };
    let waits = || {
        let tasks = fs::read_dir(process.join("task")).expect("it runs");
        let mut tasks = tasks.map(|task| task.expect("readable").path());
        let of_signals = tasks.find(|task| read(&task.join("comm")) == "signals\n");
        // In rt_sigtimedwait(2), and asleep: one that runs shows no call.
        of_signals.is_some_and(|task| read(&task.join("syscall")).starts_with("128 "))
    };
    let until = Instant::now() + PATIENCE;
    // In this order: what is taken is not pending any more, and is not noted yet.
    while is_pending() || !waits() {
        assert!(Instant::now() < until, "process {pid} does not take its signals");
        thread::yield_now();
    }
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
