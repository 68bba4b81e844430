//! Where tables are kept.

mod directory;
mod memory;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::TableNumber;

pub use directory::DirTables;
pub(crate) use directory::free_bytes;
pub use memory::MemoryTables;

/// A finished table that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFile {
    /// Which table.
    pub number: TableNumber,
    /// Bytes of its file.
    pub bytes: u64,
}

/// A place for tables. Errors are passed on as they come, and nothing is tried twice.
pub trait TableStorage {
    /// All finished tables, in any order.
    fn list(&self) -> io::Result<Vec<TableFile>>;

    /// A finished table, to be read.
    fn open(&self, number: TableNumber) -> io::Result<Box<dyn TableSource>>;

    /// A table to be written, in place of an unfinished one of this number; an error if there is a finished one.
    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>>;

    /// Removes a finished table, durably. Nobody may have it open any more who reads it: its [content goes](crate::removal), too.
    fn remove(&self, number: TableNumber) -> io::Result<()>;

    /// Removes what is left of tables that were never finished. Nobody may be writing one.
    fn remove_unfinished(&self) -> io::Result<()>;

    /// How many bytes there is still room for.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The table's file, for messages.
    fn path(&self, number: TableNumber) -> PathBuf;
}

/// A table that is being read, by as many readers as like.
pub trait TableSource: Send + Sync {
    /// Bytes of the file.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads from `offset` on into `buffer` and returns how many bytes were read: fewer than it holds only at the end of the
    /// file. Offset, length and address of the buffer are multiples of 4096.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The file, for those who read it through a ring; `None` if there is none.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A table that is being written. After an error it is of no use: dropped before it is finished, it leaves nothing that counts.
pub trait TableSink: Send {
    /// Appends `bytes`, whose length and address are multiples of 4096.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the table durable, then gives it its name, durably.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
