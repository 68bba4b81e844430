//! The ring of buffers that the kernel fills with what sockets receive.

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::{fmt, io, slice};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The buffers' group: a ring has only this one.
pub(super) const GROUP: u16 = 0;

/// The buffers of one ring, and the queue that provides them to the kernel (`IORING_REGISTER_PBUF_RING`).
///
/// A buffer is at any time either provided, and then the kernel may write it, or lent to a [`ReceivedBuffer`].
pub(super) struct ReceiveBuffers {
    /// `count` entries; the last two bytes of the first are the queue's tail.
    queue: Mapping,
    /// `count` buffers of `bytes` bytes each.
    memory: Mapping,
    count: u16,
    bytes: u32,
    tail: Cell<u16>,
    lent: Cell<u16>,
}

impl ReceiveBuffers {
    /// `count` buffers of `bytes` bytes, all provided. `count` is a power of two, `1..=32768`.
    pub(super) fn new(count: u16, bytes: u32) -> io::Result<ReceiveBuffers> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "{count} receive buffers");
        assert!(bytes > 0, "receive buffers hold something");
        let buffers = ReceiveBuffers {
            queue: Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?,
            memory: Mapping::new(usize::from(count) * bytes as usize)?,
            count,
            bytes,
            tail: Cell::new(0),
            lent: Cell::new(count),
        };
        (0..count).for_each(|id| buffers.provide(id));
        Ok(buffers)
    }

    /// Hands the queue to the kernel.
    ///
    /// # Safety
    ///
    /// `self` must live until the group is unregistered from `io`, or until `io` is closed and nothing of it is in flight.
    pub(super) unsafe fn register(&self, io: &IoUring) -> io::Result<()> {
        let address = self.queue.start.as_ptr() as u64;
        // SAFETY: the queue is mapped, page aligned and `count` entries long; the caller keeps it alive.
        unsafe { io.submitter().register_buf_ring_with_flags(address, self.count, GROUP, 0) }
    }

    /// How many buffers the kernel can fill at the moment.
    pub(super) fn provided(&self) -> u16 {
        self.count - self.lent.get()
    }

    /// Takes the buffer `id`, which the kernel filled with `len` bytes, out of its hands.
    pub(super) fn lend(self: &Rc<Self>, id: u16, len: u32) -> ReceivedBuffer {
        assert!(id < self.count, "the kernel filled buffer {id} of {}", self.count);
        assert!(len <= self.bytes, "the kernel filled {len} bytes of a buffer of {}", self.bytes);
        assert!(self.lent.get() < self.count, "more buffers filled than there are");
        self.lent.set(self.lent.get() + 1);
        ReceivedBuffer { buffers: Rc::clone(self), id, len }
    }

    /// Appends the buffer `id`, which nobody else uses, to the kernel's queue.
    fn provide(&self, id: u16) {
        let entries = self.queue.start.cast::<BufRingEntry>();
        let tail = self.tail.get();
        // SAFETY: masked by `count - 1`, the index is within the `count` entries of the mapping. The kernel does
        // not read an entry before the tail has moved past it. Setting the fields one by one leaves alone
        // the two bytes of the first entry in which the tail is.
        unsafe {
            let entry = &mut *entries.add(usize::from(tail & (self.count - 1))).as_ptr();
            entry.set_addr(self.buffer(id).as_ptr() as u64);
            entry.set_len(self.bytes);
            entry.set_bid(id);
        }
        self.tail.set(tail.wrapping_add(1));
        self.lent.set(self.lent.get() - 1);
        // SAFETY: `entries` points to the first entry, whose last two bytes are the tail. It is two-byte aligned,
        // lives as long as the mapping, and the kernel only ever reads it.
        let shared_tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries.as_ptr()).cast_mut()) };
        // Release: the kernel must see the entry when it sees the tail.
        shared_tail.store(self.tail.get(), Ordering::Release);
    }

    /// Where the buffer `id` starts.
    fn buffer(&self, id: u16) -> NonNull<u8> {
        // SAFETY: `id < count` (checked where it comes in), so the offset is within the mapping.
        unsafe { self.memory.start.add(usize::from(id) * self.bytes as usize) }
    }
}

/// Bytes that a socket received, in a buffer on loan from the ring.
///
/// Dropping it provides the buffer to the kernel again. Who holds on to many starves the ring: receives then
/// end with [`Received::NoBuffer`](super::Received::NoBuffer).
pub struct ReceivedBuffer {
    buffers: Rc<ReceiveBuffers>,
    id: u16,
    len: u32,
}

impl Deref for ReceivedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is mapped as long as `buffers` lives and `len` is within it. While it is lent, the
        // kernel does not write it, and nobody else has it. It was zeroed when mapped, so all of it is initialised.
        unsafe { slice::from_raw_parts(self.buffers.buffer(self.id).as_ptr(), self.len as usize) }
    }
}

impl Drop for ReceivedBuffer {
    fn drop(&mut self) {
        self.buffers.provide(self.id);
    }
}

impl fmt::Debug for ReceivedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceivedBuffer({} bytes)", self.len)
    }
}

/// Zeroed anonymous memory, page aligned.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Mapping> {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("mmap does not map the null page");
        Ok(Mapping { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever held a pointer into it held `self`.
        let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        assert_eq!(unmapped, 0, "munmap of our own mapping: {}", io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_provided_again() {
        let buffers = Rc::new(ReceiveBuffers::new(4, 16).expect("memory"));
        assert_eq!(buffers.provided(), 4);
        let lent: Vec<ReceivedBuffer> = (0..4).map(|id| buffers.lend(id, 16)).collect();
        assert_eq!(buffers.provided(), 0);
        assert!(lent.iter().all(|buffer| **buffer == [0; 16]));
        drop(lent);
        assert_eq!(buffers.provided(), 4);
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let buffers = Rc::new(ReceiveBuffers::new(1, 8).expect("memory"));
        let lent = buffers.lend(0, 8);
        drop(buffers);
        assert_eq!(*lent, [0; 8]);
    }
}
