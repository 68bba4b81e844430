//! The load generator: connections driven over an io_uring of its own by one thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use thiserror::Error;

use crate::client::{Client, Operation};

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pacing {
    /// Each connection keeps `depth` requests unanswered: the next one goes out when one is answered.
    Closed,
    /// Requests are due at these many a second, spread evenly, whatever becomes of earlier ones. A latency counts from
    /// the moment a request was due, not from when it could be sent, so that a stalled server cannot hide its stall.
    Open {
        /// Requests a second over all connections; greater than 0.
        rate_per_s: f64,
    },
}

/// One run of load.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// How many requests a connection may have unanswered, at least 1.
    pub depth: u32,
    /// When requests are sent.
    pub pacing: Pacing,
    /// How long load runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Duration,
}

/// What was measured of one kind of request, after the warm-up.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Requests that were answered, rightly.
    pub requests: u64,
    /// Claims, rows or values in them.
    pub units: u64,
    /// Latencies in nanoseconds.
    pub latency_ns: Histogram<u64>,
}

/// What one run showed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How long was measured.
    pub elapsed: Duration,
    /// CPU time that the generator's thread used while it was measured.
    pub cpu: Duration,
    /// By kind of request.
    pub operations: BTreeMap<Operation, Measured>,
}

/// Why a run came to nothing.
#[derive(Debug, Error)]
pub enum LoadError {}

/// Runs a load with one connection for each of `clients`, on the calling thread.
///
/// # Errors
///
/// When a connection cannot be made or breaks, or an answer is not what it should be.
pub fn run<C: Client>(_load: &Load, _clients: Vec<C>) -> Result<Outcome, LoadError> {
    todo!()
}
