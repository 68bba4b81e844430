//! The clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stemedb_engine::time::UnixMicros;

use crate::core::Now;

/// Tells a core the time.
pub(super) struct Clock(Box<dyn Fn() -> Now>);

impl Clock {
    pub(super) fn start() -> Clock {
        let started = Instant::now();
        Clock::of(move || Now { monotonic_us: started.elapsed().as_micros() as u64, wall: wall_clock() })
    }

    /// A clock that is looked at so.
    pub(super) fn of(look: impl Fn() -> Now + 'static) -> Clock {
        Clock(Box::new(look))
    }

    pub(super) fn now(&self) -> Now {
        (self.0)()
    }
}

/// The time of day. A clock that stands before 1970 counts as 1970.
pub(crate) fn wall_clock() -> UnixMicros {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(since_1970.as_micros() as i64)
}
