//! `stemedb-admin validate`: whether what a server answers is what its log holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stemedb_engine::claim::{Assertion, DecodeError, Retraction};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{Replayed, recover_after};

use super::ServerOptions;
use super::client::Client;
use super::data::DataOptions;
use super::error::AdminError;
use super::files::write_whole;
use super::log_source::LogSource;
use super::moment;
use super::run_report;
use crate::driver::wall_clock;
use crate::run_status::Job;

/// How many paths are looked up in the server's indexes, evenly spread over the log.
const SAMPLE_PATHS: usize = 200;

/// The most claims of one path that are compared.
const CLAIMS_A_PATH: usize = 10_000;

/// How long a server has to make visible what is durable.
const SETTLE: Duration = Duration::from_secs(5);

/// What `validate` is asked to do.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The directory to write the report to
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin validate
  stemedb-admin validate --url http://127.0.0.1:18280 --data-dir /opt/stemedb/data --to /tmp

Writes validation_report_YYYYMMDD_HHMMSS.txt and .json, and ends with `Validation: PASSED` or
`Validation: FAILED`. The server may be written to meanwhile; nothing is changed.";

/// One thing that was looked at.
struct Check {
    name: &'static str,
    /// What was found, or what is wrong.
    found: Result<String, String>,
}

