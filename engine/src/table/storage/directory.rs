//! Tables as files of one directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{TableFile, TableSink, TableSource, TableStorage};
use crate::ring::aligned::AlignedBuffer;
use crate::table::TableNumber;

/// What the name of a table has behind it until it is finished.
const UNFINISHED: &str = "kv.prepare";

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
        Ok(Box::new(FileSource(open_direct(&self.path(number), OpenOptions::new().read(true))?)))
    }

    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>> {
        let path = self.path(number);
        if path.try_exists()? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let unfinished = path.with_extension(UNFINISHED);
        let file = open_direct(&unfinished, OpenOptions::new().write(true).create(true).truncate(true))?;
        Ok(Box::new(FileSink { file, offset: 0, unfinished, path, is_finished: false }))
    }

    fn remove(&self, number: TableNumber) -> io::Result<()> {
        fs::remove_file(self.path(number))?;
        sync_directory(&self.directory)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let table = path.with_extension("kv");
            let is_table = table.file_name().and_then(|name| TableNumber::from_file_name(name.to_str()?));
            if is_table.is_some_and(|number| path == self.path(number).with_extension(UNFINISHED)) {
                fs::remove_file(path)?;
            }
        }
        sync_directory(&self.directory)
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
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                // Only the end of a file ends a direct read off a block's boundary.
                Ok(read) if !read.is_multiple_of(AlignedBuffer::ALIGNMENT) => return Ok(done + read),
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// The file of a table that is being written.
struct FileSink {
    file: File,
    offset: u64,
    unfinished: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

impl TableSink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_at(bytes, self.offset)?;
        if written < bytes.len() {
            let message = format!("only {written} of {} bytes were written", bytes.len());
            return Err(io::Error::new(ErrorKind::WriteZero, message));
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.is_finished = true;
        sync_directory(self.path.parent().expect("a table is in a directory"))
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if !self.is_finished {
            // On a full disk, what was written would keep others from what is left. Told is what ended the writing.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Opens with `O_DIRECT` or, on a file system that refuses it (open(2): `EINVAL`), without. What is created is for the
/// server's user and group only.
fn open_direct(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match options.mode(0o640).custom_flags(libc::O_DIRECT).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => options.custom_flags(0).open(path),
        opened => opened,
    }
}
