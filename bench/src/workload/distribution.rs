//! Which subjects are chosen, and how often.

use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution as _, Zipf};
use thiserror::Error;

/// How often each subject is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// All equally often.
    Uniform,
    /// The subject of rank k in proportion to 1 / k^theta; theta is greater than 0.
    Zipf {
        /// How steep it is; 0.99 is what YCSB uses.
        theta: f64,
    },
    /// One subject gets this share of the choices, 0 to 1; the others get the rest equally often.
    Hot {
        /// The share of the hot subject.
        share: f64,
    },
}

/// A text that names no distribution.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no distribution: there are `uniform`, `zipf:THETA` with THETA > 0 and `hot:SHARE` with SHARE from 0 to 1"
)]
pub struct DistributionError(String);

/// A sequence of subjects, determined by a seed.
#[derive(Debug, Clone)]
pub struct Subjects {
    random: Xoshiro256PlusPlus,
    subjects: u32,
    choice: Choice,
}

#[derive(Debug, Clone)]
enum Choice {
    Uniform,
    Zipf { ranks: Zipf<f64>, stride: u64 },
    Hot { share: f64 },
}

/// Ranks are dealt out over the subjects in steps of this: a prime above all numbers of subjects, so that no two ranks
/// meet, and subjects that are chosen often are not neighbours.
const RANK_STRIDE: u64 = 2_654_435_761;

impl Subjects {
    /// How many subjects there can be: their numbers have eight decimal digits.
    pub const MAX: u32 = 100_000_000;

    /// Numbers below `subjects`, which is 1 to [`Subjects::MAX`].
    pub fn new(distribution: Distribution, subjects: u32, seed: u64) -> Subjects {
        assert!((1..=Self::MAX).contains(&subjects), "{subjects} subjects");
        let choice = match distribution {
            Distribution::Uniform => Choice::Uniform,
            Distribution::Zipf { theta } => Choice::Zipf {
                ranks: Zipf::new(f64::from(subjects), theta)
                    .expect("there is a subject, and theta was checked when it was parsed"),
                stride: RANK_STRIDE % u64::from(subjects),
            },
            Distribution::Hot { share } => Choice::Hot { share },
        };
        Subjects { random: Xoshiro256PlusPlus::seed_from_u64(seed), subjects, choice }
    }

    /// The next one.
    pub fn choose(&mut self) -> u32 {
        match &self.choice {
            Choice::Uniform => self.random.random_range(0..self.subjects),
            Choice::Zipf { ranks, stride } => {
                let rank = ranks.sample(&mut self.random) as u64 - 1;
                (rank * stride % u64::from(self.subjects)) as u32
            }
            Choice::Hot { share } => {
                if self.subjects == 1 || self.random.random_bool(*share) {
                    0
                } else {
                    self.random.random_range(1..self.subjects)
                }
            }
        }
    }
}

impl FromStr for Distribution {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Distribution, DistributionError> {
        let unknown = || DistributionError(text.to_owned());
        let parameter = |number: &str| number.parse::<f64>().map_err(|_| unknown());
        let distribution = match text.split_once(':') {
            None if text == "uniform" => Distribution::Uniform,
            Some(("zipf", theta)) => Distribution::Zipf { theta: parameter(theta)? },
            Some(("hot", share)) => Distribution::Hot { share: parameter(share)? },
            _ => return Err(unknown()),
        };
        let sane = match distribution {
            Distribution::Uniform => true,
            Distribution::Zipf { theta } => theta > 0.0 && theta.is_finite(),
            Distribution::Hot { share } => (0.0..=1.0).contains(&share),
        };
        if sane { Ok(distribution) } else { Err(unknown()) }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf { theta } => write!(f, "zipf:{theta}"),
            Distribution::Hot { share } => write!(f, "hot:{share}"),
        }
    }
}
