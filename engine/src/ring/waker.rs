//! Waking a ring from a thread that has none.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Wakes the ring that made it, from any thread; see [`Ring::waker`](super::Ring::waker).
#[derive(Debug, Clone)]
pub struct Waker(Arc<File>);

impl Waker {
    /// A waker of its own eventfd, see eventfd(2).
    pub(super) fn new() -> io::Result<Waker> {
        // SAFETY: the call takes no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `fd` is open, and nobody else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Waker(Arc::new(File::from(fd))))
    }

    /// Wakes the ring. Wakes that come before the ring has noticed an earlier one may count as one.
    ///
    /// What was written to shared memory before is visible to the ring's thread when it is told.
    pub fn wake(&self) {
        // The counter holds 2^64 - 2 wakes, so the write cannot block; the descriptor is ours, so it cannot fail.
        (&*self.0)
            .write_all(&1_u64.to_ne_bytes())
            .expect("a write of eight bytes to our own eventfd succeeds");
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
