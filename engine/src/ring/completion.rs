//! What became of the operations of a ring.

use std::os::fd::{FromRawFd, OwnedFd};

use super::aligned::AlignedBuffer;
use super::{Descriptor, Errno, ReceivedBuffer};

/// One event of a [`Ring`](super::Ring). `user` is what the caller gave with the operation.
///
/// Where a completion has `more`, `true` says that the operation goes on and further completions follow;
/// after `false` it has ended and must be started anew if it is still wanted.
#[derive(Debug)]
#[must_use]
pub enum Completion {
    /// A listener accepted a connection, or failed to.
    Accepted {
        /// The caller's number.
        user: u64,
        /// The connected socket.
        result: Result<Descriptor, Errno>,
        /// Whether further connections will be accepted.
        more: bool,
    },
    /// A socket received something.
    Received {
        /// The caller's number.
        user: u64,
        /// What it received.
        received: Received,
        /// Whether the socket goes on receiving.
        more: bool,
    },
    /// A socket took bytes to send.
    Sent {
        /// The caller's number.
        user: u64,
        /// The buffer of the operation, unchanged.
        buffer: Vec<u8>,
        /// How many bytes of the given range the socket took, at least one; the caller sends the rest.
        result: Result<usize, Errno>,
    },
    /// A file took bytes, and they are on stable storage.
    Written {
        /// The caller's number.
        user: u64,
        /// The buffer of the operation, unchanged.
        buffer: AlignedBuffer,
        /// How many of the given bytes were written; fewer than all is a failure of the disk like any other.
        result: Result<usize, Errno>,
    },
    /// Bytes of a file were read.
    Read {
        /// The caller's number.
        user: u64,
        /// The buffer of the operation, with what was read at its beginning.
        buffer: AlignedBuffer,
        /// How many bytes were read; fewer than were asked for at the end of the file.
        result: Result<usize, Errno>,
    },
    /// A timer expired (`Ok`) or was cancelled.
    Timer {
        /// The caller's number.
        user: u64,
        /// `Err` only when the timer ended without expiring.
        result: Result<(), Errno>,
    },
    /// Another ring sent a message.
    Message {
        /// What it said.
        data: u64,
    },
    /// A message to another ring was not delivered.
    MessageFailed {
        /// The caller's number.
        user: u64,
        /// Why.
        errno: Errno,
    },
    /// A [`Waker`](super::Waker) was used, at least once since the last such completion.
    Woken {
        /// The caller's number.
        user: u64,
    },
}

/// What a socket received.
#[derive(Debug)]
pub enum Received {
    /// Bytes, at least one.
    Data(ReceivedBuffer),
    /// The peer will send nothing more.
    EndOfStream,
    /// Bytes are there, but all receive buffers are lent out. Drop some and receive again.
    NoBuffer,
    /// The connection or the operation broke; `ECANCELED` when it was cancelled.
    Failed(Errno),
}

impl Completion {
    /// Of `accept`, whose result is a descriptor.
    pub(super) fn accepted(user: u64, result: Result<u32, Errno>, more: bool) -> Completion {
        let result = result.map(|number| {
            // SAFETY: the kernel has just opened the descriptor for this completion, which is seen once.
            Descriptor::from(unsafe { OwnedFd::from_raw_fd(number as i32) })
        });
        Completion::Accepted { user, result, more }
    }

    /// Of `receive`, whose result is how many bytes it put into the buffer.
    pub(super) fn received(
        user: u64,
        result: Result<u32, Errno>,
        buffer: Option<ReceivedBuffer>,
        more: bool,
    ) -> Completion {
        let received = match (result, buffer) {
            (Ok(0), _) => Received::EndOfStream,
            (Ok(_), Some(buffer)) => Received::Data(buffer),
            (Ok(bytes), None) => panic!("{bytes} bytes received into no buffer"),
            (Err(Errno(libc::ENOBUFS)), _) => Received::NoBuffer,
            (Err(errno), _) => Received::Failed(errno),
        };
        Completion::Received { user, received, more }
    }
}
