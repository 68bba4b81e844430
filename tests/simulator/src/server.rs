//! One run of the server: its cores, and what a driver does for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use stemedb_engine::checkpoint::TableSet;
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::{LaneConfig, LaneWrite, WriteId};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, SlotMap};
use stemedb_net::core::{
    ConnectionKey, Core, CoreConfig, FetchKey, LogFacts, Message, SnapshotOrder, Ticket,
};
use stemedb_net::driver::{PieceSender, SnapshotPieces};
use stemedb_net::metrics::ProcessFigures;
use stemedb_net::tls::Credentials;

use crate::link::LinkNumber;
use crate::scenario::Scenario;
use crate::upkeep::Keeper;

/// Messages that a queue between two cores holds, as the driver's do.
pub(crate) const QUEUE_MESSAGES_MAX: usize = 256;

/// What has happened to a core and was not yet told to it.
#[derive(Debug)]
pub(crate) enum Happening {
    Received(ConnectionKey, Vec<u8>),
    ReceivedEnd(ConnectionKey),
    Sent(ConnectionKey, usize),
    SendDone(ConnectionKey, Vec<u8>),
    Broken(ConnectionKey),
    Written {
        id: WriteId,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        elapsed_us: u64,
        has_failed: bool,
    },
    /// A read of a table is done.
    Read {
        id: FetchKey,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        elapsed_us: u64,
    },
    Tables(Arc<TableSet>),
    Segment(SegmentNumber, Result<(), NotPrepared>),
    Message(CoreId, Message),
    Tick,
    /// A segment of its lane is gone, of so many bytes.
    SegmentRemoved(u64),
    TakeSnapshot(SnapshotOrder, PieceSender),
    Open(Box<(Shard<Ticket>, LogFacts)>),
    Serve,
    Drain,
    Close,
}

/// Why a segment could not be prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPrepared {
    pub(crate) no_space: bool,
}

/// A write on its way to the disk.
#[derive(Debug)]
pub(crate) struct WriteUnderWay {
    pub(crate) write: LaneWrite,
    pub(crate) began_us: u64,
    /// The disk's moment.
    pub(crate) began: u64,
    pub(crate) end: WriteEnd,
}

/// What will become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    Done,
    Failed(i32),
    Short(usize),
}

/// A core with its driver.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) core: Core,
    pub(crate) inbox: Vec<Happening>,
    /// Whether a turn is foreseen.
    pub(crate) is_called: bool,
    /// Until when it is busy with its last turn.
    pub(crate) busy_until_us: u64,
    pub(crate) writes: Vec<WriteUnderWay>,
    /// The snapshot that it takes.
    pub(crate) pieces: SnapshotPieces,
    pub(crate) links: BTreeMap<ConnectionKey, LinkNumber>,
    pub(crate) stage: Stage,
    /// Whether a segment is being prepared for it.
    pub(crate) is_preparing: bool,
    /// What the index had when the core opened. That is kept, whatever the bound: there may have been more cores to hold it.
    pub(crate) index_bytes_recovered: u64,
    /// The segment that the upkeep was told of.
    pub(crate) writing: Option<SegmentNumber>,
}

/// How far a core's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    Draining,
    Drained,
    Closing,
    Closed,
}

/// The running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) cores: Vec<Running>,
    /// By sender and receiver.
    pub(crate) queues: Vec<Vec<VecDeque<Message>>>,
    /// Whether a delivery is foreseen, by sender and receiver.
    pub(crate) deliveries: Vec<Vec<bool>>,
    /// Cores that have their shards.
    pub(crate) opened: usize,
    /// Cores that were told to serve.
    pub(crate) serving: usize,
    /// Claims that recovery found.
    pub(crate) recovered_claims: u64,
    /// What keeps log and tables in order.
    pub(crate) keeper: Keeper,
}

impl Server {
    /// A server whose cores have no shards yet, and that speaks TLS if it has credentials for it.
    pub(crate) fn new(cores: u16, scenario: &Scenario, tls: Option<Credentials>, keeper: Keeper) -> Server {
        let slots = SlotMap::new(cores);
        let LaneConfig { frame_buffers, frame_bytes_max, .. } = scenario.lane;
        let running = |core| {
            let config = CoreConfig {
                id: CoreId(core),
                slots,
                http: Arc::clone(&scenario.http),
                connections_max: scenario.connections_max,
                timestamp_future_us_max: 300_000_000,
                batch_bytes_open_max: frame_buffers * frame_bytes_max / 4 / usize::from(cores),
                process: ProcessFigures::default,
                tls: tls.clone(),
                wal_bytes_max: scenario.wal_bytes_max,
                clients_bytes_max: scenario.clients_bytes_max,
            };
            Running {
                core: Core::new(config),
                inbox: Vec::new(),
                is_called: false,
                busy_until_us: 0,
                writes: Vec::new(),
                pieces: SnapshotPieces::default(),
                links: BTreeMap::new(),
                stage: Stage::Running,
                is_preparing: false,
                index_bytes_recovered: 0,
                writing: None,
            }
        };
        let by_pair = || (0..cores).map(|_| VecDeque::new()).collect();
        Server {
            cores: (0..cores).map(running).collect(),
            queues: (0..cores).map(|_| by_pair()).collect(),
            deliveries: vec![vec![false; usize::from(cores)]; usize::from(cores)],
            opened: 0,
            serving: 0,
            recovered_claims: 0,
            keeper,
        }
    }

    /// Whether all cores stand there.
    pub(crate) fn all_are(&self, stage: Stage) -> bool {
        self.cores.iter().all(|running| running.stage == stage)
    }

    /// Panics if a core holds more than its bounds allow.
    pub(crate) fn check_bounds(&self, core: usize, scenario: &Scenario) {
        let running = &self.cores[core];
        assert!(
            running.links.len() <= scenario.connections_max,
            "core {core} has {} connections",
            running.links.len()
        );
        let Some(shard) = running.core.shard() else { return };
        let lane = shard.lane();
        assert!(
            running.writes.len() <= scenario.lane.frames_in_flight,
            "{} writes under way",
            running.writes.len()
        );
        assert!(lane.frames_free() <= scenario.lane.frame_buffers, "a lane has made memory of nothing");
        let index_bytes = shard.index().bytes();
        let bytes_max = scenario.index_bytes_max.max(running.index_bytes_recovered);
        assert!(index_bytes <= bytes_max, "the index of core {core} has {index_bytes} bytes");
    }
}
