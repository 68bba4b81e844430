//! Telling the processor what memory will be needed soon.

/// Lets the processor fetch the cache line in which `memory` begins, and does not wait for it.
///
/// Has an effect on time only, and on processors that are not x86-64 none at all.
#[inline]
pub(crate) fn prefetch<T>(memory: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is part of SSE, which every x86-64 processor has. It changes nothing that a program could
    // see, and raises no fault whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(memory).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = memory;
}
