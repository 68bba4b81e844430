//! A server in a thread of its own, and how much CPU time it has used.

use std::fs;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::thread::Pid;
use stemedb_engine::ring::CpuSet;

/// A running server. It runs until the process ends.
pub(crate) struct ServerThread {
    address: SocketAddr,
    thread: Pid,
}

impl ServerThread {
    /// Starts `run`, which tells its address and never returns, on a CPU.
    pub(crate) fn start(cpu: u16, run: fn(cpu: u16, listening: &Sender<SocketAddr>)) -> ServerThread {
        let (listening, address) = channel();
        let (telling, thread) = channel();
        thread::spawn(move || {
            CpuSet::from_iter([cpu]).bind_current_thread().expect("the CPU is allowed");
            telling.send(rustix::thread::gettid()).expect("the starter waits");
            run(cpu, &listening);
        });
        let told = "the server starts";
        ServerThread { thread: thread.recv().expect(told), address: address.recv().expect(told) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that its thread has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        // The first number of this file is nanoseconds, see Documentation/scheduler/sched-stats.rst of Linux.
        let path = format!("/proc/self/task/{}/schedstat", self.thread);
        let figures = fs::read_to_string(path).expect("the server runs");
        let on_cpu_ns = figures.split(' ').next().and_then(|number| number.parse().ok());
        Duration::from_nanos(on_cpu_ns.expect("a number"))
    }
}
