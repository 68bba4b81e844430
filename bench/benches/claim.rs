//! What a claim's canonical encoding and its hash cost, and reading it back.
//!
//! `cargo bench -p stemedb-bench --bench claim`. One iteration is one claim.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::claim::{
    Assertion, Claim, ClaimHash, ConceptPath, Confidence, Predicate, Timestamp, Value, assertion,
};
use stemedb_engine::time::UnixMicros;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim");
    for value_bytes in [20, 200, 2_000, 20_000] {
        let value = "v".repeat(value_bytes);
        let claim = claim(&value);
        let mut canonical = Vec::new();
        claim.encode_canonical(&mut canonical);
        let mut record = Vec::new();
        assertion::encode(&claim, &[], &mut record);
        group.throughput(Throughput::Bytes(canonical.len() as u64));
        let mut out = Vec::with_capacity(record.len());
        group.bench_function(format!("{value_bytes}/encode"), |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&claim).encode_canonical(&mut out);
            });
        });
        group.bench_function(format!("{value_bytes}/hash"), |bencher| {
            bencher.iter(|| ClaimHash::of_canonical(black_box(&canonical)));
        });
        group.bench_function(format!("{value_bytes}/encode_hash_record"), |bencher| {
            bencher.iter(|| {
                out.clear();
                assertion::encode(black_box(&claim), &[], &mut out)
            });
        });
        group.bench_function(format!("{value_bytes}/decode_record"), |bencher| {
            bencher.iter(|| Assertion::decode(black_box(&record)).expect("just encoded").claim.timestamp);
        });
    }
    group.finish();
}

fn claim(value: &str) -> Claim<'_> {
    let mut claim = Claim::new(
        ConceptPath::new("bench/sensor/004711").expect("valid"),
        Predicate::new("reading").expect("valid"),
        Value::text(value).expect("valid"),
        Timestamp::new(UnixMicros(1_767_225_600_000_000)).expect("valid"),
    );
    claim.source = Some(ConceptPath::new("source/bench/quick").expect("valid"));
    claim.confidence = Confidence::new(0.95).expect("valid");
    claim
}

criterion_group!(benches, bench);
criterion_main!(benches);
