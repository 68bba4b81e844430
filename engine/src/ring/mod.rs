//! A small, safe wrapper over io_uring(7): the only way of the engine and the server to files and sockets.
//!
//! A [`Ring`] belongs to the thread that made it. Operations are queued by its methods and reach the kernel
//! with the next [`Ring::submit_and_wait`]; what became of them comes out of [`Ring::next_completion`].
//!
//! An operation *owns* what it uses: buffers move into the ring and come back with the completion, and
//! descriptors are kept open until then. So no buffer that the kernel may still touch can be dropped or changed,
//! and dropping a ring cancels what is in flight and waits for it.

mod address;
pub mod aligned;
mod completion;
mod cpu;
mod descriptor;
mod errno;
mod error;
mod in_flight;
pub mod listener;
pub mod memlock;
mod operation;
pub mod probe;
mod receive_buffers;
pub mod signals;
mod token;
mod waker;

pub use address::RingAddress;
pub use completion::{Completion, Received};
pub use cpu::CpuSet;
pub use descriptor::Descriptor;
pub use errno::Errno;
pub use error::RingError;
pub use operation::OperationId;
pub use receive_buffers::ReceivedBuffer;
pub use waker::Waker;

use std::collections::VecDeque;
use std::hint;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use thiserror::Error;

use self::aligned::AlignedBuffer;
use self::in_flight::{InFlight, InFlightTable, Key};
use self::operation::Operation;
use self::receive_buffers::ReceiveBuffers;
use self::token::Token;

/// The bounds of a [`Ring`].
#[derive(Debug, Clone)]
pub struct RingConfig {
    /// How many operations can be in flight, `1..=32768`. A multishot operation counts as one.
    pub operations_max: u32,
    /// How many receive buffers there are: a power of two, `1..=32768`.
    pub receive_buffers: u16,
    /// The size of each receive buffer.
    pub receive_buffer_bytes: u32,
}

/// An operation was refused, because as many as the ring can hold are in flight. What it was to own comes back.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("as many operations are in flight as the ring can hold")]
pub struct Full<T>(pub T);

/// An io_uring with the operations in flight in it; see the [module](self).
///
/// It stays on the thread that made it:
///
/// ```compile_fail,E0277
/// fn moves_to_another_thread<T: Send>() {}
/// moves_to_another_thread::<stemedb_engine::ring::Ring>();
/// ```
pub struct Ring {
    io: IoUring,
    in_flight: InFlightTable,
    receive_buffers: Rc<ReceiveBuffers>,
    /// Submissions that wait for room in the kernel's queue: only used when it is full and the kernel takes nothing.
    backlog: VecDeque<squeue::Entry>,
    address: RingAddress,
    /// Standing reads of wakers are not renewed any more.
    closing: bool,
}

/// The submission queue: once it is full, what it holds is submitted early.
const SUBMISSIONS_MAX: u32 = 1024;

/// Completions beside those that operations end with: connections to accept, messages of other rings, and what each cancellation is told of itself.
const COMPLETIONS_SPARE: u32 = 1024;

/// Pauses between two looks for completions: about a microsecond.
const PAUSES_A_LOOK: u32 = 20;

/// How long the making of a ring waits for memory that may be locked.
const MEMORY_PATIENCE: Duration = Duration::from_secs(1);

/// How long a closing ring waits before it cancels again.
const CLOSE_ROUND: Duration = Duration::from_millis(10);

impl Ring {
    /// A new ring for the calling thread.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, with advice what to do.
    pub fn new(config: &RingConfig) -> Result<Ring, RingError> {
        let RingConfig { operations_max, receive_buffers: count, receive_buffer_bytes: bytes } = *config;
        assert!((1..=1 << 15).contains(&operations_max), "operations_max is {operations_max}");
        // Each operation ends with one completion, and each received one in between holds a buffer. Of all others more may come than
        // there is spare; then the kernel keeps completions until there is room (`IORING_FEAT_NODROP`).
        let completions = operations_max + u32::from(count) + COMPLETIONS_SPARE;
        let io =
            build(operations_max.next_power_of_two().min(SUBMISSIONS_MAX), completions.next_power_of_two())
                .map_err(|source| RingError::Create { operations_max, source })?;
        // SAFETY: the number is open as long as `io` lives, and that is longer than this call.
        let fd = unsafe { BorrowedFd::borrow_raw(io.as_raw_fd()) };
        let address = RingAddress::of(fd)
            .map_err(|source| RingError::Descriptor { what: "the address of an io_uring", source })?;
        let failed = |source| RingError::ReceiveBuffers { count, bytes, source };
        let receive_buffers = Rc::new(ReceiveBuffers::new(count, bytes).map_err(failed)?);
        // SAFETY: once this has succeeded there is a `Ring`, whose `Drop` unregisters the buffers before it lets go of
        // them, or else leaks them.
        with_patience(|| unsafe { receive_buffers.register(&io) }).map_err(failed)?;
        Ok(Ring {
            io,
            in_flight: InFlightTable::new(operations_max),
            receive_buffers,
            backlog: VecDeque::new(),
            address,
            closing: false,
        })
    }

