//! A log whose segments are read from where they lie: in a directory that a server writes to, or in several that each have a
//! part of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::recovery::capture::{Capture, CapturedSegment, capture};
use stemedb_engine::log::recovery::cut::Cut;
use stemedb_engine::log::recovery::recover_after;
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::storage::{DirStorage, LogStorage, SegmentFile};
use stemedb_engine::time::UnixMicros;

use super::backup::Backup;
use super::error::AdminError;
use super::files::beginning;
use super::tables::{manifest_for, manifest_in};

/// Segments of one log that lie in several directories, each the longest copy that there is.
#[derive(Debug)]
pub(super) struct LogSource {
    segments: BTreeMap<SegmentId, Part>,
    /// What the tables hold that belong to it; of that there are no segments.
    manifest: Manifest,
}

/// What a directory has beyond a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    /// It is added now: there may be nothing of it.
    Added,
    /// Nothing that can be told.
    None,
    /// It has more of this log, but not what comes next: that has gone into tables.
    Gap,
    /// It is another log, which goes its own way since this time.
    OtherSince(UnixMicros),
}

/// A segment.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// How much of the file belongs to the log.
    pub(super) bytes: u64,
}

impl LogSource {
    /// The log of a backup.
    pub(super) fn of_backup(backup: &Backup) -> Result<LogSource, AdminError> {
        let wal = backup.directory.join("wal");
        let files =
            DirStorage::new(&wal).list().map_err(|source| AdminError::File { path: wal.clone(), source })?;
        let part =
            |file: SegmentFile| (file.id, Part { path: wal.join(file.id.to_string()), bytes: file.bytes });
        let manifest = manifest_in(&backup.directory.join("db"))?;
        Ok(LogSource { segments: files.into_iter().map(part).collect(), manifest })
    }

    /// What was captured of the log in a directory, which is held.
    pub(super) fn of_capture(directory: &Path, captured: &Capture) -> LogSource {
        let part = |segment: &CapturedSegment| {
            let path = directory.join(segment.id().to_string());
            (segment.id(), Part { path, bytes: segment.bytes })
        };
        let segments = captured.segments.iter().map(part).collect();
        LogSource { segments, manifest: Manifest::empty() }
    }

    /// Adds what the log in `directory` has beyond this one, if it is the same log: every segment that both have begins
    /// with the same header, which no two segments have. Another log, a damaged one or none adds nothing, and it is told why.
    pub(super) fn extend(&mut self, directory: &Path, db: &Path) -> Result<Extension, AdminError> {
        if !directory.is_dir() {
            return Ok(Extension::None);
        }
        let storage = DirStorage::new(directory);
        let covered = manifest_for(directory, db)?.covered;
        // What their tables cover and ours do not is in the log only if it was kept for the archive.
        let whole = capture(&storage, &self.manifest.covered);
        let is_gap = whole.is_err();
        let captured = match whole.or_else(|_| capture(&storage, &covered)) {
            Ok(captured) => captured,
            Err(error) => {
                let reason = AdminError::Log(error);
                eprintln!("stemedb-admin: the log in {} is not used: {reason}", directory.display());
                return Ok(Extension::None);
            }
        };
        let mut more = BTreeMap::new();
        let mut others_since: Option<UnixMicros> = None;
        let mut note =
            |since: UnixMicros| others_since = Some(others_since.map_or(since, |it| it.min(since)));
        for covered in covered.ends.iter().filter(|_| is_gap) {
            let id = SegmentId { lane: covered.end.lane, number: covered.end.segment };
            let next = SegmentId { number: id.number.next(), ..id };
            let their_next = captured.segments.iter().find(|segment| segment.id() == next);
            let seal_is_due = their_next.is_some_and(|it| it.header.generation == covered.end.generation);
            let their_end = covered.end.end_offset + if seal_is_due { BLOCK_BYTES as u64 } else { 0 };
            if self.segments.get(&id).is_some_and(|part| part.bytes > their_end) {
                // Of a segment that has gone into their tables this log has more than they do.
                note(their_next.map_or(UnixMicros(i64::MAX), |their_next| their_next.header.created));
            }
        }
        for segment in &captured.segments {
            let path = directory.join(segment.id().to_string());
            let Some(part) = self.segments.get(&segment.id()) else {
                more.insert(segment.id(), Part { path, bytes: segment.bytes });
                continue;
            };
            let next = SegmentId { number: segment.id().number.next(), ..segment.id() };
            let their_next = captured.segments.iter().find(|segment| segment.id() == next);
            if !is_same(&part.path, &path)? {
                note(segment.header.created);
            } else if let Some(their_next) = their_next.filter(|_| part.bytes > segment.bytes) {
                // They went on from a place before which this log ends.
                note(their_next.header.created);
            } else if segment.bytes > part.bytes && self.segments.contains_key(&next) {
                // And here it is the other way round: what they have beyond was given up before this log went on.
                note(UnixMicros(i64::MAX));
            } else if segment.bytes > part.bytes {
                more.insert(segment.id(), Part { path, bytes: segment.bytes });
            }
        }
        Ok(match others_since {
            Some(since) => Extension::OtherSince(since),
            None if is_gap => Extension::Gap,
            None => {
                self.segments.extend(more);
                Extension::Added
            }
        })
    }

