//! The backups in a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::metadata::{BackupMetadata, BackupType};
use crate::admin::error::AdminError;

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

/// Whether a directory of this name is a backup that was never completed.
pub(super) fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name[1..].starts_with(PREFIX) && name.ends_with(".partial")
}

impl Catalog {
    /// Reads what backups there are in `directory`. One that is not there has none.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub(in crate::admin) fn read(directory: &Path) -> Result<Catalog, AdminError> {
        let mut catalog = Catalog { backups: Vec::new(), broken: Vec::new() };
        let failed = |source| AdminError::File { path: directory.to_owned(), source };
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(catalog),
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
        Ok(catalog)
    }

    /// The backup of this identity.
    pub(in crate::admin) fn by_id(&self, id: &str) -> Option<&Backup> {
        self.backups.iter().find(|backup| backup.metadata.backup_id == id)
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
        let metadata = BackupMetadata::read(directory)?;
        Ok(Backup { directory: directory.to_owned(), metadata })
    }
}
