//! Everything under a real systemd.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use stemedb_tests::binary;
use stemedb_tests::disk::Workshop;
use stemedb_tests::held_thread::HeldThread;
use stemedb_tests::machine::Machine;

use crate::notify::{STEPS, steps};
use crate::repository;

/// How long the machine may take for a step. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a stop may take, and the port be in use after it began.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

const HEALTH: &str = "curl -s http://localhost:18180/v1/health";

/// A machine with StemeDB installed as deploy/README.md says. `None`, and a word about it, where none can be booted.
fn installed() -> Option<(Machine, Workshop)> {
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(lack) => {
            eprintln!("skipped: {lack}");
            return None;
        }
    };
    // The installer takes what cargo has built for release; here that is what is under test.
    let target = Workshop::new();
    fs::create_dir(target.path("release")).expect("writable");
    for binary in [binary::stemedb_api(), binary::stemedb_admin()] {
        let name = binary.file_name().expect("a program has a name");
        symlink(binary, target.path("release").join(name)).expect("writable");
    }
    machine.typed(&format!(
        "cd {} && CARGO_TARGET_DIR={} deploy/install.sh",
        repository().display(),
        target.path("").display()
    ));
    Some((machine, target))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not after {PATIENCE:?}: {what}");
        std::thread::sleep(RETRY_PAUSE);
    }
}

fn main_pid(machine: &Machine) -> u32 {
    machine.typed("systemctl show -P MainPID stemedb-api").trim().parse().expect("a number")
}

fn assertion_count(machine: &Machine) -> String {
    machine.typed(&format!("{HEALTH} | jq '.assertion_count'")).trim().to_owned()
}

fn assert_one(machine: &Machine) {
    let answer = machine.typed(
        r#"curl -s -X POST http://localhost:18180/v1/assert -H "Content-Type: application/json" -d '{"concept_path":"test/service","predicate":"is","value":true,"timestamp":1700000000}'"#,
    );
    assert!(answer.contains(r#""status":"created""#), "{answer}");
}

/// Writes the drop-in that `systemctl edit stemedb-api` writes, where a terminal is needed.
fn edit(machine: &Machine, setting: &str) {
    machine.typed(&format!(
        "mkdir -p /etc/systemd/system/stemedb-api.service.d && \
         printf '[Service]\\n%s\\n' '{setting}' >/etc/systemd/system/stemedb-api.service.d/override.conf && \
         systemctl daemon-reload"
    ));
}

#[test]
fn a_service_starts_tells_how_it_is_is_moved_by_a_drop_in_and_stops_within_five_seconds() {
    let Some((machine, _target)) = installed() else { return };
    machine.typed("systemctl enable --now stemedb-api");
    let status = machine.typed("systemctl status stemedb-api");
    for part in
        ["active (running)", "Status: \"Startup complete: serving 0 assertions on http://127.0.0.1:18180"]
    {
        assert!(status.contains(part), "no {part:?} in\n{status}");
    }
    let log = machine.typed("journalctl -u stemedb-api -n 50 -o cat");
    assert_eq!(steps(&log).len(), STEPS.len(), "{log}");
    let ours = |line: &&str| line.contains("INFO") || line.contains("WARN");
    assert!(log.lines().filter(ours).all(|line| line.starts_with([' ', 'W'])), "a time twice in\n{log}");
    for word in ["wal", "tls", "index"] {
        machine.typed(&format!("journalctl -u stemedb-api -n 50 | grep -i {word}"));
    }
    // The filter of system calls is in force, with io_uring at work behind it.
    machine.typed(&format!("grep -E '^Seccomp:.2' /proc/{}/status", main_pid(&machine)));
    assert_one(&machine);

    edit(&machine, r#"Environment="STEMEDB_BIND_ADDR=127.0.0.1:18280""#);
    machine.typed("systemctl restart stemedb-api");
    let count = machine.typed("curl -s http://localhost:18280/v1/health | jq '.assertion_count'");
    assert_eq!(count, "1\n");
    assert!(!machine.output(HEALTH).status.success(), "nobody listens on the old port");

    // A client that holds its connection holds up nobody.
    machine.typed("exec 3<>/dev/tcp/localhost/18280; sleep 60 >/dev/null 2>&1 & disown");
    let began = Instant::now();
    machine.typed("systemctl stop stemedb-api");
    machine.typed("python3 -c 'import socket; socket.create_server((\"127.0.0.1\", 18280))'");
    assert!(began.elapsed() < STOP_TIME_MAX, "{:?}", began.elapsed());
    assert_eq!(machine.typed("systemctl show -P Result stemedb-api"), "success\n");
    assert!(machine.typed("journalctl -u stemedb-api -o cat").contains("Stopped with 1 assertions"));
    assert_eq!(machine.typed("cat /opt/stemedb/data/metadata.json | jq '.assertion_count'"), "1\n");
    assert!(!machine.output("systemctl status stemedb-api").status.success(), "it is stopped");

    machine.typed("systemctl start stemedb-api");
    machine.typed(&format!("{}/deploy/install.sh --uninstall", repository().display()));
    assert!(!machine.output("systemctl is-active stemedb-api").status.success(), "it is removed");
    assert!(!machine.output("systemctl cat stemedb-backup.timer").status.success(), "it is removed");
    assert_eq!(machine.typed("cat /opt/stemedb/data/metadata.json | jq '.assertion_count'"), "1\n");
}

#[test]
fn a_killed_or_stuck_server_comes_back_with_all_it_had() {
    let Some((machine, _target)) = installed() else { return };
    edit(&machine, "WatchdogSec=3");
    machine.typed("systemctl start stemedb-api");
    assert_one(&machine);
    let serves_anew = |before: u32| {
        wait_until("it is started again", || {
            let running = machine.output("systemctl is-active stemedb-api").stdout == b"active\n";
            running && ![0, before].contains(&main_pid(&machine))
        });
        assert_eq!(assertion_count(&machine), "1");
        main_pid(&machine)
    };
    let killed = main_pid(&machine);
    machine.typed(&format!("kill -9 {killed}"));
    let stuck = serves_anew(killed);

    let held = HeldThread::named(machine.number_here(stuck), "core-0");
    wait_until("the watchdog fires", || {
        machine.typed("journalctl -u stemedb-api -o cat").contains("Watchdog timeout")
    });
    held.ended();
    serves_anew(stuck);
    assert_eq!(machine.typed("systemctl show -P NRestarts stemedb-api"), "2\n");
    let log = machine.typed("journalctl -u stemedb-api -o cat");
    assert!(log.contains("Core 0 has not turned its loop"), "{log}");
}

#[test]
fn a_start_on_a_port_that_is_taken_fails_at_once_and_says_so_in_the_journal() {
    let Some((machine, _target)) = installed() else { return };
    machine.typed(
        "systemd-run --quiet --unit=other --service-type=notify -E STEMEDB_WAL_DIR=/tmp/wal -E STEMEDB_DB_DIR=/tmp/db \
         /opt/stemedb/bin/stemedb-api",
    );
    assert!(!machine.output("systemctl start stemedb-api").status.success());
    let log = machine.typed("journalctl -u stemedb-api -o cat | grep 'Address already in use'");
    assert!(log.contains("127.0.0.1:18180"), "{log}");
}
