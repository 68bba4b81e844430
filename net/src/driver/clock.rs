//! The clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stemedb_engine::time::UnixMicros;

use crate::core::Now;

/// Tells a core the time.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    pub(super) fn now(&self) -> Now {
        Now { monotonic_us: self.started.elapsed().as_micros() as u64, wall: wall_clock() }
    }
}

/// The time of day. A clock that stands before 1970 counts as 1970.
pub(crate) fn wall_clock() -> UnixMicros {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(since_1970.as_micros() as i64)
}
