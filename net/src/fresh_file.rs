//! Files that are written beside the name that they will have.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use stemedb_engine::unfinished_file::UnfinishedFile;

/// Creates a file to be written, in place of what a run that was interrupted has left under its name.
///
/// What is there is never opened, and what is created is new (`O_EXCL`, open(2)): where another user may write to the directory, a link under
/// this name would lead to a file that only we may write to.
///
/// # Errors
///
/// When what is there cannot be removed, or the file not created.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Writes a small file durably but for its name, in place of one of this name: whole or not at all.
///
/// # Errors
///
/// When it cannot be written; then what was there is there.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut fresh = UnfinishedFile::new(create(&fresh, mode)?, fresh, path.to_owned());
    fresh.file().set_permissions(Permissions::from_mode(mode))?;
    fresh.file().write_all(text.as_bytes())?;
    fresh.give_name()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Goal: nothing but the file of this name is written. Method: its name is that of a link to another file, of another name of one, and
    /// of a link to nothing.
    #[test]
    fn no_link_is_followed() {
        let root = tempfile::tempdir().expect("a directory");
        let (path, other, nothing) =
            (root.path().join("file.new"), root.path().join("other"), root.path().join("nothing"));
        fs::write(&other, "of another").expect("writable");
        let plants: [&dyn Fn() -> io::Result<()>; 3] =
            [&|| symlink(&other, &path), &|| fs::hard_link(&other, &path), &|| symlink(&nothing, &path)];
        for plant in plants {
            plant().expect("its name is free");
            create(&path, 0o600).expect("writable").write_all(b"ours").expect("writable");
            let metadata = fs::symlink_metadata(&path).expect("it was made");
            assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o600, "{metadata:?}");
            assert_eq!(fs::read(&other).expect("it is there"), b"of another");
            assert!(!nothing.exists());
            fs::remove_file(&path).expect("it was made");
        }
    }
}
