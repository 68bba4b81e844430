//! The threads of the cores.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stemedb_engine::background::{Background, BackgroundHandle};
use stemedb_engine::log::storage::SegmentFile;
use stemedb_engine::ring::{CpuSet, Ring, RingAddress, RingConfig, Waker};
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, LaneId, SlotMap};

use super::pulse::Pulse;
use super::snapshots::SnapshotCores;
use super::{CLOSE_TIME, DRAIN_TIME, Event, StartError, process};
use crate::config::Config;
use crate::core::{CLIENTS_BYTES_MAX, Core, CoreConfig, LogFacts, SnapshotOrder, Ticket};
use crate::driver::{AtWork, Control, Driver, Heartbeat, Peers, PieceSender, Report, SegmentSource, meet};
use crate::http::Limits;
use crate::tls::Credentials;

/// Receive buffers of a core's ring, and the bytes of each.
const RECEIVE_BUFFERS: u16 = 512;
const RECEIVE_BUFFER_BYTES: u32 = 16 << 10;

/// Operations of a ring that belong to no connection: writes, timers, messages, the accept.
const OPERATIONS_SPARE: u32 = 256;

/// The most operations that a ring may have.
const OPERATIONS_MAX: u32 = 1 << 15;

/// The running cores.
pub(super) struct Cores {
    cores: Vec<RunningCore>,
    /// Looked at by all of them.
    upkeep: AtWork,
}

struct RunningCore {
    control: Sender<Control>,
    waker: Waker,
    heartbeat: Heartbeat,
    thread: JoinHandle<()>,
}

/// What a core's thread is given at its start.
struct Assignment {
    config: CoreConfig,
    cpu: usize,
    /// The CPUs that the process may use, and so the kernel's workers for its writes.
    cpus_allowed: CpuSet,
    listener: OwnedFd,
    peers: Peers,
    wal_dir: PathBuf,
    segment_bytes: u64,
    spin: Duration,
    upkeep: AtWork,
    heartbeat: Heartbeat,
    background: BackgroundHandle,
    control: Receiver<Control>,
    events: Sender<Event>,
}

/// What a core's thread tells when its ring is there.
type Introduction = Result<(RingAddress, Waker), StartError>;

impl Cores {
    /// Starts a core on each configured CPU, each to take `connections_max`. They serve when they are [opened](Cores::open).
    pub(super) fn start(
        config: &Config,
        tls: Option<&Credentials>,
        connections_max: usize,
        listeners: Vec<OwnedFd>,
        background: &Background,
        events: &Sender<Event>,
    ) -> Result<Cores, StartError> {
        let slots = SlotMap::new(config.cpus.len() as u16);
        let cpus_allowed = CpuSet::of_current_thread().map_err(|source| StartError::Core {
            core: 0,
            cpu: config.cpus[0],
            source,
        })?;
        let limits = Arc::new(limits(config));
        let mut cores = Cores { cores: Vec::new(), upkeep: AtWork::default() };
        let mut introductions = Vec::new();
        for (core, (listener, peers)) in listeners.into_iter().zip(meet(slots.cores())).enumerate() {
            let (control, orders) = channel();
            let (introduce, introduction) = channel();
            let (announce, addresses) = channel();
            let cpu = config.cpus[core];
            let heartbeat = Heartbeat::default();
            let assignment = Assignment {
                config: CoreConfig {
                    id: CoreId(core as u16),
                    slots,
                    http: Arc::clone(&limits),
                    connections_max,
                    timestamp_future_us_max: config.timestamp_future_us_max,
                    batch_bytes_open_max: batch_bytes_open_max(config),
                    process: process::figures,
                    tls: tls.cloned(),
                    wal_bytes_max: config.wal_bytes_max / config.cpus.len() as u64,
                    clients_bytes_max: CLIENTS_BYTES_MAX,
                },
                cpu,
                cpus_allowed,
                listener,
                peers,
                wal_dir: config.wal_dir.clone(),
                segment_bytes: config.segment_bytes,
                spin: config.spin,
                upkeep: cores.upkeep.clone(),
                heartbeat: heartbeat.clone(),
                background: background.handle(),
                control: orders,
                events: events.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("core-{core}"))
                .spawn(move || run_core(assignment, &introduce, &addresses))
                .map_err(|source| StartError::Core { core: core as u16, cpu, source })?;
            let (address, waker) = introduction.recv().map_err(|_| StartError::CoreFailed)??;
            introductions.push((address, announce));
            cores.cores.push(RunningCore { control, waker, heartbeat, thread });
        }
        let addresses: Vec<RingAddress> = introductions.iter().map(|(address, _)| address.clone()).collect();
        for (_, announce) in introductions {
            announce.send(addresses.clone()).map_err(|_| StartError::CoreFailed)?;
        }
        Ok(cores)
    }

