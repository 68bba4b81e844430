//! What the kernel tells of a process (proc(5)), and its limits.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, Signal};

/// Bytes of memory that a process occupies, shared libraries aside: its anonymous pages.
pub fn anonymous_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of proc(5)");
    let kib = line.trim().strip_suffix(" kB").expect("the unit that proc(5) gives");
    kib.parse::<u64>().expect("a number") * 1024
}

/// Sockets that a process has open, those that it listens on included.
pub fn sockets(pid: u32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    // One that was closed since the directory was read has no link any more.
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Lets this process, and those that it starts from now on, have as many descriptors as the system permits it, up to
/// `wanted`. Gives the number.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let before = rustix::process::getrlimit(Resource::Nofile);
    if before.current.is_none_or(|current| current >= wanted) {
        return wanted;
    }
    // Only a privileged process may go beyond the maximum.
    let beyond = Rlimit { current: Some(wanted), maximum: before.maximum.map(|most| most.max(wanted)) };
    if rustix::process::setrlimit(Resource::Nofile, beyond).is_ok() {
        return wanted;
    }
    let most = before.maximum.map_or(wanted, |most| most.min(wanted));
    let within = Rlimit { current: Some(most), maximum: before.maximum };
    rustix::process::setrlimit(Resource::Nofile, within).expect("a process may use what it is permitted");
    most
}

/// CPUs that this process may use, and so the most cores that a server started by it can have.
pub fn cpus() -> usize {
    let cpus = std::thread::available_parallelism().expect("the kernel tells how many CPUs there are");
    cpus.get()
}

/// Tells a child that has not been waited for to end, with SIGTERM.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Waits until every thread of a child that was sent SIGSTOP has stopped.
pub(crate) fn wait_until_stopped(pid: u32) {
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).expect("a stopped process keeps its threads");
        // The name, which may hold anything, is in parentheses; the state follows.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    loop {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
        if tasks.into_iter().all(|task| is_stopped(task.expect("readable"))) {
            return;
        }
        std::thread::yield_now();
    }
}

/// Sends a signal to a child that has not been waited for, so that its number is still its own.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a child has a number");
    rustix::process::kill_process(pid, signal).expect("a child that was not waited for is there");
}
