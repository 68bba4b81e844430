//! A directory that goes with its owner.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::registry;

/// A temporary directory, removed with all that is in it when this is dropped, and at SIGINT and SIGTERM too, see
/// [`end_all_at_signals`](super::end_all_at_signals).
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one below `parent`, which other users may enter: some servers do not run as root.
    ///
    /// # Errors
    ///
    /// When `parent` is not a directory that can be written.
    pub fn create_in(parent: &Path) -> io::Result<Directory> {
        let mut registry = registry::lock();
        let mut builder = tempfile::Builder::new();
        builder.prefix("stemedb-bench-").permissions(Permissions::from_mode(0o755));
        let path = builder.tempdir_in(parent)?.keep();
        registry.directories.push(path.clone());
        Ok(Directory(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        registry::remove(&self.0);
        registry::lock().directories.retain(|path| *path != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().expect("there is a temporary directory");
        let directory = Directory::create_in(parent.path()).expect("the parent is writable");
        let path = directory.path().to_owned();
        std::fs::create_dir(path.join("sub")).expect("it is writable");
        std::fs::write(path.join("sub/file"), "x").expect("it is writable");
        drop(directory);
        assert!(!path.exists());
        assert!(!registry::lock().directories.contains(&path));
    }
}
