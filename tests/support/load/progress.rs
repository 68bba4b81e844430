//! How far the clients have come.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// How long to wait before the test gives up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Counts acknowledged claims across connections.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    /// Counts more.
    pub(super) fn add(&self, claims: u64) {
        *self.acknowledged.lock().expect("no thread panics with the lock") += claims;
        self.changed.notify_all();
    }

    /// How many there are.
    pub(super) fn acknowledged(&self) -> u64 {
        *self.acknowledged.lock().expect("no thread panics with the lock")
    }

    /// Waits until there are so many.
    pub(super) fn wait_for(&self, claims: u64) {
        let acknowledged = self.acknowledged.lock().expect("no thread panics with the lock");
        let (acknowledged, _) = self
            .changed
            .wait_timeout_while(acknowledged, PATIENCE, |acknowledged| *acknowledged < claims)
            .expect("no thread panics with the lock");
        assert!(
            *acknowledged >= claims,
            "only {acknowledged} of {claims} claims acknowledged in {PATIENCE:?}"
        );
    }
}
