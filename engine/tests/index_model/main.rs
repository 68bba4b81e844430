//! The index against a model that is plain enough to be right.
//!
//! Goal: whatever is inserted, in whatever order, and whatever is retracted, every query gives what a list of
//! all claims, filtered and sorted, gives. Method: random operations on an index and on such a list, then
//! random queries to both; the index answers in steps of random size and in pages of random length.

mod model;
mod samples;
mod snapshot;

use model::{Answer, Known, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;
use samples::Operation;
use stemedb_engine::claim::{Claim, ClaimHash, ConceptPath, EpochId, Predicate, Timestamp, Value};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, Inserted, NewClaim, RetractionPass};
use stemedb_engine::lens::Lens;
use stemedb_engine::order::{ListKey, WriteOrder};
use stemedb_engine::query::{Execution, Hit, LIMIT_MAX, Query, Step, SubjectFilter};
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

const CONFIG: IndexConfig = IndexConfig { bytes_max: 256 << 20, hash_seed: 42 };

proptest! {
    #[test]
    fn queries_answer_as_the_model_does(
        operations in vec(samples::operation(), 0..400),
        queries in vec((samples::query(), 1_usize..50), 1..20),
    ) {
        let mut both = Both::new();
        operations.iter().for_each(|operation| both.apply(operation));
        both.check_claims();
        for (query, claims_budget) in queries {
            both.check_query(&query, claims_budget);
        }
    }

    #[test]
    fn a_query_sees_what_was_there_when_it_began(
        before in vec(samples::operation(), 0..200),
        during in vec(samples::claim(), 1..200),
        query in samples::query(),
        claims_budget in 1_usize..10,
    ) {
        let mut both = Both::new();
        before.iter().for_each(|operation| both.apply(operation));
        let mut expected = model::ask(&both.model, &query);
        let mut execution = Execution::new(&query, &both.index);
        let mut during = during.into_iter();
        while execution.step(&both.index, claims_budget) == Step::More {
            during.by_ref().take(3).for_each(|claim| both.insert(claim));
        }
        expected.truncate(query.limit + 1);
        let found: Vec<Answer> = execution.into_hits().iter().map(|hit| both.answer_of(hit)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_retraction_strikes_what_was_written_before_it(
        before in vec(samples::operation(), 0..200),
        during in vec(samples::claim(), 1..200),
        retraction in samples::retraction(),
        claims_budget in 1_usize..10,
    ) {
        let mut both = Both::new();
        before.iter().for_each(|operation| both.apply(operation));
        let (path, slots) = retraction;
        let order = both.next_order();
        let mut pass = RetractionPass::new(path, slots.clone(), order, &both.index);
        let expected = model::retract(&mut both.model, path, &slots, order);
        let mut during = during.into_iter();
        while !pass.step(&mut both.index, claims_budget) {
            during.by_ref().take(3).for_each(|claim| both.insert(claim));
        }
        prop_assert_eq!(pass.retracted(), expected);
        both.check_claims();
    }

    /// As when a log is read again over claims of which some are there.
    #[test]
    fn a_retraction_that_comes_late_strikes_no_more(
        claims in vec(samples::claim(), 0..300),
        retractions in vec((samples::retraction(), 0_u64..320), 1..6),
        is_loaded in any::<bool>(),
    ) {
        let mut both = Both::new();
        claims.into_iter().for_each(|claim| both.insert(claim));
        let mut loader = IndexLoader::new(CONFIG);
        let new_claims: Vec<NewClaim<'_>> = both.model.iter().map(Known::new_claim).collect();
        loader.insert_all(&new_claims).expect("there is room");
        let mut loaded = Vec::new();
        for ((path, slots), lsn) in retractions {
            let before = WriteOrder::new(1, lsn);
            let expected = model::retract(&mut both.model, path, &slots, before);
            if is_loaded {
                loaded.push((loader.retract(path, slots, before), expected));
            } else {
                prop_assert_eq!(both.index.retract(path, slots, before), expected);
            }
        }
        if is_loaded {
            prop_assert!(loaded.iter().all(|(struck, expected)| struck == expected), "{loaded:?}");
            both.index = loader.finish();
        }
        both.check_claims();
    }

    #[test]
    fn a_batch_is_as_good_as_its_claims_one_by_one(
        operations in vec(samples::operation(), 0..100),
        // Few different claims, so that many come twice, in one batch and in several.
        claims in vec(samples::claim(), 1..60),
        picks in vec(any::<prop::sample::Index>(), 0..300),
        batch_claims in 1_usize..100,
        queries in vec(samples::query(), 1..10),
    ) {
        let (mut one_by_one, mut batched) = (Both::new(), Both::new());
        operations.iter().for_each(|operation| {
            one_by_one.apply(operation);
            batched.apply(operation);
        });
        let before = one_by_one.model.len() as u64;
        let new_claims: Vec<NewClaim<'_>> = picks
            .iter()
            .zip(before..)
            .map(|(pick, number)| {
                let claim = pick.get(&claims).clone();
                NewClaim { hash: hash_of(&claim), claim, order: WriteOrder::new(9, number) }
            })
            .collect();
        for batch in new_claims.chunks(batch_claims) {
            batched.index.insert_all(batch).expect("there is room");
        }
        for NewClaim { hash, claim, order } in &new_claims {
            let expected = match one_by_one.model.iter().any(|known| known.key.hash == hash.0) {
                true => Inserted::Exists,
                false => Inserted::New,
            };
            prop_assert_eq!(one_by_one.index.insert(hash, claim, *order), Ok(expected));
            if expected == Inserted::New {
                let key = ListKey { timestamp: claim.timestamp.unix_micros(), order: *order, hash: hash.0 };
                one_by_one.model.push(Known { claim: claim.clone(), key, retracted: false });
            }
        }
        prop_assert_eq!(batched.index.bytes(), one_by_one.index.bytes());
        batched.model = one_by_one.model.clone();
        batched.check_claims();
        for query in queries {
            batched.check_query(&query, 1_000);
        }
    }

    #[test]
    fn an_index_that_is_loaded_is_as_good_as_one_that_grew(
        operations in vec(samples::operation(), 0..400),
        later in vec(samples::operation(), 0..50),
        queries in vec(samples::query(), 1..20),
    ) {
        let (mut both, mut loader) = (Both::new(), IndexLoader::new(CONFIG));
        for operation in &operations {
            both.apply(operation);
            match operation {
                Operation::Insert(claim) => {
                    let order = WriteOrder::new(1, both.written);
                    let new = NewClaim { hash: hash_of(claim), claim: Claim::clone(claim), order };
                    loader.insert_all(&[new]).expect("there is room");
                }
                Operation::Retract(path, slots) => {
                    loader.retract(path, slots.clone(), WriteOrder::new(1, both.written));
                }
            }
        }
        both.index = loader.finish();
        both.check_claims();
        later.iter().for_each(|operation| both.apply(operation));
        for query in queries {
            both.check_query(&query, 1_000);
        }
    }

    #[test]
    fn answers_do_not_depend_on_the_order_of_insertion_or_the_seed(
        claims in vec(samples::claim(), 0..300),
        queries in vec(samples::query(), 1..10),
        hash_seed in any::<u64>(),
    ) {
        let mut both = Both::new();
        claims.into_iter().for_each(|claim| both.insert(claim));
        let mut reversed = Both { index: Index::new(IndexConfig { hash_seed, ..CONFIG }), ..Both::new() };
        for known in both.model.iter().rev() {
            let inserted = reversed.index.insert(&ClaimHash(known.key.hash), &known.claim, known.key.order);
            prop_assert_eq!(inserted, Ok(Inserted::New));
        }
        reversed.model = both.model.clone();
        for query in queries {
            reversed.check_query(&query, 1_000);
        }
    }
}

/// Series and subjects of many chunks: what the random samples are too small for.
#[test]
fn a_long_series_and_many_subjects_are_listed_whole() {
    const CLAIMS: i64 = 40_000;
    let paths: Vec<String> = (0..CLAIMS).map(|n| format!("all/{}", n * 7_919 % CLAIMS)).collect();
    let paths: &'static [String] = paths.leak();
    let mut both = Both::new();
    for (n, path) in (0..CLAIMS).zip(paths) {
        // A permutation: neither 2 nor 5 divides the factor.
        let timestamp = UnixMicros(n * 7_919 % CLAIMS);
        both.insert_quickly(claim("one", timestamp, n % 100));
        both.insert_quickly(claim(path, timestamp, n));
    }
    let pages = |query: Query| {
        let mut query = query;
        let mut keys: Vec<ListKey> = Vec::new();
        loop {
            let (page, is_more) = both.ask_index(&query, 10_007);
            keys.extend(page.iter().map(|answer| answer.key));
            query.after = keys.last().copied();
            if !is_more {
                return keys;
            }
        }
    };
    for subject in [SubjectFilter::Exact("one".to_string()), SubjectFilter::Subtree("all".to_string())] {
        let keys = pages(Query { limit: 9_999, ..Query::new(subject) });
        assert!(keys.is_sorted());
        assert!(keys.iter().map(|key| key.timestamp.0).eq((0..CLAIMS).rev()));
    }
    // The newest page of a long series takes no longer than that of a short one.
    let mut newest = Execution::new(
        &Query { limit: 10, ..Query::new(SubjectFilter::Exact("one".to_string())) },
        &both.index,
    );
    assert_eq!(newest.step(&both.index, 20), Step::Done);
    assert_eq!(newest.into_hits().len(), 11);
    let lens = Query { lens: Some(Lens::Consensus), ..Query::new(SubjectFilter::Exact("one".to_string())) };
    let (answers, _) = both.ask_index(&lens, 1_000);
    let outcome = answers[0].resolution.as_ref().expect("a lens resolves");
    assert_eq!((outcome.candidates, outcome.distinct_values, outcome.supporting), (40_000, 100, 400));
    assert_eq!(answers[0].key.timestamp.0, CLAIMS - 1);
}

#[test]
fn subtrees_are_cut_at_whole_parts() {
    let mut both = Both::new();
    let paths = ["a", "a/b", "a/b-x", "a/b/c", "a/b0", "a/bc", "a/b/", "a/c"];
    for (n, path) in (0..).zip(paths) {
        both.insert(claim(path, UnixMicros(n), n));
    }
    let subjects = |path: &str| {
        let mut execution =
            Execution::new(&Query::new(SubjectFilter::Subtree(path.to_string())), &both.index);
        while execution.step(&both.index, 1) == Step::More {}
        let hits = execution.into_hits();
        hits.iter().map(|hit| both.index.view(hit.claim).subject().as_str()).collect::<Vec<_>>()
    };
    assert_eq!(subjects("a/b"), ["a/b/", "a/b/c", "a/b"]);
    assert_eq!(subjects("a/b/"), ["a/b/"]);
    assert_eq!(subjects("a").len(), 8);
    assert_eq!(subjects("").len(), 8);
    assert_eq!(subjects("b"), [""; 0]);
}

#[test]
fn a_full_index_refuses_claims_and_stays_as_it_was() {
    const BYTES_MAX: u64 = 24 << 20;
    let mut index = Index::new(IndexConfig { bytes_max: BYTES_MAX, hash_seed: 1 });
    let names: Vec<String> = (0..200_000).map(|n| format!("{n}/{}", "long".repeat(n % 100))).collect();
    let mut full_at = None;
    for (n, name) in names.iter().enumerate() {
        let claim = telling_claim(name, [true; 4]);
        let (hash, order) = (hash_of(&claim), WriteOrder::new(1, n as u64));
        match index.insert(&hash, &claim, order) {
            Ok(inserted) => {
                assert_eq!(inserted, Inserted::New);
                assert_eq!(full_at, None, "nothing is given back, so full stays full");
                assert!(index.bytes() <= BYTES_MAX);
            }
            Err(full) => {
                assert!(full.to_string().contains(&format!("of {BYTES_MAX} bytes")), "{full}");
                let (len, bytes) = *full_at.get_or_insert((index.len(), index.bytes()));
                assert_eq!((index.len(), index.bytes()), (len, bytes));
                assert!(!index.contains(&hash));
                if len + 10 == n as u64 {
                    break;
                }
            }
        }
    }
    let (len, bytes) = full_at.expect("the claims do not fit");
    assert!(bytes > BYTES_MAX / 2, "{bytes} bytes are no reason to refuse");
    // What is there can still be read, inserted again and retracted.
    let first = telling_claim(&names[0], [true; 4]);
    assert_eq!(index.insert(&hash_of(&first), &first, WriteOrder::new(2, 1)), Ok(Inserted::Exists));
    assert_eq!(index.claim(&hash_of(&first)).map(|view| view.claim()), Some(first));
    assert_eq!(index.retract(&names[0], 0..SLOTS, WriteOrder::new(2, 2)), 1);
    assert_eq!(index.len(), len);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// What was promised room for is inserted, however much room each part of it takes.
    #[test]
    fn a_promise_of_room_is_kept(
        batches in vec((1_usize..3_000, 0_usize..110, any::<[bool; 4]>()), 200..=200),
        bytes_max in (12_u64 << 20)..(48 << 20),
    ) {
        let mut index = Index::new(IndexConfig { bytes_max, hash_seed: 1 });
        let mut number = 0;
        for (claims, repeats, own) in batches {
            let names: Vec<String> =
                (number..number + claims).map(|n| format!("{n}/{}", "long".repeat(repeats))).collect();
            let claims = names.iter().map(|name| telling_claim(name, own));
            let canonical_bytes = claims.clone().map(|claim| claim.canonical_bytes()).sum();
            if !index.has_room_for(names.len(), canonical_bytes) {
                continue;
            }
            for claim in claims {
                number += 1;
                let inserted = index.insert(&hash_of(&claim), &claim, WriteOrder::new(1, number as u64));
                prop_assert_eq!(inserted, Ok(Inserted::New));
            }
        }
        prop_assert!(index.bytes() <= bytes_max);
        prop_assert!(!index.has_room_for(100_000, 10_000_000));
    }
}

#[test]
#[should_panic(expected = "a limit of 10001")]
fn a_limit_beyond_the_greatest_is_refused() {
    let query = Query { limit: LIMIT_MAX + 1, ..Query::new(SubjectFilter::Subtree(String::new())) };
    Execution::new(&query, &Index::new(CONFIG));
}

#[test]
fn an_index_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Index>();
    assert_send::<Execution>();
    assert_send::<RetractionPass>();
}

/// The index and the model side by side.
struct Both {
    index: Index,
    model: Vec<Known>,
    written: u64,
}

impl Both {
    fn new() -> Both {
        Both { index: Index::new(CONFIG), model: Vec::new(), written: 0 }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Insert(claim) => self.insert(Claim::clone(claim)),
            Operation::Retract(path, slots) => {
                let order = self.next_order();
                let expected = model::retract(&mut self.model, path, slots, order);
                assert_eq!(self.index.retract(path, slots.clone(), order), expected);
            }
        }
        self.check_counts();
    }

    fn check_counts(&self) {
        assert_eq!(self.index.len(), self.model.len() as u64);
        assert_eq!(self.index.is_empty(), self.model.is_empty());
        let retracted = self.model.iter().filter(|known| known.retracted).count();
        assert_eq!(self.index.retracted_len(), retracted as u64);
    }

    fn insert(&mut self, claim: Claim<'static>) {
        let hash = hash_of(&claim);
        let is_known = self.model.iter().any(|known| known.key.hash == hash.0);
        let expected = if is_known { Inserted::Exists } else { Inserted::New };
        let (inserted, key) = self.insert_quickly(claim.clone());
        assert_eq!(inserted, expected);
        if !is_known {
            self.model.push(Known { claim, key, retracted: false });
        }
    }

    /// Inserts into the index only.
    fn insert_quickly(&mut self, claim: Claim<'static>) -> (Inserted, ListKey) {
        let hash = hash_of(&claim);
        let order = self.next_order();
        let inserted = self.index.insert(&hash, &claim, order).expect("there is room");
        (inserted, ListKey { timestamp: claim.timestamp.unix_micros(), order, hash: hash.0 })
    }

    /// The order of what is written now.
    fn next_order(&mut self) -> WriteOrder {
        self.written += 1;
        WriteOrder::new(1, self.written)
    }

    fn check_claims(&self) {
        for known in &self.model {
            let hash = ClaimHash(known.key.hash);
            assert!(self.index.contains(&hash));
            let view = self.index.claim(&hash).expect("an inserted claim is found");
            assert_eq!(view.claim(), known.claim);
            assert_eq!((view.hash(), view.key()), (hash, known.key));
            assert_eq!((view.order(), view.retracted()), (known.key.order, known.retracted));
        }
        let absent = ClaimHash([7; 32]);
        assert!(!self.index.contains(&absent) && self.index.claim(&absent).is_none());
    }

    /// Asks both, the index page by page, and holds the answers together.
    fn check_query(&self, query: &Query, claims_budget: usize) {
        let expected = model::ask(&self.model, query);
        let mut page_query = query.clone();
        let mut found = Vec::new();
        loop {
            let (page, is_more) = self.ask_index(&page_query, claims_budget);
            assert!(!is_more || page.len() == query.limit);
            found.extend(page);
            page_query.after = found.last().map(|answer: &Answer| answer.key);
            if !is_more {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
    }

    /// One page of an answer, and whether there is another.
    fn ask_index(&self, query: &Query, claims_budget: usize) -> (Vec<Answer>, bool) {
        let mut execution = Execution::new(query, &self.index);
        while execution.step(&self.index, claims_budget) == Step::More {}
        let hits = execution.into_hits();
        assert!(hits.len() <= query.limit + 1);
        let page = hits.iter().take(query.limit).map(|hit| self.answer_of(hit)).collect();
        (page, hits.len() > query.limit)
    }

    fn answer_of(&self, hit: &Hit) -> Answer {
        assert_eq!(self.index.view(hit.claim).key(), hit.key);
        let resolution = hit.resolution.map(|resolution| {
            assert_eq!(resolution.winner, hit.claim);
            let runner_up = resolution.runner_up;
            Outcome {
                supporting: resolution.supporting,
                candidates: resolution.candidates,
                distinct_values: resolution.distinct_values,
                runner_up: runner_up.map(|other| (self.index.view(other.claim).hash().0, other.supporting)),
            }
        });
        Answer { key: hit.key, effective_confidence: hit.effective_confidence, resolution }
    }
}

fn claim(subject: &str, timestamp: UnixMicros, number: i64) -> Claim<'_> {
    Claim::new(
        ConceptPath::new(subject).expect("valid"),
        Predicate::new("count").expect("valid"),
        Value::number(number as f64).expect("valid"),
        Timestamp::new(timestamp).expect("valid"),
    )
}

/// A claim with `name` for its value, and for as many of its subject, predicate, source and epoch as are its
/// own, so that every part of the index grows that can.
fn telling_claim(name: &str, own: [bool; 4]) -> Claim<'_> {
    let pick = |own: bool, bytes_max: usize| if own { &name[..name.len().min(bytes_max)] } else { "shared" };
    let mut claim = claim(pick(own[0], ConceptPath::BYTES_MAX), UnixMicros(0), 0);
    claim.predicate = Predicate::new(pick(own[1], Predicate::BYTES_MAX)).expect("valid");
    claim.value = Value::text(name).expect("valid");
    claim.source = Some(ConceptPath::new(pick(own[2], ConceptPath::BYTES_MAX)).expect("valid"));
    claim.epoch = Some(EpochId::new(pick(own[3], EpochId::BYTES_MAX)).expect("valid"));
    claim
}

fn hash_of(claim: &Claim<'_>) -> ClaimHash {
    let mut canonical = Vec::new();
    claim.encode_canonical(&mut canonical);
    ClaimHash::of_canonical(&canonical)
}
