//! Goal: who asks for a claim gets the same answer wherever its value is; one that cannot be read is an error that says so, never a
//! wrong or a missing claim; and whoever need not wait for a read does not.
//!
//! Method: cores whose claims come from tables in memory, beside cores that have the same claims in their indexes; reads of tables are
//! done, held back, damaged and failed by the test.

use stemedb_engine::checkpoint::{
    ListedTable, Manifest, ManifestStorage, MemoryManifest, Needless, OpenTables, TableSet, TablesInForce,
    UpkeepFacts,
};
use stemedb_engine::claim::{
    Assertion, Claim, ClaimHash, ConceptPath, Json, Metadata, Predicate, Timestamp, Value, assertion,
};
use stemedb_engine::index::{INLINE_BYTES_MAX, IndexLoader, NewClaim};
use stemedb_engine::log::Lsn;
use stemedb_engine::log::covered::{Covered, CoveredEnd};
use stemedb_engine::log::generation::LaneEnd;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::MemoryStorage;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::table::{
    Entry, MemoryTables, Step, TableBuilder, TableFacts, TableNumber, TableStorage, TableWriter,
};

use stemedb_engine::slot::SLOTS;

use super::*;
use crate::core::fetches::FETCHES_MAX;
use crate::core::queries::QUERIES_AT_ONCE;
use crate::server::recovery::rebuild;

/// A store of tables that has these claims, dealt out among as many tables.
struct Store {
    tables: MemoryTables,
    manifest: MemoryManifest,
}

/// A claim of a store: the payload of its record, and when that was written.
type Stored = (WriteOrder, Vec<u8>);

fn write_table(tables: &MemoryTables, number: TableNumber, claims: &[Stored]) -> TableFacts {
    let mut builder = TableBuilder::new(64 << 20);
    for (order, payload) in claims {
        builder.add(&Entry { order: *order, flags: 0, retracted: false, payload }).expect("there is room");
    }
    let mut build = builder.write(TableWriter::create(tables, number, UnixMicros(1)).expect("a new table"));
    loop {
        if let Step::Done(facts) = build.step(1 << 20).expect("memory takes it") {
            return facts;
        }
    }
}

impl Store {
    fn of(claims: &[Stored], tables_count: usize) -> Store {
        let store = Store { tables: MemoryTables::new(), manifest: MemoryManifest::default() };
        let mut manifest = Manifest::empty();
        for part in claims.chunks(claims.len().div_ceil(tables_count)) {
            let number = manifest.next_table;
            let facts = write_table(&store.tables, number, part);
            manifest.next_table = number.next();
            manifest.checkpoints += 1;
            manifest
                .tables
                .push(ListedTable { facts, checkpoints: manifest.checkpoints..=manifest.checkpoints });
        }
        store.manifest.replace(&manifest.encode()).expect("memory takes it");
        store
    }

    fn open(&self) -> OpenTables {
        OpenTables::open(&self.manifest, &self.tables).expect("it is sound")
    }
}

impl World {
    /// A world whose claims are in tables.
    fn on_tables(cores: u16, store: &Store) -> World {
        let tables = store.open();
        let slots = Slots::new(cores);
        let index =
            |core: CoreId| rebuild(&MemoryStorage::new(), &tables, slots.slots_of(core), 1).expect("sound").1;
        let set = Arc::new(tables.set());
        let mut world = World::with(cores, |config| config.connections_max = 10_000);
        world.open_with(index, &set);
        world
    }

