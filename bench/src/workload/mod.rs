//! What is written and asked for: claims of a given size, about subjects of a given distribution, in a given mix.
//!
//! All of it follows from a seed, except for the number of the run, which keeps the claims of a run apart from those of
//! all others. Systems that are compared with StemeDB store the same bytes.

mod claims;
mod distribution;
mod mix;

pub use claims::{Claims, RunId};
pub use distribution::{Distribution, DistributionError, Subjects};
pub use mix::{Mix, MixError};

pub(crate) use claims::SubjectPath;
pub(crate) use mix::Choices;

use thiserror::Error;

/// What the clients of one run write and ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The size of a claim's JSON text, exactly; [`Claims::BYTES_MIN`] to [`Claims::BYTES_MAX`].
    pub claim_bytes: usize,
    /// How many subjects the claims are about, 1 to [`Subjects::MAX`].
    pub subjects: u32,
    /// How often each subject is chosen.
    pub distribution: Distribution,
    /// How often each kind of request is made.
    pub mix: Mix,
    /// How many claims a batch has, at least 1.
    pub batch_claims: u32,
    /// What all choices follow from.
    pub seed: u64,
    /// Keeps this run's claims apart from those of all others.
    pub run: RunId,
}

/// Why a workload makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// No claim can have this size.
    #[error("claims have {min} to {max} bytes, not {0}", min = Claims::BYTES_MIN, max = Claims::BYTES_MAX)]
    ClaimBytes(usize),
    /// There cannot be so many subjects.
    #[error("there are 1 to {max} subjects, not {0}", max = Subjects::MAX)]
    Subjects(u32),
    /// A batch has claims.
    #[error("a batch has at least one claim")]
    EmptyBatch,
}

impl Workload {
    /// The workload that most figures are measured with: single claims of 200 bytes, spread evenly over 100 000 subjects.
    pub fn new(run: RunId) -> Workload {
        Workload {
            claim_bytes: 200,
            subjects: 100_000,
            distribution: Distribution::Uniform,
            mix: Mix::asserts(),
            batch_claims: 1000,
            seed: 1,
            run,
        }
    }

    /// Whether all of it is within its limits.
    ///
    /// # Errors
    ///
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), WorkloadError> {
        if !(Claims::BYTES_MIN..=Claims::BYTES_MAX).contains(&self.claim_bytes) {
            return Err(WorkloadError::ClaimBytes(self.claim_bytes));
        }
        if !(1..=Subjects::MAX).contains(&self.subjects) {
            return Err(WorkloadError::Subjects(self.subjects));
        }
        if self.batch_claims == 0 {
            return Err(WorkloadError::EmptyBatch);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
