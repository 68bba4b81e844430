//! `stemedb-bench run`: load on a server that runs already.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use stemedb_bench::client::StemeDb;
use stemedb_bench::load::{self, Load, Outcome, Pacing};
use stemedb_bench::workload::{RunId, Workload};

/// Put load on a StemeDB server that runs already, and tell how fast it answers.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:18180")]
    address: SocketAddr,
    /// How many connections there are.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=load::CONNECTIONS_MAX as i64))]
    connections: u32,
    /// How many requests a connection may have unanswered.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    depth: u32,
    /// How long load runs before it is measured, in seconds.
    #[arg(long, default_value_t = 1.0)]
    warm_up_s: f64,
    /// How long it is measured, in seconds.
    #[arg(long, default_value_t = 5.0)]
    duration_s: f64,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let workload = Workload::new(RunId::unique());
    let load = Load {
        address: arguments.address,
        depth: arguments.depth,
        pacing: Pacing::Closed,
        warm_up: Duration::try_from_secs_f64(arguments.warm_up_s)?,
        duration: Duration::try_from_secs_f64(arguments.duration_s)?,
    };
    let clients = StemeDb::connections(&workload, arguments.address, arguments.connections);
    print(&load::run(&load, clients)?);
    Ok(())
}

fn print(outcome: &Outcome) {
    for (operation, measured) in &outcome.operations {
        let latency_us = |quantile| measured.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "{operation}: {:.0}/s, p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs",
            outcome.requests_per_s(*operation),
            latency_us(0.5),
            latency_us(0.99),
            latency_us(1.0),
        );
    }
    println!(
        "generator: {:.0}% of a CPU, {:.2} µs a request",
        100.0 * outcome.cpu_share(),
        outcome.cpu.as_secs_f64() * 1e6 / outcome.requests() as f64
    );
}
