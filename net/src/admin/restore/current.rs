//! Which log was current at a moment: that of a backup, and where it goes on.

use std::path::PathBuf;

use stemedb_engine::log::recovery::cut::CutTarget;

use super::RestoreOptions;
use super::pieces::Fetched;
use crate::admin::backup::{self, Backup, Catalog};
use crate::admin::error::AdminError;
use crate::admin::log_source::{Extension, LogSource};
use crate::admin::moment;
use crate::admin::tables::manifest_in;

/// The backup to go back to, and the log that went on from there.
pub(super) struct Current {
    pub(super) backup: Backup,
    pub(super) log: LogSource,
    /// A directory in which the log goes on, but not with what comes next.
    pub(super) gap: Option<PathBuf>,
    /// Whether the log has all up to the moment, from a backup that was begun later or from where it is still in its place.
    pub(super) reaches: bool,
    /// The backup up to which it was looked at. What came later is not needed, and may be damaged.
    pub(super) counted_to: Option<String>,
}

/// The backups that may be meant, the best first: the one that is asked for or, of those of the type, those that are older than the
/// moment, newest first; or, for a record, those whose tables do not hold it. If none is, the oldest may still reach back to it.
pub(super) fn choose(
    options: &RestoreOptions,
    target: Option<CutTarget>,
) -> Result<(Vec<Backup>, Catalog), AdminError> {
    let named = options.backup.as_ref().map(|name| backup::named(name, &options.from));
    let chosen = named.or_else(|| options.backup_id.as_ref().map(|id| backup::by_id(id, &options.from)));
    if let Some((backup, catalog)) = chosen.transpose()? {
        return Ok((vec![backup], catalog));
    }
    let catalog = Catalog::read(&options.from)?;
    let of_type = || catalog.of_type(options.backup_type).cloned();
    let mut candidates = Vec::new();
    for backup in of_type().filter(|backup| !is_after(backup, target)) {
        if !has_in_tables(&backup, target)? {
            candidates.push(backup);
        }
    }
    if candidates.is_empty() {
        candidates.extend(of_type().last());
    }
    if candidates.is_empty() {
        return Err(backup::none_of(options.backup_type, &catalog, &options.from));
    }
    catalog.tell_broken_after(candidates.first());
    Ok((candidates, catalog))
}

/// Whether the tables of a backup hold the record that is the target.
fn has_in_tables(backup: &Backup, target: Option<CutTarget>) -> Result<bool, AdminError> {
    let Some(CutTarget::Record { lane, lsn }) = target else { return Ok(false) };
    let covered = manifest_in(&backup.directory.join("db"))?.covered;
    Ok(covered.end_of(lane).is_some_and(|covered| lsn < covered.end.next_lsn))
}

/// The first of these backups that is of the log that was current at the moment, with all of that log that the next backup has
/// or, if that has not what comes next, what is still in its place. A restore to a moment gives up what came after it: a backup of that is of
/// another log.
pub(super) fn current_at(
    options: &RestoreOptions,
    target: CutTarget,
    candidates: Vec<Backup>,
    catalog: &Catalog,
) -> Result<Current, AdminError> {
    let is_chosen = options.backup.is_some() || options.backup_id.is_some();
    for backup in candidates {
        let mut log = LogSource::of_backup(&backup)?;
        let next = next_after(&backup, catalog, target).map(|next| next.directory.clone());
        let next = next.map(|next| (next.join("wal"), next.join("db")));
        let (mut is_given_up, mut reaches) = (false, false);
        let mut gap = None;
        for (directory, db) in next.into_iter().chain([(options.data.wal(), options.data.db())]) {
            let since = match log.extend(&directory, &db)? {
                Extension::OtherSince(since) => since,
                Extension::None => continue,
                Extension::Gap => {
                    gap = gap.or(Some(directory));
                    continue;
                }
                Extension::Added => {
                    // A backup that was begun after the moment reaches up to it, and so does the log from which that was taken.
                    gap = None;
                    reaches = true;
                    break;
                }
            };
            let by_then = matches!(target, CutTarget::Time(time) if since <= time);
            is_given_up |= by_then;
            eprintln!(
                "stemedb-admin: the log in {} is not used: it is another one than that of {}",
                directory.display(),
                backup.metadata.backup_id
            );
        }
        if is_chosen || !is_given_up {
            let next = next_after(&backup, catalog, target);
            let counted_to = next.filter(|_| reaches).map(|next| next.metadata.backup_id.clone());
            return Ok(Current { backup, log, gap, reaches, counted_to });
        }
    }
    Err(AdminError::Failed(format!(
        "no backup in {} is of the log that was current at that time; name one with --backup-id to take it all the same",
        options.from.display()
    )))
}

/// Has the log go on with what came from the archive. Where that is another one than what is in place, which was restored in between, the one
/// counts that was current at the moment.
pub(super) fn follow_archive(
    mut current: Current,
    fetched: &mut Fetched,
    target: CutTarget,
) -> Result<Current, AdminError> {
    let Some(pieces) = &fetched.pieces else { return Ok(current) };
    let Extension::OtherSince(since) = current.log.extend_by_pieces(&pieces.directory)? else {
        return Ok(current);
    };
    let id = &current.backup.metadata.backup_id;
    let mut log = LogSource::of_backup(&current.backup)?;
    if log.extend_by_pieces(&pieces.directory)? != Extension::Added {
        return Err(AdminError::Failed(format!(
            "what is archived is of another log than {id}; choose another backup with --backup-id"
        )));
    }
    let since_when = moment::format(since);
    match target {
        CutTarget::Time(time) if time < since => {
            eprintln!(
                "stemedb-admin: the log that is in place is not used: it is another one than the archive's since {since_when}"
            );
            Ok(Current { log, gap: None, reaches: false, counted_to: None, ..current })
        }
        CutTarget::Time(_) => {
            eprintln!(
                "stemedb-admin: what is archived is not used: the log that is in place is another one since {since_when}"
            );
            *fetched = Fetched::default();
            Ok(current)
        }
        CutTarget::Record { .. } => Err(AdminError::Failed(format!(
            "the log that is in place is another one than the archive's since {since_when}, and both have gone on from {id}: name a time \
             with --target-time, or leave out --store, or move the log that is in place aside"
        ))),
    }
}

/// The first backup after the moment that has a log.
fn next_after<'c>(backup: &Backup, catalog: &'c Catalog, target: CutTarget) -> Option<&'c Backup> {
    let later = catalog.backups.iter().take_while(|other| {
        is_after(other, Some(target)) && other.metadata.timestamp > backup.metadata.timestamp
    });
    later.filter(|other| other.metadata.backup_type.has_wal()).last()
}

/// Whether a backup was begun after the moment. Of a record nobody knows when it was written; every backup may have it.
fn is_after(backup: &Backup, target: Option<CutTarget>) -> bool {
    match (target, moment::parse(&backup.metadata.timestamp)) {
        (Some(CutTarget::Time(time)), Ok(begun)) => begun > time,
        _ => false,
    }
}
