//! What became of the lines of an import.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many of the rejected lines are kept with their reason.
const ERRORS_KEPT_MAX: usize = 100;

/// Why one line was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineError {
    /// Counted from 1: in a server's answer, in its request; in a summary, in the input.
    pub(super) line: u64,
    pub(super) code: String,
    pub(super) message: String,
}

/// What the server answers to a batch.
#[derive(Debug, Default, Deserialize)]
pub(super) struct BatchAnswer {
    pub(super) accepted: u64,
    pub(super) exists: u64,
    pub(super) rejected: u64,
    /// The first 100 rejected lines.
    #[serde(default)]
    pub(super) errors: Vec<LineError>,
}

/// The counts of an import, so far or in the end.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) accepted: u64,
    pub(super) exists: u64,
    pub(super) rejected: u64,
    /// Requests that were sent again. What their first sending had stored already is counted as `exists`.
    pub(super) retries: u64,
    /// Every line of the input up to this one has been dealt with.
    pub(super) done_to_line: u64,
    /// The first rejected lines, by their number in the input.
    errors: BTreeMap<u64, LineError>,
    /// Last line of each finished batch that still waits for an earlier one, by the batch's first line.
    finished_ahead: BTreeMap<u64, u64>,
}

impl Summary {
    /// Adds the counts of one finished batch, which stands for the lines `first..=last` of the input. `answer` has its
    /// errors by the input's line numbers.
    pub(super) fn add(&mut self, first: u64, last: u64, answer: BatchAnswer) {
        self.accepted += answer.accepted;
        self.exists += answer.exists;
        self.rejected += answer.rejected;
        for error in answer.errors {
            self.errors.insert(error.line, error);
            if self.errors.len() > ERRORS_KEPT_MAX {
                self.errors.pop_last();
            }
        }
        self.finished_ahead.insert(first, last);
        while let Some(last) = self.finished_ahead.remove(&(self.done_to_line + 1)) {
            self.done_to_line = last;
        }
    }

    /// Claims dealt with, in whatever way.
    pub(super) fn claims(&self) -> u64 {
        self.accepted + self.exists + self.rejected
    }

    /// The first rejected lines of the input, at most 100.
    pub(super) fn errors(&self) -> impl Iterator<Item = &LineError> {
        self.errors.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejecting(lines: std::ops::Range<u64>) -> BatchAnswer {
        let errors =
            lines.map(|line| LineError { line, code: "c".into(), message: "m".into() }).collect::<Vec<_>>();
        BatchAnswer { accepted: 1, exists: 2, rejected: errors.len() as u64, errors }
    }

    #[test]
    fn lines_are_done_only_up_to_the_first_gap() {
        let mut summary = Summary::default();
        summary.add(11, 20, rejecting(0..0));
        assert_eq!(summary.done_to_line, 0);
        summary.add(1, 10, rejecting(0..0));
        assert_eq!(summary.done_to_line, 20);
        summary.add(31, 40, rejecting(0..0));
        assert_eq!((summary.done_to_line, summary.claims()), (20, 9));
    }

    #[test]
    fn the_first_errors_are_kept_whatever_the_order_of_batches() {
        let mut summary = Summary::default();
        summary.add(1001, 2000, rejecting(1500..1600));
        summary.add(1, 1000, rejecting(500..560));
        let kept: Vec<u64> = summary.errors().map(|error| error.line).collect();
        assert_eq!(kept, (500..560).chain(1500..1540).collect::<Vec<_>>());
        assert_eq!(summary.rejected, 160);
    }
}
