//! `metadata.json`: what a data directory is, for people and scripts. The log does not need it; but where it
//! names a later generation than the log has, the log has been lost.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stemedb_engine::data_dir::DataDir;
use stemedb_engine::log::Generation;
use stemedb_engine::log::generation::GenerationRecord;
use stemedb_engine::log::recovery::Recovered;
use stemedb_engine::slot::{LaneId, SLOTS, SlotMap};
use stemedb_engine::time::UnixMicros;
use stemedb_engine::unfinished_file::{UnfinishedFile, sync_directory};

use super::StartError;
use crate::log_copy::LogCopy;

/// The version of the format of everything below the data directory.
const FORMAT_VERSION: u32 = 1;

/// What `metadata.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metadata {
    format_version: u32,
    /// The server that wrote the file.
    version: String,
    slots: u16,
    slot_hash: String,
    /// The generation begun last.
    generation: u32,
    /// How many cores, and lanes, it has.
    cores: u16,
    /// The assertions stored when the file was written: at the start and at an orderly stop.
    pub(super) assertion_count: u64,
}

impl Metadata {
    pub(super) fn new(generation: Generation, slots: SlotMap, assertion_count: u64) -> Metadata {
        Metadata {
            format_version: FORMAT_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: SLOTS,
            slot_hash: "crc32c".to_owned(),
            generation: generation.0,
            cores: slots.cores(),
            assertion_count,
        }
    }

    /// Refuses a data directory in a format that this version does not know. Before anything in it is read.
    pub(super) fn check_format(data: &DataDir) -> Result<(), StartError> {
        /// What every version's file has.
        #[derive(Deserialize)]
        struct AnyMetadata {
            format_version: u64,
            version: Option<String>,
        }
        let path = path(data);
        let Some(text) = read(&path)? else { return Ok(()) };
        match serde_json::from_slice(&text) {
            Ok(AnyMetadata { format_version, version }) if format_version > u64::from(FORMAT_VERSION) => {
                let writer = version.unwrap_or_else(|| "an unknown version".to_owned());
                Err(StartError::NewerFormat { path, found: format_version, known: FORMAT_VERSION, writer })
            }
            // What is no metadata at all is told and replaced when the log was read.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Refuses a log that has not even begun the generation that the file names: its disk is not mounted, or
    /// somebody has removed it. The copy of a backup is older on purpose, and says so; it must only be whole.
    pub(super) fn check_log(
        data: &DataDir,
        copy: Option<&LogCopy>,
        recovered: &Recovered,
    ) -> Result<(), StartError> {
        let next = recovered.next_generation;
        if let Some(copy) = copy {
            if let Some(lane) = copy.missing(recovered) {
                return Err(StartError::CopyIncomplete {
                    wal: data.wal().to_owned(),
                    backup: copy.backup.clone(),
                    lane: lane.lane,
                    stated: lane.next_lsn,
                    found: recovered.lane_start(LaneId(lane.lane)).next_lsn.0,
                });
            }
            tracing::info!(
                "The log in {} is that of {}, as of {}",
                data.wal().display(),
                copy.backup,
                copy.timestamp
            );
            return Ok(());
        }
        let path = path(data);
        let Some(text) = read(&path)? else { return Ok(()) };
        match serde_json::from_slice::<Metadata>(&text) {
            Ok(metadata) if metadata.generation >= next.0 => Err(StartError::LogLost {
                path,
                wal: data.wal().to_owned(),
                known: metadata.generation,
                found: next.0 - 1,
            }),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(
                    "{} is not what a server has written, and is replaced: {error}",
                    path.display()
                );
                Ok(())
            }
        }
    }

    /// The latest generation that the file knows of, as a record of it that names no ends.
    pub(super) fn latest(data: &DataDir) -> Option<GenerationRecord> {
        let text = read(&path(data)).ok()??;
        let Metadata { generation, cores, .. } = serde_json::from_slice(&text).ok()?;
        let lanes = Some(cores).filter(|cores| (1..=SLOTS).contains(cores))?;
        let generation = Generation(generation);
        Some(GenerationRecord { generation, lanes, opened: UnixMicros(0), ends: Vec::new() })
    }

    pub(super) fn with_assertions(self, assertion_count: u64) -> Metadata {
        Metadata { assertion_count, ..self }
    }

    /// Writes the file: whole or not at all. It names the log's generation, so that the log counts as a copy no longer.
    pub(super) fn write(&self, data: &DataDir) -> Result<(), StartError> {
        let path = path(data);
        let failed = |source| StartError::Metadata { path: path.clone(), source };
        let mut text = serde_json::to_string_pretty(self).expect("a struct of numbers and strings is JSON");
        text.push('\n');
        replace(&path, text.as_bytes()).map_err(failed)?;
        let note = LogCopy::path(data.wal());
        LogCopy::remove(data.wal()).map_err(|source| StartError::Metadata { path: note, source })
    }
}

/// The file's bytes, if there is one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StartError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StartError::ReadMetadata { path: path.to_owned(), source }),
    }
}

/// The file stands beside the directory of the tables.
fn path(data: &DataDir) -> PathBuf {
    data.db().parent().unwrap_or(Path::new(".")).join("metadata.json")
}

