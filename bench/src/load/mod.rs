//! The load generator: connections driven over an io_uring of its own by one thread.
//!
//! ```text
//!  Schedule ──due──▶ Generator ──▶ Connection ──▶ Client (what is said)
//!                        └───────▶ Recorder ──▶ Outcome
//! ```
//!
//! One turn of the generator is one system call: it sends what the last turn brought about and waits until something
//! happens or is due. The clock is read once after it: all that a turn finds had come before that moment, and
//! all that it sends goes out after it. So a latency may be too long by the generator's own work, never too short.
//!
//! Between turns it sleeps and does not spin, although a timer wakes it tens of microseconds late on a virtual machine:
//! where the disk interrupts the generator's CPU, the kernel's work for each durable write of the server would have to
//! wait behind it for milliseconds. How late it was is measured ([`Outcome::lateness_ns`]).

mod connection;
mod error;
mod generator;
mod outcome;
mod recorder;
mod schedule;

pub use error::LoadError;
pub use outcome::{Measured, Outcome};

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::Client;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pacing {
    /// Each connection keeps `depth` requests unanswered: the next one goes out when one is answered.
    Closed,
    /// Requests are due at these many a second, spread evenly, whatever becomes of earlier ones. Each goes out on the
    /// connection that could take one for the longest time; when all have `depth` requests unanswered, it waits for
    /// the first that is free. A latency counts from the moment a request was due, not from when it could be sent, so
    /// that a stalled server cannot hide its stall.
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

/// How many connections a run can have.
pub const CONNECTIONS_MAX: usize = 8192;

/// How long a run waits for the answers that are missing when its time is over, and for connections to be greeted. What
/// is not answered then counts as unanswered.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a load with one connection for each of `clients`, on the calling thread.
///
/// # Errors
///
/// When a connection cannot be made or breaks, an answer is not what it should be, or the generator was stopped.
///
/// # Panics
///
/// When there is no client or more than [`CONNECTIONS_MAX`], or the load is not within the limits that its fields tell.
pub fn run<C: Client>(load: &Load, clients: Vec<C>) -> Result<Outcome, LoadError> {
    assert!((1..=CONNECTIONS_MAX).contains(&clients.len()), "{} clients", clients.len());
    assert!(load.depth >= 1, "a connection has at least one request unanswered");
    generator::Generator::connect(load, clients)?.run()
}
