//! The signals that a server obeys.

use std::{io, mem, ptr};

/// `SIGINT`, `SIGTERM` and `SIGHUP`, kept from ending the process so that a thread can wait for them.
#[derive(Debug)]
pub struct Signals(libc::sigset_t);

/// One of the signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGINT`: stop, says a terminal.
    Interrupt,
    /// `SIGTERM`: stop.
    Terminate,
    /// `SIGHUP`: look again at what may have changed.
    Hangup,
}

impl Signal {
    /// Its name, for the log.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
        }
    }
}

impl Signals {
    /// Blocks the signals in the calling thread, and so in all threads that it starts afterwards: call it in the main thread
    /// before there are others.
    ///
    /// # Errors
    ///
    /// Those of pthread_sigmask(3).
    pub fn block() -> io::Result<Signals> {
        // SAFETY: a signal set is an array of integers, for which all zeros is a value; it is initialised right after.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `set` lives through the calls, the numbers are signals, and the old mask is not asked for.
        let errno = unsafe {
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGHUP);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut())
        };
        if errno == 0 { Ok(Signals(set)) } else { Err(io::Error::from_raw_os_error(errno)) }
    }

    /// Waits for one of the signals: see sigwait(3).
    ///
    /// # Errors
    ///
    /// Those of sigwait(3), none of which is expected.
    pub fn wait(&self) -> io::Result<Signal> {
        let mut signal = 0;
        // SAFETY: the set is initialised, `signal` is an int, and both live through the call.
        match unsafe { libc::sigwait(&self.0, &mut signal) } {
            0 => Ok(match signal {
                libc::SIGINT => Signal::Interrupt,
                libc::SIGHUP => Signal::Hangup,
                _ => Signal::Terminate,
            }),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_taken() {
        let signals = Signals::block().expect("the set is sound");
        for (number, signal) in [
            (libc::SIGTERM, Signal::Terminate),
            (libc::SIGINT, Signal::Interrupt),
            (libc::SIGHUP, Signal::Hangup),
        ] {
            // SAFETY: the call takes no memory. It is for this thread only, which has blocked the signal.
            assert_eq!(unsafe { libc::raise(number) }, 0);
            assert_eq!(signals.wait().expect("one is pending"), signal);
        }
    }
}
