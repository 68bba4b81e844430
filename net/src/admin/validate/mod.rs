//! `stemedb-admin validate`: whether what a server answers is what its tables and its log hold, claim by claim.

mod named;
mod served;
mod spill;
mod stored;

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::named::Named;
use self::served::{Compared, Comparison};
use self::stored::Stored;
use super::ServerOptions;
use super::client::Client;
use super::data::{DataOptions, directory};
use super::error::AdminError;
use super::files::{make_directory, write_whole};
use super::moment;
use super::run_report;
use crate::driver::wall_clock;
use crate::run_status::Job;

/// How long a server has to make visible what is durable.
const SETTLE: Duration = Duration::from_secs(5);

/// What `validate` is asked to do.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The directory to write the report to
    #[arg(long, value_name = "DIR", default_value = ".", value_parser = directory)]
    to: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin validate
  stemedb-admin validate --url http://127.0.0.1:18280 --data-dir /opt/stemedb/data --to /tmp

Writes validation_report_YYYYMMDD_HHMMSS.txt and .json, and ends with `Validation: PASSED` or \
`Validation: FAILED`. Every claim is compared, in bounded memory and with about 100 bytes a claim of passing \
files beside the report. The server may be written to meanwhile; nothing is changed.";

/// One thing that was looked at.
struct Check {
    name: &'static str,
    /// What was found, or what is wrong.
    found: Result<String, String>,
}

/// Makes all checks and writes the report; fails if any of them does.
pub(super) fn run(as_json: bool, options: &ValidateOptions) -> Result<ExitCode, AdminError> {
    let began = Instant::now();
    let client = Client::new(&options.server)?;
    make_directory(&options.to, 0o750)?;
    let (checks, bytes) = check_all(&client, options);
    let passed = checks.iter().all(|check| check.found.is_ok());
    write_report(&options.to, &client, &options.data.wal(), &checks, passed)?;
    run_report::note(Job::Validate, &options.data.root(), began, passed.then_some(bytes));
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", to_json(&checks, passed))?;
    } else {
        write!(out, "{}", to_text(&checks, passed))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_all(client: &Client, options: &ValidateOptions) -> (Vec<Check>, u64) {
    let (wal, db) = (options.data.wal(), options.data.db());
    let before = served_count(client);
    let mut checks = vec![Check { name: "connectivity", found: connectivity(client, &before) }];
    let read = || Stored::read(&wal, &db, &options.to, *before.as_ref().unwrap_or(&0));
    let mut stored = match options.data.must_be_there().and_then(|()| read()) {
        Ok(stored) => stored,
        Err(error) => {
            checks.push(Check { name: "format", found: Err(error.to_string()) });
            return (checks, 0);
        }
    };
    let (claims, retractions) = (stored.claims.claims, stored.retractions);
    let is_whole = format!("{claims} assertions and {retractions} retractions are read from tables and log");
    checks.push(Check { name: "format", found: unless(&stored.damaged, is_whole) });
    let compared = before.clone().and_then(|before| {
        wait_for(client, claims)?;
        let comparison = Comparison::new(client, &wal, &db, stored.checkpoints);
        comparison.run(&mut stored, before).map_err(|error| error.to_string())
    });
    let sound =
        "every record can be read, every assertion has the hash of what it says, and every answer all fields";
    let incomplete = compared.as_ref().map_or(&stored.wrong, |compared| &compared.incomplete);
    let wrong = if stored.wrong.is_empty() { incomplete } else { &stored.wrong };
    checks.push(Check { name: "fields", found: unless(wrong, sound.to_owned()) });
    let found =
        compared.as_ref().map_err(Clone::clone).and_then(|compared| counts(client, &before, compared.claims));
    checks.push(Check { name: "counts", found });
    checks.push(Check { name: "indexes", found: compared.and_then(|compared| indexes(&compared)) });
    (checks, stored.bytes)
}

/// What was found, unless something is wrong.
fn unless(wrong: &Named, found: String) -> Result<String, String> {
    if wrong.is_empty() { Ok(found) } else { Err(wrong.to_string()) }
}

fn served_count(client: &Client) -> Result<u64, String> {
    let health: Value = client
        .read("/v1/health")
        .and_then(|answer| answer.json(client.url()))
        .map_err(|error| error.to_string())?;
    health["assertion_count"].as_u64().ok_or_else(|| format!("health without a count: {health}"))
}

fn connectivity(client: &Client, count: &Result<u64, String>) -> Result<String, String> {
    count.as_ref().map_err(Clone::clone)?;
    let ready = client.read("/ready").map_err(|error| error.to_string())?;
    match ready.status {
        200 => Ok(format!("{} is healthy and ready", client.url())),
        status => Err(format!("{} is not ready: status {status}", client.url())),
    }
}

/// Gives the server a moment to serve so many claims. That it does not is found out when they are compared.
fn wait_for(client: &Client, claims: u64) -> Result<(), String> {
    let until = Instant::now() + SETTLE;
    while served_count(client)? < claims && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What was served before anything was read must be stored, and what is stored must be served.
fn counts(client: &Client, before: &Result<u64, String>, stored: u64) -> Result<String, String> {
    let before = before.clone()?;
    if before > stored {
        return Err(format!("the server has {before} assertions, but tables and log only {stored}"));
    }
    match served_count(client)? {
        after if after < stored => {
            Err(format!("the server has {after} assertions, but tables and log have {stored}"))
        }
        after => {
            Ok(format!("the server has {after} assertions, tables and log had {stored} when they were read"))
        }
    }
}

/// Each claim that is stored must be found, and none that is not.
fn indexes(compared: &Compared) -> Result<String, String> {
    let mut wrong = Vec::new();
    if !compared.missing.is_empty() {
        wrong.push(format!("stored, but not found by the server: {}", compared.missing));
    }
    if !compared.orphans.is_empty() {
        wrong.push(format!(
            "found by the server, but in no table and no segment that can be read: {}",
            compared.orphans
        ));
    }
    match wrong.is_empty() {
        true => Ok(format!(
            "{} claims about {} paths are found, each as it is stored",
            compared.claims, compared.paths
        )),
        false => Err(wrong.join("; ")),
    }
}

fn to_text(checks: &[Check], passed: bool) -> String {
    let mut text = String::new();
    for check in checks {
        let (verdict, found) = match &check.found {
            Ok(found) => ("ok", found),
            Err(wrong) => ("fail", wrong),
        };
        text.push_str(&format!("{verdict:4}  {}: {found}\n", check.name));
    }
    text.push_str(if passed { "Validation: PASSED\n" } else { "Validation: FAILED\n" });
    text
}

fn to_json(checks: &[Check], passed: bool) -> Value {
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            let (Ok(text) | Err(text)) = &check.found;
            json!({ "check": check.name, "passed": check.found.is_ok(), "text": text })
        })
        .collect();
    json!({ "validation": if passed { "PASSED" } else { "FAILED" }, "checks": checks })
}

fn write_report(
    to: &Path,
    client: &Client,
    wal: &Path,
    checks: &[Check],
    passed: bool,
) -> Result<(), AdminError> {
    let now = wall_clock();
    let name = format!("validation_report_{}", moment::compact(now, '_'));
    let heading =
        format!("StemeDB at {} and its log in {}, {}\n\n", client.url(), wal.display(), moment::format(now));
    write_whole(&to.join(format!("{name}.txt")), &(heading + &to_text(checks, passed)), 0o644)?;
    write_whole(&to.join(format!("{name}.json")), &format!("{}\n", to_json(checks, passed)), 0o644)
}
