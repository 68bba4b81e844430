//! `stemedb-bench`: measures StemeDB. Each subcommand has a file in `command/`.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures StemeDB: what it can do, and how long that takes.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(command::run::Arguments),
    Curve(command::curve::Arguments),
    Compare(command::compare::Arguments),
    Soak(command::soak::Arguments),
    #[command(hide = true)]
    SqliteLoop(command::sqlite_loop::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => command::run::run(&arguments),
        Command::Curve(arguments) => command::curve::run(&arguments),
        Command::Compare(arguments) => command::compare::run(&arguments),
        Command::Soak(arguments) => command::soak::run(&arguments),
        Command::SqliteLoop(arguments) => command::sqlite_loop::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stemedb-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
