//! What the server tells its manager, read from a socket in the manager's place.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::held_thread::HeldThread;
use stemedb_tests::{Data, Server, Start, binary, process};

use crate::manager::Manager;

/// The steps of a start, by what their lines begin with.
pub(crate) const STEPS: [&str; 10] = [
    "Kernel ",
    "TLS ",
    "Bound to ",
    "Opened and locked WAL in ",
    "Cores and background executor started",
    "Starting WAL recovery...",
    "Replayed ",
    "Rebuilding indexes...",
    "Opened generation ",
    "Startup complete",
];

/// How long a stop may take, which is measured elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the status begins with while a log is being recovered.
const RECOVERING: &str = "Recovering the WAL since ";

/// How often a recovery is begun that is to be held.
const ATTEMPTS: usize = 10;

/// A watchdog's time that no server in these tests comes near.
const LONG: Duration = Duration::from_secs(3600);

/// Claims of which a log is recovered for long enough that the recovery can be held.
const CLAIMS: u64 = 30_000;

/// One within which the server says three times that all is well.
const SHORT: Duration = Duration::from_millis(1500);

/// The text of each numbered line of a log, in order.
pub(crate) fn steps(log: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    for line in log.lines() {
        let number = format!("[{:>2}/{}] ", steps.len() + 1, STEPS.len());
        if let Some((_, text)) = line.split_once(&number) {
            steps.push(text);
        }
    }
    steps
}

#[test]
fn every_step_of_a_start_is_a_line_and_a_status_and_then_it_is_ready() {
    let (data, manager) = (Data::new(), Manager::new());
    let server = manager.of(Start::on(&data), LONG).serve();
    let heard = manager.heard_until("READY=1");
    let statuses = heard.iter().filter_map(|line| line.strip_prefix("STATUS="));
    // On a machine that is busy the recovery of nothing may take a second.
    let statuses: Vec<&str> = statuses.filter(|status| !status.starts_with(RECOVERING)).collect();
    let text = server.text();
    assert_eq!(statuses, steps(&text), "in\n{text}");
    assert_eq!(statuses.len(), STEPS.len());
    for (status, step) in statuses.iter().zip(STEPS) {
        assert!(status.starts_with(step), "{status:?} is not the step {step:?}");
    }
    assert_eq!(heard.last().map(String::as_str), Some("READY=1"));
    assert_eq!(server.client().get("/ready").expect("an answer").status, 200, "ready means that it serves");
    for word in ["wal", "index", "tls"] {
        assert!(text.lines().any(|line| line.to_lowercase().contains(word)), "no {word} in\n{text}");
    }

    server.terminate();
    let heard = manager.heard_until("STOPPING=1");
    assert!(heard.iter().any(|line| line.starts_with("STATUS=Stopping")), "{heard:?}");
    assert!(server.ended(PATIENCE).0.success());
}

#[test]
fn entries_of_the_log_are_counted_when_they_are_replayed() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let lines: String =
        (0..1522).map(|number| TestClaim::new("replayed", "is", number).json() + "\n").collect();
    server.client().post("/v1/assert/batch", lines).expect("an answer").ok();
    server.client().post("/v1/assert", TestClaim::new("last", "is", 0).json()).expect("an answer").ok();
    server.stop();
    let server = Start::on(&data).serve();
    server.wait_for_line("Replayed 1523 entries from WAL");
}

#[test]
fn the_watchdog_hears_nothing_while_one_core_of_two_is_stuck() {
    if process::cpus() < 2 {
        return stemedb_tests::skip("one CPU, and so one core");
    }
    let (data, manager) = (Data::new(), Manager::new());
    let server = manager.of(Start::on(&data).cores(2), SHORT).serve();
    manager.heard_until("WATCHDOG=1");
    manager.heard_until("WATCHDOG=1");
    let held = HeldThread::named(server.pid(), "core-1");
    server.wait_for_line("Core 1 has not turned its loop");
    // A look is told of by nothing, but by the silence at the end of which the manager would act. The line may be of before,
    // when the core had no CPU for a moment; then the next look finds that it has turned meanwhile.
    let is_silent = || {
        manager.heard();
        std::thread::sleep(SHORT);
        manager.heard().is_empty()
    };
    assert!(is_silent() || is_silent(), "one core is stuck, and the watchdog is fed");
    drop(held);
    server.wait_for_line("Core 1 turns its loop again");
    manager.heard_until("WATCHDOG=1");
    server.stop();
}

