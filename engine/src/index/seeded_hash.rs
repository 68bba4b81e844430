//! The hash of everything the index looks up in memory.

use std::hash::{Hash, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// A keyed hash for tables in memory: who does not know the seed cannot choose keys that collide.
///
/// Never stored, never sent: it may differ in each start.
pub(super) struct SeededHash {
    seed: u64,
    shared: SharedSeed,
}

impl SeededHash {
    pub(super) fn new(seed: u64) -> SeededHash {
        SeededHash { seed, shared: SharedSeed::from_u64(seed) }
    }

    /// The hash of a byte string.
    pub(super) fn of_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of a number.
    pub(super) fn of_u64(&self, number: u64) -> u64 {
        self.of(&number)
    }

    /// The hash of anything that can be hashed.
    pub(super) fn of(&self, hashable: &impl Hash) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hashable.hash(&mut hasher);
        hasher.finish()
    }
}
