//! Background work: what is about throughput and must not disturb the cores.
//!
//! One glommio executor on a low-priority thread takes jobs from a bounded queue, each kind of work in a task queue of
//! its own. A job's outcome goes to a callback, which can hand it to a core and wake that.
//!
//! The executor needs care on current kernels, of which its module tells; and a watchdog notices when it stops
//! ticking all the same, wakes it and says so.

mod error;
mod executor;
mod job_queue;
mod pace;
mod prepare_segment;
mod priority;
mod turns;
mod watchdog;

pub use error::{BackgroundError, SubmitError};
pub use pace::LaneProgress;
pub use prepare_segment::PrepareSegment;
pub use priority::{give_way, step_back};
pub(crate) use turns::offer_turn;
pub use turns::take_turns;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::job_queue::{Job, JobQueue, Reply};
use self::watchdog::Stop;

/// How a [`Background`] is set up.
#[derive(Debug, Clone)]
pub struct BackgroundConfig {
    /// The data directory: at start a scratch file of 4 KiB is written there, read back and removed.
    pub directory: PathBuf,
    /// How many jobs can wait, at least one.
    pub jobs_max: usize,
}

/// The background executor, its thread and its watchdog. Dropping it stops them and waits for them.
pub struct Background {
    shared: Arc<Shared>,
    stop_watchdog: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

/// Submits jobs to a [`Background`], from any thread.
#[derive(Clone)]
pub struct BackgroundHandle(Arc<Shared>);

/// What all threads of a background have in common.
struct Shared {
    queue: JobQueue,
    /// Counts up about once in [`TICK`] for as long as the executor gets anything done.
    ticks: AtomicU64,
    /// How often the watchdog found the executor without a tick.
    stalls: AtomicU64,
}

/// How often the executor ticks.
const TICK: Duration = Duration::from_secs(1);

/// How long the executor may go without a tick before it counts as stalled.
const STALL: Duration = Duration::from_secs(10);

impl Background {
    /// Starts the executor and waits until it has proved that it can write and read in the data directory.
    ///
    /// # Errors
    ///
    /// When a thread or the executor cannot be made, or the proof fails.
    pub fn start(config: &BackgroundConfig) -> Result<Background, BackgroundError> {
        Background::start_with(config, TICK, STALL)
    }

    fn start_with(
        config: &BackgroundConfig,
        tick: Duration,
        stall: Duration,
    ) -> Result<Background, BackgroundError> {
        assert!(config.jobs_max > 0, "a queue of no jobs");
        let shared = Arc::new(Shared {
            queue: JobQueue::new(config.jobs_max),
            ticks: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
        });
        let mut background =
            Background { shared: Arc::clone(&shared), stop_watchdog: Arc::default(), threads: Vec::new() };
        let (started, outcome) = mpsc::channel();
        let directory = config.directory.clone();
        background.spawn("background", {
            let shared = Arc::clone(&shared);
            move || executor::run(&directory, tick, &shared, &started)
        })?;
        let panicked = |_| BackgroundError::Executor { message: "its thread has panicked".to_owned() };
        outcome.recv().map_err(panicked)??;
        let stop = Arc::clone(&background.stop_watchdog);
        background.spawn("watchdog", move || watchdog::run(&shared, stall, &stop))?;
        Ok(background)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), BackgroundError> {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|source| BackgroundError::Thread { name, source })?;
        self.threads.push(thread);
        Ok(())
    }

    /// A handle to submit jobs with.
    pub fn handle(&self) -> BackgroundHandle {
        BackgroundHandle(Arc::clone(&self.shared))
    }

    /// How often the executor was found stalled so far, for metrics: 0 as long as all is well.
    pub fn stalls(&self) -> u64 {
        self.shared.stalls.load(Ordering::Relaxed)
    }
}

impl Drop for Background {
    /// The job at hand is abandoned at the next opportunity; it and all that wait end with [`BackgroundError::Stopped`].
    fn drop(&mut self) {
        self.shared.queue.stop();
        self.stop_watchdog.set();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread has panicked");
            }
        }
    }
}

impl BackgroundHandle {
    /// Has a segment file prepared. `done` is called exactly once: on the executor's thread, so it should only pass the
    /// outcome on, or, if the background stops first, with [`BackgroundError::Stopped`] on the thread that stops it.
    ///
    /// # Errors
    ///
    /// When the queue is full or the background has stopped; `done` is not called then.
    pub fn prepare_segment(
        &self,
        segment: PrepareSegment,
        done: impl FnOnce(Result<(), BackgroundError>) + Send + 'static,
    ) -> Result<(), SubmitError> {
        self.0.queue.submit(Job::PrepareSegment(segment, Reply::new(done)))
    }
}

#[cfg(test)]
mod tests;
