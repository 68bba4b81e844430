//! One disk for all who use it: the cores by way of the simulation, and the upkeep, which has it for its own.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{LogDisk, LogStorage, SegmentFile};

use super::Disk;

/// A disk that several hold. They take turns on one thread.
#[derive(Debug, Clone)]
pub(crate) struct SharedDisk(Arc<Mutex<Disk>>);

impl SharedDisk {
    pub(crate) fn new(disk: Disk) -> SharedDisk {
        SharedDisk(Arc::new(Mutex::new(disk)))
    }

    /// The disk, for one call.
    pub(crate) fn get(&self) -> MutexGuard<'_, Disk> {
        self.0.try_lock().expect("nobody keeps the disk to himself, and no holder panics")
    }
}

impl LogStorage for SharedDisk {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let mut disk = self.get();
        disk.read_step(None::<SegmentId>)?;
        disk.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.get();
        disk.read_step(Some(segment))?;
        disk.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.get().path(segment)
    }
}

impl LogDisk for SharedDisk {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.get().prepare(segment, bytes)
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.get().write(segment, offset, bytes)
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.get().sync(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.get().sync_names()
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.get().truncate(segment, bytes)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.get().remove(segment)
    }
}
