//! Lenses and queries: the order in which claims come into an index does not matter, and every answer is what a plain model
//! of all claims gives.

use stemedb_engine::claim::{
    Claim, ClaimHash, ConceptPath, Confidence, EpochId, Lifecycle, Predicate, SourceClass, Timestamp, Value,
};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, Inserted, NewClaim};
use stemedb_engine::lens::{Candidate, Fold, Lens};
use stemedb_engine::order::{ListKey, WriteOrder};
use stemedb_engine::query::{Execution, Hit, LifecycleFilter, Query, Step, SubjectFilter};
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

use crate::model::{self, Answer, Known, Outcome};
use crate::program::{Program, shuffled};

/// Claims an input can make at most.
const CLAIMS_MAX: usize = 200;

/// Days are the unit of time: decay is in days.
const DAY_US: i64 = 86_400_000_000;

const PATHS: [&str; 8] = ["a", "a", "a", "a/b", "a/b/c", "a/b-x", "a/b/", "b"];
const PREDICATES: [&str; 4] = ["is", "is", "is", "has"];
const EPOCHS: [&str; 2] = ["2024", "2025"];

/// Claims, retractions and questions: whatever the order of insertion, the answers are those of the model, and each lens by
/// itself has the same winner in every order.
pub fn lens(input: &[u8]) {
    let mut program = Program::new(input);
    let seed = program.number() as u64;
    let retraction = program.byte();
    let retracted = [None, None, Some("a/b"), Some("a")][usize::from(retraction) % 4];
    let before = WriteOrder::beginning_of([4, 3, 2, 1][usize::from(retraction >> 2) % 4]);
    let queries: Vec<Query> = (0..1 + program.byte() % 4).map(|_| read_query(&mut program)).collect();
    let mut known: Vec<Known> = Vec::new();
    while !program.rest.is_empty() && known.len() < CLAIMS_MAX {
        let claim = read_claim(&mut program);
        let order = WriteOrder::new(1 + u32::from(program.byte() % 3), known.len() as u64);
        let key = ListKey { timestamp: claim.timestamp.unix_micros(), order, hash: hash_of(&claim).0 };
        if known.iter().all(|other| other.key.hash != key.hash) {
            known.push(Known { claim, key, retracted: false });
        }
    }

    let orders = [(0..known.len()).collect(), (0..known.len()).rev().collect(), shuffled(known.len(), seed)];
    let mut indexes: Vec<Index> = (0..)
        .zip(&orders)
        .map(|(number, order)| match number {
            1 => loaded(&known, order),
            _ => inserted(&known, order, seed + number),
        })
        .collect();
    if let Some(path) = retracted {
        let struck = model::retract(&mut known, path, &(0..SLOTS), before);
        for index in &mut indexes {
            assert_eq!(index.retract(path, 0..SLOTS, before), struck);
        }
    }
    for query in &queries {
        let mut expected = model::ask(&known, query);
        expected.truncate(query.limit + 1);
        for index in &indexes {
            assert_eq!(ask(index, query, seed as usize % 9), expected, "{query:?}");
        }
    }
    for lens in Lens::ALL {
        let outcomes = orders.each_ref().map(|order| fold(lens, &known, order));
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{lens:?} depends on the order");
    }
}

