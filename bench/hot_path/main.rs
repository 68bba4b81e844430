//! Counts the instructions of the hot path and compares them with a budget: a guard against slower code that no noise of
//! a machine disturbs.
//!
//! ```text
//! cargo run --release -p stemedb-hot-path              # count and compare, as CI does
//! cargo run --release -p stemedb-hot-path -- --bless   # rewrite bench/hot_path/budget.toml
//! ```
//!
//! Each case drives [`stemedb_net::core::Core`] as the server's driver does, but without a kernel: bytes are
//! handed to it, what it wants written is done at once, and the bytes of its answers are taken out. So the counts hold all
//! of the server but for system calls and the ring. The program runs itself under callgrind once for each case.
//!
//! Which functions the instructions are in (one case, inclusive; without `--inclusive` by function alone):
//!
//! ```text
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*case::measured*' \
//!     --callgrind-out-file=/tmp/assert.callgrind target/release/hot-path case assert
//! callgrind_annotate --inclusive=yes --auto=no /tmp/assert.callgrind
//! ```
//!
//! # Are the counts the same everywhere?
//!
//! With the same compiler and the same `Cargo.lock` nearly: hash tables are keyed by a fixed number, the clock is made up, and
//! Valgrind places the program always alike. BLAKE3, CRC-32C, simd-json and the C library choose their code by
//! what the CPU offers, and see the CPU that Valgrind shows them: one with AVX2 and without AVX-512, whatever more
//! the real one has. A machine without AVX2 counts more. Another C library copies memory a little differently.
//! The budget's tolerance is for this. Another compiler makes other code, so the budget says which one it is for and
//! gives others more room.

mod budget;
mod callgrind;
mod case;
mod claims;
mod server;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs, thread};

use clap::Parser;

use budget::{Budget, Verdict};
use case::CASES;

/// Counts the instructions of the hot path and compares them with the budget.
#[derive(Debug, Parser)]
#[command(name = "hot-path")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommand>,
    /// Rewrite the budget with what is counted.
    #[arg(long)]
    bless: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Run a case once and print how many units it did: what is run under callgrind.
    Case {
        /// Which.
        name: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Some(Subcommand::Case { name }) => run_case(name),
        None => count_all(arguments.bless),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("hot-path: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run_case(name: &str) -> Result<ExitCode, String> {
    let case = CASES.iter().find(|case| case.name == name);
    let case =
        case.ok_or_else(|| format!("no case {name}; there are {}", CASES.map(|case| case.name).join(", ")))?;
    println!("{}", (case.run)());
    Ok(ExitCode::SUCCESS)
}

/// Counts all cases; success when all are within the budget, or it is blessed.
fn count_all(bless: bool) -> Result<ExitCode, String> {
    if cfg!(debug_assertions) {
        return Err("the budget is for the release profile: cargo run --release".to_owned());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let budget = Budget::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let rustc = compiler()?;
    let tolerance = budget.tolerance_percent(&rustc);
    let counts = counts()?;

    println!("{:<10}{:>14}{:>12}{:>10}", "case", "instructions", "budget", "");
    let mut verdicts = Vec::new();
    for case in &CASES {
        let instructions = counts[case.name];
        let budgeted = budget.instructions.get(case.name).map_or("-".to_owned(), u64::to_string);
        let excess = budget.excess_percent(case.name, instructions);
        let excess = excess.map_or(String::new(), |percent| format!("{percent:+.2} %"));
        println!("{:<10}{instructions:>14}{budgeted:>12}{excess:>10}  a {}", case.name, case.unit);
        verdicts.push(budget.judge(case.name, instructions, tolerance));
    }
    if bless {
        let blessed = Budget { rustc, instructions: counts, ..budget };
        fs::write(&path, blessed.to_text()).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{} rewritten", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    for (case, verdict) in CASES.iter().zip(&verdicts) {
        match verdict {
            Verdict::Within => {}
            Verdict::Above => eprintln!(
                "{}: more than {tolerance} % above the budget. Make it cheaper, or, if it is worth that, raise the budget with --bless",
                case.name
            ),
            Verdict::Below => eprintln!(
                "{}: more than {tolerance} % below the budget, which guards nothing any more. Lower it with --bless",
                case.name
            ),
            Verdict::Unknown => eprintln!("{}: not in the budget. Add it with --bless", case.name),
        }
    }
    if verdicts.iter().all(|verdict| *verdict == Verdict::Within) {
        return Ok(ExitCode::SUCCESS);
    }
    if rustc != budget.rustc {
        eprintln!(
            "The budget was counted with {}, and this is {rustc}: that alone can explain it.",
            budget.rustc
        );
    }
    Ok(ExitCode::FAILURE)
}

/// Instructions a unit of all cases, by name. They are counted side by side, which changes no count.
fn counts() -> Result<BTreeMap<String, u64>, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let count = |case: &case::Case| {
        let profile = directory.path().join(case.name);
        let arguments = [OsStr::new("case"), OsStr::new(case.name)];
        let counted = callgrind::count(&program, &arguments, &profile)
            .map_err(|error| format!("{}: {}", case.name, with_sources(&error)))?;
        Ok((case.name.to_owned(), counted.instructions / counted.units))
    };
    thread::scope(|scope| {
        let threads = CASES.each_ref().map(|case| scope.spawn(|| count(case)));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// What the compiler calls itself.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.map_err(|error| format!("rustc --version: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
