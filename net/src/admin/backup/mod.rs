//! `stemedb-admin backup`: takes backups, lists them, checks them, and removes old ones.

mod catalog;
mod history;
mod list;
mod metadata;
mod prune;
mod remote;
mod run;
mod schedule;
mod verify;

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use super::data::{DataOptions, directory};
use super::error::AdminError;
use super::files::Copier;
use super::progress::Progress;
use super::run_report;
use crate::run_status::Job;
pub(super) use catalog::{Backup, Catalog};
pub(super) use metadata::{BackupMetadata, BackupType};
pub(super) use remote::is_note;
pub(super) use verify::{check_files, check_log, count_assertions};

/// What `backup` can do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum BackupCommand {
    /// Take a backup; the server may run meanwhile
    #[command(after_help = RUN_EXAMPLES)]
    Run(run::RunOptions),
    /// Show which backups there are, newest first
    #[command(after_help = LIST_EXAMPLES, mut_arg("store", |store| store.help(list::STORE_HELP).conflicts_with("from")))]
    List(list::ListOptions),
    /// Check every file of a backup by its checksum, and that its log recovers
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyOptions),
    /// Copy a backup to a store
    #[command(after_help = PUSH_EXAMPLES)]
    Push(remote::PushOptions),
    /// Copy a backup from a store, to be restored
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch(remote::RemoteOptions),
    /// Translate BACKUP_SCHEDULE into a drop-in for stemedb-backup.timer
    #[command(after_help = SCHEDULE_EXAMPLES)]
    Schedule(schedule::ScheduleOptions),
    /// Remove backups that are older than BACKUP_RETENTION_DAYS, but never the last one
    #[command(after_help = PRUNE_EXAMPLES)]
    Prune(prune::PruneOptions),
}

/// What `backup verify` is asked to look at.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The backup: its identity or its directory [default: the newest full one]
    backup: Option<String>,
    /// The directory that holds the backups
    #[arg(long, value_name = "DIR", default_value = "backups", value_parser = directory)]
    from: PathBuf,
}

const RUN_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup run --data-dir /opt/stemedb/data --to /opt/stemedb/backups
  stemedb-admin backup run --bytes-per-second 100000000
  stemedb-admin backup run --json | jq .assertion_count

Everything that was acknowledged before the start of the backup is in it. Files that have not changed \
since the last backup are shared with it (hard links), so a daily backup costs what a day has added. \
The backup gets its name when it is complete, durable, and its copy of the log has been recovered.";

const LIST_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup list --type full
  stemedb-admin backup list --json | jq -r '.backups[0].backup_id'
  stemedb-admin backup list --store s3://stemedb-backups";

const VERIFY_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup verify
  stemedb-admin backup verify full_20260130_020000 --from /opt/stemedb/backups
  stemedb-admin backup verify /mnt/disk/stemedb-backup-20260130-020000

Exit code 3 means that it is damaged, or that something which seems to be newer is no backup.";

const PUSH_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup push --store /mnt/elsewhere/store
  stemedb-admin backup push full_20260130_020000 --store s3://stemedb-backups

A bucket is found by MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or by AWS_ENDPOINT_URL, AWS_REGION, \
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";

const FETCH_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup fetch --store s3://stemedb-backups
  stemedb-admin backup fetch full_20260130_020000 --store /mnt/elsewhere/store --local /opt/stemedb/backups";

const SCHEDULE_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup schedule --schedule '30 1 * * 1-5'
  stemedb-admin backup schedule | sudo tee /etc/systemd/system/stemedb-backup.timer.d/schedule.conf";

const PRUNE_EXAMPLES: &str = "\
Examples:
  stemedb-admin backup prune --dry-run
  stemedb-admin backup prune --retention-days 90 --from /opt/stemedb/backups";

/// Does what was asked.
pub(super) fn run(as_json: bool, command: &BackupCommand) -> Result<ExitCode, AdminError> {
    match command {
        BackupCommand::Run(options) => run::run(as_json, options),
        BackupCommand::List(options) => list::run(as_json, options),
        BackupCommand::Verify(options) => verify(as_json, options),
        BackupCommand::Push(options) => remote::push(as_json, options),
        BackupCommand::Fetch(options) => remote::fetch(as_json, options),
        BackupCommand::Schedule(options) => schedule::run(as_json, options),
        BackupCommand::Prune(options) => prune::run(as_json, options),
    }
}

