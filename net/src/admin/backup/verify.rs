//! Whether a backup is what it was: every file by its checksum, and the log by recovering it.

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{Recovered, recover_after};
use stemedb_engine::log::storage::{DirStorage, LogStorage};

use super::catalog::{Backup, Catalog};
use crate::admin::error::AdminError;
use crate::admin::files::Copier;
use crate::admin::tables::manifest_in;

/// Reads every file of a backup and compares it with what the backup says of it.
///
/// # Errors
///
/// [`AdminError::BackupDamaged`] for the first file that is another or missing, with the backup to take instead.
pub(in crate::admin) fn check_files(
    backup: &Backup,
    catalog: &Catalog,
    copier: &mut Copier,
) -> Result<(), AdminError> {
    let damaged = |file: &str, expected: String, actual: String| AdminError::BackupDamaged {
        path: backup.directory.join(file),
        expected,
        actual,
        instead: catalog.previous(backup).map(|previous| previous.metadata.backup_id.clone()),
    };
    for file in &backup.metadata.files {
        let path = backup.directory.join(&file.path);
        let found = match copier.digest(&path) {
            Ok(found) => found,
            Err(AdminError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(&file.path, file.sha256.clone(), "no such file".to_owned()));
            }
            Err(error) => return Err(error),
        };
        if found.bytes != file.bytes || found.sha256 != file.sha256 {
            let with_bytes = |sha256: &str, bytes| format!("{sha256} ({bytes} bytes)");
            return Err(damaged(
                &file.path,
                with_bytes(&file.sha256, file.bytes),
                with_bytes(&found.sha256, found.bytes),
            ));
        }
    }
    Ok(())
}

/// Recovers a log as a server would, behind what the tables of the manifest cover, and counts the assertions of both.
pub(in crate::admin) fn count_assertions(
    log: &dyn LogStorage,
    manifest: &Manifest,
) -> Result<(Recovered, u64), AdminError> {
    let mut assertions = manifest.entries();
    let recovered = recover_after(log, &manifest.covered, &mut |records| {
        assertions += records.iter().filter(|record| record.kind == RecordKind::Assertion).count() as u64;
        Ok(())
    });
    let recovered = recovered.map_err(AdminError::Log)?;
    Ok((recovered, assertions))
}

/// Checks that the log of a backup recovers, and holds what the backup says.
pub(in crate::admin) fn check_log(backup: &Backup) -> Result<(), AdminError> {
    if !backup.metadata.backup_type.has_wal() {
        return Ok(());
    }
    let wal = backup.directory.join("wal");
    let manifest = manifest_in(&backup.directory.join("db"))?;
    let (_, assertions) = count_assertions(&DirStorage::new(&wal), &manifest)?;
    let expected = backup.metadata.assertion_count;
    if assertions != expected {
        return Err(AdminError::Failed(format!(
            "the log in {} has {assertions} assertions, but its metadata says {expected}",
            wal.display()
        )));
    }
    Ok(())
}
