//! The kinds of trouble.

use super::{Figures, kill};
use crate::Random;

/// A kind of trouble that a server gets into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `kill -9` while clients write, and while the server starts.
    Kill,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 1] = [Kind::Kill];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
        }
    }

    /// One line for `--help`.
    pub fn help(self) -> &'static str {
        match self {
            Kind::Kill => "kill -9 under load and while the server starts, with changing numbers of cores",
        }
    }

    /// Rounds of a full campaign.
    pub fn rounds_full(self) -> u64 {
        match self {
            Kind::Kill => 1000,
        }
    }

    pub(super) fn run(
        self,
        rounds: u64,
        random: Random,
        figures: &mut Figures,
        done: &mut dyn FnMut(u64),
    ) -> Result<(), String> {
        match self {
            Kind::Kill => kill::run(rounds, random, figures, done),
        }
        Ok(())
    }
}