#[test]
fn a_watchdog_is_fed_only_where_there_is_one() {
    let (data, manager) = (Data::new(), Manager::new());
    let server = manager.of(Start::on(&data), LONG).without("WATCHDOG_USEC").serve();
    manager.heard_until("READY=1");
    server.terminate();
    let heard = manager.heard_until("STOPPING=1");
    assert!(!heard.iter().any(|line| line.starts_with("WATCHDOG")), "{heard:?}");
    server.ended(PATIENCE);
}

/// Starts a server and holds it while it recovers its log, until it has asked for more time twice. Gives what was heard meanwhile. A
/// recovery that is over before it is held is begun again on another copy of the data, since tables have that log by then: the test may have had no
/// CPU for a moment.
fn held_in_recovery(data: &Data, manager: &Manager) -> (Data, Server, HeldThread, Vec<String>) {
    for _ in 0..ATTEMPTS {
        let data = data.copy();
        let server = manager.of(Start::on(&data), LONG).begin();
        server.wait_for_line("Starting WAL recovery...");
        let is_over = || server.text().contains("] Replayed ");
        if let Some(held) = HeldThread::named_unless(server.pid(), "recovery", is_over) {
            let mut heard = manager.heard();
            let is_ready = |heard: &[String]| heard.iter().any(|line| line == "READY=1");
            for _ in 0..2 {
                if !is_ready(&heard) {
                    heard.extend(manager.heard_until_one_of(&["EXTEND_TIMEOUT_USEC=", "READY=1"]));
                }
            }
            if !is_ready(&heard) {
                return (data, server, held, heard);
            }
        }
        server.stop();
        manager.heard();
    }
    panic!("no recovery was held in {ATTEMPTS} attempts");
}

#[test]
fn a_long_recovery_asks_for_more_time_and_can_be_stopped() {
    let (data, manager) = (Data::new(), Manager::new());
    let server = Start::on(&data).serve();
    let lines: String = (0..CLAIMS)
        .map(|number| TestClaim::new(format!("long/{number}"), "is", number).json() + "\n")
        .collect();
    server.client().post("/v1/assert/batch", lines).expect("an answer").ok();
    server.stop();
    let (_data, server, held, heard) = held_in_recovery(&data, &manager);
    assert!(
        heard.iter().any(|line| line.strip_prefix("STATUS=").is_some_and(|it| it.starts_with(RECOVERING))),
        "{heard:?}"
    );
    assert_eq!(server.client().get("/ready").expect("an answer").status, 503);
    server.terminate();
    manager.heard_until("STOPPING=1");
    held.ended();
    let (status, text) = server.ended(PATIENCE);
    assert!(status.success(), "{text}");
}

#[test]
fn lines_carry_the_time_unless_a_journal_adds_it_and_then_their_priority() {
    let data = Data::new();
    let version = |stream: &str| {
        let line = format!(
            "STEMEDB_BIND_ADDR=203.0.113.1:1 STEMEDB_LOG=info STEMEDB_WAL_DIR={0}/wal STEMEDB_DB_DIR={0}/db \
             {stream} {1} 2>{0}/log; cat {0}/log",
            data.root().display(),
            binary::stemedb_api().display()
        );
        let output = Command::new("bash").args(["-c", &line]).output().expect("bash is there");
        let text = String::from_utf8(output.stdout).expect("a log is text");
        assert!(!text.contains('\x1b'), "colours in\n{text}");
        text.lines().find(|line| line.contains(" starting, process ")).expect("the first line").to_owned()
    };
    let year = |line: &str| line[..4].parse::<u16>().is_ok();
    assert!(year(&version("")));
    // A variable that is left from somebody else's journal.
    assert!(year(&version("JOURNAL_STREAM=1:2")));
    std::fs::write(data.root().join("log"), "").expect("writable");
    let file = std::fs::metadata(data.root().join("log")).expect("it was just made");
    let line = version(&format!("JOURNAL_STREAM={}:{}", file.dev(), file.ino()));
    // The journal takes the priority off.
    assert!(line.starts_with("<6> INFO StemeDB "), "{line}");
}
