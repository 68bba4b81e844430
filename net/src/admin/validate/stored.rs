//! What tables and log hold, file by file.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use stemedb_engine::checkpoint::{ListedTable, Manifest};
use stemedb_engine::claim::{Assertion, ClaimHash, Retraction};
use stemedb_engine::data_dir::Hold;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::capture::{Capture, capture};
use stemedb_engine::log::recovery::{Replayed, recover_after};
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::slot::SLOTS;
use stemedb_engine::table::{DirTables, Table};

use super::named::Named;
use super::spill::Spill;
use crate::admin::error::AdminError;
use crate::admin::log_source::LogSource;
use crate::admin::progress::Progress;
use crate::admin::tables::manifest_for;

/// All that tables and log hold. What is damaged is named; all else has been read.
pub(super) struct Stored {
    pub(super) claims: Spill,
    /// The files, by the numbers of the claims' places.
    pub(super) places: Vec<String>,
    pub(super) retractions: u64,
    /// Records that are whole and wrong.
    pub(super) wrong: Named,
    /// What cannot be read.
    pub(super) damaged: Named,
    /// How many checkpoints there were: later claims are in later tables, or in the log.
    pub(super) checkpoints: u64,
    pub(super) bytes: u64,
}

/// Tables and log as they are at one moment. Their files stay as long as it is there.
struct Snapshot {
    /// Of a table or a segment that is removed, the content goes too, whoever has it open.
    _hold: Hold,
    manifest: Manifest,
    tables: Vec<Arc<Table>>,
    /// How much there is of the log; `None` if that cannot be told, as it is damaged.
    captured: Option<Capture>,
    damaged: Named,
}

impl Snapshot {
    /// Opens what there is of tables that `wanted` says.
    fn take(wal: &Path, db: &Path, wanted: impl Fn(&ListedTable) -> bool) -> Result<Snapshot, AdminError> {
        let hold = Hold::on(wal)?;
        let manifest = manifest_for(wal, db)?;
        let (mut tables, mut damaged) = (Vec::new(), Named::default());
        let storage = DirTables::new(db);
        for table in manifest.tables.iter().filter(|table| wanted(table)) {
            match Table::open(&storage, table.facts.number) {
                Ok(table) => tables.push(table),
                Err(error) => damaged.add(chain(&error)),
            }
        }
        let captured = capture(&DirStorage::new(wal), &manifest.covered);
        let captured = captured.map_err(|error| damaged.add(chain(&error))).ok();
        Ok(Snapshot { _hold: hold, manifest, tables, captured, damaged })
    }
}

impl Stored {
    /// Reads all of it. Claims go to files below `scratch`; about so many are `expected`.
    ///
    /// # Errors
    ///
    /// When it cannot be told what there is, or nothing can be written.
    pub(super) fn read(wal: &Path, db: &Path, scratch: &Path, expected: u64) -> Result<Stored, AdminError> {
        let Snapshot { _hold, manifest, tables, captured, damaged } = Snapshot::take(wal, db, |_| true)?;
        let captured = captured.unwrap_or(Capture { segments: Vec::new(), lanes: Vec::new() });
        let claims = Spill::new(scratch, expected.max(manifest.entries()))?;
        let spilled = claims_failed(scratch);
        let mut stored = Stored {
            claims,
            places: captured.segments.iter().map(|segment| segment.id().to_string()).collect(),
            retractions: 0,
            wrong: Named::default(),
            damaged,
            checkpoints: manifest.checkpoints,
            bytes: manifest.bytes() + captured.bytes(),
        };
        let mut progress = Progress::start("Reading", stored.bytes);
        let mut full = None;
        let log = LogSource::of_capture(wal, &captured);
        let read = recover_after(&log, &manifest.covered, &mut |records| {
            for record in records {
                progress.advance(record.payload.len() as u64);
                full = full.take().or(stored.take_record(&captured, record).err());
            }
            Ok(())
        });
        if let Err(error) = read {
            stored.damaged.add(chain(&error));
        }
        if let Some(error) = full {
            return Err(spilled(error));
        }
        for table in &tables {
            let name = table.facts().number.to_string();
            stored.places.push(name);
            stored.take_table(table, &mut progress).map_err(&spilled)?;
        }
        Ok(stored)
    }

