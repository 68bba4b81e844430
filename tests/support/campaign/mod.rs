//! Crash campaigns: a real server in trouble of one kind, round after round, under a load of all kinds of clients, and
//! after each round a check of all that it holds against the history of the clients.
//!
//! Each kind is a file here, which says what it does and why that is sound. `crash-campaign` runs many rounds, the
//! tests of this crate a few. Whatever breaks a promise panics, with all that is known.

mod check;
mod faults;
mod figures;
mod full_disk;
mod image;
mod kill;
mod kind;
mod memory;
mod stops;

use std::time::Instant;

use crate::Random;

pub use figures::{Figures, Report};
pub use kind::Kind;

/// What a campaign is to do.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The kind of trouble.
    pub kind: Kind,
    /// How many rounds of it.
    pub rounds: u64,
    /// Determines all that is drawn by lot. Threads and disks are not as repeatable: the same seed brings the same
    /// trouble, at about the same time.
    pub seed: u64,
}

impl Campaign {
    /// Runs it. `done` is told after each round how many are done. `Err` says what this machine lacks for it.
    pub fn run(&self, mut done: impl FnMut(u64)) -> Result<Report, String> {
        let began = Instant::now();
        let random = Random::new(self.seed);
        let mut figures = Figures::default();
        self.kind.run(self.rounds, random, &mut figures, &mut done)?;
        let Campaign { kind, rounds, seed } = *self;
        Ok(Report { kind, rounds, seed, seconds: began.elapsed().as_secs_f64(), figures })
    }
}