/// Puts a small file in the place of another, durably: after a crash it is the one or the other.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = UnfinishedFile::new(File::create(&fresh)?, fresh, path.to_owned());
    file.file().write_all(bytes)?;
    file.give_name()?;
    sync_directory(path.parent().unwrap_or(Path::new("")))
}

#[cfg(test)]
mod tests {
    use stemedb_engine::log::covered::Covered;
    use stemedb_engine::log::generation::LaneEnd;
    use stemedb_engine::log::{Lsn, SegmentNumber};

    use super::*;

    /// What recovery finds of a log whose last generation is `last`, and whose one lane ends before `next_lsn`.
    fn recovered(last: u32, next_lsn: u64) -> Recovered {
        let end = LaneEnd {
            lane: LaneId(0),
            generation: Generation(last),
            segment: SegmentNumber::FIRST,
            end_offset: 8192,
            next_lsn: Lsn(next_lsn),
        };
        Recovered {
            next_generation: Generation(last + 1),
            lane_ends: vec![end],
            generations: Vec::new(),
            covered: Vec::new(),
            tails_dropped: Vec::new(),
            records: 0,
            bytes: 0,
            unfinished_retractions: Vec::new(),
            prepared: Vec::new(),
            abandoned: Vec::new(),
            untrimmed: Vec::new(),
        }
    }

    fn data(root: &Path) -> DataDir {
        DataDir::open(&root.join("wal"), &root.join("db")).expect("it is new")
    }

    #[test]
    fn a_format_of_the_future_is_refused_whatever_else_its_file_says() {
        let root = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(&root.path().join("wal"), &root.path().join("db")).expect("it is new");
        Metadata::check_format(&data).expect("a new directory has no format");
        Metadata::new(Generation(3), SlotMap::new(2), 7).write(&data).expect("writable");
        Metadata::check_format(&data).expect("its own format");
        for text in
            [r#"{"format_version":2,"version":"3.1.4","moons":[]}"#, r#"{"format_version":4294967297}"#]
        {
            fs::write(path(&data), text).expect("writable");
            let error = Metadata::check_format(&data).expect_err("nobody knows it");
            assert!(error.to_string().contains("format version"), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let root = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(&root.path().join("wal"), &root.path().join("db")).expect("it is new");
        fs::create_dir(path(&data)).expect("writable");
        Metadata::new(Generation(3), SlotMap::new(2), 7)
            .write(&data)
            .expect_err("a directory is in its place");
        assert!(!path(&data).with_extension("json.new").exists());
    }

    #[test]
    fn a_log_that_lacks_the_last_generation_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let data = data(root.path());
        Metadata::check_log(&data, None, &recovered(0, 1)).expect("nothing is known of an earlier start");
        Metadata::new(Generation(3), SlotMap::new(2), 7).write(&data).expect("writable");
        Metadata::check_log(&data, None, &recovered(3, 9))
            .expect("the log has the generation that the file names");
        Metadata::check_log(&data, None, &recovered(8, 9)).expect("the file is only behind");
        for last in [0, 2] {
            let error = Metadata::check_log(&data, None, &recovered(last, 9)).expect_err("the log is gone");
            assert!(error.to_string().contains("generation 3"), "{error}");
        }
        fs::write(path(&data), "{}").expect("writable");
        Metadata::check_format(&data).expect("what nobody wrote says nothing");
        Metadata::check_log(&data, None, &recovered(0, 1)).expect("what nobody wrote says nothing");
    }

    #[test]
    fn the_copy_of_a_backup_may_be_older_but_must_be_whole_until_it_goes_on() {
        let root = tempfile::tempdir().expect("a directory");
        let data = data(root.path());
        let metadata = |generation| Metadata::new(Generation(generation), SlotMap::new(1), 7);
        metadata(9).write(&data).expect("writable");
        Metadata::check_log(&data, None, &recovered(5, 100)).expect_err("an older log without a note");
        let (backup, time) = ("full_20260130_020000".to_owned(), "2026-01-30T02:00:00Z".to_owned());
        let copy = LogCopy::of(backup, time, &Covered::default(), &recovered(5, 100));
        fs::write(LogCopy::path(data.wal()), copy.text()).expect("writable");
        let note = || LogCopy::read(data.wal());
        let check = |recovered: &Recovered| {
            let copy = note().expect("it can be read");
            Metadata::check_log(&data, copy.as_ref(), recovered)
        };
        for next_lsn in [1, 99] {
            let error = check(&recovered(5, next_lsn)).expect_err("it was cut short");
            let text = error.to_string();
            assert!(text.contains("full_20260130_020000") && text.contains("record 100"), "{text}");
        }
        check(&recovered(5, 100)).expect("it is whole");
        check(&recovered(6, 120)).expect("a start was interrupted after it had gone on");
        metadata(6).write(&data).expect("writable");
        check(&recovered(5, 100)).expect_err("it is no copy any more");
        fs::write(LogCopy::path(data.wal()), "{").expect("writable");
        note().expect_err("a note that cannot be read");
    }
}
