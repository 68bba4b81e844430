//! `stemedb-admin doctor`: whether this machine can run StemeDB, and how well.

mod cpu;
mod disk;

use std::io::{self, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use stemedb_engine::ring::probe::{self, Finding, State};

use super::error::AdminError;

/// What `doctor` is asked to look at.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorOptions {
    /// The directory that holds, or will hold, the data; a scratch file of 16 MiB is written there and removed again
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin doctor
  sudo -u stemedb stemedb-admin doctor --data-dir /opt/stemedb/data
  stemedb-admin doctor --json | jq -r '.checks[] | select(.verdict != \"ok\") | .text'

The limits and permissions that are shown are those of whoever runs the command; a service may \
have others.";

/// Looks at everything and prints what it found; fails if something is missing that StemeDB cannot do without.
pub(super) fn run(as_json: bool, options: &DoctorOptions) -> Result<ExitCode, AdminError> {
    let mut findings = probe::examine();
    findings.push(cpu::examine(Path::new("/")));
    findings.extend(disk::examine(&options.data_dir));
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