    /// Gives each core its shard, and lets them serve when all have theirs.
    pub(super) fn open(
        &self,
        shards: impl Iterator<Item = (Shard<Ticket>, LogFacts)>,
        events: &Receiver<Event>,
    ) -> Result<bool, StartError> {
        for (core, (shard, log)) in self.cores.iter().zip(shards) {
            core.tell(Control::Open(Box::new(shard), log));
        }
        for _ in &self.cores {
            match events.recv() {
                Ok(Event::Report(Report::Opened)) => {}
                Ok(Event::Stop) => return Ok(false),
                Ok(Event::Report(_) | Event::Recovered(_)) | Err(_) => return Err(StartError::CoreFailed),
            }
        }
        self.cores.iter().for_each(|core| core.tell(Control::Serve));
        Ok(true)
    }

    /// What tells a segment's core that the segment was removed.
    pub(super) fn removal_teller(&self) -> impl FnMut(SegmentFile) + Send + 'static {
        let cores: Vec<_> =
            self.cores.iter().map(|core| (core.control.clone(), core.waker.clone())).collect();
        move |file| {
            let (control, waker) = &cores[usize::from(file.id.lane.charged_to(cores.len() as u16).0)];
            // A core that has ended by itself has reported that.
            let _ = control.send(Control::SegmentRemoved(file.bytes));
            waker.wake();
        }
    }

    /// The cores' heartbeats, to be watched.
    pub(super) fn pulse(&self) -> Pulse {
        Pulse::of(self.cores.iter().map(|core| core.heartbeat.clone()))
    }

    /// Where they look whether upkeep is at work.
    pub(super) fn upkeep(&self) -> AtWork {
        self.upkeep.clone()
    }

    /// A way to tell all cores something from another thread.
    pub(super) fn announcer(&self) -> Announcer {
        Announcer(self.cores.iter().map(|core| (core.control.clone(), core.waker.clone())).collect())
    }

    /// Stops all cores: what was asked is answered, what was parked is made durable, lanes are closed with their
    /// markers `by` a moment, or a little later if this thread is late. Gives the number of assertions that they hold.
    pub(super) fn stop(self, events: &Receiver<Event>, by: Instant) -> Result<u64, StartError> {
        self.cores.iter().for_each(|core| core.tell(Control::Drain));
        // Clients that do not read their answers do not hold up the others.
        let drained = wait_for(events, self.cores.len(), Instant::now() + DRAIN_TIME, |report| {
            matches!(report, Report::Drained).then_some(0)
        });
        if drained.is_err() {
            tracing::warn!("Some clients have not read their answers in time; their connections are cut");
        }
        self.cores.iter().for_each(|core| core.tell(Control::Close));
        let by = by.max(Instant::now() + CLOSE_TIME);
        let claims = wait_for(events, self.cores.len(), by, |report| match report {
            Report::Closed { claims } => Some(claims),
            _ => None,
        })?;
        for core in self.cores {
            core.thread.join().map_err(|_| StartError::CoreFailed)?;
        }
        Ok(claims)
    }
}

impl RunningCore {
    fn tell(&self, control: Control) {
        // A core that has ended by itself has reported that.
        let _ = self.control.send(control);
        self.waker.wake();
    }
}

/// Tells all cores something.
#[derive(Default)]
pub(super) struct Announcer(Vec<(Sender<Control>, Waker)>);

impl Announcer {
    pub(super) fn tell(&self, mut control: impl FnMut() -> Control) {
        for (core, waker) in &self.0 {
            // A core that has ended needs to know nothing.
            let _ = core.send(control());
            waker.wake();
        }
    }
}