/// Checks a backup, and notes how that went if it is the newest full one, which is what is watched.
fn verify(as_json: bool, options: &VerifyOptions) -> Result<ExitCode, AdminError> {
    let began = Instant::now();
    let chosen = choose(options);
    let is_newest = chosen.as_ref().is_ok_and(|(backup, _)| is_newest_in(&options.from, backup));
    let checked = chosen.and_then(|(backup, catalog)| check(&backup, &catalog).map(|()| backup));
    if is_newest || options.backup.is_none() && checked.is_err() {
        let bytes = checked.as_ref().ok().map(|backup| backup.metadata.size_bytes);
        run_report::note(Job::Verify, &options.data.root(), began, bytes);
    }
    let backup = checked?;
    let BackupMetadata { backup_id, assertion_count, files, .. } = &backup.metadata;
    let mut out = stdout().lock();
    if as_json {
        let verdict = json!({
            "backup_id": backup_id, "verified": true, "files": files.len(), "assertion_count": assertion_count,
        });
        writeln!(out, "{verdict}")?;
    } else {
        writeln!(out, "Backup {backup_id} verified: {} files, {assertion_count} assertions", files.len())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The backup that is to be checked, and those beside it.
fn choose(options: &VerifyOptions) -> Result<(Backup, Catalog), AdminError> {
    if let Some(name) = &options.backup {
        return named(name, &options.from);
    }
    let catalog = Catalog::read(&options.from)?;
    Ok((newest(&catalog, &options.from)?, catalog))
}

fn check(backup: &Backup, catalog: &Catalog) -> Result<(), AdminError> {
    let mut progress = Progress::start("Verifying", backup.metadata.size_bytes);
    let mut copier = Copier::new(None, Box::new(move |bytes| progress.advance(bytes)));
    check_files(backup, catalog, &mut copier)?;
    check_log(backup)
}

/// The newest full backup. That one cannot be read must not make an older one the newest.
fn newest(catalog: &Catalog, from: &Path) -> Result<Backup, AdminError> {
    let newest = catalog.newest();
    if let Some((path, reason)) = catalog.broken_after(newest).next() {
        return Err(AdminError::NoBackup {
            path: path.clone(),
            reason: reason.clone(),
            instead: newest.map(|newest| newest.metadata.backup_id.clone()),
        });
    }
    newest.cloned().ok_or_else(|| none_of(BackupType::Full, catalog, from))
}

/// Whether it is the newest full backup of those in `from`, which is what is watched.
fn is_newest_in(from: &Path, backup: &Backup) -> bool {
    Catalog::read(from).is_ok_and(|catalog| catalog.is_newest(backup))
}

/// The backup that somebody means, and those beside it: one in `from`, by its identity or by the name of its directory, or else a directory anywhere.
pub(super) fn named(name: &str, from: &Path) -> Result<(Backup, Catalog), AdminError> {
    let is_path = name.contains('/') || !name.is_empty() && !from.is_dir();
    if is_path {
        return in_directory(Path::new(name));
    }
    let catalog = Catalog::read(from)?;
    match catalog.named(name) {
        Some(backup) => Ok((backup.clone(), catalog)),
        None if !name.is_empty() && Path::new(name).is_dir() => in_directory(Path::new(name)),
        None => Err(not_in(name, &catalog, from)),
    }
}

/// The backup of this identity, and those beside it.
pub(super) fn by_id(id: &str, from: &Path) -> Result<(Backup, Catalog), AdminError> {
    let catalog = Catalog::read(from)?;
    match catalog.by_id(id) {
        Some(backup) => Ok((backup.clone(), catalog)),
        None => Err(not_in(id, &catalog, from)),
    }
}

/// The backup in a directory, and those beside it.
fn in_directory(directory: &Path) -> Result<(Backup, Catalog), AdminError> {
    let backup = Backup::open(directory)?;
    let failed = |source| AdminError::File { path: directory.to_owned(), source };
    let absolute = std::path::absolute(directory).map_err(failed)?;
    Ok((backup, Catalog::read(absolute.parent().unwrap_or(&absolute))?))
}

fn not_in(name: &str, catalog: &Catalog, from: &Path) -> AdminError {
    if let Some((path, reason)) = catalog.broken_named(name) {
        let instead = catalog.newest().map(|newest| newest.metadata.backup_id.clone());
        return AdminError::NoBackup { path: path.clone(), reason: reason.clone(), instead };
    }
    let from = from.display();
    AdminError::Failed(format!(
        "there is no backup {name:?} in {from}; `stemedb-admin backup list --from {from}` shows what there is"
    ))
}

/// There is no backup of the type that is wanted; says of which types there are some.
pub(super) fn none_of(wanted: BackupType, catalog: &Catalog, from: &Path) -> AdminError {
    let count = |of: BackupType| (of, catalog.of_type(of).count());
    let others: Vec<_> = BackupType::ALL
        .into_iter()
        .map(count)
        .filter(|&(_, count)| count > 0)
        .map(|(of, count)| format!("{count} of type {}", of.name()))
        .collect();
    let others = match others.is_empty() {
        true => "nor one of another type".to_owned(),
        false => format!("but {}", others.join(" and ")),
    };
    AdminError::Failed(format!(
        "there is no backup of type {} in {}, {others}",
        wanted.name(),
        from.display()
    ))
}
