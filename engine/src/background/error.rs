//! What can go wrong in the background.

use std::io;
use std::path::{Path, PathBuf};

use glommio::GlommioError;
use thiserror::Error;

/// Why background work failed.
#[derive(Debug, Error)]
pub enum BackgroundError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}{}", .path.display(), advice(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The executor wrote a file and read something else back.
    #[error(
        "the self-test of background I/O failed: {} does not read back as it was written; the disk or the file system \
         is not to be trusted with direct I/O",
        .path.display()
    )]
    SelfTest {
        /// The scratch file.
        path: PathBuf,
    },
    /// The executor could not be made.
    #[error(
        "cannot start the executor for background work: {message}; `stemedb-admin doctor` says what is missing"
    )]
    Executor {
        /// What glommio said.
        message: String,
    },
    /// A thread could not be started.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The background was stopped before the work was done.
    #[error("background work has been stopped")]
    Stopped,
}

/// Why a job was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// As many jobs wait as may.
    #[error("{jobs_max} background jobs are waiting already")]
    Full {
        /// The bound.
        jobs_max: usize,
    },
    /// The background has stopped.
    #[error("background work has been stopped")]
    Stopped,
}

impl BackgroundError {
    /// The kernel's error number, if it was the kernel who refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            BackgroundError::Io { source, .. } | BackgroundError::Thread { source, .. } => {
                source.raw_os_error()
            }
            BackgroundError::SelfTest { .. }
            | BackgroundError::Executor { .. }
            | BackgroundError::Stopped => None,
        }
    }

    /// A failed operation of the standard library, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackgroundError {
        let path = path.to_owned();
        move |source| BackgroundError::Io { action, path, source }
    }

    /// A failed operation of glommio, for `map_err`.
    pub(super) fn glommio(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(GlommioError<()>) -> BackgroundError {
        let path = path.to_owned();
        move |error| {
            let source = match error {
                GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. } => source,
                other => io::Error::other(other.to_string()),
            };
            BackgroundError::Io { action, path, source }
        }
    }
}

/// What an operator can do, as the end of a message.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "; free or add disk space",
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            "; check owner and mode of the directory and that it is mounted for writing"
        }
        Some(libc::EINVAL | libc::EOPNOTSUPP) => {
            "; the file system may not support direct I/O or preallocation"
        }
        _ => "",
    }
}
