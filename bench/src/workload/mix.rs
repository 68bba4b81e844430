//! How often each kind of request is made.

use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use thiserror::Error;

use crate::client::Operation;

/// The kinds of requests that a mix can have.
const MIXED: [Operation; 4] = [Operation::Assert, Operation::Batch, Operation::Query, Operation::Subtree];

/// The weights of the kinds of requests, at least one of which is greater than 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    weights: Vec<(Operation, u32)>,
}

/// Why a text is no mix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MixError {
    /// A part is not of the form `operation=weight`.
    #[error(
        "`{0}` in a mix is not of the form OPERATION=WEIGHT, such as `assert=90`, with a whole number below 2^32"
    )]
    Form(String),
    /// There is no such kind of request.
    #[error("`{0}` in a mix is no operation: there are assert, batch, query and subtree")]
    Operation(String),
    /// One stands there twice.
    #[error("`{0}` stands twice in a mix")]
    Repeated(Operation),
    /// Nothing is left.
    #[error("a mix needs a weight above 0")]
    Empty,
}

/// A sequence of kinds of requests, determined by a seed.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    random: Xoshiro256PlusPlus,
    /// Each kind with the sum of the weights up to it.
    bounds: Vec<(Operation, u64)>,
}

impl Mix {
    /// Single claims only.
    pub fn asserts() -> Mix {
        Mix::only(Operation::Assert)
    }

    /// One kind of request only.
    pub fn only(operation: Operation) -> Mix {
        Mix { weights: vec![(operation, 1)] }
    }

    /// Whether requests of this kind are made.
    pub fn has(&self, operation: Operation) -> bool {
        self.weights.iter().any(|(mixed, _)| *mixed == operation)
    }

    /// The kinds of requests to make, one after the other.
    pub(crate) fn choices(&self, seed: u64) -> Choices {
        let mut sum = 0;
        let bounds = self.weights.iter().map(|(operation, weight)| {
            sum += u64::from(*weight);
            (*operation, sum)
        });
        Choices { bounds: bounds.collect(), random: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }
}

impl Choices {
    /// The next one.
    pub(crate) fn choose(&mut self) -> Operation {
        let [.., (last, sum)] = self.bounds[..] else { panic!("a mix has a weight above 0") };
        if self.bounds.len() == 1 {
            return last;
        }
        let place = self.random.random_range(0..sum);
        self.bounds.iter().find(|(_, bound)| place < *bound).map_or(last, |(operation, _)| *operation)
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Mix, MixError> {
        let mut weights: Vec<(Operation, u32)> = Vec::new();
        for part in text.split(',') {
            let form = || MixError::Form(part.to_owned());
            let (name, weight) = part.split_once('=').ok_or_else(form)?;
            let operation = MIXED.into_iter().find(|operation| operation.name() == name);
            let operation = operation.ok_or_else(|| MixError::Operation(name.to_owned()))?;
            if weights.iter().any(|(mixed, _)| *mixed == operation) {
                return Err(MixError::Repeated(operation));
            }
            weights.push((operation, weight.parse().map_err(|_| form())?));
        }
        weights.retain(|(_, weight)| *weight > 0);
        if weights.is_empty() { Err(MixError::Empty) } else { Ok(Mix { weights }) }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (operation, weight)) in self.weights.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{operation}={weight}")?;
        }
        Ok(())
    }
}
