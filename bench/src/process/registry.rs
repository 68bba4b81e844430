//! What must not be left behind, for the case that this process is told to end.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io, process, thread};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use stemedb_engine::ring::signals::{self, Signals};

use super::tree;

/// Programs that run and directories that are there.
pub(super) struct Registry {
    pub(super) programs: Vec<Pid>,
    pub(super) directories: Vec<PathBuf>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { programs: Vec::new(), directories: Vec::new() });

/// While this is held, nothing is started or ended by another thread.
pub(super) fn lock() -> MutexGuard<'static, Registry> {
    // What is in it is true even if a thread panicked while it had it.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on SIGINT, SIGTERM and SIGHUP end this process only after all that it started is ended and removed. To be called by
/// the main thread before there are others.
///
/// # Errors
///
/// When the signals cannot be blocked, or no thread can be started.
pub fn end_all_at_signals() -> io::Result<()> {
    let signals = Signals::block()?;
    let wait = move || {
        let status = match signals.wait() {
            Ok(signals::Signal::Interrupt) => 128 + Signal::INT.as_raw(),
            Ok(signals::Signal::Hangup) => 128 + Signal::HUP.as_raw(),
            _ => 128 + Signal::TERM.as_raw(),
        };
        // Held until the end, so that nothing is started any more.
        let registry = lock();
        for pid in &registry.programs {
            kill_tree(*pid);
            // It may have been waited for already, and then there is nothing to wait for.
            let _ = waitpid(Some(*pid), WaitOptions::empty());
        }
        registry.directories.iter().for_each(|path| remove(path));
        process::exit(status);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Kills a program with all that it has started.
pub(super) fn kill_tree(root: Pid) {
    let tree = tree::descendants_and(root.as_raw_nonzero().get() as u32);
    // Errors mean that the process has ended already, which is all that is wanted.
    let _ = kill_process_group(root, Signal::KILL);
    for pid in tree {
        let _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, Signal::KILL));
    }
}

/// Removes a directory. What was killed a moment ago may still be writing there, so a failure is tried again a few times.
pub(super) fn remove(path: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    eprintln!("{} could not be removed", path.display());
}
