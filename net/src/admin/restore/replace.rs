//! Puts restored files in the place of others, which are renamed; and back, if anything fails.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use stemedb_engine::data_dir::{DataDir, RemovalRight};
use stemedb_engine::log::recovery::cut::CutLane;
use stemedb_engine::log::recovery::{Recovered, recover_after};
use stemedb_engine::log::storage::{DirStorage, LogStorage as _};
use stemedb_engine::removal::remove_all_gradually;

use super::interruption::Interruption;
use super::plan::Plan;
use super::{RestoreOptions, say};
use crate::admin::backup::{BackupMetadata, count_assertions};
use crate::admin::error::AdminError;
use crate::admin::files::{
    Copier, LOCK_PATIENCE, Owner, make_directory, sync_directory, wait_for, write_whole,
};
use crate::admin::moment;
use crate::admin::progress::Progress;
use crate::admin::tables::manifest_in;
use crate::driver::wall_clock;
use crate::log_copy::LogCopy;
use crate::{archive_mark, restore_mark};

/// A restore under way.
pub(super) struct Replacement<'r> {
    as_json: bool,
    options: &'r RestoreOptions,
    plan: &'r Plan,
    /// What is appended to the names of what was there.
    suffix: String,
    /// Whom the files will belong to.
    owner: Owner,
    copier: Copier,
    bytes: u64,
    /// What was renamed, from where to where.
    renamed: Vec<(PathBuf, PathBuf)>,
    /// What was made, and is of no use if the restore fails.
    made: Vec<PathBuf>,
    /// The locks that keep servers out.
    locks: Vec<File>,
    interruption: Interruption,
}

/// What was restored.
pub(super) struct Restored {
    pub(super) bytes: u64,
    /// Where that is now which was there before, and what was cut off.
    pub(super) kept_aside: Vec<PathBuf>,
}

