//! The tables that are in force, for those who read single claims out of them while the server serves.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Manifest, Needless, ReadError};
use crate::claim::{Assertion, ClaimHash};
use crate::index::{Checkpoints, LongParts};
use crate::log::Generation;
use crate::log::covered::Covered;
use crate::order::WriteOrder;
use crate::planted::{self, Bug};
use crate::slot::LaneId;
use crate::table::{ClaimKey, ReadRange, Search, Table, TableError, TableStorage};

/// The tables of one manifest, all open. Whoever holds the set can read them, also when they have been merged into others: as long as
/// somebody does, they [may not be removed](TablesInForce::may_remove), which would cut them down to nothing.
#[derive(Debug, Default)]
pub struct TableSet {
    tables: Vec<(RangeInclusive<u64>, Arc<Table>)>,
    covered: Covered,
    checkpoints: u64,
}

impl TableSet {
    /// The tables of `manifest`: those of `before` that are still listed, and the others, opened.
    ///
    /// # Errors
    ///
    /// When one of them cannot be opened.
    pub fn new(
        manifest: &Manifest,
        storage: &dyn TableStorage,
        before: &TableSet,
    ) -> Result<TableSet, TableError> {
        let known = before.tables.iter().map(|(_, table)| Arc::clone(table)).collect::<Vec<_>>();
        TableSet::of(manifest, |number| {
            let table = known.iter().find(|table| table.facts().number == number);
            table.map_or_else(|| Table::open(storage, number), |table| Ok(Arc::clone(table)))
        })
    }

    pub(super) fn of(
        manifest: &Manifest,
        mut open: impl FnMut(crate::table::TableNumber) -> Result<Arc<Table>, TableError>,
    ) -> Result<TableSet, TableError> {
        let open = |listed: &super::ListedTable| Ok((listed.checkpoints.clone(), open(listed.facts.number)?));
        Ok(TableSet {
            tables: manifest.tables.iter().map(open).collect::<Result<_, TableError>>()?,
            covered: manifest.covered.clone(),
            checkpoints: manifest.checkpoints,
        })
    }

    /// How many checkpoints there were.
    pub fn checkpoints(&self) -> u32 {
        number(self.checkpoints)
    }

    /// Whether a claim is in a table that was written then, by `lane` if that was in generation `now`. Of another generation it is not
    /// known which lane wrote it: such a claim counts when all of that generation is in tables and something later is, too.
    pub fn has(&self, order: WriteOrder, lane: LaneId, now: Generation) -> bool {
        let latest = self.covered.ends.iter().map(|covered| covered.end.generation).max();
        let own = self.covered.end_of(lane).filter(|covered| covered.end.generation == now);
        match own {
            _ if order.generation() != now.0 => latest.is_some_and(|latest| order.generation() < latest.0),
            Some(covered) => order.lsn() < covered.end.next_lsn.0,
            None => false,
        }
    }

    /// A search for the claim with this key in the tables of these checkpoints.
    pub fn search(&self, key: &ClaimKey, checkpoints: Checkpoints) -> StoredSearch {
        let wanted = u64::from(checkpoints.first)..=u64::from(checkpoints.last);
        let overlaps =
            |range: &RangeInclusive<u64>| range.start() <= wanted.end() && wanted.start() <= range.end();
        let searches = self.tables.iter().filter(|(range, _)| overlaps(range));
        let searches = searches.map(|(_, table)| Search::new(Arc::clone(table), key.clone())).collect();
        StoredSearch { searches, hash: ClaimHash(key.hash()) }
    }
}

/// The set of tables that all who read are told of, and what some of them may still read besides.
#[derive(Debug)]
pub struct TablesInForce {
    set: Arc<TableSet>,
    /// Tables of earlier sets that were still read when it was last looked.
    retired: Vec<Arc<Table>>,
    /// Whether the set is that of an earlier manifest.
    is_stale: bool,
}

impl TablesInForce {
    /// Those of the manifest that is in force.
    pub fn new(set: Arc<TableSet>) -> TablesInForce {
        TablesInForce { set, retired: Vec::new(), is_stale: false }
    }

    /// The set that all are told of.
    pub fn set(&self) -> &Arc<TableSet> {
        &self.set
    }

    /// Opens the tables of the manifest that has come into force. All who read are to be told of them.
    ///
    /// # Errors
    ///
    /// When one cannot be opened. Then all go on with the set that they have.
    pub fn follow(
        &mut self,
        manifest: &Manifest,
        storage: &dyn TableStorage,
    ) -> Result<&Arc<TableSet>, TableError> {
        self.is_stale = true;
        let now = TableSet::new(manifest, storage, &self.set)?;
        let before = std::mem::replace(&mut self.set, Arc::new(now));
        self.is_stale = false;
        let is_listed =
            |table: &Arc<Table>| self.set.tables.iter().any(|(_, listed)| Arc::ptr_eq(listed, table));
        let tables = before.tables.iter().map(|(_, table)| table);
        self.retired.extend(tables.filter(|table| !is_listed(table)).cloned());
        Ok(&self.set)
    }

    /// Whether the set is not that of the manifest in force, since that one's tables could not be opened.
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Whether a file may be removed: a segment when the tables that its claims are in can be read, and a table when nobody reads it besides.
    pub fn may_remove(&mut self, file: Needless) -> bool {
        if planted::is(Bug::RemoveTablesInUse) {
            return true;
        }
        self.retired.retain(|table| Arc::strong_count(table) > 1);
        let is_read = match file {
            Needless::Segment(_) => false,
            Needless::Table(number) => self.retired.iter().any(|table| table.facts().number == number),
        };
        !is_read && !self.is_stale
    }
}

/// A checkpoint's number as the index keeps it: at one a second, they last for 136 years.
fn number(checkpoint: u64) -> u32 {
    u32::try_from(checkpoint).expect("nobody makes 2^32 checkpoints")
}

/// The checkpoints of a table, as the index keeps them.
pub(super) fn checkpoints(range: &RangeInclusive<u64>) -> Checkpoints {
    Checkpoints { first: number(*range.start()), last: number(*range.end()) }
}

/// A search for the long parts of one claim, among tables of which one has it.
#[derive(Debug)]
pub struct StoredSearch {
    /// The last one is under way.
    searches: Vec<Search>,
    hash: ClaimHash,
}

impl StoredSearch {
    /// Which part of which table to read next; `None` if no table has the claim.
    pub fn next_read(&mut self) -> Option<(Arc<Table>, ReadRange)> {
        while let Some(search) = self.searches.last_mut() {
            match search.next_read() {
                Some(range) => return Some((Arc::clone(search.table()), range)),
                None => drop(self.searches.pop()),
            }
        }
        None
    }

    /// Takes what was read. `None` if the search [goes on](Self::next_read).
    ///
    /// # Errors
    ///
    /// When that is damaged, or not the claim that its hash says.
    pub fn take(&mut self, window: &[u8]) -> Result<Option<LongParts>, ReadError> {
        let search = self.searches.last_mut().expect("something was to be read");
        let table = Arc::clone(search.table());
        let unreadable = |cause| ReadError::of_record(&table, cause);
        let Some(entry) = search.take(window)? else { return Ok(None) };
        let assertion = Assertion::decode(entry.payload).map_err(unreadable)?;
        if !planted::is(Bug::BelieveBlocks) {
            assertion.check_hash().map_err(unreadable)?;
        }
        assert_eq!(assertion.hash, self.hash, "the key has the hash");
        Ok(Some(LongParts::of_claim(&assertion.claim)))
    }
}
