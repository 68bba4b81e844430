//! When a claim was made.

use super::error::{ClaimError, Field, Problem};
use crate::time::UnixMicros;

/// A point in time from 1970 on, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(UnixMicros);

impl Timestamp {
    /// Checks that the time is not before 1970.
    pub fn new(at: UnixMicros) -> Result<Timestamp, ClaimError> {
        if at.0 < 0 {
            return Err(Problem::BeforeEpoch { micros: at.0 }.of(Field::Timestamp));
        }
        Ok(Timestamp(at))
    }

    /// The point in time, not negative.
    pub fn unix_micros(self) -> UnixMicros {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_begins_in_1970() {
        assert!(Timestamp::new(UnixMicros(-1)).is_err());
        assert!(Timestamp::new(UnixMicros(i64::MIN)).is_err());
        assert_eq!(Timestamp::new(UnixMicros(0)).map(|t| t.unix_micros().0), Ok(0));
        assert_eq!(Timestamp::new(UnixMicros(i64::MAX)).map(|t| t.unix_micros().0), Ok(i64::MAX));
    }
}
