//! A core with its clients and its disk, all on one thread and without a kernel: what a driver does with a ring
//! is done here with plain calls, in the same order.

use std::collections::VecDeque;
use std::sync::Arc;

use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::log::lane::{Lane, LaneConfig, LaneStart, LaneWrite};
use stemedb_engine::log::{Generation, SegmentNumber};
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, LaneId, SlotMap};
use stemedb_engine::time::UnixMicros;
use stemedb_net::core::{CLIENTS_BYTES_MAX, ConnectionKey, Core, CoreConfig, LogFacts, Now};
use stemedb_net::http::Limits;
use stemedb_net::metrics::ProcessFigures;

/// The index's hash tables are keyed by this instead of a random number, so that every run does the same.
pub(crate) const HASH_SEED: u64 = 0x5EED;

/// The time at which servers start.
pub(crate) const STARTED: UnixMicros = UnixMicros(1_767_225_600_000_000);

/// How long a turn takes on the clock that the core is shown.
const TURN_US: u64 = 300;

/// A core that serves, and its clients.
pub(crate) struct Server {
    core: Core,
    now: Now,
    clients: Vec<ConnectionKey>,
    /// What the sockets take until the next turn.
    sending: Vec<(ConnectionKey, Vec<u8>)>,
    /// What the disk does until the next turn.
    writing: VecDeque<LaneWrite>,
}

impl Server {
    /// An empty server with the configuration that it has by default, and `clients` connections to it.
    pub(crate) fn start(clients: usize) -> Server {
        let slots = SlotMap::new(1);
        let now = Now { monotonic_us: 1_000_000, wall: STARTED };
        let mut core = Core::new(CoreConfig {
            id: CoreId(0),
            slots,
            http: Arc::new(Limits::default()),
            connections_max: 16_384,
            timestamp_future_us_max: 300_000_000,
            batch_bytes_open_max: 8 << 20,
            process: ProcessFigures::default,
            tls: None,
            wal_bytes_max: u64::MAX,
            clients_bytes_max: CLIENTS_BYTES_MAX,
        });
        let lane = LaneConfig {
            frames_in_flight: 2,
            frame_buffers: 32,
            ..LaneConfig::new(LaneId(0), Generation::FIRST)
        };
        let mut lane = Lane::open(lane, LaneStart::NEW);
        lane.segment_ready(SegmentNumber::FIRST);
        let index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed: HASH_SEED });
        core.open(Shard::new(lane, index, slots.slots_of(CoreId(0)), u64::MAX), LogFacts::default());
        core.serve();
        let clients = (0..clients).map(|_| core.accepted(now).expect("there is room")).collect();
        Server { core, now, clients, sending: Vec::new(), writing: VecDeque::new() }
    }

    /// How many claims the server holds.
    pub(crate) fn claims(&self) -> u64 {
        self.core.shard().expect("it serves").index().len()
    }

    /// A client's bytes have come in.
    pub(crate) fn receive(&mut self, client: usize, bytes: &[u8]) {
        self.core.received(self.clients[client], bytes, self.now);
    }

    /// One turn of the driver, after which the sockets have taken what the last one sent and the disk has done what
    /// the last one wrote. Gives the answers of this one, all with `status`, as one number.
    pub(crate) fn turn(&mut self, status: [u8; 3]) -> Turned {
        self.now.monotonic_us += TURN_US;
        self.now.wall.0 += TURN_US as i64;
        let now = self.now;
        for (client, buffer) in self.sending.drain(..) {
            self.core.sent(client, buffer.len(), now);
            self.core.send_done(client, buffer);
        }
        if !self.writing.is_empty() {
            for write in self.writing.drain(..) {
                self.core.write_done(write.id, write.buffer, Ok(write.bytes), TURN_US, now);
            }
            self.core.start_writes(now);
        }
        let more = self.core.turn(now);
        let wants = self.core.wants();
        self.writing.append(&mut wants.writes);
        std::mem::swap(&mut self.sending, &mut wants.sends);
        if let Some(segment) = wants.segment.take() {
            self.core.segment_ready(segment);
        }
        for (_, buffer) in &self.sending {
            assert_eq!(buffer[STATUS_AT..STATUS_AT + 3], status, "{}", String::from_utf8_lossy(buffer));
        }
        Turned {
            answers: self.sending.len(),
            more: more || !self.writing.is_empty() || !self.sending.is_empty(),
        }
    }

    /// Turns until nothing happens any more. Gives the number of answers.
    pub(crate) fn settle(&mut self, status: [u8; 3]) -> usize {
        let mut answers = 0;
        loop {
            let turned = self.turn(status);
            answers += turned.answers;
            if !turned.more {
                return answers;
            }
        }
    }
}

/// Where the status stands in an answer.
const STATUS_AT: usize = "HTTP/1.1 ".len();

/// What one turn brought.
pub(crate) struct Turned {
    /// Connections that were sent something: with one request each under way, as many answers.
    pub(crate) answers: usize,
    /// Whether another turn has something to do.
    pub(crate) more: bool,
}
