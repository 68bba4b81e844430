//! A comparison as text for a terminal, and as Markdown for documents.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::round::Round;
use super::spread::Spread;
use super::{Comparison, Verdict};
use crate::system::{Experiment, Measurement, Name, Quantity};

/// The comparison for a terminal.
pub fn to_text(comparison: &Comparison) -> String {
    let mut text = describe(comparison);
    for table in tables(comparison) {
        text.push('\n');
        text.push_str(&table.to_text());
    }
    text.push_str("\nWhat is not equal, and what else there is to know:\n");
    comparison.caveats.iter().for_each(|caveat| writeln!(text, "- {caveat}").expect("a string takes all"));
    append_notes(comparison, &mut text);
    text
}

/// The comparison for a document.
pub fn to_markdown(comparison: &Comparison) -> String {
    let mut text = describe(comparison);
    for table in tables(comparison) {
        text.push('\n');
        text.push_str(&table.to_markdown());
    }
    text.push_str("\nWhat is not equal, and what else there is to know:\n\n");
    comparison.caveats.iter().for_each(|caveat| writeln!(text, "- {caveat}").expect("a string takes all"));
    append_notes(comparison, &mut text);
    text
}

fn describe(comparison: &Comparison) -> String {
    let at = &comparison.environment;
    let mut text = format!(
        "{}, {} GiB, Linux {}, {}; begun {}, load average {:.2} before.\n{} rounds; each measurement {} s after {} s of the same load.\n",
        at.cpus,
        at.memory_gib,
        at.kernel,
        at.file_system,
        at.began,
        at.load_average_before,
        at.rounds,
        at.duration_s,
        at.warm_up_s,
    );
    let versions: Vec<&str> = at.versions.values().map(String::as_str).collect();
    writeln!(text, "{}.", versions.join("; ")).expect("a string takes all");
    text
}

/// Threads that were free to run elsewhere, and failures.
fn append_notes(comparison: &Comparison, text: &mut String) {
    let mut strays: BTreeMap<Name, Vec<&str>> = BTreeMap::new();
    for (name, _, measurement) in comparison.rounds.iter().flat_map(Round::iter) {
        strays.entry(name).or_default().extend(measurement.strays.iter().map(String::as_str));
    }
    for (name, threads) in &mut strays {
        threads.sort_unstable();
        threads.dedup();
        if !threads.is_empty() {
            let threads = threads.join(", ");
            writeln!(text, "- {name}: threads that were not bound to the server's CPU: {threads}.")
                .expect("a string takes all");
        }
    }
    for failure in &comparison.failures {
        writeln!(text, "- FAILED: {}", failure.replace('\n', " ")).expect("a string takes all");
    }
}

/// Those that have something in them.
fn tables(comparison: &Comparison) -> impl Iterator<Item = Table> {
    let tables = [ratio_table(comparison), measurement_table(&comparison.rounds)];
    tables.into_iter().filter(|table| !table.rows.is_empty())
}

fn ratio_table(comparison: &Comparison) -> Table {
    let mut table = Table::new(&["ratio", "median", "min–max", "aim", ""]);
    for outcome in &comparison.ratios {
        let Spread { median, min, max, rounds } = outcome.spread;
        let whole = if rounds as u32 == comparison.environment.rounds {
            String::new()
        } else {
            format!(" ({rounds} rounds)")
        };
        table.rows.push(vec![
            outcome.title.to_owned(),
            number(median),
            format!("{}–{}{whole}", number(min), number(max)),
            outcome.aim.to_string(),
            match outcome.verdict {
                Verdict::Told => String::new(),
                verdict => verdict.to_string(),
            },
        ]);
    }
    table
}

