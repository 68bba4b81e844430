//! `stemedb-admin backup run`: takes a backup, of a running server or without one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _, stdout};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::background;
use stemedb_engine::checkpoint::{DirManifest, Manifest, ManifestStorage as _};
use stemedb_engine::data_dir::Hold;
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::generation::LaneEnd;
use stemedb_engine::log::recovery::Recovered;
use stemedb_engine::log::recovery::capture::{Capture, CapturedSegment, capture};
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::removal::remove_all_gradually;
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

use super::catalog::{Backup, Catalog, directory_name, partial_name, remove_partial};
use super::history::{self, Run};
use super::metadata::{BackupFile, BackupLane, BackupMetadata, BackupType};
use super::verify::count_assertions;
use crate::admin::data::{DataOptions, directory};
use crate::admin::error::AdminError;
use crate::admin::files::{
    Copier, LOCK_PATIENCE, beginning, bytes_free, lock_alone, make_directory, sync_directory, write_whole,
};
use crate::admin::moment;
use crate::admin::progress::Progress;
use crate::admin::run_report;
use crate::admin::tables::{generation_begun, is_same_table, manifest_for, must_be_the_log};
use crate::admin::text::{grouped, megabytes};
use crate::driver::wall_clock;
use crate::log_copy::LogCopy;
use crate::run_status::Job;

/// What a backup leaves free on its disk, which may be the server's: room for its next segment.
const FREE_BYTES_LEFT: u64 = 64 << 20;

/// What `backup run` is asked to do.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct RunOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The directory that holds the backups
    #[arg(long, value_name = "DIR", default_value = "backups", value_parser = directory)]
    to: PathBuf,
    /// What to back up
    #[arg(long = "type", value_name = "TYPE", default_value = "full")]
    backup_type: BackupType,
    /// Read at most so many bytes a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    bytes_per_second: Option<u64>,
}

