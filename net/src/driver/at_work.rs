//! How cores know that the thread beside them has work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the thread for upkeep is at work, which may be on the CPU of any core, seen from the cores.
#[derive(Debug, Clone, Default)]
pub struct AtWork(Arc<Flag>);

/// On a cache line of its own: cores look at it whenever they wait.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Flag(AtomicBool);

impl AtWork {
    /// Whether it is now. Only advice on how to wait: a moment later it may have changed.
    pub fn get(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Notes that it is, or is no more.
    pub fn set(&self, is_at_work: bool) {
        self.0.0.store(is_at_work, Ordering::Relaxed);
    }
}
