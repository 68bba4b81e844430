//! The segments of a directory that were asked for.

use std::io;
use std::path::PathBuf;

use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{DirStorage, LogStorage, SegmentFile};

/// A directory of which only some segments are seen: those that are not asked for are not even read.
pub(super) struct Selection {
    pub(super) storage: DirStorage,
    pub(super) lane: Option<u16>,
    pub(super) segment: Option<u64>,
}

impl LogStorage for Selection {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let mut files = self.storage.list()?;
        files.retain(|file| {
            self.lane.is_none_or(|lane| lane == file.id.lane.0)
                && self.segment.is_none_or(|segment| segment == file.id.number.0)
        });
        Ok(files)
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.storage.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.storage.path(segment)
    }
}
