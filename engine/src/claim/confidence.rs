//! Confidence: how sure an agent is.

use super::error::{ClaimError, Field, Problem};
use std::cmp::Ordering;

/// A fraction from 0 to 1. There is one zero: −0 becomes 0.
#[derive(Debug, Clone, Copy)]
pub struct Confidence(f64);

impl Confidence {
    /// Confidence 1.
    pub const CERTAIN: Confidence = Confidence(1.0);

    /// Checks that `value` is between 0 and 1.
    pub fn new(value: f64) -> Result<Confidence, ClaimError> {
        if !(0.0..=1.0).contains(&value) {
            return Err(Problem::NotAFraction { value }.of(Field::Confidence));
        }
        // −0 + 0 = 0, and nothing else changes.
        Ok(Confidence(value + 0.0))
    }

    /// The fraction, `0.0..=1.0`, never −0.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl PartialEq for Confidence {
    fn eq(&self, other: &Confidence) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Confidence {}

impl PartialOrd for Confidence {
    fn partial_cmp(&self, other: &Confidence) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Confidence {
    fn cmp(&self, other: &Confidence) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_pass_and_nothing_else() {
        for value in [0.0, f64::MIN_POSITIVE, 5e-324, 0.5, 1.0 - f64::EPSILON, 1.0] {
            assert_eq!(Confidence::new(value).map(|c| c.value().to_bits()), Ok(value.to_bits()));
        }
        for value in [-5e-324, -1.0, 1.0 + f64::EPSILON, 1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert!(Confidence::new(value).is_err(), "{value}");
        }
    }

    #[test]
    fn there_is_one_zero() {
        assert_eq!(Confidence::new(-0.0).map(|c| c.value().to_bits()), Ok(0));
    }

    #[test]
    fn the_message_names_the_bounds_and_the_value() {
        let message = Confidence::new(1.5).map_err(|e| e.to_string());
        assert_eq!(message, Err("confidence must be between 0 and 1, got 1.5".to_string()));
    }
}