    /// Submits what is queued and waits until there is a completion: one system call.
    ///
    /// It may return without one, when a signal came or the kernel is short of memory for a moment.
    ///
    /// # Errors
    ///
    /// None that would be expected of a working ring.
    pub fn submit_and_wait(&mut self) -> io::Result<()> {
        self.submit_backlog();
        transient_is_ok(self.io.submit_and_wait(1))
    }

    /// Submits what is queued and waits until there are `completions` completions, or `timeout` has passed: one system
    /// call.
    ///
    /// Who queued sends, which mostly complete while they are submitted, and wants to sleep until something else
    /// happens, waits for one completion more than that.
    ///
    /// # Errors
    ///
    /// As [`submit_and_wait`](Ring::submit_and_wait).
    pub fn submit_and_wait_for(&mut self, completions: u32, timeout: Duration) -> io::Result<()> {
        self.submit_backlog();
        let timeout = Timespec::from(timeout);
        let wait = SubmitArgs::new().timespec(&timeout);
        match self.io.submitter().submit_with_args(completions as usize, &wait) {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            result => transient_is_ok(result),
        }
    }

    /// Submits what is queued, looks for completions for as long as `spin`, which may be zero, and only then sleeps until there is one.
    ///
    /// A thread that sleeps has to be woken by whatever completes its operation, which costs an interrupt between
    /// CPUs, on a virtual machine several microseconds on either side. Spinning gives the CPU up at every look, so
    /// that whoever else has to run there, such as the kernel's own workers for this very ring, is not held up.
    ///
    /// # Errors
    ///
    /// As [`submit_and_wait`](Ring::submit_and_wait).
    pub fn submit_and_spin(&mut self, spin: Duration) -> io::Result<()> {
        if spin.is_zero() {
            return self.submit_and_wait();
        }
        self.submit_backlog();
        if !self.io.submission().is_empty() {
            transient_is_ok(self.io.submit())?;
        }
        let began = Instant::now();
        while !self.has_completions() && began.elapsed() < spin {
            for _ in 0..PAUSES_A_LOOK {
                hint::spin_loop();
            }
            thread::yield_now();
        }
        // Enters the kernel even if completions are there: with deferred task work that is when they are posted.
        self.submit_and_wait()
    }

    /// Whether completions are there, or would be if the kernel was entered. Does not enter it.
    fn has_completions(&mut self) -> bool {
        let submission = self.io.submission();
        let due = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        due || !self.io.completion().is_empty()
    }

    /// Submits what is queued and collects the completions that are due, without waiting: at most one system call.
    ///
    /// # Errors
    ///
    /// As [`submit_and_wait`](Ring::submit_and_wait).
    pub fn submit(&mut self) -> io::Result<()> {
        self.submit_backlog();
        let submission = self.io.submission();
        if submission.is_empty() && !submission.taskrun() && !submission.cq_overflow() {
            return Ok(());
        }
        drop(submission);
        transient_is_ok(self.io.submit())
    }

    /// The next completion that is there, if any. Never enters the kernel.
    pub fn next_completion(&mut self) -> Option<Completion> {
        loop {
            let entry = self.io.completion().next()?;
            if let Some(completion) = self.settle(&entry) {
                return Some(completion);
            }
        }
    }

    /// Accepts connections on a listening socket until told otherwise ([`Completion::Accepted`]).
    ///
    /// The listener must not be in non-blocking mode.
    ///
    /// # Errors
    ///
    /// [`Full`] when too many operations are in flight.
    pub fn accept_multishot(&mut self, listener: &Descriptor, user: u64) -> Result<OperationId, Full<()>> {
        self.start(user, Operation::Accept { listener: listener.clone() }).map_err(|_| Full(()))
    }

    /// Receives from a connected socket until told otherwise ([`Completion::Received`]).
    ///
    /// # Errors
    ///
    /// [`Full`] when too many operations are in flight.
    pub fn receive_multishot(&mut self, socket: &Descriptor, user: u64) -> Result<OperationId, Full<()>> {
        self.start(user, Operation::Receive { socket: socket.clone() }).map_err(|_| Full(()))
    }

