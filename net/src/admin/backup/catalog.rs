//! The backups in a directory.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stemedb_engine::removal::remove_all_gradually;

use super::metadata::{BackupMetadata, BackupType};
use crate::admin::error::AdminError;
use crate::admin::files::sync_directory;

/// What the directory of a backup is called before its time.
const PREFIX: &str = "stemedb-backup-";

/// A backup that is complete: only complete ones have their name.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Backup {
    pub(in crate::admin) directory: PathBuf,
    pub(in crate::admin) metadata: BackupMetadata,
}

/// The backups in a directory, newest first.
#[derive(Debug)]
pub(in crate::admin) struct Catalog {
    pub(in crate::admin) backups: Vec<Backup>,
    /// Directories with the name of a backup that are none, and why.
    pub(in crate::admin) broken: Vec<(PathBuf, String)>,
}

/// The name of the directory of a backup that was begun at this time, `20260130-020000`.
pub(super) fn directory_name(time: &str) -> String {
    format!("{PREFIX}{time}")
}

/// The name of that directory until the backup is complete.
pub(super) fn partial_name(time: &str) -> String {
    format!(".{PREFIX}{time}.partial")
}

/// Whether a directory of this name is a backup that was never completed, or is being removed.
fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name[1..].starts_with(PREFIX) && name.ends_with(".partial")
}

/// Removes what backups have left that were interrupted, and removals of backups: the lock says that none of them is under way.
pub(super) fn remove_partial(directory: &Path) -> Result<(), AdminError> {
    let failed = |source| AdminError::File { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_partial(&entry.file_name().to_string_lossy()) {
            let removed = match entry.file_type().map_err(failed)?.is_dir() {
                true => remove_all_gradually(&entry.path()),
                false => fs::remove_file(entry.path()),
            };
            removed.map_err(|source| AdminError::File { path: entry.path(), source })?;
        }
    }
    Ok(())
}

impl Catalog {
    /// Reads what backups there are in `directory`.
    ///
    /// # Errors
    ///
    /// When the directory is not there or cannot be read.
    pub(in crate::admin) fn read(directory: &Path) -> Result<Catalog, AdminError> {
        let mut catalog = Catalog { backups: Vec::new(), broken: Vec::new() };
        let failed = |source| AdminError::File { path: directory.to_owned(), source };
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(AdminError::Failed(format!(
                    "there is no directory {directory:?} with backups; --help tells which option says where they are"
                )));
            }
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let is_backup = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if !is_backup || !entry.path().is_dir() {
                continue;
            }
            match BackupMetadata::read(&entry.path()) {
                Ok(metadata) => catalog.backups.push(Backup { directory: entry.path(), metadata }),
                Err(error) => catalog.broken.push((entry.path(), error.to_string())),
            }
        }
        // The times are of one form and length, so that they sort as text.
        let newness = |backup: &Backup| (backup.metadata.timestamp.clone(), backup.directory.clone());
        catalog.backups.sort_by_key(|backup| std::cmp::Reverse(newness(backup)));
        catalog.broken.sort_by(|one, other| other.cmp(one));
        Ok(catalog)
    }

    /// The backup of this identity.
    pub(super) fn by_id(&self, id: &str) -> Option<&Backup> {
        self.backups.iter().find(|backup| backup.metadata.backup_id == id)
    }

    /// The backup of this identity or, if there is none, of this name of its directory.
    pub(super) fn named(&self, name: &str) -> Option<&Backup> {
        let is_in = |backup: &&Backup| backup.directory.file_name().is_some_and(|its| its == name);
        self.by_id(name).or_else(|| self.backups.iter().find(is_in))
    }

    /// What has this name, or that of the backup with this identity, and is no backup: where it is, and why.
    pub(super) fn broken_named(&self, name: &str) -> Option<&(PathBuf, String)> {
        let of_identity = name.split_once('_').map(|(_, time)| directory_name(&time.replace('_', "-")));
        let is_it = |other: &str| other == name || Some(other) == of_identity.as_deref();
        self.broken.iter().find(|(path, _)| path.file_name().and_then(OsStr::to_str).is_some_and(is_it))
    }

    /// The backup that is meant where none is named: the newest full one. That of a part must not stand for the whole.
    pub(super) fn newest(&self) -> Option<&Backup> {
        self.of_type(BackupType::Full).next()
    }

    /// Whether it is the [newest](Self::newest) of these backups, not a copy of it elsewhere, and nothing that cannot be read is newer.
    pub(super) fn is_newest(&self, backup: &Backup) -> bool {
        let place = |backup: &Backup| fs::canonicalize(&backup.directory).ok();
        let newest = self.newest();
        newest.is_some_and(|newest| place(newest).is_some_and(|newest| place(backup) == Some(newest)))
            && self.broken_after(newest).next().is_none()
    }

    /// What has the name of a backup that is newer than `backup`, or of any if that is none, and is no backup, newest first: where it is, and why.
    pub(in crate::admin) fn broken_after(
        &self,
        backup: Option<&Backup>,
    ) -> impl Iterator<Item = &(PathBuf, String)> {
        let name = backup.and_then(|backup| backup.directory.file_name()).unwrap_or_default();
        self.broken.iter().filter(move |(path, _)| path.file_name().is_some_and(|other| other > name))
    }

    /// Says on standard error what seems to be newer than `backup`, which is taken instead, and is no backup.
    pub(in crate::admin) fn tell_broken_after(&self, backup: Option<&Backup>) {
        for (path, reason) in self.broken_after(backup) {
            let path = path.display();
            match backup.map(|backup| &backup.metadata.backup_id) {
                Some(id) => eprintln!(
                    "stemedb-admin: {path} has the name of a backup that is newer than {id}, and is none: {reason}"
                ),
                None => eprintln!("stemedb-admin: {path} has the name of a backup, and is none: {reason}"),
            }
        }
    }

    /// The backups of a type, newest first.
    pub(in crate::admin) fn of_type(&self, of: BackupType) -> impl Iterator<Item = &Backup> {
        self.backups.iter().filter(move |backup| backup.metadata.backup_type == of)
    }

    /// The newest backup of the same type that is older than `backup`.
    pub(in crate::admin) fn previous(&self, backup: &Backup) -> Option<&Backup> {
        let metadata = &backup.metadata;
        self.backups.iter().find(|other| {
            other.metadata.backup_type == metadata.backup_type
                && other.metadata.timestamp < metadata.timestamp
                && other.directory != backup.directory
        })
    }
}

