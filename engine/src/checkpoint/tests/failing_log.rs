//! A log whose calls fail as a test wants it.

use super::shortage::Shortage;
use super::*;

/// A log each read of which opens a file, which something may be short for, and whose directory may find no space.
#[derive(Default)]
pub(super) struct FailingLog {
    pub(super) log: KeptLog,
    pub(super) shortage: Shortage,
    /// Of so many removals, the next ones, the directory finds no space to take note: the files are gone, which is not durable.
    pub(super) unnoted_removals_left: u64,
}

impl LogStorage for FailingLog {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        if self.shortage.is_of_files() {
            self.shortage.check()?;
        }
        self.log.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.log.read(segment, offset, buffer)?;
        self.shortage.check()?;
        Ok(read)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.log.path(segment)
    }
}

impl LogDisk for FailingLog {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.log.prepare(segment, bytes)
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.log.write(segment, offset, bytes)
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.log.sync(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.log.sync_names()
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.log.truncate(segment, bytes)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.log.remove(segment)?;
        match self.unnoted_removals_left.checked_sub(1) {
            None => Ok(()),
            Some(left) => {
                self.unnoted_removals_left = left;
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
        }
    }
}
