//! What a run showed.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::Operation;

/// The longest latency that is told from longer ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Decimal digits that latencies are kept with.
const LATENCY_DIGITS: u8 = 3;

/// What was measured of one kind of request, after the warm-up.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Requests that were answered, rightly, while it was measured. Rates are made of these.
    pub requests: u64,
    /// Claims, rows or values in them.
    pub units: u64,
    /// Latencies in nanoseconds, up to a minute. Closed loop: of the `requests`. Open loop: of the requests that were due
    /// while it was measured, also of those that were answered later.
    pub latency_ns: Histogram<u64>,
}

/// What one run showed, or several together.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How long was measured.
    pub elapsed: Duration,
    /// CPU time that the generator's thread used while it was measured, the kernel's work for it included. Close to
    /// `elapsed`, it says that the generator was the limit, not the server.
    pub cpu: Duration,
    /// By kind of request.
    pub operations: BTreeMap<Operation, Measured>,
    /// Units answered in the whole run, before and after the measured time, too: what the server must have stored.
    pub units_answered: BTreeMap<Operation, u64>,
    /// Open loop: requests that were due while it was measured.
    pub due: u64,
    /// Requests that had no answer when the run gave up waiting. Open loop: of those that were `due`, whether or
    /// not they could be sent. They are in no histogram: where there are any, the server was overloaded, and percentiles
    /// are too good.
    pub unanswered: u64,
    /// Open loop: how long after a request was due, and could have been sent, the generator sent it, in nanoseconds: its own
    /// lateness, which is part of the latencies.
    pub lateness_ns: Histogram<u64>,
}

impl Measured {
    /// Nothing yet.
    pub fn new() -> Measured {
        Measured { requests: 0, units: 0, latency_ns: histogram() }
    }
}

impl Default for Measured {
    fn default() -> Measured {
        Measured::new()
    }
}

impl Outcome {
    /// Nothing yet.
    pub fn new() -> Outcome {
        Outcome {
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            operations: BTreeMap::new(),
            units_answered: BTreeMap::new(),
            due: 0,
            unanswered: 0,
            lateness_ns: histogram(),
        }
    }

    /// Adds another run of the same load.
    pub fn merge(&mut self, other: &Outcome) {
        self.elapsed += other.elapsed;
        self.cpu += other.cpu;
        for (operation, measured) in &other.operations {
            let sum = self.operations.entry(*operation).or_default();
            sum.requests += measured.requests;
            sum.units += measured.units;
            add(&mut sum.latency_ns, &measured.latency_ns);
        }
        for (operation, units) in &other.units_answered {
            *self.units_answered.entry(*operation).or_default() += units;
        }
        self.due += other.due;
        self.unanswered += other.unanswered;
        add(&mut self.lateness_ns, &other.lateness_ns);
    }

    /// Requests of a kind that were answered a second.
    pub fn requests_per_s(&self, operation: Operation) -> f64 {
        let requests = self.operations.get(&operation).map_or(0, |measured| measured.requests);
        requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Units of a kind that were answered a second.
    pub fn units_per_s(&self, operation: Operation) -> f64 {
        let units = self.operations.get(&operation).map_or(0, |measured| measured.units);
        units as f64 / self.elapsed.as_secs_f64()
    }

    /// Requests of all kinds that were answered while it was measured.
    pub fn requests(&self) -> u64 {
        self.operations.values().map(|measured| measured.requests).sum()
    }

    /// The share of the measured time in which the generator's thread ran, 0 to 1.
    pub fn cpu_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

impl Default for Outcome {
    fn default() -> Outcome {
        Outcome::new()
    }
}

/// An empty histogram of latencies.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        .expect("the bounds and digits are allowed ones")
}

fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    sum.add(other).expect("all histograms have the same bounds");
}
