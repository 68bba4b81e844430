//! Copying files durably, with their checksums, without getting in the way of a server.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_setfl};
use sha2::{Digest as _, Sha256};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::unfinished_file;

use super::error::AdminError;
use crate::fresh_file;

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// How long a job waits for one of its kind that is under way: longer than any takes that gets on.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(3600);

/// How often it looks whether that has ended.
const LOCK_LOOK: Duration = Duration::from_millis(100);

/// Pieces that are on their way from one file to the other.
const PIECES: usize = 8;

/// Copies files, at most at a given rate: one piece is read, another one summed up and a third one written at any time.
pub(super) struct Copier {
    pace: Pace,
    /// Told after each piece how many bytes were read.
    progress: Box<dyn FnMut(u64)>,
}

/// A part of a file.
struct Piece {
    buffer: AlignedBuffer,
    bytes: usize,
}

/// A file's length and checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Whom files belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

struct Pace {
    bytes_per_second: Option<u64>,
    began: Instant,
    bytes: u64,
}

impl Copier {
    /// A copier that reads at most `bytes_per_second`.
    pub(super) fn new(bytes_per_second: Option<u64>, progress: Box<dyn FnMut(u64)>) -> Copier {
        Copier { pace: Pace { bytes_per_second, began: Instant::now(), bytes: 0 }, progress }
    }

    /// Copies the first `limit` bytes of a file, all if it has fewer, to a new file that is durable when this returns.
    pub(super) fn copy(&mut self, from: &Path, to: &Path, limit: u64) -> Result<Digest, AdminError> {
        let failed = |source| AdminError::File { path: to.to_owned(), source };
        let target = OpenOptions::new().write(true).create_new(true).mode(0o640).open(to).map_err(failed)?;
        // Past the page cache, which is the server's. A file system that refuses that goes through it.
        let _ = fcntl_setfl(&target, OFlags::DIRECT);
        let mut end = 0;
        let digest = self.pass(from, limit, &mut |piece| {
            // A direct write is of whole blocks. What is too much is the last piece's, and cut off below.
            let whole = &piece.buffer[..piece.bytes.next_multiple_of(AlignedBuffer::ALIGNMENT)];
            target.write_all_at(whole, end).map_err(failed)?;
            end += piece.bytes as u64;
            Ok(())
        })?;
        target.set_len(digest.bytes).and_then(|()| target.sync_all()).map_err(failed)?;
        forget(&target);
        Ok(digest)
    }

    /// Reads all of a file.
    pub(super) fn digest(&mut self, path: &Path) -> Result<Digest, AdminError> {
        self.pass(path, u64::MAX, &mut |_| Ok(()))
    }

    /// Reads a file and passes its pieces on to be written, in order.
    fn pass(
        &mut self,
        from: &Path,
        limit: u64,
        write: &mut (dyn FnMut(&Piece) -> Result<(), AdminError> + Send),
    ) -> Result<Digest, AdminError> {
        let failed = |source| AdminError::File { path: from.to_owned(), source };
        let file = &open_direct(from).map_err(failed)?;
        let digest = thread::scope(|scope| {
            let (give_back, empty) = sync_channel(PIECES);
            let (read, pieces) = sync_channel(PIECES);
            let (summed_up, to_write) = sync_channel::<Piece>(PIECES);
            let reader = scope.spawn(move || read_pieces(file, limit, &empty, &read));
            let writer = scope.spawn(move || -> Result<(), AdminError> {
                for piece in to_write {
                    write(&piece)?;
                    // All have been read if nobody wants it back.
                    let _ = give_back.send(piece.buffer);
                }
                Ok(())
            });
            let (mut hasher, mut bytes) = (Sha256::new(), 0);
            for piece in pieces {
                hasher.update(&piece.buffer[..piece.bytes]);
                bytes += piece.bytes as u64;
                (self.progress)(piece.bytes as u64);
                self.pace.wait(piece.bytes as u64);
                // Where writing has failed, it says so below.
                if summed_up.send(piece).is_err() {
                    break;
                }
            }
            drop(summed_up);
            writer.join().expect("it does not panic")?;
            reader.join().expect("it does not panic").map_err(failed)?;
            Ok::<_, AdminError>(Digest { bytes, sha256: hex::encode(hasher.finalize()) })
        })?;
        forget(file);
        Ok(digest)
    }
}