    /// Sends `buffer[range]` on a connected socket ([`Completion::Sent`]). The socket may take only a part of it.
    ///
    /// # Errors
    ///
    /// [`Full`] with the buffer when too many operations are in flight.
    ///
    /// # Panics
    ///
    /// When the range is empty or outside of the buffer.
    pub fn send(
        &mut self,
        socket: &Descriptor,
        buffer: Vec<u8>,
        range: Range<usize>,
        user: u64,
    ) -> Result<OperationId, Full<Vec<u8>>> {
        self.start_send(socket, buffer, range, false, user)
    }

    /// Sends `buffer[range]` on a connected socket, and tells when the socket has taken all of it
    /// ([`Completion::Sent`]); less only when the connection broke.
    ///
    /// # Errors
    ///
    /// [`Full`] with the buffer when too many operations are in flight.
    ///
    /// # Panics
    ///
    /// When the range is empty or outside of the buffer.
    pub fn send_whole(
        &mut self,
        socket: &Descriptor,
        buffer: Vec<u8>,
        range: Range<usize>,
        user: u64,
    ) -> Result<OperationId, Full<Vec<u8>>> {
        self.start_send(socket, buffer, range, true, user)
    }

    /// Writes the first `bytes` bytes of `buffer` at `offset` of a file; once it is done ([`Completion::Written`]), they
    /// are on stable storage (`RWF_DSYNC`, see pwritev2(2)).
    ///
    /// It is submitted at once. Behind it, on a disk with a volatile cache and without FUA, a worker of the kernel flushes
    /// that cache, on the CPU of the disk's interrupt. Where the file system cannot write without blocking, all of it
    /// runs on one of the ring's workers; see [`bind_workers`](Ring::bind_workers).
    ///
    /// # Errors
    ///
    /// [`Full`] with the buffer when too many operations are in flight.
    ///
    /// # Panics
    ///
    /// When `bytes` is 0 or more than the buffer has.
    pub fn write_durable(
        &mut self,
        file: &Descriptor,
        buffer: AlignedBuffer,
        bytes: usize,
        offset: u64,
        user: u64,
    ) -> Result<OperationId, Full<AlignedBuffer>> {
        assert!((1..=buffer.len()).contains(&bytes), "{bytes} bytes of a buffer of {}", buffer.len());
        let write = Operation::Write { file: file.clone(), buffer, bytes, offset };
        self.start(user, write).map_err(|refused| match refused {
            Operation::Write { buffer, .. } => Full(buffer),
            other => panic!("a write came back as {other:?}"),
        })
    }

    /// Reads `bytes` bytes at `offset` of a file into `buffer` ([`Completion::Read`]).
    ///
    /// # Errors
    ///
    /// [`Full`] with the buffer when too many operations are in flight.
    ///
    /// # Panics
    ///
    /// When `bytes` is 0 or more than the buffer has.
    pub fn read(
        &mut self,
        file: &Descriptor,
        buffer: AlignedBuffer,
        bytes: usize,
        offset: u64,
        user: u64,
    ) -> Result<OperationId, Full<AlignedBuffer>> {
        assert!((1..=buffer.len()).contains(&bytes), "{bytes} bytes of a buffer of {}", buffer.len());
        let read = Operation::Read { file: file.clone(), buffer, bytes, offset };
        self.start(user, read).map_err(|refused| match refused {
            Operation::Read { buffer, .. } => Full(buffer),
            other => panic!("a read came back as {other:?}"),
        })
    }

    /// Tells, once, that `after` has passed ([`Completion::Timer`]).
    ///
    /// # Errors
    ///
    /// [`Full`] when too many operations are in flight.
    pub fn timer(&mut self, after: Duration, user: u64) -> Result<OperationId, Full<()>> {
        self.start(user, Operation::Timer { after }).map_err(|_| Full(()))
    }

    /// Sends 64 bits to another ring, where they arrive as [`Completion::Message`] and end its wait.
    ///
    /// Only a failure is reported, as [`Completion::MessageFailed`].
    ///
    /// # Errors
    ///
    /// [`Full`] when too many operations are in flight.
    pub fn message(&mut self, target: &RingAddress, data: u64, user: u64) -> Result<(), Full<()>> {
        match self.start(user, Operation::Message { target: target.clone(), data }) {
            Ok(_) => Ok(()),
            Err(_) => Err(Full(())),
        }
    }

