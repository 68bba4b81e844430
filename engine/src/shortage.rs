//! What a process may lack for a while.

use std::io;

/// Whether an error says that memory or open files are short. That passes, and says nothing of what a file holds.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_no_damage_and_what_cannot_be_read_is_no_shortage() {
        let is_short = |errno| is_shortage(&io::Error::from_raw_os_error(errno));
        assert!([libc::ENOMEM, libc::EAGAIN, libc::EMFILE, libc::ENFILE].into_iter().all(is_short));
        assert!(![libc::EIO, libc::ENOSPC, libc::EBADF, libc::ENOENT].into_iter().any(is_short));
        assert!(!is_shortage(&io::Error::other("no error of the kernel")));
    }
}
