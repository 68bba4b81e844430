//! `stemedb-admin diagnose`: collects all that somebody needs who looks into an incident.

mod unit;

use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _, stdout};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::json;

use self::unit::{Settings, Unit};
use super::ServerOptions;
use super::client::Client;
use super::data::{DataOptions, directory};
use super::error::AdminError;
use super::files::{bytes_free, make_directory, write_whole};
use super::moment;
use super::text::megabytes;
use crate::driver::wall_clock;
use crate::run_status::Job;

/// How many lines of the log are taken.
const LOG_LINES: &str = "5000";

/// What `diagnose` is asked to do.
#[derive(Debug, clap::Args)]
pub(super) struct DiagnoseOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The directory to make incident-YYYYMMDD-HHMMSS/ in
    #[arg(long, value_name = "DIR", default_value = ".", value_parser = directory)]
    to: PathBuf,
    /// The unit of systemd whose log and settings are taken
    #[arg(long, value_name = "NAME", default_value = "stemedb-api")]
    unit: String,
    #[command(flatten)]
    server: ServerOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  sudo stemedb-admin diagnose
  sudo stemedb-admin diagnose --to /tmp

It is told by systemd where the data of the unit is, and which settings it has. What cannot be collected is named \
in missing.txt; nothing of it is a failure. Whatever is called a secret, key, token or password is hidden, but have \
a look before you pass the directory on: claims may be quoted in logs.";

