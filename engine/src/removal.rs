//! Removing large files without holding up the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::unfinished_file::sync_directory;

/// Bytes whose space is given back at a time.
const PIECE_BYTES: u64 = 4 << 20;

/// Removes a file durably, and then gives back its space, a few megabytes at a time.
///
/// Where a file system tells the disk at once which blocks are free (`discard`, ext4(5)), it does so for all blocks of a file together, and
/// whoever else writes to the disk waits for that: 64 MiB took a virtual disk 10 ms, a gigabyte takes sixteen times as long.
///
/// The file gets shorter, so nobody may have it open any more who reads it. It does not where it has another name, as in a
/// backup of hard links.
///
/// # Errors
///
/// When the file cannot be removed, or its name not durably.
pub fn remove_gradually(path: &Path) -> io::Result<()> {
    // Whoever may change the directory may remove the file, but perhaps not write to it.
    let file = OpenOptions::new().write(true).open(path).ok();
    fs::remove_file(path)?;
    // Otherwise a power cut could bring back the name, with what is left of the content.
    sync_directory(path.parent().unwrap_or(Path::new("")))?;
    // What cannot be given back now is when the file is closed.
    let _ = file.map_or(Ok(()), |file| give_back(&file));
    Ok(())
}

/// Removes a directory with all that is in it, each file [gradually](remove_gradually).
///
/// # Errors
///
/// As of one file.
pub fn remove_all_gradually(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_all_gradually(&entry.path())?;
        } else if kind.is_file() {
            remove_gradually(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn give_back(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.nlink() > 0 {
        return Ok(());
    }
    let mut bytes = metadata.len();
    while bytes > 0 {
        bytes = bytes.saturating_sub(PIECE_BYTES);
        file.set_len(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use rustix::process::geteuid;
    use rustix::thread::{Uid, set_thread_uid};

    use super::*;

    /// Goal: the space is given back, but not that of a file which has another name. Method: whoever holds a file open sees how long it is.
    #[test]
    fn a_removed_file_gives_back_its_space_unless_it_has_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("file"), directory.path().join("other"));
        let bytes = 3 * PIECE_BYTES + 1;
        for (is_linked, left) in [(true, bytes), (false, 0)] {
            let file = File::create(&path).unwrap();
            file.set_len(bytes).unwrap();
            if is_linked {
                fs::hard_link(&path, &other).unwrap();
            }
            remove_gradually(&path).unwrap();
            assert!(!path.exists());
            assert_eq!(file.metadata().unwrap().len(), left);
        }
        assert_eq!(fs::metadata(&other).unwrap().len(), bytes);
        assert_eq!(remove_gradually(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Goal: a backup that was made read-only can be removed by whoever owns its directory. Method: a thread that is not root.
    #[test]
    fn a_file_that_may_not_be_written_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "bytes").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let nobody = Uid::from_raw(65534);
        if geteuid().is_root() {
            chown(directory.path(), Some(nobody.as_raw()), None).unwrap();
        }
        let removing = path.clone();
        let removed = std::thread::spawn(move || {
            if geteuid().is_root() {
                set_thread_uid(nobody).unwrap();
            }
            assert_eq!(File::create(&removing).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            remove_gradually(&removing)
        });
        removed.join().unwrap().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_goes_with_all_that_is_in_it_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (gone, kept) = (directory.path().join("gone"), directory.path().join("kept"));
        fs::create_dir_all(gone.join("deep/empty")).unwrap();
        fs::write(gone.join("deep/file"), "bytes").unwrap();
        fs::write(&kept, "bytes").unwrap();
        symlink(&kept, gone.join("link")).unwrap();
        remove_all_gradually(&gone).unwrap();
        assert!(!gone.exists());
        assert_eq!(fs::read(&kept).unwrap(), b"bytes");
    }
}
