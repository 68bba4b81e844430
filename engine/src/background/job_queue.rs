//! The bounded queue from all threads to the executor.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::{BackgroundError, PrepareSegment, SubmitError};

/// Work for the executor.
pub(super) enum Job {
    PrepareSegment(PrepareSegment, Reply<()>),
}

/// Where the outcome of a job goes: a callback that is called exactly once. Dropped unused, it says that the
/// background has stopped, so that nobody waits for ever.
pub(super) struct Reply<T>(Option<Callback<T>>);

type Callback<T> = Box<dyn FnOnce(Result<T, BackgroundError>) + Send>;

impl<T> Reply<T> {
    pub(super) fn new(callback: impl FnOnce(Result<T, BackgroundError>) + Send + 'static) -> Reply<T> {
        Reply(Some(Box::new(callback)))
    }

    /// Tells the outcome.
    pub(super) fn send(mut self, outcome: Result<T, BackgroundError>) {
        let callback = self.0.take().expect("only this method and drop take it, and each consumes the reply");
        callback(outcome);
    }

    /// Forgets the callback: the job was never accepted.
    fn cancel(mut self) {
        self.0 = None;
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(BackgroundError::Stopped));
        }
    }
}

/// A queue of up to `jobs_max` jobs, filled by any thread and emptied by one task of the executor.
pub(super) struct JobQueue {
    jobs_max: usize,
    state: Mutex<State>,
}

struct State {
    jobs: VecDeque<Job>,
    stopping: bool,
    /// The executor's task, when it waits for a job.
    waiting: Option<Waker>,
}

impl JobQueue {
    pub(super) fn new(jobs_max: usize) -> JobQueue {
        let state = State { jobs: VecDeque::with_capacity(jobs_max), stopping: false, waiting: None };
        JobQueue { jobs_max, state: Mutex::new(state) }
    }

    /// Appends a job.
    pub(super) fn submit(&self, job: Job) -> Result<(), SubmitError> {
        let mut state = self.lock();
        let refused = if state.stopping {
            SubmitError::Stopped
        } else if state.jobs.len() == self.jobs_max {
            SubmitError::Full { jobs_max: self.jobs_max }
        } else {
            state.jobs.push_back(job);
            wake(state);
            return Ok(());
        };
        drop(state);
        let Job::PrepareSegment(_, reply) = job;
        reply.cancel();
        Err(refused)
    }

    /// The next job; `None` once the queue is stopped.
    pub(super) async fn next(&self) -> Option<Job> {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.stopping {
                return Poll::Ready(None);
            }
            let job = state.jobs.pop_front();
            if job.is_none() {
                state.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(job)
        })
        .await
    }

    /// Lets the waiting task look again, in case it has slept through something.
    pub(super) fn nudge(&self) {
        wake(self.lock());
    }

    /// Whether the queue is stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Accepts no more jobs, ends those that wait, and tells the executor's task.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        let jobs = std::mem::take(&mut state.jobs);
        wake(state);
        // Their callbacks run here, without the lock.
        drop(jobs);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the waiting task, if there is one, after letting go of the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = state.waiting.take();
    drop(state);
    if let Some(waker) = waiting {
        waker.wake();
    }
}
