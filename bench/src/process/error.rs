//! What can go wrong with a program.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// Why a program did not do what it was started for.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It could not be started at all.
    #[error("{program} could not be started: {source}")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended, with an error or before it was ready.
    #[error("{program} ended with {status}:\n{log}")]
    Ended {
        /// Its name.
        program: String,
        /// How.
        status: ExitStatus,
        /// The end of what it wrote.
        log: String,
    },
    /// It was not ready, or not done, in time.
    #[error("{program} took more than {} s:\n{log}", .within.as_secs())]
    TooLate {
        /// Its name.
        program: String,
        /// The time it had.
        within: Duration,
        /// The end of what it wrote.
        log: String,
    },
    /// It is gone, and so is what `/proc` said of it.
    #[error("{program} is no longer running:\n{log}")]
    Gone {
        /// Its name.
        program: String,
        /// The end of what it wrote.
        log: String,
    },
}
