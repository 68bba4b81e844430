//! Where a ring can be reached from other rings.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::{fmt, io};

/// The address of a ring: what another thread's ring needs to send it a message.
///
/// It may outlive the ring; messages to it then vanish or fail.
#[derive(Clone)]
pub struct RingAddress(Arc<OwnedFd>);

impl RingAddress {
    /// An address of its own for the ring behind `ring`, whose number stays valid when the ring is gone.
    pub(super) fn of(ring: BorrowedFd<'_>) -> io::Result<RingAddress> {
        Ok(RingAddress(Arc::new(ring.try_clone_to_owned()?)))
    }
}

impl AsRawFd for RingAddress {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for RingAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingAddress({})", self.as_raw_fd())
    }
}
