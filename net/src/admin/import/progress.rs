//! Shows how far an import is: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::admin::text::grouped;

/// How often a line is printed where a bar would be of no use.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one import, on standard error.
pub(super) struct Progress {
    started: Instant,
    bytes_total: Option<u64>,
    bytes: u64,
    claims: u64,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { printed: Instant },
}

impl Progress {
    /// Starts the clock. `bytes_total`: the size of the input, where it is known.
    pub(super) fn start(bytes_total: Option<u64>) -> Progress {
        let started = Instant::now();
        let display = if stderr().is_terminal() {
            Display::Bar(bar(bytes_total))
        } else {
            Display::Lines { printed: started }
        };
        Progress { started, bytes_total, bytes: 0, claims: 0, display }
    }

    /// The import is at these counts now.
    pub(super) fn advance(&mut self, bytes: u64, claims: u64) {
        (self.bytes, self.claims) = (bytes, claims);
        let status = self.status();
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_position(bytes);
                bar.set_message(status);
            }
            Display::Lines { printed } => {
                if printed.elapsed() >= LINE_EVERY {
                    *printed = Instant::now();
                    eprintln!("{status}{}", self.outlook());
                }
            }
        }
    }

    /// Something worth a line of its own happened.
    pub(super) fn note(&self, message: &str) {
        match &self.display {
            Display::Bar(bar) => bar.println(message),
            Display::Lines { .. } => eprintln!("{message}"),
        }
    }

    /// Takes the bar away and returns how long it all took.
    pub(super) fn finish(self) -> Duration {
        if let Display::Bar(bar) = self.display {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }

    fn status(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        format!(
            "{} claims, {} a second",
            grouped(self.claims),
            grouped((self.claims as f64 / seconds) as u64)
        )
    }

    fn outlook(&self) -> String {
        let Some(total) = self.bytes_total.filter(|&total| total > 0 && self.bytes > 0) else {
            return String::new();
        };
        let done = self.bytes as f64 / total as f64;
        let left = self.started.elapsed().as_secs_f64() * (1.0 - done).max(0.0) / done;
        format!(", {:.0} % of the file, about {left:.0} s left", done * 100.0)
    }
}

fn bar(bytes_total: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes_total {
        Some(total) => (ProgressBar::new(total), "{wide_bar} {percent:>3} %  {msg}  {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {bytes}  {msg}  {elapsed}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant that parses"))
}