    /// A world whose claims are in tables, and whose indexes are copies of one that held them all, as when the number of cores changes.
    fn copied(cores: u16, store: &Store) -> World {
        let tables = store.open();
        let slots = Slots::new(cores);
        let (_, all) = rebuild(&MemoryStorage::new(), &tables, 0..SLOTS, 1).expect("sound");
        let index = |core: CoreId| {
            let mut loader = IndexLoader::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 2 });
            for view in all.claims().filter(|view| slots.owner(Slot::of(view.subject_utf8())) == core) {
                if view.stored().is_some() {
                    loader.insert_copy(&view).expect("there is room");
                } else {
                    let new = NewClaim { hash: view.hash(), claim: view.claim(), order: view.order() };
                    loader.insert_all(&[new]).expect("there is room");
                }
            }
            loader.finish()
        };
        let mut world = World::with(cores, |config| config.connections_max = 10_000);
        world.open_with(index, &Arc::new(tables.set()));
        world
    }

    /// A world whose claims are in memory.
    fn in_memory(cores: u16, claims: &[Stored]) -> World {
        let slots = Slots::new(cores);
        let index = |core: CoreId| {
            let mut loader = IndexLoader::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 1 });
            for (order, payload) in claims {
                let Assertion { hash, claim, .. } = Assertion::decode(payload).expect("it was encoded");
                if slots.owner(Slot::of(claim.subject.as_str().as_bytes())) == core {
                    loader.insert_all(&[NewClaim { hash, claim, order: *order }]).expect("there is room");
                }
            }
            loader.finish()
        };
        let mut world = World::with(cores, |config| config.connections_max = 10_000);
        world.open_with(index, &Arc::default());
        world
    }

    fn open_with(&mut self, index: impl Fn(CoreId) -> Index, tables: &Arc<TableSet>) {
        let slots = Slots::new(self.cores.len() as u16);
        let upkeep = UpkeepFacts::default();
        for (number, core) in self.cores.iter_mut().enumerate() {
            let id = CoreId(number as u16);
            let mut lane = Lane::open(LaneConfig::new(LaneId(id.0), Generation(2)), LaneStart::NEW);
            lane.segment_ready(SegmentNumber::FIRST);
            let (tables, upkeep) = (Arc::clone(tables), upkeep.clone());
            let shard = Shard::new(lane, index(id), slots.slots_of(id), u64::MAX);
            let shard = shard.after_checkpoints(tables.checkpoints());
            core.open(shard, LogFacts { generation: 2, tables, upkeep, ..LogFacts::default() });
        }
        self.cores.iter_mut().for_each(Core::serve);
    }

    fn long_counts(&self) -> (u64, u64) {
        let counts = self.cores.iter().map(|core| core.shard().expect("it is open").index().long_counts());
        counts.fold((0, 0), |(memory, stored), (m, s)| (memory + m, stored + s))
    }
}

/// Text of so many bytes that no compression makes small, another for each number.
fn text(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut character = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..bytes).map(|_| character()).collect()
}

fn encode(number: u64, subject: &str, value: Value<'_>, metadata: Option<&str>) -> Stored {
    let timestamp =
        Timestamp::new(UnixMicros(1_600_000_000_000_000 + number as i64 / 3)).expect("a valid time");
    let path = ConceptPath::new(subject).expect("a valid path");
    let mut claim = Claim::new(path, Predicate::new("is").expect("valid"), value, timestamp);
    claim.metadata = metadata.map(|metadata| Metadata::new(metadata).expect("an object"));
    let mut payload = Vec::new();
    assertion::encode(&claim, &[], &mut payload);
    (WriteOrder::new(1, number + 1), payload)
}

/// Claims about few subjects, with values around the bound and far beyond, of all types that have a text; some of them equal.
fn claims() -> Vec<Stored> {
    let mut claims = Vec::new();
    for number in 0..160_u64 {
        let subject = format!("v/{}", number % 5);
        let bytes = [10, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 5_000, 16_000, 60_000][number as usize % 6];
        // Every seventh says what others say.
        let text = text(if number.is_multiple_of(7) { 7 } else { number }, bytes);
        let json = format!("{{\"k\":\"{text}\"}}");
        let metadata = format!("{{\"m\":\"{}\"}}", &text[..text.len().min(7_000)]);
        let value = match number % 4 {
            0 => Value::Json(Json::new(&json).expect("valid")),
            3 => Value::number(number as f64).expect("finite"),
            _ => Value::text(&text).expect("within bounds"),
        };
        claims.push(encode(number, &subject, value, number.is_multiple_of(3).then_some(&*metadata)));
    }
    claims
}

fn hash_of((_, payload): &Stored) -> ClaimHash {
    assertion::hash(payload)
}

const QUERIES: [&str; 7] = [
    "concept_path=v/*&limit=1000",
    "concept_path=v/3",
    "concept_path=v/*&lens=consensus",
    "concept_path=v/1&lens=consensus",
    "concept_path=v/*&lens=recency",
    "concept_path=v/2&limit=1",
    "concept_path=v/*&limit=7",
];

