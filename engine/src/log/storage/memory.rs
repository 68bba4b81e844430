//! Segments in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::log::BLOCK_BYTES;
use crate::log::segment::SegmentId;
use crate::log::storage::{LogDisk, LogStorage, SegmentFile};

/// Segments in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStorage {
    /// The bytes of each segment: to be looked at, damaged and cut at will.
    pub segments: BTreeMap<SegmentId, Vec<u8>>,
}

impl MemoryStorage {
    /// No segments.
    pub fn new() -> MemoryStorage {
        MemoryStorage::default()
    }

    fn segment(&self, id: SegmentId) -> io::Result<&Vec<u8>> {
        self.segments.get(&id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn segment_mut(&mut self, id: SegmentId) -> io::Result<&mut Vec<u8>> {
        self.segments.get_mut(&id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl LogStorage for MemoryStorage {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let file = |(&id, bytes): (&SegmentId, &Vec<u8>)| SegmentFile { id, bytes: bytes.len() as u64 };
        Ok(self.segments.iter().map(file).collect())
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        assert_aligned(offset, buffer);
        let bytes = self.segment(segment)?;
        let from = bytes.len().min(offset as usize);
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        PathBuf::from(segment.to_string())
    }
}

impl LogDisk for MemoryStorage {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.segments.insert(segment, vec![0; bytes as usize]);
        Ok(())
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        assert_aligned(offset, bytes);
        let offset = offset as usize;
        let file = self.segment_mut(segment)?;
        assert!(offset + bytes.len() <= file.len(), "a write beyond the end of {segment}");
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.segment(segment).map(|_| ())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.segment_mut(segment).map(|file| file.truncate(bytes as usize))
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.segment(segment)?;
        self.segments.remove(&segment);
        Ok(())
    }
}

/// Direct I/O demands this of real files; here it is asserted, so that no test gets by without.
fn assert_aligned(offset: u64, bytes: &[u8]) {
    assert!(offset.is_multiple_of(BLOCK_BYTES as u64), "offset {offset} is not aligned");
    assert!(bytes.len().is_multiple_of(BLOCK_BYTES), "{} bytes are not whole blocks", bytes.len());
    assert!(bytes.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "the buffer is not aligned");
}
