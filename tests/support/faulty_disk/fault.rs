//! What can go wrong, and which request it befalls.

use std::time::Duration;

/// The errors of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A durable write to a log segment fails with this error number, after `after` that do not; nothing of it is written.
    WriteError {
        /// As in errno(3).
        errno: i32,
        /// Durable writes before it.
        after: u64,
    },
    /// A durable write to a log segment writes one block less than it was to, after `after` that do not. The kernel tries
    /// to write the rest then, and whatever else is written to that segment fails for want of space.
    ShortWrite {
        /// Durable writes before it.
        after: u64,
    },
    /// So many durable writes to log segments take longer.
    Delay {
        /// By how much.
        delay: Duration,
        /// How many.
        writes: u64,
    },
    /// Nothing new can be written to segments that are being prepared.
    PrepareError {
        /// As in errno(3).
        errno: i32,
    },
    /// The power fails at a durable write to a log segment, after `after` others: what it writes is not stable, it is not
    /// answered, and nothing is any more.
    PowerCut {
        /// Durable writes before it.
        after: u64,
    },
    /// The disk says of durable writes to log segments that they are stable, and does nothing for it. No server can keep
    /// its promises on such a disk: this is to test the tests.
    Lie,
    /// A part of a file cannot be read.
    ReadError {
        /// The inode.
        inode: u64,
        /// Where the part begins, in bytes.
        offset: u64,
        /// Its length in bytes.
        bytes: u64,
    },
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing is wrong.
    Done,
    /// It is done later.
    Late(Duration),
    /// It is not done.
    Failed(i32),
    /// It is done but for its last block.
    Short,
    /// It is done, and not made stable.
    Loose,
    /// It was under way when the power failed.
    Cut,
}

/// The fault that is armed, and what has met it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    fault: Option<Fault>,
    /// Durable writes to log segments since it was armed.
    writes: u64,
    /// Requests that it befell.
    pub(super) hits: u64,
    /// The segment of the short write.
    cut_short: Option<String>,
    is_off: bool,
}

impl Plan {
    pub(super) fn of(fault: Fault) -> Plan {
        Plan { fault: Some(fault), ..Plan::default() }
    }

    /// From now on nothing is done.
    pub(super) fn cut_power(&mut self) {
        self.is_off = true;
    }

    /// Whether there is power.
    pub(super) fn check_power(&self) -> Result<(), i32> {
        if self.is_off { Err(libc::EIO) } else { Ok(()) }
    }

    /// The fate of a write to the file `name`.
    pub(super) fn of_write(&mut self, name: &str, is_durable: bool) -> Fate {
        let fate = if self.is_off {
            return Fate::Failed(libc::EIO);
        } else if name.starts_with("segment-") && name.ends_with(".prepare") {
            self.of_prepare()
        } else if is_durable && name.starts_with("segment-") {
            self.of_durable_write(name)
        } else {
            Fate::Done
        };
        self.hits += u64::from(fate != Fate::Done);
        if fate == Fate::Cut {
            self.cut_power();
        }
        fate
    }

    fn of_prepare(&self) -> Fate {
        match self.fault {
            Some(Fault::PrepareError { errno }) => Fate::Failed(errno),
            _ => Fate::Done,
        }
    }

    fn of_durable_write(&mut self, name: &str) -> Fate {
        if self.cut_short.as_deref() == Some(name) {
            return Fate::Failed(libc::ENOSPC);
        }
        let number = self.writes;
        self.writes += 1;
        match self.fault {
            Some(Fault::WriteError { errno, after }) if number == after => Fate::Failed(errno),
            Some(Fault::ShortWrite { after }) if number == after => {
                self.cut_short = Some(name.to_owned());
                Fate::Short
            }
            Some(Fault::PowerCut { after }) if number == after => Fate::Cut,
            Some(Fault::Lie) => Fate::Loose,
            Some(Fault::Delay { delay, writes }) if number < writes => Fate::Late(delay),
            _ => Fate::Done,
        }
    }

    /// Whether `bytes` at `offset` of a file can be read.
    pub(super) fn check_read(&mut self, inode: u64, offset: u64, bytes: u64) -> Result<(), i32> {
        self.check_power()?;
        match self.fault {
            Some(Fault::ReadError { inode: bad, offset: begin, bytes: length })
                if inode == bad && offset < begin + length && begin < offset + bytes =>
            {
                self.hits += 1;
                Err(libc::EIO)
            }
            _ => Ok(()),
        }
    }
}