impl<'r> Replacement<'r> {
    /// `locks` keep servers from what is there.
    pub(super) fn new(
        as_json: bool,
        options: &'r RestoreOptions,
        plan: &'r Plan,
        locks: Vec<File>,
        interruption: Interruption,
    ) -> Result<Replacement<'r>, AdminError> {
        let wal = options.data.wal();
        let owner = Owner::of(&wal).map_err(|source| AdminError::File { path: wal.clone(), source })?;
        let total = plan.log.as_ref().map_or(0, |log| log.bytes());
        let mut progress = Progress::start("Copying", total);
        let mut time = wall_clock();
        let suffix = loop {
            let suffix = moment::compact(time, '-');
            if !with_suffix(&wal, &format!("backup.{suffix}")).exists() {
                break suffix;
            }
            time.0 += 1_000_000;
        };
        Ok(Replacement {
            as_json,
            options,
            plan,
            suffix,
            owner,
            copier: Copier::new(None, Box::new(move |bytes| progress.advance(bytes))),
            bytes: 0,
            renamed: Vec::new(),
            made: Vec::new(),
            locks,
            interruption,
        })
    }

    /// Does it. Until the new metadata is in place, that of before stands guard: a server would refuse to start without
    /// the log that it names.
    pub(super) fn run(mut self) -> Result<Restored, AdminError> {
        self.interruption.begin();
        match self.replace() {
            Ok(kept_aside) => Ok(Restored { bytes: self.bytes, kept_aside }),
            Err(error) => {
                let told = match self.put_back() {
                    Ok(()) => "what was there is in its place again".to_owned(),
                    Err(error) => format!("and what was there could not all be put back: {error}"),
                };
                eprintln!("stemedb-admin: the restore has failed; {told}");
                Err(error)
            }
        }
    }

    fn replace(&mut self) -> Result<Vec<PathBuf>, AdminError> {
        let (wal, db) = (self.options.data.wal(), self.options.data.db());
        let kind = self.plan.backup.metadata.backup_type;
        let root = self.options.data.root();
        make_directory(&root, 0o750)?;
        let (fresh_wal, fresh_db) = (with_suffix(&wal, "restoring"), with_suffix(&db, "restoring"));
        // Half a copy, which a restore has left that was killed.
        for left in [&fresh_wal, &fresh_db].into_iter().filter(|left| left.exists()) {
            remove_all_gradually(left).map_err(|source| AdminError::File { path: left.clone(), source })?;
        }
        // Whoever copies the log finds its files by their names, and would take those of another one from here on.
        let _right = wal.exists().then(|| alone_with(&wal)).transpose()?;
        if kind.has_wal() {
            self.set_aside(&wal)?;
        }
        if kind.has_db() {
            self.set_aside(&db)?;
        }
        let mut recovered = None;
        if kind.has_wal() {
            say(self.as_json, "Copying WAL from backup...")?;
            recovered = Some(self.copy_log(&wal, &fresh_wal)?);
        }
        if kind.has_db() {
            say(self.as_json, "Copying DB from backup...")?;
            self.copy_tables(&fresh_db)?;
        }
        self.locks.extend(DataDir::lock_existing(&[&fresh_wal, &fresh_db])?);
        self.interruption.check()?;
        for (fresh, place) in [(&fresh_wal, &wal), (&fresh_db, &db)] {
            if fresh.exists() {
                self.own_all(fresh)?;
                rename(fresh, place)?;
                self.made.push(place.clone());
            }
        }
        // The metadata is of what is there by then.
        self.sync_parents()?;
        if let Some(recovered) = recovered {
            say(self.as_json, "Copying metadata...")?;
            self.replace_metadata(&recovered)?;
        }
        self.sync_parents()?;
        let tail = Some(self.tail()).filter(|tail| self.made.contains(tail));
        Ok(self.renamed.iter().map(|(_, aside)| aside.clone()).chain(tail).collect())
    }

    /// Renames what is there.
    fn set_aside(&mut self, path: &Path) -> Result<(), AdminError> {
        if !path.exists() {
            return Ok(());
        }
        let aside = with_suffix(path, &format!("backup.{}", self.suffix));
        say(self.as_json, &format!("Renaming existing {} to {}", path.display(), aside.display()))?;
        rename(path, &aside)?;
        self.renamed.push((path.to_owned(), aside));
        Ok(())
    }

    /// Copies the log up to where it is cut, and what is cut off to a place of its own; then recovers the copy, as
    /// a server will.
    fn copy_log(&mut self, wal: &Path, fresh: &Path) -> Result<Recovered, AdminError> {
        self.make(fresh)?;
        let log = self.plan.log.as_ref().expect("a backup with a log has one");
        let tail = self.tail();
        if self.plan.cut.as_ref().is_some_and(|cut| !cut.drops_nothing()) {
            say(self.as_json, &format!("Keeping what is cut off in {}", tail.display()))?;
            self.make(&tail)?;
        }
        // What was renamed is not any more where the log was found.
        let moved = |path: &Path| match self.renamed.iter().find(|(from, _)| path.starts_with(from)) {
            Some((from, aside)) => aside.join(path.strip_prefix(from).expect("it begins with it")),
            None => path.to_owned(),
        };
        let parts: Vec<_> = log.segments().map(|(id, part)| (id, moved(&part.path), part.bytes)).collect();
        for (id, path, bytes) in parts {
            self.interruption.check()?;
            let cut = self.plan.cut.as_ref();
            let is_dropped = cut.is_some_and(|cut| cut.dropped.contains(&id));
            let shortened = cut.and_then(|cut| cut.shortened.iter().find(|cut| cut.segment == id));
            let name = id.to_string();
            if is_dropped || shortened.is_some() {
                self.copier.copy(&path, &tail.join(&name), bytes)?;
            }
            if !is_dropped {
                let kept = shortened.map_or(bytes, |cut| cut.end_offset.min(bytes));
                self.bytes += self.copier.copy(&path, &fresh.join(&name), kept)?.bytes;
            }
        }
        if tail.exists() {
            self.own_all(&tail)?;
            sync_directory(&tail)?;
        }
        let manifest = match &self.plan.cut {
            Some(cut) => log.cut_back(cut).manifest().clone(),
            None => log.manifest().clone(),
        };
        let (recovered, assertions) = count_assertions(&DirStorage::new(fresh), &manifest)?;
        let expected = self.plan.assertions;
        if assertions != expected {
            return Err(AdminError::Failed(format!(
                "the restored log has {assertions} assertions, but {expected} were found before it was copied"
            )));
        }
        if !self.plan.backup.metadata.backup_type.has_db() {
            self.check_behind_tables(fresh)?;
        }
        let timestamp = match &self.plan.cut {
            Some(cut) => moment::format(cut.time),
            None => self.plan.backup.metadata.timestamp.clone(),
        };
        let backup = self.plan.backup.metadata.backup_id.clone();
        let note = LogCopy::of(backup, timestamp, &manifest.covered, &recovered);
        write_whole(&LogCopy::path(fresh), &note.text(), 0o640)?;
        let mark = restore_mark::write(fresh, wall_clock());
        mark.map_err(|source| AdminError::File { path: restore_mark::path(fresh), source })?;
        if self.options.store.is_named() || archive_mark::path(&moved(wal)).exists() {
            // There is an archive, and it has nothing of what will be written now.
            let mark = archive_mark::write(fresh, &manifest.covered);
            mark.map_err(|source| AdminError::File { path: archive_mark::path(fresh), source })?;
        }
        Ok(recovered)
    }

    /// Checks that the copy of a log goes on behind the tables that are in place, on which a server will start.
    fn check_behind_tables(&self, fresh: &Path) -> Result<(), AdminError> {
        let db = self.options.data.db();
        let storage = DirStorage::new(fresh);
        let files = storage.list().map_err(|source| AdminError::File { path: fresh.to_owned(), source })?;
        let covered = manifest_in(&db)?.covered.of_copy(&files);
        let mut lanes = self.plan.cut.iter().flat_map(|cut| &cut.lanes);
        let is_covered =
            |lane: &&CutLane| covered.end_of(lane.lane).is_some_and(|it| it.end.next_lsn > lane.next_lsn);
        if let Some(lane) = lanes.find(is_covered) {
            return Err(AdminError::Failed(format!(
                "the tables in {} hold what lane {} has from record {} on, which came after the moment, and cannot be cut; restore a full backup",
                db.display(),
                lane.lane.0,
                lane.next_lsn
            )));
        }
        recover_after(&storage, &covered, &mut |_| Ok(())).map(drop).map_err(|error| {
            AdminError::Failed(format!(
                "the log of {} does not go on behind the tables in {}, so that no server would start on both: {error}. Restore a full backup, \
                 or the tables first, with --type db",
                self.plan.backup.metadata.backup_id,
                db.display()
            ))
        })
    }

    fn copy_tables(&mut self, fresh: &Path) -> Result<(), AdminError> {
        self.make(fresh)?;
        for file in &self.plan.backup.metadata.files {
            if let Some(name) = file.path.strip_prefix("db/") {
                self.interruption.check()?;
                let source = self.plan.backup.directory.join(&file.path);
                self.bytes += self.copier.copy(&source, &fresh.join(name), u64::MAX)?.bytes;
            }
        }
        sync_directory(fresh)
    }

    fn replace_metadata(&mut self, recovered: &Recovered) -> Result<(), AdminError> {
        let path = self.options.data.metadata();
        if path.exists() {
            let aside = with_suffix(&path, &format!("backup.{}", self.suffix));
            say(self.as_json, &format!("Keeping existing {} as {}", path.display(), aside.display()))?;
            // Not renamed: there is always one in its place.
            let copied = fs::copy(&path, &aside);
            copied.map_err(|source| AdminError::File { path: aside.clone(), source })?;
            self.owner.take(&aside)?;
            self.renamed.push((path.clone(), aside));
        }
        let metadata = BackupMetadata {
            generation: recovered.next_generation.0 - 1,
            assertion_count: self.plan.assertions,
            ..self.plan.backup.metadata.clone()
        };
        write_whole(&path, &metadata.text(), 0o640)?;
        self.owner.take(&path)
    }

    /// Where that goes which is cut off.
    fn tail(&self) -> PathBuf {
        with_suffix(&self.options.data.wal(), &format!("cut-tail.{}", self.suffix))
    }

    /// Makes a new directory.
    fn make(&mut self, directory: &Path) -> Result<(), AdminError> {
        let made = DirBuilder::new().mode(0o750).create(directory);
        made.map_err(|source| AdminError::File { path: directory.to_owned(), source })?;
        self.made.push(directory.to_owned());
        Ok(())
    }

    fn own_all(&self, directory: &Path) -> Result<(), AdminError> {
        let failed = |source| AdminError::File { path: directory.to_owned(), source };
        self.owner.take(directory)?;
        for entry in fs::read_dir(directory).map_err(failed)? {
            self.owner.take(&entry.map_err(failed)?.path())?;
        }
        sync_directory(directory)
    }

    /// Makes durable what was renamed: log and tables may lie anywhere, each on a disk of its own.
    fn sync_parents(&self) -> Result<(), AdminError> {
        let data = &self.options.data;
        parents(&[&data.wal(), &data.db(), &data.metadata()]).into_iter().try_for_each(sync_directory)
    }

    /// Undoes all that was done.
    fn put_back(&mut self) -> Result<(), AdminError> {
        if self.made.is_empty() && self.renamed.is_empty() {
            return Ok(());
        }
        for made in self.made.iter().filter(|made| made.exists()) {
            remove_all_gradually(made).map_err(|source| AdminError::File { path: made.clone(), source })?;
        }
        for (place, aside) in self.renamed.iter().rev() {
            rename(aside, place)?;
        }
        self.sync_parents()
    }
}

