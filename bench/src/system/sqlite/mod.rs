//! SQLite: no server, so its figure is that of a loop in a process of its own, on the CPU of servers.

mod row_loop;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use row_loop::{LoopReport, run_loop};

use super::experiment::{Experiment, Measurement, Quantity};
use super::{Name, Record, Site, System, SystemError};
use crate::process::Program;

/// How much longer than it is told to the loop may take.
const SLACK: Duration = Duration::from_secs(60);

/// SQLite, which is linked into the benchmark.
#[derive(Debug)]
pub(super) struct Sqlite {
    /// The program that has the loop as a subcommand.
    bench: PathBuf,
}

impl Sqlite {
    pub(super) fn new(bench: &Path) -> Sqlite {
        Sqlite { bench: bench.to_owned() }
    }
}

impl System for Sqlite {
    fn name(&self) -> Name {
        Name::Sqlite
    }

    fn packages(&self) -> &'static [&'static str] {
        &[]
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn version(&self) -> String {
        format!("SQLite {}", rusqlite::version())
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "SQLite: a library, so nothing goes over a socket: one thread inserts into the table that PostgreSQL has, one row a \
             transaction, prepared, WAL, synchronous FULL. It takes one writer at a time, so more connections would not help it."
                .to_owned(),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        record.take(Experiment::Write(1), || {
            let output = Program::new(&self.bench, directory.path(), Site::server_cpus())
                .args(["sqlite-loop", "--database", "claims.db"])
                .args(["--warm-up-s", &site.warm_up.as_secs_f64().to_string()])
                .args(["--duration-s", &site.duration.as_secs_f64().to_string()])
                .run(site.warm_up + site.duration + SLACK)?;
            let report: LoopReport = serde_json::from_str(&output).map_err(|error| {
                SystemError::Wrong(format!("the loop of SQLite said {output:?}: {error}"))
            })?;
            Ok(Measurement::default()
                .with(Quantity::PerSecond, report.rows_per_s)
                .with(Quantity::P50Us, report.p50_us)
                .with(Quantity::P99Us, report.p99_us))
        })
    }
}
