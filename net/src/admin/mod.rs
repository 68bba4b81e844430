//! The operators' tool, `stemedb-admin`.
//!
//! Commands either talk to a running server over HTTP ([`import`], [`query`], [`health`]) or look at the machine
//! and the data directory without one. Each prints for people, or, with `--json`, for programs.
//!
//! Exit codes: 0 the command did what it was asked, 1 it did not, 2 it was asked wrongly, 3 a backup is damaged, 4 there is no room for one.

mod archive;
mod backup;
mod client;
mod data;
mod diagnose;
mod doctor;
mod error;
mod files;
mod health;
mod import;
mod log_source;
mod moment;
mod progress;
mod query;
mod restore;
mod run_report;
mod settings;
mod store;
mod tables;
mod text;
mod tls;
mod validate;
mod wal;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::error::AdminError;

/// Runs the tool with this process's arguments, environment and standard streams.
pub fn run() -> ExitCode {
    let Cli { json, command } = Cli::parse();
    let result = match command {
        Command::Import(options) => import::run(json, &options),
        Command::Query(options) => query::run(json, &options),
        Command::Health(options) => health::run(json, &options),
        Command::Wal { command } => wal::run(json, &command),
        Command::Doctor(options) => doctor::run(json, &options),
        Command::Backup { command } => backup::run(json, &command),
        Command::Archive { command } => archive::run(json, &command),
        Command::Restore(options) => restore::run(json, &options),
        Command::Validate(options) => validate::run(json, &options),
        Command::Diagnose(options) => diagnose::run(json, &options),
        Command::Settings(options) => settings::run(&options),
    };
    match result {
        Ok(code) => code,
        // Whoever read the output has seen enough, as `| head` does.
        Err(AdminError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stemedb-admin: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// The operators' tool of StemeDB.
#[derive(Debug, Parser)]
#[command(name = "stemedb-admin", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    /// Print JSON on standard output, for programs
    #[arg(long, global = true, display_order = 900)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What commands share that ask a server.
#[derive(Debug, clap::Args)]
struct ServerOptions {
    /// Where the server answers: http://HOST:PORT or https://HOST:PORT
    #[arg(long, env = "STEMEDB_URL", default_value = "http://127.0.0.1:18180", help_heading = "Server")]
    url: String,
    #[command(flatten)]
    tls: tls::TlsOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send claims from a file, or from standard input, to the server
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportOptions),
    /// Ask for the claims about a concept path, or for the winners a lens picks
    #[command(after_help = query::EXAMPLES)]
    Query(query::QueryOptions),
    /// Ask the server how it is; exit code 0 only if it is healthy and ready
    #[command(after_help = health::EXAMPLES)]
    Health(health::HealthOptions),
    /// Look into a log's directory, without a server
    Wal {
        #[command(subcommand)]
        command: wal::WalCommand,
    },
    /// Check whether this machine can run StemeDB, and how well
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorOptions),
    /// Take backups of a data directory, list, check and remove them
    Backup {
        #[command(subcommand)]
        command: backup::BackupCommand,
    },
    /// Copy what the log gains to a store, every few minutes
    Archive {
        #[command(subcommand)]
        command: archive::ArchiveCommand,
    },
    /// Put a backup in the place of a data directory, whole or up to a moment
    #[command(after_help = restore::EXAMPLES, mut_arg("store", |store| store.help(restore::STORE_HELP).requires("moment")))]
    Restore(restore::RestoreOptions),
    /// Check a server against its log: connectivity, counts, the format, the indexes; writes a report
    #[command(after_help = validate::EXAMPLES)]
    Validate(validate::ValidateOptions),
    /// Collect all that somebody needs who looks into an incident
    #[command(after_help = diagnose::EXAMPLES)]
    Diagnose(diagnose::DiagnoseOptions),
    /// Print what a file of settings says, for scripts: a line NAME=VALUE for each setting, as printf %b reads it
    #[command(hide = true)]
    Settings(settings::SettingsOptions),
}

const EXAMPLES: &str = "\
Examples:
  stemedb-admin health
  stemedb-admin import claims.ndjson
  stemedb-admin query debian/package/openssh-server --predicate version
  stemedb-admin query 'drug/*' --lens consensus --json | jq '.assertions[].value'
  STEMEDB_URL=http://10.0.0.7:18180 stemedb-admin health
  stemedb-admin health --url https://db.example:18180 --ca-file ca.pem

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a backup is damaged, 4 there is no room for a backup.
Each command has its own examples: stemedb-admin import --help";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn only_commands_that_ask_a_server_want_to_know_where_it_is() {
        let asking: Vec<_> = Cli::command()
            .get_subcommands()
            .filter(|command| command.get_arguments().any(|argument| argument.get_long() == Some("url")))
            .map(|command| command.get_name().to_owned())
            .collect();
        assert_eq!(asking, ["import", "query", "health", "validate", "diagnose"]);
    }
}