/// Makes all checks and writes the report; fails if any of them does.
pub(super) fn run(server: &ServerOptions, options: &ValidateOptions) -> Result<ExitCode, AdminError> {
    let began = Instant::now();
    let client = Client::new(server)?;
    let (checks, bytes) = check_all(&client, &options.data.wal(), &options.data.db());
    let passed = checks.iter().all(|check| check.found.is_ok());
    write_report(&options.to, &client, &options.data.wal(), &checks, passed)?;
    run_report::note(Job::Validate, &options.data.root(), began, passed.then_some(bytes));
    let mut out = stdout().lock();
    if server.json {
        writeln!(out, "{}", to_json(&checks, passed))?;
    } else {
        write!(out, "{}", to_text(&checks, passed))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_all(client: &Client, wal: &Path, db: &Path) -> (Vec<Check>, u64) {
    let before = served_count(client);
    let mut checks = vec![Check { name: "connectivity", found: connectivity(client, &before) }];
    let log = match LogSource::captured(wal, db).and_then(|log| survey(&log).map(|found| (log, found))) {
        Ok(log) => log,
        Err(error) => {
            checks.push(Check { name: "format", found: Err(error.to_string()) });
            return (checks, 0);
        }
    };
    let (log, found) = log;
    let plural = |count: u64| format!("{count} assertions and {} retractions", found.retractions);
    checks.push(Check {
        name: "format",
        found: Ok(format!("{} recover from the log", plural(found.assertions))),
    });
    checks.push(Check { name: "fields", found: found.fields() });
    checks.push(Check {
        name: "counts",
        found: counts(client, before, found.assertions + log.manifest().entries()),
    });
    checks.push(Check { name: "indexes", found: indexes(client, wal, db, &log, &found) });
    (checks, log.bytes())
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

/// What all of the log was found to be.
struct Surveyed {
    assertions: u64,
    retractions: u64,
    /// Records that are whole and wrong, the first of them described.
    wrong: u64,
    first_wrong: Option<String>,
    /// Paths to be looked up.
    sample: BTreeSet<String>,
}

impl Surveyed {
    fn fields(&self) -> Result<String, String> {
        match &self.first_wrong {
            None => {
                Ok("every record can be read, and every assertion has the hash of what it says".to_owned())
            }
            Some(first) => Err(format!("{} records are wrong, the first: {first}", self.wrong)),
        }
    }
}

/// Reads every record once.
fn survey(log: &LogSource) -> Result<Surveyed, AdminError> {
    let mut found =
        Surveyed { assertions: 0, retractions: 0, wrong: 0, first_wrong: None, sample: BTreeSet::new() };
    // Of ever longer stretches one path is taken, so that the sample is spread over a log of any length.
    let mut stretch = 1;
    let recovered = recover_after(log, &log.manifest().covered, &mut |records| {
        for record in records {
            match look_at(record) {
                Ok(Some(path)) => {
                    found.assertions += 1;
                    if found.assertions.is_multiple_of(stretch) {
                        found.sample.insert(path.to_owned());
                    }
                    if found.sample.len() > SAMPLE_PATHS {
                        stretch *= 2;
                        let mut keep = false;
                        found.sample.retain(|_| {
                            keep = !keep;
                            keep
                        });
                    }
                }
                Ok(None) => found.retractions += 1,
                Err(reason) => {
                    found.assertions += u64::from(record.kind == RecordKind::Assertion);
                    found.wrong += 1;
                    let place = format!("record {} of lane {}", record.lsn, record.lane.0);
                    found.first_wrong.get_or_insert(format!("{place}: {reason}"));
                }
            }
        }
        Ok(())
    });
    recovered.map_err(AdminError::Log)?;
    Ok(found)
}

/// The path of an assertion; `None` for a retraction.
fn look_at<'r>(record: &Replayed<'r>) -> Result<Option<&'r str>, String> {
    let undecodable = |error: DecodeError| error.to_string();
    match record.kind {
        RecordKind::Assertion => {
            let assertion = Assertion::decode(record.payload).map_err(undecodable)?;
            assertion.check_hash().map_err(|error| error.to_string())?;
            Ok(Some(assertion.claim.subject.as_str()))
        }
        RecordKind::Retraction => Retraction::decode(record.payload).map(|_| None).map_err(undecodable),
        kind => Err(format!("a record of kind {kind:?}, which this version does not know")),
    }
}

/// What was served before the log was looked at must be in the log, and what is in the log must be served soon.
fn counts(client: &Client, before: Result<u64, String>, in_log: u64) -> Result<String, String> {
    let before = before?;
    if before > in_log {
        return Err(format!("the server has {before} assertions, but the log only {in_log}"));
    }
    let until = Instant::now() + SETTLE;
    loop {
        let after = served_count(client)?;
        if after >= in_log {
            return Ok(format!("the server has {after} assertions, the log had {in_log} when it was read"));
        }
        if Instant::now() > until {
            return Err(format!("the server has {after} assertions, but the log has {in_log}"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Compares, for a sample of paths, the claims in the log with those that the server finds: each of the log must be found, and
/// none that is not there. A path that is written to meanwhile may have more.
fn indexes(
    client: &Client,
    wal: &Path,
    db: &Path,
    log: &LogSource,
    found: &Surveyed,
) -> Result<String, String> {
    let mut in_log: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let recovered = recover_after(log, &log.manifest().covered, &mut |records| {
        for record in records.iter().filter(|record| record.kind == RecordKind::Assertion) {
            let Ok(assertion) = Assertion::decode(record.payload) else { continue };
            if let Some(path) = found.sample.get(assertion.claim.subject.as_str()) {
                let hashes = in_log.entry(path).or_default();
                if hashes.len() < CLAIMS_A_PATH {
                    hashes.insert(hex::encode(assertion.hash.0));
                }
            }
        }
        Ok(())
    });
    recovered.map_err(|error| AdminError::Log(error).to_string())?;
    let mut compared = 0;
    for (path, hashes) in &in_log {
        if hashes.len() == CLAIMS_A_PATH {
            continue;
        }
        let served = served(client, path)?;
        if let Some(missing) =
            hashes.iter().find(|hash| !served.iter().any(|claim| claim["hash"] == hash.as_str()))
        {
            return Err(format!(
                "the claim {missing} about {path} is in the log, but the server does not find it"
            ));
        }
        let unknown =
            served.iter().filter_map(|claim| claim["hash"].as_str()).find(|hash| !hashes.contains(*hash));
        // It may have been written since, and is in the log then; what the tables hold is not in the log.
        if let Some(orphan) = unknown
            && log.manifest().entries() == 0
            && !is_in_log(wal, db, orphan)?
        {
            return Err(format!(
                "the server finds the claim {orphan} about {path}, but it is not in the log"
            ));
        }
        compared += hashes.len();
    }
    Ok(format!("{compared} claims about {} paths are found, each as it is in the log", in_log.len()))
}

/// Whether the log has this claim now.
fn is_in_log(wal: &Path, db: &Path, hash: &str) -> Result<bool, String> {
    let mut is_there = false;
    let log = LogSource::captured(wal, db).map_err(|error| error.to_string())?;
    let recovered = recover_after(&log, &log.manifest().covered, &mut |records| {
        for record in records.iter().filter(|record| record.kind == RecordKind::Assertion) {
            is_there |= Assertion::decode(record.payload).is_ok_and(|it| hex::encode(it.hash.0) == hash);
        }
        Ok(())
    });
    recovered.map_err(|error| AdminError::Log(error).to_string())?;
    Ok(is_there)
}

fn served(client: &Client, path: &str) -> Result<Vec<Value>, String> {
    let query = json!({
        "concept_path": path, "lifecycle": "any", "include_retracted": true, "limit": CLAIMS_A_PATH,
    });
    let answer = client
        .send("/v1/query", "application/json", query.to_string().as_bytes())
        .and_then(|answer| answer.json::<Value>(client.url()))
        .map_err(|error| error.to_string())?;
    Ok(answer["assertions"].as_array().cloned().unwrap_or_default())
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
