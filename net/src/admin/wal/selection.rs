//! The segments of a directory that were asked for.

use std::io;
use std::path::PathBuf;

use stemedb_engine::data_dir::Hold;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{DirStorage, LogStorage, SegmentFile};

/// A directory of which only some segments are seen: those that are not asked for are not even read.
pub(super) struct Selection {
    pub(super) directory: PathBuf,
    pub(super) lane: Option<u16>,
    pub(super) segment: Option<u64>,
}

impl LogStorage for Selection {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let mut files = DirStorage::new(&self.directory).list()?;
        files.retain(|file| {
            self.lane.is_none_or(|lane| lane == file.id.lane.0)
                && self.segment.is_none_or(|segment| segment == file.id.number.0)
        });
        Ok(files)
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // The content of what is removed goes a moment after its name. No longer than for a read: output that nobody takes, as in a pager,
        // would keep the log from getting shorter.
        let _hold = Hold::where_needed(&self.directory).map_err(io::Error::other)?;
        DirStorage::new(&self.directory).read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        DirStorage::new(&self.directory).path(segment)
    }
}
