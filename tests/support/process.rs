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

/// Descriptors that a process has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
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

/// Sends SIGTERM to a child that has not been waited for, so that its number is still its own.
pub(crate) fn terminate(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a child has a number");
    rustix::process::kill_process(pid, Signal::TERM).expect("a child that was not waited for is there");
}
