//! The unit files, by what systemd-analyze(1) says of them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::repository;

/// The exposure level that no service exceeds, in tenths.
const EXPOSURE_TENTHS_MAX: &str = "15";

/// Names of the services and timers in deploy/systemd.
fn units(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("deploy/systemd")).expect("it is there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut units: Vec<_> = paths.filter(|path| path.extension().is_some_and(|is| is == extension)).collect();
    units.sort();
    units
}

/// Whether systemd-analyze is there. Says so if not.
fn has_systemd() -> bool {
    let found = Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        stemedb_tests::skip("no systemd-analyze on this machine");
    }
    found
}

fn analyze(arguments: &[&str], unit: &std::path::Path) -> Result<(), String> {
    let mut command = Command::new("systemd-analyze");
    let Output { status, stdout, stderr } =
        command.args(arguments).arg(unit).env("SYSTEMD_COLORS", "0").output().expect("it was there before");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(()) } else { Err(format!("{}: {status}\n{said}", unit.display())) }
}

#[test]
fn every_service_is_as_little_exposed_as_promised() {
    if !has_systemd() {
        return;
    }
    let services = units("service");
    assert!(services.len() >= 5, "{services:?}");
    for service in services {
        let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
        analyze(&["security", "--offline=true", &threshold], &service)
            .unwrap_or_else(|said| panic!("{said}"));
    }
}

#[test]
fn every_unit_is_sound() {
    if !has_systemd() {
        return;
    }
    // The programs are not installed here, and their manuals are not either: others stand in for them.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let all = [units("service"), units("timer")].concat();
    for unit in &all {
        let text = fs::read_to_string(unit).expect("readable");
        let text = text.lines().map(|line| match line.split_once('=') {
            Some(("ExecStart", _)) => "ExecStart=/bin/true\n".to_owned(),
            _ => format!("{line}\n"),
        });
        let copy = directory.path().join(unit.file_name().expect("a file has a name"));
        fs::write(copy, text.collect::<String>()).expect("writable");
    }
    for unit in &all {
        let copy = directory.path().join(unit.file_name().expect("a file has a name"));
        analyze(&["verify", "--man=no"], &copy).unwrap_or_else(|said| panic!("{said}"));
    }
}

#[test]
fn every_timer_has_its_service_and_comes_when_it_is_said_to() {
    if !has_systemd() {
        return;
    }
    let timers = units("timer");
    assert_eq!(timers.len(), 4, "{timers:?}");
    for timer in timers {
        assert!(timer.with_extension("service").exists(), "{}", timer.display());
        let text = fs::read_to_string(&timer).expect("readable");
        let calendar = text.lines().find_map(|line| line.strip_prefix("OnCalendar=")).expect("a time");
        let output =
            Command::new("systemd-analyze").args(["calendar", calendar]).output().expect("it is there");
        assert!(output.status.success(), "{calendar}");
    }
    let backup = fs::read_to_string(repository().join("deploy/systemd/stemedb-backup.timer"));
    let backup = backup.expect("readable");
    // `0 2 * * *` of cron(8), in UTC, made up for when the machine was off.
    for line in ["OnCalendar=*-*-* 02:00:00 UTC", "Persistent=yes"] {
        assert!(backup.lines().any(|other| other == line), "no {line} in\n{backup}");
    }
}
