//! What a campaign has done and found, in numbers.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Kind;
use crate::history::Tally;

/// Numbers by name, in the order in which they were first counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    figures: Vec<(String, u64)>,
}

/// A campaign that has come to its end: no promise was broken.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of which kind it was.
    pub kind: Kind,
    /// Rounds.
    pub rounds: u64,
    /// What repeats it.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// What was counted.
    pub figures: Figures,
}

impl Figures {
    /// Counts `more` under `name`, also if that is none.
    pub fn add(&mut self, name: &str, more: u64) {
        match self.figures.iter_mut().find(|(other, _)| other == name) {
            Some((_, count)) => *count += more,
            None => self.figures.push((name.to_owned(), more)),
        }
    }

    /// What was counted under `name`.
    pub fn count(&self, name: &str) -> u64 {
        self.figures.iter().find(|(other, _)| other == name).map_or(0, |(_, count)| *count)
    }

    /// Counts what is in the history of a data directory.
    pub(super) fn add_tally(&mut self, tally: Tally) {
        self.add("claims acknowledged", tally.acknowledged);
        self.add("claims refused", tally.refused);
        self.add("claims seen by queries under way", tally.seen);
        self.add("claims unanswered and there", tally.unanswered_there);
        self.add("claims unanswered and absent", tally.unanswered_absent);
        self.add("retractions acknowledged", tally.retractions_acknowledged);
        self.add("retractions unanswered and completed", tally.retractions_completed);
        self.add("retractions unanswered and never", tally.retractions_never);
    }
}

impl Report {
    /// For a program to read.
    pub fn to_json(&self) -> Value {
        #[derive(Serialize)]
        struct Json<'a> {
            kind: &'a str,
            rounds: u64,
            seed: u64,
            seconds: f64,
            violations: u64,
            figures: Map<String, Value>,
        }
        let figures =
            self.figures.figures.iter().map(|(name, count)| (name.replace(' ', "_"), Value::from(*count)));
        let json = Json {
            kind: self.kind.name(),
            rounds: self.rounds,
            seed: self.seed,
            seconds: self.seconds,
            violations: 0,
            figures: figures.collect(),
        };
        serde_json::to_value(json).expect("numbers and strings are JSON")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { kind, rounds, seed, seconds, figures } = self;
        writeln!(f, "{}: {rounds} rounds in {seconds:.0} s, seed {seed}", kind.name())?;
        for (name, count) in &figures.figures {
            writeln!(f, "  {name:<40} {count:>10}")?;
        }
        write!(f, "  {:<40} {:>10}", "promises broken", 0)
    }
}
