//! What can go wrong, and which request it befalls.

use std::time::Duration;

/// The errors of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Requests fail with this error number, so many after `after` that do not. What was to be written is not; what was to
    /// be synchronised never will be, unless it is written anew: the next synchronisation succeeds and does nothing for it.
    Error {
        /// Which requests.
        requests: Requests,
        /// As in errno(3).
        errno: i32,
        /// Such requests before them.
        after: u64,
        /// How many.
        count: u64,
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
    /// The power fails at a request, after `after` others: what it writes is not stable, it is not answered, and nothing
    /// is any more.
    PowerCut {
        /// At which of them.
        requests: Requests,
        /// Such requests before it.
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

/// Requests by which a disk is changed, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// All: writes, synchronisations, and changes of names and lengths.
    All,
    /// Durable writes to log segments.
    LogWrites,
    /// Writes to segments that are being prepared, and their synchronisation.
    Preparations,
    /// Writes to files whose names begin like this.
    Writes(&'static str),
    /// Synchronisations of files and directories whose names begin like this.
    Syncs(&'static str),
}

/// What is asked of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Write,
    /// A write that is stable when it is answered.
    DurableWrite,
    Sync,
    /// Of a name or a length.
    Change,
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
    /// Requests since it was armed that it might have befallen.
    met: u64,
    /// Requests that it befell.
    pub(super) hits: u64,
    /// The segment of the short write.
    cut_short: Option<String>,
    is_off: bool,
}

impl Requests {
    fn have(self, name: &str, request: Request) -> bool {
        let is_segment = name.starts_with("segment-");
        let is_unfinished = name.ends_with(".prepare");
        let is_write = matches!(request, Request::Write | Request::DurableWrite);
        match self {
            Requests::All => true,
            Requests::LogWrites => is_segment && !is_unfinished && request == Request::DurableWrite,
            Requests::Preparations => is_segment && is_unfinished && request != Request::Change,
            Requests::Writes(begin) => is_write && name.starts_with(begin),
            Requests::Syncs(begin) => request == Request::Sync && name.starts_with(begin),
        }
    }
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

    /// The fate of what is asked of the file or directory `name`.
    pub(super) fn fate(&mut self, name: &str, request: Request) -> Fate {
        if self.is_off {
            return Fate::Failed(libc::EIO);
        }
        let fate = self.fate_with_power(name, request);
        self.hits += u64::from(fate != Fate::Done);
        if fate == Fate::Cut {
            self.cut_power();
        }
        fate
    }

    /// The same where a request is done wholly, or not at all.
    pub(super) fn check(&mut self, name: &str, request: Request) -> Result<(), i32> {
        match self.fate(name, request) {
            Fate::Failed(errno) => Err(errno),
            Fate::Cut => Err(libc::EIO),
            Fate::Done | Fate::Late(_) | Fate::Short | Fate::Loose => Ok(()),
        }
    }

    fn fate_with_power(&mut self, name: &str, request: Request) -> Fate {
        if request == Request::DurableWrite && self.cut_short.as_deref() == Some(name) {
            return Fate::Failed(libc::ENOSPC);
        }
        let requests = match self.fault {
            None | Some(Fault::ReadError { .. }) => return Fate::Done,
            Some(Fault::Error { requests, .. } | Fault::PowerCut { requests, .. }) => requests,
            Some(Fault::ShortWrite { .. } | Fault::Delay { .. } | Fault::Lie) => Requests::LogWrites,
        };
        if !requests.have(name, request) {
            return Fate::Done;
        }
        let number = self.met;
        self.met += 1;
        match self.fault {
            Some(Fault::Error { errno, after, count, .. }) if number >= after && number - after < count => {
                Fate::Failed(errno)
            }
            Some(Fault::ShortWrite { after }) if number == after => {
                self.cut_short = Some(name.to_owned());
                Fate::Short
            }
            Some(Fault::PowerCut { after, .. }) if number == after => Fate::Cut,
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
