//! Integers at fixed places of a block: the log is little-endian throughout.

use crate::log::BLOCK_BYTES;

/// `bytes` rounded up to whole blocks.
pub(super) fn blocks_up(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// The `N` bytes at `at`, for `from_le_bytes`.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

/// Writes `field` at `at`.
pub(super) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}
