//! Files that get their names when they are whole and durable.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::removal::give_back;

/// A file that is being written beside the name that it will have. Dropped before it has its name, it is removed, and its space
/// [given back](crate::removal): on a full disk, what was written would keep others from what is left.
#[derive(Debug)]
pub struct UnfinishedFile {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    has_its_name: bool,
}

impl UnfinishedFile {
    /// `file`, just created as `unfinished`, which will be `path`, in the same directory.
    pub fn new(file: File, unfinished: PathBuf, path: PathBuf) -> UnfinishedFile {
        UnfinishedFile { file, unfinished, path, has_its_name: false }
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the file durable, then gives it its name, in place of what has that. The name is durable when the directory has been
    /// [synchronised](sync_directory); until then a power cut may bring back what was there before.
    ///
    /// # Errors
    ///
    /// When one of these cannot be done. What was there before stays.
    pub fn give_name(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.has_its_name = true;
        Ok(())
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if !self.has_its_name {
            // Told is what ended the writing.
            let _ = fs::remove_file(&self.unfinished);
            // A power cut may bring back the name: of no use as before, however long the file is.
            let _ = give_back(&self.file);
        }
    }
}

/// Makes the names in a directory durable; that of the process, if it has no name.
///
/// # Errors
///
/// When it cannot be opened or synchronised.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    open_directory(directory)?.sync_all()
}

/// Opens a directory, that of the process if it has no name, to be synchronised later. Who is to change names in it does this before: without
/// a descriptor it would not be known whether the change is durable.
pub(crate) fn open_directory(directory: &Path) -> io::Result<File> {
    File::open(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Goal: the space of what is given up is free, and not for all blocks at once. Method: whoever holds the file open sees how long it is.
    #[test]
    fn what_is_given_up_is_cut_down() {
        let directory = tempfile::tempdir().unwrap();
        let fresh = directory.path().join("fresh");
        let file = File::create(&fresh).unwrap();
        file.set_len(9 << 20).unwrap();
        let looked_at = file.try_clone().unwrap();
        drop(UnfinishedFile::new(file, fresh.clone(), directory.path().join("name")));
        assert_eq!((fresh.exists(), looked_at.metadata().unwrap().len()), (false, 0));
    }

    /// Goal: a name stands for the old content or the new one, whole, and nothing is left behind. Method: a file that takes the place of
    /// another one, one that is given up, and one whose name is that of a directory.
    #[test]
    fn a_file_has_its_name_when_it_is_whole_or_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (fresh, path) = (directory.path().join("fresh"), directory.path().join("name"));
        let begin = |bytes: &[u8]| {
            let mut file = UnfinishedFile::new(File::create(&fresh).unwrap(), fresh.clone(), path.clone());
            file.file().write_all(bytes).unwrap();
            file
        };
        for bytes in [&b"a longer first one"[..], b"second"] {
            begin(bytes).give_name().unwrap();
            sync_directory(directory.path()).unwrap();
            assert_eq!((fs::read(&path).unwrap(), fresh.exists()), (bytes.to_vec(), false));
        }
        let given_up = begin(b"third");
        assert_eq!((fs::read(&path).unwrap(), fresh.exists()), (b"second".to_vec(), true));
        drop(given_up);
        assert_eq!((fs::read(&path).unwrap(), fresh.exists()), (b"second".to_vec(), false));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        begin(b"fourth").give_name().unwrap_err();
        assert!(!fresh.exists());
    }
}
