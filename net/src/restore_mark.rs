//! The mark that a restore leaves in the directory of a log, and the first start on a copy that was put there by hand: since when this log goes
//! its own way.
//!
//! What is restored goes on as the log that was backed up did, up to the place where it was cut; from there on it is another one, which its
//! segments do not show until the first of them is begun. An archive goes on with a log only if it was not restored since.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stemedb_engine::time::UnixMicros;
use stemedb_engine::unfinished_file::sync_directory;

use crate::{fresh_file, utc};

/// The mark's name in the directory of the log.
const NAME: &str = "RESTORED";

/// Where the mark is, for the log in `wal`.
pub(crate) fn path(wal: &Path) -> PathBuf {
    wal.join(NAME)
}

/// When the log in `wal` was restored last, as it was written; `None` if it never was.
///
/// # Errors
///
/// When the mark is there and cannot be read.
pub(crate) fn read(wal: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path(wal)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says durably that the log in `wal` was restored at `time`, by which it is told from every other one.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(wal: &Path, time: UnixMicros) -> io::Result<()> {
    fresh_file::replace(&path(wal), &(utc::format(time) + "\n"), 0o644)?;
    sync_directory(wal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back() {
        let wal = tempfile::tempdir().expect("a directory");
        assert_eq!(read(wal.path()).expect("nothing is fine"), None);
        write(wal.path(), UnixMicros(1_769_610_600_250_000)).expect("writable");
        assert_eq!(read(wal.path()).expect("readable").as_deref(), Some("2026-01-28T14:30:00.25Z"));
    }
}
