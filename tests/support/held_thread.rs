//! A thread of another process that is kept from running while the others run on, as one that hangs.

use std::fs;
use std::marker::PhantomData;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// How long a thread may take to be started. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let until = Instant::now() + PATIENCE;
        let thread = loop {
            if let Some(thread) = find(pid, name) {
                break Pid::from_raw(thread);
            }
            assert!(Instant::now() < until, "process {pid} has no thread {name}");
            thread::yield_now();
        };
        ptrace::seize(thread, Options::empty()).expect("a child may be traced");
        ptrace::interrupt(thread).expect("it was just seized");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        HeldThread { thread, _of_this_thread: PhantomData }
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

impl Drop for HeldThread {
    fn drop(&mut self) {
        // It may have ended.
        let _ = ptrace::detach(self.thread, None);
    }
}
