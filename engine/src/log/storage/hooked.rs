//! A log in memory whose changes go through the hands of a test.

use std::io;
use std::path::PathBuf;

use super::{LogDisk, LogStorage, MemoryStorage, SegmentFile};
use crate::log::segment::SegmentId;

/// A change of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// A segment of so many bytes appears.
    Prepare(SegmentId, u64),
    /// Bytes are written from an offset on.
    Write(SegmentId, u64, &'a [u8]),
    /// What was written is made durable.
    Sync(SegmentId),
    /// Names are made durable.
    SyncNames,
    /// A segment is cut to so many bytes.
    Truncate(SegmentId, u64),
    /// A segment is gone.
    Remove(SegmentId),
}

impl Change<'_> {
    /// Does it to a log. Gives the bytes written, which are none but for a write.
    pub(crate) fn apply(self, disk: &mut MemoryStorage) -> io::Result<usize> {
        match self {
            Change::Prepare(segment, bytes) => disk.prepare(segment, bytes)?,
            Change::Write(segment, offset, bytes) => return disk.write(segment, offset, bytes),
            Change::Sync(segment) => disk.sync(segment)?,
            Change::SyncNames => disk.sync_names()?,
            Change::Truncate(segment, bytes) => disk.truncate(segment, bytes)?,
            Change::Remove(segment) => disk.remove(segment)?,
        }
        Ok(0)
    }
}

/// What a test does with each change.
pub(crate) trait Hook {
    /// Does it to the log, in part, or not at all. Gives the bytes written.
    fn change(&mut self, disk: &mut MemoryStorage, change: Change<'_>) -> io::Result<usize>;
}

/// A log in memory that is read as it is and changed as a test wants it.
#[derive(Debug, Default)]
pub(crate) struct HookedDisk<H> {
    pub(crate) disk: MemoryStorage,
    pub(crate) hook: H,
}

impl<H: Hook> HookedDisk<H> {
    fn change(&mut self, change: Change<'_>) -> io::Result<usize> {
        self.hook.change(&mut self.disk, change)
    }
}

impl<H> LogStorage for HookedDisk<H> {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        self.disk.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.disk.path(segment)
    }
}

impl<H: Hook> LogDisk for HookedDisk<H> {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.change(Change::Prepare(segment, bytes)).map(drop)
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.change(Change::Write(segment, offset, bytes))
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.change(Change::Sync(segment)).map(drop)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.change(Change::SyncNames).map(drop)
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.change(Change::Truncate(segment, bytes)).map(drop)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.change(Change::Remove(segment)).map(drop)
    }
}