/// Reads the first `limit` bytes of a file, as long as somebody takes the pieces.
fn read_pieces(
    file: &File,
    limit: u64,
    empty: &Receiver<AlignedBuffer>,
    read: &SyncSender<Piece>,
) -> io::Result<()> {
    let (mut offset, mut made) = (0, 0);
    while offset < limit {
        let given_back = if made < PIECES { empty.try_recv().ok() } else { empty.recv().ok() };
        let mut buffer = match given_back {
            Some(buffer) => buffer,
            None if made < PIECES => {
                made += 1;
                AlignedBuffer::zeroed(PIECE_BYTES)
            }
            // Who would write has failed.
            None => return Ok(()),
        };
        let bytes = loop {
            match file.read_at(&mut buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                bytes => break bytes?,
            }
        };
        let wanted = (bytes as u64).min(limit - offset) as usize;
        offset += wanted as u64;
        // Only the end of a file ends a direct read off a block's boundary.
        let is_last = !bytes.is_multiple_of(AlignedBuffer::ALIGNMENT) || bytes == 0;
        if wanted > 0 && read.send(Piece { buffer, bytes: wanted }).is_err() || is_last {
            return Ok(());
        }
    }
    Ok(())
}

impl Pace {
    /// Waits until `bytes` more are due.
    fn wait(&mut self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        self.bytes += bytes;
        let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}

impl Owner {
    /// Whom the nearest existing directory at or above `path` belongs to.
    pub(super) fn of(path: &Path) -> io::Result<Owner> {
        let path = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let metadata = fs::metadata(path)?;
        Ok(Owner { uid: metadata.uid(), gid: metadata.gid() })
    }

    /// Gives a file or directory to this owner, if it is not theirs already. Where a link has taken its place, it is the link that is given away.
    pub(super) fn take(self, path: &Path) -> Result<(), AdminError> {
        let failed = |source| AdminError::File { path: path.to_owned(), source };
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        if (metadata.uid(), metadata.gid()) == (self.uid, self.gid) {
            return Ok(());
        }
        lchown(path, Some(self.uid), Some(self.gid)).map_err(failed)
    }
}

/// Keeps a second process from the same work, as long as the file lives: `work` says what that is. Where another one does it already, its end is
/// waited for, up to `patience`.
pub(super) fn lock_alone(path: &Path, work: &str, patience: Duration) -> Result<File, AdminError> {
    let failed = |source| AdminError::File { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o640).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path).map_err(failed)?;
    let reason = format!("{work} is under way in another process, which has locked {}", path.display());
    wait_for(&reason, patience, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    })?;
    Ok(file)
}

/// Asks for something again and again until it is given, but for no longer than `patience`. `reason` says why it may not be.
pub(super) fn wait_for<T>(
    reason: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, AdminError>,
) -> Result<T, AdminError> {
    let (began, limit) = (Instant::now(), patience.as_secs());
    let mut has_told = false;
    loop {
        if let Some(given) = ask()? {
            return Ok(given);
        }
        if began.elapsed() >= patience {
            return Err(AdminError::Failed(format!("{reason}; it has not ended within {limit} s")));
        }
        if !std::mem::replace(&mut has_told, true) {
            eprintln!("stemedb-admin: {reason}; waiting for its end, up to {limit} s");
        }
        thread::sleep(LOCK_LOOK);
    }
}

/// Opens a file to be read past the page cache, which is the server's, or, on a file system that refuses that, through it.
fn open_direct(path: &Path) -> io::Result<File> {
    match OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => File::open(path),
        opened => opened,
    }
}

