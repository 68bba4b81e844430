//! The tables of a manifest, opened to be read at a start.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{ListedTable, Manifest, ManifestStorage, StoreError, TableSet, table_set};
use crate::claim::{Assertion, DecodeError};
use crate::index::Checkpoints;
use crate::log::covered::Covered;
use crate::log::storage::SegmentFile;
use crate::order::WriteOrder;
use crate::slot::Slot;
use crate::table::{EntryBlock, InOrder, Strikes, Table, TableError, TableRetraction, TableStorage};

/// The tables of a manifest, with all that strikes their claims. Any number of threads may read them.
pub struct OpenTables {
    manifest: Manifest,
    tables: Vec<Arc<Table>>,
    strikes: Strikes,
}

/// A claim of a table.
#[derive(Debug)]
pub struct StoredClaim<'a> {
    /// The claim, with its hash and signatures.
    pub assertion: Assertion<'a>,
    /// When it was written.
    pub order: WriteOrder,
    /// Whether a retraction strikes it that is in a table.
    pub retracted: bool,
    /// The checkpoints of its table.
    pub checkpoints: Checkpoints,
}

/// Why a claim cannot be read out of a table.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The table cannot be read, or is damaged.
    #[error(transparent)]
    Table(Box<TableError>),
    /// A record that is whole cannot be understood.
    #[error(
        "a record in {}, whose checksum is right, cannot be understood: {cause}; a newer version may have written it",
        .path.display()
    )]
    Record {
        /// The table's file.
        path: PathBuf,
        /// What is wrong with it.
        cause: DecodeError,
    },
}

impl ReadError {
    /// A record of `table` cannot be understood.
    pub(super) fn of_record(table: &Table, cause: DecodeError) -> ReadError {
        ReadError::Record { path: table.path().to_owned(), cause }
    }
}

impl From<TableError> for ReadError {
    fn from(error: TableError) -> ReadError {
        ReadError::Table(Box::new(error))
    }
}

impl OpenTables {
    /// No tables: all claims are in the log.
    pub fn none() -> OpenTables {
        OpenTables { manifest: Manifest::empty(), tables: Vec::new(), strikes: Strikes::default() }
    }

    /// Opens the tables that the manifest lists, and reads their retractions.
    ///
    /// # Errors
    ///
    /// When one of them, or the manifest, is not there or damaged.
    pub fn open(
        manifest: &dyn ManifestStorage,
        storage: &dyn TableStorage,
    ) -> Result<OpenTables, StoreError> {
        let manifest = Manifest::open(manifest, storage)?;
        let open = |number| Table::open(storage, number);
        let numbers = manifest.tables.iter().map(|table| table.facts.number);
        let tables = numbers.map(open).collect::<Result<Vec<_>, _>>()?;
        let mut strikes = Strikes::default();
        for table in &tables {
            let mut retractions = table.retractions();
            while let Some(retraction) = retractions.next()? {
                let added = strikes.add_record(&retraction);
                added.map_err(|cause| StoreError::Record {
                    path: storage.path(table.facts().number),
                    cause,
                })?;
            }
        }
        Ok(OpenTables { manifest, tables, strikes })
    }

    /// The manifest that lists them.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The part of the log that need not be read.
    pub fn covered(&self) -> &Covered {
        &self.manifest.covered
    }

    /// Has the log go on from an older copy of it, which has these files, as [`Covered::of_copy`] says.
    pub fn go_on_from_copy(&mut self, files: &[SegmentFile]) {
        self.manifest.covered = std::mem::take(&mut self.manifest.covered).of_copy(files);
    }

    /// The tables, for those who read single claims later.
    pub fn set(&self) -> TableSet {
        let open = |number| {
            let table = self.tables.iter().find(|table| table.facts().number == number);
            Ok(Arc::clone(table.expect("all that the manifest lists were opened")))
        };
        TableSet::of(&self.manifest, open).expect("nothing is opened that could fail")
    }

