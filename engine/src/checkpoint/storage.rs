//! Where the manifest is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::unfinished_file::{UnfinishedFile, open_directory, sync_directory};

/// The most bytes that a manifest may have. Tables and lanes take a few kilobytes. The rest are retractions that a lane has
/// not got in an ended segment, while others have: as many as fit into the segment that it writes to, and into
/// what one checkpoint covers.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// The place of one manifest. Errors are passed on as they come, and nothing is tried twice.
pub trait ManifestStorage {
    /// The manifest's bytes; `None` if there is none.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Puts these bytes in the place of what is there, durably: after a crash at any moment it is the one or the other.
    ///
    /// # Errors
    ///
    /// With it is told which of the two is there now.
    fn replace(&self, bytes: &[u8]) -> Result<(), ReplaceError>;

    /// Makes what is in its place durable, or that there is nothing: a process may find what a power cut would take back.
    fn sync(&self) -> io::Result<()>;

    /// The manifest's file, for messages.
    fn path(&self) -> PathBuf;
}

/// Why a manifest could not be replaced, and what is in its place.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// What was there before is there, and will be.
    #[error("the old one holds")]
    Kept(#[from] io::Error),
    /// The new one is there, but it is not known whether it or the old one is after a power cut.
    #[error("the new one is there, but may not be after a power cut")]
    InDoubt(#[source] io::Error),
}

/// For whoever makes a manifest where there was none, and starts over.
impl From<ReplaceError> for io::Error {
    fn from(error: ReplaceError) -> io::Error {
        let (ReplaceError::Kept(source) | ReplaceError::InDoubt(source)) = error;
        source
    }
}

/// The file `MANIFEST` of a directory.
#[derive(Debug, Clone)]
pub struct DirManifest {
    directory: PathBuf,
}

impl DirManifest {
    /// The manifest of `directory`, which exists.
    pub fn new(directory: &Path) -> DirManifest {
        DirManifest { directory: directory.to_owned() }
    }
}

impl ManifestStorage for DirManifest {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match File::open(self.path()) {
            Ok(mut file) => {
                check_length(file.metadata()?.len())?;
                file.read_to_end(&mut bytes).map(|_| Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        check_length(bytes.len() as u64)?;
        let directory = open_directory(&self.directory)?;
        let fresh = self.directory.join("MANIFEST.prepare");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
        let mut file = UnfinishedFile::new(file, fresh, self.path());
        file.file().write_all(bytes)?;
        file.give_name()?;
        directory.sync_all().map_err(ReplaceError::InDoubt)
    }

    fn sync(&self) -> io::Result<()> {
        match File::open(self.path()) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        sync_directory(&self.directory)
    }

    fn path(&self) -> PathBuf {
        self.directory.join("MANIFEST")
    }
}

/// Refuses what is too long to be a manifest, or to be written as one.
fn check_length(bytes: u64) -> io::Result<()> {
    if bytes <= MANIFEST_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{bytes} bytes, but a manifest has at most {MANIFEST_BYTES_MAX}");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
}

/// A manifest in memory, for tests and simulations. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryManifest {
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
}

impl MemoryManifest {
    fn bytes(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.bytes.lock().expect("no holder of this lock panics")
    }
}

impl ManifestStorage for MemoryManifest {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.bytes().clone())
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        *self.bytes() = Some(bytes.to_vec());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("MANIFEST")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_manifest_is_replaced_as_a_whole_and_for_user_and_group_only() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = DirManifest::new(directory.path());
        assert_eq!(manifest.read().unwrap(), None);
        for bytes in [&b"a longer first one"[..], b"second"] {
            manifest.replace(bytes).unwrap();
            assert_eq!(manifest.read().unwrap().as_deref(), Some(bytes));
        }
        let names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["MANIFEST"]);
        assert_eq!(fs::metadata(manifest.path()).unwrap().permissions().mode() & 0o7137, 0);
    }

    #[test]
    fn what_is_too_long_is_neither_read_in_part_nor_written() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = DirManifest::new(directory.path());
        File::create(manifest.path()).unwrap().set_len(MANIFEST_BYTES_MAX + 1).unwrap();
        let error = manifest.read().unwrap_err();
        assert_eq!(error.to_string(), "1073741825 bytes, but a manifest has at most 1073741824");
        check_length(MANIFEST_BYTES_MAX).unwrap();
    }

    #[test]
    fn errors_of_the_file_system_are_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = DirManifest::new(&directory.path().join("absent"));
        let Err(ReplaceError::Kept(error)) = manifest.replace(b"x") else { panic!("there is no directory") };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::create_dir(directory.path().join("MANIFEST")).unwrap();
        assert_eq!(
            DirManifest::new(directory.path()).read().unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
    }
}