impl Backup {
    /// The backup in `directory`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(in crate::admin) fn open(directory: &Path) -> Result<Backup, AdminError> {
        let metadata = BackupMetadata::read(directory).map_err(|error| match error {
            AdminError::File { source, .. }
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                AdminError::Failed(format!(
                    "{directory:?} is not the directory of a backup: it has no metadata.json; expected one such as \
                     backups/{PREFIX}20260130-020000"
                ))
            }
            AdminError::Failed(reason) => {
                AdminError::NoBackup { path: directory.to_owned(), reason, instead: None }
            }
            error => error,
        })?;
        Ok(Backup { directory: directory.to_owned(), metadata })
    }

    /// Takes its name away, durably, and gives the place where it is now: under the name of one that was never completed, from where whoever comes
    /// next [removes](remove_partial) it.
    pub(super) fn set_aside(&self) -> Result<PathBuf, AdminError> {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        let aside = self.directory.with_file_name(format!(".{name}.partial"));
        fs::rename(&self.directory, &aside)
            .map_err(|source| AdminError::File { path: self.directory.clone(), source })?;
        sync_directory(self.directory.parent().unwrap_or(Path::new("")))?;
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes the directory of a backup, whole or not.
    fn make(backups: &Path, time: &str, metadata: &str) {
        let directory = backups.join(directory_name(time));
        fs::create_dir(&directory).expect("its name is free");
        fs::write(directory.join("metadata.json"), metadata).expect("writable");
        fs::write(directory.join("file"), "bytes").expect("writable");
    }

    fn of_second(second: u32) -> (String, String) {
        let metadata = format!(
            r#"{{"format_version": 1, "version": "0.1.0", "slots": 1024, "slot_hash": "crc32c", "generation": 1, "cores": 1,
            "assertion_count": 0, "backup_id": "full_20260130_02000{second}", "backup_type": "full",
            "timestamp": "2026-01-30T02:00:0{second}Z", "wal_segment_count": 0, "size_bytes": 0, "copied_bytes": 0,
            "first_frame": null, "last_frame": null, "lanes": [], "files": []}}"#
        );
        (format!("20260130-02000{second}"), metadata)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable");
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_newer_than_a_backup_and_none_is_known() {
        let backups = tempfile::tempdir().expect("a directory");
        for second in [1, 3] {
            let (time, metadata) = of_second(second);
            make(backups.path(), &time, &metadata);
        }
        for second in [0, 2, 4, 5] {
            make(backups.path(), &of_second(second).0, "{");
        }
        let catalog = Catalog::read(backups.path()).expect("readable");
        let seconds = |backup: Option<&Backup>| {
            let paths = catalog.broken_after(backup).map(|(path, _)| path.to_string_lossy().into_owned());
            paths.map(|path| path[path.len() - 1..].to_owned()).collect::<String>()
        };
        assert_eq!(seconds(catalog.backups.first()), "54");
        assert_eq!(seconds(catalog.backups.last()), "542");
        assert_eq!(seconds(None), "5420");
        assert!(catalog.backups.iter().all(|backup| !catalog.is_newest(backup)));
        let readable = Catalog { broken: Vec::new(), ..catalog };
        let newest: Vec<_> = readable.backups.iter().map(|backup| readable.is_newest(backup)).collect();
        assert_eq!(newest, [true, false]);
    }

    /// Goal: of a backup whose removal was cut off nothing stays, and nobody takes it for one meanwhile. Method: only its first half.
    #[test]
    fn a_removal_that_is_cut_off_is_ended_by_whoever_comes_next() {
        let backups = tempfile::tempdir().expect("a directory");
        for second in [1, 2] {
            let (time, metadata) = of_second(second);
            make(backups.path(), &time, &metadata);
        }
        let catalog = Catalog::read(backups.path()).expect("readable");
        let aside = catalog.backups[1].set_aside().expect("writable");
        assert_eq!(names(&aside).len(), 2, "nothing is gone yet");
        let catalog = Catalog::read(backups.path()).expect("readable");
        assert_eq!((catalog.backups.len(), catalog.broken.len()), (1, 0));
        remove_partial(backups.path()).expect("removable");
        assert_eq!(names(backups.path()), [directory_name(&of_second(2).0)]);
    }

    #[test]
    fn what_was_interrupted_is_removed_and_what_it_leads_to_is_not() {
        let root = tempfile::tempdir().expect("a directory");
        let (backups, other) = (root.path().join("backups"), root.path().join("other"));
        fs::create_dir_all(backups.join(partial_name("20260130-020000")).join("wal")).expect("writable");
        fs::create_dir(&other).expect("writable");
        fs::write(other.join("file"), "bytes").expect("writable");
        symlink(&other, backups.join(partial_name("20260130-020001"))).expect("its name is free");
        remove_partial(&backups).expect("removable");
        assert_eq!(names(&backups), Vec::<String>::new());
        assert_eq!(names(&other), ["file"]);
    }
}
