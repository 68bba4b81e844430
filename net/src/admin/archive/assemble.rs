//! Makes segments of archived pieces again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::segment::SegmentHeader;
use stemedb_engine::time::UnixMicros;

use super::{ArchiveNote, ArchivedLane, newest_first, note_keys, part};
use crate::admin::backup::Backup;
use crate::admin::error::AdminError;
use crate::admin::files::beginning;
use crate::admin::log_source::LogSource;
use crate::admin::moment;
use crate::admin::store::{Hashed, Store, failed};
use crate::admin::tables::manifest_in;

/// What an archive has beyond a backup.
pub(in crate::admin) struct Assembled {
    /// Whether it has anything.
    pub(in crate::admin) has_pieces: bool,
    /// Whether it has all that was acknowledged before the moment.
    pub(in crate::admin) has_moment: bool,
    /// Why it has not, where more of the log was archived after the moment.
    pub(in crate::admin) gap: Option<Gap>,
}

/// A part of a log that is not archived.
#[derive(Debug, thiserror::Error)]
#[error(
    "the archive has a gap there: it has all that was acknowledged before {since}, and goes on with {next} after that moment. Take a \
     backup of the time between with --backup-id, or go back to {since} with --target-time"
)]
pub(in crate::admin) struct Gap {
    /// All before this time is.
    since: String,
    /// The object that begins behind it.
    next: String,
}

/// The objects that lead to a moment, oldest first.
struct Chain {
    notes: Vec<ArchiveNote>,
    has_moment: bool,
    gap: Option<Gap>,
}

/// Puts into `directory` what the archive has beyond `backup`, up to the first object that was made after `until` or to its end: whole
/// segments, for which the backup may have the beginnings. `has_room` is asked first whether there is room for so many bytes.
pub(in crate::admin) fn assemble(
    store: &Store,
    backup: &Backup,
    until: Option<UnixMicros>,
    directory: &Path,
    has_room: &dyn Fn(u64) -> Result<(), AdminError>,
) -> Result<Assembled, AdminError> {
    let covered = manifest_in(&backup.directory.join("db"))?.covered;
    let Chain { notes, has_moment, gap } = chain(store, backup, &covered, until)?;
    has_room(notes.iter().flat_map(|note| &note.parts).map(|part| part.bytes).sum())?;
    // What is in the tables was begun before what lies behind them, and before the backup; of the two the later, as clocks are set back.
    let in_tables_until =
        LogSource::of_backup(backup)?.newest_begun()?.max(moment::parse(&backup.metadata.timestamp)?);
    for note in &notes {
        unpack(store, note, backup, &covered, in_tables_until, directory)?;
    }
    Ok(Assembled { has_pieces: !notes.is_empty(), has_moment, gap })
}

fn chain(
    store: &Store,
    backup: &Backup,
    covered: &Covered,
    until: Option<UnixMicros>,
) -> Result<Chain, AdminError> {
    let (mut last, mut gap) = (None::<ArchiveNote>, None);
    let keys = note_keys(store)?;
    if keys.is_empty() {
        eprintln!("stemedb-admin: nothing is archived in {}", store.name());
    }
    for note in newest_first(store, &keys) {
        let note = note?;
        if is_after(&note.timestamp, until) {
            last = Some(note);
            continue;
        }
        // The log that was current at the moment counts, not one that another restore began later.
        last = match last {
            Some(last) if last.chain == note.chain || !is_after(&last.begun, until) => Some(last),
            Some(later) => {
                gap = Some(Gap { since: note.timestamp.clone(), next: later.object });
                Some(note)
            }
            None => Some(note),
        };
        break;
    }
    // A run archives all that was acknowledged before it began.
    let begun = last.as_ref().and_then(|last| moment::parse(&last.timestamp).ok());
    let has_moment = begun.is_some_and(|begun| until.is_none_or(|until| until <= begun));
    let taken = moment::parse(&backup.metadata.timestamp)?;
    let mut notes = Vec::new();
    let mut next = last;
    while let Some(note) = next {
        // Later, the log may be another one, with segments of its own that have these numbers.
        let is_older = moment::parse(&note.timestamp)? <= taken;
        let is_covered = |lane: &ArchivedLane| is_older && covered.contains(lane.id());
        if note.reach.iter().all(|lane| is_covered(lane) || has(backup, lane)) {
            break;
        }
        let previous = note.previous.as_deref().map(ArchiveNote::key);
        // Old objects may have been removed. Whether the others go on where the backup ends shows when they are read, unless the log goes its
        // own way only since the backup: then all of it would be needed.
        let is_removed = previous.as_ref().is_some_and(|key| !keys.contains(key));
        if is_removed && moment::parse(&note.begun)? > taken {
            return Err(beginning_removed(backup, &note));
        }
        next = previous.filter(|_| !is_removed).map(|key| ArchiveNote::read(store, &key)).transpose()?;
        notes.push(note);
    }
    notes.reverse();
    Ok(Chain { notes, has_moment, gap: gap.filter(|_| !has_moment) })
}

/// Whether a time is after the moment. No time is after the end.
fn is_after(time: &str, until: Option<UnixMicros>) -> bool {
    moment::parse(time).is_ok_and(|time| until.is_some_and(|until| time > until))
}

