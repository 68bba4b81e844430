//! Snapshots of an index: how fast it is restored, beside how fast it is built of claims, and what taking one costs a core.
//!
//! `cargo bench -p stemedb-bench --bench snapshot`

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::claim::{Claim, ClaimHash, ConceptPath, Predicate, Timestamp, Value};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, NewClaim, SnapshotCursor};
use stemedb_engine::order::WriteOrder;
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

const CONFIG: IndexConfig = IndexConfig { bytes_max: 8 << 30, hash_seed: 0x5EED };

const CLAIMS: u64 = 2_000_000;

/// About what a core does between requests.
const STEP_BYTES: usize = 64 << 10;

/// What the claims are about.
const SHAPES: [Shape; 3] = [
    Shape { name: "own subjects", subjects: CLAIMS, predicates: 1 },
    Shape { name: "packages", subjects: CLAIMS / 16, predicates: 16 },
    Shape { name: "40 subjects", subjects: 40, predicates: 1 },
];

struct Shape {
    name: &'static str,
    subjects: u64,
    predicates: u64,
}

criterion_group!(benches, snapshots);
criterion_main!(benches);

fn snapshots(criterion: &mut Criterion) {
    for shape in SHAPES {
        let index = shape.build(CLAIMS);
        let snapshot = report(&shape, &index);
        drop(index);
        let mut group = criterion.benchmark_group(shape.name);
        group.sample_size(10).measurement_time(Duration::from_secs(10));
        group.throughput(Throughput::Elements(CLAIMS));
        group.bench_function("restore", |bencher| {
            bencher.iter_batched(
                || (),
                |()| restore(&snapshot),
                // The index is dropped outside of what is measured.
                BatchSize::PerIteration,
            );
        });
        drop(snapshot);
        group.bench_function("build", |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| shape.time_to_build(CLAIMS)).sum());
        });
        group.finish();
    }
}

fn restore(snapshot: &[u8]) -> Index {
    let restored = IndexLoader::restore(&mut &snapshot[..], CONFIG, 0..SLOTS);
    black_box(restored.expect("an undamaged snapshot").0.finish())
}

/// Takes a snapshot, and prints what it costs.
fn report(shape: &Shape, index: &Index) -> Vec<u8> {
    let mut snapshot = Vec::with_capacity(index.bytes() as usize);
    let mut cursor = SnapshotCursor::new(index, 0..SLOTS, Vec::new());
    let mut steps = Vec::new();
    loop {
        let began = Instant::now();
        let is_whole = cursor.step(index, STEP_BYTES, &mut snapshot);
        steps.push(began.elapsed());
        if is_whole {
            break;
        }
    }
    steps.sort_unstable();
    let taken: Duration = steps.iter().sum();
    println!(
        "{}: {} bytes a claim in memory, {} in the snapshot; taken in {} ns a claim, {} steps, median {:?}, p99 {:?}, longest {:?}",
        shape.name,
        index.bytes() / index.len(),
        snapshot.len() as u64 / index.len(),
        taken.as_nanos() as u64 / index.len(),
        steps.len(),
        steps[steps.len() / 2],
        steps[steps.len() * 99 / 100],
        steps[steps.len() - 1],
    );
    snapshot
}

impl Shape {
    fn build(&self, claims: u64) -> Index {
        let mut loader = IndexLoader::new(CONFIG);
        self.insert(claims, &mut loader);
        loader.finish()
    }

    /// The time without that for making the claims up.
    fn time_to_build(&self, claims: u64) -> Duration {
        let mut loader = IndexLoader::new(CONFIG);
        let inserting = self.insert(claims, &mut loader);
        let began = Instant::now();
        black_box(loader.finish());
        inserting + began.elapsed()
    }

    /// Inserts claims, decoded first, as recovery does. Answers how long that took.
    fn insert(&self, claims: u64, loader: &mut IndexLoader) -> Duration {
        const BATCH: u64 = 64;
        let mut took = Duration::ZERO;
        for first in (0..claims).step_by(BATCH as usize) {
            let batch: Vec<(ClaimHash, Vec<u8>)> =
                (first..claims.min(first + BATCH)).map(|number| self.claim(number)).collect();
            let began = Instant::now();
            let decoded: Vec<NewClaim<'_>> = batch
                .iter()
                .zip(first + 1..)
                .map(|((hash, canonical), lsn)| NewClaim {
                    hash: *hash,
                    claim: Claim::decode_canonical(canonical).expect("encoded from a claim").0,
                    order: WriteOrder::new(1, lsn),
                })
                .collect();
            loader.insert_all(&decoded).expect("there is room");
            took += began.elapsed();
        }
        took
    }

    /// A claim of about 200 bytes in the log.
    fn claim(&self, number: u64) -> (ClaimHash, Vec<u8>) {
        // A permutation, so that subjects come in no order.
        let number = number * 7_919 % CLAIMS;
        let subject = format!("debian/package/lib{:07}-dev", number % self.subjects);
        let predicate = format!("field-{}", number / self.subjects % self.predicates);
        let source = format!("source/debian/bookworm-{}", number % 3);
        let value = format!("{number:09} (>= 2:1.18.4-3+deb12u1) | libexample{number}-dev (<< 3.0)");
        let mut claim = Claim::new(
            ConceptPath::new(&subject).expect("valid"),
            Predicate::new(&predicate).expect("valid"),
            Value::text(&value).expect("valid"),
            Timestamp::new(UnixMicros(1_700_000_000_000_000 + number as i64)).expect("valid"),
        );
        claim.source = Some(ConceptPath::new(&source).expect("valid"));
        let mut canonical = Vec::new();
        claim.encode_canonical(&mut canonical);
        (ClaimHash::of_canonical(&canonical), canonical)
    }
}
