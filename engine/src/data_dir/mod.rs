//! The data directory: made, checked, and locked against a second process.

mod access;
mod disk;
mod hold;
mod mount;
mod permissions;

pub use access::explain_access;
pub use disk::{durable_write_latencies, supports_direct_io};
pub use hold::{Hold, RemovalRight};
pub use mount::{Mount, mount_of};

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use thiserror::Error;

/// The two directories of a server, locked for as long as this value lives.
///
/// Each holds a file `LOCK` with the process's number in it. The file stays when the process ends; the lock (flock(2))
/// is what counts, and the kernel lets go of it however the process ends.
#[derive(Debug)]
pub struct DataDir {
    wal: PathBuf,
    db: PathBuf,
    _locks: Vec<File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error(
        "the data directory {} is in use by {}; stop that process first, or choose another directory",
        .path.display(),
        match .pid { Some(pid) => format!("process {pid}"), None => "another process".to_owned() }
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, if it has had the time to say.
        pid: Option<u32>,
    },
    /// A permission is missing.
    #[error("cannot {action} {}: {source}; {explanation}", .path.display())]
    Permission {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
        /// Whose it is, with which mode, and who we are.
        explanation: String,
    },
    /// Anything else that the kernel refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl DataDir {
    /// Opens the directories of the log and of the tables, making them if need be (mode 0750), and locks them.
    ///
    /// # Errors
    ///
    /// When another process has locked one of them, when files cannot be created there, or when those that are there
    /// may not be used.
    pub fn open(wal: &Path, db: &Path) -> Result<DataDir, DataDirError> {
        make(wal)?;
        make(db)?;
        sync_names(wal)?;
        sync_names(db)?;
        let mut locks = vec![lock(wal)?];
        if identity(wal)? != identity(db)? {
            locks.push(lock(db)?);
        }
        permissions::check(wal, Access::READ_OK | Access::WRITE_OK)?;
        permissions::check(db, Access::READ_OK)?;
        Ok(DataDir { wal: wal.to_owned(), db: db.to_owned(), _locks: locks })
    }

    /// Locks directories that are there, as a server does, so that no server starts on them; those that are not there
    /// cannot be locked, and are left alone. Gives nothing but the locks.
    ///
    /// # Errors
    ///
    /// When another process has locked one of them, or the lock's file cannot be opened.
    pub fn lock_existing(directories: &[&Path]) -> Result<Vec<File>, DataDirError> {
        let mut locks = Vec::new();
        let mut locked = Vec::new();
        for directory in directories.iter().filter(|directory| directory.exists()) {
            let identity = identity(directory)?;
            if !locked.contains(&identity) {
                locks.push(lock(directory)?);
                locked.push(identity);
            }
        }
        Ok(locks)
    }

    /// The directory of the log.
    pub fn wal(&self) -> &Path {
        &self.wal
    }

    /// The directory of the tables.
    pub fn db(&self) -> &Path {
        &self.db
    }
}

impl DataDirError {
    /// A failed operation, for `map_err`.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied => {
                let explanation = explain_access(&path);
                DataDirError::Permission { action, path, source, explanation }
            }
            _ => DataDirError::Io { action, path, source },
        }
    }
}

/// Makes a directory, unless it is there, and makes sure that files can be created in it.
fn make(directory: &Path) -> Result<(), DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(directory)
        .map_err(DataDirError::io("create the directory", directory))?;
    // An existing LOCK can be opened where no file can be created, so only creating one tells.
    let scratch = directory.join(format!("writable-{}.scratch", std::process::id()));
    File::create(&scratch).map_err(DataDirError::io("create a file in", directory))?;
    fs::remove_file(&scratch).map_err(DataDirError::io("remove", &scratch))
}

/// Makes the names stable by which a directory is found, up to the root of its file system: what is synchronised in a
/// directory is lost with the directory's own name.
///
/// Also where the directory was there before: whoever made it may have been killed before this.
fn sync_names(directory: &Path) -> Result<(), DataDirError> {
    let directory = fs::canonicalize(directory).map_err(DataDirError::io("look up", directory))?;
    let file_system = identity(&directory)?.0;
    for ancestor in directory.ancestors().skip(1) {
        if identity(ancestor)?.0 != file_system {
            break;
        }
        match File::open(ancestor).and_then(|ancestor| ancestor.sync_all()) {
            Ok(()) => {}
            // Nor could this user have made the directory below it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            // The file system has no directories that could be synchronised.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(DataDirError::io("sync the directory", ancestor)(error)),
        }
    }
    Ok(())
}