fn measurement_table(rounds: &[Round]) -> Table {
    let mut by_experiment: BTreeMap<(Name, Experiment), Vec<&Measurement>> = BTreeMap::new();
    for (name, experiment, measurement) in rounds.iter().flat_map(Round::iter) {
        by_experiment.entry((name, experiment)).or_default().push(measurement);
    }
    let mut table = Table::new(&[
        "system",
        "load",
        "a second",
        "min–max",
        "p50 µs",
        "p99 µs",
        "server CPU",
        "µs CPU each",
        "load CPU",
        "",
    ]);
    for ((name, experiment), measurements) in by_experiment {
        let spread =
            |quantity| Spread::of(measurements.iter().filter_map(|measurement| measurement.value(quantity)));
        let median =
            |quantity, form: fn(f64) -> String| spread(quantity).map_or(String::new(), |s| form(s.median));
        let rate = spread(Quantity::PerSecond);
        table.rows.push(vec![
            name.to_string(),
            experiment.to_string(),
            median(Quantity::PerSecond, number),
            rate.map_or(String::new(), |rate| format!("{}–{}", number(rate.min), number(rate.max))),
            median(Quantity::P50Us, number),
            median(Quantity::P99Us, number),
            median(Quantity::ServerCpus, percent),
            median(Quantity::ServerCpuUs, number),
            median(Quantity::LoadCpus, percent),
            remarks(&spread),
        ]);
    }
    table
}

/// What has no column of its own.
fn remarks(spread: &impl Fn(Quantity) -> Option<Spread>) -> String {
    let mut remarks = Vec::new();
    let mut remark = |quantity, form: &dyn Fn(f64) -> String| {
        remarks.extend(spread(quantity).map(|spread| form(spread.median)));
    };
    remark(Quantity::DiskBytesPerSecond, &|bytes| {
        format!("{} MiB/s to the disk", number(bytes / f64::from(1 << 20)))
    });
    remark(Quantity::Claims, &|claims| format!("{} claims", number(claims)));
    remark(Quantity::ResidentBytesAClaim, &|bytes| format!("{} resident bytes a claim", number(bytes)));
    remark(Quantity::BesidePerSecond, &|rate| format!("{} a second beside", number(rate)));
    remark(Quantity::LatenessP99Us, &|us| format!("p99 of the generator's own lateness {} µs", number(us)));
    remark(Quantity::Unanswered, &|requests| {
        if requests > 0.0 { format!("{requests} unanswered") } else { String::new() }
    });
    remarks.retain(|remark| !remark.is_empty());
    remarks.join(", ")
}

/// A number with about three digits that say something, thousands apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), ""), |(whole, _)| (whole, &text[whole.len()..]));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left % 3 == 0 && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Cells; the first columns are words, the others numbers.
struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(header: &[&'static str]) -> Table {
        Table { header: header.to_vec(), rows: Vec::new() }
    }

    fn to_text(&self) -> String {
        let header: Vec<String> = self.header.iter().map(|title| (*title).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(&self.rows).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let mut row = String::new();
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                match self.is_words(column) {
                    true => write!(row, "{cell:width$}  "),
                    false => write!(row, "{cell:>width$}  "),
                }
                .expect("a string takes all");
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }

    fn to_markdown(&self) -> String {
        let mut text = format!("| {} |\n|", self.header.join(" | "));
        for column in 0..self.header.len() {
            text.push_str(if self.is_words(column) { "---|" } else { "---:|" });
        }
        text.push('\n');
        for row in &self.rows {
            writeln!(text, "| {} |", row.join(" | ")).expect("a string takes all");
        }
        text
    }

    /// The first column, the second of the measurements, and the last one.
    fn is_words(&self, column: usize) -> bool {
        matches!(self.header[column], "ratio" | "system" | "load" | "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        for (value, text) in
            [(1.715, "1.72"), (12.34, "12.3"), (123.4, "123"), (98_765.4, "98,765"), (2e6, "2,000,000")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new(&["ratio", "median", ""]);
        table.rows.push(vec!["StemeDB ÷ Redis".to_owned(), "1.70".to_owned(), "met".to_owned()]);
        assert_eq!(table.to_text(), "ratio            median\nStemeDB ÷ Redis    1.70  met\n");
        assert_eq!(
            table.to_markdown(),
            "| ratio | median |  |\n|---|---:|---|\n| StemeDB ÷ Redis | 1.70 | met |\n"
        );
    }
}