    fn take_record(&mut self, captured: &Capture, record: &Replayed<'_>) -> io::Result<()> {
        let is_before = |at: &usize| {
            let header = &captured.segments[*at].header;
            header.id.lane == record.lane && header.first_lsn <= record.lsn
        };
        let place = (0..captured.segments.len()).rev().find(is_before).unwrap_or(0);
        let name = || format!("record {} in {}", record.lsn, self.places[place]);
        match record.kind {
            RecordKind::Assertion => return self.take_claim(record.payload, place),
            RecordKind::Retraction => match Retraction::decode(record.payload) {
                Ok(_) => self.retractions += 1,
                Err(error) => self.wrong.add(format!("{}: {error}", name())),
            },
            kind => self
                .wrong
                .add(format!("{}: it is of kind {kind:?}, which this version does not know", name())),
        }
        Ok(())
    }

    /// Reads a table, slot by slot: what is damaged takes no more with it than it must.
    fn take_table(&mut self, table: &Arc<Table>, progress: &mut Progress) -> io::Result<()> {
        let place = self.places.len() - 1;
        let mut damaged = BTreeSet::new();
        for slot in 0..SLOTS {
            let mut entries = table.entries(slot..slot + 1);
            loop {
                match entries.next_block() {
                    Ok(None) => break,
                    Ok(Some(block)) => {
                        block.iter().try_for_each(|entry| self.take_claim(entry.payload, place))?
                    }
                    Err(error) => {
                        // Slots may share the block.
                        damaged.insert(chain(&error));
                        break;
                    }
                }
            }
            progress.advance(table.facts().bytes / u64::from(SLOTS));
        }
        let mut retractions = table.retractions();
        loop {
            match retractions.next() {
                Ok(None) => break,
                Ok(Some(_)) => self.retractions += 1,
                Err(error) => {
                    damaged.insert(chain(&error));
                    break;
                }
            }
        }
        damaged.into_iter().for_each(|text| self.damaged.add(text));
        Ok(())
    }

    fn take_claim(&mut self, payload: &[u8], place: usize) -> io::Result<()> {
        match Assertion::decode(payload).and_then(|claim| claim.check_hash().map(|()| claim)) {
            Ok(claim) => self.claims.add(claim.claim.subject.as_str(), claim.hash, place as u32),
            Err(error) => {
                let about = match Assertion::decode(payload) {
                    Ok(claim) => format!("the claim {} about {}", claim.hash, claim.claim.subject.as_str()),
                    Err(_) => "a claim".to_owned(),
                };
                self.wrong.add(format!("{about} in {}: {error}", self.places[place]));
                Ok(())
            }
        }
    }
}

/// Gives the hashes of all claims that have been stored since so many checkpoints to `visit`, and perhaps of earlier ones.
///
/// # Errors
///
/// When any of it cannot be read.
pub(super) fn stored_since(
    wal: &Path,
    db: &Path,
    checkpoints: u64,
    visit: &mut dyn FnMut(&ClaimHash),
) -> Result<(), AdminError> {
    let snapshot = Snapshot::take(wal, db, |table| *table.checkpoints.end() > checkpoints)?;
    let mut take = |payload: &[u8]| {
        if let Ok(claim) = Assertion::decode(payload) {
            visit(&claim.hash);
        }
    };
    if let Some(captured) = &snapshot.captured {
        let log = LogSource::of_capture(wal, captured);
        let read = recover_after(&log, &snapshot.manifest.covered, &mut |records| {
            let claims = records.iter().filter(|record| record.kind == RecordKind::Assertion);
            claims.for_each(|record| take(record.payload));
            Ok(())
        });
        read.map_err(AdminError::Log)?;
    }
    for table in &snapshot.tables {
        let mut entries = table.entries(0..SLOTS);
        while let Some(block) = entries.next_block().map_err(|error| AdminError::Failed(chain(&error)))? {
            block.iter().for_each(|entry| take(entry.payload));
        }
    }
    Ok(())
}

fn claims_failed(scratch: &Path) -> impl Fn(io::Error) -> AdminError {
    let path = scratch.to_owned();
    move |source| AdminError::File { path: path.clone(), source }
}

/// An error with all its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use stemedb_engine::data_dir::RemovalRight;

    use super::*;

    #[test]
    fn nothing_is_removed_as_long_as_it_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let (wal, db) = (directory.path().join("wal"), directory.path().join("db"));
        std::fs::create_dir(&wal).expect("writable");
        std::fs::create_dir(&db).expect("writable");
        let snapshot = Snapshot::take(&wal, &db, |_| true).expect("nothing is there");
        assert!(RemovalRight::on(&wal).expect("a lock").is_none());
        drop(snapshot);
        assert!(RemovalRight::on(&wal).expect("a lock").is_some());
    }
}
