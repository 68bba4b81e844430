//! What it costs to turn the body of an assert into the payload of a record.
//!
//! `cargo bench -p stemedb-bench --bench json`. One iteration is one claim; its budget in the server is 1.2 µs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{AssertContext, ClaimReader};
use stemedb_net::json::Reader;

/// 242 bytes, as an importer writes them.
const CLAIM: &str = r#"{"concept_path":"debian/bookworm/main/libpq5","predicate":"description","value":"PostgreSQL C client library, shared objects for programs","confidence":0.95,"timestamp":1754000000,"source":"source/debian/bookworm","source_class":"regulatory"}"#;

/// The same with escapes in the value, which must be decoded.
const CLAIM_ESCAPED: &str = r#"{"concept_path":"debian/bookworm/main/libpq5","predicate":"description","value":"PostgreSQL \"C\" client library,\n shared objects f\u00fcr programs","confidence":0.95,"timestamp":1754000000,"source":"source/debian/bookworm","source_class":"regulatory"}"#;

/// The smallest that people send.
const CLAIM_SMALL: &str = r#"{"subject":"device/42","predicate":"temperature","object":21.5}"#;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    for (name, body) in [("claim", CLAIM), ("claim_escaped", CLAIM_ESCAPED), ("claim_small", CLAIM_SMALL)] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let mut reader = Reader::new(1 << 20);
        group.bench_function(format!("{name}/parse"), |bencher| {
            bencher.iter(|| reader.parse(black_box(body).as_bytes()).expect("valid").root().kind());
        });
        let mut reader = ClaimReader::new(1 << 20);
        let context =
            AssertContext { now: UnixMicros(1_754_000_100_000_000), future_us_max: 300_000_000, agent: None };
        group.bench_function(format!("{name}/read"), |bencher| {
            bencher
                .iter(|| reader.read(black_box(body).as_bytes(), &context).expect("valid").timestamp_given);
        });
        let mut record = Vec::new();
        group.bench_function(format!("{name}/read_encode_hash"), |bencher| {
            bencher.iter(|| {
                record.clear();
                let request = reader.read(black_box(body).as_bytes(), &context).expect("valid");
                request.encode(&mut record).expect("not signed")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
