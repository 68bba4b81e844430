//! Segments as files of one directory.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::direct_file;
use crate::log::FRAME_BYTES_MAX;
use crate::log::segment::SegmentId;
use crate::log::storage::{LogDisk, LogStorage, SegmentFile};
use crate::removal::remove_gradually;
use crate::ring::aligned::AlignedBuffer;
use crate::unfinished_file::{UnfinishedFile, sync_directory};

/// Segments as files of one directory, read and written past the page cache where the file system lets us.
#[derive(Debug)]
pub struct DirStorage {
    directory: PathBuf,
    /// The file read last: reads come in runs.
    reading: RefCell<Option<(SegmentId, File)>>,
}

impl DirStorage {
    /// The segments of `directory`, which exists.
    pub fn new(directory: &Path) -> DirStorage {
        DirStorage { directory: directory.to_path_buf(), reading: RefCell::new(None) }
    }

    fn open(&self, segment: SegmentId, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
        direct_file::open(&self.path(segment), options, flags)
    }
}

impl LogStorage for DirStorage {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some(id) = entry.file_name().to_str().and_then(SegmentId::from_file_name) {
                files.push(SegmentFile { id, bytes: entry.metadata()?.len() });
            }
        }
        Ok(files)
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut reading = self.reading.borrow_mut();
        if reading.as_ref().is_none_or(|(open, _)| *open != segment) {
            *reading = Some((segment, self.open(segment, OpenOptions::new().read(true), 0)?));
        }
        let (_, file) = reading.as_ref().expect("it was just opened");
        direct_file::read(file, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.directory.join(segment.to_string())
    }
}

impl LogDisk for DirStorage {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        let path = self.path(segment);
        let unfinished = path.with_extension("log.prepare");
        let options = &mut OpenOptions::new();
        let file = direct_file::open(&unfinished, options.write(true).create(true).truncate(true), 0)?;
        let mut file = UnfinishedFile::new(file, unfinished, path);
        write_zeros(file.file(), bytes)?;
        file.give_name()?;
        self.reading.take();
        self.sync_names()
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.open(segment, OpenOptions::new().write(true), libc::O_DSYNC)?.write_at(bytes, offset)
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        File::open(self.path(segment))?.sync_data()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(segment))?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.reading.take();
        remove_gradually(&self.path(segment))
    }
}

fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = AlignedBuffer::zeroed(FRAME_BYTES_MAX);
    let mut offset = 0;
    while offset < bytes {
        let count = zeros.len().min((bytes - offset) as usize);
        file.write_all_at(&zeros[..count], offset)?;
        offset += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    use crate::log::{BLOCK_BYTES, SegmentNumber};
    use crate::slot::LaneId;

    const SEGMENT: SegmentId = SegmentId { lane: LaneId(3), number: SegmentNumber(9) };

    #[test]
    fn a_segment_is_prepared_written_read_cut_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = DirStorage::new(directory.path());
        fs::write(directory.path().join("LOCK"), "1").unwrap();
        fs::write(directory.path().join("segment-03-0000000010.log.prepare"), "half").unwrap();
        let bytes = 3 * BLOCK_BYTES as u64;
        disk.prepare(SEGMENT, bytes).unwrap();
        assert_eq!(disk.list().unwrap(), [SegmentFile { id: SEGMENT, bytes }]);

        let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
        block.fill(7);
        assert_eq!(disk.write(SEGMENT, BLOCK_BYTES as u64, &block).unwrap(), BLOCK_BYTES);
        disk.sync(SEGMENT).unwrap();
        let mut read = AlignedBuffer::zeroed(4 * BLOCK_BYTES);
        assert_eq!(disk.read(SEGMENT, 0, &mut read).unwrap(), 3 * BLOCK_BYTES);
        assert!(read[..BLOCK_BYTES].iter().all(|&byte| byte == 0));
        assert_eq!(read[BLOCK_BYTES..2 * BLOCK_BYTES], block[..]);

        disk.truncate(SEGMENT, BLOCK_BYTES as u64 + 100).unwrap();
        assert_eq!(disk.read(SEGMENT, BLOCK_BYTES as u64, &mut read).unwrap(), 100);
        assert_eq!(disk.read(SEGMENT, 2 * BLOCK_BYTES as u64, &mut read).unwrap(), 0);

        disk.remove(SEGMENT).unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert_eq!(disk.read(SEGMENT, 0, &mut read).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_segment_is_for_user_and_group_and_none_half_prepared_stays() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let mut disk = DirStorage::new(directory.path());
        disk.prepare(SEGMENT, BLOCK_BYTES as u64).unwrap();
        let mode = fs::metadata(disk.path(SEGMENT)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7137, 0, "mode {mode:o}");

        let taken = SegmentId { number: SegmentNumber(10), ..SEGMENT };
        fs::create_dir(disk.path(taken)).unwrap();
        disk.prepare(taken, BLOCK_BYTES as u64).unwrap_err();
        let names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn errors_of_the_file_system_are_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = DirStorage::new(&directory.path().join("absent"));
        assert_eq!(disk.list().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.prepare(SEGMENT, 4096).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.remove(SEGMENT).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
