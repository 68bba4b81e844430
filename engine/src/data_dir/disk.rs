//! Trying out the disk under a directory, with scratch files that are removed again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::DataDirError;
use crate::ring::aligned::AlignedBuffer;

/// How many different blocks the latency test writes in turn: 16 MiB.
const BLOCKS: u64 = 4096;

const BLOCK_BYTES: u64 = AlignedBuffer::ALIGNMENT as u64;

/// Whether files in this directory can be written past the page cache (`O_DIRECT`), as the log does.
///
/// # Errors
///
/// When a scratch file cannot be created or written for another reason.
pub fn supports_direct_io(directory: &Path) -> Result<bool, DataDirError> {
    let scratch = Scratch::new(directory, "direct-io");
    let buffer = AlignedBuffer::zeroed(AlignedBuffer::ALIGNMENT);
    let outcome = scratch.open(libc::O_DIRECT).and_then(|file| file.write_all_at(&buffer, 0));
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => Ok(false),
        Err(error) => Err(DataDirError::io("write", &scratch.path)(error)),
    }
}

/// How long `count` durable writes of 4 KiB take in this directory, one after the other: what bounds the latency of an
/// acknowledged write. They go to blocks that were written before, past the page cache where that is possible.
///
/// # Errors
///
/// When the scratch file of 16 MiB cannot be created or written.
pub fn durable_write_latencies(directory: &Path, count: usize) -> Result<Vec<Duration>, DataDirError> {
    let direct = if supports_direct_io(directory)? { libc::O_DIRECT } else { 0 };
    let scratch = Scratch::new(directory, "latency");
    measure(&scratch, direct, count).map_err(DataDirError::io("write", &scratch.path))
}

fn measure(scratch: &Scratch, direct: libc::c_int, count: usize) -> io::Result<Vec<Duration>> {
    let file = scratch.open(direct)?;
    let zeros = AlignedBuffer::zeroed(1 << 20);
    for position in (0..BLOCKS * BLOCK_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, position)?;
    }
    file.sync_all()?;
    let file = scratch.open(direct | libc::O_DSYNC)?;
    let block = AlignedBuffer::zeroed(AlignedBuffer::ALIGNMENT);
    let positions = (0..BLOCKS).map(|block| block * BLOCK_BYTES).cycle().take(count);
    positions
        .map(|position| {
            let start = Instant::now();
            file.write_all_at(&block, position)?;
            Ok(start.elapsed())
        })
        .collect()
}

/// A file that is removed when this value is dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(directory: &Path, purpose: &str) -> Scratch {
        Scratch { path: directory.join(format!("{purpose}-{}.scratch", std::process::id())) }
    }

    fn open(&self, flags: libc::c_int) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).custom_flags(flags).open(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been created; and a leftover does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_out_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        supports_direct_io(directory.path()).expect("files can be created");
        let latencies = durable_write_latencies(directory.path(), 10).expect("room on the disk");
        assert_eq!(latencies.len(), 10);
        assert!(latencies.iter().all(|latency| !latency.is_zero()));
        assert_eq!(fs::read_dir(directory.path()).expect("it exists").count(), 0);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = supports_direct_io(Path::new("/nonexistent")).expect_err("nothing can be created there");
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
