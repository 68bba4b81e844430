//! `stemedb-admin doctor`: whether this machine can run StemeDB, and how well.

mod cpu;

use std::io::{self, Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use stemedb_engine::ring::probe::{self, Finding, State};

use super::error::AdminError;

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin doctor
  stemedb-admin doctor --json | jq -r '.checks[] | select(.verdict != \"ok\") | .text'";

/// Looks at everything and prints what it found; fails if something is missing that StemeDB cannot do without.
pub(super) fn run(as_json: bool) -> Result<ExitCode, AdminError> {
    let mut findings = probe::examine();
    findings.push(cpu::examine(Path::new("/")));
    if as_json {
        print_json(&findings)?;
    } else {
        print_text(&findings)?;
    }
    let all_there = findings.iter().all(|finding| finding.state != State::Missing);
    Ok(if all_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(state: State) -> &'static str {
    match state {
        State::Good => "ok",
        State::Warning => "warn",
        State::Missing => "fail",
    }
}

fn print_json(findings: &[Finding]) -> io::Result<()> {
    let checks: Vec<_> = findings
        .iter()
        .map(|finding| json!({"check": finding.subject, "verdict": verdict(finding.state), "text": finding.text}))
        .collect();
    writeln!(stdout(), "{}", json!({ "checks": checks }))
}

fn print_text(findings: &[Finding]) -> io::Result<()> {
    let mut out = stdout().lock();
    for finding in findings {
        writeln!(out, "{:4}  {finding}", verdict(finding.state))?;
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    writeln!(
        out,
        "{} checks: {} fail, {} to consider",
        findings.len(),
        count(State::Missing),
        count(State::Warning)
    )
}