    /// Makes a waker, by which threads without a ring end this ring's wait ([`Completion::Woken`]).
    ///
    /// It occupies one operation for as long as the ring lives.
    ///
    /// # Errors
    ///
    /// When there is no descriptor to be had for it.
    pub fn waker(&mut self, user: u64) -> Result<Waker, RingError> {
        let failed = |source| RingError::Descriptor { what: "an eventfd to wake an io_uring by", source };
        let waker = Waker::new().map_err(failed)?;
        match self.start(user, Operation::Wake { waker: waker.clone() }) {
            Ok(_) => Ok(waker),
            Err(_) => Err(failed(io::Error::other("too many operations are in flight"))),
        }
    }

    /// Asks to end an operation. Its last completion follows, telling `ECANCELED` unless it had ended already.
    ///
    /// A descriptor is closed when the last of its operations has told its end and the caller holds no clone. By number
    /// the kernel finds one operation at once. It could end all of a descriptor as well, but looks through the operations of all others
    /// for them: to close a thousand connections in one turn would take a tenth of a second.
    pub fn cancel(&mut self, id: OperationId) {
        if self.in_flight.find(id.0).is_some() {
            let target = CancelBuilder::user_data(id.0.token().to_bits());
            let entry = opcode::AsyncCancel2::new(target).build().user_data(Token::Control.to_bits());
            // SAFETY: a cancellation takes no memory.
            unsafe { self.push(entry) };
        }
    }

    /// Keeps the kernel's worker threads, which run the durable writes, to these CPUs.
    ///
    /// Left alone, they may use the CPUs that the ring's thread may use: of a thread that is bound to one CPU, the
    /// workers compete with the thread itself.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for example a CPU outside of the process's cpuset.
    pub fn bind_workers(&self, cpus: &CpuSet) -> Result<(), RingError> {
        self.io
            .submitter()
            .register_iowq_aff(cpus.raw())
            .map_err(|source| RingError::Workers { what: "CPUs", source })
    }

