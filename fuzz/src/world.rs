//! Cores of a server on one thread, without a ring: their messages are carried and their writes done by the world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use stemedb_engine::claim::ClaimHash;
use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::log::lane::{Lane, LaneConfig, LaneStart, LaneWrite};
use stemedb_engine::log::{BLOCK_BYTES, Generation, SegmentNumber};
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, LaneId, SlotMap};
use stemedb_engine::time::UnixMicros;
use stemedb_net::core::{CLIENTS_BYTES_MAX, ConnectionKey, Core, CoreConfig, LogFacts, Now};
use stemedb_net::http::Limits;
use stemedb_net::metrics::ProcessFigures;

/// The time of day in every world.
pub(crate) const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

/// The largest body that a world takes whole, and the longest line of a batch, in bytes: small enough that an input can
/// reach it.
pub(crate) const BODY_BYTES_MAX: usize = 1024;

/// A server that serves.
pub(crate) struct World {
    cores: Vec<Core>,
    now: Now,
    /// Writes that are wanted and not done, by core.
    writes: Vec<VecDeque<LaneWrite>>,
    /// Whether writes are done as soon as they are wanted.
    disk_is_on: bool,
    /// What clients have received.
    received: BTreeMap<Client, Vec<u8>>,
    /// Connections from which nothing is to be received for now.
    paused: BTreeSet<Client>,
    /// Connections that the server has closed, and of which it knows nothing more.
    closed: BTreeSet<Client>,
}

