//! The server: starts the cores, recovers the log, and stops in an orderly way.
//!
//! The main thread owns the start and the stop. Cores run from the start and answer questions about health while
//! the log is recovered; they get their shards when that is done.

mod bind;
mod certificates;
pub mod console;
mod cores;
mod descriptors;
mod error;
mod holder;
mod jobs;
mod metadata;
mod process;
mod pulse;
pub mod recovery;
mod service_manager;
pub mod snapshots;
mod steps;
mod upkeep;

pub use certificates::TlsError;
pub use error::StartError;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::background::{Background, BackgroundConfig};
use stemedb_engine::checkpoint::{
    DirManifest, Manifest, ManifestStorage, STEP_BYTES, ScrubPace, TablesInForce, UpkeepConfig, UpkeepFacts,
};
use stemedb_engine::data_dir::DataDir;
use stemedb_engine::log::Generation;
use stemedb_engine::log::lane::LaneConfig;
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::recovery::RecoveryError;
use stemedb_engine::log::storage::{DirStorage, LogStorage};
use stemedb_engine::ring::probe;
use stemedb_engine::ring::signals::{Signal, Signals};
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, LaneId, SlotMap};
use stemedb_engine::snapshots::{DirSnapshots, SnapshotFacts, keep_only};
use stemedb_engine::table::TIER_BYTES;

use crate::config::Config;
use crate::core::LogFacts;
use crate::driver::{Report, wall_clock};
use crate::log_copy::LogCopy;
use crate::restore_mark;
use crate::run_status::JobFacts;
use bind::Listeners;
use cores::Cores;
use jobs::JobsWatch;
use metadata::Metadata;
use pulse::{Change, Pulse};
use recovery::{Agreement, GivenUp, RebuildError, Recovery, UsedSnapshot, go_on_without};
use service_manager::ServiceManager;
use snapshots::SnapshotPlan;
use steps::{Step, Steps};
use upkeep::{Informed, UpkeepPlan, UpkeepThread};

/// Jobs that may wait for the background executor: a few for each core.
const BACKGROUND_JOBS_MAX: usize = 4096;

/// How long cores have to answer what was asked before the server stopped.
const DRAIN_TIME: Duration = Duration::from_millis(3000);

/// How long cores have to finish their lanes after that, and what was left of the time before.
const CLOSE_TIME: Duration = Duration::from_millis(1500);

/// How often the cores' pulse is felt where no watchdog wants to know.
const PULSE_INTERVAL: Duration = Duration::from_secs(10);

/// How often the service manager is told that the log is still being recovered.
const RECOVERY_TELL_TIME: Duration = Duration::from_secs(1);

/// How long the lane must be idle before it writes a marker.
const MARKER_IDLE_US: u64 = 250_000;

/// What wakes the main thread.
#[derive(Debug)]
enum Event {
    /// SIGTERM or SIGINT.
    Stop,
    /// A core reports.
    Report(Report),
    /// The log is recovered, or cannot be.
    Recovered(Box<Result<Recovery, RebuildError>>),
}

/// A server that serves.
struct Opened {
    metadata: Metadata,
    upkeep: UpkeepThread,
    _jobs: JobsWatch,
}

