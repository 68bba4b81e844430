//! What the server tells the service manager that started it: sd_notify(3). Where none did, it tells nobody.

use std::fmt;
use std::time::Duration;

use sd_notify::NotifyState;

/// By how much the time for a start is extended while the server is at work on it. It is told so every second.
const START_EXTENSION: Duration = Duration::from_secs(30);

/// How many times the watchdog is fed within its time.
const FEEDS: u32 = 3;

/// The least time between two feeds. Every core turns several times in it, also one that nobody asks anything.
const FEED_INTERVAL_MIN: Duration = Duration::from_millis(300);

/// The service manager, or nobody.
#[derive(Debug)]
pub(super) struct ServiceManager {
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(super) fn of_environment() -> ServiceManager {
        ServiceManager { watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often it wants to hear that all is well, if it does.
    pub(super) fn feed_interval(&self) -> Option<Duration> {
        self.watchdog.map(|within| (within / FEEDS).max(FEED_INTERVAL_MIN))
    }

    /// What `systemctl status` shows.
    pub(super) fn status(&self, what: fmt::Arguments<'_>) {
        tell(&[NotifyState::Status(&one_line(what))]);
    }

    /// The start takes longer, and is not stuck.
    pub(super) fn extend_start(&self, status: fmt::Arguments<'_>) {
        let extension_us = START_EXTENSION.as_micros() as u32;
        tell(&[NotifyState::ExtendTimeoutUsec(extension_us), NotifyState::Status(&one_line(status))]);
    }

    /// Requests are served.
    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// All is well.
    pub(super) fn feed_watchdog(&self) {
        if self.watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The server is about to end.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("Stopping: answering what was asked")]);
    }
}

/// A line feed ends a state, and what follows would be taken for another. The name of a directory may have one.
fn one_line(text: fmt::Arguments<'_>) -> String {
    text.to_string().replace('\n', " ")
}

/// A server whose manager does not listen serves on: the manager draws its own conclusions.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("The service manager cannot be told {states:?}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_line() {
        assert_eq!(one_line(format_args!("in {}", "a\nREADY=1")), "in a READY=1");
    }

    #[test]
    fn the_watchdog_is_fed_in_time_and_not_faster_than_cores_turn() {
        let interval = |watchdog| ServiceManager { watchdog }.feed_interval();
        assert_eq!(interval(None), None);
        assert_eq!(interval(Some(Duration::from_secs(30))), Some(Duration::from_secs(10)));
        assert_eq!(interval(Some(Duration::from_millis(10))), Some(FEED_INTERVAL_MIN));
    }
}