    /// Gives all claims of `slots` to `visit`, in the order of a table, but for those of tables that hold nothing later than checkpoint
    /// `known`. With 0 that is all there are. As many of one table as come one behind the other are given together, some hundred at most.
    ///
    /// Of a table that was merged of earlier and later ones all claims are given: it may say of earlier ones that they are retracted.
    ///
    /// # Errors
    ///
    /// When a block is damaged, or `visit` says so. What was given before is sound, but not all there is.
    pub fn read_after<E: From<ReadError>>(
        &self,
        known: u64,
        slots: &Range<u16>,
        visit: &mut dyn FnMut(&[StoredClaim<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let read = |error| E::from(ReadError::from(error));
        let (tables, listed): (Vec<_>, Vec<_>) = self.after(known).unzip();
        let mut runs = InOrder::new(tables.iter().map(|table| table.entries(slots.clone()))).map_err(read)?;
        while let Some((table, run)) = runs.next_run().map_err(read)? {
            let checkpoints = table_set::checkpoints(&listed[table].checkpoints);
            let unreadable = |cause| ReadError::of_record(tables[table], cause);
            visit(&self.claims(&run, checkpoints).map_err(unreadable)?)?;
        }
        Ok(())
    }

    /// Gives the retractions of all tables that hold something later than checkpoint `known`: those of earlier ones took back what they
    /// could before that checkpoint was made.
    ///
    /// # Errors
    ///
    /// When a block is damaged, or `visit` cannot understand a retraction.
    pub fn retractions_after(
        &self,
        known: u64,
        visit: &mut dyn FnMut(&TableRetraction<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), ReadError> {
        for (table, _) in self.after(known) {
            let mut retractions = table.retractions();
            while let Some(retraction) = retractions.next()? {
                visit(&retraction).map_err(|cause| ReadError::of_record(table, cause))?;
            }
        }
        Ok(())
    }

    fn after(&self, known: u64) -> impl Iterator<Item = (&Arc<Table>, &ListedTable)> {
        let listed = self.tables.iter().zip(&self.manifest.tables);
        listed.filter(move |(_, listed)| *listed.checkpoints.end() > known)
    }

    fn claims<'e>(
        &self,
        run: &EntryBlock<'e>,
        checkpoints: Checkpoints,
    ) -> Result<Vec<StoredClaim<'e>>, DecodeError> {
        let mut claims = Vec::with_capacity(run.len());
        for entry in run.iter() {
            let assertion = Assertion::decode(entry.payload)?;
            let is_struck = || {
                let subject = assertion.claim.subject.as_str().as_bytes();
                let source = assertion.claim.source.map_or(&b""[..], |path| path.as_str().as_bytes());
                self.strikes.strike(Slot::of(subject), entry.order, subject, source)
            };
            let retracted = entry.retracted || (!self.strikes.is_empty() && is_struck());
            claims.push(StoredClaim { assertion, order: entry.order, retracted, checkpoints });
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::MemoryManifest;
    use crate::claim::{Claim, ConceptPath, Predicate, Timestamp, Value, assertion};
    use crate::slot::SLOTS;
    use crate::table::{Entry, MemoryTables, TableNumber, TableWriter};
    use crate::time::UnixMicros;

    const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

    /// Goal: whoever is told of a record that cannot be understood is told in which file it is.
    #[test]
    fn a_record_that_cannot_be_understood_is_refused_with_its_table() {
        let claim = Claim::new(
            ConceptPath::new("s").unwrap(),
            Predicate::new("is").unwrap(),
            Value::text("a").unwrap(),
            Timestamp::new(NOW).unwrap(),
        );
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        *payload.last_mut().expect("the number of signatures") = 232;
        let (tables, manifest) = (MemoryTables::default(), MemoryManifest::default());
        let mut writer = TableWriter::create(&tables, TableNumber::FIRST, NOW).unwrap();
        let order = WriteOrder::new(1, 1);
        writer.push(&Entry { order, flags: 0, retracted: false, payload: &payload }).unwrap();
        let facts = writer.finish().unwrap();
        let next_table = TableNumber(facts.number.0 + 1);
        let listed = vec![ListedTable { facts, checkpoints: 1..=1 }];
        let content = Manifest { checkpoints: 1, next_table, tables: listed, covered: Covered::default() };
        manifest.replace(&content.encode()).unwrap();

        let open = OpenTables::open(&manifest, &tables).unwrap();
        let read = open.read_after(0, &(0..SLOTS), &mut |_| Ok::<_, ReadError>(()));
        let refusal = read.unwrap_err().to_string();
        assert_eq!(
            refusal,
            "a record in assertions-0000000001.kv, whose checksum is right, cannot be understood: signatures must have at most 16 entries, got 232; \
             a newer version may have written it"
        );
    }
}
