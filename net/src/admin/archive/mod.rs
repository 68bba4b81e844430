//! `stemedb-admin archive`: copies what the log has gained to a store, again and again, so that little is lost with a disk.
//!
//! Each run makes one object with the bytes that came since the last one, whole segments and pieces of those that are still
//! being written, and beside it a JSON that says what is in it, how far the archive reaches with it, and which object came
//! before. That is all the state there is: it survives the loss of everything but the store. After a restore the log is
//! another one than the archive's, by the mark that a restore leaves; then a new chain of objects begins.

mod assemble;
mod part;
mod run;

use std::process::ExitCode;

pub(super) use assemble::{Assembled, Gap, assemble};
use serde::{Deserialize, Serialize};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::slot::LaneId;

use super::backup;
use super::error::AdminError;
use super::store::Store;

/// What `archive` can do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum ArchiveCommand {
    /// Copy what is not archived yet; the server may run meanwhile
    #[command(after_help = EXAMPLES)]
    Run(run::RunOptions),
}

const EXAMPLES: &str = "\
Examples:
  stemedb-admin archive run --data-dir /opt/stemedb/data --store /mnt/archive
  BACKUP_BUCKET=stemedb MINIO_ENDPOINT=http://store:9000 MINIO_ACCESS_KEY=… MINIO_SECRET_KEY=… \\
    stemedb-admin archive run

Run it every few minutes: what was acknowledged before the last run survives the loss of the disk.";

/// What the JSON beside an object says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ArchiveNote {
    pub(super) object: String,
    /// What was acknowledged before is in this object or an earlier one.
    pub(super) timestamp: String,
    /// The object before it, of the same log.
    pub(super) previous: Option<String>,
    /// The first object of the chain.
    pub(super) chain: String,
    /// Since when the chain's log goes its own way: another one was current before.
    pub(super) begun: String,
    /// When that log was [restored](crate::restore_mark) last, if it was.
    pub(super) restored: Option<String>,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
    /// What is in it.
    pub(super) parts: Vec<ArchivedPart>,
    /// How far each lane reaches with it.
    pub(super) reach: Vec<ArchivedLane>,
    /// Which whole segments the archive has with it, or the backups before it: from there on the next run reads.
    pub(super) position: String,
}

/// A piece of a segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ArchivedPart {
    pub(super) segment: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// How far a lane is archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArchivedLane {
    pub(super) lane: u16,
    /// The number of the last segment.
    pub(super) segment: u64,
    /// The SHA-256 of that segment's header, which no other segment has.
    pub(super) header: String,
    /// How many bytes of that segment.
    pub(super) bytes: u64,
}

/// Does what was asked.
pub(super) fn run(as_json: bool, command: &ArchiveCommand) -> Result<ExitCode, AdminError> {
    match command {
        ArchiveCommand::Run(options) => run::run(as_json, options),
    }
}

impl ArchivedLane {
    /// The last segment.
    fn id(&self) -> SegmentId {
        SegmentId { lane: LaneId(self.lane), number: SegmentNumber(self.segment) }
    }
}

impl ArchiveNote {
    /// The note at a key.
    fn read(store: &Store, key: &str) -> Result<ArchiveNote, AdminError> {
        ArchiveNote::parse(store, key, &store.text(key)?)
    }

    fn parse(store: &Store, key: &str, text: &str) -> Result<ArchiveNote, AdminError> {
        serde_json::from_str(text)
            .map_err(|error| super::store::failed(&store.name(), key, &error.to_string()))
    }

    /// The note's key.
    fn key(object: &str) -> String {
        format!("{}.json", object.trim_end_matches(".tar.zst"))
    }
}

/// The keys of all notes, oldest first. Some may be of backups: see [`newest_first`].
fn note_keys(store: &Store) -> Result<Vec<String>, AdminError> {
    let mut keys = store.list("wal/")?;
    keys.retain(|key| key.ends_with(".json"));
    Ok(keys)
}

/// The notes at these keys, of which the newest is the last. Each is read when it is asked for: an archive has half a million of them a year.
///
/// Those of backups are left out: `backup push` has once given backups of the log keys of the same form.
fn newest_first<'k>(
    store: &'k Store,
    keys: &'k [String],
) -> impl Iterator<Item = Result<ArchiveNote, AdminError>> + 'k {
    keys.iter().rev().filter_map(|key| match store.text(key) {
        Ok(text) if backup::is_note(&text) => None,
        Ok(text) => Some(ArchiveNote::parse(store, key, &text)),
        Err(error) => Some(Err(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::store::StoreOptions;

    /// Goal: a backup of the log under a key of the archive's form, as `backup push` has once given it, is no piece of the log, and something
    /// else is not passed over. Method: a store with one note of each kind.
    #[test]
    fn notes_of_backups_and_of_pieces_are_told_apart() {
        let root = tempfile::tempdir().expect("a directory");
        let store = StoreOptions::at(root.path()).open().expect("a directory is one");
        let piece = r#"{"object": "wal/2026/01/30/wal_20260130_020000.tar.zst", "timestamp": "2026-01-30T02:00:00Z",
            "previous": null, "chain": "", "begun": "", "size_bytes": 0, "sha256": "", "parts": [], "reach": [], "position": ""}"#;
        let of_backup = r#"{"object": "wal/2026/01/30/wal_20260130_020100.tar.zst", "size_bytes": 0, "sha256": "", "metadata": {
            "format_version": 1, "version": "0.1.0", "slots": 1024, "slot_hash": "crc32c", "generation": 1, "cores": 1,
            "assertion_count": 0, "backup_id": "wal_20260130_020100", "backup_type": "wal", "timestamp": "2026-01-30T02:01:00Z",
            "wal_segment_count": 0, "size_bytes": 0, "copied_bytes": 0, "first_frame": null, "last_frame": null,
            "lanes": [], "files": []}}"#;
        for (minute, text) in [("00", piece), ("01", of_backup), ("02", piece)] {
            store.put(&format!("wal/2026/01/30/wal_20260130_02{minute}00.json"), text).expect("writable");
        }
        let keys = note_keys(&store).expect("readable");
        assert_eq!(keys.len(), 3);
        let notes: Result<Vec<_>, _> = newest_first(&store, &keys).collect();
        assert_eq!(notes.expect("readable").len(), 2);
        store.put("wal/2026/01/30/wal_20260130_020300.json", "{}").expect("writable");
        let keys = note_keys(&store).expect("readable");
        let newest = newest_first(&store, &keys).next().expect("there is one");
        assert!(newest.expect_err("it is no note").to_string().contains("wal_20260130_020300.json"));
    }
}
