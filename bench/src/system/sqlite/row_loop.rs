//! The loop that inserts rows: what runs in the process of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

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
/// When SQLite fails.
pub fn run_loop(path: &Path, warm_up: Duration, duration: Duration) -> rusqlite::Result<LoopReport> {
    let database = Connection::open(path)?;
    // In this mode FULL syncs the log at each commit; NORMAL would not.
    database.pragma_update_and_check(None, "journal_mode", "wal", |row| {
        let mode: String = row.get(0)?;
        assert_eq!(mode, "wal", "SQLite keeps a write-ahead log in any directory of a local file system");
        Ok(())
    })?;
    database.pragma_update(None, "synchronous", "full")?;
    database.execute_batch(
        "CREATE TABLE claim (subject TEXT NOT NULL, body TEXT NOT NULL);
         CREATE INDEX claim_subject ON claim (subject);",
    )?;
    let mut insert = database.prepare("INSERT INTO claim (subject, body) VALUES (?1, ?2)")?;
    let mut rows = Rows::new(&Workload::new(RunId::unique()), 0);
    let mut latency_ns: Histogram<u64> =
        Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds and digits are allowed ones");
    let measure_from = Instant::now() + warm_up;
    let end = measure_from + duration;
    let mut before = Instant::now();
    while before < end {
        let row = rows.next();
        let text = |bytes| std::str::from_utf8(bytes).expect("claims are text");
        insert.execute((text(row.subject.as_bytes()), text(row.body)))?;
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
        let directory = tempfile::tempdir().expect("there is a temporary directory");
        let path = directory.path().join("claims.db");
        let report = run_loop(&path, Duration::ZERO, Duration::from_millis(50)).expect("SQLite works");
        assert!(
            report.rows_per_s > 0.0 && report.p50_us > 1.0 && report.p50_us <= report.p99_us,
            "{report:?}"
        );
        let database = Connection::open(&path).expect("it was closed");
        let count: u64 = database
            .query_row("SELECT count(*) FROM claim", (), |row| row.get(0))
            .expect("the table is there");
        assert!(count > 0);
    }
}