/// What was archived by `note` has a segment that was begun after the backup, and a number of one that the backup has in its tables.
fn other_log(backup: &Backup, note: &ArchiveNote) -> AdminError {
    AdminError::Failed(format!(
        "{} is of another log than the one that goes its own way since {}, as when a restore to an earlier moment lies between: both have \
         segments of their own with the same numbers. Take an older backup, or one of the time after that, with --backup-id",
        backup.metadata.backup_id, note.begun
    ))
}

/// The log goes its own way since after the backup, so that all of it is needed that was archived.
fn beginning_removed(backup: &Backup, first: &ArchiveNote) -> AdminError {
    AdminError::Failed(format!(
        "the log that goes its own way since {} was archived from {} on, of which the archive has nothing before {} any more: from {}, which \
         is older, there is no way to the moment. Take a backup of the time after that with --backup-id",
        first.begun, first.chain, first.object, backup.metadata.backup_id
    ))
}

/// Whether the backup has all of a lane that the archive had, of the same log.
fn has(backup: &Backup, lane: &ArchivedLane) -> bool {
    let own = backup.metadata.lanes.iter().find(|own| own.lane == lane.lane);
    let id = lane.id();
    own.is_some_and(|own| (own.segment, own.end) >= (lane.segment, lane.bytes))
        && beginning(&backup.directory.join("wal").join(id.to_string()), BLOCK_BYTES)
            .is_ok_and(|header| hex::encode(Sha256::digest(header)) == lane.header)
}

/// Unpacks an object, except for what is in the backup's tables. Fails if that is of another log: no segment in the tables was begun after
/// `in_tables_until`.
fn unpack(
    store: &Store,
    note: &ArchiveNote,
    backup: &Backup,
    covered: &Covered,
    in_tables_until: UnixMicros,
    directory: &Path,
) -> Result<(), AdminError> {
    let wrong = |reason: &str| failed(&store.name(), &note.object, reason);
    let read = |error: io::Error| wrong(&error.to_string());
    let decoder = zstd::Decoder::new(Hashed::new(store.read(&note.object)?)).map_err(read)?;
    let mut archive = tar::Archive::new(decoder);
    for entry in archive.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let name = entry.path().map_err(read)?.to_string_lossy().into_owned();
        let (segment, offset) = part::parse(&name).ok_or_else(|| wrong(&format!("it holds {name:?}")))?;
        if covered.contains(segment) {
            if offset == 0 && begun(&mut entry).map_err(read)? > in_tables_until {
                return Err(other_log(backup, note));
            }
            continue;
        }
        let path = directory.join(segment.to_string());
        let on_disk = |source| AdminError::File { path: path.clone(), source };
        if !path.exists() && offset > 0 {
            begin_from_backup(backup, &segment.to_string(), offset, &path)?;
        }
        let mut options = OpenOptions::new();
        let file =
            options.create(true).truncate(false).write(true).mode(0o640).open(&path).map_err(on_disk)?;
        let there = file.metadata().map_err(on_disk)?.len();
        if there < offset {
            return Err(wrong(&format!("{name} does not follow what came before, which ends at {there}")));
        }
        let mut target = io::BufWriter::with_capacity(1 << 20, OffsetWriter { file: &file, offset });
        io::copy(&mut entry, &mut target).map_err(read)?;
        io::Write::flush(&mut target).map_err(on_disk)?;
        file.sync_data().map_err(on_disk)?;
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(read)?;
    // What lies behind the compressed data is part of what the checksum is of.
    let mut hashed = rest.finish().into_inner();
    let mut end = Vec::new();
    hashed.read_to_end(&mut end).map_err(read)?;
    let (_, _, sha256) = hashed.into_parts();
    if sha256 != note.sha256 {
        return Err(AdminError::BackupDamaged {
            path: note.object.clone().into(),
            expected: note.sha256.clone(),
            actual: sha256,
            instead: None,
        });
    }
    Ok(())
}

/// When the segment was begun that begins with this piece.
fn begun(piece: &mut impl io::Read) -> io::Result<UnixMicros> {
    let mut block = [0; BLOCK_BYTES];
    piece.read_exact(&mut block)?;
    SegmentHeader::decode(&block).map(|(header, _)| header.created).map_err(io::Error::other)
}

/// Begins a segment with the bytes that the backup has of it.
fn begin_from_backup(backup: &Backup, segment: &str, bytes: u64, to: &Path) -> Result<(), AdminError> {
    let path = backup.directory.join("wal").join(segment);
    let from_backup = |source| AdminError::File { path: path.clone(), source };
    let mut source = File::open(&path).map_err(from_backup)?.take(bytes);
    let mut target =
        fs::File::create(to).map_err(|source| AdminError::File { path: to.to_owned(), source })?;
    io::copy(&mut source, &mut target).map(drop).map_err(from_backup)
}

/// Writes from an offset on.
struct OffsetWriter<'f> {
    file: &'f File,
    offset: u64,
}

impl io::Write for OffsetWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = std::os::unix::fs::FileExt::write_at(self.file, bytes, self.offset)?;
        self.offset += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
