//! `stemedb-bench run`: load on a server that runs already.

mod report;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use stemedb_bench::client::health::health;
use stemedb_bench::client::{Operation, StemeDb};
use stemedb_bench::load::{self, Load, Outcome, Pacing};
use stemedb_bench::workload::{Distribution, Mix, RunId, Workload};
use stemedb_engine::ring::CpuSet;

use self::report::Report;

/// Examples and what the figures mean, below the options.
const EXAMPLES: &str = "\
Examples:
  stemedb-bench run
      64 connections to 127.0.0.1:18180, each sending the next claim when the last one is answered: how many
      durable writes a second the server can do
  stemedb-bench run --rate 20000 --duration-s 30
      20 000 claims are due each second, whatever the server does: how long they take at that load
  stemedb-bench run --connections 1,16,64,256 --rounds 7 --cpu 1
      four numbers of connections, one after the other, seven times over; the generator keeps to CPU 1
  stemedb-bench run --mix assert=90,query=9,subtree=1 --distribution zipf:0.99 --rate 10000
      reads beside writes, on subjects of which a few are asked for most
  stemedb-bench run --mix batch=1 --connections 8 --batch-claims 1000 --json > batches.json
      batches of a thousand, for a program to read

The first form, without --rate, is a closed loop: it finds the greatest rate, but its latencies say little, because a
server that stalls is sent nothing meanwhile. With --rate a latency counts from the moment a request was due, so
that a stall shows in all requests that it delayed. Requests that had no answer at the end are told apart: where there
are any, the rate was more than the server can do.

Each answer is checked, and after each run the server must count as many claims more as it has answered for. Claims
of one run differ from those of all others, so runs can be repeated on the same server.";

/// Put load on a StemeDB server that runs already, and tell how fast it answers
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:18180")]
    address: SocketAddr,
    /// How many connections there are; several numbers, separated by commas, are measured in turn in each round
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', default_value = "64",
        value_parser = clap::value_parser!(u32).range(1..=load::CONNECTIONS_MAX as i64))]
    connections: Vec<u32>,
    /// How many requests a connection may have unanswered
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    depth: u32,
    /// How many requests are due each second, over all connections; without it, each is due when it can be sent
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    rate: Option<f64>,
    /// How often each kind of request is made: weights of assert, batch, query and subtree
    #[arg(long, value_name = "KIND=WEIGHT,…", default_value = "assert=1")]
    mix: Mix,
    /// The size of a claim's JSON text
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload_bytes: usize,
    /// How many claims a batch has
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_claims: u32,
    /// How many subjects there are
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    subjects: u32,
    /// How often each subject is chosen: `uniform`, `zipf:THETA`, or `hot:SHARE` of the requests for one of them
    #[arg(long, value_name = "NAME", default_value = "uniform")]
    distribution: Distribution,
    /// What subjects and kinds of requests are chosen by; the same seed, the same choices
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How long load runs before it is measured
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = super::seconds)]
    warm_up_s: Duration,
    /// How long it is measured
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = super::positive_seconds)]
    duration_s: Duration,
    /// How often everything is measured
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The CPU that the generator keeps to; best one that the server does not use
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(0..1024))]
    cpu: Option<u16>,
    /// Tell the results as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut workload = arguments.workload()?;
    let progress = progress(u64::from(arguments.rounds) * arguments.connections.len() as u64);
    if let Some(cpu) = arguments.cpu {
        CpuSet::from_iter([cpu])
            .bind_current_thread()
            .map_err(|error| format!("--cpu {cpu}: the generator cannot keep to this CPU: {error}"))?;
    }
    let mut rounds: BTreeMap<u32, Vec<Outcome>> = BTreeMap::new();
    for round in 1..=arguments.rounds {
        for connections in &arguments.connections {
            progress.set_message(format!("round {round} of {}, {connections} connections", arguments.rounds));
            let outcome = run_once(arguments, &workload, *connections)?;
            rounds.entry(*connections).or_default().push(outcome);
            workload.run = workload.run.next();
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let report = Report { arguments, rounds };
    if arguments.json {
        report.print_json()
    } else {
        report.print_table()
    }
    Ok(())
}

/// One run, after which the server must hold what it has answered for.
fn run_once(arguments: &Arguments, workload: &Workload, connections: u32) -> Result<Outcome, Box<dyn Error>> {
    let load = arguments.load();
    let before = health(arguments.address)?.assertion_count;
    let clients = StemeDb::connections(workload, arguments.address, connections);
    let outcome = load::run(&load, clients)?;
    let held = health(arguments.address)?.assertion_count;
    let answered: u64 = [Operation::Assert, Operation::Batch]
        .iter()
        .filter_map(|operation| outcome.units_answered.get(operation))
        .sum();
    if held < before + answered {
        return Err(format!(
            "{answered} claims were answered, but the server held {before} claims before and holds {held} now"
        )
        .into());
    }
    Ok(outcome)
}

impl Arguments {
    fn workload(&self) -> Result<Workload, Box<dyn Error>> {
        let workload = Workload {
            claim_bytes: self.payload_bytes,
            subjects: self.subjects,
            distribution: self.distribution,
            mix: self.mix.clone(),
            batch_claims: self.batch_claims,
            seed: self.seed,
            run: RunId::unique(),
        };
        workload.check()?;
        Ok(workload)
    }

    fn load(&self) -> Load {
        Load {
            address: self.address,
            depth: self.depth,
            pacing: self.rate.map_or(Pacing::Closed, |rate_per_s| Pacing::Open { rate_per_s }),
            warm_up: self.warm_up_s,
            duration: self.duration_s,
        }
    }
}

/// A line that tells how far all is, on a terminal; nothing elsewhere.
fn progress(runs: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {elapsed} of about {duration}")
        .expect("the template is well-formed");
    let progress = ProgressBar::new(runs).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(250));
    progress
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if number > 0.0 && number <= 1e8 {
        Ok(number)
    } else {
        Err("it is not above 0 and up to 100 million".to_owned())
    }
}
