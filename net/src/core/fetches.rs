//! Values that are read back from tables, for queries and lookups that wait for them.
//!
//! Reads go the way of the lane's writes: the core wants them, and is told what became of them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use slotmap::{Key, KeyData, SlotMap, new_key_type};
use stemedb_engine::checkpoint::{DamagedPlace, ReadError, StoredSearch, TableSet, UpkeepFacts};
use stemedb_engine::index::{ClaimId, ClaimView, LongParts};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::shortage::is_shortage;
use stemedb_engine::table::{ClaimKey, Search, Table, TableError};

use super::lookups::Lookup;
use super::queries::RunningQuery;
use crate::api::{ApiError, ErrorCode};
use crate::metrics::CoreSnapshot;

/// Reads of a core that may be under way at once. Each has a buffer for the largest block, and a descriptor.
pub(crate) const READS_AT_ONCE: usize = 16;

/// Claims that a core may be fetching, those that wait for others' reads included.
pub(super) const FETCHES_MAX: usize = 1024;

new_key_type! {
    /// Names the fetching of a claim, and its read.
    pub struct FetchKey;

    /// Names a query that waits for claims that are being fetched.
    pub(super) struct ParkedKey;
}

/// A read that a core wants done.
#[derive(Debug)]
pub struct TableRead {
    /// What it is for.
    pub id: FetchKey,
    /// The table.
    pub table: Arc<Table>,
    /// Where to read, in bytes.
    pub offset: u64,
    /// How many bytes, at most as many as the buffer has.
    pub bytes: usize,
    /// Where to put them. Comes back.
    pub buffer: AlignedBuffer,
}

impl FetchKey {
    /// The number by which a ring names it.
    pub fn to_number(self) -> u64 {
        self.data().as_ffi()
    }

    /// The key with this number.
    pub fn from_number(number: u64) -> FetchKey {
        KeyData::from_ffi(number).into()
    }
}

/// Why a claim cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// What a table has of it is damaged, or cannot be read.
    Damaged,
    /// Too many others are being fetched.
    Busy,
    /// The server was short of memory or open files.
    Short,
}

impl Unreadable {
    /// What a client is told.
    pub(super) fn error(self) -> ApiError {
        match self {
            Unreadable::Damaged => ApiError::new(
                ErrorCode::StorageDamaged,
                "a claim of the answer is stored in a file that is damaged or cannot be read; /v1/health names it",
            ),
            Unreadable::Busy => ApiError::new(
                ErrorCode::Overloaded,
                "as many values as may are being read from disk already; try again in a moment",
            ),
            Unreadable::Short => ApiError::new(
                ErrorCode::Overloaded,
                "a value cannot be read from disk while the server is short of memory or open files; try again in a moment",
            ),
        }
    }
}

/// A claim that was to be fetched, and what came of it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) waiter: Waiter,
    pub(super) claim: ClaimId,
    pub(super) result: Result<LongParts, Unreadable>,
}

/// Who waits for a claim.
#[derive(Debug)]
pub(super) enum Waiter {
    Query(ParkedKey),
    Lookup(Lookup),
}

/// A query that waits.
#[derive(Debug)]
struct ParkedQuery {
    query: RunningQuery,
    /// Claims that are still to come.
    open: usize,
    failed: Option<Unreadable>,
}

#[derive(Debug)]
struct Fetch {
    search: StoredSearch,
    waiter: Waiter,
    claim: ClaimId,
    /// The table that is being read, and where.
    reading: Option<(Arc<Table>, u64)>,
}

/// The claims that a core fetches.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    tables: Arc<TableSet>,
    facts: UpkeepFacts,
    fetches: SlotMap<FetchKey, Fetch>,
    /// Those that wait for a buffer.
    waiting: VecDeque<FetchKey>,
    parked: SlotMap<ParkedKey, ParkedQuery>,
    buffers: Vec<AlignedBuffer>,
    /// Buffers that were made; those that are not here are the reads'.
    buffers_made: usize,
    /// Fetches that came to an end, not yet handed over.
    done: Vec<Fetched>,
    /// Whether it was said what is short, since something was read last.
    has_warned: bool,
}

impl Fetches {
    /// Takes the tables that are in force from now on, and whom to tell of damage.
    pub(super) fn open(&mut self, tables: Arc<TableSet>, facts: UpkeepFacts) {
        (self.tables, self.facts) = (tables, facts);
    }

    /// Takes the tables that are in force from now on. Those that are being read stay open as long as they are.
    pub(super) fn set_tables(&mut self, tables: Arc<TableSet>) {
        self.tables = tables;
    }

    /// The tables in force.
    pub(super) fn tables(&self) -> &Arc<TableSet> {
        &self.tables
    }

    /// How many more claims may be fetched.
    pub(super) fn room(&self) -> usize {
        FETCHES_MAX - self.fetches.len()
    }

    /// Lets a query wait for claims that it needs, for which there is [room](Self::room).
    pub(super) fn park<'a>(
        &mut self,
        query: RunningQuery,
        needed: impl ExactSizeIterator<Item = (ClaimId, ClaimView<'a>)>,
    ) {
        let parked = self.parked.insert(ParkedQuery { query, open: needed.len(), failed: None });
        needed.for_each(|(claim, view)| self.begin(Waiter::Query(parked), claim, &view));
    }

