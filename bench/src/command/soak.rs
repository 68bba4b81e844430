//! `stemedb-bench soak`: steady load for a long time, and whether anything grows that should not.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use stemedb_bench::chart::Unit;
use stemedb_bench::curve::Source;
use stemedb_bench::process;
use stemedb_bench::soak::{self, Record, Sample, Soak};
use stemedb_engine::ring::CpuSet;

/// Samples of a soak, unless it is said how often one is taken.
const SAMPLES: u32 = 240;

/// Samples are not closer than this.
const EVERY_MIN: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  stemedb-bench soak --svg soak.svg --json soak.json
      a fresh server on CPU 0 for an hour at 500 requests a second
  stemedb-bench soak --seconds 86400 --every 60 --rate 2000 --html soak.html
      a day
  stemedb-bench soak --address 10.0.0.7:18180 --seconds 600
      a server that runs already; its memory, descriptors and threads are then not known, and not judged

How it works: claims, batches, queries and a few retractions are due at a steady rate, whatever the server does. Nine of ten
claims are such that it holds already, so that it grows slowly. Some connections end and come again, some clients say what
nobody should. Memory beside the indexes, descriptors, threads, the log, files that are no part of log, tables or snapshot, and
the p99 latency are compared in the first and the last quarter. The exit code is 0 if nothing grew and every answer was right, else 1.";

/// Put steady load on a server for a long time, and judge whether anything grows that should not
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where the server listens; without it, one is started
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["server", "server_cpus", "dir"])]
    address: Option<SocketAddr>,
    /// The server to start; by default the stemedb-api that lies beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// The CPUs that the server is bound to, each with a core
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', default_value = "0",
        value_parser = clap::value_parser!(u16).range(0..1024))]
    server_cpus: Vec<u16>,
    /// Where the server's data goes meanwhile: a directory on a real disk
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/tmp")]
    dir: PathBuf,
    /// How long load runs
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = super::positive_seconds)]
    seconds: Duration,
    /// How often it is looked how the server is; by default 240 times in all
    #[arg(long, value_name = "SECONDS", value_parser = super::positive_seconds)]
    every: Option<Duration>,
    /// Requests that are due a second
    #[arg(long, value_name = "NUMBER", default_value = "500", value_parser = rate)]
    rate: f64,
    /// Connections that they come on
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Do not judge latencies, on a machine that has other work
    #[arg(long)]
    ignore_latency: bool,
    /// Write all samples and the verdict as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write all charts as one picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a page with charts and verdict
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    process::end_all_at_signals()?;
    let soak = Soak {
        source: arguments.source()?,
        duration: arguments.seconds,
        every: arguments.every.unwrap_or((arguments.seconds / SAMPLES).max(EVERY_MIN)),
        rate_per_s: arguments.rate,
        connections: arguments.connections,
        judges_latency: !arguments.ignore_latency,
    };
    println!("{}", HEADINGS.map(|heading| format!("{heading:>12}")).concat());
    let record = soak::run(&soak, |sample| {
        println!("{}", row(sample));
        if let Some(problem) = &sample.first_problem {
            println!("{:>12}{problem}", "wrong: ");
        }
    })?;
    arguments.write(&record)?;
    println!();
    record.verdict.findings.iter().for_each(|finding| println!("{}", finding.text));
    println!("\n{}", record.verdict.text);
    if record.verdict.is_sound { Ok(()) } else { Err("the soak is not sound".into()) }
}

impl Arguments {
    fn source(&self) -> Result<Source, Box<dyn Error>> {
        if let Some(address) = self.address {
            return Ok(Source::Running(address));
        }
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("stemedb-api"));
        let program = std::path::absolute(self.server.clone().map_or_else(beside, Ok)?)?;
        if !program.is_file() {
            let build = "cargo build --release --bin stemedb-api";
            return Err(format!("there is no {}: build it with `{build}`", program.display()).into());
        }
        let cpus = CpuSet::from_iter(self.server_cpus.iter().copied());
        Ok(Source::Fresh { program, cpus, parent: self.dir.clone() })
    }

    fn write(&self, record: &Record) -> Result<(), Box<dyn Error>> {
        let write = |path: &Option<PathBuf>, contents: fn(&Record) -> String| match path {
            Some(path) => written(path, &contents(record)),
            None => Ok(()),
        };
        write(&self.svg, soak::svg)?;
        write(&self.html, soak::page)?;
        write(&self.json, |record| {
            serde_json::to_string_pretty(record).expect("a record has no keys but strings") + "\n"
        })
    }
}

fn written(path: &Path, contents: &str) -> Result<(), Box<dyn Error>> {
    fs::write(path, contents).map_err(|error| format!("cannot write `{}`: {error}", path.display()).into())
}

const HEADINGS: [&str; 10] =
    ["time", "answers/s", "wrong", "p50", "p99", "claims", "memory", "beside index", "files", "descriptors"];

fn row(sample: &Sample) -> String {
    let unknown = || "-".to_owned();
    let us = |us: Option<f64>| us.map_or_else(unknown, |us| Unit::Microseconds.label(us));
    let bytes = |bytes: Option<f64>| bytes.map_or_else(unknown, |bytes| Unit::Bytes.label(bytes.max(0.0)));
    let cells = [
        format!("{:.1} s", sample.at_s),
        Unit::Count.label(sample.answered_per_s),
        sample.wrong.to_string(),
        us(sample.p50_us),
        us(sample.p99_us),
        Unit::Count.label(sample.claims as f64),
        bytes(sample.process.map(|process| process.memory_bytes as f64)),
        bytes(sample.other_memory_bytes()),
        bytes(sample.process.map(|process| process.disk_bytes as f64)),
        sample.process.map_or_else(unknown, |process| process.descriptors.to_string()),
    ];
    cells.map(|cell| format!("{cell:>12}")).concat()
}

fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (1.0..=100_000.0).contains(&number) {
        Ok(number)
    } else {
        Err("it is not between 1 and 100000".to_owned())
    }
}