/// Runs a server until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
///
/// When it cannot start, or when a core fails. Nothing that was acknowledged is lost by that.
pub fn run(config: &Config) -> Result<(), StartError> {
    let started = Instant::now();
    process::started_us();
    let (sender, events) = channel();
    let (reload, reloads) = channel();
    forward_signals(sender.clone(), reload)?;
    let tls = config.tls.as_ref().map(certificates::load).transpose()?;
    let manager = ServiceManager::of_environment();
    let mut steps = Steps::new(&manager);

    let capabilities = probe::check()?;
    let connections = descriptors::raise_limit(config.connections_max * config.cpus.len(), config.cpus.len());
    let kernel = &capabilities.kernel_release;
    steps.did(Step::Kernel, format_args!("Kernel {kernel} has every io_uring operation that is needed"));
    for warning in &capabilities.warnings {
        tracing::warn!("{}: {}", warning.subject, warning.text);
    }
    match (&config.tls, &tls) {
        (Some(files), Some((_, credentials))) => {
            let (path, until) = (files.certificate.display(), credentials.valid_until());
            steps.did(Step::Tls, format_args!("TLS certificate {path} is valid until {until}"));
        }
        _ => steps.did(Step::Tls, format_args!("TLS is off: HTTP is served unencrypted")),
    }
    let listeners = bind::listeners(config.bind_addr, config.cpus.len())?;
    let Listeners { address, sockets } = listeners;
    steps.did(Step::Address, format_args!("Bound to {address} on {} cores", config.cpus.len()));
    let data = Arc::new(DataDir::open(&config.wal_dir, &config.db_dir)?);
    Metadata::check_format(&data)?;
    let (wal, db) = (data.wal().display(), data.db().display());
    steps.did(Step::Data, format_args!("Opened and locked WAL in {wal} and tables in {db}"));
    let background = Background::start(&BackgroundConfig {
        directory: data.wal().to_owned(),
        jobs_max: BACKGROUND_JOBS_MAX,
    })?;
    let connections_max = (connections / config.cpus.len()).max(1);
    let credentials = tls.as_ref().map(|(_, credentials)| credentials);
    let cores = Cores::start(config, credentials, connections_max, sockets, &background, &sender)?;
    steps.did(
        Step::Cores,
        format_args!(
            "Cores and background executor started on CPUs {:?}; /ready answers 503 until the WAL is recovered",
            config.cpus
        ),
    );

    if let (Some(files), Some((pem, _))) = (&config.tls, tls) {
        certificates::watch(files.clone(), pem, reloads, cores.announcer())?;
    } else {
        drop(reloads);
    }

    // A start that fails or is broken off leaves the cores to the end of the process: they have nothing to finish.
    let opened = open(config, &data, &cores, &events, sender, &manager, &mut steps)?;
    let Some(Opened { metadata, upkeep, _jobs }) = opened else {
        manager.stopping();
        return Ok(());
    };
    let assertions = metadata.assertion_count;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    steps.did(
        Step::Complete,
        format_args!(
            "Startup complete: serving {assertions} assertions on {scheme}://{address} after {:.1?}",
            started.elapsed()
        ),
    );
    manager.ready();
    wait_for_stop(&events, &manager, cores.pulse(), &upkeep)?;
    tracing::info!("Stopping: answering what was asked, taking nothing new");
    manager.stopping();
    let stopped_by = Instant::now() + DRAIN_TIME + CLOSE_TIME;
    upkeep.stop_soon();
    let assertions = cores.stop(&events, stopped_by)?;
    upkeep.wait(stopped_by);
    // As at the start: what was acknowledged is in the log, whether this can be written or not.
    if let Err(error) = metadata.with_assertions(assertions).write(&data) {
        tracing::warn!("{error}");
    }
    tracing::info!("Stopped with {assertions} assertions, all of them durable");
    Ok(())
}

