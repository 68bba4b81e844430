//! A disk in memory that can stop in the middle of a change.

use std::io;
use std::path::PathBuf;

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::storage::{LogDisk, LogStorage, MemoryStorage, SegmentFile};

/// Zeros behind what is written. A segment is no longer than it must be once it is begun: it takes time to look at zeros.
const ZEROS_BYTES: usize = 2 * BLOCK_BYTES;

/// A disk that may crash.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) memory: MemoryStorage,
    /// Changes until the crash: the last one happens in part, those after it not at all.
    changes_left: usize,
    /// Which blocks of the write that is interrupted arrive, from the lowest bit on, again and again.
    arriving: u8,
}

impl Disk {
    pub(super) fn new() -> Disk {
        Disk { memory: MemoryStorage::new(), changes_left: usize::MAX, arriving: 0 }
    }

    /// The same disk with another content.
    pub(super) fn with(&self, memory: MemoryStorage) -> Disk {
        Disk { memory, ..Disk::new() }
    }

    pub(super) fn crash_after(&mut self, changes: usize, arriving: u8) {
        (self.changes_left, self.arriving) = (changes, arriving);
    }

    pub(super) fn restart(&mut self) {
        self.changes_left = usize::MAX;
    }

    /// Writes the blocks of `bytes` that `arriving` has bits for; of the last of them a half only, if its highest bit is set.
    pub(super) fn write_in_part(&mut self, segment: SegmentId, offset: u64, bytes: &[u8], arriving: u8) {
        let file = self.file_with_room(segment, offset as usize + bytes.len());
        for (block, bytes) in bytes.chunks(BLOCK_BYTES).enumerate() {
            if arriving >> (block % 8) & 1 != 0 {
                let at = offset as usize + block * BLOCK_BYTES;
                // Half of a block arrives, as devices with sectors of 512 bytes allow.
                let arrived = if arriving & 0x80 == 0 { bytes.len() } else { bytes.len() / 2 };
                file[at..at + arrived].copy_from_slice(&bytes[..arrived]);
            }
        }
        if offset == 0 && SegmentHeader::decode(&file[..BLOCK_BYTES]).is_ok() {
            file.truncate(BLOCK_BYTES + ZEROS_BYTES);
        }
    }

    fn file_with_room(&mut self, segment: SegmentId, end: usize) -> &mut Vec<u8> {
        let file = self.memory.segments.get_mut(&segment).expect("it was prepared");
        if file.len() < end + ZEROS_BYTES {
            file.resize(end + ZEROS_BYTES, 0);
        }
        file
    }

    /// Counts a change. `Ok` says whether it happens whole.
    fn change(&mut self) -> io::Result<bool> {
        let Some(left) = self.changes_left.checked_sub(1) else { return Err(crashed()) };
        self.changes_left = left;
        Ok(left > 0)
    }

    /// Does a change that happens whole or not at all.
    fn whole(&mut self, change: impl FnOnce(&mut MemoryStorage) -> io::Result<()>) -> io::Result<()> {
        let survives = self.change()?;
        if survives || self.arriving & 1 != 0 {
            change(&mut self.memory)?;
        }
        if survives { Ok(()) } else { Err(crashed()) }
    }
}

fn crashed() -> io::Error {
    io::Error::other("the disk has crashed")
}

impl LogStorage for Disk {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        self.memory.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.memory.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.memory.path(segment)
    }
}

impl LogDisk for Disk {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.whole(|disk| disk.prepare(segment, bytes))
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if !self.change()? {
            let arriving = self.arriving;
            self.write_in_part(segment, offset, bytes, arriving);
            return Err(crashed());
        }
        // Block by block, each of which arrives whole.
        for (block, bytes) in (0..).zip(bytes.chunks(BLOCK_BYTES)) {
            self.write_in_part(segment, offset + block * BLOCK_BYTES as u64, bytes, 1);
        }
        Ok(bytes.len())
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.memory.sync(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.memory.sync_names()
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.whole(|disk| disk.truncate(segment, bytes))
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.whole(|disk| disk.remove(segment))
    }
}
