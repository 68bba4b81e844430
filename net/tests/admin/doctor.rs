//! `stemedb-admin doctor` on the machine that runs the tests, which runs StemeDB.

use serde_json::Value;

use crate::stand_in::StandIn;

#[test]
fn a_machine_that_runs_the_tests_passes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().expect("the path is ASCII");
    let output = StandIn::start([]).admin(&["doctor", "--data-dir", path, "--json"], "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    let checks: Vec<_> = report["checks"].as_array().unwrap().iter().map(|check| &check["check"]).collect();
    for wanted in [
        "kernel release",
        "io_uring",
        "memory that may be locked",
        "CPUs",
        "file system",
        "durable 4 KiB writes",
    ] {
        assert!(checks.iter().any(|check| *check == wanted), "{wanted} in {checks:?}");
    }
}

#[test]
fn what_fails_is_shown_and_told_by_the_exit_code() {
    let output = StandIn::start([]).admin(&["doctor", "--data-dir", "/proc/self"], "");
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("\nfail  data directory: "), "{stdout}");
    assert!(stdout.contains("checks: 1 fail"), "{stdout}");
}
