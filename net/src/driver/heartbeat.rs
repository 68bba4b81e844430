//! How others know that a core's loop still turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of turns that a core's loop has taken, seen from another thread.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<Turns>);

/// On a cache line of its own: the core writes it in every turn, others read it every few seconds.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Turns(AtomicU64);

impl Heartbeat {
    /// Turns so far. A core that has nothing to do takes ten a second.
    pub fn turns(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Counts a turn. Only the core's own thread does: no other writer can come between.
    pub(crate) fn beat(&self) {
        self.0.0.store(self.turns() + 1, Ordering::Relaxed);
    }
}
