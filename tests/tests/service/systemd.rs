//! Everything under a real systemd.

use std::time::Duration;

use stemedb_tests::held_thread::HeldThread;
use stemedb_tests::machine::Host;
use stemedb_tests::skip;

use crate::notify::{STEPS, steps};

/// How long a stop may take.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

const HEALTH: &str = "curl -s http://localhost:18180/v1/health";

/// A host with StemeDB installed. `None`, and a word about it, where none can be booted.
fn installed() -> Option<Host> {
    Host::install().inspect_err(|lack| skip(lack)).ok()
}

fn assertion_count(host: &Host) -> String {
    host.typed(&format!("{HEALTH} | jq '.assertion_count'")).trim().to_owned()
}

fn assert_one(host: &Host) {
    let answer = host.typed(
        r#"curl -s -X POST http://localhost:18180/v1/assert -H "Content-Type: application/json" -d '{"concept_path":"test/service","predicate":"is","value":true,"timestamp":1700000000}'"#,
    );
    assert!(answer.contains(r#""status":"created""#), "{answer}");
}

#[test]
fn a_service_starts_tells_how_it_is_is_moved_by_a_drop_in_and_stops_within_five_seconds() {
    let Some(host) = installed() else { return };
    host.typed("systemctl enable --now stemedb-api");
    let status = host.typed("systemctl status stemedb-api");
    for part in
        ["active (running)", "Status: \"Startup complete: serving 0 assertions on http://127.0.0.1:18180"]
    {
        assert!(status.contains(part), "no {part:?} in\n{status}");
    }
    let log = host.typed("journalctl -u stemedb-api -n 50 -o cat");
    assert_eq!(steps(&log).len(), STEPS.len(), "{log}");
    let ours = |line: &&str| line.contains("INFO") || line.contains("WARN");
    assert!(log.lines().filter(ours).all(|line| line.starts_with([' ', 'W'])), "a time twice in\n{log}");
    for word in ["wal", "tls", "index"] {
        host.typed(&format!("journalctl -u stemedb-api -n 50 | grep -i {word}"));
    }
    // The filter of system calls is in force, with io_uring at work behind it.
    host.typed(&format!("grep -E '^Seccomp:.2' /proc/{}/status", host.main_pid()));
    assert_one(&host);

    host.edit(r#"Environment="STEMEDB_BIND_ADDR=127.0.0.1:18280""#);
    host.typed("systemctl restart stemedb-api");
    let count = host.typed("curl -s http://localhost:18280/v1/health | jq '.assertion_count'");
    assert_eq!(count, "1\n");
    assert!(!host.output(HEALTH).status.success(), "nobody listens on the old port");

    // A client that holds its connection holds up nobody.
    host.typed("exec 3<>/dev/tcp/localhost/18280; sleep 60 >/dev/null 2>&1 & disown");
    host.typed("systemctl stop stemedb-api");
    // The port is free at once.
    host.typed("python3 -c 'import socket; socket.create_server((\"127.0.0.1\", 18280))'");
    // As systemd has timed it: without what it takes to type that on this machine.
    let moment = |property: &str| -> u64 {
        let moment = host.typed(&format!("systemctl show -P {property} stemedb-api"));
        moment.trim().parse().unwrap_or_else(|_| panic!("{property} is {moment:?}"))
    };
    let took_us = moment("InactiveEnterTimestampMonotonic") - moment("ActiveExitTimestampMonotonic");
    assert!(Duration::from_micros(took_us) < STOP_TIME_MAX, "{took_us} us");
    assert_eq!(host.typed("systemctl show -P Result stemedb-api"), "success\n");
    assert!(host.typed("journalctl -u stemedb-api -o cat").contains("Stopped with 1 assertions"));
    assert_eq!(host.typed("cat /opt/stemedb/data/metadata.json | jq '.assertion_count'"), "1\n");
    assert!(!host.output("systemctl status stemedb-api").status.success(), "it is stopped");

    host.typed("systemctl start stemedb-api");
    host.typed(&format!("{}/deploy/install.sh --uninstall", Host::checkout().display()));
    assert!(!host.output("systemctl is-active stemedb-api").status.success(), "it is removed");
    assert!(!host.output("systemctl cat stemedb-backup.timer").status.success(), "it is removed");
    assert_eq!(host.typed("cat /opt/stemedb/data/metadata.json | jq '.assertion_count'"), "1\n");
}

#[test]
fn a_killed_or_stuck_server_comes_back_with_all_it_had() {
    let Some(host) = installed() else { return };
    host.typed("systemctl start stemedb-api");
    assert_one(&host);
    let serves_anew = |before: u32| {
        host.wait_until("it is started again", || {
            let running = host.output("systemctl is-active stemedb-api").stdout == b"active\n";
            running && ![0, before].contains(&host.main_pid())
        });
        assert_eq!(assertion_count(&host), "1");
        host.main_pid()
    };
    let restarts =
        || -> u32 { host.typed("systemctl show -P NRestarts stemedb-api").trim().parse().expect("a number") };
    let killed = host.main_pid();
    host.typed(&format!("kill -9 {killed}"));
    serves_anew(killed);
    assert!(restarts() >= 1, "that was systemd");

    // Not before, and no more is made of the count: so short a time ends also a server that this machine holds up.
    host.typed("systemctl stop stemedb-api");
    host.edit("WatchdogSec=3");
    host.typed("systemctl start stemedb-api");
    let stuck = host.main_pid();
    let held = HeldThread::named(host.number_here(stuck), "core-0");
    host.wait_until("the watchdog fires", || {
        host.typed("journalctl -u stemedb-api -o cat").contains("Watchdog timeout")
    });
    held.ended();
    serves_anew(stuck);
    assert!(restarts() >= 1, "that was systemd");
    let log = host.typed("journalctl -u stemedb-api -o cat");
    assert!(log.contains("Core 0 has not turned its loop"), "{log}");
}

#[test]
fn a_start_on_a_port_that_is_taken_fails_at_once_and_says_so_in_the_journal() {
    let Some(host) = installed() else { return };
    host.typed(
        "systemd-run --quiet --unit=other --service-type=notify -E STEMEDB_WAL_DIR=/tmp/wal -E STEMEDB_DB_DIR=/tmp/db \
         /opt/stemedb/bin/stemedb-api",
    );
    assert!(!host.output("systemctl start stemedb-api").status.success());
    let log = host.typed("journalctl -u stemedb-api -o cat -p err | grep 'Address already in use'");
    assert!(log.starts_with("ERROR ") && log.contains("127.0.0.1:18180"), "{log}");
}

/// Goal: a renewed certificate goes into use by the command that operators know from other services. Method: the files are
/// replaced and the service is reloaded; the process stays, and shows the new certificate.
#[test]
fn a_reload_takes_new_certificates_and_leaves_the_server_running() {
    let Some(host) = installed() else { return };
    let issue = |days: u32| {
        host.typed(&format!(
            "install -d /etc/stemedb/tls && cd /etc/stemedb/tls && \
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {days} -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>&1 && \
             chown root:stemedb key.pem && chmod 640 key.pem"
        ));
    };
    // Nothing as long as another certificate is in use than the one in the file.
    let shown = || {
        let metrics = "curl -s --cacert /etc/stemedb/tls/cert.pem https://localhost:18180/metrics";
        let figure = format!("{metrics} | grep ^stemedb_tls_certificate_expiry_timestamp_seconds");
        String::from_utf8(host.output(&figure).stdout).expect("metrics are text")
    };
    issue(10);
    host.write(
        "/etc/stemedb/stemedb.env",
        "STEMEDB_TLS_ENABLED=true\nSTEMEDB_TLS_CERT=/etc/stemedb/tls/cert.pem\nSTEMEDB_TLS_KEY=/etc/stemedb/tls/key.pem\n",
    );
    host.typed("systemctl start stemedb-api");
    let (first, process) = (shown(), host.main_pid());
    assert!(!first.is_empty(), "it is shown from the start");
    issue(20);
    host.typed("systemctl reload stemedb-api");
    host.wait_until("the certificate is taken", || host.log().contains("TLS certificate reloaded"));
    // The cores have been told, and have yet to take notice.
    host.wait_until("the new one is in use", || {
        let now = shown();
        !now.is_empty() && now != first
    });
    assert_eq!(host.main_pid(), process);
}
