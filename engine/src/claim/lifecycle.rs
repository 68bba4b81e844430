//! Lifecycle: where a claim stands in its review.

use super::error::{ClaimError, Field, Problem};

/// The stage of a claim. A claim never changes its stage: a transition is a new claim whose parent is the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lifecycle {
    /// Put forward.
    Proposed = 0,
    /// Being looked at.
    UnderReview = 1,
    /// Holds. What a claim is unless it says otherwise, and what queries see unless they ask for more.
    Approved = 2,
    /// Held once.
    Deprecated = 3,
    /// Looked at and refused.
    Rejected = 4,
}

impl Lifecycle {
    /// All stages, by number.
    pub const ALL: [Lifecycle; 5] = [
        Lifecycle::Proposed,
        Lifecycle::UnderReview,
        Lifecycle::Approved,
        Lifecycle::Deprecated,
        Lifecycle::Rejected,
    ];

    /// The stage with this number, `0..=4`.
    pub fn from_number(number: u8) -> Result<Lifecycle, ClaimError> {
        let unknown = || Problem::UnknownNumber { number, max: 4 }.of(Field::Lifecycle);
        Self::ALL.get(usize::from(number)).copied().ok_or_else(unknown)
    }

    /// The stage with this name, as [`Lifecycle::name`] gives it.
    pub fn from_name(name: &str) -> Result<Lifecycle, ClaimError> {
        const EXPECTED: &str = "proposed, under_review, approved, deprecated, rejected";
        let unknown = || Problem::unknown_name(EXPECTED, name).of(Field::Lifecycle);
        Self::ALL.into_iter().find(|stage| stage.name() == name).ok_or_else(unknown)
    }

    /// The stage's number, `0..=4`.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The stage's name, snake_case.
    pub fn name(self) -> &'static str {
        match self {
            Lifecycle::Proposed => "proposed",
            Lifecycle::UnderReview => "under_review",
            Lifecycle::Approved => "approved",
            Lifecycle::Deprecated => "deprecated",
            Lifecycle::Rejected => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for (number, stage) in (0..).zip(Lifecycle::ALL) {
            assert_eq!(stage.number(), number);
            assert_eq!(Lifecycle::from_number(number), Ok(stage));
            assert_eq!(Lifecycle::from_name(stage.name()), Ok(stage));
        }
        for number in 5..=u8::MAX {
            assert!(Lifecycle::from_number(number).is_err());
        }
        for name in ["", "Approved", "under-review", "any"] {
            assert!(Lifecycle::from_name(name).is_err());
        }
    }
}
