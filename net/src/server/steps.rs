//! The steps of a start: one line each in the log, in this order, and in what `systemctl status` shows.

use std::fmt;

use super::service_manager::ServiceManager;

/// A step of a start. A new one is a line here, and a call of [`Steps::did`] where it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The kernel has what is needed.
    Kernel,
    /// Whether TLS is served, and by which certificate. Before anything can be connected to.
    Tls,
    /// The address is listened on.
    Address,
    /// The data directory is there, writable and locked.
    Data,
    /// Cores and background work are running; health is answered.
    Cores,
    /// The log is about to be read.
    Recovery,
    /// The log was read.
    Replay,
    /// The indexes are built.
    Indexes,
    /// The log is ready for new records.
    Generation,
    /// Requests are served.
    Complete,
}

/// Tells the steps of a start.
#[derive(Debug)]
pub(super) struct Steps<'m> {
    manager: &'m ServiceManager,
    /// Steps that were told.
    done: usize,
}

impl Step {
    /// How many there are.
    pub(super) const COUNT: usize = Step::Complete as usize + 1;
}

impl Steps<'_> {
    /// No step is done yet.
    pub(super) fn new(manager: &ServiceManager) -> Steps<'_> {
        Steps { manager, done: 0 }
    }

    /// Tells what came of a step, in one line.
    ///
    /// # Panics
    ///
    /// When steps come in another order than theirs.
    pub(super) fn did(&mut self, step: Step, what: fmt::Arguments<'_>) {
        assert_eq!(step as usize, self.done, "{step:?} is told out of turn");
        self.done += 1;
        tracing::info!("[{:>2}/{}] {what}", self.done, Step::COUNT);
        self.manager.status(what);
    }
}
