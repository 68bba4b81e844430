//! What can go wrong in a run.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use stemedb_engine::ring::{Errno, RingError};
use thiserror::Error;

use crate::client::Operation;

/// Why a run came to nothing. Connections are numbered from 0.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is no io_uring to be had.
    #[error("the load generator has no io_uring: {0}")]
    Ring(#[from] RingError),
    /// The io_uring refuses to work.
    #[error("the load generator's io_uring fails: {0}")]
    Wait(io::Error),
    /// The generator did not run for so long that what it saw says nothing of the server.
    #[error(
        "the load generator itself did not run for {} ms: it was stopped, or the machine has too much to do; measure again",
        .0.as_millis()
    )]
    Stopped(Duration),
    /// A connection cannot be made.
    #[error("connection {connection} to {address} cannot be made: {source}")]
    Connect {
        /// Which one.
        connection: usize,
        /// To where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A connection's greeting was not answered in time.
    #[error("{connections} connections were greeted and had no answer after {} s", super::PATIENCE.as_secs())]
    Greeting {
        /// How many.
        connections: usize,
    },
    /// A connection broke.
    #[error("connection {connection} broke with {unanswered} requests unanswered: {source}")]
    Broken {
        /// Which one.
        connection: usize,
        /// How many requests had no answer.
        unanswered: usize,
        /// Why.
        source: Errno,
    },
    /// The server closed a connection.
    #[error("connection {connection} was closed by the server with {unanswered} requests unanswered")]
    Closed {
        /// Which one.
        connection: usize,
        /// How many requests had no answer.
        unanswered: usize,
    },
    /// A client was not content with an answer.
    #[error("connection {connection}, answer to {}: {source}", asked(.operation))]
    Answer {
        /// Which connection.
        connection: usize,
        /// What the oldest unanswered request had asked for; nothing when there was none, or it was the greeting.
        operation: Option<Operation>,
        /// What was expected, and what came.
        source: Box<dyn Error + Send + Sync>,
    },
}

fn asked(operation: &Option<Operation>) -> &'static str {
    operation.map_or("no request", Operation::name)
}