/// Takes a backup, and notes how that went wherever somebody may look.
pub(super) fn run(as_json: bool, options: &RunOptions) -> Result<ExitCode, AdminError> {
    // Where there has never been a backup, none is begun of nothing. Elsewhere a log that is gone is a run that has failed.
    let is_first = !options.to.is_dir();
    let lock = if is_first { options.data.must_be_there() } else { Ok(()) };
    let lock = lock.and_then(|()| options.data.must_not_hold(&options.to));
    let lock = lock.and_then(|()| make_and_lock(&options.to));
    let began = Instant::now();
    // What is watched are full backups: one of a part does not stand for one.
    let is_watched = options.backup_type == BackupType::Full;
    if lock.is_err() && is_watched {
        run_report::note(Job::Backup, &options.data.root(), began, None);
    }
    let _lock = lock?;
    let started = free_second(&options.to, wall_clock, thread::sleep);
    let backup_id = format!("{}_{}", options.backup_type.name(), moment::compact(started, '_'));
    // Whoever is backed up comes first; without it the backup is as good.
    let _ = background::give_way();
    let result = options.data.must_be_there().and_then(|()| remove_partial(&options.to));
    let result = result.and_then(|()| take(options, started, &backup_id));
    let result = result.map_err(|error| no_room(error, &options.to));
    let seconds = began.elapsed().as_secs_f64();
    let metadata = result.as_ref().ok();
    let noted = history::note(
        &options.to,
        &Run {
            backup_id: &backup_id,
            backup_type: options.backup_type,
            timestamp: &moment::format(started),
            seconds,
            succeeded: result.is_ok(),
            size_bytes: metadata.map_or(0, |metadata| metadata.size_bytes),
            copied_bytes: metadata.map_or(0, |metadata| metadata.copied_bytes),
            assertion_count: metadata.map_or(0, |metadata| metadata.assertion_count),
            error: result.as_ref().err().map(ToString::to_string),
        },
    );
    if let Err(error) = noted {
        eprintln!("stemedb-admin: cannot note the run in the history of {}: {error}", options.to.display());
    }
    if is_watched {
        let bytes = metadata.map(|metadata| metadata.size_bytes);
        run_report::note(Job::Backup, &options.data.root(), began, bytes);
    }
    let metadata = result?;
    tell(as_json, &options.to.join(directory_name(&moment::compact(started, '-'))), &metadata, seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells that the directory of the backups has no room from whatever else keeps a backup from being written.
fn no_room(error: AdminError, to: &Path) -> AdminError {
    match error {
        AdminError::File { path, source }
            if path.starts_with(to) && matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) =>
        {
            AdminError::NoRoom(format!(
                "{}: {source}; remove old backups, or choose another directory with --to",
                path.display()
            ))
        }
        error => error,
    }
}

/// Makes the directory of the backups if it is not there, and keeps others from it.
fn make_and_lock(directory: &Path) -> Result<File, AdminError> {
    make_directory(directory, 0o750)?;
    lock_alone(&directory.join(".lock"), "a backup", LOCK_PATIENCE)
}

fn tell(as_json: bool, directory: &Path, metadata: &BackupMetadata, seconds: f64) -> io::Result<()> {
    let mut out = stdout().lock();
    if as_json {
        return write!(out, "{}", metadata.text());
    }
    writeln!(
        out,
        "Backup {} complete: {} ({} new), {} log segments, {} assertions, in {seconds:.1} s",
        metadata.backup_id,
        megabytes(metadata.size_bytes),
        megabytes(metadata.copied_bytes),
        metadata.wal_segment_count,
        grouped(metadata.assertion_count),
    )?;
    writeln!(out, "{}", directory.display())
}

/// Now or, if a backup has this second's name, as soon as there is a second that none has: a backup says when it was begun in its name
/// and in what it holds, and a restore to a moment relies on that.
fn free_second(
    directory: &Path,
    mut now: impl FnMut() -> UnixMicros,
    mut wait: impl FnMut(Duration),
) -> UnixMicros {
    loop {
        let time = now();
        if !directory.join(directory_name(&moment::compact(time, '-'))).exists() {
            return time;
        }
        let left_us = UnixMicros::PER_SECOND - time.0.rem_euclid(UnixMicros::PER_SECOND);
        wait(Duration::from_micros(left_us.unsigned_abs()));
    }
}

/// Takes a backup under a passing name, and gives it its own when it is whole and known to recover.
fn take(options: &RunOptions, started: UnixMicros, backup_id: &str) -> Result<BackupMetadata, AdminError> {
    let time = moment::compact(started, '-');
    let partial = options.to.join(partial_name(&time));
    let result = fill(options, started, backup_id, &partial).and_then(|metadata| {
        let complete = options.to.join(directory_name(&time));
        fs::rename(&partial, &complete).map_err(|source| AdminError::File { path: complete, source })?;
        sync_directory(&options.to)?;
        Ok(metadata)
    });
    if result.is_err() {
        // It is removed at the next run if not now, and never taken for a backup.
        let _ = remove_all_gradually(&partial);
    }
    result
}

fn fill(
    options: &RunOptions,
    started: UnixMicros,
    backup_id: &str,
    partial: &Path,
) -> Result<BackupMetadata, AdminError> {
    let wal = options.data.wal();
    let _hold = Hold::on(&wal)?;
    let begun = generation_begun(&options.data);
    // The tables come first: what they cover later is still in the log, which the hold keeps.
    let manifest = manifest_for(&wal, &options.data.db())?;
    let captured = capture(&DirStorage::new(&wal), &manifest.covered).map_err(AdminError::Log);
    if let Ok(captured) = &captured {
        must_be_the_log(&options.data, begun, &manifest.covered, captured)?;
    }
    let captured = match options.backup_type.has_wal() {
        true => captured?,
        // Where the log is damaged, the tables may be all that is left.
        false => Capture { segments: Vec::new(), lanes: Vec::new() },
    };
    for directory in [partial.to_owned(), partial.join("wal"), partial.join("db")] {
        let made = DirBuilder::new().mode(0o750).create(&directory);
        made.map_err(|source| AdminError::File { path: directory, source })?;
    }
    let mut filling = Filling::new(options, partial, captured.bytes() + manifest.bytes())?;
    for segment in &captured.segments {
        filling.segment(&wal, segment)?;
    }
    if options.backup_type.has_db() {
        filling.tables(&options.data.db(), &manifest)?;
    }
    filling.manifest(&manifest)?;
    let (recovered, assertion_count) = match options.backup_type.has_wal() {
        true => filling.prove(backup_id, started, &captured, &manifest)?,
        false => (None, manifest.entries()),
    };
    let metadata = filling.metadata(backup_id, started, &captured, recovered.as_ref(), assertion_count);
    for directory in ["wal", "db"] {
        sync_directory(&partial.join(directory))?;
    }
    write_whole(&partial.join("metadata.json"), &metadata.text(), 0o640)?;
    Ok(metadata)
}

/// A backup that is being filled.
struct Filling<'o> {
    options: &'o RunOptions,
    directory: &'o Path,
    /// The newest backup of each type: what they have of the same files is shared.
    previous: Vec<Backup>,
    copier: Copier,
    files: Vec<BackupFile>,
    copied_bytes: u64,
}

