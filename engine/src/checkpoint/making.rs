//! Making tables of records of the log.

use super::upkeep::STEP_BYTES;
use super::{ListedTable, Manifest};
use crate::log::covered::Covered;
use crate::log::record::RecordKind;
use crate::log::recovery::Replayed;
use crate::order::WriteOrder;
use crate::table::{
    AddError, Entry, Step, TableBuilder, TableError, TableFacts, TableNumber, TableRetraction, TableStorage,
    TableWriter,
};
use crate::time::UnixMicros;

/// A number for a table, which is given to no other one: what is made of it may stay behind when an attempt fails.
pub(super) fn take_number(next: &mut TableNumber) -> TableNumber {
    std::mem::replace(next, next.next())
}

/// Tables that are being made of records of the log, and the manifest that will list them.
pub(super) struct Making<'a> {
    pub(super) tables: &'a dyn TableStorage,
    pub(super) now: UnixMicros,
    pub(super) sort_bytes_max: usize,
    pub(super) builder: Option<TableBuilder>,
    pub(super) next_table: &'a mut TableNumber,
    pub(super) manifest: Manifest,
}

/// Why a record of the log does not get into a table.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakingError {
    #[error(transparent)]
    Add(#[from] AddError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("a record of kind {0:?}, which this version does not know; a newer version has written here")]
    Kind(RecordKind),
}

impl Making<'_> {
    /// Takes a record in.
    pub(super) fn take(&mut self, record: &Replayed<'_>) -> Result<(), MakingError> {
        match self.add(record) {
            Err(MakingError::Add(AddError::Full { .. })) if self.builder.is_some() => {
                self.write()?;
                self.add(record)
            }
            added => added,
        }
    }

    fn add(&mut self, record: &Replayed<'_>) -> Result<(), MakingError> {
        let builder = self.builder.get_or_insert_with(|| TableBuilder::new(self.sort_bytes_max));
        let order = WriteOrder::new(record.generation.0, record.lsn.0);
        match record.kind {
            RecordKind::Assertion => {
                let entry = Entry { order, flags: record.flags, retracted: false, payload: record.payload };
                Ok(builder.add(&entry)?)
            }
            RecordKind::Retraction => {
                let slots = record.retracts.expect("recovery says it of every retraction");
                Ok(builder.add_retraction(&TableRetraction { order, slots, payload: record.payload })?)
            }
            kind => Err(MakingError::Kind(kind)),
        }
    }

    /// Writes the table of what was added so far.
    fn write(&mut self) -> Result<(), TableError> {
        let Some(builder) = self.builder.take().filter(|builder| !builder.is_empty()) else { return Ok(()) };
        let number = take_number(self.next_table);
        let mut build = builder.write(TableWriter::create(self.tables, number, self.now)?);
        let facts: TableFacts = loop {
            if let Step::Done(facts) = build.step(STEP_BYTES)? {
                break facts;
            }
        };
        self.manifest.next_table = number.next();
        self.manifest.checkpoints += 1;
        let checkpoint = self.manifest.checkpoints;
        self.manifest.tables.push(ListedTable { facts, checkpoints: checkpoint..=checkpoint });
        Ok(())
    }

    /// Writes what is left, and gives the manifest that lists all.
    pub(super) fn finish(mut self, covered: Covered) -> Result<Manifest, TableError> {
        self.write()?;
        Ok(Manifest { covered, ..self.manifest })
    }
}
