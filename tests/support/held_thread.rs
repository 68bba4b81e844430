//! A thread of another process that is kept from running while the others run on, as one that hangs.

use std::fs;
use std::marker::PhantomData;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long a thread may take to be started. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Keeps a thread from running until it is dropped.
#[derive(Debug)]
pub struct HeldThread {
    thread: Pid,
    /// Only the thread that holds another one can let go of it.
    _of_this_thread: PhantomData<*const ()>,
}

impl HeldThread {
    /// Holds the thread of this name of a child of this process, as soon as there is one.
    pub fn named(pid: u32, name: &str) -> HeldThread {
        HeldThread::named_unless(pid, name, || false).expect("there is one in the end")
    }

    /// The same; `None` if it is over with the thread before it is held.
    pub fn named_unless(pid: u32, name: &str, is_over: impl Fn() -> bool) -> Option<HeldThread> {
        let until = Instant::now() + PATIENCE;
        loop {
            // Before the look: whoever is gone by now is not found any more.
            let was_over = is_over();
            if let Some(held) = find(pid, name).and_then(HeldThread::hold) {
                return Some(held);
            }
            if was_over {
                return None;
            }
            assert!(Instant::now() < until, "process {pid} has no thread {name}");
            thread::yield_now();
        }
    }

    /// Holds a thread; `None` if that has ended.
    fn hold(thread: i32) -> Option<HeldThread> {
        let thread = Pid::from_raw(thread);
        match ptrace::seize(thread, Options::empty()) {
            Err(Errno::ESRCH) => return None,
            // One that is just ending may not be traced, either.
            Err(Errno::EPERM) if is_ending(thread) => return None,
            seized => seized.expect("a child may be traced"),
        }
        // It may end before it stops, and is then told of as well.
        let _ = ptrace::interrupt(thread);
        match waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it is traced") {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => None,
            _ => Some(HeldThread { thread, _of_this_thread: PhantomData }),
        }
    }

    /// Waits for its end, of which only its holder is told. Whoever waits for its process waits for this.
    pub fn ended(self) {
        waitpid(self.thread, Some(WaitPidFlag::__WALL)).expect("it is held");
    }
}

/// The thread of this name of a process, if it has one.
fn find(pid: u32, name: &str) -> Option<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let mut threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<i32>().ok());
    threads.find(|thread| {
        let comm = fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"));
        comm.is_ok_and(|comm| comm.trim() == name)
    })
}

/// Whether a thread has ended, or is gone.
fn is_ending(thread: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat"));
    // The name, which may hold anything, is in parentheses; the state follows.
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

impl Drop for HeldThread {
    fn drop(&mut self) {
        // It may have ended.
        let _ = ptrace::detach(self.thread, None);
    }
}
