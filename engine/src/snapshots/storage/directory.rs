//! Snapshots as files of one directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::{PartSink, SnapshotStorage};
use crate::direct_file;
use crate::removal::remove_gradually;
use crate::ring::aligned::AlignedBuffer;
use crate::snapshots::Part;
use crate::table::free_bytes;
use crate::unfinished_file::{UnfinishedFile, sync_directory};

/// What the name of a part has behind it until it is finished.
const UNFINISHED: &str = ".prepare";

/// Bytes that are read or written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Snapshots as files of one directory, which may be missing, or removed at any time. They are written past the page cache
/// where the file system lets us: synchronising what the cache has gathered would hold up the writes of the log.
#[derive(Debug, Clone)]
pub struct DirSnapshots {
    directory: PathBuf,
}

impl DirSnapshots {
    /// The snapshots of a store whose tables are in the directory `db`.
    pub fn new(db: &Path) -> DirSnapshots {
        DirSnapshots { directory: db.join("indexes") }
    }

    /// The files of the directory, by name; none if it is missing.
    fn names(&self) -> io::Result<Vec<String>> {
        let listing = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let mut names = Vec::new();
        for entry in listing {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }
}

impl SnapshotStorage for DirSnapshots {
    fn list(&self) -> io::Result<Vec<Part>> {
        Ok(self.names()?.iter().filter_map(|name| Part::from_file_name(name)).collect())
    }

    fn open(&self, part: &Part) -> io::Result<Box<dyn Read>> {
        let file = File::open(self.path(part))?;
        // Only to have it sooner.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        Ok(Box::new(ReadOnce(BufReader::with_capacity(BUFFER_BYTES, file))))
    }

    fn create(&self, part: &Part) -> io::Result<Box<dyn PartSink>> {
        if !self.directory.try_exists()? {
            DirBuilder::new().recursive(true).mode(0o750).create(&self.directory)?;
            sync_directory(self.directory.parent().expect("it is in the directory of the tables"))?;
        }
        let path = self.path(part);
        let unfinished = self.directory.join(format!("{part}{UNFINISHED}"));
        let file =
            direct_file::open(&unfinished, OpenOptions::new().write(true).create(true).truncate(true), 0)?;
        let buffer = AlignedBuffer::zeroed(BUFFER_BYTES);
        let file = UnfinishedFile::new(file, unfinished, path);
        Ok(Box::new(FileSink { file, offset: 0, buffer, filled: 0, directory: self.directory.clone() }))
    }

