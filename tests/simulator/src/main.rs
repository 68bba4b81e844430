//! `stemedb-simulator`: simulated worlds by the thousand, or one to look at.

use std::cell::Cell;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use stemedb_simulator::{Outcome, Totals, World, say};

/// Runs the whole server on a simulated disk, network and clock, and checks what it promises.
///
/// Each seed is a world of its own: several cores, clients that contradict each other, a machine that goes down at any
/// step and comes up with another number of cores, a disk that tears, loses and refuses writes. A seed that shows a
/// broken promise ends the campaign, with the command that shows it again.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,

    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    first: u64,

    /// Run one seed only.
    #[arg(long)]
    seed: Option<u64>,

    /// Print what happens in it, in one run instead of two that are compared.
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Have all clients speak TLS, in the worlds in which they would not, too.
    #[arg(long)]
    tls: bool,

    /// Run every so many seeds twice, and check that both runs were the same, event by event. 0 for none.
    #[arg(long, default_value_t = 20)]
    twice_every: u64,

    /// How many seeds to run at once. All CPUs unless it is said.
    #[arg(long)]
    threads: Option<usize>,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What is told in the end.
#[derive(Debug, Serialize)]
struct Report {
    first_seed: u64,
    seeds: u64,
    seeds_run_twice: u64,
    seconds: f64,
    #[serde(flatten)]
    totals: Totals,
}

thread_local! {
    static WORLD: Cell<Option<World>> = const { Cell::new(None) };
}

fn main() {
    let options = Options::parse();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| tell_how_to_replay(panic, &usual)));
    match options.seed {
        Some(seed) => run_one(seed, &options),
        None => run_many(&options),
    }
}

/// The last words of a seed that failed.
fn tell_how_to_replay(panic: &PanicHookInfo<'_>, usual: &dyn Fn(&PanicHookInfo<'_>)) {
    usual(panic);
    if let Some(world) = WORLD.get() {
        eprintln!("\n{world}");
    }
    // The others need not go on.
    std::process::exit(1);
}

fn run_one(seed: u64, options: &Options) {
    let began = Instant::now();
    let world = World { seed, speaks_tls: options.tls };
    let outcome = run_world(world, options.trace, !options.trace);
    say(format_args!("seed {seed}: the sum of all events is {}", outcome.sum));
    let report = Report {
        first_seed: seed,
        seeds: 1,
        seeds_run_twice: u64::from(!options.trace),
        seconds: began.elapsed().as_secs_f64(),
        totals: outcome.totals,
    };
    report.print(options.json);
}

