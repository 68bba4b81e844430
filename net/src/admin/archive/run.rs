//! `stemedb-admin archive run`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use stemedb_engine::background;
use stemedb_engine::data_dir::Hold;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::recovery::capture::{Capture, CapturedSegment, capture};
use stemedb_engine::log::recovery::{RecoveryError, read_ended};
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::log::{BLOCK_BYTES, SegmentNumber};
use stemedb_engine::slot::LaneId;
use stemedb_engine::time::UnixMicros;

use super::{ArchiveNote, ArchivedLane, ArchivedPart, newest_first, note_keys, part};
use crate::admin::data::DataOptions;
use crate::admin::error::AdminError;
use crate::admin::files::{LOCK_PATIENCE, beginning, lock_alone};
use crate::admin::log_source::LogSource;
use crate::admin::store::{self, Hashed, Store, StoreOptions};
use crate::admin::tables::{generation_begun, manifest_for, must_be_the_log};
use crate::admin::text::megabytes;
use crate::admin::{moment, run_report};
use crate::driver::wall_clock;
use crate::run_status::Job;
use crate::{archive_mark, restore_mark};

/// How hard the compression tries: what comes in under load is compressed on the side.
const COMPRESSION_LEVEL: i32 = 3;

/// What `archive run` is asked to do.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct RunOptions {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    store: StoreOptions,
}

