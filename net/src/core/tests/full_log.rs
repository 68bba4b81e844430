//! Goal: a core's part of the log stays within its bound, writes are refused there and nowhere before, and are taken again when
//! segments were removed. Method: one core with the smallest segments; the test prepares and removes them.

use stemedb_engine::log::SEGMENT_BYTES_MIN;

use super::*;

/// The least bound that a configuration may have.
const SEGMENTS_MAX: u64 = 6;

/// A core that writes its first segment.
fn world() -> World {
    let bytes_max = SEGMENTS_MAX * SEGMENT_BYTES_MIN;
    let mut world = World::with(1, |config| config.wal_bytes_max = bytes_max);
    let config =
        LaneConfig { segment_bytes: SEGMENT_BYTES_MIN, ..LaneConfig::new(LaneId(0), Generation::FIRST) };
    let mut lane = Lane::open(config, LaneStart::NEW);
    lane.segment_ready(SegmentNumber::FIRST);
    let index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 1 });
    let shard = Shard::new(lane, index, Slots::new(1).slots_of(CoreId(0)), u64::MAX);
    let log = LogFacts {
        segments: 1,
        segment_bytes: SEGMENT_BYTES_MIN,
        segment_bytes_each: SEGMENT_BYTES_MIN,
        ..LogFacts::default()
    };
    world.cores[0].open(shard, log);
    world.cores[0].serve();
    world
}

/// Posts claims of 60 KiB, with a segment prepared whenever one is wanted, until one is refused. Gives how many were taken, and the
/// refusal.
fn fill(world: &mut World, first: usize) -> (usize, String) {
    let value = "v".repeat(60 << 10);
    for number in first.. {
        let body = format!(r#"{{"subject":"full/{number}","predicate":"is","object":"{value}"}}"#);
        let client = world.connect(0);
        world.send(client, post("/v1/assert", &body).as_bytes());
        let answer = world.take(client);
        world.cores[0].broken(client.1);
        prepare(world);
        if !answer.starts_with(CREATED) {
            return (number - first, answer);
        }
        assert!(number < 1000, "no bound is in sight");
    }
    unreachable!("claims do not run out");
}

fn prepare(world: &mut World) {
    world.run();
    if let Some(number) = world.segments[0].take() {
        world.cores[0].segment_ready(number);
        world.run();
    }
}

#[test]
fn a_core_refuses_writes_at_the_bound_of_its_log_and_takes_them_again_when_segments_are_gone() {
    let mut world = world();
    let (stored, refusal) = fill(&mut world, 0);
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    assert!(refusal.contains("retry-after: 1") && refusal.contains(r#""code":"log_full""#), "{refusal}");
    // Each segment has been filled, the last one included: nothing was refused before.
    let claims_a_segment = SEGMENT_BYTES_MIN as usize / (64 << 10);
    let least = (claims_a_segment - 1) * SEGMENTS_MAX as usize;
    assert!(stored >= least, "{stored} claims of 60 KiB in {SEGMENTS_MAX} segments");
    assert_eq!(world.cores[0].room.counters.wal_segments, SEGMENTS_MAX);
    let metrics = world.get(0, "/metrics").1;
    let bytes = SEGMENTS_MAX * SEGMENT_BYTES_MIN;
    for line in [
        format!("stemedb_wal_disk_usage_bytes {bytes}"),
        format!("stemedb_wal_bytes_max {bytes}"),
        "stemedb_assertions_rejected_total{reason=\"log_full\"} 1".to_owned(),
    ] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line} is not in\n{metrics}");
    }
    // Reads go on, and nobody takes it for a failure.
    assert!(world.get(0, "/v1/query?concept_path=full/0").1.contains(r#""count":1"#));
    assert!(world.get(0, "/v1/health").1.starts_with(r#"{"status":"healthy""#));
    assert_eq!(world.get(0, "/ready").0, OK);

    // Two segments are gone, and two come in their place: not one more.
    for _ in 0..2 {
        world.cores[0].segment_removed(SEGMENT_BYTES_MIN);
    }
    prepare(&mut world);
    let (more, refusal) = fill(&mut world, stored);
    assert!(refusal.contains("log_full"), "{refusal}");
    let least = 2 * (claims_a_segment - 1);
    assert!((least..least + claims_a_segment).contains(&more), "{more} claims in two segments");
    assert_eq!(world.cores[0].room.counters.wal_segments, SEGMENTS_MAX);
    assert_eq!(
        world.assertions() as usize,
        stored + more,
        "what was acknowledged is there, and nothing else"
    );
}

#[test]
fn a_log_that_is_too_large_at_the_start_serves_what_it_has_begun() {
    let mut world = world();
    let counters = &mut world.cores[0].room.counters;
    (counters.wal_segments, counters.wal_disk_bytes) = (10, 10 * SEGMENT_BYTES_MIN);
    let (stored, refusal) = fill(&mut world, 0);
    assert!(stored > 0 && refusal.contains("log_full"), "{stored}, {refusal}");
    (0..4).for_each(|_| world.cores[0].segment_removed(SEGMENT_BYTES_MIN));
    prepare(&mut world);
    assert_eq!(world.segments[0], None, "six are as many as may be");
    world.cores[0].segment_removed(SEGMENT_BYTES_MIN);
    prepare(&mut world);
    assert_eq!(world.post(0, "/v1/assert", &claim("taken", 1)).0, CREATED);
}
