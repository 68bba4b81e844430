//! File descriptors that outlive the operations which use them.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::{fmt, io};

/// A file or socket that operations of a ring use.
///
/// A submission names a descriptor by its number, and the kernel looks the number up later, when it takes the
/// submission. If the number were closed and given out again in between, a frame of the log could land
/// in a stranger's file. So each operation in flight holds a clone of the descriptor, and the number is
/// closed when the last clone goes.
#[derive(Clone)]
pub struct Descriptor(Rc<OwnedFd>);

impl Descriptor {
    /// Shuts down one or both directions of a socket at once, by shutdown(2).
    ///
    /// Not an operation of the ring: the kernel would run it on a worker thread.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the peer was faster.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        // SAFETY: the call takes no memory, and the number is open for as long as `self` lives.
        match unsafe { libc::shutdown(self.as_raw_fd(), how) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Descriptor {
        Descriptor(Rc::new(fd))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptor({})", self.as_raw_fd())
    }
}
