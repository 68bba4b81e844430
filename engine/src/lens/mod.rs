//! Lenses: which of the claims that contradict each other a reader takes.
//!
//! A lens is a pure function of its candidates: the same candidates, in any order, have the same winner.

mod decay;
mod fold;

pub use self::decay::{HALF_LIFE_DAYS, effective_confidence};
pub use self::fold::{Candidate, Fold, Resolution, RunnerUp};

/// A rule that picks one claim from the claims about one predicate of one subject.
///
/// Ties always go to the later timestamp, then to the later write, then to the smaller hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lens {
    /// The claim with the greatest timestamp.
    Recency,
    /// The value that most claims hold, shown by the newest of them.
    Consensus,
    /// The claim with the greatest confidence.
    Confidence,
}

impl Lens {
    /// All lenses.
    pub const ALL: [Lens; 3] = [Lens::Recency, Lens::Consensus, Lens::Confidence];

    /// The lens's name, as requests and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            Lens::Recency => "recency",
            Lens::Consensus => "consensus",
            Lens::Confidence => "confidence",
        }
    }

    /// The lens with this name.
    pub fn from_name(name: &str) -> Option<Lens> {
        Self::ALL.into_iter().find(|lens| lens.name() == name)
    }
}