#[test]
fn answers_are_the_same_wherever_values_are() {
    let claims = claims();
    for (tables, is_copied) in [(1, false), (5, false), (3, true)] {
        let store = Store::of(&claims, tables);
        let mut stored = if is_copied { World::copied(3, &store) } else { World::on_tables(3, &store) };
        let mut memory = World::in_memory(3, &claims);
        let (in_memory, in_tables) = stored.long_counts();
        assert_eq!((in_memory, memory.long_counts()), (0, (in_tables, 0)));
        assert!(in_tables > 80, "{in_tables} long values");
        for query in QUERIES {
            for core in 0..3 {
                let mut cursor = String::new();
                loop {
                    let target = format!("/v1/query?{query}{cursor}");
                    let (status, page) = stored.get(core, &target);
                    assert_eq!(status, OK, "{page}");
                    assert_eq!(page, memory.get(core, &target).1, "{target}");
                    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
                    let Some(next) = page["cursor"].as_str() else { break };
                    cursor = format!("&cursor={next}");
                }
            }
        }
        for claim in &claims {
            let target = format!("/v1/assertion/{}", hash_of(claim));
            assert_eq!(stored.get(1, &target), memory.get(2, &target));
        }
        let metrics = stored.get(0, "/metrics").1;
        assert!(
            metrics.contains(&format!("stemedb_values_long{{place=\"table\"}} {in_tables}")),
            "{metrics}"
        );
        assert!(metrics.contains("stemedb_value_reads_waiting 0"), "{metrics}");
        assert!(!metrics.contains("stemedb_value_read_seconds_count 0"), "{metrics}");
    }
}

/// Goal: mostly one read for a claim. Method: each claim is looked up twice; reads are counted.
#[test]
fn a_claim_is_found_with_one_read_of_one_table() {
    let claims = claims();
    let store = Store::of(&claims, 5);
    let mut world = World::on_tables(2, &store);
    for claim in &claims {
        world.get(0, &format!("/v1/assertion/{}", hash_of(claim)));
    }
    assert_eq!(world.reads_done as u64, world.long_counts().1, "the start has seen where blocks begin");
}

