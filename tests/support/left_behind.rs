//! What must not be left behind: processes, mounts, loop devices, control groups.
//!
//! Guards undo what they stand for when they are dropped. That is not enough where a panic aborts the process, as in
//! programs of the release profile, or where a signal ends it: [`undo_all`] is for these.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal};

/// Something that outlives this process unless it is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A child that was not waited for.
    Process(u32),
    /// A mounted file system.
    Mount(PathBuf),
    /// A loop device.
    LoopDevice(PathBuf),
    /// A file that may be gone already.
    File(PathBuf),
    /// A control group without processes.
    ControlGroup(PathBuf),
}

/// Stands for a leftover, which it undoes when it is dropped.
#[derive(Debug)]
pub struct Held {
    number: u64,
}

/// The number of the last that was noted, and what is there, oldest first.
static LEFTOVERS: Mutex<(u64, Vec<(u64, Leftover)>)> = Mutex::new((0, Vec::new()));

/// How long something may be in use by a process that has just ended, and how often it is tried.
const RELEASE_TIME: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Notes something that is there now.
pub fn hold(leftover: Leftover) -> Held {
    let mut leftovers = lock();
    leftovers.0 += 1;
    let number = leftovers.0;
    leftovers.1.push((number, leftover));
    Held { number }
}

/// Undoes all that is there, the newest first. For a process that is about to end.
pub fn undo_all() {
    let leftovers = std::mem::take(&mut lock().1);
    leftovers.iter().rev().for_each(|(_, leftover)| undo(leftover));
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut leftovers = lock();
        let Some(place) = leftovers.1.iter().position(|(number, _)| *number == self.number) else { return };
        let (_, leftover) = leftovers.1.remove(place);
        drop(leftovers);
        // Whoever holds a process has waited for it: its number may be another's by now.
        if !matches!(leftover, Leftover::Process(_)) {
            undo(&leftover);
        }
    }
}

fn undo(leftover: &Leftover) {
    match leftover {
        Leftover::Process(pid) => {
            let pid = Pid::from_raw(pid.cast_signed()).expect("a child has a number");
            // It may have ended by itself, and is not waited for before this process ends.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        // The io_uring of a killed server may let go of its files still later. Then the place is free at once, and all else when it does.
        Leftover::Mount(path) => tell_unless(
            path,
            retry(|| succeeds("umount", &[], path)) || succeeds("umount", &["--lazy"], path),
        ),
        Leftover::LoopDevice(path) => tell_unless(path, retry(|| succeeds("losetup", &["--detach"], path))),
        Leftover::File(path) => drop(fs::remove_file(path)),
        Leftover::ControlGroup(path) => tell_unless(path, retry(|| fs::remove_dir(path).is_ok())),
    }
}

fn tell_unless(path: &Path, is_gone: bool) {
    if !is_gone {
        eprintln!("{} cannot be removed, and is left behind", path.display());
    }
}

/// Tries until it works: a process that was killed lets go of its files a moment later. False if it does not.
fn retry(mut action: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + RELEASE_TIME;
    while !action() {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(RETRY_PAUSE);
    }
    true
}

fn succeeds(program: &str, arguments: &[&str], path: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn lock() -> MutexGuard<'static, (u64, Vec<(u64, Leftover)>)> {
    // What is in it is true even if a thread panicked while it had it.
    LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner)
}
