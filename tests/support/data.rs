//! The data directory of a server under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::binary;

/// A data directory that is removed at the end, whatever servers have come and gone on it.
#[derive(Debug)]
pub struct Data {
    root: TempDir,
}

/// Every file of a data directory and its bytes, but for those that only tell who uses it now.
pub type Snapshot = BTreeMap<PathBuf, Vec<u8>>;

impl Data {
    /// An empty place, on a disk.
    pub fn new() -> Data {
        let root = tempfile::Builder::new().prefix("data-").tempdir_in(binary::scratch_directory());
        Data { root: root.expect("the scratch directory is writable") }
    }

    /// A copy of all that is there. No server must be running.
    pub fn copy(&self) -> Data {
        let copy = Data::new();
        for (path, bytes) in self.snapshot() {
            let path = copy.root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("writable");
            fs::write(path, bytes).expect("writable");
        }
        copy
    }

    /// The directory of the log.
    pub fn wal(&self) -> PathBuf {
        self.root.path().join("wal")
    }

    /// The directory of the tables.
    pub fn db(&self) -> PathBuf {
        self.root.path().join("db")
    }

    /// The directory that holds all.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// All files as they are. Of a file `LOCK` only the name counts: it says which process came last.
    pub fn snapshot(&self) -> Snapshot {
        let mut files = Snapshot::new();
        let mut directories = vec![self.root.path().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).expect("readable") {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let is_lock = path.file_name().is_some_and(|name| name == "LOCK");
                let bytes = if is_lock { Vec::new() } else { fs::read(&path).expect("readable") };
                let name = path.strip_prefix(self.root.path()).expect("it was found below");
                files.insert(name.to_path_buf(), bytes);
            }
        }
        files
    }
}

impl Default for Data {
    fn default() -> Data {
        Data::new()
    }
}

/// Says in which files two snapshots differ.
pub fn differences(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let changed = before.iter().filter_map(|(path, bytes)| match after.get(path) {
        None => Some(format!("{} is gone", path.display())),
        Some(other) if other != bytes => Some(format!("{} has changed", path.display())),
        Some(_) => None,
    });
    let added = after.keys().filter(|path| !before.contains_key(*path));
    changed.chain(added.map(|path| format!("{} is new", path.display()))).collect()
}
