//! Random claims, operations and queries, from pools so small that everything meets everything.

use std::ops::Range;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use stemedb_engine::claim::{
    Agent, AgentName, Claim, ClaimHash, ConceptPath, Confidence, DerivedFrom, EpochId, Lifecycle, Metadata,
    Predicate, SourceClass, Timestamp, Value,
};
use stemedb_engine::lens::Lens;
use stemedb_engine::query::{LifecycleFilter, Query, SubjectFilter};
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

/// Paths around each other's subtrees: in the order of bytes, `a/b!` and `a/b-x` come between `a/b` and
/// `a/b/`.
const PATHS: [&str; 12] = [
    "a",
    "a/b",
    "a/b!",
    "a/b-x",
    "a/b/",
    "a/b//x",
    "a/b/c",
    "a/b/c/d",
    "a/b/ö",
    "a/bc",
    "b",
    "rfc://7519/alg",
];
const PREDICATES: [&str; 3] = ["version", "size", "maintainer"];
const EPOCHS: [&str; 3] = ["2024", "2025", "2026"];

/// Timestamps are up to 40 of these.
const TICK_US: i64 = 10 * 86_400_000_000;

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Insert(Box<Claim<'static>>),
    Retract(&'static str, Range<u16>),
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        20 => claim().prop_map(|claim| Operation::Insert(Box::new(claim))),
        1 => retraction().prop_map(|(path, slots)| Operation::Retract(path, slots)),
    ]
}

pub(crate) fn retraction() -> impl Strategy<Value = (&'static str, Range<u16>)> {
    (select(&PATHS[..]), slots())
}

pub(crate) fn claim() -> impl Strategy<Value = Claim<'static>> {
    // Mostly one subject and predicate, so that some series grow long.
    let subject = prop_oneof![select(&PATHS[..1]), select(&PATHS[..])].prop_map(path);
    let predicate = prop_oneof![3 => select(&PREDICATES[..1]), 1 => select(&PREDICATES[..])];
    let about = (subject, predicate, value(), timestamp());
    let shared = (
        select(vec![1.0, 1.0, 0.0, 0.5, 0.7]),
        option::of(select(&PATHS[..]).prop_map(path)),
        select(&SourceClass::ALL[..]),
        prop_oneof![3 => Just(Lifecycle::Approved), 1 => select(&Lifecycle::ALL[..])],
        option::weighted(0.3, select(&EPOCHS[..])),
        option::weighted(0.3, agent()),
    );
    let hash = || any::<u8>().prop_map(|byte| [byte; 32]);
    let rare = (
        option::weighted(0.1, hash()),
        prop_oneof![
            9 => Just(Vec::new()),
            1 => proptest::collection::vec(hash(), 0..=DerivedFrom::COUNT_MAX),
        ],
        option::weighted(0.1, hash()),
        option::weighted(0.1, select(vec!["{}", "{\"page\":[3,\"ß\"]}"])),
    );
    (about, shared, rare).prop_map(|(about, shared, rare)| {
        let (subject, predicate, value, timestamp) = about;
        let (confidence, source, source_class, lifecycle, epoch, agent) = shared;
        let (parent, derived_from, source_hash, metadata) = rare;
        Claim {
            subject,
            predicate: Predicate::new(predicate).expect("valid"),
            value,
            confidence: Confidence::new(confidence).expect("valid"),
            timestamp: Timestamp::new(timestamp).expect("valid"),
            source,
            source_class,
            lifecycle,
            parent: parent.map(ClaimHash),
            derived_from: DerivedFrom::new(derived_from.into_iter().map(ClaimHash).collect()).expect("valid"),
            epoch: epoch.map(|epoch| EpochId::new(epoch).expect("valid")),
            agent,
            source_hash,
            metadata: metadata.map(|metadata| Metadata::new(metadata).expect("valid")),
        }
    })
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    let subject = prop_oneof![
        select(&PATHS[..]).prop_map(|path| SubjectFilter::Exact(path.to_string())),
        select(&PATHS[..]).prop_map(|path| SubjectFilter::Subtree(path.to_string())),
        select(vec!["", "a/", "no"]).prop_map(|path| SubjectFilter::Subtree(path.to_string())),
    ];
    let name = |names: &'static [&str], absent: &'static str| {
        let name = prop_oneof![9 => select(names), 1 => Just(absent)];
        option::weighted(0.3, name.prop_map(str::to_string))
    };
    let lifecycle = prop_oneof![
        Just(LifecycleFilter::Any),
        Just(LifecycleFilter::default()),
        select(&Lifecycle::ALL[..]).prop_map(LifecycleFilter::Only),
    ];
    (
        subject,
        name(&PREDICATES, "absent"),
        option::of(select(&Lens::ALL[..])),
        prop_oneof![1_usize..5, 1_usize..300],
        option::weighted(0.3, timestamp()),
        lifecycle,
        name(&EPOCHS, "absent"),
        option::weighted(0.2, select(&SourceClass::ALL[..])),
        select(vec![0.0, 0.0, 0.3, 0.5]),
        any::<bool>(),
        option::weighted(0.3, timestamp()),
    )
        .prop_map(|fields| Query {
            predicate: fields.1,
            lens: fields.2,
            limit: fields.3,
            as_of: fields.4,
            lifecycle: fields.5,
            epoch: fields.6,
            source_class: fields.7,
            min_confidence: fields.8,
            include_retracted: fields.9,
            decay_at: fields.10,
            ..Query::new(fields.0)
        })
}

fn slots() -> impl Strategy<Value = Range<u16>> {
    prop_oneof![Just(0..SLOTS), (0..SLOTS, 0..SLOTS).prop_map(|(one, other)| one.min(other)..one.max(other))]
}

fn timestamp() -> impl Strategy<Value = UnixMicros> {
    (0_i64..40).prop_map(|ticks| UnixMicros(ticks * TICK_US))
}

fn value() -> impl Strategy<Value = Value<'static>> {
    // Some that differ in their types alone.
    select(vec![
        Value::text("1").expect("valid"),
        Value::text("").expect("valid"),
        Value::text("true").expect("valid"),
        Value::number(1.0).expect("valid"),
        Value::number(0.0).expect("valid"),
        Value::number(-0.0).expect("valid"),
        Value::number(f64::MIN_POSITIVE).expect("valid"),
        Value::Boolean(true),
        Value::Boolean(false),
        Value::reference("1").expect("valid"),
        Value::json("[1]").expect("valid"),
        Value::json("{\"a\":[null,\"ü\"]}").expect("valid"),
    ])
}

fn agent() -> impl Strategy<Value = Agent<'static>> {
    let name = |name| Agent::Name(AgentName::new(name).expect("valid"));
    select(vec![Agent::Key([0; 32]), Agent::Key([b'a'; 32]), name("alice"), name("bob")])
}

fn path(path: &'static str) -> ConceptPath<'static> {
    ConceptPath::new(path).expect("valid")
}