/// Collects what there is; fails only if it cannot be written.
pub(super) fn run(as_json: bool, options: &DiagnoseOptions) -> Result<ExitCode, AdminError> {
    let client = Client::new(&options.server)?;
    let directory = options.to.join(format!("incident-{}", moment::compact(wall_clock(), '-')));
    make_directory(&options.to, 0o700)?;
    let made = DirBuilder::new().mode(0o700).create(&directory);
    made.map_err(|source| AdminError::File { path: directory.clone(), source })?;
    let ask = |path: &str| match client.read(path) {
        Ok(answer) => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    let state = output("systemctl", &["show", &options.unit]);
    let unit = Unit::parse(state.as_deref().unwrap_or_default());
    let settings = unit.settings();
    let data = data(options, &unit, &settings);
    let mut collected = vec![
        ("health.json", ask("/v1/health")),
        ("ready.json", ask("/ready")),
        ("metrics.txt", ask("/metrics")),
        (
            "log.txt",
            output("journalctl", &["-u", &options.unit, "-n", LOG_LINES, "--no-pager", "-o", "short-iso"]),
        ),
        ("unit.txt", output("systemctl", &["cat", &options.unit])),
        ("unit-state.txt", state),
        ("settings.txt", settings.text()),
        ("kernel-log.txt", output("journalctl", &["-k", "-n", "500", "--no-pager"])),
        ("environment.txt", Ok(environment())),
        ("metadata.json", read(&data.metadata())),
        ("status.json", Ok(statuses(&data.root()))),
        ("disk.txt", Ok(disk(&data))),
        ("process.txt", process(&data.wal())),
        ("machine.txt", Ok(machine())),
    ];
    if let (Some(home), Some(config)) = (&unit.home, settings.of("STEMEDB_CONFIG")) {
        collected.push(("config.toml", read(&home.join(config))));
    }
    let mut missing = String::new();
    let (mut written, mut names) = (0, Vec::new());
    for (name, text) in &collected {
        match text {
            Ok(text) => {
                write_whole(&directory.join(name), &hide_secrets(text), 0o600)?;
                written += 1;
                names.push(*name);
            }
            Err(reason) => missing.push_str(&format!("{name}: {reason}\n")),
        }
    }
    if !missing.is_empty() {
        write_whole(&directory.join("missing.txt"), &hide_secrets(&missing), 0o600)?;
    }
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({ "directory": directory, "files": names }))?;
    } else {
        writeln!(out, "Collected {written} of {} in {}", collected.len(), directory.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The data that is named or, where none is, that of the unit: whoever looks into an incident may type this anywhere.
fn data(options: &DiagnoseOptions, unit: &Unit, settings: &Settings<'_>) -> DataOptions {
    match &unit.home {
        Some(home) if !options.data.is_named() => DataOptions::of_server(home, |name| settings.of(name)),
        _ => options.data.clone(),
    }
}

fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The settings of whoever calls, which may be those of the server or not.
fn environment() -> String {
    let ours =
        |name: &str| ["STEMEDB_", "BACKUP_", "MINIO_", "AWS_"].iter().any(|prefix| name.starts_with(prefix));
    let variables = env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let mut lines: Vec<_> =
        variables.filter(|(name, _)| ours(name)).map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.sort_unstable();
    lines.concat()
}

fn statuses(root: &Path) -> String {
    let line = |job: &Job| Some(format!("{}: {}\n", job.name(), read(&job.path(root)).ok()?.trim()));
    Job::ALL.iter().filter_map(line).collect()
}

/// What is free, and what takes the space.
fn disk(data: &DataOptions) -> String {
    let mut text = String::new();
    for directory in [data.wal(), data.db(), data.root()] {
        let mut listed = String::new();
        let failed = |source| AdminError::File { path: directory.clone(), source };
        // Of what is not there nothing is free, whatever the disk has on which it would be.
        match list(&directory, &mut listed).map_err(failed).and_then(|()| bytes_free(&directory)) {
            Ok(free) => {
                text.push_str(&format!("{}: {} free\n{listed}", directory.display(), megabytes(free)));
            }
            Err(error) => text.push_str(&format!("{error}\n")),
        }
    }
    text
}

fn list(directory: &Path, text: &mut String) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    entries.sort_unstable();
    for (name, bytes) in entries {
        text.push_str(&format!("  {bytes:>14} {name}\n"));
    }
    Ok(())
}

/// Limits, state and memory of the process that has locked the log.
fn process(wal: &Path) -> Result<String, String> {
    let pid: u32 = read(&wal.join("LOCK"))?.trim().parse().map_err(|_| "no process in LOCK".to_owned())?;
    let of = |name: &str| read(&PathBuf::from(format!("/proc/{pid}/{name}")));
    Ok(format!("{}\n{}\n{}", of("status")?, of("limits")?, of("io").unwrap_or_default()))
}

fn machine() -> String {
    let files = [
        "/proc/version",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/loadavg",
        "/proc/mounts",
        "/proc/pressure/io",
    ];
    let part = |path: &&str| Some(format!("== {path}\n{}\n", read(Path::new(path)).ok()?));
    files.iter().filter_map(part).collect()
}

/// Hides what follows the equals sign of everything that is called a secret, to the end of its line.
fn hide_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match secret_at(line) {
            Some(at) => {
                shown.push_str(&line[..at]);
                shown.push_str("[hidden]");
                shown.push_str(if line.ends_with('\n') { "\n" } else { "" });
            }
            None => shown.push_str(line),
        }
    }
    shown
}

/// Where the value begins that follows a name of a secret.
fn secret_at(line: &str) -> Option<usize> {
    let is_secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["SECRET", "PASSWORD", "TOKEN", "ACCESS_KEY", "PRIVATE", "CREDENTIAL"]
            .iter()
            .any(|part| name.contains(part))
    };
    let equals = line.match_indices('=').find(|(at, _)| {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        is_secret(line[..*at].trim_end().rsplit(|character| !is_part(character)).next().unwrap_or(""))
    });
    equals.map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_are_set() {
        let text = "\
MINIO_ENDPOINT=http://store:9000
MINIO_SECRET_KEY=very secret
Environment=\"AWS_SECRET_ACCESS_KEY=x\" \"OTHER=y\"
a line = without one
  MINIO_SECRET_KEY = blanks
password=hunter2";
        let expected = "\
MINIO_ENDPOINT=http://store:9000
MINIO_SECRET_KEY=[hidden]
Environment=\"AWS_SECRET_ACCESS_KEY=[hidden]
a line = without one
  MINIO_SECRET_KEY =[hidden]
password=[hidden]";
        assert_eq!(hide_secrets(text), expected);
    }
}
