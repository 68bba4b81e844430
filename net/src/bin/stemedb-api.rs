//! The server. `stemedb-api --help` lists what it can be told.

#[cfg(feature = "planted-bugs")]
compile_error!("no server is built with planted bugs: leave out the feature `planted-bugs`");

use std::io;
use std::process::ExitCode;

use stemedb_engine::ring::CpuSet;
use stemedb_net::config::{Command, Config};
use stemedb_net::server;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cpus_allowed: Vec<usize> = match CpuSet::of_current_thread() {
        Ok(cpus) => cpus.iter().map(usize::from).collect(),
        Err(error) => return refuse(&format!("cannot tell which CPUs to use: {error}")),
    };
    let memory_bytes = rustix::system::sysinfo().totalram;
    let (config, unknown) =
        match Config::load(std::env::args_os(), std::env::vars_os(), &cpus_allowed, memory_bytes) {
            Ok(Command::Serve(config, unknown)) => (config, unknown),
            Ok(Command::Print(text)) => text.exit(),
            Err(error) => return refuse(&error.to_string()),
        };
    server::console::init(EnvFilter::new(&config.log));
    tracing::info!("StemeDB {} starting, process {}", env!("CARGO_PKG_VERSION"), std::process::id());
    for name in unknown {
        tracing::warn!("Ignoring environment variable {name}: there is no such setting; --help lists all");
    }
    match server::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", with_sources(&error));
            ExitCode::FAILURE
        }
    }
}

fn refuse(message: &str) -> ExitCode {
    server::console::refuse(message);
    ExitCode::FAILURE
}

/// An error and all that caused it, in one line, and what to do where that is the same for all of them.
fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    let mut is_disk_full = is_disk_full(error);
    while let Some(cause) = source {
        is_disk_full |= self::is_disk_full(cause);
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    if is_disk_full {
        text += "; nothing is lost, and docs/operations/full.md says how to make room";
    }
    text
}

fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    })
}