impl<'o> Filling<'o> {
    fn new(options: &'o RunOptions, directory: &'o Path, bytes: u64) -> Result<Filling<'o>, AdminError> {
        let catalog = Catalog::read(&options.to)?;
        let previous =
            BackupType::ALL.into_iter().filter_map(|of| catalog.of_type(of).next().cloned()).collect();
        let mut progress = Progress::start("Copying", bytes);
        let copier = Copier::new(options.bytes_per_second, Box::new(move |bytes| progress.advance(bytes)));
        Ok(Filling { options, directory, previous, copier, files: Vec::new(), copied_bytes: 0 })
    }

    /// Copies a segment, or shares the copy that the previous backup has.
    fn segment(&mut self, wal: &Path, segment: &CapturedSegment) -> Result<(), AdminError> {
        let path = format!("wal/{}", segment.id());
        let source = wal.join(segment.id().to_string());
        // A segment's header has the time at which it was begun: no two segments have the same one.
        let begins_like_it =
            |copy: &Path| match (beginning(copy, BLOCK_BYTES), beginning(&source, BLOCK_BYTES)) {
                (Ok(copy), Ok(source)) => copy == source,
                _ => false,
            };
        self.file(path, &source, segment.bytes, &begins_like_it)
    }

    fn tables(&mut self, db: &Path, manifest: &Manifest) -> Result<(), AdminError> {
        for table in &manifest.tables {
            let name = table.facts.number.to_string();
            let source = db.join(&name);
            self.file(format!("db/{name}"), &source, table.facts.bytes, &|copy| {
                is_same_table(copy, &source)
            })?;
        }
        Ok(())
    }

    /// Writes which tables there are, and which part of the log they cover: also where the log alone is backed up, which
    /// begins behind that.
    fn manifest(&mut self, manifest: &Manifest) -> Result<(), AdminError> {
        if *manifest == Manifest::empty() {
            return Ok(());
        }
        let place = DirManifest::new(&self.directory.join("db"));
        let path = place.path();
        let written = place.replace(&manifest.encode());
        written.map_err(|source| AdminError::File { path: path.clone(), source: source.into() })?;
        let digest = self.copier.digest(&path)?;
        self.files.push(BackupFile {
            path: "db/MANIFEST".to_owned(),
            bytes: digest.bytes,
            sha256: digest.sha256,
        });
        Ok(())
    }

    fn file(
        &mut self,
        path: String,
        source: &Path,
        bytes: u64,
        is_same: &dyn Fn(&Path) -> bool,
    ) -> Result<(), AdminError> {
        let target = self.directory.join(&path);
        if let Some((original, shared)) = self.shared(&path, bytes, is_same)?
            && fs::hard_link(&original, &target).is_ok()
        {
            self.files.push(shared);
            return Ok(());
        }
        let left = bytes_free(self.directory)?;
        if left < bytes + FREE_BYTES_LEFT {
            return Err(AdminError::NoRoom(format!(
                "No space left on device for {}: {} are free, {} are needed and as much as a log segment must stay free; \
                 remove old backups, or choose another directory with --to",
                target.display(),
                megabytes(left),
                megabytes(bytes)
            )));
        }
        let digest = self.copier.copy(source, &target, bytes)?;
        if digest.bytes != bytes {
            return Err(AdminError::Failed(format!(
                "{} has become shorter while it was copied: {} of {bytes} bytes are there",
                source.display(),
                digest.bytes
            )));
        }
        self.copied_bytes += bytes;
        self.files.push(BackupFile { path, bytes, sha256: digest.sha256 });
        Ok(())
    }

    /// The place and the entry of a file that a previous backup has, whole, of this length and the same.
    fn shared(
        &mut self,
        path: &str,
        bytes: u64,
        is_same: &dyn Fn(&Path) -> bool,
    ) -> Result<Option<(PathBuf, BackupFile)>, AdminError> {
        for previous in &self.previous {
            let entry = previous.metadata.files.iter().find(|file| file.path == path && file.bytes == bytes);
            let copy = previous.directory.join(path);
            let Some(entry) = entry.filter(|_| is_same(&copy)) else { continue };
            // A copy that has gone bad since is not to be passed on from backup to backup.
            let digest = self.copier.digest(&copy)?;
            if digest.sha256 == entry.sha256 && digest.bytes == bytes {
                return Ok(Some((copy, entry.clone())));
            }
        }
        Ok(None)
    }

    /// Recovers the copy as a server would, and leaves the note in it that it is one.
    fn prove(
        &mut self,
        backup_id: &str,
        started: UnixMicros,
        captured: &Capture,
        manifest: &Manifest,
    ) -> Result<(Option<Recovered>, u64), AdminError> {
        let wal = self.directory.join("wal");
        let (recovered, assertions) = count_assertions(&DirStorage::new(&wal), manifest)?;
        let ends: Vec<_> = captured.lanes.iter().map(|lane| lane.end).collect();
        let is_covered =
            |end: &LaneEnd| manifest.covered.contains(SegmentId { lane: end.lane, number: end.segment });
        let found: Vec<_> = recovered.lane_ends.iter().copied().filter(|end| !is_covered(end)).collect();
        if found != ends {
            return Err(AdminError::Failed(format!(
                "the copy of the log does not reach as far as the log: {found:?} instead of {ends:?}"
            )));
        }
        let note = LogCopy::of(backup_id.to_owned(), moment::format(started), &manifest.covered, &recovered);
        let path = LogCopy::path(&wal);
        write_whole(&path, &note.text(), 0o640)?;
        let digest = self.copier.digest(&path)?;
        let name = path.file_name().expect("a note has a name").to_string_lossy().into_owned();
        self.files.push(BackupFile {
            path: format!("wal/{name}"),
            bytes: digest.bytes,
            sha256: digest.sha256,
        });
        Ok((Some(recovered), assertions))
    }

    fn metadata(
        self,
        backup_id: &str,
        started: UnixMicros,
        captured: &Capture,
        recovered: Option<&Recovered>,
        assertion_count: u64,
    ) -> BackupMetadata {
        let generation = captured.generation();
        let of_generation = captured.lanes.iter().filter(|lane| Some(lane.end.generation) == generation);
        let first = captured.segments.iter().map(|segment| segment.header.created).min();
        let last = captured.lanes.iter().filter_map(|lane| lane.last_frame).max();
        let lanes = recovered.into_iter().flat_map(|recovered| &recovered.lane_ends);
        BackupMetadata {
            format_version: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: SLOTS,
            slot_hash: "crc32c".to_owned(),
            generation: generation.map_or(0, |generation| generation.0),
            cores: of_generation.count() as u16,
            assertion_count,
            backup_id: backup_id.to_owned(),
            backup_type: self.options.backup_type,
            timestamp: moment::format(started),
            wal_segment_count: captured.segments.len() as u64,
            size_bytes: self.files.iter().map(|file| file.bytes).sum(),
            copied_bytes: self.copied_bytes,
            first_frame: first.map(moment::format),
            last_frame: last.map(moment::format),
            lanes: lanes
                .map(|end| BackupLane {
                    lane: end.lane.0,
                    generation: end.generation.0,
                    segment: end.segment.0,
                    end: end.end_offset,
                    lsn: end.next_lsn.before().0,
                })
                .collect(),
            files: self.files,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Goal: no backup says that it was begun later than it was. Method: the names of this second and the next are taken.
    #[test]
    fn a_backup_waits_for_a_second_of_its_own() {
        const NOW: UnixMicros = UnixMicros(1_769_610_600_250_000);
        let backups = tempfile::tempdir().expect("a directory");
        for seconds in 0..2 {
            let time = UnixMicros(NOW.0 + seconds * UnixMicros::PER_SECOND);
            fs::create_dir(backups.path().join(directory_name(&moment::compact(time, '-'))))
                .expect("writable");
        }
        let clock = Cell::new(NOW);
        let mut waited = Vec::new();
        let free = free_second(
            backups.path(),
            || clock.get(),
            |pause| {
                clock.set(UnixMicros(clock.get().0 + pause.as_micros() as i64));
                waited.push(pause);
            },
        );
        assert_eq!(waited, [Duration::from_millis(750), Duration::from_secs(1)]);
        assert_eq!(free, UnixMicros(1_769_610_602_000_000));
        assert_eq!(free, clock.get(), "it is not later than it is");
    }
}
