//! What became of each backup run: a line of JSON for each in `history.jsonl` beside the backups.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;

use super::metadata::BackupType;
use crate::fresh_file;

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Run<'r> {
    pub(super) backup_id: &'r str,
    pub(super) backup_type: BackupType,
    pub(super) timestamp: &'r str,
    pub(super) seconds: f64,
    pub(super) succeeded: bool,
    pub(super) size_bytes: u64,
    pub(super) copied_bytes: u64,
    pub(super) assertion_count: u64,
    /// Why it failed.
    pub(super) error: Option<String>,
}

const NAME: &str = "history.jsonl";

/// Room that is kept for lines on a disk that is full.
const RESERVE: &str = ".history.reserve";
const RESERVE_BYTES: usize = 16 << 10;

/// Adds a line to the history of the backups in `directory`; on a full disk, in the room that was kept for that.
pub(super) fn note(directory: &Path, run: &Run<'_>) -> io::Result<()> {
    let line = serde_json::to_string(run).expect("numbers and strings are JSON") + "\n";
    match append(directory, &line) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            fs::remove_file(directory.join(RESERVE))?;
            append(directory, &line)?;
        }
        result => result?,
    }
    keep_reserve(directory);
    Ok(())
}

fn append(directory: &Path, line: &str) -> io::Result<()> {
    let path = directory.join(NAME);
    let mut options = OpenOptions::new();
    let mut file =
        options.create(true).append(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(&path)?;
    let before = file.metadata()?.len();
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line is no line. If this fails as well, the next line says more than this one would.
        let _ = file.set_len(before);
    }
    written
}

/// Keeps the room for the next full disk. Without it nothing is worse than it would be anyway.
fn keep_reserve(directory: &Path) {
    let path = directory.join(RESERVE);
    if fs::metadata(&path).is_ok_and(|file| file.len() == RESERVE_BYTES as u64) {
        return;
    }
    // What is not zero is really stored, by every file system.
    let written =
        fresh_file::create(&path, 0o640).and_then(|mut file| file.write_all(&[0xAA; RESERVE_BYTES]));
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
}
