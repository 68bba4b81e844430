//! What a signal does to a restore.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::{fs, io};

use stemedb_engine::ring::signals::{Signal, Signals};

use crate::admin::error::AdminError;

/// What `SIGINT`, `SIGTERM` and `SIGHUP` do: as long as nothing is changed they end the process; from then on they break off the restore, which puts
/// back what was there. Those that whoever started the process has it ignore, as nohup(1) does, do nothing.
#[derive(Debug, Clone)]
pub(super) struct Interruption(Arc<AtomicU8>);

const PREPARING: u8 = 0;
const CHANGING: u8 = 1;
const INTERRUPTED: u8 = 2;

impl Interruption {
    /// Waits for signals from now on. To be called before there is a second thread.
    pub(super) fn watch() -> Result<Interruption, AdminError> {
        let failed = |error: io::Error| AdminError::Failed(format!("cannot wait for signals: {error}"));
        let status = fs::read_to_string("/proc/self/status").map_err(failed)?;
        // A signal that is blocked is waited for, even if it is ignored.
        let signals = Signals::block().map_err(failed)?;
        let interruption = Interruption(Arc::new(AtomicU8::new(PREPARING)));
        let noted = interruption.clone();
        let wait = move || {
            while let Ok(signal) = signals.wait() {
                if !is_ignored(&status, signal) && noted.note() {
                    process::exit(128 + number(signal));
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
        Ok(interruption)
    }

    /// Something is changed from now on.
    pub(super) fn begin(&self) {
        self.0.store(CHANGING, Ordering::SeqCst);
    }

    /// Whether the process is to go on.
    pub(super) fn check(&self) -> Result<(), AdminError> {
        match self.0.load(Ordering::SeqCst) {
            INTERRUPTED => Err(AdminError::Failed("interrupted by a signal".to_owned())),
            _ => Ok(()),
        }
    }

    /// Notes a signal, and says whether the process ends with it.
    fn note(&self) -> bool {
        let noted = self.0.compare_exchange(CHANGING, INTERRUPTED, Ordering::SeqCst, Ordering::SeqCst);
        noted == Err(PREPARING)
    }
}

/// Whether a process with this `/proc/PID/status` ignores a signal: see proc_pid_status(5).
fn is_ignored(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (number(signal) - 1) != 0)
}

fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Hangup => libc::SIGHUP,
        Signal::Interrupt => libc::SIGINT,
        Signal::Terminate => libc::SIGTERM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_are_told_from_others() {
        // That of a process under nohup(1).
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000440\n";
        assert!(is_ignored(status, Signal::Hangup));
        assert!(!is_ignored(status, Signal::Interrupt));
        assert!(!is_ignored(status, Signal::Terminate));
        assert!(is_ignored("SigIgn:\t0000000000004002\n", Signal::Terminate));
        assert!(!is_ignored("", Signal::Hangup));
    }

    #[test]
    fn a_signal_ends_the_process_until_something_is_changed() {
        let interruption = Interruption(Arc::new(AtomicU8::new(PREPARING)));
        assert!(interruption.note());
        interruption.begin();
        assert!(interruption.check().is_ok());
        assert!(!interruption.note());
        assert!(interruption.check().is_err());
        assert!(!interruption.note(), "what is being put back is put back, however impatient somebody is");
        assert!(interruption.check().is_err());
    }
}
