//! Snapshots.
//!
//! Goal: an index that is restored from a snapshot, and to which all is told that happened since the snapshot was begun, and
//! some that happened before, answers as the one that was never restarted. Method: the model, which both are held against;
//! snapshots are taken in steps of random size, between random operations.

use proptest::collection::vec;
use proptest::prelude::*;
use stemedb_engine::claim::{Claim, Timestamp};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, NewClaim, SnapshotCursor};
use stemedb_engine::order::WriteOrder;
use stemedb_engine::query::{Execution, Query, Step, SubjectFilter};
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

use super::samples::{self, Operation};
use super::{Both, CONFIG, hash_of};

proptest! {
    #[test]
    fn a_restored_index_answers_as_the_one_it_was_taken_of(
        before in vec(samples::operation(), 0..300),
        during in vec(samples::operation(), 0..200),
        later in vec(samples::operation(), 0..100),
        // How many operations are told again that came before the snapshot.
        again in 0_usize..50,
        budget_bytes in prop_oneof![Just(1_usize), 1..300_usize, 1..20_000_usize],
        operations_a_step in 0_usize..4,
        hash_seed in any::<u64>(),
        queries in vec(samples::query(), 1..8),
    ) {
        let mut both = Both::new();
        let mut log: Vec<Logged> = Vec::new();
        before.into_iter().for_each(|operation| log.push(Logged::apply(operation, &mut both)));

        let position = log.len().saturating_sub(again).to_le_bytes().to_vec();
        let mut during = during.into_iter();
        let taken = take(&mut both, &position, budget_bytes, |both| {
            for operation in during.by_ref().take(operations_a_step) {
                log.push(Logged::apply(operation, both));
            }
        });
        during.for_each(|operation| log.push(Logged::apply(operation, &mut both)));

        let config = IndexConfig { hash_seed, ..CONFIG };
        let (mut loader, position) =
            IndexLoader::restore(&mut taken.as_slice(), config, 0..SLOTS).expect("an undamaged snapshot");
        let position = usize::from_le_bytes(position.try_into().expect("the position that was given"));
        log[position..].iter().for_each(|logged| logged.replay(&mut loader));
        both.index = loader.finish();
        both.check_claims();
        both.check_counts();
        queries.iter().for_each(|query| both.check_query(query, 1_000));

        // It goes on, and a snapshot of it is as good.
        for operation in later {
            both.apply(&operation);
        }
        let taken = take(&mut both, b"", 4_096, |_| ());
        both.index = restore(&taken);
        both.check_claims();
        both.check_counts();
        queries.iter().for_each(|query| both.check_query(query, 1_000));
    }
}

/// An operation, and when it was written.
struct Logged {
    operation: Operation,
    order: WriteOrder,
}

impl Logged {
    fn apply(operation: Operation, both: &mut Both) -> Logged {
        both.apply(&operation);
        Logged { operation, order: WriteOrder::new(1, both.written) }
    }

    fn replay(&self, loader: &mut IndexLoader) {
        match &self.operation {
            Operation::Insert(claim) => {
                let new = NewClaim { hash: hash_of(claim), claim: Claim::clone(claim), order: self.order };
                loader.insert_all(&[new]).expect("there is room");
            }
            Operation::Retract(path, slots) => {
                loader.retract(path, slots.clone(), self.order);
            }
        }
    }
}

/// Takes a snapshot; `between` happens between the steps.
fn take(
    both: &mut Both,
    position: &[u8],
    budget_bytes: usize,
    mut between: impl FnMut(&mut Both),
) -> Vec<u8> {
    let mut taken = Vec::new();
    let mut cursor = SnapshotCursor::new(&both.index, 0..SLOTS, position.to_vec());
    while !cursor.step(&both.index, budget_bytes, &mut taken) {
        between(both);
    }
    taken
}

fn restore(taken: &[u8]) -> Index {
    let restored = IndexLoader::restore(&mut &taken[..], CONFIG, 0..SLOTS);
    restored.expect("an undamaged snapshot").0.finish()
}

/// Bodies, names and series of many chunks and blocks: what the random samples are too small for.
#[test]
fn a_large_index_is_restored_whole() {
    const CLAIMS: i64 = 60_000;
    let names: Vec<String> = (0..CLAIMS)
        .map(|n| format!("all/{}/{}", n * 7_919 % CLAIMS, "long".repeat(n as usize % 30)))
        .collect();
    let mut index = Index::new(CONFIG);
    for (n, name) in (0..CLAIMS).zip(&names) {
        // Claims of one series come in no order of time.
        let mut claim = super::telling_claim(name, [n % 2 == 0, false, n % 3 == 0, n % 5 == 0]);
        let timestamp = UnixMicros(n * 7_919 % CLAIMS);
        claim.timestamp = Timestamp::new(timestamp).expect("valid");
        index.insert(&hash_of(&claim), &claim, WriteOrder::new(1, n as u64 + 1)).expect("there is room");
    }
    let (mut taken, mut cursor) = (Vec::new(), SnapshotCursor::new(&index, 0..SLOTS, Vec::new()));
    while !cursor.step(&index, 64 << 10, &mut taken) {}
    assert!(taken.len() as u64 <= index.bytes(), "{} bytes of {}", taken.len(), index.bytes());
    let restored = restore(&taken);
    assert_eq!(restored.len(), index.len());
    assert!(restored.bytes() <= index.bytes() * 105 / 100, "{} of {}", restored.bytes(), index.bytes());
    for path in ["shared", "all"] {
        let [expected, found] = [&index, &restored].map(|index| {
            let subject = SubjectFilter::Subtree(path.to_string());
            let query = Query { limit: 10_000, ..Query::new(subject) };
            let mut execution = Execution::new(&query, index);
            while execution.step(index, 10_000) == Step::More {}
            let hits = execution.into_hits();
            hits.iter().map(|hit| (hit.key, index.view(hit.claim).claim())).collect::<Vec<_>>()
        });
        assert_eq!(expected.len(), 10_001);
        assert_eq!(found, expected);
    }
}
