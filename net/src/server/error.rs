//! Why a server did not start, or ended by itself.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use stemedb_engine::background::BackgroundError;
use stemedb_engine::data_dir::{DataDirError, explain_access};
use stemedb_engine::log::opening::OpenError;
use stemedb_engine::ring::RingError;
use stemedb_engine::ring::probe::ProbeError;

use super::TlsError;
use super::recovery::RebuildError;

/// Why a server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS is to be spoken and cannot be.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The kernel lacks something, or does not let us have it.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}{}", reason(.cause), holder.map_or_else(String::new, |pid| format!("; process {pid} listens there")))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The process that listens there, if it is one that we may see.
        holder: Option<u32>,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The directories cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The executor for background work cannot be started.
    #[error(transparent)]
    Background(#[from] BackgroundError),
    /// A ring cannot be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A core's thread cannot be started or bound to its CPU.
    #[error("cannot start core {core} on CPU {cpu}: {source}")]
    Core {
        /// The core.
        core: u16,
        /// Its CPU.
        cpu: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// A thread of the server's own cannot be started.
    #[error("cannot start a thread for signals or recovery: {0}")]
    Thread(io::Error),
    /// The tables or the log cannot be read.
    #[error(transparent)]
    Recovery(Box<RebuildError>),
    /// The next generation cannot be begun.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The metadata cannot be written.
    #[error("cannot write {path}: {source}{}", whose(.path, .source))]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The metadata cannot be read.
    #[error("cannot read {path}: {source}{}", whose(.path, .source))]
    ReadMetadata {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A newer version has written here.
    #[error(
        "{path} says that the data has format version {found}, written by StemeDB {writer}; this is StemeDB {}, which reads \
         up to version {known}. Start that version again; nothing on disk was changed, and docs/operations/upgrade.md \
         says how to go back", env!("CARGO_PKG_VERSION")
    )]
    NewerFormat {
        /// The metadata.
        path: PathBuf,
        /// The format's version.
        found: u64,
        /// The newest that this version knows.
        known: u32,
        /// The version that wrote it, as it names itself.
        writer: String,
    },
    /// The log, or all of its last generation, is gone.
    #[error(
        "the log in {wal} is not the one that was here: {path} says that generation {known} was begun, but the log ends \
         with generation {found}; is the right disk mounted? Bring the log back; or, to go on without what is lost, remove {path}"
    )]
    LogLost {
        /// The metadata.
        path: PathBuf,
        /// The directory of the log.
        wal: PathBuf,
        /// The generation that the metadata names.
        known: u32,
        /// The last one of the log, 0 if it is empty.
        found: u32,
    },
    /// The copy of a backup that was put in the place of the log is not whole.
    #[error(
        "the log in {wal} is a copy of {backup}, but not all of it: lane {lane} must reach up to before record {stated}, and ends \
         before record {found}; copy it again, or restore it with stemedb-admin restore"
    )]
    CopyIncomplete {
        /// The directory of the log.
        wal: PathBuf,
        /// The backup.
        backup: String,
        /// The lane that is too short.
        lane: u16,
        /// The first record that it need not have.
        stated: u64,
        /// The first record that it does not have.
        found: u64,
    },
    /// A core has ended by itself.
    #[error("a core has failed, see above; acknowledged writes are safe, start the server again")]
    CoreFailed,
    /// A core did not end in time.
    #[error("a core did not finish its lane in time; acknowledged writes are safe")]
    CoreStuck,
}

impl From<RebuildError> for StartError {
    fn from(error: RebuildError) -> StartError {
        StartError::Recovery(Box::new(error))
    }
}

/// Whose a file is that must not be used, as the end of a message.
fn whose(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("; {}", explain_access(path)),
        _ => String::new(),
    }
}

/// The kernel's words without the number that the standard library adds.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
