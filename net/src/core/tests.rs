//! Goal: requests get the answers of the contract, in order, whatever core they concern, and never before
//! what they promise is true. Method: several cores on one thread, their messages carried and their writes done
//! by the test, which decides when.

use std::collections::BTreeMap;
use std::sync::Arc;

use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::log::Generation;
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::{Lane, LaneConfig, LaneStart, LaneWrite};
use stemedb_engine::slot::{LaneId, Slot, SlotMap as Slots};
use stemedb_engine::snapshots::Piece;

use super::*;
use crate::metrics::ProcessFigures;

mod batches;
mod clients;
mod clocks;
mod conditions;
mod dates;
mod floods;
mod full_log;
mod overdue;
mod retractions;
mod snapshots;
mod tls;
mod turns;
mod values;

/// What is wrong with reads of tables.
#[derive(Debug, Clone, Copy)]
enum ReadFault {
    Damage,
    /// Of this number.
    Error(i32),
    Short,
}

impl ReadFault {
    /// Does it to what was read. Gives how that ends.
    fn spoil(self, bytes: &mut [u8]) -> Result<usize, i32> {
        let middle = bytes.len() / 2;
        match self {
            ReadFault::Damage => {
                bytes[middle] ^= 1;
                Ok(bytes.len())
            }
            ReadFault::Error(errno) => Err(errno),
            ReadFault::Short => Ok(middle / 4096 * 4096),
        }
    }
}

/// Cores on one thread.
struct World {
    cores: Vec<Core>,
    now: Now,
    /// Writes that have been wanted and not been done, by core.
    writes: Vec<Vec<LaneWrite>>,
    /// The segment that each core has asked for, until the test prepares it.
    segments: Vec<Option<SegmentNumber>>,
    /// Whether writes are done as soon as they are wanted.
    disk_is_on: bool,
    /// Reads of tables that have been wanted and not been done.
    reads: Vec<(usize, TableRead)>,
    reads_done: usize,
    /// Whether reads of tables are done as soon as they are wanted.
    tables_are_on: bool,
    /// What becomes of what was read.
    read_fault: Option<ReadFault>,
    /// Whether clients take what is sent to them.
    clients_read: bool,
    /// What they have not taken.
    unread: Vec<(usize, ConnectionKey, Vec<u8>)>,
    /// What clients have received.
    received: BTreeMap<(usize, ConnectionKey), Vec<u8>>,
    closed: Vec<(usize, ConnectionKey)>,
    paused: Vec<(usize, ConnectionKey, bool)>,
    /// Whether messages between cores stay where they are.
    hold_messages: bool,
    /// Whether pieces of snapshots are taken.
    takes_pieces: bool,
    pieces: Vec<Piece>,
}

impl World {
    fn new(cores: u16) -> World {
        World::with(cores, |_| {})
    }

    fn with(cores: u16, configure: impl Fn(&mut CoreConfig)) -> World {
        let slots = Slots::new(cores);
        let now = Now { monotonic_us: 1_000_000, wall: UnixMicros(1_700_000_000_000_000) };
        let core = |id| {
            let mut config = CoreConfig {
                id: CoreId(id),
                slots,
                http: Arc::new(http::Limits::default()),
                connections_max: 100,
                timestamp_future_us_max: 300_000_000,
                batch_bytes_open_max: 1 << 20,
                process: ProcessFigures::default,
                tls: None,
                wal_bytes_max: u64::MAX,
                clients_bytes_max: CLIENTS_BYTES_MAX,
            };
            configure(&mut config);
            Core::new(config)
        };
        World {
            cores: (0..cores).map(core).collect(),
            now,
            writes: (0..cores).map(|_| Vec::new()).collect(),
            segments: vec![None; usize::from(cores)],
            disk_is_on: true,
            reads: Vec::new(),
            reads_done: 0,
            tables_are_on: true,
            read_fault: None,
            clients_read: true,
            unread: Vec::new(),
            received: BTreeMap::new(),
            closed: Vec::new(),
            paused: Vec::new(),
            hold_messages: false,
            takes_pieces: true,
            pieces: Vec::new(),
        }
    }

    /// A world that serves.
    fn serving(cores: u16) -> World {
        let mut world = World::new(cores);
        world.open();
        world
    }

