//! Holding a running server against the history of its clients.

use crate::claims::Row;
use crate::history::{Cut, History, Violation};
use crate::{Server, listing};

/// Of what is wrong so many are told: the first says most.
const VIOLATIONS_TOLD_MAX: usize = 12;

/// Checks all that `server` holds, while nobody writes, and settles what a crash had left open.
pub(super) fn check(server: &Server, history: &History) {
    let rows = list(server);
    let mut violations = history.check_and_settle(&rows);
    violations.extend(counts(server, &rows));
    expect_none(server, &violations);
}

/// Checks what a server holds that was started on a copy of the disk, made at `cut`.
pub(super) fn check_copy(server: &Server, history: &History, cut: Cut) {
    let rows = list(server);
    let mut violations = history.check(&rows, cut);
    violations.extend(counts(server, &rows));
    expect_none(server, &violations);
}

/// All claims that there are, those included that were retracted.
fn list(server: &Server) -> Vec<Row> {
    let mut client = server.client();
    let rows = listing::all_with_retracted(&mut client, "/*");
    let active = rows.iter().filter(|row| row.status != "retracted").count();
    assert_eq!(
        listing::all(&mut client, "/*").len(),
        active,
        "retracted claims leave the results of queries"
    );
    rows
}

/// What the server says of the number of claims, where that is wrong.
fn counts(server: &Server, rows: &[Row]) -> Vec<Violation> {
    let listed = rows.len() as u64;
    let told = [
        ("assertion_count in /v1/health", server.assertion_count()),
        ("stemedb_assertions_total in /metrics", server.metric("stemedb_assertions_total") as u64),
    ];
    wrong_counts(told, listed)
}

/// Those numbers among what was `told`, and where, that are not `listed`.
fn wrong_counts(told: [(&str, u64); 2], listed: u64) -> Vec<Violation> {
    let wrong = told.into_iter().filter(|(_, told)| *told != listed);
    wrong.map(|(at, told)| Violation::Count { at: at.to_owned(), told, listed }).collect()
}

fn expect_none(server: &Server, violations: &[Violation]) {
    if violations.is_empty() {
        return;
    }
    let told: Vec<String> =
        violations.iter().take(VIOLATIONS_TOLD_MAX).map(|violation| format!("  {violation}")).collect();
    panic!("{} promises broken:\n{}\nthe server said:\n{}", violations.len(), told.join("\n"), server.text());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a number of claims that is not that of those listed is found, wherever it is told. Method: made-up numbers.
    #[test]
    fn numbers_that_are_not_those_listed_are_found() {
        let wrong = |at: &str, told| Violation::Count { at: at.to_owned(), told, listed: 3 };
        assert_eq!(wrong_counts([("health", 3), ("metrics", 3)], 3), []);
        assert_eq!(wrong_counts([("health", 4), ("metrics", 3)], 3), [wrong("health", 4)]);
        assert_eq!(wrong_counts([("health", 3), ("metrics", 2)], 3), [wrong("metrics", 2)]);
    }
}
