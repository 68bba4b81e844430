//! Files read and written past the page cache where the file system lets us.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::ring::aligned::AlignedBuffer;

/// Opens with `O_DIRECT` and `flags` or, on a file system that refuses the former (open(2): `EINVAL`), with `flags` alone.
/// What is created is for the server's user and group only.
pub(crate) fn open(path: &Path, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
    match options.mode(0o640).custom_flags(flags | libc::O_DIRECT).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => options.custom_flags(flags).open(path),
        opened => opened,
    }
}

/// Fills an aligned buffer from a block's boundary on, as far as the file goes. Gives the bytes read.
pub(crate) fn read(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Goal: a read gives all that there is and no more, wherever the file ends. Method: a file of two blocks and a bit,
    /// read into buffers that end before, in and behind its last block.
    #[test]
    fn a_read_goes_to_the_end_of_the_buffer_or_of_the_file() {
        const BLOCK: usize = AlignedBuffer::ALIGNMENT;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let content: Vec<u8> = (0..2 * BLOCK + 100).map(|index| (index / 7) as u8).collect();
        fs::write(&path, &content).unwrap();
        let file = open(&path, OpenOptions::new().read(true), 0).unwrap();
        for (offset, blocks, expected) in [(0, 1, BLOCK), (0, 4, content.len()), (BLOCK, 4, BLOCK + 100)] {
            let mut buffer = AlignedBuffer::zeroed(blocks * BLOCK);
            assert_eq!(read(&file, offset as u64, &mut buffer).unwrap(), expected, "from {offset}");
            assert_eq!(buffer[..expected], content[offset..offset + expected]);
        }
        let mut buffer = AlignedBuffer::zeroed(BLOCK);
        assert_eq!(read(&file, 3 * BLOCK as u64, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn what_is_created_is_for_user_and_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        open(&path, OpenOptions::new().write(true).create(true), libc::O_DSYNC).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7137, 0, "mode {mode:o}");
    }
}
