//! Whether a server stays as it is under load that goes on and on: nothing must grow but what the claims need that it holds.
//!
//! ```text
//!  Load (a thread a connection) ──▶ server
//!    └──▶ Tally ──▶ Sample ◀── what the server and the kernel say of it
//!                     └──▶ Verdict, Picture
//! ```

mod judge;
mod load;
mod picture;
mod sample;
mod wire;

pub use judge::{Finding, Verdict};
pub use picture::{page, svg};
pub use sample::{Answers, Sample};

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;

use crate::client::get::GetError;
use crate::client::health::HealthError;
use crate::curve::{ExpositionError, Server, ServerError, Source};
use crate::process::ProcessError;
use crate::workload::RunId;
use load::Load;
use sample::Sampler;

/// A soak to be run.
#[derive(Debug, Clone)]
pub struct Soak {
    /// The server.
    pub source: Source,
    /// How long load runs.
    pub duration: Duration,
    /// How often it is looked how the server is.
    pub every: Duration,
    /// Requests that are due a second, over all connections.
    pub rate_per_s: f64,
    /// Connections that requests come on.
    pub connections: u32,
    /// Whether latencies are judged: they tell of the server only where nothing else uses the machine.
    pub judges_latency: bool,
}

/// A soak that was run.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// What the server says of its version.
    pub version: String,
    /// Requests that were due a second.
    pub rate_per_s: f64,
    /// Connections that they came on.
    pub connections: u32,
    /// What was seen, in order.
    pub samples: Vec<Sample>,
    /// What was answered in all.
    pub answers: Answers,
    /// What all that means.
    pub verdict: Verdict,
}

/// Why a soak came to no end.
#[derive(Debug, Error)]
pub enum SoakError {
    /// There is no server, or it has ended.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// It has ended.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It does not answer.
    #[error(transparent)]
    Get(#[from] GetError),
    /// It does not say how it is.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// Its metrics make no sense.
    #[error(transparent)]
    Metrics(#[from] ExpositionError),
    /// What the kernel says of it cannot be read.
    #[error("the server's process cannot be looked at: {0}")]
    Proc(#[from] std::io::Error),
    /// No connection can be made.
    #[error("no load can be put on the server: {0}")]
    Load(std::io::Error),
}

/// Runs a soak. Each sample is told when it is taken.
///
/// # Errors
///
/// When there is no server, or none any more.
pub fn run(soak: &Soak, mut told: impl FnMut(&Sample)) -> Result<Record, SoakError> {
    let server = Server::of(&soak.source)?;
    let version = server.version()?;
    let mut sampler = Sampler::new(&server)?;
    let load = Load { address: server.address(), run: RunId::unique(), soak };
    let began = Instant::now();
    let (samples, answers) = load.run(|tally| {
        let mut samples: Vec<Sample> = Vec::new();
        while began.elapsed() < soak.duration {
            let next = began + soak.every * (samples.len() as u32 + 1);
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let sample = sampler.sample(began.elapsed(), tally.take())?;
            told(&sample);
            samples.push(sample);
        }
        Ok::<_, SoakError>(samples)
    })?;
    let verdict = Verdict::of(&samples, &answers, soak.judges_latency);
    let Soak { rate_per_s, connections, .. } = *soak;
    Ok(Record { version, rate_per_s, connections, samples, answers, verdict })
}
