//! `stemedb-bench sqlite-loop`: what `compare` runs in a process of its own to measure SQLite.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stemedb_bench::system;

/// Insert rows into a fresh SQLite database and print how fast that was.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    database: PathBuf,
    #[arg(long)]
    warm_up_s: f64,
    #[arg(long)]
    duration_s: f64,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up_s)?;
    let duration = Duration::try_from_secs_f64(arguments.duration_s)?;
    let report = system::run_sqlite_loop(&arguments.database, warm_up, duration)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