/// Recovers the log, opens the next generation, and lets the cores serve. `None` when the server was told to stop
/// before it came to that.
fn open(
    config: &Config,
    data: &Arc<DataDir>,
    cores: &Cores,
    events: &Receiver<Event>,
    sender: Sender<Event>,
    manager: &ServiceManager,
    steps: &mut Steps<'_>,
) -> Result<Option<Opened>, StartError> {
    let slots = SlotMap::new(config.cpus.len() as u16);
    steps.did(Step::Recovery, format_args!("Starting WAL recovery..."));
    let (wal, db) = (data.wal().to_owned(), data.db().to_owned());
    let copy = read_copy(data)?;
    let copy_there = copy.clone();
    let agreement = Agreement {
        wal: wal.clone(),
        db: db.clone(),
        segments: config.give_up_segments.clone(),
        latest: Metadata::latest(data),
        sort_bytes_max: config.checkpoint_bytes as usize,
        now: wall_clock(),
    };
    let recover = move || {
        let again = || recovery::recover(&wal, &db, copy_there.as_ref(), slots);
        let recovered = match again() {
            Err(RebuildError::Log(missing @ RecoveryError::Missing { .. })) if copy_there.is_none() => {
                go_on_without(missing, &agreement).and_then(|()| again())
            }
            recovered => recovered,
        };
        // Nobody listens any more if the server was told to stop meanwhile.
        let _ = sender.send(Event::Recovered(Box::new(recovered)));
    };
    thread::Builder::new().name("recovery".to_owned()).spawn(recover).map_err(StartError::Thread)?;
    let Some(recovery) = wait_for_recovery(events, manager)? else { return Ok(None) };
    Metadata::check_log(data, copy.as_ref(), recovery.copied.as_ref().unwrap_or(&recovery.recovered))?;
    recovery.log(steps);
    let snapshot_facts = SnapshotFacts::default();
    if recovery.snapshot_failed {
        snapshot_facts.failed();
    }
    if let Some(used) = &recovery.snapshot {
        snapshot_facts.restored(used.claims, used.taken_us());
    }
    // What does not fit the log now might seem to, when that has gone on.
    let storage = DirSnapshots::new(data.db());
    if let Err(error) = keep_only(&storage, recovery.snapshot.as_ref().map(|used| used.number)) {
        tracing::warn!("Index snapshots that are of no use stay: {error}");
    }

    if copy.is_some() {
        // Before the log goes on and is a copy no longer: lanes may have lost what came behind the tables,
        if recovery.manifest != Manifest::empty() {
            let manifest = DirManifest::new(data.db());
            let failed = |source| StartError::Metadata { path: manifest.path(), source };
            manifest.replace(&recovery.manifest.encode()).map_err(io::Error::from).map_err(failed)?;
        }
        // and nothing that is archived may go on with it, also where it was put in place by hand.
        if recovery.copied.is_some() {
            let failed = |source| StartError::Metadata { path: restore_mark::path(data.wal()), source };
            restore_mark::write(data.wal(), wall_clock()).map_err(failed)?;
        }
    }
    let mut disk = DirStorage::new(data.wal());
    let opening = Opening {
        lanes: slots.cores(),
        lane: LaneConfig {
            segment_bytes: config.segment_bytes,
            frame_bytes_max: config.frame_bytes_max,
            frames_in_flight: config.frames_in_flight,
            frame_buffers: config.frame_buffers,
            marker_idle_us: MARKER_IDLE_US,
            ..LaneConfig::new(LaneId(0), Generation::FIRST)
        },
        now: wall_clock(),
        monotonic_us: 0,
    };
    let lanes = open_generation(&mut disk, &recovery.recovered, &opening)?;
    let generation = recovery.recovered.next_generation;
    steps.did(Step::Generation, format_args!("Opened generation {generation} with {} lanes", lanes.len()));

    let writing =
        lanes.iter().map(|lane| (lane.config().lane, lane.writing().expect("it was opened"))).collect();
    let facts = UpkeepFacts::default();
    let jobs = JobFacts::default();
    let jobs_watch = jobs::watch(data, jobs.clone())?;
    let tables = Arc::clone(&recovery.tables);
    let metadata = Metadata::new(recovery.recovered.next_generation, slots, recovery.assertions());
    let index_bytes_max = config.index_bytes_max / u64::from(slots.cores());
    let files = disk.list().map_err(|source| RebuildError::from(RecoveryError::List { source }))?;
    let generation = recovery.recovered.next_generation.0;
    let recovery_us = recovery.took.as_micros() as u64;
    let segments_given_up = GivenUp::read(data.db()).map_or_else(
        |error| {
            tracing::warn!(%error, "given-up.json cannot be read");
            0
        },
        |given_up| given_up.segments(),
    );
    let shards = lanes.into_iter().zip(recovery.indexes).enumerate().map(|(core, (lane, index))| {
        let own = files.iter().filter(|file| usize::from(file.id.lane.charged_to(slots.cores()).0) == core);
        let log = LogFacts {
            recovery_us,
            generation,
            segments: own.clone().count() as u64,
            segment_bytes: own.map(|file| file.bytes).sum(),
            segment_bytes_each: config.segment_bytes,
            segments_given_up,
            upkeep: facts.clone(),
            jobs: jobs.clone(),
            snapshots: snapshot_facts.clone(),
            tables: Arc::clone(&tables),
        };
        let shard = Shard::new(lane, index, slots.slots_of(CoreId(core as u16)), index_bytes_max);
        (shard.after_checkpoints(tables.checkpoints()), log)
    });
    if !cores.open(shards, events)? {
        return Ok(None);
    }
    match metadata.write(data) {
        // The log goes on, and is a copy no longer: that must be known before any of its files is removed.
        Err(error) if copy.is_some() => return Err(error),
        // The log does not need it, and the server serves already.
        Err(error) => tracing::warn!("{error}"),
        Ok(()) => {}
    }
    let upkeep_config = UpkeepConfig {
        checkpoint_bytes: config.checkpoint_bytes,
        sort_bytes_max: config.checkpoint_bytes as usize,
        step_bytes: STEP_BYTES,
        tier_bytes: TIER_BYTES,
        // What each lane writes to next, and what is prepared behind that.
        spare_bytes: 2 * u64::from(slots.cores()) * config.segment_bytes,
        segment_bytes: config.segment_bytes,
        core_log_bytes_max: config.wal_bytes_max / u64::from(slots.cores()),
        // It counts as log, of which each core may have its share: an archive that lags must stop none of them.
        archive_hold_bytes_max: config
            .archive_hold_bytes_max
            .min(config.wal_bytes_max / (2 * u64::from(slots.cores()))),
    };
    let snapshots = SnapshotPlan {
        storage: Box::new(storage),
        slots: (0..slots.cores()).map(|core| slots.slots_of(CoreId(core))).collect(),
        cores: Box::new(cores.announcer()),
        opened: opening.now,
        checkpoints: recovery.snapshot.as_ref().map_or(0, UsedSnapshot::checkpoints),
        checkpoint_bytes: config.checkpoint_bytes,
        spare_bytes: upkeep_config.spare_bytes,
        facts: snapshot_facts,
    };
    let informed = Informed {
        removed: cores.removal_teller(),
        tables: TablesInForce::new(recovery.tables),
        announcer: cores.announcer(),
        at_work: cores.upkeep(),
    };
    let pace = ScrubPace::new(config.scrub_bytes_per_second);
    let manifest = recovery.manifest;
    let plan = UpkeepPlan { config: upkeep_config, pace, manifest, writing, facts, snapshots };
    let upkeep = UpkeepThread::start(data, plan, informed)?;
    Ok(Some(Opened { metadata, upkeep, _jobs: jobs_watch }))
}

