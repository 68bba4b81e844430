//! The time as TLS is told it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The time of day of a core, in seconds: by it `rustls` judges tickets and clients' certificates.
#[derive(Debug, Default)]
pub struct Clock {
    unix_s: AtomicU64,
}

impl Clock {
    /// Sets the time, in seconds since 1970.
    pub fn set(&self, unix_s: u64) {
        // One core sets it and reads it.
        self.unix_s.store(unix_s, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.unix_s.load(Ordering::Relaxed))))
    }
}
