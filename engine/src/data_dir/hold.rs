//! Keeping the files of a log while somebody copies them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use super::DataDirError;

/// The file in the log's directory that is locked.
const NAME: &str = "HOLD";

/// A reader's hold on the files of a log: as long as any reader has one, nothing is removed that a start would read. Writing
/// goes on; and a start removes segments that were never begun, and cuts off behind the last frame of an earlier one.
///
/// It is a shared lock (flock(2)) on a file in the log's directory, and ends with the process at the latest.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

/// The right to remove files of a log, which nobody has while there is a [`Hold`].
#[derive(Debug)]
pub struct RemovalRight {
    _file: File,
}

impl Hold {
    /// Holds the files of the log in the directory `wal`. Waits while files are being removed, which is a matter of
    /// moments.
    ///
    /// # Errors
    ///
    /// When the lock's file cannot be opened or made.
    pub fn on(wal: &Path) -> Result<Hold, DataDirError> {
        Hold::by(open(wal)?, wal)
    }

    /// The same, but `None` where nobody has removed files or kept them from that: in a copy of a log, to which nothing is added.
    ///
    /// # Errors
    ///
    /// When the lock's file is there and cannot be opened.
    pub fn where_needed(wal: &Path) -> Result<Option<Hold>, DataDirError> {
        let path = wal.join(NAME);
        match File::open(&path) {
            Ok(file) => Hold::by(file, wal).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataDirError::io("open", &path)(error)),
        }
    }

    fn by(file: File, wal: &Path) -> Result<Hold, DataDirError> {
        file.lock_shared().map_err(DataDirError::io("lock", &wal.join(NAME)))?;
        Ok(Hold { _file: file })
    }
}

impl RemovalRight {
    /// The right to remove files of the log in the directory `wal` as long as this value lives, or `None` while somebody
    /// holds them. To be asked for again a while later then, and to be let go of soon.
    ///
    /// # Errors
    ///
    /// When the lock's file cannot be opened or made.
    pub fn on(wal: &Path) -> Result<Option<RemovalRight>, DataDirError> {
        let file = open(wal)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(RemovalRight { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(DataDirError::io("lock", &wal.join(NAME))(error)),
        }
    }
}

/// Opens the lock's file for reading, which is all that a lock needs. Who makes it gives it to the owner of the
/// directory: a backup may run as root before the server ever looked for it.
fn open(wal: &Path) -> Result<File, DataDirError> {
    let path = wal.join(NAME);
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(DataDirError::io("open", &path)),
    }
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path);
    match made {
        Ok(file) => {
            let directory = fs::metadata(wal).map_err(DataDirError::io("look up", wal))?;
            let own = file.metadata().map_err(DataDirError::io("look up", &path))?;
            if (own.uid(), own.gid()) != (directory.uid(), directory.gid()) {
                fchown(&file, Some(directory.uid()), Some(directory.gid()))
                    .map_err(DataDirError::io("change the owner of", &path))?;
            }
            Ok(file)
        }
        // Somebody else was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            File::open(&path).map_err(DataDirError::io("open", &path))
        }
        Err(error) => Err(DataDirError::io("create", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_keep_removers_away() {
        let wal = tempfile::tempdir().expect("a directory");
        let first = Hold::on(wal.path()).expect("nobody removes anything");
        let second = Hold::on(wal.path()).expect("readers do not exclude each other");
        assert!(RemovalRight::on(wal.path()).expect("a lock").is_none(), "two hold it");
        drop(first);
        assert!(RemovalRight::on(wal.path()).expect("a lock").is_none(), "one holds it");
        drop(second);
        let right = RemovalRight::on(wal.path()).expect("a lock").expect("nobody holds it");
        assert!(RemovalRight::on(wal.path()).expect("a lock").is_none(), "one remover at a time");
        let waiting = std::thread::spawn({
            let wal = wal.path().to_owned();
            move || Hold::on(&wal).map(|_| ())
        });
        drop(right);
        waiting.join().expect("it does not panic").expect("it gets its turn");
    }

    #[test]
    fn a_copy_is_not_held_and_stays_as_it_is() {
        let wal = tempfile::tempdir().expect("a directory");
        assert!(Hold::where_needed(wal.path()).expect("nothing is there").is_none());
        assert_eq!(fs::read_dir(wal.path()).expect("it is there").count(), 0);
        drop(RemovalRight::on(wal.path()).expect("a lock").expect("nobody holds it"));
        let _hold = Hold::where_needed(wal.path()).expect("a lock").expect("files are removed here");
        assert!(RemovalRight::on(wal.path()).expect("a lock").is_none(), "it is held");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = Hold::on(Path::new("/nonexistent/wal")).expect_err("there is nothing to hold");
        assert!(error.to_string().contains("/nonexistent/wal/HOLD"), "{error}");
    }
}
