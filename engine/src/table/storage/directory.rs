//! Tables as files of one directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::{TableFile, TableSink, TableSource, TableStorage};
use crate::direct_file;
use crate::removal::remove_gradually;
use crate::table::TableNumber;
use crate::unfinished_file::{UnfinishedFile, sync_directory};

/// What the name of a table has behind it until it is finished.
const UNFINISHED: &str = ".prepare";

/// Tables as files of one directory, read and written past the page cache where the file system lets us.
#[derive(Debug, Clone)]
pub struct DirTables {
    directory: PathBuf,
}

impl DirTables {
    /// The tables of `directory`, which exists.
    pub fn new(directory: &Path) -> DirTables {
        DirTables { directory: directory.to_path_buf() }
    }
}

impl TableStorage for DirTables {
    fn list(&self) -> io::Result<Vec<TableFile>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(TableNumber::from_file_name) {
                files.push(TableFile { number, bytes: entry.metadata()?.len() });
            }
        }
        Ok(files)
    }

    fn open(&self, number: TableNumber) -> io::Result<Box<dyn TableSource>> {
        Ok(Box::new(FileSource(direct_file::open(&self.path(number), OpenOptions::new().read(true), 0)?)))
    }

    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>> {
        let path = self.path(number);
        if path.try_exists()? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let unfinished = self.directory.join(format!("{number}{UNFINISHED}"));
        let file =
            direct_file::open(&unfinished, OpenOptions::new().write(true).create(true).truncate(true), 0)?;
        let directory = self.directory.clone();
        Ok(Box::new(FileSink { file: UnfinishedFile::new(file, unfinished, path), offset: 0, directory }))
    }

    fn remove(&self, number: TableNumber) -> io::Result<()> {
        remove_gradually(&self.path(number))
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let table = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED));
            if table.and_then(TableNumber::from_file_name).is_some() {
                remove_gradually(&entry.path())?;
            }
        }
        sync_directory(&self.directory)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.directory)
    }

    fn path(&self, number: TableNumber) -> PathBuf {
        self.directory.join(number.to_string())
    }
}

/// A table's file, open for reading.
struct FileSource(File);

impl TableSource for FileSource {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        direct_file::read(&self.0, offset, buffer)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// The file of a table that is being written.
struct FileSink {
    file: UnfinishedFile,
    offset: u64,
    directory: PathBuf,
}

impl TableSink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.file().write_at(bytes, self.offset)?;
        if written < bytes.len() {
            let message = format!("only {written} of {} bytes were written", bytes.len());
            return Err(io::Error::new(ErrorKind::WriteZero, message));
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.file.give_name()?;
        sync_directory(&self.directory)
    }
}

/// How many bytes the file system of a directory has for who is not privileged.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let space = statvfs(directory)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::aligned::AlignedBuffer;
    use std::os::unix::fs::PermissionsExt;

    const NUMBER: TableNumber = TableNumber(3);

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn block(byte: u8) -> AlignedBuffer {
        let mut block = AlignedBuffer::zeroed(AlignedBuffer::ALIGNMENT);
        block.fill(byte);
        block
    }

    #[test]
    fn a_table_has_its_name_only_once_it_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let tables = DirTables::new(directory.path());
        let mut sink = tables.create(NUMBER).unwrap();
        sink.append(&block(1)).unwrap();
        sink.append(&block(2)).unwrap();
        assert_eq!(names(directory.path()), ["assertions-0000000003.kv.prepare"]);
        assert!(tables.list().unwrap().is_empty());
        assert_eq!(tables.open(NUMBER).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
        sink.finish().unwrap();
        assert_eq!(names(directory.path()), ["assertions-0000000003.kv"]);
        assert_eq!(tables.list().unwrap(), [TableFile { number: NUMBER, bytes: 8192 }]);
        let mode = fs::metadata(tables.path(NUMBER)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7137, 0, "mode {mode:o}");

        let source = tables.open(NUMBER).unwrap();
        assert_eq!(source.bytes().unwrap(), 8192);
        let mut read = AlignedBuffer::zeroed(3 * AlignedBuffer::ALIGNMENT);
        assert_eq!(source.read(4096, &mut read).unwrap(), 4096);
        assert_eq!(read[..4096], block(2)[..]);

        // It is never overwritten, and when it is removed, its content goes.
        assert_eq!(tables.create(NUMBER).err().map(|error| error.kind()), Some(ErrorKind::AlreadyExists));
        tables.remove(NUMBER).unwrap();
        assert_eq!(source.bytes().unwrap(), 0);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn what_is_not_finished_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let tables = DirTables::new(directory.path());
        let mut sink = tables.create(NUMBER).unwrap();
        sink.append(&block(1)).unwrap();
        drop(sink);
        assert!(names(directory.path()).is_empty(), "a dropped table leaves nothing");

        let kept = ["MANIFEST", "assertions-0000000001.kv", "assertions-1.kv.prepare", "x.kv.prepare"];
        for name in kept.iter().chain(&["assertions-0000000002.kv.prepare"]) {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        let unfinished = File::open(directory.path().join("assertions-0000000002.kv.prepare")).unwrap();
        tables.remove_unfinished().unwrap();
        assert_eq!(unfinished.metadata().unwrap().len(), 0, "it is cut down");
        assert_eq!(names(directory.path()), kept);
        assert_eq!(tables.list().unwrap(), [TableFile { number: TableNumber(1), bytes: 1 }]);
    }

    #[test]
    fn what_a_crash_left_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let tables = DirTables::new(directory.path());
        fs::write(directory.path().join("assertions-0000000003.kv.prepare"), vec![7; 20_000]).unwrap();
        let mut sink = tables.create(NUMBER).unwrap();
        sink.append(&block(1)).unwrap();
        sink.finish().unwrap();
        assert_eq!(fs::read(tables.path(NUMBER)).unwrap(), block(1)[..]);
    }

    #[test]
    fn errors_of_the_file_system_are_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let tables = DirTables::new(&directory.path().join("absent"));
        assert_eq!(tables.list().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(tables.create(NUMBER).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
        assert_eq!(tables.remove(NUMBER).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(tables.remove_unfinished().unwrap_err().kind(), ErrorKind::NotFound);

        // The name is taken when the table is finished.
        let tables = DirTables::new(directory.path());
        let mut sink = tables.create(NUMBER).unwrap();
        sink.append(&block(1)).unwrap();
        fs::create_dir(tables.path(NUMBER)).unwrap();
        sink.finish().unwrap_err();
        assert_eq!(names(directory.path()), ["assertions-0000000003.kv"]);
    }
}
