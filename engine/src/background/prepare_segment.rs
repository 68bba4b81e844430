//! Preparing a segment file: all its blocks allocated, written and durable before it gets its name.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::io::{DmaFile, OpenOptions};
use glommio::timer::Timer;

use super::executor::ALIGNMENT;
use super::{BackgroundError, LaneProgress, Shared};
use crate::removal::remove_gradually;

/// A single I/O as long as the preparation keeps up with the lane: not much more than the lane's own writes.
const UNHURRIED_BYTES: u64 = 64 << 10;

/// A single I/O when it has fallen behind by [`BEHIND_BYTES`]: large, for it is now about bandwidth.
const HURRIED_BYTES: u64 = 1 << 20;

/// How far behind what is due the preparation may be before it hurries.
const BEHIND_BYTES: u64 = 256 << 10;

/// How long the preparation rests when it is far enough ahead of the lane.
const REST: Duration = Duration::from_millis(1);

/// A segment file to prepare.
///
/// Until it is complete it is called `<path>.prepare`; what is left of an earlier attempt under that name is replaced.
/// Then it is renamed to `path`, which must not exist. Its blocks are *written* with zeros, not only allocated: the
/// first write to a block that was never written costs the file system a transaction.
#[derive(Debug, Clone)]
pub struct PrepareSegment {
    path: PathBuf,
    bytes: u64,
    lane: LaneProgress,
}

impl PrepareSegment {
    /// The file `path`, in an existing directory, of `bytes` zeros: a multiple of 4096, not 0. It is prepared ahead of
    /// `lane`, so that the disk is there for what the lane writes.
    pub fn new(path: PathBuf, bytes: u64, lane: LaneProgress) -> PrepareSegment {
        assert!(bytes > 0 && bytes.is_multiple_of(ALIGNMENT as u64), "a segment of {bytes} bytes");
        assert!(path.file_name().is_some(), "a segment without a name: {}", path.display());
        PrepareSegment { path, bytes, lane }
    }

    /// The directory of the file.
    pub(super) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// What the file is called until it is complete.
    fn path_meanwhile(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".prepare");
        PathBuf::from(name)
    }
}

/// Prepares a segment file, on an executor. On failure nothing is left behind.
pub(super) async fn prepare(segment: PrepareSegment, shared: Arc<Shared>) -> Result<(), BackgroundError> {
    let meanwhile = segment.path_meanwhile();
    let left = meanwhile.clone();
    // Removing, renaming and syncing a directory block, so glommio's own thread does it.
    let outcome = match glommio::executor().spawn_blocking(move || remove_if_there(&left)).await {
        Ok(()) => write_zeros(&meanwhile, &segment, &shared).await,
        Err(error) => Err(error),
    };
    glommio::executor()
        .spawn_blocking(move || {
            let outcome = outcome.and_then(|()| publish(&segment, &meanwhile));
            if outcome.is_err() {
                // The first failure is what is told. A file that stays behind is replaced by the next attempt.
                let _ = remove_if_there(&meanwhile);
            }
            outcome
        })
        .await
}

/// Creates the file and makes the zeros in it durable.
async fn write_zeros(path: &Path, segment: &PrepareSegment, shared: &Shared) -> Result<(), BackgroundError> {
    // Write-only: see the executor's module on what opening does.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .dma_open(path)
        .await
        .map_err(BackgroundError::glommio("create", path))?;
    let written = fill(&file, path, segment, shared).await;
    let closed = file.close().await.map_err(BackgroundError::glommio("close", path));
    written.and(closed)
}

async fn fill(
    file: &DmaFile,
    path: &Path,
    segment: &PrepareSegment,
    shared: &Shared,
) -> Result<(), BackgroundError> {
    let PrepareSegment { bytes, lane, .. } = segment;
    let began = Instant::now();
    // Long extents, and a full disk shows before anything is written.
    file.pre_allocate(*bytes, false).await.map_err(BackgroundError::glommio("allocate space for", path))?;
    let zeros = |bytes: u64| {
        let mut buffer = file.alloc_dma_buffer(bytes as usize);
        buffer.as_bytes_mut().fill(0);
        Rc::new(buffer)
    };
    let (hurried, unhurried) = (zeros(HURRIED_BYTES.min(*bytes)), zeros(UNHURRIED_BYTES.min(*bytes)));
    let mut position = 0;
    while position < *bytes {
        if shared.queue.is_stopping() {
            return Err(BackgroundError::Stopped);
        }
        let due = lane.bytes_due(began.elapsed());
        if position >= due {
            Timer::new(REST).await;
            continue;
        }
        let piece = if due - position >= BEHIND_BYTES { &hurried } else { &unhurried };
        let left = bytes - position;
        let piece = if left < piece.len() as u64 { zeros(left) } else { Rc::clone(piece) };
        let piece_bytes = piece.len();
        let written = file
            .write_rc_at(piece, position)
            .await
            .map_err(BackgroundError::glommio("write zeros to", path))?;
        if written != piece_bytes {
            let short = io::Error::other(format!("only {written} of {piece_bytes} bytes at {position}"));
            return Err(BackgroundError::io("write zeros to", path)(short));
        }
        position += written as u64;
    }
    file.fdatasync().await.map_err(BackgroundError::glommio("sync", path))
}

/// Gives the complete file its name, durably. Blocks.
fn publish(segment: &PrepareSegment, meanwhile: &Path) -> Result<(), BackgroundError> {
    let path = &segment.path;
    rename_to_new(meanwhile, path).map_err(BackgroundError::io("rename the prepared segment to", path))?;
    let directory = segment.directory();
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        // Nobody has been told of it, and the next attempt needs its name.
        let _ = remove_if_there(path);
        return Err(BackgroundError::io("sync the directory", directory)(error));
    }
    Ok(())
}

/// Renames a file to a name that must be free: a segment is never replaced.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    let c_path = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both are strings that end with a zero byte and live through the call, which only reads them.
    let renamed = unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::RENAME_NOREPLACE)
    };
    if renamed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn remove_if_there(path: &Path) -> Result<(), BackgroundError> {
    match remove_gradually(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackgroundError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
