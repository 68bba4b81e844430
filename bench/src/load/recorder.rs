//! Counting and timing the answers.

use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use super::connection::Unanswered;
use super::outcome::{Measured, Outcome, histogram};
use super::schedule::{Nanos, Schedule};
use crate::client::Operation;

/// What has been recorded of a run.
#[derive(Debug)]
pub(super) struct Recorder {
    /// In the order of [`Operation::ALL`].
    operations: [Option<Recorded>; Operation::ALL.len()],
    lateness_ns: Histogram<u64>,
    /// When measuring began and ended, as the generator noticed it, with the CPU time used until then.
    began: Option<(Nanos, Duration)>,
    ended: Option<(Nanos, Duration)>,
}

#[derive(Debug)]
struct Recorded {
    measured: Measured,
    /// Of the whole run.
    units: u64,
}

impl Recorder {
    pub(super) fn new() -> Recorder {
        Recorder { operations: Default::default(), lateness_ns: histogram(), began: None, ended: None }
    }

    /// Notes that it is `now`.
    pub(super) fn tick(&mut self, schedule: &Schedule, now: Nanos) {
        if self.began.is_none() && now >= schedule.measured_from() {
            self.began = Some((now, cpu_time()));
        }
        if self.ended.is_none() && now >= schedule.end() {
            self.ended = Some((now, cpu_time()));
        }
    }

    /// Notes that a request was sent: it was due then, and could have been sent `since`.
    pub(super) fn sent(&mut self, schedule: &Schedule, due: Nanos, since: Nanos, now: Nanos) {
        if schedule.is_open() && schedule.is_measured(due) {
            self.lateness_ns.saturating_record(now - due.max(since));
        }
    }

    /// Notes that a request was answered.
    pub(super) fn answered(&mut self, schedule: &Schedule, request: &Unanswered, now: Nanos) {
        let recorded = self.operations[request.operation as usize]
            .get_or_insert_with(|| Recorded { measured: Measured::new(), units: 0 });
        let units = u64::from(request.units);
        recorded.units += units;
        let is_now_measured = self.began.is_some() && self.ended.is_none();
        if is_now_measured {
            recorded.measured.requests += 1;
            recorded.measured.units += units;
        }
        let is_timed = if schedule.is_open() { schedule.is_measured(request.due) } else { is_now_measured };
        if is_timed {
            recorded.measured.latency_ns.saturating_record(now - request.due);
        }
    }

    /// What all this shows, when so many requests are unanswered on connections.
    pub(super) fn outcome(self, schedule: &Schedule, unanswered: u64) -> Outcome {
        let (Some((began, cpu_began)), Some((ended, cpu_ended))) = (self.began, self.ended) else {
            panic!("a run passes through the begin and the end of its measuring");
        };
        let mut outcome = Outcome::new();
        let mut timed = 0;
        for (operation, recorded) in Operation::ALL.into_iter().zip(self.operations) {
            let Some(recorded) = recorded else { continue };
            timed += recorded.measured.latency_ns.len();
            outcome.units_answered.insert(operation, recorded.units);
            outcome.operations.insert(operation, recorded.measured);
        }
        outcome.elapsed = Duration::from_nanos(ended - began);
        outcome.cpu = cpu_ended - cpu_began;
        outcome.due = schedule.due_measured();
        outcome.unanswered = if schedule.is_open() { outcome.due - timed } else { unanswered };
        outcome.lateness_ns = self.lateness_ns;
        outcome
    }
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
