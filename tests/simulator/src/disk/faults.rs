//! What goes wrong in a start or a step of upkeep: the machine goes down, an operation fails, a read does.
//!
//! Each is to happen after so many operations, or reads, that do not: so it happens at any of them.

use std::io;

use super::Disk;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The disk says no, with this error number.
    Error(i32),
    /// A write writes less than it should. Anything else says that it cannot.
    Short,
}

/// A read that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedRead {
    /// The file, as messages name it; `None` where files were listed.
    pub(crate) file: Option<String>,
    /// The error number.
    pub(crate) errno: i32,
}

/// What is to go wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// Operations until the machine goes down, if it is to go down then.
    steps_left: Option<u64>,
    /// Whether it has.
    is_down: bool,
    /// Operations until one fails, and how, if one is to fail.
    operation: Option<(u64, Failure)>,
    /// Reads until one fails, and with which error, if one is to fail.
    read: Option<(u64, i32)>,
    failed_read: Option<FailedRead>,
    /// Operations, and reads, since it was asked last.
    operations: u64,
    reads: u64,
}

impl Disk {
    /// Lets the machine go down after so many operations of the start, or of the step of upkeep, that follows.
    pub(crate) fn go_down_after(&mut self, steps: Option<u64>) {
        self.faults.steps_left = steps;
    }

    /// The machine goes down: nobody can tidy up any more.
    pub(crate) fn go_down(&mut self) {
        self.faults.is_down = true;
    }

    /// Whether it has gone down by itself.
    pub(crate) fn is_down(&self) -> bool {
        self.faults.is_down
    }

    /// Lets an operation fail, after so many others that do not.
    pub(crate) fn fail_after(&mut self, operations: u64, failure: Failure) {
        self.faults.operation = Some((operations, failure));
    }

    /// Whether an operation is still to fail.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.faults.operation.is_some()
    }

    /// Whether an operation has failed that was to. None will any more.
    pub(crate) fn has_failed(&mut self, was_to: bool) -> bool {
        was_to && self.faults.operation.take().is_none()
    }

    /// Lets a read fail, after so many others that do not.
    pub(crate) fn fail_read_after(&mut self, reads: u64, errno: i32) {
        self.faults.read = Some((reads, errno));
    }

    /// The read that has failed since. None will any more.
    pub(crate) fn take_failed_read(&mut self) -> Option<FailedRead> {
        self.faults.read = None;
        self.faults.failed_read.take()
    }

    /// How many operations there were since this was asked last, and how many reads.
    pub(crate) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.faults.operations), std::mem::take(&mut self.faults.reads))
    }

    /// Counts an operation of a start or of upkeep. The machine may go down instead of doing it, or it may fail.
    pub(super) fn step(&mut self) -> io::Result<()> {
        let faults = &mut self.faults;
        faults.operations += 1;
        if faults.is_down || faults.steps_left == Some(0) {
            faults.is_down = true;
            return Err(io::Error::other("the machine has gone down"));
        }
        faults.steps_left = faults.steps_left.map(|left| left - 1);
        match &mut faults.operation {
            None => Ok(()),
            Some((0, failure)) => {
                let failure = *failure;
                faults.operation = None;
                Err(match failure {
                    Failure::Error(errno) => io::Error::from_raw_os_error(errno),
                    Failure::Short => io::ErrorKind::WriteZero.into(),
                })
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// Counts a read of a start or of upkeep, of this file or of a directory. It may fail.
    pub(super) fn read_step(&mut self, file: Option<impl ToString>) -> io::Result<()> {
        let faults = &mut self.faults;
        faults.reads += 1;
        match &mut faults.read {
            None => Ok(()),
            Some((0, errno)) => {
                let errno = *errno;
                let file = file.map(|file| file.to_string());
                (faults.read, faults.failed_read) = (None, Some(FailedRead { file, errno }));
                Err(io::Error::from_raw_os_error(errno))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl FailedRead {
    /// Whether memory was short, which says nothing of what is stored.
    pub(crate) fn is_shortage(&self) -> bool {
        self.errno == libc::ENOMEM
    }

    /// Whether messages that tell of it are to say this.
    pub(crate) fn is_told_by(&self, text: &str) -> bool {
        let says_why = text.contains(&io::Error::from_raw_os_error(self.errno).to_string());
        says_why && self.file.as_ref().is_none_or(|file| text.contains(file))
    }
}
