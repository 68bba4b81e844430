//! `crash-campaign`: puts a real server into trouble, round after round, and checks that it keeps its promises.

use std::io::{IsTerminal, stderr};
use std::panic;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, thread};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use stemedb_engine::ring::signals::Signals;
use stemedb_tests::campaign::{Campaign, Kind};
use stemedb_tests::{left_behind, random};

/// Examples and what the figures mean, below the options.
const EXAMPLES: &str = "\
Examples:
  crash-campaign kill --rounds 1000
      a server is killed a thousand times while two dozen clients write, retract and query
  crash-campaign kill --rounds 20 --seed 42 --json > kill.json
      the same trouble as in any other run with seed 42, the figures for a program to read

Each round starts the server on what the last one left, compares all that it holds with all that its clients
were ever told, and puts it into trouble again. What was acknowledged or shown to a query must be there, with its
contents; what was refused must not; what was not answered is there wholly or not at all, and stays so; a
retraction has struck all of its claims or none; the server's own counts must be those of its listings.

The first broken promise ends the campaign with status 1, says which it was and what the server said, and leaves
the data directory for inspection: below target/*/tests-scratch, of 'image' and 'full-disk' within the image of its
file system. Of 'faults' nothing is left, whose disk is in the memory of the campaign. A seed repeats all that is drawn by lot; when the disk and the threads
get there is not repeatable, so a failure may take a few runs to come again.

docs/reliability/crashes.md has the figures of full campaigns, and argues for each kind why it is sound.";

/// Put a real server into trouble, round after round, and check that it keeps its promises
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
struct Arguments {
    /// The kind of trouble
    #[arg(value_enum)]
    kind: Kind,
    /// How many rounds of it [default: as many as a full campaign has]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// What everything is drawn by; without it, a new one
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Where nobody sees a progress bar, every so many rounds are told.
const ROUNDS_A_LINE: u64 = 50;

/// The round that is under way, for the message of a panic.
static ROUND: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let kind = arguments.kind;
    let seed = arguments.seed.unwrap_or_else(|| random::fresh_seed("crash-campaign"));
    let campaign = Campaign { kind, rounds: arguments.rounds.unwrap_or(kind.rounds_full()), seed };
    if let Err(error) = leave_nothing_behind(campaign) {
        eprintln!("crash-campaign: signals cannot be awaited: {error}");
        return ExitCode::FAILURE;
    }
    let bar = progress_bar(campaign);
    let report = campaign.run(|done| {
        ROUND.store(done, Ordering::Relaxed);
        bar.set_position(done);
        if bar.is_hidden() && done.is_multiple_of(ROUNDS_A_LINE) {
            eprintln!("crash-campaign {}: {done} of {} rounds", kind.name(), campaign.rounds);
        }
    });
    bar.finish_and_clear();
    match report {
        Ok(report) if arguments.json => println!("{:#}", report.to_json()),
        Ok(report) => println!("{report}"),
        Err(lack) => {
            eprintln!("crash-campaign: {} is not possible here: {lack}", kind.name());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Ends what was started also when this process is told to end, and when a promise is broken: a panic aborts it.
fn leave_nothing_behind(campaign: Campaign) -> io::Result<()> {
    let signals = Signals::block()?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.wait().is_ok() {
            left_behind::undo_all();
            process::exit(1);
        }
    })?;
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        tell(what);
        let Campaign { kind, seed, .. } = campaign;
        let round = ROUND.load(Ordering::Relaxed);
        eprintln!(
            "crash-campaign: failed in round {round}; to repeat it: crash-campaign {} --seed {seed}",
            kind.name()
        );
        left_behind::undo_all();
        process::exit(1);
    }));
    Ok(())
}

fn progress_bar(campaign: Campaign) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(campaign.rounds);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} rounds, {eta} to go")
        .expect("a template without mistakes");
    bar.set_style(style);
    bar.set_message(format!("{}, seed {}", campaign.kind.name(), campaign.seed));
    bar
}
