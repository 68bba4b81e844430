//! Memory that the kernel can read and write directly, past the page cache.

use std::alloc::{self, Layout};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::{fmt, slice};

/// A heap buffer of fixed size whose address and size are multiples of [`AlignedBuffer::ALIGNMENT`], as `O_DIRECT`
/// wants them (open(2), section `O_DIRECT`). It is zeroed when made, never grows and never moves.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    bytes: usize,
}

impl AlignedBuffer {
    /// Bytes to which address and size are aligned: enough for every device with logical blocks of up to 4 KiB.
    pub const ALIGNMENT: usize = 4096;

    /// A buffer of `bytes` zeros. `bytes` is a multiple of [`AlignedBuffer::ALIGNMENT`], and not 0.
    pub fn zeroed(bytes: usize) -> AlignedBuffer {
        let layout = Self::layout(bytes);
        // SAFETY: `layout` asserts that the size is not zero, the one condition that `alloc_zeroed` has.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        AlignedBuffer { start, bytes }
    }

    /// Where it begins, for a kernel that will write there while nobody else has the buffer.
    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn layout(bytes: usize) -> Layout {
        assert!(
            bytes > 0 && bytes.is_multiple_of(Self::ALIGNMENT),
            "an aligned buffer has a multiple of {} bytes, not {bytes}",
            Self::ALIGNMENT
        );
        Layout::from_size_align(bytes, Self::ALIGNMENT)
            .expect("the alignment is a power of two, and no size near isize::MAX is asked for")
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `bytes` bytes that this value owns, that were initialised when they were allocated
        // and stay so; the borrow of `self` keeps anyone from writing or freeing them meanwhile.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the exclusive borrow of `self` makes this the only reference to the bytes.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this very layout and is freed nowhere else.
        unsafe { alloc::dealloc(self.start.as_ptr(), Self::layout(self.bytes)) }
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.bytes)
    }
}

// SAFETY: the buffer owns its memory alone, as a `Box<[u8]>` would; no other thread holds a pointer into it.
unsafe impl Send for AlignedBuffer {}

// SAFETY: shared references give out `&[u8]` only, and all changes go through `&mut self`.
unsafe impl Sync for AlignedBuffer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_size_are_aligned_and_the_bytes_are_zero() {
        for blocks in [1, 2, 3, 256] {
            let mut buffer = AlignedBuffer::zeroed(blocks * AlignedBuffer::ALIGNMENT);
            assert_eq!(buffer.as_ptr().addr() % AlignedBuffer::ALIGNMENT, 0);
            assert_eq!(buffer.len(), blocks * AlignedBuffer::ALIGNMENT);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(0xA5);
            assert!(buffer.iter().all(|&byte| byte == 0xA5));
        }
    }

    #[test]
    fn a_buffer_may_move_to_another_thread() {
        let mut buffer = AlignedBuffer::zeroed(AlignedBuffer::ALIGNMENT);
        let address = buffer.as_ptr().addr();
        buffer[4095] = 7;
        let buffer =
            std::thread::spawn(move || buffer).join().expect("the thread only hands the buffer back");
        assert_eq!((buffer.as_ptr().addr(), buffer[4095]), (address, 7));
    }

    #[test]
    #[should_panic(expected = "a multiple of 4096 bytes, not 5000")]
    fn a_size_that_is_not_aligned_is_refused() {
        AlignedBuffer::zeroed(5000);
    }
}
