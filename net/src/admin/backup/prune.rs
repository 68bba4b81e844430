//! `stemedb-admin backup prune`: removes old backups.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use stemedb_engine::removal::remove_all_gradually;
use stemedb_engine::time::UnixMicros;

use super::catalog::{Backup, Catalog, remove_partial};
use super::metadata::BackupType;
use super::verify::check_files;
use crate::admin::data::directory;
use crate::admin::error::AdminError;
use crate::admin::files::{Copier, LOCK_PATIENCE, lock_alone};
use crate::admin::moment;
use crate::driver::wall_clock;

/// What `backup prune` is asked to do.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct PruneOptions {
    /// The directory that holds the backups
    #[arg(long, value_name = "DIR", default_value = "backups", value_parser = directory)]
    from: PathBuf,
    /// Remove backups that are older than so many days
    #[arg(long, value_name = "DAYS", env = "BACKUP_RETENTION_DAYS", default_value_t = 30)]
    retention_days: u32,
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Removes backups that are too old, oldest first. The newest of each type that is whole stays, however old it is.
pub(super) fn run(as_json: bool, options: &PruneOptions) -> Result<ExitCode, AdminError> {
    // A backup that is being taken may share files with one that goes, and another run may remove the same ones.
    let lock = match options.dry_run || !options.from.is_dir() {
        true => None,
        false => Some(lock_alone(&options.from.join(".lock"), "a backup", LOCK_PATIENCE)?),
    };
    if lock.is_some() {
        remove_partial(&options.from)?;
    }
    let catalog = Catalog::read(&options.from)?;
    let oldest = wall_clock().0 - i64::from(options.retention_days) * 86_400 * UnixMicros::PER_SECOND;
    let mut removed = Vec::new();
    for of in BackupType::ALL {
        let backups: Vec<_> = catalog.backups.iter().filter(|it| it.metadata.backup_type == of).collect();
        let is_old =
            |backup: &&&Backup| moment::parse(&backup.metadata.timestamp).is_ok_and(|time| time.0 < oldest);
        if !backups.iter().any(|backup| is_old(&backup)) {
            continue;
        }
        let Some(good) = newest_whole(&backups, &catalog)? else {
            eprintln!("stemedb-admin: no {} backup is whole; none is removed", of.name());
            continue;
        };
        removed.extend(backups.into_iter().skip(good + 1).filter(|backup| is_old(&backup)).rev());
    }
    for backup in &removed {
        if !options.dry_run {
            remove(backup)?;
        }
    }
    let ids: Vec<_> = removed.iter().map(|backup| &backup.metadata.backup_id).collect();
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({ "removed": ids, "dry_run": options.dry_run }))?;
    } else {
        let verb = if options.dry_run { "Would remove" } else { "Removed" };
        for id in &ids {
            writeln!(out, "{verb} {id}")?;
        }
        writeln!(out, "{verb} {} of {} backups", ids.len(), catalog.backups.len())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Which of these backups, newest first, is the first one whose files are what they were.
fn newest_whole(backups: &[&Backup], catalog: &Catalog) -> Result<Option<usize>, AdminError> {
    let mut copier = Copier::new(None, Box::new(|_| {}));
    for (at, backup) in backups.iter().enumerate() {
        match check_files(backup, catalog, &mut copier) {
            Ok(()) => return Ok(Some(at)),
            Err(AdminError::BackupDamaged { path, .. }) => {
                eprintln!("stemedb-admin: {} is damaged: {}", backup.metadata.backup_id, path.display());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Removes a backup: first its name, so that one half removed is never taken for whole, and does not stay.
fn remove(backup: &Backup) -> Result<(), AdminError> {
    let aside = backup.set_aside()?;
    remove_all_gradually(&aside).map_err(|source| AdminError::File { path: aside, source })
}
