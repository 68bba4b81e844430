//! Going on without segments that are gone: what is there moves into tables, and all of the log that was is covered.
//!
//! One change of the manifest decides. Before it the log is as it was, and a start refuses it; after it no start misses anything any
//! more, and what is left of the log is removed like any other that tables have.

use super::making::Making;
use super::{Manifest, Store, StoreError, UpkeepError};
use crate::log::generation::GenerationRecord;
use crate::log::recovery::{LostSegments, RecoveryVisitError, Replayed, SegmentRange, read_without};
use crate::table::TableNumber;
use crate::time::UnixMicros;

/// What is given up, and how.
#[derive(Debug, Clone, Copy)]
pub struct GiveUp<'a> {
    /// The segments that are gone, all of them.
    pub lost: &'a [SegmentRange],
    /// The latest generation that is known to have been, and its number of lanes, whether the log has anything of it or not: the next one comes after it.
    pub latest: Option<&'a GenerationRecord>,
    /// Memory in which the records of a table are sorted.
    pub sort_bytes_max: usize,
    /// The time.
    pub now: UnixMicros,
}

/// Why segments could not be given up. All is as it was, but where the manifest is in doubt.
#[derive(Debug, thiserror::Error)]
pub enum GiveUpError {
    /// The tables or their manifest cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be read, or the tables cannot be written.
    #[error(transparent)]
    Upkeep(#[from] UpkeepError),
}

/// Moves all claims of the log that are there into tables, and has all of it covered, segments that are gone included. `note` is told of those before
/// that is done for good.
///
/// # Errors
///
/// When something else is wrong with log or tables, when they cannot be written, or when `note` fails.
pub fn give_up(
    store: &Store,
    plan: &GiveUp<'_>,
    note: &mut dyn FnMut(&[LostSegments]) -> std::io::Result<()>,
) -> Result<(), GiveUpError> {
    let manifest = Manifest::open(&*store.manifest, &*store.tables)?;
    let failed = |source| UpkeepError::List { source };
    store.tables.remove_unfinished().map_err(failed)?;
    let files = store.tables.list().map_err(failed)?;
    let free = files.into_iter().map(|file| file.number.next()).max();
    let mut next_table = manifest.next_table.max(free.unwrap_or(TableNumber::FIRST));
    let covered = manifest.covered.clone();
    let mut making = Making {
        tables: &*store.tables,
        now: plan.now,
        sort_bytes_max: plan.sort_bytes_max,
        builder: None,
        next_table: &mut next_table,
        manifest,
    };
    let visit = &mut |records: &[Replayed<'_>]| {
        let mut each = records.iter();
        each.try_for_each(|record| {
            making.take(record).map_err(|error| RecoveryVisitError::new(record, error))
        })
    };
    let read = read_without(&*store.log, &covered, plan.lost, visit);
    let (mut covered, lost) = read.map_err(UpkeepError::from)?;
    let last = covered.generation.as_ref().map(|record| record.generation);
    if let Some(latest) = plan.latest
        && last < Some(latest.generation)
    {
        // No lane of it has anything: what is unfinished is completed by the next one.
        covered.retractions.iter_mut().for_each(|retraction| retraction.lanes.clear());
        covered.generation = Some((*latest).clone());
    }
    let manifest = making.finish(covered).map_err(UpkeepError::from)?;
    note(&lost).map_err(failed)?;
    let path = store.manifest.path();
    let replaced = store.manifest.replace(&manifest.encode());
    replaced.map_err(|source| UpkeepError::Manifest { path, source })?;
    Ok(())
}
