//! How long a scrape of the metrics keeps a core from its work: each core copies its figures, and the one that was asked
//! adds them up and renders them.
//!
//! `cargo bench -p stemedb-bench --bench metrics`. One iteration is one scrape.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use stemedb_engine::slot::CoreId;
use stemedb_net::api::Method;
use stemedb_net::metrics::{CoreSnapshot, HttpOutcome, ProcessFigures, Read, ServerSnapshot, render};

fn bench(criterion: &mut Criterion) {
    let server = ServerSnapshot {
        recovery_us: 1_234_567,
        restarts: 3,
        ready: true,
        process: ProcessFigures::default(),
        ..ServerSnapshot::default()
    };
    let mut group = criterion.benchmark_group("metrics");
    group.bench_function("snapshot", |bencher| {
        let core = busy_core(0);
        bencher.iter(|| black_box(&core).clone());
    });
    for cores in [1, 8] {
        let cores: Vec<CoreSnapshot> = (0..cores).map(busy_core).collect();
        let mut out = Vec::new();
        let cores: Vec<&CoreSnapshot> = cores.iter().collect();
        group.bench_with_input(BenchmarkId::new("render", cores.len()), &cores, |bencher, cores| {
            bencher.iter(|| {
                out.clear();
                render(&mut out, &server, black_box(cores));
            });
        });
    }
    group.finish();
}

/// The figures of a core that has done a bit of everything.
fn busy_core(number: u16) -> CoreSnapshot {
    let mut core = CoreSnapshot::new(CoreId(number));
    for turn in 0_u64..10_000 {
        core.wal_write_us.record(100 + turn % 977);
        core.wal_batch_records.record(1 + turn % 64);
        core.loop_us.record(turn % 331);
        core.read(Read::ALL[turn as usize % 2], 20 + turn % 503);
    }
    for (method, status) in
        [(Some(Method::Post), 201), (Some(Method::Post), 200), (Some(Method::Get), 200), (None, 404)]
    {
        core.http_requests.increment(HttpOutcome { method, status });
    }
    core.assertions = 123_456;
    core.assertions_ingested = 123_456;
    core
}

criterion_group!(benches, bench);
criterion_main!(benches);
