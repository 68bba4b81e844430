//! What can go wrong when a ring is made.

use std::io;

use thiserror::Error;

/// Why a ring could not be made or configured.
#[derive(Debug, Error)]
pub enum RingError {
    /// `io_uring_setup(2)` failed.
    #[error("cannot create an io_uring for {operations_max} operations: {source}; {}", advice(source))]
    Create {
        /// How many operations it was to hold.
        operations_max: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The receive buffers could not be mapped or registered.
    #[error(
        "cannot provide {count} receive buffers of {bytes} bytes to the io_uring: {source}; {}",
        advice(source)
    )]
    ReceiveBuffers {
        /// How many buffers.
        count: u16,
        /// The size of each.
        bytes: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file descriptor that the ring needs for itself could not be made.
    #[error("cannot create {what}: {source}")]
    Descriptor {
        /// What it was for.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A setting of the kernel's worker threads was refused.
    #[error("cannot set the {what} of the io_uring workers: {source}")]
    Workers {
        /// Which setting.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What an operator can do about a refused ring.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring, use Linux 6.1 or newer",
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here, check `sysctl kernel.io_uring_disabled` and the seccomp profile of the \
             container or unit"
        }
        Some(libc::EINVAL) => {
            "this kernel does not know the io_uring features needed, use Linux 6.1 or newer"
        }
        Some(libc::ENOMEM) => {
            "memory that may be locked is used up, raise the limit (`LimitMEMLOCK=infinity` in the unit, `ulimit -l`)"
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many files are open, raise the limit (`LimitNOFILE=`, `ulimit -n`)"
        }
        _ => "see io_uring_setup(2)",
    }
}
