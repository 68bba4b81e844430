//! Goal: the order of what a turn does holds on a real ring, and so do its pauses. Method: a driver on a thread of the test, with a clock of the test's own.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use stemedb_engine::background::{Background, BackgroundConfig};
use stemedb_engine::claim::Assertion;
use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::log::Generation;
use stemedb_engine::log::inspect::{Inspected, inspect};
use stemedb_engine::log::lane::LaneConfig;
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::recover;
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::ring::{RingConfig, Waker};
use stemedb_engine::slot::{CoreId, LaneId, SlotMap};
use stemedb_engine::time::UnixMicros;
use tempfile::TempDir;

use super::*;
use crate::core::{CLIENTS_BYTES_MAX, CoreConfig, LogFacts};
use crate::http::Limits;
use crate::metrics::ProcessFigures;

const SEGMENT_BYTES: u64 = 2 << 20;
const BEGAN: UnixMicros = UnixMicros(1_700_000_000_000_000);
const SECOND_US: i64 = 1_000_000;

/// Clients at a time, so that claims wait for a write that is under way; rounds of each, and the claims that it sends ahead in a round.
const CLIENTS: usize = 4;
const ROUNDS: usize = 50;
const CLAIMS: usize = 10;

pub(super) fn core_config() -> CoreConfig {
    CoreConfig {
        id: CoreId(0),
        slots: SlotMap::new(1),
        http: Arc::new(Limits::default()),
        connections_max: 10,
        timestamp_future_us_max: 0,
        batch_bytes_open_max: 1 << 20,
        process: ProcessFigures::default,
        tls: None,
        wal_bytes_max: u64::MAX,
        clients_bytes_max: CLIENTS_BYTES_MAX,
    }
}

/// Sends claims that say no time.
fn send_claims(mut stream: TcpStream, client: usize) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    for round in 0..ROUNDS {
        let requests: String = (0..CLAIMS)
            .map(|claim| {
                let body = format!(r#"{{"subject":"a/{client}/{claim}","predicate":"is","object":{round}}}"#);
                let bytes = body.len();
                format!("POST /v1/assert HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{body}")
            })
            .collect();
        stream.write_all(requests.as_bytes())?;
        let (mut received, mut piece) = (Vec::new(), [0; 4096]);
        while String::from_utf8_lossy(&received).matches("HTTP/1.1 201").count() < CLAIMS {
            match stream.read(&mut piece) {
                Ok(bytes @ 1..) => received.extend_from_slice(&piece[..bytes]),
                end => {
                    let received = String::from_utf8_lossy(&received);
                    return Err(io::Error::other(format!("{end:?} after {received}")));
                }
            }
        }
    }
    Ok(())
}

/// A driver of one core, with a log and a listener of its own.
struct World {
    directory: TempDir,
    _background: Background,
    driver: Driver,
    address: SocketAddr,
    orders: Sender<Control>,
    waker: Waker,
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let wal = directory.path();
        let mut disk = DirStorage::new(wal);
        let lane = LaneConfig {
            segment_bytes: SEGMENT_BYTES,
            frames_in_flight: 1,
            ..LaneConfig::new(LaneId(0), Generation::FIRST)
        };
        let recovered = recover(&disk, &mut |_| Ok(())).expect("there is nothing to read");
        let opening = Opening { lanes: 1, lane, now: BEGAN, monotonic_us: 0 };
        let lane = open_generation(&mut disk, &recovered, &opening).expect("writable").remove(0);
        let index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed: 1 });
        let shard = Shard::new(lane, index, SlotMap::new(1).slots_of(CoreId(0)), u64::MAX);

        let background = Background::start(&BackgroundConfig { directory: wal.to_owned(), jobs_max: 4 });
        let background = background.expect("direct I/O works in the directory for temporary files");
        let ring = RingConfig { operations_max: 512, receive_buffers: 16, receive_buffer_bytes: 4096 };
        let mut ring = Ring::new(&ring).expect("the kernel has rings");
        let waker = ring.waker(NO_CONNECTION).expect("there is room");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("it is bound");
        let (orders, control) = channel();
        let facts = LogFacts { segment_bytes_each: SEGMENT_BYTES, ..LogFacts::default() };
        orders.send(Control::Open(Box::new(shard), facts)).expect("the driver takes it");
        orders.send(Control::Serve).expect("the driver takes it");
        let segments = SegmentSource {
            directory: wal.to_owned(),
            lane: LaneId(0),
            segment_bytes: SEGMENT_BYTES,
            background: background.handle(),
            waker: waker.clone(),
        };
        let closing = orders.clone();
        let report = move |report| {
            if report == Report::Drained {
                closing.send(Control::Close).expect("the driver takes it");
            }
        };
        let (peers, core) = (meet(1).remove(0), Core::new(core_config()));
        let driver = Driver::new(core, ring, listener.into(), segments, peers, control, Box::new(report));
        World { directory, _background: background, driver, address, orders, waker }
    }

    /// Runs until the clients have ended. Gives the directory of the log.
    fn serve(self, clients: impl FnOnce(SocketAddr) -> io::Result<()> + Send + 'static) -> TempDir {
        let World { directory, _background, driver, address, orders, waker } = self;
        let clients = thread::spawn(move || {
            let sent = clients(address);
            orders.send(Control::Drain).expect("the driver runs");
            waker.wake();
            sent
        });
        driver.run().expect("the ring works");
        clients.join().expect("it does not panic").expect("all claims are taken");
        directory
    }
}

