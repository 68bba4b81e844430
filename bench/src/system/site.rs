//! Where and how long is measured.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use stemedb_engine::ring::CpuSet;

use super::SystemError;
use crate::process::Directory;

/// The CPU of servers.
pub(super) const SERVER_CPU: u16 = 0;

/// The CPU of the load generator.
const LOAD_CPU: u16 = 1;

/// How long a server may take until it is ready.
pub(super) const START_TIME_MAX: Duration = Duration::from_secs(120);

/// What holds for all systems of a run.
#[derive(Debug, Clone)]
pub struct Site {
    /// The file system that data goes to, by a directory on it.
    pub parent: PathBuf,
    /// How long each experiment runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub duration: Duration,
    /// How many small claims are loaded to see what memory they take; none unless it is asked for.
    pub memory_claims: Option<u64>,
}

impl Site {
    /// A fresh directory for one server.
    pub(super) fn directory(&self) -> Result<Directory, SystemError> {
        let directory =
            Directory::create_in(&self.parent).map_err(SystemError::io("a directory for data"))?;
        // What was written before is not this server's to wait for.
        rustix::fs::sync();
        Ok(directory)
    }

    /// The CPUs of servers.
    pub(super) fn server_cpus() -> CpuSet {
        CpuSet::from_iter([SERVER_CPU])
    }

    /// Binds the calling thread, which is about to make load, to the CPU for that.
    ///
    /// # Errors
    ///
    /// When this process may not run on both CPUs that are needed.
    pub fn enter() -> std::io::Result<()> {
        CpuSet::from_iter([SERVER_CPU]).bind_current_thread()?;
        CpuSet::from_iter([LOAD_CPU]).bind_current_thread()
    }

    /// The type of the file system, as the kernel lists it, and the device.
    pub fn file_system(&self) -> String {
        let Ok(parent) = self.parent.canonicalize() else { return String::new() };
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut best: (usize, String) = (0, String::new());
        for line in mounts.lines() {
            let mut fields = line.split(' ');
            let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            // The last of those that reach deepest is the one on top.
            if parent.starts_with(point) && point.len() >= best.0 {
                best = (point.len(), format!("{kind} on {device}"));
            }
        }
        best.1
    }
}
