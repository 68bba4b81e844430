//! What a signal does to a restore.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use stemedb_engine::ring::signals::{Signal, Signals};

use crate::admin::error::AdminError;

/// What `SIGINT`, `SIGTERM` and `SIGHUP` do: as long as nothing is changed they end the process; from then on they break off the restore, which puts
/// back what was there.
#[derive(Debug, Clone)]
pub(super) struct Interruption(Arc<AtomicU8>);

const PREPARING: u8 = 0;
const CHANGING: u8 = 1;
const INTERRUPTED: u8 = 2;

impl Interruption {
    /// Waits for signals from now on. To be called before there is a second thread.
    pub(super) fn watch() -> Result<Interruption, AdminError> {
        let failed = |error: io::Error| AdminError::Failed(format!("cannot wait for signals: {error}"));
        let signals = Signals::block().map_err(failed)?;
        let interruption = Interruption(Arc::new(AtomicU8::new(PREPARING)));
        let noted = interruption.clone();
        let wait = move || {
            while let Ok(signal) = signals.wait() {
                if noted.note() {
                    process::exit(status(signal));
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

/// The exit status of a process that such a signal has ended, as shells tell it.
fn status(signal: Signal) -> i32 {
    128 + match signal {
        Signal::Hangup => libc::SIGHUP,
        Signal::Interrupt => libc::SIGINT,
        Signal::Terminate => libc::SIGTERM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
