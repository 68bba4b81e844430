//! How the operators' jobs went: one small file for each kind of job in the directory `status` beside the tables, written by
//! `stemedb-admin` after each run and read by whoever wants to know, with or without a server.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::fresh_file;

/// A kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `backup run`.
    Backup,
    /// `restore`.
    Restore,
    /// `archive run`.
    Archive,
    /// `validate`.
    Validate,
    /// `backup push`, of the newest full backup.
    Push,
    /// `backup verify`, of the newest full backup.
    Verify,
}

/// How the runs of a job went so far. Times are Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// When the last run ended that succeeded; 0 if none has.
    pub last_success_unix_s: u64,
    /// When the last run ended.
    pub last_run_unix_s: u64,
    /// Whether that one failed.
    pub last_run_failed: bool,
    /// How many runs have failed since the file was begun.
    pub failures_total: u64,
    /// Bytes that the last successful run made, restored, archived, pushed or looked through.
    pub size_bytes: u64,
    /// The same of the successful run before that.
    pub previous_size_bytes: u64,
    /// How long the last run took.
    pub seconds: f64,
}

/// How all jobs went, as far as a server has seen it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct JobFacts(Arc<Mutex<[RunStatus; Job::ALL.len()]>>);

impl Job {
    /// All of them.
    pub const ALL: [Job; 6] =
        [Job::Backup, Job::Restore, Job::Archive, Job::Validate, Job::Push, Job::Verify];

    /// What it is called in names.
    pub fn name(self) -> &'static str {
        match self {
            Job::Backup => "backup",
            Job::Restore => "restore",
            Job::Archive => "archive",
            Job::Validate => "validate",
            Job::Push => "push",
            Job::Verify => "verify",
        }
    }

    /// The file of its status; `beside_db` is the directory that holds the one of the tables.
    pub fn path(self, beside_db: &Path) -> PathBuf {
        beside_db.join("status").join(self.name()).with_extension("json")
    }
}

impl RunStatus {
    /// The status of a job; the default one if it has never run, or its file is no such status.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn read(job: Job, beside_db: &Path) -> io::Result<RunStatus> {
        match fs::read(job.path(beside_db)) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(RunStatus::default()),
            Err(error) => Err(error),
        }
    }

    /// The status after a run that ended `now`, and made `size_bytes` unless it failed.
    pub fn after(self, now_unix_s: u64, seconds: f64, size_bytes: Option<u64>) -> RunStatus {
        let ended = RunStatus { last_run_unix_s: now_unix_s, seconds, ..self };
        match size_bytes {
            Some(size_bytes) => RunStatus {
                last_success_unix_s: now_unix_s,
                last_run_failed: false,
                previous_size_bytes: ended.size_bytes,
                size_bytes,
                ..ended
            },
            None => RunStatus { last_run_failed: true, failures_total: ended.failures_total + 1, ..ended },
        }
    }

    /// Writes the status: whole or not at all; where there is no room for a second file, over the one that is there.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, job: Job, beside_db: &Path) -> io::Result<()> {
        let path = job.path(beside_db);
        let directory = path.parent().expect("it is in the directory of statuses");
        DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        // Of one length, so that it can be written over.
        let text = serde_json::to_string(self).expect("numbers are JSON");
        let text = format!("{text:<380}\n");
        let fresh = path.with_extension("json.new");
        match replace(&fresh, &path, text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                // It may not be there, and the old one may fail as well: told is what counts.
                let _ = fs::remove_file(&fresh);
                let mut file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
                file.write_all(text.as_bytes())?;
                file.sync_data()
            }
            result => result,
        }
    }
}

impl JobFacts {
    /// Takes in how a job went.
    pub fn note(&self, job: Job, status: RunStatus) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[job as usize] = status;
    }

    /// How all jobs went, by [`Job`]. Whoever holds the lock does no more than copy.
    pub fn all(&self) -> [RunStatus; Job::ALL.len()] {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replace(fresh: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fresh_file::create(fresh, 0o644)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_apart() {
        let once = RunStatus::default().after(100, 2.5, Some(7));
        let twice = once.after(200, 1.0, Some(9));
        assert_eq!((twice.size_bytes, twice.previous_size_bytes, twice.last_success_unix_s), (9, 7, 200));
        let failed = twice.after(300, 0.5, None);
        let expected = RunStatus {
            last_success_unix_s: 200,
            last_run_unix_s: 300,
            last_run_failed: true,
            failures_total: 1,
            size_bytes: 9,
            previous_size_bytes: 7,
            seconds: 0.5,
        };
        assert_eq!(failed, expected);
        assert!(!failed.after(400, 1.0, Some(1)).last_run_failed);
    }

    #[test]
    fn a_status_comes_back_and_what_is_none_counts_as_never_run() {
        let root = tempfile::tempdir().expect("a directory");
        for job in Job::ALL {
            assert_eq!(RunStatus::read(job, root.path()).expect("readable"), RunStatus::default());
            let status = RunStatus::default().after(u64::MAX, f64::MAX, Some(u64::MAX));
            status.write(job, root.path()).expect("writable");
            assert_eq!(RunStatus::read(job, root.path()).expect("readable"), status);
            fs::write(job.path(root.path()), "{").expect("writable");
            assert_eq!(RunStatus::read(job, root.path()).expect("readable"), RunStatus::default());
        }
    }

    /// Goal: a job that root runs writes to no file of others. Method: links lie where its status is written.
    #[test]
    fn a_status_is_not_written_through_a_link() {
        let root = tempfile::tempdir().expect("a directory");
        let (path, other) = (Job::Backup.path(root.path()), root.path().join("other"));
        fs::create_dir(root.path().join("status")).expect("writable");
        fs::write(&other, "untouched").expect("writable");
        for link in [path.with_extension("json.new"), path.clone()] {
            std::os::unix::fs::symlink(&other, link).expect("its name is free");
        }
        let status = RunStatus::default().after(100, 2.5, Some(7));
        status.write(Job::Backup, root.path()).expect("writable");
        assert_eq!(RunStatus::read(Job::Backup, root.path()).expect("readable"), status);
        assert!(fs::symlink_metadata(&path).expect("it was written").is_file());
        assert_eq!(fs::read(&other).expect("it is there"), b"untouched");
    }
}