fn read_claim(program: &mut Program<'_>) -> Claim<'static> {
    const VALID: &str = "the constants are valid";
    let subject = ConceptPath::new(program.pick(&PATHS)).expect(VALID);
    let predicate = Predicate::new(program.pick(&PREDICATES)).expect(VALID);
    let value = match program.byte() {
        // So many that they are not all looked at one by one.
        number @ 0..200 => Value::number(f64::from(number % 25)),
        // The same to the eye.
        200..220 => Value::text("1"),
        220..230 => Value::reference("1"),
        230..240 => Value::json("[1]"),
        even if even % 2 == 0 => Ok(Value::Boolean(true)),
        _ => Value::number(-0.0),
    };
    let timestamp = UnixMicros(i64::from(program.byte() % 8) * 20 * DAY_US);
    let mut claim =
        Claim::new(subject, predicate, value.expect(VALID), Timestamp::new(timestamp).expect(VALID));
    claim.confidence = Confidence::new(f64::from(program.byte() % 5) / 4.0).expect(VALID);
    let traits = program.byte();
    claim.source_class = SourceClass::ALL[usize::from(traits % 6)];
    claim.lifecycle = if traits & 0x40 == 0 { Lifecycle::Approved } else { Lifecycle::Proposed };
    claim.source = (traits & 0x80 != 0).then(|| ConceptPath::new("a/b/c").expect(VALID));
    claim.epoch = (traits & 0x20 != 0).then(|| EpochId::new(EPOCHS[0]).expect(VALID));
    claim
}

fn read_query(program: &mut Program<'_>) -> Query {
    let subject = match program.byte() % 5 {
        0 => SubjectFilter::Exact("a".to_owned()),
        1 => SubjectFilter::Subtree(String::new()),
        2 => SubjectFilter::Subtree("a/b".to_owned()),
        _ => SubjectFilter::Subtree("a".to_owned()),
    };
    let flags = program.byte();
    let days = |days: u8| UnixMicros(i64::from(days) * 10 * DAY_US);
    let pick = program.byte();
    Query {
        lens: [None, Some(Lens::Recency), Some(Lens::Consensus), Some(Lens::Confidence)]
            [usize::from(flags % 4)],
        limit: if flags & 0x04 == 0 { 10_000 } else { 1 + usize::from(pick % 8) },
        predicate: (flags & 0x08 != 0).then(|| PREDICATES[0].to_owned()),
        as_of: (flags & 0x10 != 0).then(|| days(program.byte() % 16)),
        decay_at: (flags & 0x20 != 0).then(|| days(program.byte() % 32)),
        lifecycle: if flags & 0x40 == 0 { LifecycleFilter::Any } else { LifecycleFilter::default() },
        include_retracted: flags & 0x80 != 0,
        min_confidence: [0.0, 0.0, 0.25, 0.5][usize::from(pick >> 6)],
        source_class: (pick & 0x38 == 0x38).then_some(SourceClass::Clinical),
        epoch: (pick & 0x38 == 0x30).then(|| EPOCHS[usize::from(pick % 2)].to_owned()),
        ..Query::new(subject)
    }
}

fn inserted(known: &[Known], order: &[usize], hash_seed: u64) -> Index {
    let mut index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed });
    for &at in order {
        let Known { claim, key, .. } = &known[at];
        for expected in [Inserted::New, Inserted::Exists] {
            assert_eq!(index.insert(&ClaimHash(key.hash), claim, key.order), Ok(expected));
        }
    }
    index
}

/// As a start from the log does it.
fn loaded(known: &[Known], order: &[usize]) -> Index {
    let mut loader = IndexLoader::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 7 });
    let claims: Vec<NewClaim<'_>> = order.iter().map(|&at| known[at].new_claim()).collect();
    for batch in claims.chunks(11) {
        loader.insert_all(batch).expect("there is no bound");
    }
    loader.finish()
}

fn ask(index: &Index, query: &Query, claims_budget: usize) -> Vec<Answer> {
    let mut execution = Execution::new(query, index);
    while execution.step(index, claims_budget) == Step::More {}
    let answer = |hit: &Hit| Answer {
        key: hit.key,
        effective_confidence: hit.effective_confidence,
        resolution: hit.resolution.map(|resolution| Outcome {
            supporting: resolution.supporting,
            candidates: resolution.candidates,
            distinct_values: resolution.distinct_values,
            runner_up: resolution.runner_up.map(|other| (index.view(other.claim).hash().0, other.supporting)),
        }),
    };
    execution.into_hits().iter().map(answer).collect()
}

/// The winner of all claims, whatever they are about, and the runner-up.
fn fold(lens: Lens, known: &[Known], order: &[usize]) -> Option<(usize, Option<usize>)> {
    let mut fold = Fold::new(lens);
    for &at in order {
        let Known { claim, key, .. } = &known[at];
        let candidate = Candidate { claim: at, key: *key, confidence: claim.confidence.value() };
        // Two hashes for all values: an equal one proves nothing.
        fold.add(candidate, (claim.value == known[0].claim.value).into(), |other| {
            known[other].claim.value == claim.value
        });
    }
    let resolution = fold.finish()?;
    Some((resolution.winner, resolution.runner_up.map(|other| other.claim)))
}

fn hash_of(claim: &Claim<'_>) -> ClaimHash {
    let mut canonical = Vec::new();
    claim.encode_canonical(&mut canonical);
    ClaimHash::of_canonical(&canonical)
}
