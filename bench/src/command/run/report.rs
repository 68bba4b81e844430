//! How the results of a run are told.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;
use stemedb_bench::client::Operation;
use stemedb_bench::load::{Measured, Outcome};

use super::Arguments;

/// All that was measured, by number of connections, one outcome a round.
pub(super) struct Report<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) rounds: BTreeMap<u32, Vec<Outcome>>,
}

/// A generator that is busy for a larger share of the time may be the limit itself.
const CPU_SHARE_MAX: f64 = 0.9;

impl Report<'_> {
    /// Tells it to a person.
    pub(super) fn print_table(&self) {
        println!(
            "{:>11}  {:<9} {:>10} {:>17} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "connections",
            "request",
            "answered/s",
            "min–max",
            "p50 µs",
            "p90 µs",
            "p99 µs",
            "p99.9 µs",
            "max µs"
        );
        for (connections, rounds) in &self.rounds {
            let all = merged(rounds);
            for (operation, measured) in &all.operations {
                let rates = Spread::of(rounds, |round| round.requests_per_s(*operation));
                let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0]
                    .map(|quantile| measured.latency_ns.value_at_quantile(quantile) as f64 / 1e3);
                let range = if rounds.len() > 1 {
                    format!("{:.0}–{:.0}", rates.min, rates.max)
                } else {
                    String::new()
                };
                println!(
                    "{connections:>11}  {:<9} {:>10.0} {range:>17} {p50:>9.0} {p90:>9.0} {p99:>9.0} {p999:>9.0} {max:>9.0}",
                    operation.name(),
                    rates.median,
                );
            }
        }
        println!();
        for (connections, rounds) in &self.rounds {
            self.print_notes(*connections, &merged(rounds));
        }
    }

    /// What has to be known beside the figures.
    fn print_notes(&self, connections: u32, all: &Outcome) {
        let begin = format!("{connections} connections");
        if let Some(batches) = all.operations.get(&Operation::Batch) {
            let rate = batches.units as f64 / all.elapsed.as_secs_f64();
            println!("{begin}: {rate:.0} claims a second in batches");
        }
        println!(
            "{begin}: the generator used {:.0}% of a CPU, {:.2} µs a request",
            100.0 * all.cpu_share(),
            all.cpu.as_secs_f64() * 1e6 / all.requests().max(1) as f64
        );
        if self.arguments.rate.is_some() {
            let late = |quantile| all.lateness_ns.value_at_quantile(quantile) as f64 / 1e3;
            println!(
                "{begin}: requests were sent after they were due by p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs, the server apart",
                late(0.5),
                late(0.99),
                late(1.0)
            );
        }
        if all.unanswered > 0 {
            let due = if all.due > 0 { format!(" of {}", all.due) } else { String::new() };
            println!(
                "{begin}: {}{due} requests were never answered: the percentiles are too good",
                all.unanswered
            );
        }
        if all.cpu_share() > CPU_SHARE_MAX {
            println!(
                "{begin}: the generator was busy nearly all the time, so it may be the limit, not the server"
            );
        }
    }

    /// Tells it to a program.
    pub(super) fn print_json(&self) {
        let arguments = self.arguments;
        let runs = self.rounds.iter().map(|(connections, rounds)| RunJson {
            connections: *connections,
            all: OutcomeJson::of(&merged(rounds)),
            rounds: rounds.iter().map(OutcomeJson::of).collect(),
        });
        let report = ReportJson {
            address: arguments.address.to_string(),
            depth: arguments.depth,
            rate_per_s: arguments.rate,
            mix: arguments.mix.to_string(),
            payload_bytes: arguments.payload_bytes,
            batch_claims: arguments.batch_claims,
            subjects: arguments.subjects,
            distribution: arguments.distribution.to_string(),
            seed: arguments.seed,
            warm_up_s: arguments.warm_up_s.as_secs_f64(),
            duration_s: arguments.duration_s.as_secs_f64(),
            runs: runs.collect(),
        };
        let text = serde_json::to_string_pretty(&report).expect("maps with keys of text become JSON");
        println!("{text}");
    }
}

/// All rounds as one.
fn merged(rounds: &[Outcome]) -> Outcome {
    let mut all = Outcome::new();
    rounds.iter().for_each(|round| all.merge(round));
    all
}

/// How a figure differs from round to round.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(rounds: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> Spread {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            (figures[middle - 1] + figures[middle]) / 2.0
        };
        Spread { min: figures[0], median, max: figures[figures.len() - 1] }
    }
}

#[derive(Serialize)]
struct ReportJson {
    address: String,
    depth: u32,
    rate_per_s: Option<f64>,
    mix: String,
    payload_bytes: usize,
    batch_claims: u32,
    subjects: u32,
    distribution: String,
    seed: u64,
    warm_up_s: f64,
    duration_s: f64,
    runs: Vec<RunJson>,
}

#[derive(Serialize)]
struct RunJson {
    connections: u32,
    /// All rounds together.
    all: OutcomeJson,
    rounds: Vec<OutcomeJson>,
}

#[derive(Serialize)]
struct OutcomeJson {
    elapsed_s: f64,
    generator_cpu_s: f64,
    due: u64,
    unanswered: u64,
    lateness_us: HistogramJson,
    operations: BTreeMap<&'static str, MeasuredJson>,
}

#[derive(Serialize)]
struct MeasuredJson {
    requests: u64,
    requests_per_s: f64,
    units: u64,
    units_per_s: f64,
    latency_us: HistogramJson,
}

#[derive(Serialize)]
struct HistogramJson {
    count: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl OutcomeJson {
    fn of(outcome: &Outcome) -> OutcomeJson {
        let measured = |(operation, measured): (&Operation, &Measured)| {
            let json = MeasuredJson {
                requests: measured.requests,
                requests_per_s: outcome.requests_per_s(*operation),
                units: measured.units,
                units_per_s: outcome.units_per_s(*operation),
                latency_us: HistogramJson::of(&measured.latency_ns),
            };
            (operation.name(), json)
        };
        OutcomeJson {
            elapsed_s: outcome.elapsed.as_secs_f64(),
            generator_cpu_s: outcome.cpu.as_secs_f64(),
            due: outcome.due,
            unanswered: outcome.unanswered,
            lateness_us: HistogramJson::of(&outcome.lateness_ns),
            operations: outcome.operations.iter().map(measured).collect(),
        }
    }
}

impl HistogramJson {
    fn of(histogram: &Histogram<u64>) -> HistogramJson {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        HistogramJson {
            count: histogram.len(),
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}
