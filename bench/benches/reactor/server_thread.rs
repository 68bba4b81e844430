//! A server in a thread of its own, and how much CPU time it has used.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use stemedb_engine::ring::CpuSet;

/// A running server. It runs until the process ends.
pub(crate) struct ServerThread {
    address: SocketAddr,
    cpu_clock: libc::clockid_t,
}

impl ServerThread {
    /// Starts `run`, which tells its address and never returns, on a CPU.
    pub(crate) fn start(cpu: u16, run: fn(cpu: u16, listening: &Sender<SocketAddr>)) -> ServerThread {
        let (listening, address) = channel();
        let thread = thread::spawn(move || {
            CpuSet::from_iter([cpu]).bind_current_thread().expect("the CPU is allowed");
            run(cpu, &listening);
        });
        let address = address.recv().expect("the server starts");
        let mut cpu_clock = MaybeUninit::uninit();
        // SAFETY: the thread runs and its handle is not joined or dropped yet; the number is written into `cpu_clock`.
        let failed = unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), cpu_clock.as_mut_ptr()) };
        assert_eq!(failed, 0, "the thread has a clock");
        // SAFETY: the call has succeeded.
        let cpu_clock = unsafe { cpu_clock.assume_init() };
        ServerThread { address, cpu_clock }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that its thread has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the time is written into `time`.
        let failed = unsafe { libc::clock_gettime(self.cpu_clock, time.as_mut_ptr()) };
        assert_eq!(failed, 0, "the server runs: {}", io::Error::last_os_error());
        // SAFETY: the call has succeeded.
        let time = unsafe { time.assume_init() };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}
