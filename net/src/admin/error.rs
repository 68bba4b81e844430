//! Why a command of the operators' tool failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a command failed, in a sentence for whoever typed it.
#[derive(Debug, Error)]
pub(super) enum AdminError {
    /// The command line asked for something that cannot be; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// No answer came.
    #[error(
        "no answer from {url}: {reason}. Is the server running there? --url or STEMEDB_URL says where to ask"
    )]
    Unreachable { url: String, reason: String },
    /// The server answered that it cannot or will not.
    #[error("the server refused: {message} (status {status}, code {code})")]
    Refused { status: u16, code: String, message: String },
    /// Something answered, but not as StemeDB does.
    #[error("{url} answered what StemeDB would not: {reason}. Is it another server?")]
    Unintelligible { url: String, reason: String },
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A log was to be looked at, but there is none.
    #[error("there are no segments (segment-*.log) of the lane and number asked for in {}{hint}", directory.display())]
    NoSegments { directory: PathBuf, hint: String },
    /// Standard output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}
