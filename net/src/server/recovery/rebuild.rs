//! Building the index of one core: of what a snapshot has, if there is one, what the tables have beyond it, and the log.

use std::collections::BTreeMap;
use std::ops::Range;

use stemedb_engine::checkpoint::{OpenTables, ReadError, StoredClaim};
use stemedb_engine::claim::{Assertion, DecodeError, Retraction};
use stemedb_engine::index::{ClaimView, Index, IndexConfig, IndexFull, IndexLoader, NewClaim, SnapshotError};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{
    Recovered, RecoveryVisitError, Replayed, UnfinishedRetraction, recover_after,
};
use stemedb_engine::log::storage::LogStorage;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::slot::{Slot, SlotSet};
use stemedb_engine::snapshots::{Part, Position, PositionError, SnapshotStorage};

use super::RebuildError;

/// Claims that are copied from one index to another at a time.
const COPIED_AT_ONCE: usize = 64;

/// Why a part of a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum PartError {
    #[error("it cannot be opened: {0}")]
    Open(#[from] std::io::Error),
    #[error("{0}")]
    Snapshot(Box<SnapshotError>),
    #[error(transparent)]
    Position(#[from] PositionError),
}

/// A record that is whole and cannot be understood.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Full(IndexFull),
    #[error("a record of kind {0:?}, which this version does not know; a newer version has written here")]
    Kind(RecordKind),
}

/// Up to where it is known already what happened to some slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basis {
    slots: Range<u16>,
    /// All that is in tables of so many checkpoints is known.
    checkpoints: u64,
    /// And all that was written up to here.
    order: WriteOrder,
}

impl Basis {
    /// Nothing is known of `slots`.
    pub(super) fn nothing(slots: Range<u16>) -> Basis {
        Basis { slots, checkpoints: 0, order: WriteOrder::beginning_of(0) }
    }

    /// All of `slots` is known that a snapshot with this position has.
    pub(super) fn of(slots: Range<u16>, position: &Position) -> Basis {
        Basis { slots, checkpoints: position.checkpoints, order: position.order() }
    }

    /// Whether there is something that need not be read.
    fn is_something(&self) -> bool {
        self.order > WriteOrder::beginning_of(0)
    }
}

/// The index of some slots, as far as it is built.
pub(super) struct Rebuild {
    own: Range<u16>,
    index: IndexLoader,
    /// Together all slots.
    bases: Vec<Basis>,
}

/// An index that has all claims, and what is still to be taken back of them.
pub(super) struct Filled {
    index: IndexLoader,
    retractions: Retractions,
}

/// Reads a part of a snapshot.
pub(super) fn restore_part(
    storage: &dyn SnapshotStorage,
    part: &Part,
    hash_seed: u64,
) -> Result<(IndexLoader, Position), PartError> {
    let mut source = storage.open(part)?;
    let config = IndexConfig { bytes_max: u64::MAX, hash_seed };
    let (index, position) = IndexLoader::restore(&mut source, config, part.slots.clone())
        .map_err(|error| PartError::Snapshot(Box::new(error)))?;
    Ok((index, Position::decode(&position)?))
}

impl Rebuild {
    /// Begins with what is known of the slots `own`, which have no claims yet.
    pub(super) fn new(own: Range<u16>, bases: Vec<Basis>, hash_seed: u64) -> Rebuild {
        let index = IndexLoader::new(IndexConfig { bytes_max: u64::MAX, hash_seed });
        Rebuild { own, index, bases }
    }

    /// Begins with an index that was restored from a snapshot of the same slots.
    pub(super) fn with(own: Range<u16>, index: IndexLoader, position: &Position) -> Rebuild {
        Rebuild { bases: vec![Basis::of(own.clone(), position)], own, index }
    }

    /// Takes the own ones of `slots`, with their claims from the `index` that a snapshot with this position had, if there is one.
    pub(super) fn add(
        &mut self,
        index: Option<&Index>,
        slots: &Range<u16>,
        position: Option<&Position>,
    ) -> Result<(), IndexFull> {
        let shared = slots.start.max(self.own.start)..slots.end.min(self.own.end);
        if shared.is_empty() {
            return Ok(());
        }
        let basis = Basis::nothing(shared.clone());
        self.bases.push(position.map_or(basis, |position| Basis::of(shared, position)));
        index.map_or(Ok(()), |index| self.copy(index))
    }

    /// How many claims there are.
    pub(super) fn claims(&self) -> u64 {
        self.index.len()
    }

    fn copy(&mut self, other: &Index) -> Result<(), IndexFull> {
        let mut claims = Vec::with_capacity(COPIED_AT_ONCE);
        for view in other.claims() {
            if self.own.contains(&Slot::of(view.subject_utf8()).number()) {
                claims.push(view);
            }
            if claims.len() == COPIED_AT_ONCE {
                self.copy_claims(&claims)?;
                claims.clear();
            }
        }
        self.copy_claims(&claims)
    }

