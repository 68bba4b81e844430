//! The executor's thread.
//!
//! glommio 0.9 needs some care on current kernels:
//!
//! - At the first direct-I/O open on a device it probes whether the device can be polled, by a read. On an empty, sparse
//!   or merely fallocated file that read succeeds where a real one fails with `EOPNOTSUPP`, and from then on every read
//!   of the thread fails and the executor spins. On a file that is opened write-only the probe fails as it should. The
//!   answer is kept for each device and thread, so the first open on every device is such a file ([`self_test`]).
//! - With task queues whose latency matters below a millisecond it can park for ever while work is queued. So the preempt
//!   timer stays at its default and all queues are [`Latency::NotImportant`].
//! - It panics when the kernel refuses it a ring, so a ring of our own is tried first.
//! - The memory it registers with its three rings counts against the memory that the user may lock, three times.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::task::{Context, Waker};
use std::time::Duration;
use std::{fs, io};

use glommio::io::DmaFile;
use glommio::timer::Timer;
use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, Shares, Task};

use super::job_queue::Job;
use super::{BackgroundError, Shared, prepare_segment};
use crate::ring::memlock::{LockableMemory, lockable_memory};
use crate::ring::probe;

/// What the alignment of direct I/O is taken to be, whatever a device reports.
pub(super) const ALIGNMENT: usize = 4096;

/// Memory that is registered for I/O when there is no limit.
const IO_MEMORY: usize = 4 << 20;

/// The least that glommio registers. Larger buffers come from the heap then.
const IO_MEMORY_MIN: usize = 64 << 10;

/// Runs the executor until its queue is stopped. Says on `started` how the start went.
pub(super) fn run(
    directory: &Path,
    tick: Duration,
    shared: &Arc<Shared>,
    started: &Sender<Result<(), BackgroundError>>,
) {
    super::step_back();
    let executor = match build() {
        Ok(executor) => executor,
        Err(error) => return tell(started, Err(error)),
    };
    executor.run(async {
        let mut tested = TestedDevices::default();
        if let Err(error) = tested.ensure(directory).await {
            return tell(started, Err(error));
        }
        tell(started, Ok(()));
        let ticking = glommio::spawn_local(keep_ticking(tick, Arc::clone(shared)));
        work(shared, tested).await;
        ticking.cancel().await;
    });
}

/// Begins the jobs as they come, until the queue is stopped, and then waits for those at work: each looks for that itself.
/// Each lane has one at most, so there are no more at once than lanes.
async fn work(shared: &Arc<Shared>, mut tested: TestedDevices) {
    let preparing =
        glommio::executor().create_task_queue(Shares::default(), Latency::NotImportant, "prepare segments");
    let mut at_work: Vec<Task<()>> = Vec::new();
    while let Some(job) = shared.queue.next().await {
        at_work.retain_mut(|task| !is_done(task));
        match job {
            Job::PrepareSegment(segment, reply) => match tested.ensure(segment.directory()).await {
                Ok(()) => {
                    let shared = Arc::clone(shared);
                    let task = async move { reply.send(prepare_segment::prepare(segment, shared).await) };
                    let task = glommio::spawn_local_into(task, preparing);
                    at_work.push(task.expect("the task queue was created above and is never removed"));
                }
                Err(error) => reply.send(Err(error)),
            },
        }
    }
    for task in at_work {
        task.await;
    }
}

/// Whether a task has come to its end.
fn is_done(task: &mut Task<()>) -> bool {
    // Nobody has to be woken by it: the next job looks again.
    Pin::new(task).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Counts, so that the watchdog sees that the executor lives, and looks after jobs in case a wake was lost.
async fn keep_ticking(tick: Duration, shared: Arc<Shared>) {
    loop {
        Timer::new(tick).await;
        shared.ticks.fetch_add(1, Ordering::Relaxed);
        shared.queue.nudge();
    }
}

fn build() -> Result<LocalExecutor, BackgroundError> {
    let failed = |message: String| BackgroundError::Executor { message };
    // glommio panics where the kernel refuses its first ring. Ours says what is wrong.
    probe::check().map_err(|error| failed(error.to_string()))?;
    let io_memory = match lockable_memory() {
        Ok(LockableMemory::Unlimited) => IO_MEMORY,
        Ok(LockableMemory::Bytes(_)) | Err(_) => IO_MEMORY_MIN,
    };
    LocalExecutorBuilder::new(Placement::Unbound)
        .name("background")
        .io_memory(io_memory)
        .make()
        .map_err(|error| failed(error.to_string()))
}

/// The devices on which this executor has proved that it can write and read.
#[derive(Default)]
struct TestedDevices(HashSet<u64>);

impl TestedDevices {
    /// Tests the device of a directory, unless that has been done.
    async fn ensure(&mut self, directory: &Path) -> Result<(), BackgroundError> {
        let metadata =
            fs::metadata(directory).map_err(BackgroundError::io("look up the directory", directory))?;
        if !self.0.contains(&metadata.dev()) {
            self_test(directory).await?;
            self.0.insert(metadata.dev());
        }
        Ok(())
    }
}

/// Writes a scratch file and reads it back. It must be the first direct-I/O file of its device, see the module.
async fn self_test(directory: &Path) -> Result<(), BackgroundError> {
    let path = directory.join(format!("background-{}.scratch", std::process::id()));
    let outcome = write_and_read(&path).await;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && outcome.is_ok() => {
            Err(BackgroundError::io("remove", &path)(error))
        }
        _ => outcome,
    }
}

async fn write_and_read(path: &Path) -> Result<(), BackgroundError> {
    let pattern = |position: usize| (position * 7 + position / 256) as u8;
    let file = DmaFile::create(path).await.map_err(BackgroundError::glommio("create", path))?;
    let mut buffer = file.alloc_dma_buffer(ALIGNMENT);
    for (position, byte) in buffer.as_bytes_mut().iter_mut().enumerate() {
        *byte = pattern(position);
    }
    let written = file.write_at(buffer, 0).await.map_err(BackgroundError::glommio("write", path))?;
    file.close().await.map_err(BackgroundError::glommio("close", path))?;
    let file = DmaFile::open(path).await.map_err(BackgroundError::glommio("open", path))?;
    let read = file.read_at_aligned(0, ALIGNMENT).await.map_err(BackgroundError::glommio("read", path))?;
    let intact = written == ALIGNMENT
        && read.len() == ALIGNMENT
        && read.iter().enumerate().all(|(position, byte)| *byte == pattern(position));
    drop(read);
    file.close().await.map_err(BackgroundError::glommio("close", path))?;
    if intact { Ok(()) } else { Err(BackgroundError::SelfTest { path: path.to_owned() }) }
}

fn tell(started: &Sender<Result<(), BackgroundError>>, outcome: Result<(), BackgroundError>) {
    // Who started us may have gone meanwhile; then the queue is stopped, and we end as well.
    let _ = started.send(outcome);
}