fn run_many(options: &Options) {
    let began = Instant::now();
    let threads = options
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let next = AtomicU64::new(0);
    let totals = Mutex::new((Totals::default(), 0));
    let bar = progress_bar(options.seeds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.seeds {
                        return;
                    }
                    let twice = options.twice_every != 0 && number.is_multiple_of(options.twice_every);
                    let world = World { seed: options.first + number, speaks_tls: options.tls };
                    let run = run_world(world, false, twice).totals;
                    let mut sum = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.0 += &run;
                    sum.1 += u64::from(twice);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let (totals, seeds_run_twice) = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    let report = Report {
        first_seed: options.first,
        seeds: options.seeds,
        seeds_run_twice,
        seconds: began.elapsed().as_secs_f64(),
        totals,
    };
    report.print(options.json);
}

/// Runs a world, perhaps a second time to compare.
fn run_world(world: World, trace: bool, twice: bool) -> Outcome {
    WORLD.set(Some(world));
    let outcome = world.simulation(trace).run();
    if twice {
        let again = world.simulation(false).run();
        assert_eq!(outcome.sum, again.sum, "two runs of one seed differ");
    }
    WORLD.set(None);
    outcome
}

fn progress_bar(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left")
        .expect("the template is valid");
    ProgressBar::new(seeds).with_style(style)
}

impl Report {
    fn print(&self, json: bool) {
        if json {
            say(format_args!("{}", serde_json::to_string(self).expect("figures are JSON")));
            return;
        }
        let Report { first_seed, seeds, seeds_run_twice, seconds, totals } = self;
        let per_second = *seeds as f64 / seconds;
        say(format_args!(
            "{seeds} seeds from {first_seed} on, no promise broken, in {seconds:.1} s ({per_second:.1} a second)"
        ));
        say(format_args!("  {seeds_run_twice:>14} of them run twice, with the same events"));
        let rows = [
            ("operations", totals.operations),
            ("crashes", totals.crashes),
            ("  of them during a start", totals.start_crashes),
            ("orderly stops", totals.stops),
            ("runs of the server", totals.runs),
            ("writes to the log", totals.writes),
            ("  torn or lost by a crash", totals.writes_torn),
            ("  failed or short", totals.writes_failed),
            ("steps of upkeep", totals.upkeep_steps),
            ("  in the midst of a crash", totals.upkeep_crashes),
            ("  failed", totals.upkeep_failures),
            ("checkpoints", totals.checkpoints),
            ("merges of tables", totals.merges),
            ("segments removed", totals.segments_removed),
            ("tables removed", totals.tables_removed),
            ("starts on tables", totals.starts_on_tables),
            ("snapshots of the indexes", totals.snapshots),
            ("  given up", totals.snapshot_failures),
            ("starts on snapshots", totals.starts_on_snapshots),
            ("  with a damaged part", totals.snapshots_damaged),
            ("damaged files told by the scrub", totals.scrubbed),
            ("changes to what the disk held", totals.lies),
            ("  refused by a start", totals.lies_refused),
            ("connections broken", totals.resets),
            ("connections stalled", totals.stalls),
            ("slow readers", totals.slow_readers),
            ("inspections without faults", totals.inspections),
            ("messages between cores", totals.messages),
            ("jumps of the wall clock", totals.clock_jumps),
            ("seconds simulated", totals.virtual_us / 1_000_000),
            ("events", totals.events),
        ];
        rows.iter().for_each(|(what, count)| say(format_args!("  {count:>14} {what}")));
        let answers: Vec<_> =
            totals.answers.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        say(format_args!("  what went wrong, and how often:"));
        for (kind, count) in &totals.faults {
            say(format_args!("{count:>16} {kind}"));
        }
        say(format_args!("  answers by status: {}", answers.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a seed that failed, as the program reads it again: one command after the other.
    fn commands(world: World) -> Vec<Options> {
        let said = world.to_string();
        let arguments =
            said.lines().filter_map(|line| line.trim().strip_prefix("cargo run --release --locked -p "));
        let options = arguments.map(|line| {
            let words = line.split(' ').filter(|word| *word != "--");
            Options::try_parse_from(words).expect("the program understands what it prints")
        });
        options.collect()
    }

    /// Goal: the commands that are printed of a seed that failed show that world again. Method: their arguments, read as the program reads them,
    /// mean the same seed and the same clients.
    #[test]
    fn the_commands_of_a_seed_that_failed_name_its_world() {
        for (seed, speaks_tls) in [(1, false), (u64::MAX, false), (131, true)] {
            let traces = commands(World { seed, speaks_tls }).into_iter().map(|options| {
                assert_eq!((options.seed, options.tls), (Some(seed), speaks_tls));
                options.trace
            });
            assert_eq!(traces.collect::<Vec<_>>(), [false, true], "twice, and with what happens");
        }
    }

    /// Goal: what a failing seed prints shows the same failure. Method: with a bug planted, seeds are run until one fails; the command that is
    /// printed of it is read and run as the program would, and says the same.
    #[cfg(feature = "planted-bugs")]
    #[test]
    fn a_seed_that_failed_fails_again_by_its_command() {
        use std::panic::{AssertUnwindSafe, catch_unwind};

        use stemedb_engine::planted::{Bug, plant};

        plant(Some(Bug::AcknowledgeBeforeDurable));
        let said = |run: &dyn Fn()| {
            let failed = catch_unwind(AssertUnwindSafe(run)).err()?;
            Some(*failed.downcast::<String>().expect("it says what was broken"))
        };
        let run = |seed| said(&|| drop(run_world(World { seed, speaks_tls: false }, false, false)));
        let (seed, failure) =
            (1..=20).find_map(|seed| Some((seed, run(seed)?))).expect("one of some seeds shows the bug");
        let options = &commands(World { seed, speaks_tls: false })[0];
        let again = said(&|| run_one(options.seed.expect("a command names its seed"), options));
        assert_eq!(again, Some(failure));
    }
}