    fn copy_claims(&mut self, claims: &[ClaimView<'_>]) -> Result<(), IndexFull> {
        let mut new_claims = Vec::with_capacity(claims.len());
        for view in claims {
            if view.stored().is_some() {
                self.index.insert_copy(view)?;
                continue;
            }
            new_claims.push(NewClaim { hash: view.hash(), claim: view.claim(), order: view.order() });
        }
        self.index.insert_all(&new_claims).map_err(|batch| batch.full)?;
        let retracted = claims.iter().filter(|view| view.retracted());
        retracted.for_each(|view| self.index.mark_retracted(&view.hash()));
        Ok(())
    }

    /// Reads what the tables have beyond what is known, and the log in `storage` behind what they cover.
    ///
    /// # Errors
    ///
    /// When a table or the log is damaged, or holds a record that cannot be understood.
    pub(super) fn read(
        self,
        storage: &dyn LogStorage,
        tables: &OpenTables,
    ) -> Result<(Recovered, Filled), RebuildError> {
        let Rebuild { own, mut index, bases } = self;
        let mut retractions = Retractions::beyond(bases);
        for basis in &retractions.bases {
            tables.read_after(basis.checkpoints, &basis.slots, &mut |claims| load(&mut index, claims))?;
        }
        retractions.note_those_of(tables)?;
        let visit = &mut |records: &[Replayed<'_>]| replay(&mut index, &mut retractions, &own, records);
        let recovered = recover_after(storage, tables.covered(), visit)?;
        let unfinished =
            recovered.unfinished_retractions.iter().filter(|_| !planted::is(Bug::ForgetRetractions));
        // An unfinished retraction is completed where the next generation begins, before anything is written in that.
        let before = WriteOrder::beginning_of(recovered.next_generation.0);
        for UnfinishedRetraction { payload, slots } in unfinished {
            let retraction = Retraction::decode(payload).expect("it was decoded when it was replayed");
            retractions.note(retraction.path.as_str(), slots, before);
        }
        Ok((recovered, Filled { index, retractions }))
    }
}

impl Filled {
    /// How many claims there are.
    pub(super) fn claims(&self) -> u64 {
        self.index.len()
    }

    /// Takes back what is to be taken back, and puts everything in order.
    pub(super) fn finish(self) -> Index {
        let Filled { mut index, retractions } = self;
        retractions.apply(&mut index);
        index.finish()
    }
}

/// Builds the index of the slots `own` of the tables, and of the log in `storage` behind what they cover. `hash_seed` keys the
/// index's hash tables.
///
/// # Errors
///
/// When a table or the log is damaged, or holds a record that cannot be understood.
pub fn rebuild(
    storage: &dyn LogStorage,
    tables: &OpenTables,
    own: Range<u16>,
    hash_seed: u64,
) -> Result<(Recovered, Index), RebuildError> {
    let nothing = Rebuild::new(own.clone(), vec![Basis::nothing(own)], hash_seed);
    let (recovered, filled) = nothing.read(storage, tables)?;
    Ok((recovered, filled.finish()))
}

/// The retractions beyond what is known, to be applied when all claims are in the index. When each was written tells what it takes
/// back, so that of two with the same path and slots the later one takes back all that the earlier one does: each path is
/// looked for once, however often it was retracted.
#[derive(Debug)]
struct Retractions {
    bases: Vec<Basis>,
    /// The last one of each path and range of slots: what was written before it is taken back.
    before: BTreeMap<(String, u16, u16), WriteOrder>,
}

impl Retractions {
    /// None yet.
    fn beyond(bases: Vec<Basis>) -> Retractions {
        Retractions { bases, before: BTreeMap::new() }
    }

    /// Notes that what rests on `path` in those of the own slots that are in `slots` is taken back, as far as it was written
    /// before `before`.
    fn note(&mut self, path: &str, slots: &SlotSet, before: WriteOrder) {
        for basis in self.bases.iter().filter(|basis| basis.order < before) {
            for range in slots.ranges_within(basis.slots.clone()) {
                let last = self.before.entry((path.to_owned(), range.start, range.end)).or_insert(before);
                *last = before.max(*last);
            }
        }
    }

    /// Notes the retractions of tables that are beyond what is known. Where nothing is, the claims of the tables say themselves
    /// whether they are retracted.
    fn note_those_of(&mut self, tables: &OpenTables) -> Result<(), ReadError> {
        let known =
            self.bases.iter().filter(|basis| basis.is_something()).map(|basis| basis.checkpoints).min();
        let Some(known) = known.filter(|_| !planted::is(Bug::ForgetRetractionsOfTables)) else {
            return Ok(());
        };
        tables.retractions_after(known, &mut |retraction| {
            let path = Retraction::decode(retraction.payload)?.path;
            self.note(path.as_str(), &retraction.slots, retraction.order);
            Ok(())
        })
    }

    fn apply(self, index: &mut IndexLoader) {
        for ((path, start, end), before) in self.before {
            index.retract(&path, start..end, before);
        }
    }
}

/// Inserts claims of one table.
fn load(index: &mut IndexLoader, claims: &[StoredClaim<'_>]) -> Result<(), RebuildError> {
    let Some(StoredClaim { checkpoints, .. }) = claims.first() else { return Ok(()) };
    let new_claims: Vec<_> = claims.iter().map(new_claim).collect();
    index.insert_all_stored(&new_claims, *checkpoints).map_err(|batch| RebuildError::Full(batch.full))?;
    for stored in claims.iter().filter(|stored| stored.retracted) {
        index.mark_retracted(&stored.assertion.hash);
    }
    Ok(())
}

fn new_claim<'a>(stored: &StoredClaim<'a>) -> NewClaim<'a> {
    NewClaim { hash: stored.assertion.hash, claim: stored.assertion.claim.clone(), order: stored.order }
}

/// Applies records to the index of the core that owns the slots `own`.
fn replay(
    index: &mut IndexLoader,
    retractions: &mut Retractions,
    own: &Range<u16>,
    records: &[Replayed<'_>],
) -> Result<(), RecoveryVisitError> {
    let is_assertion = |record: &Replayed<'_>| record.kind == RecordKind::Assertion;
    for run in records.chunk_by(|one, next| is_assertion(one) && is_assertion(next)) {
        if is_assertion(&run[0]) {
            insert(index, own, run)?;
        } else {
            replay_other(retractions, &run[0]).map_err(|error| RecoveryVisitError::new(&run[0], error))?;
        }
    }
    Ok(())
}

/// Inserts the claims of assertions, those of them that are in the slots `own`.
fn insert(
    index: &mut IndexLoader,
    own: &Range<u16>,
    records: &[Replayed<'_>],
) -> Result<(), RecoveryVisitError> {
    let mut claims = Vec::with_capacity(records.len());
    let mut inserted_from = Vec::with_capacity(records.len());
    for record in records {
        let refused = |error| RecoveryVisitError::new(record, ReplayError::Decode(error));
        let Assertion { hash, claim, .. } = Assertion::decode(record.payload).map_err(refused)?;
        if planted::is(Bug::LoseLanes) && record.lane.0 > 0 {
            continue;
        }
        if own.contains(&Slot::of(claim.subject.as_str().as_bytes()).number()) {
            claims.push(NewClaim { hash, claim, order: order_of(record) });
            inserted_from.push(record);
        }
    }
    index
        .insert_all(&claims)
        .map_err(|batch| RecoveryVisitError::new(inserted_from[batch.at], ReplayError::Full(batch.full)))
}

/// Notes a record that is not an assertion.
fn replay_other(retractions: &mut Retractions, record: &Replayed<'_>) -> Result<(), ReplayError> {
    match record.kind {
        RecordKind::Retraction => {
            let retraction = Retraction::decode(record.payload)?;
            let slots = record.retracts.expect("recovery says it of every retraction");
            retractions.note(retraction.path.as_str(), &slots, order_of(record));
            Ok(())
        }
        kind => Err(ReplayError::Kind(kind)),
    }
}

/// When a record was written.
fn order_of(record: &Replayed<'_>) -> WriteOrder {
    WriteOrder::new(record.generation.0, record.lsn.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand retractions of a path with 300 000 claims once took a start 15 s.
    #[test]
    fn a_path_is_looked_for_once_however_often_it_was_retracted() {
        let set = |slots| SlotSet::default().add(slots);
        let mut retractions = Retractions::beyond(vec![Basis::nothing(100..300)]);
        for lsn in (0..1000).chain(0..10) {
            retractions.note("source/x", &set(0..200), WriteOrder::new(1, lsn));
        }
        retractions.note("source/x", &set(0..300), WriteOrder::new(1, 7));
        retractions.note("source/y", &set(300..400), WriteOrder::new(1, 7));
        let path = |start, end| ("source/x".to_owned(), start, end);
        let expected = [(path(100, 200), WriteOrder::new(1, 999)), (path(100, 300), WriteOrder::new(1, 7))];
        assert!(retractions.before.iter().map(|(key, before)| (key.clone(), *before)).eq(expected));
    }

    #[test]
    fn a_retraction_that_a_snapshot_knows_is_not_looked_for_again() {
        let set = |slots| SlotSet::default().add(slots);
        let known = Basis { slots: 0..100, checkpoints: 3, order: WriteOrder::new(2, 50) };
        let mut retractions = Retractions::beyond(vec![known, Basis::nothing(100..200)]);
        for (generation, lsn) in [(1, 90), (2, 50)] {
            retractions.note("source/x", &set(0..200), WriteOrder::new(generation, lsn));
        }
        retractions.note("source/y", &set(0..200), WriteOrder::new(2, 51));
        let noted: Vec<_> = retractions.before.into_iter().collect();
        let path = |name: &str, start, end| (name.to_owned(), start, end);
        let (last, later) = (WriteOrder::new(2, 50), WriteOrder::new(2, 51));
        let expected = [
            (path("source/x", 100, 200), last),
            (path("source/y", 0, 100), later),
            (path("source/y", 100, 200), later),
        ];
        assert_eq!(noted, expected);
    }
}
