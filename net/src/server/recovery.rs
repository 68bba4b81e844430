//! Rebuilds the cores' indexes from the log.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::checkpoint::{DirManifest, Manifest, OpenTables, ReadError, StoreError, StoredClaim};
use stemedb_engine::claim::{Assertion, DecodeError, Retraction};
use stemedb_engine::index::{Index, IndexConfig, IndexFull, IndexLoader, NewClaim};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{
    Recovered, RecoveryError, RecoveryVisitError, Replayed, UnfinishedRetraction, recover_after,
};
use stemedb_engine::log::storage::{DirStorage, LogStorage};
use stemedb_engine::order::WriteOrder;
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::slot::{CoreId, Slot, SlotMap, SlotSet};
use stemedb_engine::table::DirTables;

use super::steps::{Step, Steps};

/// What recovery found, and what it built of that.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) recovered: Recovered,
    /// Which tables there are.
    pub(super) manifest: Manifest,
    /// By core.
    pub(super) indexes: Vec<Index>,
    pub(super) took: Duration,
}

/// Why the index of a core cannot be built. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log cannot be recovered.
    #[error(transparent)]
    Log(#[from] RecoveryError),
    /// The list of the tables, or a table, is not as it must be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The claims of a table cannot be read.
    #[error("{0}. Nothing on disk was changed; docs/operations/recovery.md says what to do")]
    Table(#[from] ReadError),
    /// The claims of the tables do not fit into memory.
    #[error("the claims of the tables do not fit into the index")]
    Full(#[source] IndexFull),
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

/// Reads the tables in `db` and the log in `wal` and builds the index of each core: all at once, each core's thread reads
/// its slots of the tables, then all of the log, and keeps what is in its slots.
pub(super) fn recover(wal: &Path, db: &Path, slots: SlotMap) -> Result<Recovery, RebuildError> {
    let began = Instant::now();
    let seed = hash_seed();
    let tables = OpenTables::open(&DirManifest::new(db), &DirTables::new(db))?;
    let (tables, manifest) = (&tables, tables.manifest().clone());
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..slots.cores())
            .map(|core| {
                scope
                    .spawn(move || rebuild(&DirStorage::new(wal), tables, slots.slots_of(CoreId(core)), seed))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<_, RebuildError>>()
    })?;
    let (recovered, indexes): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let mut recovered = recovered.into_iter();
    let first = recovered.next().expect("there is at least one core");
    assert!(recovered.all(|other| other == first), "two readings of one log differ");
    Ok(Recovery { recovered: first, manifest, indexes, took: began.elapsed() })
}

impl Recovery {
    /// How many claims there are.
    pub(super) fn assertions(&self) -> u64 {
        self.indexes.iter().map(Index::len).sum()
    }

    /// Tells what was found.
    pub(super) fn log(&self, steps: &mut Steps<'_>) {
        let Recovered { records, bytes, tails_dropped, unfinished_retractions, .. } = &self.recovered;
        for tail in tails_dropped {
            tracing::warn!(
                "Dropped {} bytes of an unfinished, never acknowledged commit at offset {} of {}: {}",
                tail.bytes,
                tail.offset,
                tail.path.display(),
                tail.reason
            );
        }
        steps.did(
            Step::Replay,
            format_args!("Replayed {records} entries from WAL ({bytes} bytes in {:.1?})", self.took),
        );
        if !unfinished_retractions.is_empty() {
            tracing::info!(
                "Completing {} retractions that a crash interrupted",
                unfinished_retractions.len()
            );
        }
        steps.did(
            Step::Indexes,
            format_args!(
                "Rebuilding indexes... {} assertions in {} cores, {} of them from {} tables",
                self.assertions(),
                self.indexes.len(),
                self.manifest.entries(),
                self.manifest.tables.len()
            ),
        );
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
    let mut index = IndexLoader::new(IndexConfig { bytes_max: u64::MAX, hash_seed });
    tables.read(&own, &mut |claims| load(&mut index, claims))?;
    let mut retractions = Retractions::of(own.clone());
    let visit = &mut |records: &[Replayed<'_>]| replay(&mut index, &mut retractions, &own, records);
    let recovered = recover_after(storage, tables.covered(), visit)?;
    let unfinished = recovered.unfinished_retractions.iter().filter(|_| !planted::is(Bug::ForgetRetractions));
    // An unfinished retraction is completed where the next generation begins, before anything is written in that.
    let before = WriteOrder::beginning_of(recovered.next_generation.0);
    for UnfinishedRetraction { payload, slots } in unfinished {
        let retraction = Retraction::decode(payload).expect("it was decoded when it was replayed");
        retractions.note(retraction.path.as_str(), slots, before);
    }
    retractions.apply(&mut index);
    Ok((recovered, index.finish()))
}

/// The retractions of a log, to be applied when all its claims are in the index. When each was written tells what it takes back,
/// so that of two with the same path and slots the later one takes back all that the earlier one does: each path is
/// looked for once, however often it was retracted.
#[derive(Debug)]
struct Retractions {
    own: Range<u16>,
    /// The last one of each path and range of slots: what was written before it is taken back.
    before: BTreeMap<(String, u16, u16), WriteOrder>,
}

impl Retractions {
    /// None yet, of the core that owns the slots `own`.
    fn of(own: Range<u16>) -> Retractions {
        Retractions { own, before: BTreeMap::new() }
    }

    /// Notes that what rests on `path` in those of the own slots that are in `slots` is taken back, as far as it was written
    /// before `before`.
    fn note(&mut self, path: &str, slots: &SlotSet, before: WriteOrder) {
        for range in slots.ranges_within(self.own.clone()) {
            let last = self.before.entry((path.to_owned(), range.start, range.end)).or_insert(before);
            *last = before.max(*last);
        }
    }

    fn apply(self, index: &mut IndexLoader) {
        for ((path, start, end), before) in self.before {
            index.retract(&path, start..end, before);
        }
    }
}

/// Inserts claims of a table.
fn load(index: &mut IndexLoader, claims: &[StoredClaim<'_>]) -> Result<(), RebuildError> {
    let new_claims: Vec<_> = claims.iter().map(new_claim).collect();
    index.insert_all(&new_claims).map_err(|batch| RebuildError::Full(batch.full))?;
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

/// A number that nobody outside can guess, to key the hash tables.
fn hash_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u64)
}

#[cfg(test)]
mod tests {
    //! Goal: recovery takes back what a retraction took back while it was served, and no more. Method: a log of two
    //! lanes in which the retraction reached one of them, recovered, opened and recovered again.

    use stemedb_engine::claim::{
        Claim, ConceptPath, Predicate, Reason, RetractionId, Timestamp, Value, assertion,
    };
    use stemedb_engine::log::Generation;
    use stemedb_engine::log::blocking::drive;
    use stemedb_engine::log::lane::{Lane, LaneConfig};
    use stemedb_engine::log::opening::{Opening, open_generation};
    use stemedb_engine::slot::LaneId;
    use stemedb_engine::time::UnixMicros;

    use super::*;

    const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

    fn open(disk: &mut DirStorage, recovered: &Recovered) -> Vec<Lane> {
        let lane = LaneConfig { segment_bytes: 2 << 20, ..LaneConfig::new(LaneId(0), Generation::FIRST) };
        open_generation(disk, recovered, &Opening { lanes: 2, lane, now: NOW, monotonic_us: 0 })
            .expect("a working disk")
    }

    fn assert(lane: &mut Lane, subject: &str, source: &str, value: &str) {
        let mut claim = Claim::new(
            ConceptPath::new(subject).expect("a valid path"),
            Predicate::new("is").expect("a valid predicate"),
            Value::text(value).expect("a valid value"),
            Timestamp::new(UnixMicros(1)).expect("a valid time"),
        );
        claim.source = Some(ConceptPath::new(source).expect("a valid path"));
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        lane.append(RecordKind::Assertion, 0, &payload).expect("there is room");
    }

    /// A thousand retractions of a path with 300 000 claims once took a start 15 s.
    #[test]
    fn a_path_is_looked_for_once_however_often_it_was_retracted() {
        let set = |slots| SlotSet::default().add(slots);
        let mut retractions = Retractions::of(100..300);
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
    fn an_interrupted_retraction_spares_what_was_written_after_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut disk = DirStorage::new(directory.path());
        let slots = SlotMap::new(2);
        let subject = |core| {
            let owned = |path: &String| slots.owner(Slot::of(path.as_bytes())) == CoreId(core);
            (0..).map(|number| format!("s/{number}")).find(owned).expect("every core owns slots")
        };
        let recovered = recover(directory.path(), directory.path(), slots).expect("an empty log").recovered;
        let mut lanes = open(&mut disk, &recovered);
        for core in [0, 1] {
            assert(&mut lanes[usize::from(core)], &subject(core), "source/x", "before");
        }
        let mut payload = Vec::new();
        Retraction {
            id: RetractionId { generation: 1, lane: LaneId(0), lsn: lanes[0].next_lsn().0 },
            path: ConceptPath::new("source/x").expect("a valid path"),
            reason: Reason::new("a test").expect("a valid reason"),
            at: NOW,
        }
        .encode(&mut payload);
        lanes[0].append(RecordKind::Retraction, 0, &payload).expect("there is room");
        assert(&mut lanes[0], &subject(0), "source/x", "after");
        for lane in &mut lanes {
            drive(lane, &mut disk, NOW, 0).expect("a working disk");
        }
        for start in 0..3 {
            let recovery = recover(directory.path(), directory.path(), slots).expect("a sound log");
            let retracted: Vec<_> = recovery.indexes.iter().map(Index::retracted_len).collect();
            assert_eq!((recovery.assertions(), &retracted[..]), (3, &[1, 1][..]), "start {start}");
            open(&mut disk, &recovery.recovered);
        }
    }
}
