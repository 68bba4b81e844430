//! Points in time, as the state machines are told them.
//!
//! Nothing above the ring reads a clock: whoever drives a state machine passes the time in.

/// Wall-clock time in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// Microseconds in one second.
    pub const PER_SECOND: i64 = 1_000_000;

    /// The time as Unix seconds, with a fraction.
    ///
    /// Exact to the microsecond for every time before the year 2255, where an `f64` runs out of digits.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / Self::PER_SECOND as f64
    }
}
