//! Sends batches, and sends them again when the connection breaks.

use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::summary::BatchAnswer;
use crate::admin::client::{Answer, Client};
use crate::admin::error::AdminError;

/// The pause before the second attempt; each further pause is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// The longest pause between attempts, unless the server asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What an uploader has to tell while it works.
pub(super) enum UploadEvent {
    /// A batch failed in a way that may pass; it is sent again after the pause.
    Retrying { reason: String, pause: Duration },
    /// A batch is stored, as far as the server accepted its lines.
    Stored { batch: Batch, answer: BatchAnswer },
    /// A batch failed for good.
    Failed(AdminError),
}

/// Tells every thread of an import that it is over.
#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock().expect("no thread panics while it holds this lock") = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for `pause`, or less if the import stops; says whether it has.
    fn wait(&self, pause: Duration) -> bool {
        let stopped = self.stopped.lock().expect("no thread panics while it holds this lock");
        let (stopped, _) = self
            .changed
            .wait_timeout_while(stopped, pause, |stopped| !*stopped)
            .expect("no thread panics while it holds this lock");
        *stopped
    }
}

/// Sends the batches of one connection.
pub(super) struct Uploader<'a> {
    pub(super) client: Client,
    /// How long a batch is tried again after it first failed.
    pub(super) retry_for: Duration,
    pub(super) events: Sender<UploadEvent>,
    pub(super) stop: &'a Stop,
}

impl Uploader<'_> {
    /// Sends batches until there are none, one fails for good, or the import stops.
    pub(super) fn run(&self, next_batch: impl Fn() -> Option<Batch>) {
        while let Some(batch) = next_batch() {
            let event = match self.upload(&batch) {
                Ok(Some(answer)) => UploadEvent::Stored { batch, answer },
                Ok(None) => return,
                Err(error) => {
                    self.stop.stop();
                    UploadEvent::Failed(error)
                }
            };
            // The receiver is gone only when the import is over.
            let receiver_waits = self.events.send(event).is_ok();
            if !receiver_waits || self.stop.is_stopped() {
                return;
            }
        }
    }

    /// Sends one batch until it is answered; `None` if the import stops meanwhile.
    ///
    /// Sending a batch twice is harmless: each of its claims has a timestamp, so a claim that the first sending stored is
    /// the same claim in the second.
    fn upload(&self, batch: &Batch) -> Result<Option<BatchAnswer>, AdminError> {
        if batch.line_numbers.is_empty() {
            return Ok(Some(with_local_rejections(batch, BatchAnswer::default())));
        }
        let mut pause = PAUSE_FIRST;
        let mut failed_first = None;
        loop {
            let (error, asked_pause) =
                match self.client.send("/v1/assert/batch", "application/x-ndjson", &batch.body) {
                    Ok(answer) if is_passing(answer.status) => {
                        (refusal(&answer, self.client.url()), answer.retry_after)
                    }
                    Ok(answer) => return read_answer(batch, &answer, self.client.url()).map(Some),
                    // Who is not trusted now will not be in a moment.
                    Err(error @ AdminError::Insecure { .. }) => return Err(error),
                    Err(error) => (error, None),
                };
            let failed_first = *failed_first.get_or_insert_with(Instant::now);
            let pause_now = asked_pause.unwrap_or_default().max(pause);
            if failed_first.elapsed() + pause_now > self.retry_for {
                return Err(error);
            }
            let retrying = UploadEvent::Retrying { reason: error.to_string(), pause: pause_now };
            if self.events.send(retrying).is_err() || self.stop.wait(pause_now) {
                return Ok(None);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Whether the same request may succeed later: the server (or a proxy before it) is busy, starting or out of reach.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 502 | 503 | 504)
}

fn refusal(answer: &Answer, url: &str) -> AdminError {
    answer.success(url).expect_err("a status that may pass is not a success")
}

/// Reads the answer to a batch and translates its line numbers to the input's.
fn read_answer(batch: &Batch, answer: &Answer, url: &str) -> Result<BatchAnswer, AdminError> {
    let mut answer: BatchAnswer = answer.json(url)?;
    let unintelligible = |reason: String| AdminError::Unintelligible { url: url.to_owned(), reason };
    let (sent, counted) =
        (batch.line_numbers.len() as u64, answer.accepted + answer.exists + answer.rejected);
    if counted != sent {
        return Err(unintelligible(format!("{sent} claims were sent, but it counts {counted}")));
    }
    for error in &mut answer.errors {
        let index = usize::try_from(error.line).ok().and_then(|line| line.checked_sub(1));
        error.line = *index.and_then(|index| batch.line_numbers.get(index)).ok_or_else(|| {
            unintelligible(format!("it rejects line {} of a request of {sent} lines", error.line))
        })?;
    }
    Ok(with_local_rejections(batch, answer))
}

fn with_local_rejections(batch: &Batch, mut answer: BatchAnswer) -> BatchAnswer {
    answer.rejected += batch.rejected.len() as u64;
    answer.errors.extend_from_slice(&batch.rejected);
    answer
}
