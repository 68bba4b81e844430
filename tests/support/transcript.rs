//! What a process says on its standard error, line by line, as it says it.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// The lines that a process has written to its standard error.
#[derive(Debug, Clone)]
pub struct Transcript {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Transcript {
    /// Listens to a process until it ends.
    pub fn of(stderr: ChildStderr) -> Transcript {
        let transcript = Transcript { shared: Arc::default() };
        let writer = transcript.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n') {
                let Ok(line) = line else { break };
                writer.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            writer.change(|state| state.ended = true);
        });
        transcript
    }

    /// Waits for a line that contains `part`, and gives it; `None` if the process ends without. Lines that were
    /// there before count.
    pub fn wait_for(&self, part: &str, limit: Duration) -> Option<String> {
        let until = Instant::now() + limit;
        let mut seen = 0;
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|line| line.contains(part)) {
                return Some(line.clone());
            }
            if state.ended {
                return None;
            }
            seen = state.lines.len();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                panic!("no line with {part:?} within {limit:?}:\n{}", self.text());
            }
            (state, _) = self.shared.1.wait_timeout(state, left).expect("no thread panics with the lock");
        }
    }

    /// Waits until the process has closed its standard error, as it does at its end. False if it has not in time.
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        let (state, _) = self
            .shared
            .1
            .wait_timeout_while(self.lock(), limit, |state| !state.ended)
            .expect("no thread panics with the lock");
        state.ended
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().expect("no thread panics with the lock")
    }
}
