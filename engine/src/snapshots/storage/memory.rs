//! Snapshots in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{PartSink, SnapshotStorage};
use crate::snapshots::Part;

/// Snapshots in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemorySnapshots {
    files: Arc<Mutex<Files>>,
}

#[derive(Debug, Default)]
struct Files {
    finished: BTreeMap<String, Vec<u8>>,
    unfinished: BTreeMap<String, Vec<u8>>,
    /// Calls that change something and will still succeed, if there is an end to them.
    changes_left: Option<u64>,
    /// Bytes that all files together may have, if there is a bound.
    bytes_max: Option<u64>,
}

impl MemorySnapshots {
    /// No snapshots.
    pub fn new() -> MemorySnapshots {
        MemorySnapshots::default()
    }

    /// The bytes of a finished part.
    pub fn bytes(&self, part: &Part) -> Option<Vec<u8>> {
        self.files().finished.get(&part.to_string()).cloned()
    }

    /// Puts any bytes in the place of a finished part.
    pub fn insert(&self, part: &Part, bytes: Vec<u8>) {
        self.files().finished.insert(part.to_string(), bytes);
    }

    /// How many parts were begun and not finished.
    pub fn unfinished(&self) -> usize {
        self.files().unfinished.len()
    }

    /// Lets so many more changes succeed and all later ones fail, as if the machine stopped there, or the disk were full.
    pub fn fail_after(&self, changes: u64) {
        self.files().changes_left = Some(changes);
    }

    /// Has room for so many bytes, those of all files together. What is written beyond that is not refused.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.files().bytes_max = Some(bytes_max);
    }

    /// Lets changes succeed again.
    pub fn restart(&self) {
        self.files().changes_left = None;
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect("no holder of this lock panics")
    }
}

impl Files {
    /// An error if nothing may be changed any more.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => return Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

impl SnapshotStorage for MemorySnapshots {
    fn list(&self) -> io::Result<Vec<Part>> {
        Ok(self.files().finished.keys().filter_map(|name| Part::from_file_name(name)).collect())
    }

    fn open(&self, part: &Part) -> io::Result<Box<dyn Read>> {
        let bytes = self.bytes(part).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn create(&self, part: &Part) -> io::Result<Box<dyn PartSink>> {
        let mut files = self.files();
        files.change()?;
        files.unfinished.insert(part.to_string(), Vec::new());
        Ok(Box::new(MemorySink { snapshots: self.clone(), name: part.to_string() }))
    }

    fn remove(&self, part: &Part) -> io::Result<()> {
        let mut files = self.files();
        files.change()?;
        files.finished.remove(&part.to_string()).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let mut files = self.files();
        files.change()?;
        files.unfinished.clear();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.files().change()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let files = self.files();
        let held: usize = files.finished.values().chain(files.unfinished.values()).map(Vec::len).sum();
        Ok(files.bytes_max.map_or(u64::MAX, |bytes_max| bytes_max.saturating_sub(held as u64)))
    }

    fn path(&self, part: &Part) -> PathBuf {
        PathBuf::from(part.to_string())
    }
}

struct MemorySink {
    snapshots: MemorySnapshots,
    name: String,
}

impl PartSink for MemorySink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.snapshots.files();
        files.change()?;
        files.unfinished.get_mut(&self.name).ok_or(ErrorKind::NotFound)?.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<u64> {
        let mut files = self.snapshots.files();
        files.change()?;
        let bytes = files.unfinished.remove(&self.name).ok_or(ErrorKind::NotFound)?;
        let length = bytes.len() as u64;
        files.finished.insert(self.name.clone(), bytes);
        // The part has its name; that this is durable may still fail.
        files.change().map(|()| length)
    }
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        let mut files = self.snapshots.files();
        // Where the machine has stopped, nothing cleans up.
        if files.changes_left != Some(0) {
            files.unfinished.remove(&self.name);
        }
    }
}
