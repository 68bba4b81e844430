//! The kinds of trouble.

use clap::ValueEnum;

use super::{Figures, faults, full_disk, image, kill, memory, stops};
use crate::Random;

/// A kind of trouble that a server gets into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `kill -9` under load and while the server starts, with changing numbers of cores
    Kill,
    /// Copies of the disk made under load, 4 a round, on ext4 and XFS, recovered elsewhere
    Image,
    /// A disk that fails, forgets at power cuts what was not synchronised, and rots
    Faults,
    /// SIGSTOP and SIGCONT, busy CPUs, clocks that jump forwards and back
    Stops,
    /// A disk that fills up, and has space again under the same server or the next
    FullDisk,
    /// Too little memory, by a bound of the server or of the system, which kills it
    Memory,
}

impl Kind {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Image => "image",
            Kind::Faults => "faults",
            Kind::Stops => "stops",
            Kind::FullDisk => "full-disk",
            Kind::Memory => "memory",
        }
    }

    /// Rounds of a full campaign.
    pub fn rounds_full(self) -> u64 {
        match self {
            Kind::Kill => 1000,
            Kind::Image => 80,
            Kind::Faults => 200,
            Kind::Stops | Kind::FullDisk | Kind::Memory => 50,
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
            Kind::Image => image::run(rounds, random, figures, done)?,
            Kind::Stops => stops::run(rounds, random, figures, done),
            Kind::Faults => faults::run(rounds, random, figures, done)?,
            Kind::Memory => memory::run(rounds, random, figures, done)?,
            Kind::FullDisk => full_disk::run(rounds, random, figures, done)?,
        }
        Ok(())
    }
}
