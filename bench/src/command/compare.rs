//! `stemedb-bench compare`: StemeDB beside its peers.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use stemedb_bench::compare::{self, BUSY_LOAD, Progress};
use stemedb_bench::process;
use stemedb_bench::system::{self, Name, Programs, Site, System};

/// Measure StemeDB and its peers side by side, in one run, and tell ratios.
///
/// In every round each system is started fresh and alone, pinned to CPU 0, with its data in a directory of its own on the
/// same file system; the load comes from CPU 1, from one generator for all. A ratio is taken within a round; told are the
/// median of the rounds and their range. Everybody stores the same 200 bytes and answers when they are durable. A
/// system that is not installed is skipped.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Measure only these, separated by commas; a ratio needs all its parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Name>,
    /// Where the data goes while it is measured: a directory on a real disk.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    /// The StemeDB server; by default the one that lies beside this program.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Install peers that are missing from Debian's packages, without starting their services. Needs root.
    #[arg(long)]
    install: bool,
    /// Write all figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the tables to this file, as Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Also load that many small claims and see what memory they take, such as 10000000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    memory_claims: Option<u64>,
}

/// How long load runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    process::end_all_at_signals()?;
    let bench = std::env::current_exe()?;
    let stemedb = arguments.server.clone().unwrap_or_else(|| bench.with_file_name("stemedb-api"));
    let programs = Programs { stemedb: std::path::absolute(stemedb)?, bench };
    let site = Site {
        parent: arguments.dir.clone(),
        warm_up: WARM_UP,
        duration: Duration::try_from_secs_f64(arguments.seconds)?,
        memory_claims: arguments.memory_claims,
    };
    let names = chosen(arguments);
    if arguments.install {
        install_missing(&names, &programs)?;
    }
    let systems = find_systems(&names, &programs);
    if systems.is_empty() {
        return Err("nothing is left to measure".into());
    }
    Site::enter().map_err(|error| format!("CPUs 0 and 1 are needed: {error}"))?;
    let busy = compare::load_average();
    if busy > BUSY_LOAD {
        eprintln!("warning: this machine is busy (load average {busy:.1}); the figures will say little");
    }
    // A run takes long: that its figures cannot be written should show before it.
    for path in [&arguments.json, &arguments.markdown].into_iter().flatten() {
        write(path, "")?;
    }
    let mut progress = Progress::new(arguments.rounds, systems.len());
    let comparison = compare::compare(&systems, &site, arguments.rounds, &mut progress);
    print!("{}", compare::to_text(&comparison));
    if let Some(path) = &arguments.json {
        write(path, &(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    }
    if let Some(path) = &arguments.markdown {
        write(path, &compare::to_markdown(&comparison))?;
    }
    Ok(())
}

/// The systems that were asked for, in the order in which they are measured.
fn chosen(arguments: &Arguments) -> Vec<Name> {
    let is_chosen = |name: &Name| arguments.only.is_empty() || arguments.only.contains(name);
    Name::ALL.iter().copied().filter(is_chosen).collect()
}

/// Installs what is missing. What cannot be installed is skipped later, with a line.
fn install_missing(names: &[Name], programs: &Programs) -> Result<(), system::InstallError> {
    let systems = names.iter().map(|name| name.system(programs));
    let missing: Vec<_> =
        systems.filter(|system| system.missing().is_some() && !system.packages().is_empty()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let installer = system::Installer::begin()?;
    for system in missing {
        if let Err(error) = installer.install(system.packages()) {
            eprintln!("{} cannot be installed: {error}", system.name());
        }
    }
    Ok(())
}

/// Those that are there.
fn find_systems(names: &[Name], programs: &Programs) -> Vec<Box<dyn System>> {
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    for name in names {
        let system = name.system(programs);
        match system.missing() {
            Some(reason) => eprintln!("skipped {name}: {reason}"),
            None => systems.push(system),
        }
    }
    systems
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
