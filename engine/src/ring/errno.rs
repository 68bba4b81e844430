//! The kernel's error numbers.

use std::fmt;
use std::io;

/// An error number of the kernel, as in errno(3); always positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// The operation was cancelled before it had an effect.
    pub const CANCELLED: Errno = Errno(libc::ECANCELED);

    /// Splits a result of the kernel, where negative numbers are errors, into both cases.
    pub(super) fn check(result: i32) -> Result<u32, Errno> {
        u32::try_from(result).map_err(|_| Errno(-result))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}
