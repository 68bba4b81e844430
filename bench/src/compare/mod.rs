//! StemeDB beside its peers, in one run: rounds in which each system is measured fresh and alone, and ratios within
//! rounds, so that a machine whose speed drifts does not favour one of them.

mod environment;
mod progress;
mod report;
mod round;
mod spread;
mod targets;

use serde::Serialize;

pub use environment::{BUSY_LOAD, Environment, load_average};
pub use progress::Progress;
pub use report::{to_markdown, to_text};
pub use round::Round;
pub use spread::Spread;
pub use targets::{Aim, Outcome, Verdict, evaluate};

use crate::system::{Name, Record, Site, System};

/// All that a run showed.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Where and how it ran.
    pub environment: Environment,
    /// What each system says that one has to know beside its figures.
    pub caveats: Vec<String>,
    /// What went wrong.
    pub failures: Vec<String>,
    /// The ratios.
    pub ratios: Vec<Outcome>,
    /// All measurements.
    pub rounds: Vec<Round>,
}

/// Measures all systems, so many rounds. A system that fails costs its own figures of that round only.
pub fn compare(systems: &[Box<dyn System>], site: &Site, rounds: u32, progress: &mut Progress) -> Comparison {
    let environment = Environment::of(systems, site, rounds);
    let mut failures = Vec::new();
    let measured: Vec<Round> =
        (1..=rounds).map(|number| measure_round(number, systems, site, progress, &mut failures)).collect();
    progress.finish();
    Comparison {
        environment,
        caveats: systems.iter().flat_map(|system| system.caveats()).collect(),
        failures,
        ratios: evaluate(&measured),
        rounds: measured,
    }
}

fn measure_round(
    number: u32,
    systems: &[Box<dyn System>],
    site: &Site,
    progress: &mut Progress,
    failures: &mut Vec<String>,
) -> Round {
    let mut round = Round::default();
    for system in systems {
        let name: Name = system.name();
        progress.begin_system(number, name);
        let mut announce = |experiment| progress.begin_experiment(experiment);
        let mut record = Record::new(&mut announce);
        let result = system.measure(site, &mut record);
        round.add(name, record.into_measured());
        if let Err(error) = result {
            let failure = format!("round {number}, {name}: {error}");
            progress.warn(&failure);
            failures.push(failure);
        }
    }
    round
}