    fn remove(&self, part: &Part) -> io::Result<()> {
        remove_gradually(&self.path(part))
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for name in self.names()? {
            if name.strip_suffix(UNFINISHED).and_then(Part::from_file_name).is_some() {
                remove_gradually(&self.directory.join(name))?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        sync_directory(&self.directory)?;
        // Whoever made the directory may have been killed before that was durable.
        sync_directory(self.directory.parent().expect("it is in the directory of the tables"))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        // The directory may be missing; the one above it has the tables.
        let db = self.directory.parent().expect("it is in the directory of the tables");
        free_bytes(if self.directory.try_exists()? { &self.directory } else { db })
    }

    fn path(&self, part: &Part) -> PathBuf {
        self.directory.join(part.to_string())
    }
}

/// A file that is read once: nobody needs what the page cache keeps of it.
struct ReadOnce(BufReader<File>);

impl Read for ReadOnce {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Drop for ReadOnce {
    fn drop(&mut self) {
        let _ = fadvise(self.0.get_ref(), 0, None, Advice::DontNeed);
    }
}

/// The file of a part that is being written.
struct FileSink {
    file: UnfinishedFile,
    offset: u64,
    buffer: AlignedBuffer,
    /// Bytes of the buffer that are not written yet.
    filled: usize,
    directory: PathBuf,
}

impl FileSink {
    /// Writes what is in the buffer, and zeros up to the end of its last block.
    fn flush(&mut self) -> io::Result<()> {
        let bytes = self.filled.next_multiple_of(AlignedBuffer::ALIGNMENT);
        self.buffer[self.filled..bytes].fill(0);
        let written = self.file.file().write_at(&self.buffer[..bytes], self.offset)?;
        if written < bytes {
            let message = format!("only {written} of {bytes} bytes were written");
            return Err(io::Error::new(ErrorKind::WriteZero, message));
        }
        self.offset += bytes as u64;
        self.filled = 0;
        Ok(())
    }
}

impl PartSink for FileSink {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.filled));
            self.buffer[self.filled..self.filled + piece.len()].copy_from_slice(piece);
            self.filled += piece.len();
            if self.filled == BUFFER_BYTES {
                self.flush()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<u64> {
        self.flush()?;
        let FileSink { file, offset, directory, .. } = *self;
        file.give_name()?;
        sync_directory(&directory)?;
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::snapshots::SnapshotNumber;

    fn part() -> Part {
        Part { number: SnapshotNumber(3), slots: 0..512 }
    }

    #[test]
    fn a_part_has_its_name_only_once_it_is_finished() {
        let db = tempfile::tempdir().expect("a directory");
        let snapshots = DirSnapshots::new(db.path());
        assert!(snapshots.list().expect("no directory is no error").is_empty());
        snapshots.remove_unfinished().expect("nor here");
        let bytes: Vec<u8> = (0..BUFFER_BYTES + 5_000).map(|at| at as u8 | 1).collect();
        let mut sink = snapshots.create(&part()).expect("writable");
        for piece in bytes.chunks(100_001) {
            sink.append(piece).expect("space");
        }
        assert_eq!(snapshots.names().expect("readable"), ["index-0000000003-0000-0512.snapshot.prepare"]);
        assert!(snapshots.list().expect("readable").is_empty());
        let file_bytes = sink.finish().expect("space");
        assert_eq!(snapshots.list().expect("readable"), [part()]);
        assert_eq!(fs::metadata(snapshots.path(&part())).expect("there").len(), file_bytes);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&snapshots.path(&part())) & 0o7137, 0);
        assert_eq!(mode(&snapshots.directory) & 0o7027, 0);

        let mut read = Vec::new();
        snapshots.open(&part()).expect("there").read_to_end(&mut read).expect("readable");
        assert_eq!(read[..bytes.len()], bytes);
        assert!(read[bytes.len()..].iter().all(|byte| *byte == 0));
        snapshots.remove(&part()).expect("there");
        assert!(snapshots.names().expect("readable").is_empty());
    }

    #[test]
    fn what_is_not_finished_is_removed_and_nothing_else() {
        let db = tempfile::tempdir().expect("a directory");
        let snapshots = DirSnapshots::new(db.path());
        drop(snapshots.create(&part()).expect("writable"));
        assert!(snapshots.names().expect("readable").is_empty(), "a dropped part leaves nothing");
        let kept = ["index-0000000001-0000-1024.snapshot", "other.prepare"];
        for name in kept.iter().chain(&["index-0000000002-0000-1024.snapshot.prepare"]) {
            fs::write(snapshots.directory.join(name), "x").expect("writable");
        }
        let unfinished = snapshots.directory.join("index-0000000002-0000-1024.snapshot.prepare");
        let unfinished = File::open(unfinished).expect("it was written");
        snapshots.remove_unfinished().expect("removable");
        assert_eq!(unfinished.metadata().expect("it is open").len(), 0, "it is cut down");
        let mut names = snapshots.names().expect("readable");
        names.sort();
        assert_eq!(names, kept);
    }

    /// An operator may remove the directory at any time.
    #[test]
    fn a_directory_that_goes_while_a_part_is_written_is_an_error_and_the_next_part_makes_it_anew() {
        let db = tempfile::tempdir().expect("a directory");
        let snapshots = DirSnapshots::new(db.path());
        let mut sink = snapshots.create(&part()).expect("writable");
        sink.append(&[1; 10_000]).expect("space");
        fs::remove_dir_all(&snapshots.directory).expect("removable");
        assert_eq!(sink.finish().expect_err("its name is gone").kind(), ErrorKind::NotFound);
        let sink = snapshots.create(&part()).expect("writable");
        sink.finish().expect("space");
        assert_eq!(snapshots.list().expect("readable"), [part()]);
    }
}
