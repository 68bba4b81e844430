//! A directory as a store.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use stemedb_engine::unfinished_file::UnfinishedFile;

use super::{Upload, failed};
use crate::admin::error::AdminError;
use crate::admin::files::sync_directory;
use crate::fresh_file;

/// A directory in which keys are paths.
pub(in crate::admin) struct LocalStore {
    directory: PathBuf,
}

/// What is written under a key; without its end it is nothing.
struct LocalUpload {
    path: PathBuf,
    file: UnfinishedFile,
    /// Those in which names may be new, or not durable yet.
    directories: Vec<PathBuf>,
}

impl LocalStore {
    pub(super) fn new(directory: PathBuf) -> LocalStore {
        LocalStore { directory }
    }

    pub(super) fn name(&self) -> String {
        self.directory.display().to_string()
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>, AdminError> {
        let mut keys = Vec::new();
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|source| AdminError::File { path: directory.clone(), source })?,
            };
            for entry in entries {
                let path =
                    entry.map_err(|source| AdminError::File { path: directory.clone(), source })?.path();
                let below = path.strip_prefix(&self.directory).expect("it was found there");
                let key = below.to_string_lossy().into_owned();
                if path.is_dir() {
                    directories.push(path);
                } else if key.starts_with(prefix) && !key.ends_with(".partial") {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    pub(super) fn read(&self, key: &str) -> Result<Box<dyn Read>, AdminError> {
        let file = File::open(self.directory.join(key));
        Ok(Box::new(file.map_err(|error| failed(&self.name(), key, &error.to_string()))?))
    }

    pub(super) fn write(&self, key: &str) -> Result<Box<dyn Upload + '_>, AdminError> {
        let path = self.directory.join(key);
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let directory = path.parent().unwrap_or(Path::new(""));
        let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new(""));
        let directories = with_new_names(&self.directory, directory, existing);
        let make = || {
            fs::create_dir_all(directory)?;
            fresh_file::create(&partial, 0o644)
        };
        let file = make().map_err(|error| failed(&self.name(), key, &error.to_string()))?;
        let file = UnfinishedFile::new(file, partial, path.clone());
        Ok(Box::new(LocalUpload { path, file, directories }))
    }
}

/// The directories that must be synchronised for a name in `directory` to be durable, of which only `existing` and what is above was there
/// before: those above it as well, up to the one that holds the first new one. Within the store all of them, as whoever has made them may have
/// been killed before they were durable.
fn with_new_names(store: &Path, directory: &Path, existing: &Path) -> Vec<PathBuf> {
    let top = if existing.starts_with(store) { store } else { existing };
    directory.ancestors().take_while(|path| path.starts_with(top)).map(Path::to_owned).collect()
}

impl Write for LocalUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for LocalUpload {
    fn finish(self: Box<Self>) -> Result<(), AdminError> {
        let LocalUpload { path, file, directories } = *self;
        file.give_name().map_err(|source| AdminError::File { path, source })?;
        directories.iter().try_for_each(|directory| sync_directory(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: an upload that ends too early leaves nothing, which on a full disk would keep others from what is left. Method: one that is
    /// given up beside one that is finished.
    #[test]
    fn an_upload_has_its_name_or_is_gone() {
        let root = tempfile::tempdir().expect("a directory");
        let store = LocalStore::new(root.path().to_owned());
        let upload = |key: &str| {
            let mut upload = store.write(key).expect("writable");
            upload.write_all(b"bytes").expect("writable");
            upload
        };
        drop(upload("a/given-up"));
        upload("a/finished").finish().expect("durable");
        assert_eq!(store.list("").expect("readable"), ["a/finished"]);
        let names = fs::read_dir(root.path().join("a"))
            .expect("it was made")
            .map(|entry| entry.expect("readable").file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["finished"]);
    }

    /// Goal: a power cut takes no object that was finished, with a directory that was made for it. Method: which directories are synchronised,
    /// for an upload into each state of a store, and that all of them are there.
    #[test]
    fn the_directories_of_an_object_are_as_durable_as_its_name() {
        let synchronised = |store: &str, directory: &str, existing: &str| {
            let found = with_new_names(Path::new(store), Path::new(directory), Path::new(existing));
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let below = ["/m/archive/wal/2026", "/m/archive/wal", "/m/archive"];
        assert_eq!(synchronised("/m/archive", "/m/archive/wal/2026", "/m/archive/wal/2026"), below);
        assert_eq!(synchronised("/m/archive", "/m/archive/wal/2026", "/m/archive"), below);
        let with_store = [&below[..], &["/m"]].concat();
        assert_eq!(synchronised("/m/archive", "/m/archive/wal/2026", "/m"), with_store);
        let of_process = ["archive/wal/2026", "archive/wal", "archive", ""];
        assert_eq!(synchronised("archive", "archive/wal/2026", ""), of_process);
        assert_eq!(synchronised("archive", "archive/wal/2026", "archive"), of_process[..3]);

        let root = tempfile::tempdir().expect("a directory");
        let store = LocalStore::new(root.path().join("mounted/archive"));
        for key in ["wal/2026/11/22/a", "wal/2026/11/23/b"] {
            store.put_empty(key);
        }
        assert_eq!(store.list("wal/").expect("readable").len(), 2);
    }

    #[test]
    fn an_upload_follows_no_link() {
        let root = tempfile::tempdir().expect("a directory");
        let other = root.path().join("other");
        fs::write(&other, "untouched").expect("writable");
        let store = LocalStore::new(root.path().join("archive"));
        fs::create_dir_all(root.path().join("archive/a")).expect("writable");
        std::os::unix::fs::symlink(&other, root.path().join("archive/a/object.partial")).expect("writable");
        store.put_empty("a/object");
        assert_eq!(fs::read(&other).expect("it is there"), b"untouched");
        assert_eq!(store.list("").expect("readable"), ["a/object"]);
    }

    impl LocalStore {
        fn put_empty(&self, key: &str) {
            self.write(key).expect("writable").finish().expect("durable");
        }
    }
}