    /// Limits how many worker threads the kernel may start for writes to files, at least one.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn limit_workers(&self, workers_max: u32) -> Result<(), RingError> {
        assert!(workers_max > 0, "the kernel takes 0 for no change");
        // The second number is for operations without a bound in time; those that we have run without a worker.
        self.io
            .submitter()
            .register_iowq_max_workers(&mut [workers_max, 0])
            .map_err(|source| RingError::Workers { what: "number", source })
    }

    /// Where other rings reach this one.
    pub fn address(&self) -> RingAddress {
        self.address.clone()
    }

    /// How many more operations can be started.
    pub fn operations_free(&self) -> u32 {
        self.in_flight.free()
    }

    /// How many receive buffers are not lent out.
    pub fn receive_buffers_free(&self) -> u16 {
        self.receive_buffers.provided()
    }

    fn start_send(
        &mut self,
        socket: &Descriptor,
        buffer: Vec<u8>,
        range: Range<usize>,
        whole: bool,
        user: u64,
    ) -> Result<OperationId, Full<Vec<u8>>> {
        assert!(range.start < range.end && range.end <= buffer.len(), "{range:?} of {} bytes", buffer.len());
        let send = Operation::Send { socket: socket.clone(), buffer, range, whole };
        self.start(user, send).map_err(|refused| match refused {
            Operation::Send { buffer, .. } => Full(buffer),
            other => panic!("a send came back as {other:?}"),
        })
    }

    /// Takes an operation in and queues it, or gives it back when the table is full.
    fn start(&mut self, user: u64, operation: Operation) -> Result<OperationId, Operation> {
        let key = self.in_flight.insert(InFlight { user, operation }).map_err(|refused| refused.operation)?;
        let (in_flight, scratch) = self.in_flight.parts(key);
        // SAFETY: the scratch memory is that of an operation which the kernel does not know yet.
        let entry = unsafe { in_flight.operation.entry(scratch) }.user_data(key.token().to_bits());
        // SAFETY: all memory that the entry names belongs to the operation or is its scratch memory, and both stay
        // where they are, untouched, until `settle` takes the operation out of the table at its last completion.
        unsafe { self.push(entry) };
        Ok(OperationId(key))
    }

    /// Queues a submission; when the queue is full, the kernel is given what is in it first.
    ///
    /// # Safety
    ///
    /// The memory that the entry names must stay valid, and unused by others, until its last completion.
    unsafe fn push(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() && self.io.submission().is_full() {
            // A failure leaves the queue full, and the entry goes to the backlog.
            let _ = self.io.submit();
        }
        // SAFETY: our caller vouches for the entry.
        if !self.backlog.is_empty() || unsafe { self.io.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    /// Moves the backlog to the submission queue as far as it fits.
    fn submit_backlog(&mut self) {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever put the entry into the backlog vouched for it.
            if unsafe { self.io.submission().push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
    }

    /// Books a completion, and says what the caller should know of it.
    fn settle(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let key = match Token::from_bits(entry.user_data()) {
            Token::Operation { index, generation } => Key { index, generation },
            Token::Message { data_high } => {
                let data = u64::from(data_high) << 32 | u64::from(entry.result() as u32);
                return Some(Completion::Message { data });
            }
            Token::Control => return None,
        };
        let result = Errno::check(entry.result());
        let buffer =
            cqueue::buffer_select(entry.flags()).map(|id| self.receive_buffers.lend(id, result.unwrap_or(0)));
        if cqueue::more(entry.flags()) {
            let in_flight = self.in_flight.find(key).expect("an operation that goes on is in flight");
            return Some(match &in_flight.operation {
                Operation::Accept { .. } => Completion::accepted(in_flight.user, result, true),
                Operation::Receive { .. } => Completion::received(in_flight.user, result, buffer, true),
                other => panic!("{other:?} has one completion, but more are said to follow"),
            });
        }
        let InFlight { user, operation } = self.in_flight.remove(key);
        match operation {
            Operation::Accept { .. } => Some(Completion::accepted(user, result, false)),
            Operation::Receive { .. } => Some(Completion::received(user, result, buffer, false)),
            Operation::Send { buffer, .. } => {
                Some(Completion::Sent { user, buffer, result: result.map(|bytes| bytes as usize) })
            }
            Operation::Write { buffer, .. } => {
                Some(Completion::Written { user, buffer, result: result.map(|bytes| bytes as usize) })
            }
            Operation::Read { buffer, .. } => {
                Some(Completion::Read { user, buffer, result: result.map(|bytes| bytes as usize) })
            }
            Operation::Timer { .. } => {
                let result = match result {
                    Ok(_) | Err(Errno(libc::ETIME)) => Ok(()),
                    Err(errno) => Err(errno),
                };
                Some(Completion::Timer { user, result })
            }
            Operation::Message { .. } => result.err().map(|errno| Completion::MessageFailed { user, errno }),
            Operation::Wake { waker } => {
                if !self.closing {
                    self.start(user, Operation::Wake { waker })
                        .expect("this operation has just freed its entry");
                }
                result.ok().map(|_| Completion::Woken { user })
            }
        }
    }

    /// Ends all operations and waits for their last completions.
    fn cancel_all(&mut self) -> io::Result<()> {
        self.closing = true;
        while self.in_flight.len() > 0 {
            let all =
                opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(Token::Control.to_bits());
            // SAFETY: a cancellation takes no memory.
            unsafe { self.push(all) };
            self.submit_backlog();
            // What already runs, like a write, cannot be cancelled. So wait for all, but not for ever: an operation that
            // was between two states when the cancellation came is caught by the next one.
            let round = Timespec::from(CLOSE_ROUND);
            let wanted = self.in_flight.len() as usize + 1;
            match self.io.submitter().submit_with_args(wanted, &SubmitArgs::new().timespec(&round)) {
                Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
                result => transient_is_ok(result)?,
            }
            while self.next_completion().is_some() {}
        }
        self.io.submitter().unregister_buf_ring(receive_buffers::GROUP)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Err(error) = self.cancel_all() {
            // The kernel may still use the memory, so nobody else may ever get it.
            tracing::error!(%error, operations = self.in_flight.len(), "an io_uring cannot be closed, leaking its memory");
            mem::forget(mem::replace(&mut self.in_flight, InFlightTable::new(1)));
            mem::forget(Rc::clone(&self.receive_buffers));
        }
    }
}

/// An io_uring as this module needs it, with so many entries in its two queues.
fn build(submissions: u32, completions: u32) -> io::Result<IoUring> {
    with_patience(|| {
        IoUring::builder()
            .dontfork()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(completions)
            .build(submissions)
    })
}

/// Tries again for a while when there is no memory that may be locked.
///
/// The kernel gives the memory of a ring back some time after it was closed. Where the user may lock little,
/// a server that is started right after another has ended would find none.
fn with_patience<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let patient_until = Instant::now() + MEMORY_PATIENCE;
    loop {
        match attempt() {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && Instant::now() < patient_until => {
                thread::sleep(MEMORY_PATIENCE / 100);
            }
            outcome => return outcome,
        }
    }
}

/// Some failures of `io_uring_enter(2)` say no more than: again.
fn transient_is_ok(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests;