    /// Lets a lookup wait for its claim, for which there is [room](Self::room).
    pub(super) fn look_up(&mut self, lookup: Lookup, claim: ClaimId, view: &ClaimView<'_>) {
        self.begin(Waiter::Lookup(lookup), claim, view);
    }

    fn begin(&mut self, waiter: Waiter, claim: ClaimId, view: &ClaimView<'_>) {
        let checkpoints = view.stored().expect("only what is in a table is fetched");
        let key = ClaimKey::new(view.subject_utf8(), view.predicate_utf8(), &view.key());
        let search = self.tables.search(&key, checkpoints);
        let fetch = self.fetches.insert(Fetch { search, waiter, claim, reading: None });
        self.waiting.push_back(fetch);
    }

    /// Begins the reads for which there are buffers.
    pub(super) fn start(&mut self, reads: &mut VecDeque<TableRead>) {
        while let Some(&id) = self.waiting.front() {
            if self.buffers.is_empty() && self.buffers_made == READS_AT_ONCE {
                return;
            }
            self.waiting.pop_front();
            let fetch = &mut self.fetches[id];
            let Some((table, range)) = fetch.search.next_read() else {
                tracing::error!("A claim is in none of the tables that should have it: {:?}", fetch.search);
                self.end(id, Err(Unreadable::Damaged));
                continue;
            };
            fetch.reading = Some((Arc::clone(&table), range.offset));
            let buffer = self.buffers.pop().unwrap_or_else(|| {
                self.buffers_made += 1;
                AlignedBuffer::zeroed(Search::READ_BYTES_MAX)
            });
            reads.push_back(TableRead { id, table, offset: range.offset, bytes: range.bytes, buffer });
        }
    }

    /// Takes what became of a read: how many bytes were read, or the error number.
    pub(super) fn read_done(&mut self, id: FetchKey, buffer: AlignedBuffer, result: Result<usize, i32>) {
        let fetch = &mut self.fetches[id];
        let (table, offset) = fetch.reading.take().expect("a read is done once");
        let taken = match result.map_err(io::Error::from_raw_os_error) {
            Ok(bytes) => {
                self.has_warned = false;
                fetch.search.take(&buffer[..bytes])
            }
            Err(source) if is_shortage(&source) => {
                self.buffers.push(buffer);
                self.tell_shortage(&table, &source);
                return self.end(id, Err(Unreadable::Short));
            }
            Err(source) => Err(TableError::Read { path: table.path().to_owned(), offset, source }.into()),
        };
        self.buffers.push(buffer);
        match taken {
            Ok(Some(parts)) => self.end(id, Ok(parts)),
            // Before others: who waits for it has waited longest.
            Ok(None) => self.waiting.push_front(id),
            Err(error) => {
                self.tell(&table, offset, &error);
                self.end(id, Err(Unreadable::Damaged));
            }
        }
    }

    /// Tells of damage, once for each file.
    fn tell(&self, table: &Table, offset: u64, error: &ReadError) {
        let place = match error {
            ReadError::Table(error) => error.damaged_place(),
            ReadError::Record { .. } => None,
        };
        let (path, offset) = place.unwrap_or((table.path(), offset));
        let place = DamagedPlace::new(path, offset, error);
        if self.facts.damaged(place.clone()) {
            tracing::error!(
                file = %path.display(),
                offset,
                "Stored data is damaged, and a claim cannot be read: {}. docs/operations/disaster.md says what to do",
                place.problem
            );
        }
    }

    /// Tells of a shortage, once until there is none.
    fn tell_shortage(&mut self, table: &Table, source: &io::Error) {
        if !self.has_warned {
            tracing::warn!(
                file = %table.path().display(),
                "A claim cannot be read for want of memory or open files: {source}. Who asked for it is told to come again"
            );
        }
        self.has_warned = true;
    }

    fn end(&mut self, id: FetchKey, result: Result<LongParts, Unreadable>) {
        let Fetch { waiter, claim, .. } = self.fetches.remove(id).expect("a fetch ends once");
        self.done.push(Fetched { waiter, claim, result });
    }

    /// Whether something has been fetched since the last call of [`Self::take_done`].
    pub(super) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// What has been fetched since the last call.
    pub(super) fn take_done(&mut self) -> Vec<Fetched> {
        std::mem::take(&mut self.done)
    }

    /// Gives a query what was fetched for it. Gives the query when it has all that it waited for, and why it cannot be answered, if so.
    pub(super) fn unpark(
        &mut self,
        key: ParkedKey,
        claim: ClaimId,
        result: Result<LongParts, Unreadable>,
    ) -> Option<(RunningQuery, Option<Unreadable>)> {
        let parked = &mut self.parked[key];
        parked.open -= 1;
        match result {
            Ok(parts) => parked.query.fetched(claim, parts),
            Err(unreadable) => parked.failed = Some(unreadable),
        }
        if parked.open > 0 {
            return None;
        }
        self.parked.remove(key).map(|parked| (parked.query, parked.failed))
    }

    /// Adds what there is to tell now.
    pub(super) fn fill_in(&self, figures: &mut CoreSnapshot) {
        figures.values_waiting = self.fetches.len() as u64;
    }
}
