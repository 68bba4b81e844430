//! How far a run is: a bar on a terminal, a line for each system elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::system::{Experiment, Name};

/// Shows how far a run is, on standard error. It draws only between experiments, when nothing is measured.
#[derive(Debug)]
pub struct Progress {
    rounds: u32,
    bar: Option<ProgressBar>,
    current: String,
}

impl Progress {
    /// Of a run that measures so many systems in each round.
    pub fn new(rounds: u32, systems: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  ({elapsed} so far)")
                .expect("the template is sound");
            ProgressBar::new(u64::from(rounds) * systems as u64).with_style(style)
        });
        Progress { rounds, bar, current: String::new() }
    }

    pub(super) fn begin_system(&mut self, round: u32, name: Name) {
        if !self.current.is_empty() {
            self.bar.iter().for_each(|bar| bar.inc(1));
        }
        self.current = format!("round {round} of {}: {name}", self.rounds);
        match &self.bar {
            Some(bar) => bar.set_message(self.current.clone()),
            None => eprintln!("{}", self.current),
        }
    }

    pub(super) fn begin_experiment(&mut self, experiment: Experiment) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}, {experiment}", self.current));
        }
    }

    /// Says that something is wrong.
    pub fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    pub(super) fn finish(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