    /// Adds all segments in `directory`, which go on where these end or are longer copies of them; none if this log goes on in another way,
    /// and then it is told since when.
    pub(super) fn extend_by_pieces(&mut self, directory: &Path) -> Result<Extension, AdminError> {
        let failed = |source| AdminError::File { path: directory.to_owned(), source };
        let (mut more, mut other_since) = (BTreeMap::new(), None::<UnixMicros>);
        for SegmentFile { id, bytes } in DirStorage::new(directory).list().map_err(failed)? {
            if self.manifest.covered.contains(id) {
                continue;
            }
            let path = directory.join(id.to_string());
            let next = self.segments.get(&SegmentId { number: id.number.next(), ..id });
            let other = match self.segments.get(&id) {
                Some(part) if !is_same(&part.path, &path)? => Some(part),
                Some(part) if part.bytes >= bytes => continue,
                // This log went on from before where the archived segment ends.
                Some(_) => next,
                None => None,
            };
            if let Some(other) = other {
                let since = created(&other.path)?;
                other_since = Some(other_since.map_or(since, |it| it.min(since)));
            }
            more.insert(id, Part { path, bytes });
        }
        if let Some(since) = other_since {
            return Ok(Extension::OtherSince(since));
        }
        self.segments.extend(more);
        Ok(Extension::Added)
    }

    /// What is left of it when it is cut.
    pub(super) fn cut_back(&self, cut: &Cut) -> LogSource {
        let mut segments = self.segments.clone();
        segments.retain(|id, _| !cut.dropped.contains(id));
        for shortened in &cut.shortened {
            if let Some(part) = segments.get_mut(&shortened.segment) {
                part.bytes = part.bytes.min(shortened.end_offset);
            }
        }
        let files: Vec<_> =
            segments.iter().map(|(&id, part)| SegmentFile { id, bytes: part.bytes }).collect();
        let mut manifest = self.manifest.clone();
        // What went on behind the tables may have been dropped.
        manifest.covered = manifest.covered.of_copy(&files);
        LogSource { segments, manifest }
    }

    /// Checks that it is a sound log.
    pub(super) fn check(&self) -> Result<(), AdminError> {
        recover_after(self, &self.manifest.covered, &mut |_| Ok(())).map(drop).map_err(AdminError::Log)
    }

    /// The tables that belong to it.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// When the newest of its segments was begun.
    pub(super) fn newest_begun(&self) -> Result<UnixMicros, AdminError> {
        let mut begun = self.segments.values().map(|part| created(&part.path));
        begun.try_fold(UnixMicros(i64::MIN), |newest, begun| Ok(newest.max(begun?)))
    }

    /// Its segments, by lane and number.
    pub(super) fn segments(&self) -> impl Iterator<Item = (SegmentId, &Part)> {
        self.segments.iter().map(|(&id, part)| (id, part))
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|part| part.bytes).sum()
    }

    fn part(&self, segment: SegmentId) -> io::Result<&Part> {
        self.segments.get(&segment).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl LogStorage for LogSource {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        Ok(self.segments.iter().map(|(&id, part)| SegmentFile { id, bytes: part.bytes }).collect())
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let part = self.part(segment)?;
        let wanted = part.bytes.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let directory = part.path.parent().expect("a segment is in a directory");
        let read = DirStorage::new(directory).read(segment, offset, &mut buffer[..wanted])?;
        Ok(read.min(wanted))
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.segments
            .get(&segment)
            .map_or_else(|| PathBuf::from(segment.to_string()), |part| part.path.clone())
    }
}

/// When a segment was begun.
fn created(path: &Path) -> Result<UnixMicros, AdminError> {
    let block =
        beginning(path, BLOCK_BYTES).map_err(|source| AdminError::File { path: path.to_owned(), source })?;
    let decoded = SegmentHeader::decode(&block);
    let (header, _) = decoded.map_err(|error| AdminError::Failed(format!("{}: {error}", path.display())))?;
    Ok(header.created)
}

/// Whether two files begin with the same header.
fn is_same(one: &Path, other: &Path) -> Result<bool, AdminError> {
    let header = |path: &Path| {
        beginning(path, BLOCK_BYTES).map_err(|source| AdminError::File { path: path.to_owned(), source })
    };
    Ok(header(one)? == header(other)?)
}
