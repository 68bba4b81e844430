//! What recovery costs without its disk: reading a log that lies in memory, checking it, and building the index of one core
//! from it, as the server does at its start.
//!
//! `cargo bench -p stemedb-bench --bench recovery`. The elements are claims; two million a second on one core is the aim.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::checkpoint::OpenTables;
use stemedb_engine::claim::{Claim, ConceptPath, Predicate, Timestamp, Value, assertion};
use stemedb_engine::log::Generation;
use stemedb_engine::log::blocking::drive;
use stemedb_engine::log::lane::LaneConfig;
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::recover;
use stemedb_engine::log::storage::MemoryStorage;
use stemedb_engine::slot::{LaneId, SLOTS};
use stemedb_engine::time::UnixMicros;
use stemedb_net::server::recovery::rebuild;

const CLAIMS: u64 = 200_000;

const NOW: UnixMicros = UnixMicros(1_767_225_600_000_000);

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10).throughput(Throughput::Elements(CLAIMS));
    for claims_a_frame in [1, 32, 1_000] {
        let disk = log(claims_a_frame);
        group.bench_with_input(BenchmarkId::new("read_and_check", claims_a_frame), &disk, |bencher, disk| {
            bencher.iter(|| recover(disk, &mut |_| Ok(())).expect("a sound log").records);
        });
        group.bench_with_input(BenchmarkId::new("rebuild", claims_a_frame), &disk, |bencher, disk| {
            // The indexes are thrown away outside of what is measured.
            bencher.iter_batched(
                || (),
                |()| rebuild(disk, &OpenTables::none(), 0..SLOTS, 0x5EED).expect("a sound log"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A log of [`CLAIMS`] claims: sixteen predicates of each subject, as an import of packages writes them.
fn log(claims_a_frame: u64) -> MemoryStorage {
    let mut disk = MemoryStorage::new();
    let recovered = recover(&disk, &mut |_| Ok(())).expect("an empty log");
    let lane = LaneConfig::new(LaneId(0), Generation::FIRST);
    let opening = Opening { lanes: 1, lane, now: NOW, monotonic_us: 0 };
    let mut lanes = open_generation(&mut disk, &recovered, &opening).expect("memory takes all writes");
    let mut payload = Vec::new();
    for number in 0..CLAIMS {
        let subject = format!("debian/package/lib{:05}-dev", number / 16);
        let predicate = format!("field-{}", number % 16);
        let value = format!("{number:06} (>= 2:1.18.4-3+deb12)");
        let mut claim = Claim::new(
            ConceptPath::new(&subject).expect("valid"),
            Predicate::new(&predicate).expect("valid"),
            Value::text(&value).expect("valid"),
            Timestamp::new(UnixMicros(number as i64)).expect("valid"),
        );
        claim.source = Some(ConceptPath::new("source/debian/bookworm").expect("valid"));
        payload.clear();
        assertion::encode(&claim, &[], &mut payload);
        lanes[0].append(RecordKind::Assertion, 0, &payload).expect("there is room");
        if (number + 1) % claims_a_frame == 0 || number + 1 == CLAIMS {
            drive(&mut lanes[0], &mut disk, NOW, 0).expect("memory takes all writes");
        }
    }
    disk
}

criterion_group!(benches, bench);
criterion_main!(benches);
