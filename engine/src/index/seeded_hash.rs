//! The hash of everything the index looks up in memory.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// A keyed hash for tables in memory: who does not know the seed cannot choose keys that collide.
///
/// Never stored, never sent: it may differ in each start.
pub(crate) struct SeededHash {
    seed: u64,
    shared: SharedSeed,
}

impl SeededHash {
    pub(crate) fn new(seed: u64) -> SeededHash {
        SeededHash { seed, shared: SharedSeed::from_u64(seed) }
    }

    /// The hash of a byte string.
    pub(crate) fn of_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of a number.
    pub(crate) fn of_u64(&self, number: u64) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write_u64(number);
        hasher.finish()
    }
}
