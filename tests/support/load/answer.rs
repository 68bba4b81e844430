//! What answers tell the history.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::worker::Worker;
use crate::Response;
use crate::history::Name;

#[cfg(test)]
mod tests;

/// What the answer to a claim must be, if it is one of success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// `created`: it is known not to be there.
    Created,
    /// `exists`: it is known to be there.
    Exists,
    /// One of the two.
    Either,
    /// None: something is wrong with the request.
    Refused,
}

/// The code of a write of which it is not known whether it was stored. All others say that it was not.
const UNDECIDED: &str = "storage_failed";

/// How long a client waits that was told to come later, so that refusals are not all that is measured.
const PAUSE: Duration = Duration::from_millis(2);

impl Worker<'_> {
    /// Takes the answer to a single claim. True if the claim was new.
    pub(super) fn answered(&self, name: Name, response: &Response, expected: Expected) -> bool {
        if response.status >= 400 {
            self.failed(name, response, expected);
            return false;
        }
        let body = response.json();
        let (status, hash) = (body["status"].as_str(), body["hash"].as_str());
        let is_new = match (response.status, status) {
            (201, Some("created")) if matches!(expected, Expected::Created | Expected::Either) => true,
            (200, Some("exists")) if matches!(expected, Expected::Exists | Expected::Either) => false,
            _ => {
                self.unexpected(name, response, expected);
                return false;
            }
        };
        self.load.history.acknowledged(name, hash);
        self.load.note_acknowledged(&[name]);
        is_new
    }

    fn failed(&self, name: Name, response: &Response, expected: Expected) {
        let code = response.error_code();
        if expected == Expected::Refused && response.status < 500 {
            return;
        }
        if !self.is_expected(&code) {
            return self.unexpected(name, response, expected);
        }
        // Of a claim that must be refused it was noted when it was sent.
        if !Worker::is_undecided(&code) && expected != Expected::Refused {
            self.load.history.refused(name);
        }
        self.load.count_code(&code);
        thread::sleep(PAUSE);
    }

    /// Takes the answer to a batch of these claims, one a line, each with whether it is one that must be taken.
    pub(super) fn batch_answered(&self, lines: &[(Name, bool)], response: &Response) {
        if response.status != 200 {
            let code = response.error_code();
            if self.is_expected(&code) {
                self.load.count_code(&code);
                // There are too few batches for one of them to give way to others, of which lines may be stored.
                self.lines_refused(lines, &code);
            } else {
                self.load.history.unexpected(format!("a batch was answered with {response:?}"));
            }
            return thread::sleep(PAUSE);
        }
        let body = response.json();
        let errors = body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let count = |field: &str| body[field].as_u64().unwrap_or(u64::MAX);
        let rejected: Vec<usize> = errors.iter().filter_map(line_of).collect();
        if count("rejected") != errors.len() as u64
            || count("accepted").saturating_add(count("exists")) != (lines.len() - errors.len()) as u64
        {
            self.load
                .history
                .unexpected(format!("a batch of {} lines was answered with {body}", lines.len()));
            return;
        }
        errors.iter().for_each(|error| self.line_rejected(lines, error));
        let mut taken = Vec::new();
        for (line, (name, is_valid)) in lines.iter().enumerate() {
            if rejected.contains(&line) {
                continue;
            }
            if !is_valid {
                self.load.history.unexpected(format!("{} was not refused", name.path()));
                continue;
            }
            self.load.history.acknowledged(*name, None);
            taken.push(*name);
        }
        self.load.note_acknowledged(&taken);
    }

    /// Notes that these lines were refused. Of those that must be, that was noted when they were sent.
    fn lines_refused(&self, lines: &[(Name, bool)], code: &str) {
        if !Worker::is_undecided(code) {
            let valid = lines.iter().filter(|(_, is_valid)| *is_valid);
            valid.for_each(|(name, _)| self.load.history.refused(*name));
        }
    }

    fn line_rejected(&self, lines: &[(Name, bool)], error: &Value) {
        let line = line_of(error).and_then(|line| lines.get(line));
        let code = error["code"].as_str().unwrap_or_default();
        match line {
            Some((_, false)) => {}
            Some(line @ (_, true)) if self.is_expected(code) => {
                self.lines_refused(std::slice::from_ref(line), code);
                self.load.count_code(code);
            }
            _ => self.load.history.unexpected(format!("a line of a batch was refused with {error}")),
        }
    }

    /// Whether an error with this code may be the answer to a request with which nothing is wrong. A queue that is full
    /// always may.
    pub(super) fn is_expected(&self, code: &str) -> bool {
        let ends = self.load.is_ending.load(std::sync::atomic::Ordering::SeqCst);
        code == "overloaded"
            || (ends && code == "shutting_down")
            || self.load.mix.codes_expected.contains(&code)
    }

    /// Whether what was refused with this code may be stored all the same.
    pub(super) fn is_undecided(code: &str) -> bool {
        code == UNDECIDED
    }

    pub(super) fn count_expected(&self, code: &str) {
        self.load.count_code(code);
        thread::sleep(PAUSE);
    }

    fn unexpected(&self, name: Name, response: &Response, expected: Expected) {
        let body = String::from_utf8_lossy(&response.body);
        self.load.history.unexpected(format!(
            "{} was answered with {}, not {expected:?}: {body}",
            name.path(),
            response.status
        ));
    }
}

/// Which line an error of a batch is about, counted from 0.
fn line_of(error: &Value) -> Option<usize> {
    error["line"].as_u64()?.checked_sub(1).map(|line| line as usize)
}