/// The first `count` bytes of a file.
pub(super) fn beginning(path: &Path, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    File::open(path)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes a small file durably, in place of one of this name: whole or not at all.
pub(super) fn write_whole(path: &Path, text: &str, mode: u32) -> Result<(), AdminError> {
    let replaced = fresh_file::replace(path, text, mode);
    replaced.map_err(|source| AdminError::File { path: path.to_owned(), source })?;
    sync_directory(above(path))
}

/// Makes a directory if it is not there, durably, but not those above it: where one of them is missing, a disk may not be mounted.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), AdminError> {
    let failed = |reason: &str| AdminError::Failed(format!("cannot make the directory {path:?}: {reason}"));
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(failed("the one above it is not there; is its disk mounted?"))
        }
        Err(error) => Err(failed(&error.to_string())),
        Ok(()) => sync_directory(above(path)),
    }
}

/// The directory that has the name of a path: where that is a name alone, the one in which this process runs.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), AdminError> {
    unfinished_file::sync_directory(directory)
        .map_err(|source| AdminError::File { path: directory.to_owned(), source })
}

/// Bytes that can still be written by whoever asks, on the file system of the nearest existing directory.
pub(super) fn bytes_free(path: &Path) -> Result<u64, AdminError> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(existing)
        .map_err(|error| AdminError::File { path: existing.to_owned(), source: error.into() })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Lets go of what the page cache holds of a file that nobody will read again soon. Only advice: nothing depends on it.
fn forget(file: &File) {
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_copy_has_the_bytes_and_the_checksum_of_its_original() {
        let root = tempfile::tempdir().expect("a directory");
        let (from, to) = (root.path().join("a"), root.path().join("b"));
        fs::write(&from, "abcdef").expect("writable");
        let mut copier = Copier::new(None, Box::new(|_| {}));
        let digest = copier.copy(&from, &to, 3).expect("readable");
        // The test vector of FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest, Digest { bytes: 3, sha256: abc.to_owned() });
        assert_eq!(fs::read(&to).expect("it was made"), b"abc");
        assert_eq!(copier.digest(&to).expect("readable"), digest);
        let error = copier.copy(&from, &to, 3).expect_err("it is there");
        assert!(error.to_string().contains("/b: "), "{error}");
    }

    #[test]
    fn a_copier_keeps_to_its_rate() {
        let root = tempfile::tempdir().expect("a directory");
        let from = root.path().join("a");
        fs::write(&from, vec![7; 3 * PIECE_BYTES]).expect("writable");
        let began = Instant::now();
        let mut copier = Copier::new(Some(30 * PIECE_BYTES as u64), Box::new(|_| {}));
        copier.digest(&from).expect("readable");
        assert!(began.elapsed() >= Duration::from_millis(95), "{:?}", began.elapsed());
    }

    /// Goal: the second of two jobs waits for the first, but not for ever. Method: one lock is held, and let go of while another waits.
    #[test]
    fn a_lock_is_waited_for_and_not_for_ever() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join(".lock");
        let first = lock_alone(&path, "a job", Duration::ZERO).expect("nobody has it");
        let error = lock_alone(&path, "a job", Duration::from_millis(1)).expect_err("it is not let go of");
        assert!(
            error.to_string().contains("a job is under way") && error.to_string().contains("/.lock"),
            "{error}"
        );
        thread::scope(|scope| {
            let second = scope.spawn(|| lock_alone(&path, "a job", Duration::from_secs(600)).map(drop));
            drop(first);
            second.join().expect("it does not panic").expect("it gets its turn");
        });
    }

    /// Goal: whoever may write to a directory cannot have root write to a file of others. Method: links lie where a file is written, and where
    /// one is locked.
    #[test]
    fn links_that_lie_in_wait_are_not_followed() {
        let root = tempfile::tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name);
        fs::write(path("of another"), "untouched").expect("writable");
        for name in ["report.new", "report.txt"] {
            symlink(path("of another"), path(name)).expect("its name is free");
        }
        write_whole(&path("report.txt"), "ours", 0o640).expect("writable");
        assert_eq!(fs::read(path("report.txt")).expect("it was written"), b"ours");
        assert!(fs::symlink_metadata(path("report.txt")).expect("it was written").is_file());
        assert_eq!(fs::read(path("of another")).expect("it is there"), b"untouched");
        symlink(path("nothing"), path(".lock")).expect("its name is free");
        lock_alone(&path(".lock"), "a job", Duration::ZERO).expect_err("it is a link");
        assert!(!path("nothing").exists());
    }
}