/// Locks a directory for this process.
fn lock(directory: &Path) -> Result<File, DataDirError> {
    let path = directory.join("LOCK");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .map_err(DataDirError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(DataDirError::Locked { path: directory.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(DataDirError::io("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
        .map_err(DataDirError::io("write the process number to", &path))?;
    Ok(file)
}

/// What makes a directory the same under two names.
fn identity(directory: &Path) -> Result<(u64, u64), DataDirError> {
    let metadata = fs::metadata(directory).map_err(DataDirError::io("look up", directory))?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_and_locked() {
        let root = tempfile::tempdir().expect("a directory");
        let (wal, db) = (root.path().join("data/wal"), root.path().join("data/db"));
        let opened = DataDir::open(&wal, &db).expect("nobody else is there");
        assert_eq!((opened.wal(), opened.db()), (&*wal, &*db));
        for directory in [&wal, &db] {
            let names: Vec<_> = fs::read_dir(directory)
                .expect("it was made")
                .map(|entry| entry.expect("readable").file_name())
                .collect();
            assert_eq!(names, ["LOCK"]);
            let text = fs::read_to_string(directory.join("LOCK")).expect("readable");
            assert_eq!(text, format!("{}\n", std::process::id()));
            assert_eq!(fs::metadata(directory).expect("it was made").mode() & 0o027, 0, "nothing for others");
        }
    }

    #[test]
    fn a_second_opener_is_told_who_is_there() {
        let root = tempfile::tempdir().expect("a directory");
        let (wal, db, other) = (root.path().join("wal"), root.path().join("db"), root.path().join("other"));
        let first = DataDir::open(&wal, &db).expect("nobody else is there");
        for (wal, db) in [(&wal, &db), (&wal, &other), (&other, &db)] {
            let error = DataDir::open(wal, db).expect_err("one of the two is locked");
            let DataDirError::Locked { pid, .. } = &error else { panic!("unexpected {error}") };
            assert_eq!(*pid, Some(std::process::id()));
            assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        }
        drop(first);
        DataDir::open(&wal, &db).expect("the first has let go");
    }

    #[test]
    fn what_is_there_can_be_locked_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let (wal, db) = (root.path().join("wal"), root.path().join("db"));
        fs::create_dir(&wal).expect("writable");
        let locks = DataDir::lock_existing(&[&wal, &db, &wal]).expect("nobody else is there");
        assert_eq!(locks.len(), 1);
        assert!(!db.exists());
        let error = DataDir::open(&wal, &db).expect_err("it is locked");
        assert!(matches!(error, DataDirError::Locked { .. }), "{error}");
        drop(locks);
        let _opened = DataDir::open(&wal, &db).expect("nobody holds the lock");
        assert!(matches!(DataDir::lock_existing(&[&db]), Err(DataDirError::Locked { .. })));
    }

    #[test]
    fn what_a_dead_process_left_behind_is_no_lock() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("LOCK"), "123456789012\nand more than a number").expect("writable");
        let _opened = DataDir::open(root.path(), root.path()).expect("nobody holds the lock");
        let text = fs::read_to_string(root.path().join("LOCK")).expect("readable");
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn one_directory_can_serve_as_both() {
        let root = tempfile::tempdir().expect("a directory");
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).expect("writable");
        DataDir::open(root.path(), &link).expect("it does not lock itself out");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("file");
        fs::write(&file, "").expect("writable");
        let error = DataDir::open(&file.join("wal"), root.path()).expect_err("a file has no entries");
        assert!(matches!(error, DataDirError::Io { .. }));
        assert!(error.to_string().contains("file/wal"), "{error}");
    }

    #[test]
    fn a_missing_permission_is_explained() {
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        let error = DataDirError::io("create the directory", Path::new("/nonexistent/wal"))(denied);
        let text = error.to_string();
        for part in ["/nonexistent/wal", "/ belongs to ", "mode 0", "this process runs as "] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}
