//! What tables cost without their disk: making one of claims in the order of a log, reading one as a start does, building an index of what was
//! read, and merging.
//!
//! `cargo bench -p stemedb-bench --bench table`. The elements are claims, whose records have about 200 bytes; two million a
//! second on one core is the aim for reading, one million for building an index.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::claim::{Assertion, Claim, ConceptPath, Predicate, Timestamp, Value, assertion};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, NewClaim};
use stemedb_engine::order::WriteOrder;
use stemedb_engine::slot::SLOTS;
use stemedb_engine::table::{
    Entry, MemoryTables, Merge, MergeOptions, Step, Table, TableBuilder, TableFacts, TableNumber,
    TableStorage, TableWriter,
};
use stemedb_engine::time::UnixMicros;

const CLAIMS: u64 = 200_000;

const NOW: UnixMicros = UnixMicros(1_767_225_600_000_000);

/// More than all claims take.
const BUILDER_BYTES_MAX: usize = 128 << 20;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    group.sample_size(10).throughput(Throughput::Elements(CLAIMS));
    let records = records();
    let payload_bytes: usize = records.iter().map(|(_, payload)| payload.len()).sum();
    let tables = MemoryTables::new();
    let facts = build(&tables, TableNumber(1), &records);
    println!(
        "{CLAIMS} claims: {:.1} bytes each in the log, {:.1} in a table",
        payload_bytes as f64 / CLAIMS as f64,
        facts.bytes as f64 / CLAIMS as f64
    );
    let (older, newer) = records.split_at(records.len() * 3 / 4);
    build(&tables, TableNumber(2), older);
    build(&tables, TableNumber(3), newer);
    let open = |number| Table::open(&tables, TableNumber(number)).expect("a sound table");

    let table = open(1);
    group.bench_function("read", |bencher| bencher.iter(|| read(&table, |_| 1)));
    group.bench_function("read_and_decode", |bencher| {
        bencher.iter(|| read(&table, |payload| decoded(payload).claim.subject.as_str().len()));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let subject_bytes =
                |(_, payload): &(_, Vec<u8>)| decoded(black_box(payload)).claim.subject.as_str().len();
            records.iter().map(subject_bytes).sum::<usize>()
        });
    });
    group.bench_function("read_into_an_index", |bencher| {
        // The index is dropped outside of what is measured.
        bencher.iter_batched(|| (), |()| read_into_an_index(&table), BatchSize::PerIteration);
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| {
            let mut verification = table.verification();
            while verification.step(1 << 20).expect("a sound table") == Step::More {}
        });
    });
    group.bench_function("build", |bencher| {
        bencher.iter_batched(
            MemoryTables::new,
            |tables| (build(&tables, TableNumber(1), &records), tables),
            BatchSize::PerIteration,
        );
    });
    let inputs = [open(2), open(3)];
    group.bench_function("merge", |bencher| {
        bencher.iter_batched(
            MemoryTables::new,
            |tables| (merge(&tables, &inputs), tables),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The records of a log: four claims about each of fifty thousand subjects, the subjects in no order.
fn records() -> Vec<(WriteOrder, Vec<u8>)> {
    let record = |number: u64| {
        let subject = number.wrapping_mul(7_919) % (CLAIMS / 4);
        let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let subject = format!("warehouse/hall-{}/shelf/{subject:06}", subject % 16);
        let predicate = ["temperature", "humidity", "operator", "inventory"][(noise >> 62) as usize];
        let value = format!("{:.3} as read at gate {} by unit {noise:016x}", noise as f64 / 1e18, noise % 31);
        let source = format!("sensor/hall-{}/unit-{:04}", number % 16, noise % 977);
        let mut claim = Claim::new(
            ConceptPath::new(&subject).expect("valid"),
            Predicate::new(predicate).expect("valid"),
            Value::text(&value).expect("valid"),
            Timestamp::new(UnixMicros(NOW.0 + number as i64 * 1_003)).expect("valid"),
        );
        claim.source = Some(ConceptPath::new(&source).expect("valid"));
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        (WriteOrder::new(1, number + 1), payload)
    };
    (0..CLAIMS).map(record).collect()
}

fn build(tables: &MemoryTables, number: TableNumber, records: &[(WriteOrder, Vec<u8>)]) -> TableFacts {
    let mut builder = TableBuilder::new(BUILDER_BYTES_MAX);
    for (order, payload) in records {
        let entry = Entry { order: *order, flags: 0, retracted: false, payload };
        builder.add(&entry).expect("there is room for all");
    }
    let mut build = builder.write(writer(tables, number));
    loop {
        if let Step::Done(facts) = build.step(1 << 20).expect("memory takes all writes") {
            return facts;
        }
    }
}

fn merge(tables: &MemoryTables, inputs: &[Arc<Table>]) -> TableFacts {
    let mut merge = Merge::new(inputs, writer(tables, TableNumber(1)), MergeOptions { bottom: true });
    loop {
        if let Step::Done(facts) = merge.step(1 << 20).expect("memory takes all writes") {
            return facts;
        }
    }
}

fn writer(tables: &dyn TableStorage, number: TableNumber) -> TableWriter {
    TableWriter::create(tables, number, NOW).expect("memory takes all writes")
}

/// Reads all claims, and adds up what `figure` makes of each.
fn read(table: &Arc<Table>, figure: impl Fn(&[u8]) -> usize) -> usize {
    let (mut entries, mut sum) = (table.entries(0..SLOTS), 0);
    while let Some(block) = entries.next_block().expect("a sound table") {
        sum += block.iter().map(|entry| figure(entry.payload)).sum::<usize>();
    }
    sum
}

fn read_into_an_index(table: &Arc<Table>) -> Index {
    let mut index = IndexLoader::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 0x5EED });
    let mut entries = table.entries(0..SLOTS);
    while let Some(block) = entries.next_block().expect("a sound table") {
        let claims = block.iter().map(|entry| {
            let Assertion { hash, claim, .. } = decoded(entry.payload);
            NewClaim { hash, claim, order: entry.order }
        });
        index.insert_all(&claims.collect::<Vec<_>>()).expect("there is room");
    }
    index.finish()
}

fn decoded(payload: &[u8]) -> Assertion<'_> {
    Assertion::decode(payload).expect("it was just encoded")
}

criterion_group!(benches, bench);
criterion_main!(benches);
