//! What is measured, and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// One thing that is measured of a system. Numbers are of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Experiment {
    /// Durable writes, one claim, row or value each, the next one when one is answered.
    Write(u32),
    /// The same by a system that answers before they are durable.
    VolatileWrite(u32),
    /// The same request as a write, answered with nothing.
    Empty(u32),
    /// A request without a body, answered with nothing.
    EmptyGet(u32),
    /// A small static file.
    File(u32),
    /// Queries for one subject each.
    Query(u32),
    /// Durable batches of 1000 claims or rows.
    Batch(u32),
    /// Durable writes of large claims.
    Large(u32),
    /// Writes at half of the rate that [`Experiment::Write`] reached in the round, open loop.
    HalfRate(Beside),
    /// Queries for one subject each at that rate: what the machine itself makes of an open loop.
    HalfRateQuery,
    /// Writes by a server that may use both CPUs, with so many cores.
    Cores(u32),
    /// A start after `kill -9`, until all that was stored is served.
    Recovery,
    /// Many small claims, and the memory that they take.
    Memory,
    /// The same after a restart.
    MemoryRestarted,
    /// Writes of so many KiB to a file, one after the other, each durable.
    DiskWrite(u32),
}

/// What goes on beside the writes that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The metrics are read each second.
    Scrapes,
    /// Subtrees are asked for, a thousand a second.
    Subtrees,
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Experiment::Write(connections) => format!("write, {connections} conn."),
            Experiment::VolatileWrite(connections) => format!("write, NOT DURABLE, {connections} conn."),
            Experiment::Empty(connections) => format!("empty reply, {connections} conn."),
            Experiment::EmptyGet(connections) => format!("empty reply to GET, {connections} conn."),
            Experiment::File(connections) => format!("static file, {connections} conn."),
            Experiment::Query(connections) => format!("point query, {connections} conn."),
            Experiment::Batch(connections) => format!("batches of 1000, {connections} conn."),
            Experiment::Large(connections) => format!("large claims, {connections} conn."),
            Experiment::HalfRate(Beside::Nothing) => "write, half rate".to_owned(),
            Experiment::HalfRate(Beside::Scrapes) => "… with scrapes".to_owned(),
            Experiment::HalfRate(Beside::Subtrees) => "… with subtree queries".to_owned(),
            Experiment::HalfRateQuery => "point query, at the same rate".to_owned(),
            Experiment::Cores(1) => "write, 1 core of 2 CPUs".to_owned(),
            Experiment::Cores(cores) => format!("write, {cores} cores of 2 CPUs"),
            Experiment::Recovery => "recovery".to_owned(),
            Experiment::Memory => "memory".to_owned(),
            Experiment::MemoryRestarted => "memory, restarted".to_owned(),
            Experiment::DiskWrite(kib) => format!("durable {kib} KiB write"),
        };
        f.pad(&text)
    }
}

impl Serialize for Experiment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Requests a second, or claims or rows where one request has many.
    PerSecond,
    /// Half of the answers took no longer, in microseconds.
    P50Us,
    /// 99 of 100 answers took no longer, in microseconds.
    P99Us,
    /// CPUs that the server kept busy: 1 is one whole CPU.
    ServerCpus,
    /// CPU time of the server for one request (claim, row), in microseconds.
    ServerCpuUs,
    /// CPUs that the load generator kept busy.
    LoadCpus,
    /// Bytes that went to the disk a second.
    DiskBytesPerSecond,
    /// Claims that were there.
    Claims,
    /// Resident memory divided by the claims.
    ResidentBytesAClaim,
    /// Requests that went on beside those that were measured, a second.
    BesidePerSecond,
    /// 99 of 100 requests that were due were sent no later than this behind, by the generator's own fault, in microseconds.
    LatenessP99Us,
    /// Requests that were due and had no answer.
    Unanswered,
}

/// What came out of one experiment in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measurement {
    /// The numbers.
    pub values: BTreeMap<Quantity, f64>,
    /// The server's threads that were free to run on other CPUs than the server's.
    pub strays: Vec<String>,
}

impl Measurement {
    /// With one more number.
    #[must_use]
    pub fn with(mut self, quantity: Quantity, value: f64) -> Measurement {
        self.values.insert(quantity, value);
        self
    }

    /// A number of it.
    pub fn value(&self, quantity: Quantity) -> Option<f64> {
        self.values.get(&quantity).copied()
    }
}
