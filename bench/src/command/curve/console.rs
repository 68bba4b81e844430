//! What is told while the curve is measured, and at its end.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use stemedb_bench::chart::Unit;
use stemedb_bench::curve::{Ascent, Attempt, Curve, Objective, Step};
use stemedb_bench::report::{Report, finding};

use super::Arguments;

/// A table that grows by a line a step, above a line that tells how far all is.
pub(super) struct Console {
    objective: Objective,
    progress: ProgressBar,
    is_json: bool,
}

impl Console {
    pub(super) fn new(arguments: &Arguments, ascent: &Ascent, probe_per_s: f64) -> Console {
        let progress = if stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg} [{wide_bar}] {elapsed}")
            .expect("the template is well-formed");
        progress.set_style(style);
        progress.enable_steady_tick(Duration::from_millis(250));
        let console = Console { objective: ascent.objective, progress, is_json: arguments.json };
        console.tell(format!(
            "Without pauses: {} claims a second. Objective: {}. Steps of {} a second, {} tries each.\n",
            Unit::Count.label(probe_per_s),
            ascent.objective,
            Unit::Count.label(ascent.plan.step_per_s),
            ascent.tries
        ));
        console.tell(row(&[
            "rate",
            "achieved",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "a commit",
            "write p50",
            "write p99",
            "CPU",
            "a request",
            "generator",
            "objective",
        ]));
        console
    }

    /// Before a try.
    pub(super) fn trying(&self, attempt: &Attempt) {
        let rate = Unit::Count.label(attempt.target_per_s);
        self.progress.set_message(format!(
            "{rate} a second, try {}, at most {} to go",
            attempt.index + 1,
            attempt.remaining_max
        ));
        self.progress.set_length(self.progress.position() + attempt.remaining_max as u64);
    }

    /// After all tries at one rate.
    pub(super) fn done(&self, step: &Step) {
        self.progress.inc(step.tries.len() as u64);
        let (median, us) = (&step.median, |us| Unit::Microseconds.label(us));
        let known = |figure: Option<String>| figure.unwrap_or_else(|| "–".to_owned());
        let verdict = self.objective.breach(step.target_per_s, median);
        self.tell(row(&[
            &Unit::Count.label(step.target_per_s),
            &Unit::Count.label(median.achieved_per_s),
            &us(median.latency.p50_us),
            &us(median.latency.p90_us),
            &us(median.latency.p99_us),
            &us(median.latency.p999_us),
            &us(median.latency.max_us),
            &known(median.commits.map(|commits| Unit::Count.label(commits.records_mean))),
            &known(median.commits.map(|commits| us(commits.write_p50_us))),
            &known(median.commits.map(|commits| us(commits.write_p99_us))),
            &known(median.server.map(|server| Unit::Share.label(server.cpu_share))),
            &known(median.server.map(|server| us(server.cpu_us_a_request))),
            &Unit::Share.label(median.generator.cpu_share),
            &verdict.map_or_else(|| "met".to_owned(), |breach| format!("broken: {breach}")),
        ]));
    }

    /// When all is measured and written.
    pub(super) fn end(self, curve: &Curve, report: &Report) -> Result<(), Box<dyn Error>> {
        self.progress.finish_and_clear();
        if self.is_json {
            println!("{}", serde_json::to_string_pretty(curve)?);
            return Ok(());
        }
        println!("\n{}", finding(curve));
        for caution in curve.cautions() {
            println!("Caution: {caution}");
        }
        println!("\nReport: {}", report.page.display());
        println!("Chart:  {}", report.picture.display());
        println!("Data:   {}", report.data.display());
        Ok(())
    }

    fn tell(&self, line: String) {
        if !self.is_json {
            self.progress.suspend(|| println!("{line}"));
        }
    }
}

/// Columns of equal width, but for the last, which is text.
fn row(cells: &[&str; 14]) -> String {
    let (last, figures) = cells.split_last().expect("there are 14");
    let mut line: String = figures.iter().map(|cell| format!("{cell:>9} ")).collect();
    line.push(' ');
    line.push_str(last);
    line
}
