//! Copies of the log, as backups and archives take them of a server that runs.

use std::io;
use std::path::PathBuf;

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::recovery::capture::{Capture, capture};
use stemedb_engine::log::recovery::{RecoveryError, recover_after};
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{LogStorage, SegmentFile};

use crate::disk::SharedDisk;
use crate::simulation::Simulation;

/// What a copy of the log would be.
struct Copy<'d> {
    disk: &'d SharedDisk,
    captured: Capture,
}

impl LogStorage for Copy<'_> {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let segments = self.captured.segments.iter();
        Ok(segments.map(|segment| SegmentFile { id: segment.id(), bytes: segment.bytes }).collect())
    }

    fn read(&self, id: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let segment = self.captured.segments.iter().find(|segment| segment.id() == id);
        let left = segment.ok_or(io::ErrorKind::NotFound)?.bytes.saturating_sub(offset);
        let bytes = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.disk.read(id, offset, &mut buffer[..bytes])
    }

    fn path(&self, id: SegmentId) -> PathBuf {
        LogStorage::path(self.disk, id)
    }
}

impl Simulation {
    /// Checks that a copy of the log behind the tables has each record that a start would find now.
    pub(crate) fn check_copy(&self, manifest: &Manifest) {
        let Ok(held) = records(&self.disk, &manifest.covered) else {
            assert!(!self.disk.get().lied_about().is_empty(), "a sound log is refused");
            return;
        };
        let captured = capture(&self.disk, &manifest.covered).expect("a log that is sound is captured");
        let copy = Copy { disk: &self.disk, captured };
        let copied = records(&copy, &manifest.covered).expect("a copy of the log is a log");
        assert!(copied == held, "a copy of the log has {} records of {}", copied.len(), held.len());
    }
}

/// Lane and number of each record, and its payload.
fn records(log: &dyn LogStorage, covered: &Covered) -> Result<Vec<(u16, u64, Vec<u8>)>, RecoveryError> {
    let mut records = Vec::new();
    recover_after(log, covered, &mut |replayed| {
        let record = replayed.iter().map(|record| (record.lane.0, record.lsn.0, record.payload.to_vec()));
        records.extend(record);
        Ok(())
    })?;
    Ok(records)
}
