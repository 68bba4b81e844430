//! Removing large files without holding up the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::unfinished_file::open_directory;

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
    remove(path, File::sync_all, File::set_len)
}

/// Does that by calls that synchronise a directory, and cut a file.
fn remove(
    path: &Path,
    sync: impl FnOnce(&File) -> io::Result<()>,
    cut: impl FnMut(&File, u64) -> io::Result<()>,
) -> io::Result<()> {
    let directory = open_directory(path.parent().unwrap_or(Path::new("")))?;
    // Whoever may change the directory may remove the file, but perhaps not write to it.
    let file = OpenOptions::new().write(true).open(path).ok();
    fs::remove_file(path)?;
    // Otherwise a power cut could bring back the name, with what is left of the content.
    sync(&directory)?;
    // What cannot be given back now is when the file is closed.
    let _ = file.map_or(Ok(()), |file| cut_down(&file, cut));
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

/// Gives back the space of a file that has no name any more, a few megabytes at a time. Whether a power cut can bring back its name does not
/// matter, nor what it would hold then.
pub(crate) fn give_back(file: &File) -> io::Result<()> {
    cut_down(file, File::set_len)
}

fn cut_down(file: &File, mut cut: impl FnMut(&File, u64) -> io::Result<()>) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.nlink() > 0 {
        return Ok(());
    }
    let mut bytes = metadata.len();
    while bytes > 0 {
        bytes = bytes.saturating_sub(PIECE_BYTES);
        cut(file, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use rustix::process::geteuid;
    use rustix::thread::{Uid, set_thread_uid};

    use super::*;

    /// Goal: no more space is given back at a time than may be, and none before the name is gone for good. Method: what is asked of the file
    /// system, in its order; once it cannot synchronise the directory.
    #[test]
    fn a_file_is_cut_down_piece_by_piece_when_its_name_is_durably_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for is_synced in [true, false] {
            File::create(&path).unwrap().set_len(2 * PIECE_BYTES + 1).unwrap();
            let asked = RefCell::new(Vec::new());
            let sync = |synced: &File| {
                assert!(synced.metadata().unwrap().is_dir() && !path.exists());
                asked.borrow_mut().push("synchronise".to_owned());
                if is_synced { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EIO)) }
            };
            let cut = |_: &File, bytes: u64| {
                asked.borrow_mut().push(format!("cut to {bytes}"));
                Ok(())
            };
            assert_eq!(remove(&path, sync, cut).is_ok(), is_synced);
            let pieces = [PIECE_BYTES + 1, 1, 0].map(|bytes| format!("cut to {bytes}"));
            let pieces = pieces.into_iter().filter(|_| is_synced);
            assert_eq!(
                asked.into_inner(),
                ["synchronise".to_owned()].into_iter().chain(pieces).collect::<Vec<_>>()
            );
        }
    }

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