/// Archives what is new.
pub(super) fn run(as_json: bool, options: &RunOptions) -> Result<ExitCode, AdminError> {
    let wal = options.data.wal();
    let lock = options
        .data
        .must_be_there()
        .and_then(|()| lock_alone(&wal.join(".archive-lock"), "an archive run", LOCK_PATIENCE));
    let began = Instant::now();
    // Not the last of all: what is not archived is lost with the machine.
    background::step_back();
    let result = lock.and_then(|lock| {
        if let Some(directory) = options.store.directory()? {
            options.data.must_not_hold(&directory)?;
        }
        let store = options.store.open()?;
        let note = archive(&store, &options.data)?;
        Ok((lock, store.name(), note))
    });
    let bytes = result.as_ref().ok().map(|(_, _, note)| note.as_ref().map_or(0, |note| note.size_bytes));
    run_report::note(Job::Archive, &options.data.root(), began, bytes);
    let (_lock, store, note) = result?;
    let mut out = stdout().lock();
    match note {
        _ if as_json => writeln!(out, "{}", json!({ "store": store, "archived": note }))?,
        None => writeln!(out, "Nothing new to archive in {store}")?,
        Some(note) => writeln!(
            out,
            "Archived {} pieces of the log as {} in {store} ({})",
            note.parts.len(),
            note.object,
            megabytes(note.size_bytes)
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes an object of what the archive does not have yet; `None` if it has all.
fn archive(store: &Store, data: &DataOptions) -> Result<Option<ArchiveNote>, AdminError> {
    let (wal, db) = (&data.wal(), &data.db());
    let started = wall_clock();
    let keys = note_keys(store)?;
    let last = newest_first(store, &keys).next().transpose()?;
    let _hold = Hold::on(wal)?;
    let known = generation_begun(data);
    let before = last.as_ref().map(|last| last.timestamp.clone());
    let restored = restore_mark::read(wal)
        .map_err(|source| AdminError::File { path: restore_mark::path(wal), source })?;
    let same = last.as_ref().filter(|last| last.restored == restored);
    let goes_on = same.map(|last| goes_on(last, wal)).transpose()?.flatten();
    let (last, position, captured) = match goes_on {
        Some((position, captured)) => (last, position, captured),
        None => {
            if last.is_some() {
                eprintln!(
                    "stemedb-admin: the log does not go on where the archive ends: it was restored, or a part of it went into tables \
                     before it was archived. A new chain begins; take a full backup to go with it"
                );
            }
            let (position, captured) = begin_chain(wal, db)?;
            (None, position, captured)
        }
    };
    must_be_the_log(data, known, &position, &captured)?;
    let mark = |position: &Covered| {
        archive_mark::write(wal, position)
            .map_err(|source| AdminError::File { path: archive_mark::path(wal), source })
    };
    let parts = new_parts(last.as_ref(), &captured);
    if parts.is_empty() {
        mark(&position)?;
        return Ok(None);
    }
    let object = object_after(&keys, started);
    let (size_bytes, sha256) = upload(store, &object, wal, &parts)?;
    let note = ArchiveNote {
        timestamp: moment::format(started),
        previous: last.as_ref().map(|last| last.object.clone()),
        begun: match &last {
            Some(last) => last.begun.clone(),
            None => begun(restored.as_deref(), &captured, before.as_deref())
                .unwrap_or_else(|| moment::format(started)),
        },
        restored,
        chain: last.map_or_else(|| object.clone(), |last| last.chain),
        size_bytes,
        sha256,
        parts,
        reach: reach(&captured, wal)?,
        position: archive_mark::encode(&after(&position, &captured, wal)?),
        object,
    };
    let text = serde_json::to_string_pretty(&note).expect("numbers and strings are JSON");
    store.put(&ArchiveNote::key(&note.object), &text)?;
    mark(&position_of(&note)?)?;
    Ok(Some(note))
}

/// The name of an object: that of the second in which it was begun, or of the first one behind the newest that there is, of whatever chain or
/// kind, if runs follow each other more quickly than that or a clock was ahead.
fn object_after(keys: &[String], started: UnixMicros) -> String {
    let newest = keys.iter().rev().find_map(|key| store::time_of("wal", key));
    let behind = newest.map(|newest| UnixMicros(newest.0 + UnixMicros::PER_SECOND));
    let time = behind.map_or(started, |behind| behind.max(started));
    store::key("wal", &moment::compact(time, '_')) + ".tar.zst"
}

/// What there is of the log for a new chain: what was kept for an archive since a restore, or else what tables do not cover.
fn begin_chain(wal: &Path, db: &Path) -> Result<(Covered, Capture), AdminError> {
    let kept = archive_mark::read(wal).map_err(|error| {
        AdminError::Failed(format!(
            "{} does not say what of the log was kept for the archive: {error}. Remove it and run this again: a new chain begins with what \
             tables do not hold, and needs a full backup to go with it",
            archive_mark::path(wal).display()
        ))
    })?;
    if let Some(position) = kept
        && let Some(captured) = captured_behind(wal, &position)?
    {
        return Ok((position, captured));
    }
    let position = manifest_for(wal, db)?.covered;
    let captured = capture(&DirStorage::new(wal), &position).map_err(AdminError::Log)?;
    Ok((position, captured))
}

/// What there is of the log behind `position`; `None` if it does not go on there. That it cannot be read for the moment does not say so.
fn captured_behind(wal: &Path, position: &Covered) -> Result<Option<Capture>, AdminError> {
    match capture(&DirStorage::new(wal), position) {
        Ok(captured) => Ok(Some(captured)),
        Err(error @ (RecoveryError::List { .. } | RecoveryError::Read { .. })) => Err(AdminError::Log(error)),
        Err(_) => Ok(None),
    }
}

/// Which whole segments the archive has.
fn position_of(note: &ArchiveNote) -> Result<Covered, AdminError> {
    archive_mark::decode(&note.position).map_err(|error| {
        AdminError::Failed(format!(
            "{} does not say how far the archive has the log: {error}. Move it out of the store and run this again: the archive goes on from \
             the note before it or, where the log no longer has what came since, begins a new chain that needs a full backup to go with it",
            ArchiveNote::key(&note.object)
        ))
    })
}

/// What is covered when all segments are that were captured and will never change. What the log has gained since is not looked at.
fn after(position: &Covered, captured: &Capture, wal: &Path) -> Result<Covered, AdminError> {
    // Nobody writes to what was captured.
    let writing = BTreeMap::new();
    let log = LogSource::of_capture(wal, captured);
    let read = read_ended(&log, position, &writing, u64::MAX, &mut |_| Ok(())).map_err(AdminError::Log)?;
    Ok(read.unwrap_or_else(|| position.clone()))
}

/// What there is of the log behind the whole segments that are archived, if it goes on where that ends: it still has, in each
/// lane, the segment to which the archive reaches, unless that is archived as a whole.
fn goes_on(last: &ArchiveNote, wal: &Path) -> Result<Option<(Covered, Capture)>, AdminError> {
    let position = position_of(last)?;
    let Some(captured) = captured_behind(wal, &position)? else { return Ok(None) };
    for lane in &last.reach {
        let id = SegmentId { lane: LaneId(lane.lane), number: SegmentNumber(lane.segment) };
        if position.contains(id) {
            continue;
        }
        let segment = captured
            .segments
            .iter()
            .find(|segment| segment.id().lane.0 == lane.lane && segment.id().number.0 == lane.segment);
        match segment {
            Some(segment) if segment.bytes >= lane.bytes && header(wal, segment)? == lane.header => {}
            _ => return Ok(None),
        }
    }
    Ok(Some((position, captured)))
}

/// Since when a log goes its own way of which another was archived `before`: since it was restored after that or, if it was not, since the first of
/// its segments that is newer.
fn begun(restored: Option<&str>, captured: &Capture, before: Option<&str>) -> Option<String> {
    let before = before.and_then(|time| moment::parse(time).ok());
    let is_newer = |time: &UnixMicros| before.is_none_or(|before| *time > before);
    let restored = restored.and_then(|time| moment::parse(time).ok()).filter(is_newer);
    let created = captured.segments.iter().map(|segment| segment.header.created);
    restored.or_else(|| created.filter(is_newer).min()).map(moment::format)
}

/// What was captured beyond what the archive has.
fn new_parts(last: Option<&ArchiveNote>, captured: &Capture) -> Vec<ArchivedPart> {
    let reached = |segment: &CapturedSegment| {
        let lane = last?.reach.iter().find(|lane| lane.lane == segment.id().lane.0)?;
        match segment.id().number.0.cmp(&lane.segment) {
            std::cmp::Ordering::Less => Some(u64::MAX),
            std::cmp::Ordering::Equal => Some(lane.bytes),
            std::cmp::Ordering::Greater => None,
        }
    };
    let part = |segment: &CapturedSegment| {
        let offset = reached(segment).unwrap_or(0);
        (offset < segment.bytes).then(|| ArchivedPart {
            segment: segment.id().to_string(),
            offset,
            bytes: segment.bytes - offset,
        })
    };
    captured.segments.iter().filter_map(part).collect()
}

fn reach(captured: &Capture, wal: &Path) -> Result<Vec<ArchivedLane>, AdminError> {
    let mut lanes = Vec::new();
    for lane in &captured.lanes {
        let is_last = |segment: &&CapturedSegment| {
            (segment.id().lane, segment.id().number) == (lane.end.lane, lane.end.segment)
        };
        let segment = captured.segments.iter().find(is_last).expect("a lane ends in a captured segment");
        lanes.push(ArchivedLane {
            lane: lane.end.lane.0,
            segment: lane.end.segment.0,
            header: header(wal, segment)?,
            bytes: segment.bytes,
        });
    }
    Ok(lanes)
}

fn header(wal: &Path, segment: &CapturedSegment) -> Result<String, AdminError> {
    let path = wal.join(segment.id().to_string());
    let block = beginning(&path, BLOCK_BYTES).map_err(|source| AdminError::File { path, source })?;
    Ok(hex::encode(Sha256::digest(block)))
}

/// Makes the object: a tar of the pieces, compressed. Gives its length and checksum.
fn upload(
    store: &Store,
    object: &str,
    wal: &Path,
    parts: &[ArchivedPart],
) -> Result<(u64, String), AdminError> {
    let failed = |error: std::io::Error| store::failed(&store.name(), object, &error.to_string());
    let target = Hashed::new(store.write(object)?);
    let encoder = zstd::Encoder::new(target, COMPRESSION_LEVEL).map_err(failed)?;
    let mut archive = tar::Builder::new(encoder);
    for piece in parts {
        let path = wal.join(&piece.segment);
        let mut file = File::open(&path).map_err(|source| AdminError::File { path: path.clone(), source })?;
        file.seek(SeekFrom::Start(piece.offset)).map_err(failed)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(piece.bytes);
        header.set_mode(0o640);
        let name = part::name(&piece.segment, piece.offset);
        archive.append_data(&mut header, name, file.take(piece.bytes)).map_err(failed)?;
    }
    let target = archive.into_inner().and_then(zstd::Encoder::finish).map_err(failed)?;
    let (upload, bytes, sha256) = target.into_parts();
    upload.finish()?;
    Ok((bytes, sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no object is overwritten, of whatever chain it is, and a name costs the same however far a clock has gone back. Method: runs in one
    /// second, and some after a clock was ahead, once by eight thousand years.
    #[test]
    fn an_object_comes_behind_all_that_there_are() {
        let started = UnixMicros(1_769_610_600_250_000);
        let behind = |newest: &str| object_after(&[ArchiveNote::key(newest)], started);
        let first = object_after(&[], started);
        assert_eq!(first, "wal/2026/01/28/wal_20260128_143000.tar.zst");
        let second = behind(&first);
        assert_eq!(second, "wal/2026/01/28/wal_20260128_143001.tar.zst");
        assert_eq!(behind("wal/2026/01/28/wal_20260128_142959.tar.zst"), first);
        assert_eq!(
            behind("wal/2035/12/31/wal_20351231_235959.tar.zst"),
            "wal/2036/01/01/wal_20360101_000000.tar.zst"
        );
        assert_eq!(
            behind("wal/9999/01/01/wal_99990101_000000.tar.zst"),
            "wal/9999/01/01/wal_99990101_000001.tar.zst"
        );
        let with_others = [ArchiveNote::key(&second), "wal/2026/01/29/of-others.json".to_owned()];
        assert_eq!(object_after(&with_others, started), "wal/2026/01/28/wal_20260128_143002.tar.zst");
    }
}
