//! A program that runs.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use stemedb_engine::ring::CpuSet;

use super::error::ProcessError;
use super::{registry, tree};

/// How often it is looked whether a program is ready or done.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How long a program has to end when it is asked to; then it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// How much of the end of a log is shown with an error.
const LOG_BYTES_SHOWN: u64 = 2000;

/// A program that was started. It is asked to stop when this is dropped, and killed if it does not.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    cpus: CpuSet,
    stop_signal: Signal,
    /// How it ended, once it is known to have.
    status: Option<ExitStatus>,
}

impl Running {
    pub(super) fn new(
        name: String,
        child: Child,
        log: PathBuf,
        cpus: CpuSet,
        stop_signal: Signal,
    ) -> Running {
        Running { name, child, log, cpus, stop_signal, status: None }
    }

    pub(super) fn wait_until_ready(
        &mut self,
        within: Duration,
        mut is_ready: impl FnMut() -> bool,
    ) -> Result<(), ProcessError> {
        let deadline = Instant::now() + within;
        while !is_ready() {
            if let Some(status) = self.poll() {
                return Err(ProcessError::Ended { program: self.name.clone(), status, log: self.log_end() });
            }
            if Instant::now() > deadline {
                self.kill();
                return Err(ProcessError::TooLate {
                    program: self.name.clone(),
                    within,
                    log: self.log_end(),
                });
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    pub(super) fn wait_for_success(mut self, within: Duration) -> Result<(), ProcessError> {
        match self.wait(within) {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                Err(ProcessError::Ended { program: self.name.clone(), status, log: self.log_end() })
            }
            None => {
                self.kill();
                Err(ProcessError::TooLate { program: self.name.clone(), within, log: self.log_end() })
            }
        }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a failure of power would: without a word. Returns when it has ended.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            registry::kill_tree(self.pid());
            self.wait(Duration::MAX);
        }
    }

    /// Asks it to stop and waits until it has; kills it when that takes too long.
    pub fn stop(&mut self) {
        if self.status.is_none() {
            // It fails only when the program has ended by itself.
            let _ = kill_process(self.pid(), self.stop_signal);
            if self.wait(STOP_TIME_MAX).is_none() {
                self.kill();
            }
        }
    }

    /// The CPU time that it and its descendants have used so far.
    pub fn cpu_time(&self) -> Duration {
        tree::cpu_time(&tree::descendants_and(self.child.id()))
    }

    /// Its memory that is in RAM, without that of its descendants.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident_bytes(&self) -> Result<u64, ProcessError> {
        let gone = || ProcessError::Gone { program: self.name.clone(), log: self.log_end() };
        tree::resident_bytes(self.child.id()).ok_or_else(gone)
    }

    /// The names of its threads, and of its descendants', that may run on other CPUs than it was given.
    pub fn strays(&self) -> Vec<String> {
        tree::strays(&tree::descendants_and(self.child.id()), &self.cpus)
    }

    /// The end of what it wrote.
    pub fn log_end(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = fs::File::open(&self.log) {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            let start = SeekFrom::Start(length.saturating_sub(LOG_BYTES_SHOWN));
            // A log that cannot be read is shown as an empty one.
            let _ = file.seek(start).and_then(|_| file.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it ends; `None` when it is still running after that time.
    fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.poll() {
                return Some(status);
            }
            if started.elapsed() > within {
                return None;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Whether it has ended, and how.
    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_some() {
            return self.status;
        }
        // Held so that a signal does not kill whatever gets this number next.
        let mut registry = registry::lock();
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(None) = waitid(WaitId::Pid(self.pid()), look) {
            return None;
        }
        // Until it is waited for the number is its own, and so is the group's: what is left in that goes too.
        registry::kill_tree(self.pid());
        let pid = self.pid();
        registry.programs.retain(|program| *program != pid);
        self.status = Some(self.child.wait().unwrap_or_default());
        self.status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
