//! The operations of a ring, with all that they own, and how each is described to the kernel.

use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{Fd, Timespec};
use io_uring::{opcode, squeue};

use super::aligned::AlignedBuffer;
use super::in_flight::{Key, Scratch};
use super::receive_buffers;
use super::token::Token;
use super::{Descriptor, RingAddress, Waker};

/// An operation in flight, by which it can be cancelled. It names this one operation only, never a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationId(pub(super) Key);

/// An operation and what it owns.
#[derive(Debug)]
pub(super) enum Operation {
    Accept {
        listener: Descriptor,
    },
    Receive {
        socket: Descriptor,
    },
    Send {
        socket: Descriptor,
        buffer: Vec<u8>,
        range: Range<usize>,
        /// Whether the operation goes on until the socket has taken all of it.
        whole: bool,
    },
    Write {
        file: Descriptor,
        buffer: AlignedBuffer,
        bytes: usize,
        offset: u64,
    },
    Read {
        file: Descriptor,
        buffer: AlignedBuffer,
        bytes: usize,
        offset: u64,
    },
    Timer {
        after: Duration,
    },
    Message {
        target: RingAddress,
        data: u64,
    },
    /// The standing read of a waker's eventfd.
    Wake {
        waker: Waker,
    },
}

impl Operation {
    /// The submission that starts the operation.
    ///
    /// All addresses in it point into memory that `self` owns on the heap, or to `scratch`.
    ///
    /// # Safety
    ///
    /// `scratch` must be valid, and neither the kernel nor anybody else may be using it.
    pub(super) unsafe fn entry(&self, scratch: *mut Scratch) -> squeue::Entry {
        match self {
            Operation::Accept { listener } => {
                opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build()
            }
            Operation::Receive { socket } => {
                opcode::RecvMulti::new(Fd(socket.as_raw_fd()), receive_buffers::GROUP).build()
            }
            Operation::Send { socket, buffer, range, whole } => {
                let bytes = &buffer[range.clone()];
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), len)
                    .flags(libc::MSG_NOSIGNAL | if *whole { libc::MSG_WAITALL } else { 0 })
                    .build()
            }
            Operation::Write { file, buffer, bytes, offset } => {
                let len = u32::try_from(*bytes).expect("a buffer to write is smaller than 4 GiB");
                opcode::Write::new(Fd(file.as_raw_fd()), buffer.as_ptr(), len)
                    .offset(*offset)
                    .rw_flags(libc::RWF_DSYNC)
                    .build()
            }
            Operation::Read { file, buffer, bytes, offset } => {
                let len = u32::try_from(*bytes).expect("a buffer to read into is smaller than 4 GiB");
                // The kernel writes there: the buffer is in the table of operations, and nobody else has it, until the completion.
                opcode::Read::new(Fd(file.as_raw_fd()), buffer.start(), len).offset(*offset).build()
            }
            Operation::Timer { after } => {
                // SAFETY: our caller vouches for `scratch`.
                let timespec = unsafe { &raw mut (*scratch).timespec };
                // SAFETY: as before; the field is aligned like any.
                unsafe { timespec.write(Timespec::from(*after)) };
                opcode::Timeout::new(timespec).build()
            }
            Operation::Message { target, data } => {
                let token = Token::Message { data_high: (data >> 32) as u32 };
                let data_low = *data as u32 as i32;
                opcode::MsgRingData::new(Fd(target.as_raw_fd()), data_low, token.to_bits(), None).build()
            }
            Operation::Wake { waker } => {
                // SAFETY: our caller vouches for `scratch`.
                let wakes = unsafe { &raw mut (*scratch).wakes };
                opcode::Read::new(Fd(waker.as_raw_fd()), wakes.cast(), size_of::<u64>() as u32).build()
            }
        }
    }
}