impl SnapshotCores for Announcer {
    fn order(&self, core: usize, order: SnapshotOrder, pieces: PieceSender) {
        let (sender, waker) = &self.0[core];
        // A core that has ended needs to know nothing.
        let _ = sender.send(Control::TakeSnapshot(order, pieces));
        waker.wake();
    }

    fn wake(&self, core: usize) {
        self.0[core].1.wake();
    }
}

/// Waits for a report of each core, and adds up what they say.
fn wait_for(
    events: &Receiver<Event>,
    cores: usize,
    until: Instant,
    mut wanted: impl FnMut(Report) -> Option<u64>,
) -> Result<u64, StartError> {
    let (mut count, mut sum) = (0, 0);
    while count < cores {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Report(Report::Failed)) => return Err(StartError::CoreFailed),
            Ok(Event::Report(report)) => {
                if let Some(number) = wanted(report) {
                    count += 1;
                    sum += number;
                }
            }
            Ok(Event::Stop | Event::Recovered(_)) => {}
            Err(_) => return Err(StartError::CoreStuck),
        }
    }
    Ok(sum)
}

/// The life of a core's thread.
fn run_core(
    assignment: Assignment,
    introduce: &Sender<Introduction>,
    addresses: &Receiver<Vec<RingAddress>>,
) {
    let Assignment {
        config,
        cpu,
        cpus_allowed,
        listener,
        mut peers,
        wal_dir,
        segment_bytes,
        spin,
        upkeep,
        heartbeat,
        background,
        control,
        events,
    } = assignment;
    let core = config.id;
    let mut ring = match ring_on(core, cpu, &cpus_allowed, config.connections_max) {
        Ok(ring) => ring,
        Err(error) => {
            let _ = introduce.send(Err(error));
            return;
        }
    };
    let waker = match ring.waker(0) {
        Ok(waker) => waker,
        Err(error) => {
            let _ = introduce.send(Err(error.into()));
            return;
        }
    };
    let introduced = introduce.send(Ok((ring.address(), waker.clone())));
    let (Ok(()), Ok(addresses)) = (introduced, addresses.recv()) else {
        // The server has given up its start.
        return;
    };
    peers.introduce(&addresses);
    let segments =
        SegmentSource { directory: wal_dir, lane: LaneId(core.0), segment_bytes, background, waker };
    let report = {
        let events = events.clone();
        move |report| drop(events.send(Event::Report(report)))
    };
    let driver = Driver::new(Core::new(config), ring, listener, segments, peers, control, Box::new(report))
        .spinning(spin, upkeep)
        .beating(heartbeat);
    if let Err(error) = driver.run() {
        tracing::error!(core = core.0, %error, "the core's io_uring has failed");
        let _ = events.send(Event::Report(Report::Failed));
    }
}

/// Binds the thread to its CPU and makes its ring.
fn ring_on(core: CoreId, cpu: usize, allowed: &CpuSet, connections_max: usize) -> Result<Ring, StartError> {
    CpuSet::from_iter([cpu as u16]).bind_current_thread().map_err(|source| StartError::Core {
        core: core.0,
        cpu,
        source,
    })?;
    // A connection receives and sends at once.
    let operations_max = (2 * connections_max as u32 + OPERATIONS_SPARE).min(OPERATIONS_MAX);
    let ring = Ring::new(&RingConfig {
        operations_max,
        receive_buffers: RECEIVE_BUFFERS,
        receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
    })?;
    ring.bind_workers(allowed)?;
    Ok(ring)
}

/// Bytes of batches on their way to the disk that one core may have caused: all cores together may fill a quarter
/// of the frames of one lane, so that the lane has always room for what it was sent.
fn batch_bytes_open_max(config: &Config) -> usize {
    config.frame_buffers * config.frame_bytes_max / 4 / config.cpus.len()
}

fn limits(config: &Config) -> Limits {
    let http = &config.http;
    Limits {
        head_bytes_max: http.head_bytes_max,
        target_bytes_max: http.head_bytes_max / 2,
        body_bytes_max: http.body_bytes_max,
        idle_ms: http.idle_timeout_ms,
        head_ms: http.head_timeout_ms,
        body_window_ms: http.head_timeout_ms,
        body_window_bytes_min: (http.body_bytes_per_second_min * http.head_timeout_ms / 1000) as usize,
        send_ms: http.send_timeout_ms,
        ..Limits::default()
    }
}
