//! When requests are due.

use std::time::Duration;

use super::{Load, Pacing};

/// Nanoseconds of the generator's clock.
pub(super) type Nanos = u64;

/// The times of a run: when requests are due, what is measured and when it ends.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Nanos,
    measured_from: Nanos,
    end: Nanos,
    /// How far apart the due times are; `None` in a closed loop, where a request is due whenever it can be sent.
    interval_ns: Option<f64>,
    /// How many requests were taken from the schedule.
    taken: u64,
}

impl Schedule {
    /// The schedule of a load that begins at a time.
    pub(super) fn new(load: &Load, begin: Nanos) -> Schedule {
        let measured_from = begin + nanos(load.warm_up);
        let interval_ns = match load.pacing {
            Pacing::Closed => None,
            Pacing::Open { rate_per_s } => {
                assert!(rate_per_s > 0.0 && rate_per_s.is_finite(), "{rate_per_s} requests a second");
                Some(1e9 / rate_per_s)
            }
        };
        Schedule { begin, measured_from, end: measured_from + nanos(load.duration), interval_ns, taken: 0 }
    }

    /// When measuring begins.
    pub(super) fn measured_from(&self) -> Nanos {
        self.measured_from
    }

    /// When measuring ends, and nothing more becomes due.
    pub(super) fn end(&self) -> Nanos {
        self.end
    }

    /// When the next request is due, if there is one before the end.
    pub(super) fn next_due(&self, now: Nanos) -> Option<Nanos> {
        let due = match self.interval_ns {
            None => now,
            Some(_) => self.due(self.taken),
        };
        Some(due).filter(|due| *due < self.end)
    }

    /// Takes the next request off the schedule, which was due.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// Whether requests are due at times of their own.
    pub(super) fn is_open(&self) -> bool {
        self.interval_ns.is_some()
    }

    /// Whether a request that was due then belongs to what is measured.
    pub(super) fn is_measured(&self, due: Nanos) -> bool {
        (self.measured_from..self.end).contains(&due)
    }

    /// How many requests are due in the time that is measured; none of a closed loop.
    pub(super) fn due_measured(&self) -> u64 {
        self.due_before(self.end) - self.due_before(self.measured_from)
    }

    /// When the request of that number, counted from 0, is due.
    fn due(&self, number: u64) -> Nanos {
        let interval_ns = self.interval_ns.expect("an open loop");
        self.begin + (number as f64 * interval_ns) as u64
    }

    /// How many requests are due before a time.
    fn due_before(&self, time: Nanos) -> u64 {
        let Some(interval_ns) = self.interval_ns else { return 0 };
        let mut number = ((time - self.begin) as f64 / interval_ns) as u64;
        // The division may have been rounded to either side.
        while self.due(number) < time {
            number += 1;
        }
        while number > 0 && self.due(number - 1) >= time {
            number -= 1;
        }
        number
    }
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).expect("a run is shorter than five hundred years")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn schedule(rate_per_s: f64) -> Schedule {
        let load = Load {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            depth: 1,
            pacing: Pacing::Open { rate_per_s },
            warm_up: Duration::from_millis(700),
            duration: Duration::from_secs(3),
        };
        Schedule::new(&load, 12_345)
    }

    /// Whatever the rate, and however its interval is rounded, what is due one by one is what is counted.
    #[test]
    fn as_many_are_due_as_are_counted() {
        for rate_per_s in [0.1, 1.0, 3.0, 7.77, 999.999, 10_000.0, 123_456.7] {
            let mut schedule = schedule(rate_per_s);
            let (mut measured, mut last) = (0, None);
            while let Some(due) = schedule.next_due(0) {
                assert!(Some(due) > last, "{rate_per_s} a second: {due} after {last:?}");
                measured += u64::from(schedule.is_measured(due));
                last = Some(due);
                schedule.take();
            }
            assert_eq!(measured, schedule.due_measured(), "{rate_per_s} a second");
            assert!((measured as f64 - 3.0 * rate_per_s).abs() <= 1.0, "{measured} at {rate_per_s} a second");
        }
    }

    #[test]
    fn a_closed_loop_is_due_whenever_it_is_asked_until_the_end() {
        let mut schedule = schedule(1.0);
        schedule.interval_ns = None;
        assert_eq!(schedule.next_due(77), Some(77));
        assert_eq!(schedule.next_due(schedule.end()), None);
        assert_eq!(schedule.due_measured(), 0);
    }
}
