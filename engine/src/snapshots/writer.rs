//! Writing a snapshot that comes in pieces, from several cores at once.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::{Part, PartSink, SnapshotNumber, SnapshotStorage, WholeSnapshot};
use crate::planted::{self, Bug};
use crate::slot::SLOTS;

/// About how many bytes a piece of a part has.
pub const PIECE_BYTES: usize = 256 << 10;

/// Stands for the directory in messages about all of it.
const ANY: Part = Part { number: SnapshotNumber::FIRST, slots: 0..SLOTS };

/// A piece of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is the last one.
    pub is_last: bool,
}

/// How far a snapshot is after a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// More is to come.
    Partly,
    /// All parts are durable and have their names, and no older snapshot is there any more.
    Whole {
        /// Bytes of their files.
        bytes: u64,
    },
}

/// What a snapshot may take of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRoom {
    /// About how many bytes it will have. It is not begun where there is no room for them.
    pub expected_bytes: u64,
    /// How many bytes it leaves free, for the log, however many it turns out to have.
    pub spare_bytes: u64,
}

/// Why a snapshot cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It would take what the log needs.
    #[error("{free} bytes are free beside {}, and it takes about {needed}, and {spare} are left for the log", .path.display())]
    NoRoom {
        /// Where it was to be.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that were to be written.
        needed: u64,
        /// Bytes that must stay free.
        spare: u64,
    },
    /// Something could not be done.
    #[error("cannot {action} {}: {source}", .path.display())]
    Failed {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A snapshot that is being written. Dropped before it is whole, it leaves nothing that counts: parts that have their names
/// already are removed when [somebody asks for it](keep_newest), when the next one begins, or at the next start.
pub struct SnapshotWriter {
    number: SnapshotNumber,
    parts: Vec<Writing>,
    spare_bytes: u64,
    /// Bytes of the pieces so far.
    taken_bytes: u64,
    /// Bytes of the files that are finished.
    bytes: u64,
}

struct Writing {
    part: Part,
    /// None when the part is finished.
    sink: Option<Box<dyn PartSink>>,
}

impl SnapshotWriter {
    /// Begins a snapshot of cores that own these slots, all of them together. Of other snapshots only the newest whole one stays.
    ///
    /// # Errors
    ///
    /// When something cannot be removed or made, or there is no room for it.
    pub fn begin(
        storage: &dyn SnapshotStorage,
        slots: &[Range<u16>],
        room: SnapshotRoom,
    ) -> Result<SnapshotWriter, WriteError> {
        let SnapshotRoom { expected_bytes, spare_bytes } = room;
        let last = keep_newest(storage)?;
        if planted::is(Bug::RemoveSnapshotsTooEarly) {
            keep_only(storage, None)?;
        }
        check_room(storage, &ANY, expected_bytes, spare_bytes)?;
        let number = last.map_or(SnapshotNumber::FIRST, SnapshotNumber::next);
        let begin = |slots: &Range<u16>| {
            let part = Part { number, slots: slots.clone() };
            let sink = storage.create(&part).map_err(failed("create", storage, &part))?;
            Ok(Writing { part, sink: Some(sink) })
        };
        let parts = slots.iter().map(begin).collect::<Result<_, WriteError>>()?;
        Ok(SnapshotWriter { number, parts, spare_bytes, taken_bytes: 0, bytes: 0 })
    }

    /// How many bytes of pieces it has taken.
    pub fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Which snapshot it is.
    pub fn number(&self) -> SnapshotNumber {
        self.number
    }

    /// Takes the next piece of the part of `core`.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or there is no room for it. Then the snapshot cannot become whole any more.
    ///
    /// # Panics
    ///
    /// When the core's last piece was there already.
    pub fn write(
        &mut self,
        storage: &dyn SnapshotStorage,
        core: usize,
        piece: &Piece,
    ) -> Result<Written, WriteError> {
        let Writing { part, sink } = &mut self.parts[core];
        let writing = sink.as_mut().expect("no piece follows the last one");
        let bytes = piece.bytes.len() as u64;
        check_room(storage, part, bytes, self.spare_bytes)?;
        writing.append(&piece.bytes).map_err(failed("write", storage, part))?;
        self.taken_bytes += bytes;
        if piece.is_last {
            let sink = sink.take().expect("it was there just now");
            self.bytes += sink.finish().map_err(failed("finish", storage, part))?;
        }
        if self.parts.iter().any(|writing| writing.sink.is_some()) {
            return Ok(Written::Partly);
        }
        keep_newest(storage)?;
        Ok(Written::Whole { bytes: self.bytes })
    }
}

/// Removes all but the snapshot of this number, which is durable before anything goes.
///
/// # Errors
///
/// When something cannot be listed, synchronised or removed.
pub fn keep_only(storage: &dyn SnapshotStorage, kept: Option<SnapshotNumber>) -> Result<(), WriteError> {
    storage.remove_unfinished().map_err(failed("tidy up beside", storage, &ANY))?;
    let parts = storage.list().map_err(failed("list what is beside", storage, &ANY))?;
    if kept.is_some() {
        storage.sync().map_err(failed("synchronise what is beside", storage, &ANY))?;
    }
    for part in parts.iter().filter(|part| Some(part.number) != kept) {
        storage.remove(part).map_err(failed("remove", storage, part))?;
    }
    Ok(())
}

/// Removes all but the newest whole snapshot, which is durable before anything goes, and answers which that is.
///
/// # Errors
///
/// When something cannot be listed, synchronised or removed.
pub fn keep_newest(storage: &dyn SnapshotStorage) -> Result<Option<SnapshotNumber>, WriteError> {
    let parts = storage.list().map_err(failed("list what is beside", storage, &ANY))?;
    let newest = WholeSnapshot::newest(&parts).map(|whole| whole.number);
    keep_only(storage, newest)?;
    Ok(newest)
}

/// Refuses to write `needed` bytes of a part where less than that and `spare` is free.
fn check_room(storage: &dyn SnapshotStorage, part: &Part, needed: u64, spare: u64) -> Result<(), WriteError> {
    let free = storage.free_bytes().map_err(failed("look for room beside", storage, part))?;
    if free < needed.saturating_add(spare) {
        return Err(WriteError::NoRoom { path: storage.path(part), free, needed, spare });
    }
    Ok(())
}

fn failed(
    action: &'static str,
    storage: &dyn SnapshotStorage,
    part: &Part,
) -> impl FnOnce(io::Error) -> WriteError {
    let path = storage.path(part);
    move |source| WriteError::Failed { action, path, source }
}
