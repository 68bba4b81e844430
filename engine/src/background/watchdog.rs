//! The watchdog: notices when the executor has stopped ticking, wakes it, and says so.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Shared;

/// Tells the watchdog's thread to end.
#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Ends the watchdog's wait, now or as soon as it begins.
    pub(super) fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for `timeout`; `true` when told to stop before that.
    fn wait(&self, timeout: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, timeout, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Looks after the executor once in `stall` until it is told to stop.
pub(super) fn run(shared: &Shared, stall: Duration, stop: &Stop) {
    let mut watch = Watch::default();
    while !stop.wait(stall) {
        match watch.look(shared.ticks.load(Ordering::Relaxed)) {
            Sight::Ticking => {}
            Sight::Stalled => {
                shared.stalls.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    without_tick_s = stall.as_secs(),
                    "the background executor has stalled, waking it; segments may not be prepared in time"
                );
                shared.queue.nudge();
            }
            Sight::Recovered => tracing::info!("the background executor works again"),
        }
    }
}

/// What the watchdog makes of the count of ticks.
#[derive(Debug, PartialEq, Eq)]
enum Sight {
    Ticking,
    Stalled,
    Recovered,
}

/// What the watchdog remembers from one look to the next.
#[derive(Default)]
struct Watch {
    ticks: Option<u64>,
    stalled: bool,
}

impl Watch {
    fn look(&mut self, ticks: u64) -> Sight {
        let stalled = self.ticks.replace(ticks) == Some(ticks);
        match (std::mem::replace(&mut self.stalled, stalled), stalled) {
            (_, true) => Sight::Stalled,
            (true, false) => Sight::Recovered,
            (false, false) => Sight::Ticking,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_that_does_not_tick_between_two_looks_has_stalled() {
        let mut watch = Watch::default();
        let sights = [0, 3, 3, 3, 4, 9].map(|ticks| watch.look(ticks));
        use Sight::{Recovered, Stalled, Ticking};
        assert_eq!(sights, [Ticking, Ticking, Stalled, Stalled, Recovered, Ticking]);
    }
}
