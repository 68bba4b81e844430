//! What a connection says and how it reads the answers: one file for each wire protocol.
//!
//! A [`Client`] is a state machine without I/O: the load generator owns sockets, clocks and histograms.

pub mod empty;
pub mod etcd;
pub mod get;
pub mod health;
mod hpack;
pub mod http;
mod http2;
pub mod nats;
pub mod postgres;
pub mod redis;
pub mod rows;
pub mod stemedb;

pub use empty::Empty;
pub use etcd::Etcd;
pub use nats::Nats;
pub use postgres::Postgres;
pub use redis::Redis;
pub use rows::Rows;
pub use stemedb::StemeDb;

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// The kinds of requests that are timed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// One durable write of one claim, row or value.
    Assert,
    /// One durable write of many.
    Batch,
    /// A query for one subject.
    Query,
    /// A query for all subjects below a path.
    Subtree,
    /// A request that does no work: the ceiling of what the transport can do.
    Empty,
}

impl Operation {
    /// All kinds, in the order in which they are told.
    pub const ALL: [Operation; 5] =
        [Operation::Assert, Operation::Batch, Operation::Query, Operation::Subtree, Operation::Empty];

    /// Its name, as in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Assert => "assert",
            Operation::Batch => "batch",
            Operation::Query => "query",
            Operation::Subtree => "subtree",
            Operation::Empty => "empty",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request that was just appended to what is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub operation: Operation,
    /// How many claims, rows or values it writes or asks for: what rates are counted in.
    pub units: u32,
}

/// What was found at the front of the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No whole answer yet; call again, with the same bytes and more.
    Incomplete,
    /// These many bytes were read, and were not (the end of) an answer: a notice, a ping, a part that is not needed again.
    Skipped(usize),
    /// These many bytes end the answer to the oldest unanswered request, and it is the right answer.
    Answered(usize),
}

/// One connection's side of a protocol. Answers come in the order of the requests.
pub trait Client {
    /// Appends what has to be said first: a login, a prepared statement. `true` when it is answered, by one
    /// [`Progress::Answered`], before requests may follow. It is not timed.
    fn greet(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Appends the next request.
    fn request(&mut self, out: &mut Vec<u8>) -> Request;

    /// Looks at the front of what was received and not yet read; appends to `out` what the protocol wants said at once
    /// (the answer to a ping). Called until it says [`Progress::Incomplete`] or no bytes are left.
    ///
    /// # Errors
    ///
    /// When the answer is not the one that the request should have had; the run ends and the message is shown.
    fn answer(
        &mut self,
        received: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>>;
}
