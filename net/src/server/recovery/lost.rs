//! Segments of the log that are gone: telling which, and going on without them when an operator says so.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stemedb_engine::checkpoint::{DirManifest, GiveUp, Manifest, Store, give_up};
use stemedb_engine::log::generation::GenerationRecord;
use stemedb_engine::log::recovery::{LostSegments, RecoveryError, SegmentRange, find_lost};
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::snapshots::{DirSnapshots, keep_only};
use stemedb_engine::table::DirTables;
use stemedb_engine::time::UnixMicros;

use super::RebuildError;
use crate::server::metadata;
use crate::utc::format as rfc3339;

/// Segments that are gone, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost(LostSegments);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentRange { lane, first, last } = self.0.segments;
        match first == last {
            true => write!(f, "segment {first} of lane {}", lane.0)?,
            false => write!(f, "segments {first} to {last} of lane {}", lane.0)?,
        }
        let LostSegments { first_lsn, next_lsn, after, before, .. } = self.0;
        match (self.0.records(), next_lsn) {
            (Some(0), _) => write!(f, " (no records")?,
            (Some(count), Some(next)) => {
                write!(f, " ({count} records, {first_lsn} to {}", next.0.saturating_sub(1))?;
            }
            _ => write!(f, " (records from {first_lsn} on, nothing says how many")?,
        }
        if let Some(after) = after {
            write!(f, ", written after {}", rfc3339(after))?;
        }
        if let Some(before) = before {
            write!(f, ", written before {}", rfc3339(before))?;
        }
        f.write_str(")")
    }
}

/// What `--give-up-segments` takes.
pub(super) fn ranges(lost: &[Lost]) -> String {
    lost.iter().map(|lost| lost.0.segments.to_string()).collect::<Vec<_>>().join(",")
}

/// Says that the agreement is about something else, if there is one.
pub(super) fn agreed_instead(agreed: &[SegmentRange]) -> String {
    match agreed {
        [] => String::new(),
        _ => {
            let agreed: Vec<_> = agreed.iter().map(ToString::to_string).collect();
            format!(", which is not what STEMEDB_GIVE_UP_SEGMENTS names: {}", agreed.join(","))
        }
    }
}

/// What an operator has agreed to, and what is needed to do it.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    pub(crate) wal: PathBuf,
    pub(crate) db: PathBuf,
    pub(crate) segments: Vec<SegmentRange>,
    /// The latest generation that `metadata.json` knows of.
    pub(crate) latest: Option<GenerationRecord>,
    pub(crate) sort_bytes_max: usize,
    pub(crate) now: UnixMicros,
}

/// After a recovery that has missed a segment: goes on without all that are missing if that is agreed, so that the next recovery misses nothing.
///
/// # Errors
///
/// What is missing if it is not agreed, what else is wrong with the log if anything is, and what went wrong in the doing. Nothing on
/// disk was changed then that counts.
pub(crate) fn go_on_without(first: RecoveryError, agreement: &Agreement) -> Result<(), RebuildError> {
    let Agreement { wal, db, segments, latest, sort_bytes_max, now } = agreement;
    let store = Store {
        log: Box::new(DirStorage::new(wal)),
        tables: Box::new(DirTables::new(db)),
        manifest: Box::new(DirManifest::new(db)),
    };
    let manifest = Manifest::open(&*store.manifest, &*store.tables)?;
    let mut found = find_lost(&*store.log, &manifest.covered)?;
    found.sort_by_key(|lost| lost.segments);
    let missing: Vec<_> = found.iter().map(|lost| lost.segments).collect();
    let mut agreed = segments.clone();
    agreed.sort_unstable();
    if agreed != missing {
        let lost = found.into_iter().map(Lost).collect();
        return Err(RebuildError::Lost { first: Box::new(first), lost, agreed });
    }
    // They may have claims that are in no log and no table from now on.
    keep_only(&DirSnapshots::new(db), None)?;
    let plan = GiveUp { lost: &missing, latest: latest.as_ref(), sort_bytes_max: *sort_bytes_max, now: *now };
    let file = GivenUp::path(db);
    give_up(&store, &plan, &mut |lost| GivenUp::read(db)?.with(lost, *now).write(db))?;
    for lost in found.into_iter().map(Lost) {
        tracing::warn!("Given up for good, as was agreed: {lost}; {} keeps this in mind", file.display());
    }
    Ok(())
}

/// What was given up of a log, ever: `given-up.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct GivenUp {
    given_up: Vec<GivenUpSegments>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GivenUpSegments {
    time: String,
    lane: u16,
    first_segment: u64,
    last_segment: u64,
    first_record: u64,
    /// How many records, if that is known.
    records: Option<u64>,
    written_after: Option<String>,
    written_before: Option<String>,
}

impl GivenUp {
    /// The file, which stands beside `metadata.json`.
    fn path(db: &Path) -> PathBuf {
        db.parent().unwrap_or(Path::new(".")).join("given-up.json")
    }

    /// What the file says; nothing if there is none.
    pub(crate) fn read(db: &Path) -> io::Result<GivenUp> {
        match fs::read(GivenUp::path(db)) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(GivenUp::default()),
            Err(error) => Err(error),
        }
    }

    /// How many segments.
    pub(crate) fn segments(&self) -> u64 {
        self.given_up.iter().map(|given_up| given_up.last_segment - given_up.first_segment + 1).sum()
    }

    fn with(mut self, lost: &[LostSegments], now: UnixMicros) -> GivenUp {
        for lost in lost {
            let SegmentRange { lane, first, last } = lost.segments;
            // An attempt that came to nothing has noted the same.
            self.given_up.retain(|before| (before.lane, before.first_segment) != (lane.0, first.0));
            self.given_up.push(GivenUpSegments {
                time: rfc3339(now),
                lane: lane.0,
                first_segment: first.0,
                last_segment: last.0,
                first_record: lost.first_lsn.0,
                records: lost.records(),
                written_after: lost.after.map(rfc3339),
                written_before: lost.before.map(rfc3339),
            });
        }
        self
    }

    fn write(&self, db: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        metadata::replace(&GivenUp::path(db), text.as_bytes())
    }
}
