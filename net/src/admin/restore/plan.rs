//! What a restore will do: everything is looked at and checked before anything is changed.

use std::path::Path;

use stemedb_engine::log::recovery::cut::{self, Cut, CutError, CutTarget};

use super::RestoreOptions;
use super::current::{Current, choose, current_at, follow_archive};
use super::pieces::{Fetched, Pieces, fetch_pieces};
use crate::admin::backup::{Backup, check_files, check_log, count_assertions};
use crate::admin::error::AdminError;
use crate::admin::files::{Copier, above};
use crate::admin::log_source::LogSource;
use crate::admin::moment;
use crate::admin::progress::Progress;
use crate::admin::text::grouped;

/// What is to be put in place.
pub(super) struct Plan {
    pub(super) backup: Backup,
    /// The log, if one is restored.
    pub(super) log: Option<LogSource>,
    /// What is dropped of it.
    pub(super) cut: Option<Cut>,
    /// The backup that ends what was looked at for that.
    pub(super) counted_to: Option<String>,
    /// How many assertions there will be.
    pub(super) assertions: u64,
    /// Where parts of it may lie.
    _pieces: Option<Pieces>,
}

/// Chooses the backup, checks all of it, and finds what to drop.
pub(super) fn prepare(options: &RestoreOptions, target: Option<CutTarget>) -> Result<Plan, AdminError> {
    refuse_missing_places(options)?;
    let (candidates, catalog) = choose(options, target)?;
    let current = match target {
        Some(target) if candidates[0].metadata.backup_type.has_wal() => {
            current_at(options, target, candidates, &catalog)?
        }
        Some(_) => {
            let message = "tables have no moments to go back to; restore a full backup, or one of the log";
            return Err(AdminError::Usage(message.to_owned()));
        }
        None => {
            let backup = candidates.into_iter().next().expect("there is one at least");
            Current {
                log: LogSource::of_backup(&backup)?,
                backup,
                gap: None,
                reaches: false,
                counted_to: None,
            }
        }
    };
    let mut progress = Progress::start("Verifying", current.backup.metadata.size_bytes);
    let mut copier = Copier::new(None, Box::new(move |bytes| progress.advance(bytes)));
    check_files(&current.backup, &catalog, &mut copier)?;
    check_log(&current.backup)?;
    let Some(target) = target else {
        let Current { backup, log, .. } = current;
        let log = Some(log).filter(|_| backup.metadata.backup_type.has_wal());
        let assertions = backup.metadata.assertion_count;
        return Ok(Plan { backup, log, cut: None, counted_to: None, assertions, _pieces: None });
    };
    let mut fetched = match options.store.is_named() {
        true => fetch_pieces(options, &current.backup, target)?,
        false => Fetched::default(),
    };
    let Current { backup, log, gap, reaches, counted_to } = follow_archive(current, &mut fetched, target)?;
    let Fetched { pieces, has_moment, gap: archive_gap } = fetched;
    if let (Some(archive_gap), false) = (archive_gap, reaches) {
        return Err(AdminError::Failed(archive_gap.to_string()));
    }
    log.check().map_err(|error| match &pieces {
        None => error,
        Some(_) => AdminError::Failed(format!(
            "what is archived does not go on where {} ends, so that the moment cannot be reached from there; choose another backup \
             with --backup-id. {error}",
            backup.metadata.backup_id
        )),
    })?;
    let gap = gap.filter(|_| !has_moment);
    let cut = cut::plan(&log, &log.manifest().covered, target);
    match (&cut, gap) {
        (Ok(cut), Some(directory)) if cut.drops_nothing() => return Err(ends_before(&backup, &directory)),
        (Err(CutError::NoRecord { .. }), Some(directory)) => return Err(ends_before(&backup, &directory)),
        _ => {}
    }
    let cut = cut.map_err(|error| refused(error, &backup, target))?;
    let left = log.cut_back(&cut);
    let (_, assertions) = count_assertions(&left, left.manifest())?;
    if assertions == 0 && cut.records_dropped() > 0 {
        return Err(AdminError::Usage(format!(
            "nothing had been acknowledged by {}: no assertion would be left, and {} records be dropped; name a later moment",
            moment::format(cut.time),
            grouped(cut.records_dropped())
        )));
    }
    Ok(Plan { backup, log: Some(log), cut: Some(cut), counted_to, assertions, _pieces: pieces })
}

/// Refuses to put anything where the directory above is missing: its disk may not be mounted.
fn refuse_missing_places(options: &RestoreOptions) -> Result<(), AdminError> {
    let root = options.data.root();
    for place in [options.data.wal(), options.data.db()] {
        // The one that holds the tables is made.
        let needed = match above(&place) {
            holder if holder == root && !root.exists() => above(&root),
            holder => holder,
        };
        if !needed.is_dir() {
            return Err(AdminError::Failed(format!(
                "{} cannot be restored: {needed:?} is no directory that is there; is its disk mounted?",
                place.display()
            )));
        }
    }
    Ok(())
}

/// A backup cannot be followed up to the moment.
fn ends_before(backup: &Backup, directory: &Path) -> AdminError {
    AdminError::Failed(format!(
        "{} ends before that moment, with what may be archived behind it, and the log in {} has nothing of what came next: it has gone \
         into tables. Name the archive with --store, take a backup that is newer, or restore this one without a moment",
        backup.metadata.backup_id,
        directory.display()
    ))
}

/// Why the log that goes on where a backup ends cannot be cut.
fn refused(error: CutError, backup: &Backup, target: CutTarget) -> AdminError {
    let id = &backup.metadata.backup_id;
    match (error, target) {
        (CutError::Log(error), _) => AdminError::Log(error),
        (error @ CutError::NoRecord { .. }, _) => AdminError::Failed(error.to_string()),
        (CutError::Covered { .. }, CutTarget::Time(time)) => AdminError::Failed(format!(
            "the tables of {id} may hold claims that came after {}; take a backup that is older than that",
            moment::format(time)
        )),
        (CutError::Covered { .. }, CutTarget::Record { lane, lsn }) => AdminError::Failed(format!(
            "the tables of {id} may hold record {lsn} of lane {}, or what was written after it; take an older backup with --backup-id",
            lane.0
        )),
    }
}
