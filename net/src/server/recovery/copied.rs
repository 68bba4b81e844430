//! A log that is the copy of a backup.

use std::path::Path;

use stemedb_engine::checkpoint::OpenTables;
use stemedb_engine::claim::Assertion;
use stemedb_engine::index::Index;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{Recovered, RecoveryVisitError, recover_after};
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::slot::{Slot, SlotMap};

use super::RebuildError;
use crate::log_copy::LogCopy;

/// A log that is a copy. What of it the tables cover is not needed, as they have all of it, if they have come from the same log.
pub(super) struct Copied<'a> {
    copy: &'a LogCopy,
    /// The part of the log that was covered when the copy was made.
    covered: Covered,
    wal: &'a Path,
    db: &'a Path,
}

impl<'a> Copied<'a> {
    pub(super) fn of(copy: &'a LogCopy, wal: &'a Path, db: &'a Path) -> Result<Copied<'a>, RebuildError> {
        let covered = copy.covered();
        let covered = covered.map_err(|source| RebuildError::Copy { path: LogCopy::path(wal), source })?;
        Ok(Copied { copy, covered, wal, db })
    }

    /// Checks that all claims of the copy are in the indexes of the cores that own them. `None` if the log has a generation of its own: a start
    /// before this one has looked, and was interrupted.
    pub(super) fn check(
        &self,
        recovered: &Recovered,
        tables: &OpenTables,
        slots: SlotMap,
        indexes: &[Index],
    ) -> Result<Option<Recovered>, RebuildError> {
        let covered = tables.covered();
        let in_tables = covered.ends.iter().map(|covered| covered.end.generation);
        let in_tables = in_tables.chain(covered.generation.as_ref().map(|record| record.generation)).max();
        let known = self.copy.generation.max(in_tables.map_or(0, |generation| generation.0));
        if recovered.next_generation.0 > known + 1 {
            return Ok(None);
        }
        let mut missing = None;
        let copied = recover_after(&DirStorage::new(self.wal), &self.covered, &mut |records| {
            for record in records.iter().filter(|record| record.kind == RecordKind::Assertion) {
                let refused = |error| RecoveryVisitError::new(record, error);
                let Assertion { hash, claim, .. } = Assertion::decode(record.payload).map_err(refused)?;
                let owner = slots.owner(Slot::of(claim.subject.as_str().as_bytes()));
                if !indexes[usize::from(owner.0)].contains(&hash) {
                    missing = missing.or(Some(hash));
                }
            }
            Ok(())
        })?;
        match missing {
            None => Ok(Some(copied)),
            Some(hash) => Err(RebuildError::OtherLog {
                wal: self.wal.to_owned(),
                db: self.db.to_owned(),
                backup: self.copy.backup.clone(),
                claim: hex::encode(hash.0),
            }),
        }
    }
}