/// The note that the log is a copy, if it is one.
fn read_copy(data: &DataDir) -> Result<Option<LogCopy>, StartError> {
    let path = LogCopy::path(data.wal());
    LogCopy::read(data.wal()).map_err(|source| StartError::ReadMetadata { path, source })
}

/// Waits until the log is recovered. `None` when the server was told to stop before.
fn wait_for_recovery(
    events: &Receiver<Event>,
    manager: &ServiceManager,
) -> Result<Option<Recovery>, StartError> {
    let began = Instant::now();
    loop {
        match events.recv_timeout(RECOVERY_TELL_TIME) {
            Ok(Event::Recovered(recovery)) => return Ok(Some((*recovery)?)),
            Ok(Event::Stop) => return Ok(None),
            Ok(Event::Report(_)) | Err(RecvTimeoutError::Disconnected) => return Err(StartError::CoreFailed),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = began.elapsed().as_secs();
                manager.extend_start(format_args!("Recovering the WAL since {seconds} s"));
            }
        }
    }
}

/// Waits until the server is told to stop. Meanwhile the watchdog hears that all is well, as long as all cores turn.
fn wait_for_stop(
    events: &Receiver<Event>,
    manager: &ServiceManager,
    mut pulse: Pulse,
    upkeep: &UpkeepThread,
) -> Result<(), StartError> {
    let interval = manager.feed_interval().unwrap_or(PULSE_INTERVAL);
    let mut next = Instant::now() + interval;
    loop {
        match events.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Event::Stop) => return Ok(()),
            Ok(Event::Report(Report::Failed)) | Err(RecvTimeoutError::Disconnected) => {
                return Err(StartError::CoreFailed);
            }
            Ok(Event::Report(Report::LaneWrites(lane, writing))) => upkeep.lane_writes(lane, writing),
            Ok(Event::Report(_) | Event::Recovered(_)) => {}
            Err(RecvTimeoutError::Timeout) => {
                next = Instant::now() + interval;
                for Change { core, turns_on } in pulse.feel() {
                    match turns_on {
                        false => tracing::error!("Core {core} has not turned its loop for {interval:.1?}"),
                        true => tracing::warn!("Core {core} turns its loop again"),
                    }
                }
                if pulse.is_regular() {
                    manager.feed_watchdog();
                }
            }
        }
    }
}

/// Turns signals to stop into events, and those to reload into wishes that somebody may take. To be called before any other
/// thread is started.
fn forward_signals(events: Sender<Event>, reload: Sender<()>) -> Result<(), StartError> {
    let signals = Signals::block().map_err(StartError::Thread)?;
    let forward = move || {
        while let Ok(signal) = signals.wait() {
            tracing::info!("Received {}", signal.name());
            match signal {
                Signal::Hangup if reload.send(()).is_err() => {
                    tracing::info!("Nothing to reload: TLS is not enabled");
                }
                Signal::Hangup => {}
                Signal::Interrupt | Signal::Terminate => {
                    if events.send(Event::Stop).is_err() {
                        return;
                    }
                }
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(forward).map_err(StartError::Thread)?;
    Ok(())
}