/// A connection to one of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    core: usize,
    key: ConnectionKey,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl World {
    /// A server with an empty log. Batches pause when more than `batch_bytes_open_max` bytes of claims wait for the disk.
    pub(crate) fn new(cores: u16, batch_bytes_open_max: usize) -> World {
        World::with_limits(cores, batch_bytes_open_max, Limits::default())
    }

    /// The same with other bounds of connections, but for that of a body.
    pub(crate) fn with_limits(cores: u16, batch_bytes_open_max: usize, limits: Limits) -> World {
        let slots = SlotMap::new(cores);
        let now = Now { monotonic_us: 1_000_000, wall: NOW };
        let limits = Arc::new(Limits { body_bytes_max: BODY_BYTES_MAX, ..limits });
        let core = |id| {
            let mut core = Core::new(CoreConfig {
                id,
                slots,
                http: Arc::clone(&limits),
                connections_max: 4,
                timestamp_future_us_max: 300_000_000,
                tls: None,
                batch_bytes_open_max,
                process: ProcessFigures::default,
                wal_bytes_max: u64::MAX,
                clients_bytes_max: CLIENTS_BYTES_MAX,
            });
            let lane = LaneConfig {
                frame_bytes_max: 4 * BLOCK_BYTES,
                frame_buffers: 4,
                ..LaneConfig::new(LaneId(id.0), Generation::FIRST)
            };
            let mut lane = Lane::open(lane, LaneStart::NEW);
            lane.segment_ready(SegmentNumber::FIRST);
            let index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 1 });
            core.open(Shard::new(lane, index, slots.slots_of(id), u64::MAX), LogFacts::default());
            core
        };
        let mut cores: Vec<Core> = (0..cores).map(CoreId).map(core).collect();
        cores.iter_mut().for_each(Core::serve);
        World {
            writes: cores.iter().map(|_| VecDeque::new()).collect(),
            cores,
            now,
            disk_is_on: true,
            received: BTreeMap::new(),
            paused: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Lets writes be done as they are wanted, or only when nothing else can happen.
    pub(crate) fn set_disk(&mut self, is_on: bool) {
        self.disk_is_on = is_on;
    }

    /// How many claims all cores hold.
    pub(crate) fn claims(&self) -> u64 {
        self.cores.iter().map(|core| core.shard().map_or(0, |shard| shard.index().len())).sum()
    }

    /// Whether a core holds the claim of this hash.
    pub(crate) fn has_claim(&self, hash: &ClaimHash) -> bool {
        let mut indexes = self.cores.iter().filter_map(Core::shard).map(Shard::index);
        indexes.find_map(|index| index.claim(hash)).is_some_and(|view| {
            let mut canonical = Vec::new();
            view.claim().encode_canonical(&mut canonical);
            ClaimHash::of_canonical(&canonical) == *hash
        })
    }

    pub(crate) fn connect(&mut self, core: usize) -> Client {
        let core = core % self.cores.len();
        let key = self.cores[core].accepted(self.now).expect("clients of a world leave");
        Client { core, key }
    }

    /// Sends bytes when the server wants some, doing writes for which it waits.
    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        while self.paused.contains(&client) {
            assert!(self.do_writes(), "a connection is paused, and nothing is under way");
            self.run();
        }
        self.cores[client.core].received(client.key, bytes, self.now);
        self.run();
    }

    /// As [`World::send`], unless the server has closed the connection, or nothing is under way for which it waits.
    pub(crate) fn send_if_open(&mut self, client: Client, bytes: &[u8]) {
        self.run();
        if !self.closed.contains(&client) && !self.paused.contains(&client) {
            self.send(client, bytes);
        }
    }

    /// The client will send nothing more.
    pub(crate) fn end(&mut self, client: Client) {
        self.cores[client.core].received_end(client.key, self.now);
        self.run();
    }

    /// Lets time pass, and timeouts with it.
    pub(crate) fn pass_time(&mut self, elapsed_us: u64) {
        self.now.monotonic_us += elapsed_us;
        for core in &mut self.cores {
            core.tick(self.now);
        }
        self.run();
    }

    /// The next write that waits fails. False if none waits.
    pub(crate) fn fail_write(&mut self) -> bool {
        const EIO: i32 = 5;
        let mut waiting = self.cores.iter_mut().zip(&mut self.writes);
        let next = waiting.find_map(|(core, writes)| Some((core, writes.pop_front()?)));
        let Some((core, write)) = next else { return false };
        core.write_done(write.id, write.buffer, Err(EIO), 100, self.now);
        self.run();
        true
    }

    /// Breaks the connection, whatever is under way. Gives what was received.
    pub(crate) fn leave_in_haste(&mut self, client: Client) -> Vec<u8> {
        self.cores[client.core].broken(client.key);
        self.paused.remove(&client);
        self.run();
        self.received.remove(&client).unwrap_or_default()
    }

    /// Breaks the connection and lets the server come to rest.
    pub(crate) fn leave(&mut self, client: Client) {
        self.cores[client.core].broken(client.key);
        self.received.remove(&client);
        self.paused.remove(&client);
        self.rest();
    }

    /// The first response to what was sent, once everything has come to rest.
    pub(crate) fn response(&mut self, client: Client) -> Response {
        self.rest();
        let bytes = self.received.remove(&client).unwrap_or_default();
        let text = String::from_utf8(bytes).expect("responses are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response, but {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        Response { status, body: body.to_owned() }
    }

    /// The response to one request on a connection of its own.
    pub(crate) fn ask(&mut self, core: usize, request: &[u8]) -> Response {
        let client = self.connect(core);
        self.send(client, request);
        let response = self.response(client);
        self.leave(client);
        response
    }

    pub(crate) fn get(&mut self, core: usize, target: &[u8]) -> Response {
        self.ask(core, &[b"GET ", target, b" HTTP/1.1\r\nhost: x\r\n\r\n"].concat())
    }

    /// `fields` are lines of the head, each with its end.
    pub(crate) fn post(&mut self, core: usize, path: &str, fields: &str, body: &[u8]) -> Response {
        let bytes = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{fields}content-length: {bytes}\r\n\r\n");
        self.ask(core, &[head.as_bytes(), body].concat())
    }

    /// Does everything there is to do, writes included.
    pub(crate) fn rest(&mut self) {
        self.run();
        while self.do_writes() {
            self.run();
        }
    }

    /// Turns all cores until nothing happens any more.
    fn run(&mut self) {
        while (0..self.cores.len()).fold(false, |busy, core| self.turn(core) | busy) {}
    }

    fn turn(&mut self, number: usize) -> bool {
        self.now.monotonic_us += 10;
        let now = self.now;
        let core = &mut self.cores[number];
        let mut busy = core.turn(now);
        let wants = core.wants();
        let sends = std::mem::take(&mut wants.sends);
        let receives = std::mem::take(&mut wants.receives);
        let messages: Vec<_> = wants.messages.iter_mut().map(std::mem::take).collect();
        self.writes[number].append(&mut wants.writes);
        wants.shutdowns.clear();
        let closes = std::mem::take(&mut wants.closes);
        self.closed.extend(closes.into_iter().map(|key| Client { core: number, key }));
        if let Some(segment) = wants.segment.take() {
            core.segment_ready(segment);
        }
        for (key, bytes) in sends {
            busy = true;
            self.received.entry(Client { core: number, key }).or_default().extend_from_slice(&bytes);
            core.sent(key, bytes.len(), now);
            core.send_done(key, bytes);
        }
        for (key, wants_receive) in receives {
            let client = Client { core: number, key };
            if wants_receive {
                self.paused.remove(&client);
            } else {
                self.paused.insert(client);
            }
        }
        for (to, messages) in messages.into_iter().enumerate() {
            for message in messages {
                busy = true;
                self.cores[to].message(CoreId(number as u16), message, now);
            }
        }
        busy | (self.disk_is_on && self.do_writes_of(number))
    }

    fn do_writes(&mut self) -> bool {
        (0..self.cores.len()).fold(false, |any, core| self.do_writes_of(core) | any)
    }

    fn do_writes_of(&mut self, core: usize) -> bool {
        let writes = std::mem::take(&mut self.writes[core]);
        let any = !writes.is_empty();
        for write in writes {
            self.cores[core].write_done(write.id, write.buffer, Ok(write.bytes), 100, self.now);
        }
        any
    }
}
