//! Why a command of the operators' tool failed.

use std::io;
use std::path::PathBuf;

use stemedb_engine::data_dir::DataDirError;
use stemedb_engine::log::recovery::RecoveryError;
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
    /// TLS came to no agreement.
    #[error(
        "no secure connection to {url}: {reason}. --ca-file names those who sign the server's certificate; a server may \
         ask for --client-cert and --client-key, or speak plain http://"
    )]
    Insecure { url: String, reason: String },
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
    /// A file of a backup is not what it was; exit code 3.
    #[error(
        "checksum mismatch in {}: expected {expected}, actual {actual}. {}", path.display(),
        match instead {
            Some(id) => format!("The previous backup is {id}; take it with --backup-id {id}"),
            None => "There is no earlier backup of this type beside it".to_owned(),
        }
    )]
    BackupDamaged { path: PathBuf, expected: String, actual: String, instead: Option<String> },
    /// What has the name of a backup says nothing of itself; exit code 3.
    #[error(
        "{} has the name of a backup and is none: {reason}. {}", path.display(),
        match instead {
            Some(id) => format!("The newest one that can be read is {id}"),
            None => "`stemedb-admin backup list` shows which ones can be read".to_owned(),
        }
    )]
    NoBackup { path: PathBuf, reason: String, instead: Option<String> },
    /// There is no room for a backup where it is to be; exit code 4.
    #[error("{0}")]
    NoRoom(String),
    /// A data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A log is damaged or cannot be read.
    #[error("{}", with_cause(.0))]
    Log(RecoveryError),
    /// Anything else that keeps a command from doing what it was asked.
    #[error("{0}")]
    Failed(String),
    /// Standard output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl AdminError {
    /// What the process ends with.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            AdminError::Usage(_) => 2,
            AdminError::BackupDamaged { .. } | AdminError::NoBackup { .. } => 3,
            AdminError::NoRoom(_) => 4,
            _ => 1,
        }
    }
}

/// An error with what caused it, in one line.
fn with_cause(error: &RecoveryError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