    fn open(&mut self) {
        self.open_with_segments(|_| true);
    }

    /// Opens the cores; the lanes of some get no segment.
    fn open_with_segments(&mut self, has_segment: impl Fn(usize) -> bool) {
        let slots = Slots::new(self.cores.len() as u16);
        for (number, core) in self.cores.iter_mut().enumerate() {
            let id = CoreId(number as u16);
            let mut lane = Lane::open(LaneConfig::new(LaneId(id.0), Generation::FIRST), LaneStart::NEW);
            if has_segment(number) {
                lane.segment_ready(SegmentNumber::FIRST);
            }
            let index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 1 });
            let log = LogFacts { generation: 1, ..LogFacts::default() };
            core.open(Shard::new(lane, index, slots.slots_of(id), u64::MAX), log);
        }
        self.cores.iter_mut().for_each(Core::serve);
    }

    fn connect(&mut self, core: usize) -> (usize, ConnectionKey) {
        (core, self.cores[core].accepted(self.now).expect("there is room"))
    }

    fn send(&mut self, (core, key): (usize, ConnectionKey), bytes: &[u8]) {
        self.cores[core].received(key, bytes, self.now);
        self.run();
    }

    /// Turns all cores until nothing happens any more.
    fn run(&mut self) {
        loop {
            let mut busy = false;
            for core in 0..self.cores.len() {
                busy |= self.turn(core);
            }
            if !busy {
                return;
            }
        }
    }

    fn turn(&mut self, core: usize) -> bool {
        self.now.monotonic_us += 10;
        let now = self.now;
        let mut busy = self.cores[core].turn(now);
        let mut wants = std::mem::replace(self.cores[core].wants(), Wants::new(self.writes.len() as u16));
        self.segments[core] = wants.segment.or(self.segments[core]);
        match wants.piece.take() {
            Some(piece) if self.takes_pieces => self.pieces.push(piece),
            piece => self.cores[core].wants().piece = piece,
        }
        self.unread.extend(wants.sends.into_iter().map(|(key, bytes)| (core, key, bytes)));
        if self.clients_read {
            for (core, key, bytes) in std::mem::take(&mut self.unread) {
                busy = true;
                self.received.entry((core, key)).or_default().extend_from_slice(&bytes);
                self.cores[core].sent(key, bytes.len(), now);
                self.cores[core].send_done(key, bytes);
            }
        }
        self.closed.extend(wants.closes.into_iter().map(|key| (core, key)));
        self.paused.extend(wants.receives.into_iter().map(|(key, receive)| (core, key, !receive)));
        if self.hold_messages {
            self.cores[core].wants().messages = wants.messages;
        } else {
            for (to, messages) in wants.messages.into_iter().enumerate() {
                busy |= !messages.is_empty();
                let from = CoreId(core as u16);
                messages.into_iter().for_each(|message| self.cores[to].message(from, message, now));
            }
        }
        self.reads.extend(wants.reads.into_iter().map(|read| (core, read)));
        if self.tables_are_on {
            busy |= self.do_reads();
        }
        self.writes[core].extend(wants.writes);
        if self.disk_is_on {
            busy |= self.do_writes(core);
        }
        busy
    }

    fn do_reads(&mut self) -> bool {
        let reads = std::mem::take(&mut self.reads);
        let any = !reads.is_empty();
        for (core, mut read) in reads {
            let window = &mut read.buffer[..read.bytes];
            let bytes = read.table.read_at(read.offset, window).expect("memory can be read");
            assert_eq!(bytes, read.bytes, "nobody reads behind the end");
            let result = self.read_fault.map_or(Ok(bytes), |fault| fault.spoil(window));
            self.reads_done += 1;
            self.cores[core].read_done(read.id, read.buffer, result, 100);
        }
        any
    }

    fn do_writes(&mut self, core: usize) -> bool {
        let writes = std::mem::take(&mut self.writes[core]);
        let any = !writes.is_empty();
        for write in writes {
            self.cores[core].write_done(write.id, write.buffer, Ok(write.bytes), 100, self.now);
        }
        any
    }

    /// Does the writes that wait, and whatever follows from them but for further writes.
    fn disk_tick(&mut self) {
        for core in 0..self.cores.len() {
            self.do_writes(core);
        }
        self.run();
    }

    /// What a client has received since it was asked last.
    fn take(&mut self, client: (usize, ConnectionKey)) -> String {
        let bytes = self.received.remove(&client).unwrap_or_default();
        String::from_utf8(bytes).expect("responses are UTF-8")
    }

    /// The bodies of one request on a fresh connection to `core`.
    fn ask(&mut self, core: usize, request: &str) -> (String, String) {
        let client = self.connect(core);
        self.send(client, request.as_bytes());
        let response = self.take(client);
        let (head, body) =
            response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {response:?}"));
        (head.lines().next().expect("a status line").to_owned(), body.to_owned())
    }

    fn post(&mut self, core: usize, path: &str, body: &str) -> (String, String) {
        self.ask(core, &post(path, body))
    }

    fn get(&mut self, core: usize, path: &str) -> (String, String) {
        self.ask(core, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
    }

    fn assertions(&self) -> u64 {
        self.cores.iter().map(|core| core.shard().map_or(0, |shard| shard.index().len())).sum()
    }
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn claim(subject: &str, value: u32) -> String {
    format!(r#"{{"subject":"{subject}","predicate":"is","object":{value},"timestamp":1600000000}}"#)
}

/// A subject whose slot core `core` of `cores` owns.
fn subject_on(core: u16, cores: u16) -> String {
    (0..)
        .map(|number| format!("s/{number}"))
        .find(|subject| Slots::new(cores).owner(Slot::of(subject.as_bytes())) == CoreId(core))
        .expect("every core owns slots")
}

const CREATED: &str = "HTTP/1.1 201 Created";
const OK: &str = "HTTP/1.1 200 OK";

#[test]
fn a_claim_is_stored_by_its_owner_whichever_core_was_asked() {
    let mut world = World::serving(3);
    for asked in 0..3 {
        for owner in 0..3 {
            let body = claim(&subject_on(owner, 3), u32::from(owner) + 10 * asked as u32);
            assert_eq!(world.post(asked, "/v1/assert", &body).0, CREATED);
            assert_eq!(world.post((asked + 1) % 3, "/v1/assert", &body).0, OK, "a retry is the same claim");
        }
    }
    assert_eq!(world.assertions(), 9);
    for (number, core) in world.cores.iter().enumerate() {
        assert_eq!(core.shard().expect("it is open").index().len(), 3, "core {number}");
    }
    let (_, health) = world.get(2, "/v1/health");
    assert!(health.contains(r#""assertion_count":9,"cores":3,"generation":1"#), "{health}");
}

#[test]
fn nothing_is_answered_or_visible_before_the_disk_has_it() {
    let mut world = World::serving(2);
    world.disk_is_on = false;
    let client = world.connect(0);
    let subject = subject_on(1, 2);
    world.send(client, post("/v1/assert", &claim(&subject, 1)).as_bytes());
    // The header of the segment, then the frame.
    for _ in 0..2 {
        assert_eq!(world.take(client), "");
        let (_, page) = world.get(1, &format!("/v1/query?concept_path={subject}"));
        assert!(page.starts_with(r#"{"assertions":[],"#), "{page}");
        world.disk_tick();
    }
    assert!(world.take(client).starts_with(CREATED));
    let (_, page) = world.get(1, &format!("/v1/query?concept_path={subject}"));
    assert!(page.contains(&subject), "{page}");
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_core_was_faster() {
    let mut world = World::serving(2);
    world.disk_is_on = false;
    let client = world.connect(0);
    let mut requests = String::new();
    for number in 0..10 {
        requests += &post("/v1/assert", &claim(&subject_on(number % 2, 2), u32::from(number)));
    }
    requests += "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n";
    world.send(client, requests.as_bytes());
    // Core 1 is done long before core 0, and readiness is known at once.
    for _ in 0..4 {
        world.do_writes(1);
        world.run();
    }
    assert_eq!(world.take(client), "", "the first request waits for core 0");
    for _ in 0..4 {
        world.disk_tick();
    }
    let answers = world.take(client);
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 11, "{answers}");
    assert_eq!(answers.matches(CREATED).count(), 10, "{answers}");
    assert!(answers.ends_with(r#"{"status":"ready"}"#), "{answers}");
}

#[test]
fn a_retraction_reaches_all_cores_and_counts_what_it_took() {
    let mut world = World::serving(3);
    for number in 0..30 {
        let body = format!(
            r#"{{"subject":"r/{number}","predicate":"is","object":1,"source":"source/{}"}}"#,
            if number % 3 == 0 { "bad/sub" } else { "good" }
        );
        assert_eq!(world.post(number % 3, "/v1/assert", &body).0, CREATED);
    }
    let request = r#"{"concept_path":"source/bad","reason":"wrong"}"#;
    let (status, answer) = world.post(1, "/v1/retract", request);
    assert_eq!(
        (status.as_str(), answer.as_str()),
        (OK, r#"{"status":"retracted","retracted":10,"cascaded":0}"#)
    );
    let (_, page) = world.get(0, "/v1/query?concept_path=r/*");
    assert!(page.contains(r#""count":20"#), "{page}");
    let (_, page) = world.get(0, "/v1/query?concept_path=r/*&include_retracted=true");
    assert!(page.contains(r#""count":30"#), "{page}");
    let (_, answer) = world.post(2, "/v1/retract", request);
    assert!(answer.contains(r#""retracted":0"#), "{answer}");
}

#[test]
fn pages_over_all_cores_hold_each_claim_once_newest_first() {
    let mut world = World::serving(3);
    for number in 0..50 {
        let body = format!(
            r#"{{"subject":"q/{number}","predicate":"is","object":{number},"timestamp":{}}}"#,
            1000 + number % 7
        );
        assert_eq!(world.post(0, "/v1/assert", &body).0, CREATED);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = world.get(1, &format!("/v1/query?concept_path=q/*&limit=8{cursor}"));
        let page: serde_json::Value = serde_json::from_str(&page).expect("a page is JSON");
        for row in page["assertions"].as_array().expect("a list") {
            seen.push((row["timestamp"].as_i64().expect("whole"), row["value"].as_i64().expect("whole")));
        }
        match page["cursor"].as_str() {
            Some(text) => cursor = format!("&cursor={text}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 50);
    assert!(seen.is_sorted_by(|one, next| one.0 >= next.0), "{seen:?}");
    seen.sort_by_key(|(_, value)| *value);
    assert!(seen.iter().map(|(_, value)| *value).eq(0..50));
}

#[test]
fn a_claim_is_found_by_its_hash_on_any_core() {
    let mut world = World::serving(3);
    let (_, created) = world.post(0, "/v1/assert", &claim(&subject_on(2, 3), 1));
    let hash = &created[9..73];
    for core in 0..3 {
        let (status, body) = world.get(core, &format!("/v1/assertion/{hash}"));
        assert_eq!(status, OK);
        assert!(body.contains(hash), "{body}");
    }
    let (status, body) = world.get(0, &format!("/v1/assertion/{}", "0".repeat(64)));
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert!(body.contains("assertion_not_found"), "{body}");
    assert_eq!(world.get(0, "/v1/assertion/xyz").0, "HTTP/1.1 400 Bad Request");
}

#[test]
fn a_failed_lane_refuses_its_writes_and_says_so_while_reads_go_on() {
    let mut world = World::serving(2);
    let (good, bad) = (subject_on(0, 2), subject_on(1, 2));
    world.post(0, "/v1/assert", &claim(&bad, 1));
    world.disk_is_on = false;
    let client = world.connect(0);
    world.send(client, post("/v1/assert", &claim(&bad, 2)).as_bytes());
    let write = world.writes[1].pop().expect("the claim is on its way");
    world.cores[1].write_done(write.id, write.buffer, Err(libc::EIO), 100, world.now);
    world.disk_is_on = true;
    world.run();
    let answer = world.take(client);
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("storage_failed"), "{answer}");
    assert!(world.post(1, "/v1/assert", &claim(&bad, 3)).1.contains("storage_failed"));
    assert_eq!(world.post(1, "/v1/assert", &claim(&good, 3)).0, CREATED, "the other lane goes on");
    assert!(world.get(0, &format!("/v1/query?concept_path={bad}")).1.contains(r#""count":1"#));
    assert!(world.get(0, "/v1/health").1.starts_with(r#"{"status":"degraded""#));
    let (status, body) = world.get(0, "/ready");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.contains("not_ready") && body.contains("lane"), "{body}");
    let (_, metrics) = world.get(0, "/metrics");
    for line in
        ["stemedb_wal_fsync_errors_total 1", "stemedb_core_lane_failed{core=\"1\"} 1", "stemedb_ready 0"]
    {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line} is not in\n{metrics}");
    }
    // A retraction needs all lanes.
    let (status, _) = world.post(0, "/v1/retract", &format!(r#"{{"concept_path":"{good}","reason":"x"}}"#));
    assert!(status.starts_with("HTTP/1.1 500"), "{status}");
}

#[test]
fn while_the_log_is_recovered_only_questions_about_the_server_are_answered() {
    let mut world = World::new(2);
    let (status, body) = world.get(0, "/ready");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.contains("not_ready"), "{body}");
    let (status, health) = world.get(1, "/v1/health");
    assert_eq!(status, OK);
    assert!(health.starts_with(r#"{"status":"degraded""#), "{health}");
    assert!(health.contains(r#""recovering":true"#), "{health}");
    let (status, metrics) = world.get(1, "/metrics");
    assert_eq!(status, OK);
    assert!(metrics.contains("\nstemedb_ready 0\n"), "{metrics}");
    for (status, body) in
        [world.post(0, "/v1/assert", &claim("a", 1)), world.get(0, "/v1/query?concept_path=a")]
    {
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        assert!(body.contains("not_ready"), "{body}");
    }
    world.open();
    assert_eq!(world.get(0, "/ready").0, OK);
    assert!(world.get(1, "/v1/health").1.starts_with(r#"{"status":"healthy""#));
    let (_, metrics) = world.get(0, "/metrics");
    assert!(metrics.contains("\nstemedb_ready 1\n"), "{metrics}");
    assert_eq!(world.post(0, "/v1/assert", &claim("a", 1)).0, CREATED);
}

#[test]
fn a_draining_core_answers_what_was_asked_and_takes_nothing_new() {
    let mut world = World::serving(2);
    world.disk_is_on = false;
    let busy = world.connect(0);
    let idle = world.connect(0);
    world.send(busy, post("/v1/assert", &claim(&subject_on(1, 2), 1)).as_bytes());
    world.cores.iter_mut().for_each(Core::drain);
    world.run();
    assert!(world.closed.contains(&idle), "an idle connection is closed at once");
    assert!(!world.cores[0].is_drained());
    assert!(world.cores[0].accepted(world.now).is_err());
    world.disk_is_on = true;
    for core in 0..2 {
        world.do_writes(core);
    }
    world.run();
    let answer = world.take(busy);
    assert!(answer.starts_with(CREATED), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    world.cores[0].received_end(busy.1, world.now);
    world.run();
    assert!(world.cores[0].is_drained());
    world.cores.iter_mut().for_each(Core::close);
    assert!(!world.cores[1].is_closed(), "the closing marker is still to be written");
    world.run();
    assert!(world.cores.iter().all(Core::is_closed));
}

#[test]
fn a_request_that_times_out_is_counted_once() {
    let mut world = World::serving(1);
    let slow = world.connect(0);
    world.send(slow, b"GET /v1/health HTTP/1.1\r\n");
    world.now.monotonic_us += 11_000_000;
    world.cores[0].tick(world.now);
    world.run();
    assert!(world.take(slow).starts_with("HTTP/1.1 408"));
    let metrics = world.get(0, "/metrics").1;
    let counted = "stemedb_http_requests_total{method=\"other\",status=\"408\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_short_write_counts_as_the_failure_that_it_is() {
    let mut world = World::serving(1);
    world.disk_is_on = false;
    let client = world.connect(0);
    world.send(client, post("/v1/assert", &claim("a", 1)).as_bytes());
    let write = world.writes[0].pop().expect("the claim is on its way");
    world.cores[0].write_done(write.id, write.buffer, Ok(512), 100, world.now);
    world.run();
    assert!(world.take(client).starts_with("HTTP/1.1 500"));
    assert!(world.get(0, "/metrics").1.contains("stemedb_wal_fsync_errors_total 1\n"));
}

#[test]
fn single_claims_leave_room_for_streams_on_other_cores_too() {
    let mut world = World::serving(2);
    world.disk_is_on = false;
    let subject = subject_on(1, 2);
    let large = |number: usize| {
        let value = "v".repeat(60 << 10);
        format!(r#"{{"subject":"{subject}","predicate":"{number}","object":"{value}","timestamp":1}}"#)
    };
    // More than all buffers of the lane hold.
    let singles: Vec<_> = (0..5).map(|_| world.connect(0)).collect();
    for number in 0..200 {
        world.send(singles[number % singles.len()], post("/v1/assert", &large(number)).as_bytes());
    }
    let stream = world.connect(0);
    world.send(stream, post("/v1/assert/batch", &large(200)).as_bytes());
    world.disk_is_on = true;
    world.do_writes(1);
    world.run();
    let answers: String = singles.iter().map(|single| world.take(*single)).collect();
    assert!(answers.contains(CREATED) && answers.contains("HTTP/1.1 503"), "some find room and some do not");
    let answer = world.take(stream);
    assert!(answer.ends_with(r#"{"accepted":1,"exists":0,"rejected":0,"errors":[]}"#), "{answer}");
}

#[test]
fn connections_are_bounded() {
    let mut world = World::serving(1);
    let clients: Vec<_> = (0..100).map(|_| world.connect(0)).collect();
    assert!(world.cores[0].accepted(world.now).is_err());
    world.cores[0].broken(clients[0].1);
    world.connect(0);
}

/// A world with 40 claims of 60 KiB each under `big/`: more than fit a page.
fn world_of_large_claims() -> World {
    let mut world = World::serving(2);
    let value = "v".repeat(60 << 10);
    for number in 0..40 {
        let body = format!(r#"{{"subject":"big/{number}","predicate":"is","object":"{value}"}}"#);
        assert_eq!(world.post(0, "/v1/assert", &body).0, CREATED);
    }
    world
}

const LARGE_QUERY: &str = "GET /v1/query?concept_path=big/*&limit=10000 HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn answers_that_nobody_reads_are_bounded_however_many_are_asked_for() {
    let mut world = world_of_large_claims();
    let client = world.connect(0);
    world.clients_read = false;
    world.send(client, LARGE_QUERY.repeat(64).as_bytes());
    let unsent_bytes = world.cores[0].connections[client.1].http.unsent_bytes();
    let page_bytes_max = crate::api::PAGE_BYTES_MAX + (128 << 10);
    assert!(unsent_bytes > 0 && unsent_bytes < (1 << 20) + page_bytes_max, "{unsent_bytes} bytes wait");
    assert!(world.cores[0].room.operations.len() <= 1, "one query of a connection at a time");
    world.clients_read = true;
    world.run();
    assert_eq!(world.take(client).matches("HTTP/1.1 200 OK").count(), 64);
}

#[test]
fn queries_beyond_those_at_once_wait_for_their_turn() {
    let mut world = World::serving(2);
    world.post(0, "/v1/assert", &claim("a", 1));
    let clients: Vec<_> = (0..90).map(|_| world.connect(0)).collect();
    for &(core, key) in &clients {
        world.cores[core].received(
            key,
            b"GET /v1/query?concept_path=a/* HTTP/1.1\r\nhost: x\r\n\r\n",
            world.now,
        );
    }
    world.cores[0].turn(world.now);
    assert_eq!(world.cores[0].room.queries_asked.len(), queries::QUERIES_AT_ONCE);
    assert_eq!(world.cores[0].room.line.len(), 90 - queries::QUERIES_AT_ONCE);
    world.run();
    for client in clients {
        assert!(world.take(client).starts_with(OK));
    }
    assert_eq!(world.cores[0].room.queries_asked.len(), 0);
}

#[test]
fn queries_of_a_broken_connection_are_forgotten() {
    let mut world = world_of_large_claims();
    let client = world.connect(0);
    world.cores[0].received(client.1, LARGE_QUERY.repeat(64).as_bytes(), world.now);
    world.cores[0].turn(world.now);
    world.cores[0].broken(client.1);
    world.run();
    assert!(world.cores[0].room.operations.is_empty());
    assert_eq!(world.cores[0].room.queries_asked.len(), 0);
    assert_eq!(world.get(0, "/ready").0, OK);
}
