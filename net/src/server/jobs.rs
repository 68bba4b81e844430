//! The thread that looks at how the operators' jobs went, so that a scrape waits for no disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use stemedb_engine::data_dir::DataDir;

use super::StartError;
use crate::run_status::{Job, JobFacts, RunStatus};

/// How often the files are read: far more often than any job runs.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What ends the thread when it is dropped.
pub(super) struct JobsWatch {
    _life: Sender<()>,
}

/// Reads how the jobs on `data` went, now and from now on, into `facts`.
///
/// # Errors
///
/// When the thread cannot be started.
pub(super) fn watch(data: &DataDir, facts: JobFacts) -> Result<JobsWatch, StartError> {
    let beside_db = data.db().parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let (life, end): (Sender<()>, Receiver<()>) = channel();
    let run = move || {
        let mut has_failed = false;
        loop {
            match look(&beside_db, &facts) {
                Ok(()) => has_failed = false,
                Err(error) => {
                    if !has_failed {
                        tracing::warn!(%error, "how backups and the archive went cannot be read");
                    }
                    has_failed = true;
                }
            }
            if end.recv_timeout(LOOK_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    thread::Builder::new().name("jobs".to_owned()).spawn(run).map_err(StartError::Thread)?;
    Ok(JobsWatch { _life: life })
}

fn look(beside_db: &Path, facts: &JobFacts) -> io::Result<()> {
    for job in Job::ALL {
        facts.note(job, RunStatus::read(job, beside_db)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_seen_and_what_cannot_be_read_stays_as_it_was() {
        let root = tempfile::tempdir().expect("a directory");
        let facts = JobFacts::default();
        look(root.path(), &facts).expect("jobs that never ran have no files");
        assert_eq!(facts.all()[Job::Backup as usize], RunStatus::default());
        let status = RunStatus::default().after(100, 2.5, Some(7));
        status.write(Job::Backup, root.path()).expect("writable");
        look(root.path(), &facts).expect("readable");
        assert_eq!(facts.all()[Job::Backup as usize], status);
        std::fs::remove_file(Job::Backup.path(root.path())).expect("it was written");
        std::fs::create_dir(Job::Backup.path(root.path())).expect("its name is free");
        look(root.path(), &facts).expect_err("a directory is no file");
        assert_eq!(facts.all()[Job::Backup as usize], status);
    }
}
