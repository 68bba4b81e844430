//! Proves that a seed says all: everything that happens goes into one number.

use std::fmt;

use crate::console::say;

/// Takes note of whatever happens.
#[derive(Debug)]
pub(crate) struct Auditor {
    sum: u64,
    events: u64,
    trace: bool,
}

impl Auditor {
    /// An auditor who has seen nothing yet. With `trace`, all that is noted is printed.
    pub(crate) fn new(trace: bool) -> Auditor {
        Auditor { sum: 0, events: 0, trace }
    }

    /// Notes that something has happened at a time, to whom, and with what.
    pub(crate) fn note(&mut self, time_us: u64, what: &str, whom: u64, with: u64) {
        if self.trace {
            say(format_args!("{:>14.6} {what} {whom} {with}", time_us as f64 / 1e6));
        }
        self.events += 1;
        self.mix(time_us);
        self.bytes(what.as_bytes());
        self.mix(whom);
        self.mix(with);
    }

    /// Notes what somebody has sent or received.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    /// Prints something about what happens, if somebody reads along.
    pub(crate) fn tell(&self, time_us: u64, text: impl FnOnce() -> String) {
        if self.trace {
            say(format_args!("{:>14.6} {}", time_us as f64 / 1e6, text()));
        }
    }

    /// How many things have been noted.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    fn mix(&mut self, word: u64) {
        self.sum = (self.sum.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The number that two runs of one seed share.
impl fmt::Display for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.sum)
    }
}