/// The directories that have the names of these paths.
fn parents<'p>(paths: &[&'p PathBuf]) -> BTreeSet<&'p Path> {
    let parent = |path: &'p PathBuf| match path.parent() {
        None => Path::new("/"),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    paths.iter().map(|path| parent(path)).collect()
}

/// Waits until nobody reads the log, and keeps readers away.
fn alone_with(wal: &Path) -> Result<RemovalRight, AdminError> {
    let reason = format!(
        "{} is being read, by a backup, an archive run, a validation or an inspection",
        wal.display()
    );
    wait_for(&reason, LOCK_PATIENCE, || Ok(RemovalRight::on(wal)?))
}

/// `data/wal` with `backup.…` is `data/wal.backup.…`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    path.with_file_name(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), AdminError> {
    fs::rename(from, to).map_err(|source| AdminError::File { path: from.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_with_a_name_that_was_changed_is_made_durable_once() {
        let [wal, db, metadata] = ["/log/wal", "data/db", "data/metadata.json"].map(PathBuf::from);
        let expected = BTreeSet::from([Path::new("/log"), Path::new("data")]);
        assert_eq!(parents(&[&wal, &db, &metadata]), expected);
        assert_eq!(parents(&[&PathBuf::from("wal")]), BTreeSet::from([Path::new(".")]));
    }
}
