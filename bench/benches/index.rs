//! What the index does in a microsecond: insertions, lookups, resolutions through lenses.
//!
//! `cargo bench -p stemedb-bench --bench index`

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::claim::{Claim, ClaimHash, ConceptPath, Predicate, Timestamp, Value};
use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::lens::Lens;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::query::{Execution, Query, Step, SubjectFilter};
use stemedb_engine::time::UnixMicros;

const CONFIG: IndexConfig = IndexConfig { bytes_max: 4 << 30, hash_seed: 0x5EED };

/// Packages of the archive that the claims are shaped like, and the fields of each.
const PACKAGES: usize = 60_000;
const FIELDS: usize = 16;

criterion_group!(benches, insertions, lookups, queries, resolutions);
criterion_main!(benches);

fn insertions(criterion: &mut Criterion) {
    let claims = package_claims();
    let mut group = criterion.benchmark_group("insert");
    group.sample_size(10).throughput(Throughput::Elements(claims.len() as u64));
    group.bench_function("packages", |bencher| {
        let decoded: Vec<(ClaimHash, Claim<'_>)> =
            claims.iter().map(|(hash, bytes)| (*hash, decode(bytes))).collect();
        bencher.iter_batched_ref(
            || Index::new(CONFIG),
            |index| {
                for ((hash, claim), lsn) in decoded.iter().zip(1..) {
                    index.insert(hash, claim, WriteOrder::new(1, lsn)).expect("there is room");
                }
            },
            BatchSize::PerIteration,
        );
    });
    // As recovery does: each claim is decoded first.
    group.bench_function("packages, decoded", |bencher| {
        bencher.iter_batched_ref(
            || Index::new(CONFIG),
            |index| fill(index, &claims),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("packages, decoded, shuffled", |bencher| {
        let mut shuffled = claims.clone();
        // The hashes are as good as random.
        shuffled.sort_unstable_by_key(|(hash, _)| *hash);
        bencher.iter_batched_ref(
            || Index::new(CONFIG),
            |index| fill(index, &shuffled),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    let claims = package_claims();
    let mut index = Index::new(CONFIG);
    fill(&mut index, &claims);
    let mut group = criterion.benchmark_group("lookup");
    let mut at = 0;
    group.bench_function("claim by hash", |bencher| {
        bencher.iter(|| {
            at = (at + 7_919) % claims.len();
            black_box(index.claim(&claims[at].0).map(|view| view.claim().value.value_type()))
        });
    });
    let mut package = 0;
    group.bench_function("exact query, 16 hits", |bencher| {
        bencher.iter(|| {
            package = (package + 7_919) % PACKAGES;
            run(&index, Query::new(SubjectFilter::Exact(subject(package))))
        });
    });
    group.bench_function("exact query with predicate, 1 hit", |bencher| {
        bencher.iter(|| {
            package = (package + 7_919) % PACKAGES;
            let predicate = Some("field-7".to_string());
            run(&index, Query { predicate, ..Query::new(SubjectFilter::Exact(subject(package))) })
        });
    });
    group.finish();
}

fn queries(criterion: &mut Criterion) {
    let claims = package_claims();
    let mut index = Index::new(CONFIG);
    fill(&mut index, &claims);
    let mut group = criterion.benchmark_group("subtree");
    group.sample_size(10).throughput(Throughput::Elements(claims.len() as u64));
    for lens in [None, Some(Lens::Consensus)] {
        let name = lens.map_or("no lens", Lens::name);
        group.bench_function(BenchmarkId::new("newest 100 of all", name), |bencher| {
            bencher.iter(|| run(&index, Query { lens, ..Query::new(SubjectFilter::Subtree(String::new())) }));
        });
    }
    group.finish();
}

fn resolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resolve");
    for claims in [10_u64, 1_000, 100_000] {
        let mut index = Index::new(CONFIG);
        for number in 0..claims {
            // One tenth as many values as claims.
            let value = format!("2.36-9+deb12u{}", number % claims.div_ceil(10));
            insert(&mut index, &claim("debian/package/libc6", "version", &value, number), number);
        }
        group.throughput(Throughput::Elements(claims));
        for lens in Lens::ALL {
            let query = Query {
                lens: Some(lens),
                predicate: Some("version".to_string()),
                ..Query::new(SubjectFilter::Exact("debian/package/libc6".to_string()))
            };
            group.bench_with_input(BenchmarkId::new(lens.name(), claims), &query, |bencher, query| {
                bencher.iter(|| run(&index, query.clone()));
            });
        }
    }
    group.finish();
}

/// Runs a query to its end; answers how many hits it has.
fn run(index: &Index, query: Query) -> usize {
    let mut execution = Execution::new(&query, index);
    while execution.step(index, 10_000) == Step::More {}
    black_box(execution.into_hits()).len()
}

fn fill(index: &mut Index, claims: &[(ClaimHash, Vec<u8>)]) {
    for ((hash, bytes), lsn) in claims.iter().zip(1..) {
        index.insert(hash, &decode(bytes), WriteOrder::new(1, lsn)).expect("there is room");
    }
}

/// The claims of a package archive, package by package, in canonical encoding.
fn package_claims() -> Vec<(ClaimHash, Vec<u8>)> {
    let mut claims = Vec::with_capacity(PACKAGES * FIELDS);
    for package in 0..PACKAGES {
        let subject = subject(package);
        let source = format!("source/debian/bookworm-{}", package % 3);
        for field in 0..FIELDS {
            let (predicate, value) =
                (format!("field-{field}"), format!("{package:05} {field:02} (>= 2:1.18.4-3+deb12)"));
            let mut claim = claim(&subject, &predicate, &value, package as u64);
            claim.source = Some(ConceptPath::new(&source).expect("valid"));
            let mut canonical = Vec::new();
            claim.encode_canonical(&mut canonical);
            claims.push((ClaimHash::of_canonical(&canonical), canonical));
        }
    }
    claims
}

fn subject(package: usize) -> String {
    format!("debian/package/lib{package:05}-dev")
}

fn insert(index: &mut Index, claim: &Claim<'_>, number: u64) {
    let mut canonical = Vec::new();
    claim.encode_canonical(&mut canonical);
    let hash = ClaimHash::of_canonical(&canonical);
    index.insert(&hash, claim, WriteOrder::new(1, number)).expect("there is room");
}

fn decode(canonical: &[u8]) -> Claim<'_> {
    Claim::decode_canonical(canonical).expect("encoded from a claim").0
}

fn claim<'a>(subject: &'a str, predicate: &'a str, value: &'a str, timestamp: u64) -> Claim<'a> {
    Claim::new(
        ConceptPath::new(subject).expect("valid"),
        Predicate::new(predicate).expect("valid"),
        Value::text(value).expect("valid"),
        Timestamp::new(UnixMicros(timestamp as i64)).expect("valid"),
    )
}
