//! How a server is at one moment.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::SoakError;
use crate::client::get::get;
use crate::client::health::health;
use crate::curve::{Server, samples};

/// The longest latency that is told from longer ones: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// What was answered in a time.
#[derive(Debug)]
pub(super) struct Tally {
    latency_us: Histogram<u64>,
    /// Answers that were not what they should be, and none at all.
    wrong: u64,
    /// The first of these.
    first_problem: Option<String>,
}

/// What was answered in all.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answers {
    /// As it should be.
    pub right: u64,
    /// Otherwise, or not at all.
    pub wrong: u64,
    /// The first of these.
    pub first_problem: Option<String>,
}

/// How a server was at one moment, and what it answered since the one before.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since load began.
    pub at_s: f64,
    /// Right answers a second.
    pub answered_per_s: f64,
    /// Wrong answers.
    pub wrong: u64,
    /// The first of these.
    pub first_problem: Option<String>,
    /// Half of the answers came within this time, from when they were due; unknown where there were none.
    pub p50_us: Option<f64>,
    /// 99 of 100 did.
    pub p99_us: Option<f64>,
    /// Claims held.
    pub claims: u64,
    /// Memory of the indexes, as the server says.
    pub index_bytes: u64,
    /// Bytes of the log's segments, as the server says.
    pub log_bytes: u64,
    /// Bytes written to the log since the server was started.
    pub written_bytes: u64,
    /// Bytes of the tables that hold claims, as the server says.
    pub tables_bytes: u64,
    /// Bytes of the last snapshot of the indexes, as the server says.
    pub snapshot_bytes: u64,
    /// What only the kernel knows; unknown where the server was not started here.
    pub process: Option<Process>,
}

/// What the kernel says of a process and its directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Process {
    /// Anonymous memory that is in RAM.
    pub memory_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads, without those of the kernel that work for its rings.
    pub threads: u64,
    /// Bytes on disk of all its files.
    pub disk_bytes: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("allowed bounds and digits");
        Tally { latency_us, wrong: 0, first_problem: None }
    }
}

impl Tally {
    pub(super) fn answered(&mut self, took: Duration) {
        self.latency_us.saturating_record(took.as_micros() as u64);
    }

    pub(super) fn went_wrong(&mut self, problem: String) {
        self.wrong += 1;
        self.first_problem.get_or_insert(problem);
    }
}

impl Answers {
    pub(super) fn add(&mut self, other: &Answers) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.first_problem = self.first_problem.take().or_else(|| other.first_problem.clone());
    }
}

/// What the index occupies for each byte that it asks for: the allocator rounds, and keeps what is free between things that are not. Measured with
/// `malloc_info`, and by an hour in which the index grew by 57 MiB.
const INDEX_BYTES_OCCUPIED: f64 = 1.08;

impl Sample {
    /// The memory that is not the index's: what must not grow.
    pub fn other_memory_bytes(&self) -> Option<f64> {
        Some(self.process?.memory_bytes as f64 - INDEX_BYTES_OCCUPIED * self.index_bytes as f64)
    }

    /// Bytes of the files that the server does not count: what must not grow.
    pub fn other_disk_bytes(&self) -> Option<f64> {
        let counted = self.log_bytes + self.tables_bytes + self.snapshot_bytes;
        Some(self.process?.disk_bytes as f64 - counted as f64)
    }
}

/// Looks how a server is.
pub(super) struct Sampler<'a> {
    server: &'a Server,
    last: Duration,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(server: &'a Server) -> Result<Sampler<'a>, SoakError> {
        Ok(Sampler { server, last: Duration::ZERO })
    }

    /// How it is now, so long after load began, and what was answered since the last sample.
    pub(super) fn sample(&mut self, at: Duration, tally: Tally) -> Result<Sample, SoakError> {
        let elapsed = at - std::mem::replace(&mut self.last, at);
        let Tally { latency_us, wrong, first_problem } = tally;
        let quantile =
            |quantile| (!latency_us.is_empty()).then(|| latency_us.value_at_quantile(quantile) as f64);
        let metrics = get(self.server.address(), "/metrics")?;
        let metrics = samples(&metrics)?;
        let sum = |name: &str| -> f64 {
            metrics.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
        };
        Ok(Sample {
            at_s: at.as_secs_f64(),
            answered_per_s: latency_us.len() as f64 / elapsed.as_secs_f64(),
            wrong,
            first_problem,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            claims: health(self.server.address())?.assertion_count,
            index_bytes: sum("stemedb_core_index_bytes") as u64,
            log_bytes: sum("stemedb_wal_disk_usage_bytes") as u64,
            written_bytes: sum("stemedb_wal_bytes_written_total") as u64,
            tables_bytes: sum("stemedb_tables_bytes") as u64,
            snapshot_bytes: sum("stemedb_index_snapshot_bytes") as u64,
            process: self.process()?,
        })
    }

    fn process(&self) -> Result<Option<Process>, SoakError> {
        let (Some(running), Some(directory)) = (self.server.running(), self.server.directory()) else {
            return Ok(None);
        };
        // It says so when the server has ended.
        running.resident_bytes()?;
        Ok(Some(Process::of(running.id(), directory)?))
    }
}

impl Process {
    fn of(pid: u32, directory: &Path) -> io::Result<Process> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = anonymous.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        let kib = kib.ok_or_else(|| io::Error::other("no RssAnon in its status"))?;
        Ok(Process {
            memory_bytes: kib * 1024,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            threads: threads(pid)?,
            disk_bytes: disk_bytes(directory)?,
        })
    }
}

/// The threads of a process but for those that the kernel adds and takes away as its rings need them.
fn threads(pid: u32) -> io::Result<u64> {
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that has ended meanwhile has no name any more.
        let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        threads += u64::from(!name.is_empty() && !name.starts_with("iou-"));
    }
    Ok(threads)
}

/// Bytes of all files below a directory, those that come or go meanwhile not counted.
fn disk_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)?.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += disk_bytes(&entry.path()).unwrap_or(0),
            Ok(metadata) => bytes += metadata.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}