/// Goal: no frame says an earlier time than one of its claims came at, however long a core is held up after it has looked at the clock. Method: a
/// clock that goes on by a second whenever it is looked at. What is received in a turn may have come after the first look of that turn, which
/// is a microsecond off a full second; so no frame with claims may say such a time.
#[test]
fn frames_are_dated_after_all_their_claims_have_come() {
    let mut world = World::new();
    let heartbeat = Heartbeat::default();
    world.driver = world.driver.beating(heartbeat.clone());
    let (looks, turns) = (Cell::new(0), Cell::new(0));
    world.driver.clock = Clock::of(move || {
        looks.set(looks.get() + 1);
        let is_first = turns.replace(heartbeat.turns()) != heartbeat.turns();
        let wall_us = BEGAN.0 + looks.get() * SECOND_US + i64::from(is_first);
        Now { monotonic_us: looks.get() as u64, wall: UnixMicros(wall_us) }
    });
    let wal = world.serve(|address| {
        let clients = std::array::from_fn::<_, CLIENTS, _>(|client| {
            thread::spawn(move || send_claims(TcpStream::connect(address)?, client))
        });
        clients.into_iter().try_for_each(|client| client.join().expect("it does not panic"))
    });

    let (mut frame_time, mut claims) = (None, 0);
    for found in inspect(&DirStorage::new(wal.path())) {
        match found {
            Inspected::Frame { header, .. } => frame_time = Some(header.time),
            Inspected::Record(record) if record.kind == RecordKind::Assertion => {
                let claim = Assertion::decode(&record.payload).expect("it is one").claim;
                let (came, dated) = (claim.timestamp.unix_micros(), frame_time.expect("a frame has records"));
                assert!(came <= dated, "a claim came at {came:?}, and its frame says {dated:?}");
                assert_eq!(dated.0 % SECOND_US, 0, "a frame is dated by the first look of a turn");
                claims += 1;
            }
            _ => {}
        }
    }
    assert_eq!(claims, CLIENTS * ROUNDS * CLAIMS);
}

/// Goal: a core that has no file left for a connection does not try at once again, for as long as one waits, which would be a busy loop. Method: it is told of such a
/// failure, at a time of the test's own.
#[test]
fn accepting_rests_after_it_has_failed() {
    let mut world = World::new();
    let driver = &mut world.driver;
    let at = |monotonic_us| Now { monotonic_us, wall: BEGAN };
    let is_accepting = |driver: &mut Driver, now_us| {
        driver.do_wants(at(now_us));
        driver.listener.as_ref().is_some_and(|listener| listener.accept.is_some())
    };
    assert!(is_accepting(driver, 5));
    driver.accepted(Err(Errno(libc::EMFILE)), false, at(10));
    assert!(!is_accepting(driver, 10) && !is_accepting(driver, 10 + ACCEPT_AGAIN_US - 1));
    assert!(is_accepting(driver, 10 + ACCEPT_AGAIN_US));
}
