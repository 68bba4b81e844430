//! One rate on one server, measured.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use thiserror::Error;

use super::figures::{Commits, Figures, Generator, Latency, ServerUse};
use super::server::{Reading, Server, ServerError, Source};
use crate::client::{Operation, StemeDb};
use crate::load::{self, Load, LoadError, Outcome, Pacing};
use crate::workload::Workload;

/// Durations in the server's metrics are whole microseconds, told in seconds.
const WRITE_RESOLUTION_S: f64 = 1e-6;

/// How load is put on the server: single claims.
#[derive(Debug, Clone)]
pub struct Drive {
    /// Which claims.
    pub workload: Workload,
    /// How many connections there are.
    pub connections: u32,
    /// How many requests a connection may have unanswered.
    pub depth: u32,
    /// How long load runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Duration,
}

/// Measures one rate after another.
#[derive(Debug)]
pub struct Bench {
    source: Source,
    drive: Drive,
    server: Option<Server>,
}

/// Why a rate could not be measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The server failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The load failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Nothing can be said about no answers.
    #[error("no request was answered while it was measured")]
    Nothing,
    /// The server lost claims.
    #[error("{answered} claims were answered, but the server held {before} before and holds {after} now")]
    Lost {
        /// Claims that were answered.
        answered: u64,
        /// Claims held before.
        before: u64,
        /// Claims held after.
        after: u64,
    },
}

impl Bench {
    /// A bench that has not started anything.
    pub fn new(source: Source, drive: Drive) -> Bench {
        Bench { source, drive, server: None }
    }

    /// What the server, a fresh one if that is what is measured, says of its version.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn version(&mut self) -> Result<String, BenchError> {
        Ok(self.renewed()?.version()?)
    }

    /// How many claims a second the server takes when each connection sends the next when the last is answered.
    ///
    /// # Errors
    ///
    /// When the server or the load fails.
    pub fn probe_per_s(&mut self) -> Result<f64, BenchError> {
        self.renewed()?;
        Ok(self.run(Pacing::Closed)?.achieved_per_s)
    }

    /// Measures one rate. `renew` puts a fresh server, if that is what is measured, in the place of the last.
    ///
    /// # Errors
    ///
    /// When the server or the load fails, or claims that were answered are missing.
    pub fn measure(&mut self, rate_per_s: f64, renew: bool) -> Result<Figures, BenchError> {
        if renew {
            self.renewed()?;
        }
        self.run(Pacing::Open { rate_per_s })
    }

    fn renewed(&mut self) -> Result<&Server, BenchError> {
        // The last one ends before the next one starts: two would share a CPU.
        self.server = None;
        Ok(self.server.insert(Server::of(&self.source)?))
    }

    fn run(&mut self, pacing: Pacing) -> Result<Figures, BenchError> {
        let server = match self.server.take() {
            Some(server) => server,
            None => Server::of(&self.source)?,
        };
        let Drive { depth, warm_up, duration, .. } = self.drive;
        let load = Load { address: server.address(), depth, pacing, warm_up, duration };
        let clients = StemeDb::connections(&self.drive.workload, server.address(), self.drive.connections);
        // No two runs may write the same claims: those would be stored once.
        self.drive.workload.run = self.drive.workload.run.next();
        let (before, started) = (server.read()?, Instant::now());
        let outcome = load::run(&load, clients)?;
        let (elapsed, after) = (started.elapsed(), server.read()?);
        self.server = Some(server);
        figures(&outcome, elapsed, &before, &after)
    }
}

/// What a run showed, with what the server said and used before and after it. The server's figures are of the whole run,
/// warm-up included: load is the same then.
fn figures(
    outcome: &Outcome,
    elapsed: Duration,
    before: &Reading,
    after: &Reading,
) -> Result<Figures, BenchError> {
    let measured = outcome.operations.get(&Operation::Assert).ok_or(BenchError::Nothing)?;
    let answered = outcome.units_answered.get(&Operation::Assert).copied().unwrap_or_default();
    if measured.requests == 0 {
        return Err(BenchError::Nothing);
    }
    if after.claims < before.claims + answered {
        return Err(BenchError::Lost { answered, before: before.claims, after: after.claims });
    }
    let mut latency_ns = measured.latency_ns.clone();
    // What had no answer took as long as it was waited for, at least. Left out, it would make an overload look good.
    latency_ns.saturating_record_n(load::PATIENCE.as_nanos() as u64, outcome.unanswered);
    let server = before.usage.zip(after.usage).map(|((cpu_before, _), (cpu_after, resident_bytes))| {
        let cpu_s = cpu_after.saturating_sub(cpu_before).as_secs_f64();
        ServerUse {
            cpu_share: cpu_s / elapsed.as_secs_f64(),
            cpu_us_a_request: cpu_s * 1e6 / answered as f64,
            resident_bytes: resident_bytes as f64,
        }
    });
    Ok(Figures {
        achieved_per_s: outcome.requests_per_s(Operation::Assert),
        latency: Latency {
            p50_us: us_at(&latency_ns, 0.5),
            p90_us: us_at(&latency_ns, 0.9),
            p99_us: us_at(&latency_ns, 0.99),
            p999_us: us_at(&latency_ns, 0.999),
            max_us: us_at(&latency_ns, 1.0),
        },
        commits: commits(elapsed, before, after)?,
        server,
        generator: Generator {
            cpu_share: outcome.cpu_share(),
            late_p99_us: us_at(&outcome.lateness_ns, 0.99),
        },
    })
}

fn commits(elapsed: Duration, before: &Reading, after: &Reading) -> Result<Option<Commits>, BenchError> {
    let records = after.records.since(&before.records).map_err(ServerError::from)?;
    let writes = after.writes.since(&before.writes).map_err(ServerError::from)?;
    let commits = || {
        let write_us = |quantile| Some(writes.quantile(quantile, WRITE_RESOLUTION_S)? * 1e6);
        Some(Commits {
            frames_per_s: writes.count() as f64 / elapsed.as_secs_f64(),
            records_mean: records.mean()?,
            records_p50: records.quantile(0.5, 1.0)?,
            records_p99: records.quantile(0.99, 1.0)?,
            write_p50_us: write_us(0.5)?,
            write_p99_us: write_us(0.99)?,
        })
    };
    Ok(commits())
}

fn us_at(histogram_ns: &Histogram<u64>, quantile: f64) -> f64 {
    histogram_ns.value_at_quantile(quantile) as f64 / 1e3
}
