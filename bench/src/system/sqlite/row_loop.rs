//! The loop that inserts rows: what runs in the process of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::library::{Library, SqliteError};
use crate::client::Rows;
use crate::workload::{RunId, Workload};

/// Longer latencies count as this one.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What the loop prints when it is done, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoopReport {
    /// Rows that were durable, a second.
    pub rows_per_s: f64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: f64,
}

/// Inserts rows into a fresh database, each in a transaction of its own, and tells how fast that was.
///
/// # Errors
///
/// When SQLite is not there, or fails.
pub fn run_loop(path: &Path, warm_up: Duration, duration: Duration) -> Result<LoopReport, SqliteError> {
    let database = Library::load()?.open(path)?;
    let mode = database.run("setting the journal's mode", c"PRAGMA journal_mode = WAL")?;
    if mode.as_deref() != Some("wal") {
        let message = format!("the journal's mode is {mode:?}");
        return Err(SqliteError::Statement { what: "setting the journal's mode", message });
    }
    // In this mode FULL syncs the log at each commit; NORMAL would not.
    database.run("asking for durability", c"PRAGMA synchronous = FULL")?;
    let table = c"CREATE TABLE claim (subject TEXT NOT NULL, body TEXT NOT NULL)";
    database.run("making the table", table)?;
    database.run("making the index", c"CREATE INDEX claim_subject ON claim (subject)")?;
    let mut insert = database.prepare("inserting", c"INSERT INTO claim (subject, body) VALUES (?1, ?2)")?;
    let mut rows = Rows::new(&Workload::new(RunId::unique()), 0);
    let mut latency_ns: Histogram<u64> =
        Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds and digits are allowed ones");
    let measure_from = Instant::now() + warm_up;
    let end = measure_from + duration;
    let mut before = Instant::now();
    while before < end {
        let row = rows.next();
        insert.run_with(&[row.subject.as_bytes(), row.body])?;
        let now = Instant::now();
        if before >= measure_from {
            latency_ns.saturating_record((now - before).as_nanos() as u64);
        }
        before = now;
    }
    let us_at = |quantile| latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    Ok(LoopReport {
        rows_per_s: latency_ns.len() as f64 / (before - measure_from).as_secs_f64(),
        p50_us: us_at(0.5),
        p99_us: us_at(0.99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_inserted_and_stay() {
        let Ok(library) = Library::load() else {
            println!("skipped: SQLite is not installed");
            return;
        };
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let path = directory.path().join("claims.db");
        let report = run_loop(&path, Duration::ZERO, Duration::from_millis(50)).expect("SQLite works");
        assert!(
            report.rows_per_s > 0.0 && report.p50_us > 1.0 && report.p50_us <= report.p99_us,
            "{report:?}"
        );
        let database = library.open(&path).expect("it was closed");
        let count = database.run("counting", c"SELECT count(*) FROM claim").expect("the table is there");
        assert!(count.expect("a count").parse::<u64>().expect("a number") > 0);
        let error = database.run("asking nonsense", c"SELEKT").expect_err("no SQL");
        assert!(error.to_string().contains("syntax error"), "{error}");
    }
}
