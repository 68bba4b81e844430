//! Tables in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{TableFile, TableSink, TableSource, TableStorage};
use crate::table::{BLOCK_BYTES, TableNumber};

/// Tables in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables {
    files: Arc<Mutex<Files>>,
}

#[derive(Debug, Default)]
struct Files {
    finished: BTreeMap<TableNumber, Arc<Vec<u8>>>,
    unfinished: BTreeMap<TableNumber, Vec<u8>>,
    /// What is said of the room that there still is, if it has an end.
    free_bytes: Option<u64>,
    /// Calls that change something and will still succeed, if there is an end to them.
    changes_left: Option<u64>,
}

impl MemoryTables {
    /// No tables.
    pub fn new() -> MemoryTables {
        MemoryTables::default()
    }

    /// The bytes of a finished table.
    pub fn bytes(&self, number: TableNumber) -> Option<Vec<u8>> {
        self.files().finished.get(&number).map(|bytes| bytes.to_vec())
    }

    /// Puts a table of any bytes in the place of a finished one. Whoever has that open goes on reading the old one.
    pub fn insert(&self, number: TableNumber, bytes: Vec<u8>) {
        self.files().finished.insert(number, Arc::new(bytes));
    }

    /// Lets so many more changes succeed and all later ones fail, as if the machine stopped there.
    pub fn fail_after(&self, changes: u64) {
        self.files().changes_left = Some(changes);
    }

    /// The same tables after such a stop: changes succeed again.
    pub fn restart(&self) {
        self.files().changes_left = None;
    }

    /// Says from now on that there is room for so many bytes.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.files().free_bytes = Some(bytes);
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect("no holder of this lock panics")
    }
}

impl Files {
    /// An error if nothing may be changed any more.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => return Err(io::Error::other("the machine has stopped")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

impl TableStorage for MemoryTables {
    fn list(&self) -> io::Result<Vec<TableFile>> {
        let file =
            |(&number, bytes): (&TableNumber, &Arc<Vec<u8>>)| TableFile { number, bytes: bytes.len() as u64 };
        Ok(self.files().finished.iter().map(file).collect())
    }

    fn open(&self, number: TableNumber) -> io::Result<Box<dyn TableSource>> {
        let bytes = self.files().finished.get(&number).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(MemorySource(bytes)))
    }

    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>> {
        let mut files = self.files();
        if files.finished.contains_key(&number) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        files.change()?;
        files.unfinished.insert(number, Vec::new());
        Ok(Box::new(MemorySink { tables: self.clone(), number }))
    }

    fn remove(&self, number: TableNumber) -> io::Result<()> {
        let mut files = self.files();
        files.change()?;
        files.finished.remove(&number).map(|_| ()).ok_or(ErrorKind::NotFound.into())
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let mut files = self.files();
        files.change()?;
        files.unfinished.clear();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.files().free_bytes.unwrap_or(u64::MAX))
    }

    fn path(&self, number: TableNumber) -> PathBuf {
        PathBuf::from(number.to_string())
    }
}

struct MemorySource(Arc<Vec<u8>>);

impl TableSource for MemorySource {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(offset.is_multiple_of(BLOCK_BYTES as u64), "offset {offset} is not aligned");
        assert_aligned(buffer);
        let from = self.0.len().min(offset as usize);
        let count = buffer.len().min(self.0.len() - from);
        buffer[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }
}

struct MemorySink {
    tables: MemoryTables,
    number: TableNumber,
}

impl TableSink for MemorySink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert_aligned(bytes);
        let mut files = self.tables.files();
        files.change()?;
        let file = files.unfinished.get_mut(&self.number).ok_or(ErrorKind::NotFound)?;
        file.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let mut files = self.tables.files();
        files.change()?;
        let bytes = files.unfinished.remove(&self.number).ok_or(ErrorKind::NotFound)?;
        files.finished.insert(self.number, Arc::new(bytes));
        // The table has its name; that this is durable may still fail.
        files.change()
    }
}

/// Direct I/O demands this of real files; here it is asserted, so that no test gets by without.
fn assert_aligned(bytes: &[u8]) {
    assert!(bytes.len().is_multiple_of(BLOCK_BYTES), "{} bytes are not whole blocks", bytes.len());
    assert!(bytes.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "the buffer is not aligned");
}