/// Goal: a server that is short of something does not take its store for damaged. Method: reads that end with each error number that
/// says so.
#[test]
fn a_value_that_cannot_be_read_for_a_shortage_is_to_be_asked_for_again() {
    let claims = claims();
    let store = Store::of(&claims, 3);
    let long = claims.iter().find(|(_, payload)| payload.len() > 50_000).expect("there is one");
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN] {
        let mut world = World::on_tables(2, &store);
        world.read_fault = Some(ReadFault::Error(errno));
        for target in [format!("/v1/assertion/{}", hash_of(long)), "/v1/query?concept_path=v/*".to_owned()] {
            let (status, body) = world.get(0, &target);
            assert_eq!(status, "HTTP/1.1 503 Service Unavailable", "{body}");
            assert!(body.contains(r#""code":"overloaded""#) && body.contains("short of memory"), "{body}");
        }
        assert!(world.get(1, "/v1/health").1.starts_with(r#"{"status":"healthy""#));
        assert!(world.get(0, "/metrics").1.contains("\nstemedb_value_read_errors_total 0\n"));
        world.read_fault = None;
        assert_eq!(world.get(0, &format!("/v1/assertion/{}", hash_of(long))).0, OK);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_and_everything_else_is_served() {
    let claims = claims();
    let store = Store::of(&claims, 3);
    for fault in [ReadFault::Damage, ReadFault::Error(libc::EIO), ReadFault::Short] {
        let mut world = World::on_tables(2, &store);
        world.read_fault = Some(fault);
        let long = claims.iter().find(|(_, payload)| payload.len() > 50_000).expect("there is one");
        for target in [format!("/v1/assertion/{}", hash_of(long)), "/v1/query?concept_path=v/*".to_owned()] {
            let (status, body) = world.get(0, &target);
            assert_eq!(status, "HTTP/1.1 500 Internal Server Error", "{body}");
            assert!(body.contains(r#""code":"storage_damaged""#), "{body}");
        }
        let small = claims.iter().find(|(_, payload)| payload.len() < 500).expect("there is one");
        assert_eq!(world.get(0, &format!("/v1/assertion/{}", hash_of(small))).0, OK);
        assert_eq!(world.post(1, "/v1/assert", &claim("v/1", 99)).0, CREATED);
        let (_, health) = world.get(1, "/v1/health");
        assert!(health.starts_with(r#"{"status":"degraded""#), "{health}");
        assert!(health.contains(r#""damage":[{"file":"assertions-"#), "{health}");
        assert!(!world.get(0, "/metrics").1.contains("stemedb_value_read_errors_total 0"));
        // What is wrong may be the disk's way to it: when it can be read, it is.
        world.read_fault = None;
        assert_eq!(world.get(0, &format!("/v1/assertion/{}", hash_of(long))).0, OK);
    }
}

#[test]
fn who_waits_for_a_read_holds_up_nobody_and_no_more_wait_than_may() {
    let claims = claims();
    let mut world = World::on_tables(1, &Store::of(&claims, 1));
    world.tables_are_on = false;
    let long = claims.iter().find(|(_, payload)| payload.len() > 50_000).expect("there is one");
    let target = format!("GET /v1/assertion/{} HTTP/1.1\r\nhost: x\r\n\r\n", hash_of(long));
    let query = "GET /v1/query?concept_path=v/*&limit=3 HTTP/1.1\r\nhost: x\r\n\r\n";
    let querier = world.connect(0);
    world.send(querier, query.as_bytes());
    let mut clients = Vec::new();
    let mut asked = 0;
    let refused = loop {
        let client = world.connect(0);
        world.send(client, target.repeat(40).as_bytes());
        asked += 40;
        clients.push(client);
        let said = world.take(client);
        if !said.is_empty() {
            break said;
        }
        assert!(asked < 3 * FETCHES_MAX);
        // The client of a pipeline gets its answers in order, so that only one that is refused from its beginning shows it.
        let (_, metrics) = world.get(0, "/metrics");
        assert!(metrics.contains("stemedb_value_reads_waiting "), "{metrics}");
        assert_eq!(world.post(0, "/v1/assert", &claim("v/1", asked as u32)).0, CREATED);
    };
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after"), "{refused}");
    assert!(refused.contains(r#""code":"overloaded""#), "{refused}");
    assert!(asked > FETCHES_MAX, "{asked} asked");
    assert!(world.reads.len() <= 16, "{} reads at once", world.reads.len());
    assert_eq!(world.take(querier), "", "it waits");
    world.tables_are_on = true;
    world.run();
    assert!(world.take(querier).starts_with(OK));
    let all = clients.iter().map(|&client| world.take(client)).collect::<String>();
    let answered = all.matches(OK).count();
    assert!((FETCHES_MAX - 16..=FETCHES_MAX).contains(&answered), "{answered} answers");
    assert!(world.get(0, "/metrics").1.contains("stemedb_value_reads_waiting 0"));
}

#[test]
fn a_client_that_leaves_while_its_query_waits_leaves_nothing_behind() {
    let mut world = World::on_tables(1, &Store::of(&claims(), 1));
    world.tables_are_on = false;
    for _ in 0..10 {
        let client = world.connect(0);
        world.send(client, b"GET /v1/query?concept_path=v/*&limit=50 HTTP/1.1\r\nhost: x\r\n\r\n");
        world.cores[0].broken(client.1);
    }
    world.tables_are_on = true;
    world.run();
    assert!(world.get(0, "/metrics").1.contains("stemedb_value_reads_waiting 0"));
    assert_eq!(world.get(0, "/v1/query?concept_path=v/*&limit=50").0, OK);
}

/// Goal: a query that ends with nobody waiting for it makes room at once. Method: as many as are worked on at once wait for reads,
/// whose clients leave; then the reads fail.
#[test]
fn who_is_next_in_line_begins_when_a_read_fails_for_somebody_who_is_gone() {
    let mut world = World::on_tables(1, &Store::of(&claims(), 1));
    world.tables_are_on = false;
    let query = b"GET /v1/query?concept_path=v/*&limit=50 HTTP/1.1\r\nhost: x\r\n\r\n";
    for _ in 0..QUERIES_AT_ONCE {
        let client = world.connect(0);
        world.send(client, query);
        world.cores[0].broken(client.1);
    }
    let next = world.connect(0);
    world.send(next, query);
    assert_eq!(world.cores[0].room.line.len(), 1);
    world.read_fault = Some(ReadFault::Error(libc::EIO));
    assert!(world.do_reads());
    world.turn(0);
    assert!(world.cores[0].room.queries_asked.len() <= QUERIES_AT_ONCE);
    assert!(world.cores[0].room.line.is_empty(), "there was room in this turn");
    (world.read_fault, world.tables_are_on) = (None, true);
    world.run();
    assert!(world.take(next).starts_with(OK));
}

/// Goal: values leave memory when a table has them, and only then. Method: claims written while the core serves; tables come to be of
/// the first half of them.
#[test]
fn values_leave_memory_when_a_table_has_them() {
    let mut world = World::in_memory(1, &claims());
    let (of_earlier, _) = world.long_counts();
    let body = |number: u64| {
        format!(
            r#"{{"subject":"w/{number}","predicate":"is","object":"{}","timestamp":1600000000}}"#,
            text(number, 9_000)
        )
    };
    let mut written = Vec::new();
    for number in 0..40 {
        let (status, answer) = world.post(0, "/v1/assert", &body(number));
        assert_eq!(status, CREATED);
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        let digits = answer["hash"].as_str().expect("a hash").to_owned();
        let index = world.cores[0].shard().expect("it is open").index();
        let hash = crate::api::hash_of_path(&digits).expect("a hash");
        let view = index.claim(&hash).expect("it was written");
        let mut payload = Vec::new();
        assertion::encode(&view.claim(), &[], &mut payload);
        written.push((view.order(), payload));
    }
    let pages = |world: &mut World| world.get(0, "/v1/query?concept_path=w/*&limit=100").1;
    let before = pages(&mut world);

    let tables = MemoryTables::new();
    let facts = write_table(&tables, TableNumber(1), &written[..20]);
    let end = LaneEnd {
        lane: LaneId(0),
        generation: Generation(2),
        segment: SegmentNumber(1),
        end_offset: 8192,
        next_lsn: Lsn(written[20].0.lsn()),
    };
    let covered = Covered { ends: vec![CoveredEnd { end, continues: true }], ..Covered::default() };
    let manifest = Manifest {
        checkpoints: 1,
        next_table: TableNumber(2),
        tables: vec![ListedTable { facts, checkpoints: 1..=1 }],
        covered,
    };
    let set = Arc::new(TableSet::new(&manifest, &tables, &TableSet::default()).expect("it is sound"));
    let bytes = |world: &World| world.cores[0].shard().expect("it is open").index().bytes();
    let bytes_before = bytes(&world);
    world.cores[0].set_tables(Arc::clone(&set));
    world.run();
    // What an earlier generation wrote is not in the table, and comes before what is; it goes with the generation.
    assert_eq!(world.long_counts(), (40 - 20, of_earlier + 20));
    assert!(bytes_before - bytes(&world) > 20 * 9_000, "{bytes_before} bytes, then {}", bytes(&world));
    assert_eq!(pages(&mut world), before);
    assert!(world.reads_done > 0);

    // The table is merged with another into a third, and removed when no core reads it any more.
    let facts = write_table(&tables, TableNumber(3), &written);
    assert_eq!(pages(&mut world), before);
    let end = LaneEnd { next_lsn: Lsn(written[39].0.lsn() + 1), ..end };
    let manifest = Manifest {
        checkpoints: 2,
        next_table: TableNumber(4),
        tables: vec![ListedTable { facts, checkpoints: 1..=2 }],
        covered: Covered { ends: vec![CoveredEnd { end, continues: true }], ..Covered::default() },
    };
    let mut in_force = TablesInForce::new(set);
    let (merged, segment) = (
        Needless::Table(TableNumber(1)),
        Needless::Segment(SegmentId { lane: LaneId(0), number: SegmentNumber(1) }),
    );
    assert!(in_force.may_remove(merged));
    let now = Arc::clone(in_force.follow(&manifest, &tables).expect("it is sound"));
    assert!(!in_force.may_remove(merged), "a core reads it");
    assert!(in_force.may_remove(segment) && in_force.may_remove(Needless::Table(TableNumber(3))));
    world.cores[0].set_tables(now);
    world.run();
    assert!(in_force.may_remove(merged));
    tables.remove(TableNumber(1)).expect("it is there");
    assert_eq!(world.long_counts().0, 0);
    assert_eq!(pages(&mut world), before);
}

/// Goal: tables that a core has begun with are removed once they are merged, as any others. Method: two of them, merged into a third.
#[test]
fn tables_that_a_core_has_begun_with_are_let_go_of() {
    let store = Store::of(&claims(), 2);
    let tables = store.open();
    let set = Arc::new(tables.set());
    let mut world = World::with(1, |_| {});
    let index = |_| rebuild(&MemoryStorage::new(), &tables, 0..SLOTS, 1).expect("sound").1;
    world.open_with(index, &set);
    let facts = write_table(&store.tables, TableNumber(3), &claims());
    let merged = Manifest {
        next_table: TableNumber(4),
        tables: vec![ListedTable { facts, checkpoints: 1..=2 }],
        ..tables.manifest().clone()
    };
    drop(tables);
    let mut in_force = TablesInForce::new(set);
    let now = Arc::clone(in_force.follow(&merged, &store.tables).expect("it is sound"));
    let inputs = [1, 2].map(|number| Needless::Table(TableNumber(number)));
    assert!(inputs.iter().all(|table| !in_force.may_remove(*table)), "the core may read them");
    world.cores[0].set_tables(now);
    world.run();
    assert!(inputs.iter().all(|table| in_force.may_remove(*table)), "nobody reads them");
}
