//! Whether the files of a data directory may be used, before any of them is.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::DataDirError;

/// Makes sure that this process may use all files of a directory in the ways of `access`. Most often it may not because
/// somebody has put them back as another user.
///
/// # Errors
///
/// The first file that it may not use, whose it is, and who we are.
pub(super) fn check(directory: &Path, access: Access) -> Result<(), DataDirError> {
    let listing = fs::read_dir(directory).map_err(DataDirError::io("list", directory))?;
    for entry in listing {
        let path = entry.map_err(DataDirError::io("list", directory))?.path();
        match accessat(CWD, &path, access, AtFlags::EACCESS) {
            Ok(()) => {}
            // It was there a moment ago: a scratch file of a process that ends.
            Err(error) if error == rustix::io::Errno::NOENT => {}
            Err(error) => return Err(DataDirError::io("use", &path)(io::Error::from(error))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_that_can_be_used_and_links_to_nowhere_are_no_reason_to_refuse() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a"), "").expect("writable");
        symlink("nowhere", directory.path().join("b")).expect("writable");
        check(directory.path(), Access::READ_OK | Access::WRITE_OK).expect("all are this user's");
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let gone = directory.path().join("gone");
        let error = check(&gone, Access::READ_OK).expect_err("it is not there");
        assert!(error.to_string().contains("gone"), "{error}");
    }
}
