//! Sources: the evidence that claims name, each with the chain of its claims, for retraction.

use super::chunked_vec::ChunkedVec;
use super::interner::Interner;
use super::row::Link;
use super::seeded_hash::SeededHash;

/// Bytes that paths are allocated by.
const PATHS_CHUNK_BYTES: usize = 64 << 10;

/// All sources of an index.
pub(super) struct Sources {
    paths: Interner,
    /// By source: the claim that was inserted last.
    claims: ChunkedVec<Link, 4096>,
}

impl Sources {
    pub(super) fn new() -> Sources {
        Sources { paths: Interner::new(PATHS_CHUNK_BYTES), claims: ChunkedVec::new() }
    }

    /// The number of `path`, new if the path is new.
    pub(super) fn intern(&mut self, hash: &SeededHash, path: &str) -> u32 {
        let source = self.paths.intern(hash, path.as_bytes());
        if source as usize == self.claims.len() {
            self.claims.push(Link::NONE);
        }
        source
    }

    /// Makes `claim` the head of the source's chain of claims.
    pub(super) fn set_newest_claim(&mut self, source: u32, claim: u32) {
        self.claims[source] = Link::to(claim);
    }

    /// The head of the source's chain of claims.
    pub(super) fn newest_claim(&self, source: u32) -> Link {
        self.claims[source]
    }

    /// The path of a source.
    pub(super) fn path(&self, source: u32) -> &str {
        str::from_utf8(self.paths.string(source)).expect("interned from a string")
    }

    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether there is room for so many more paths in the numbers by which they are referred to.
    pub(super) fn has_references_for(&self, paths: usize) -> bool {
        self.paths.has_references_for(paths)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.paths.bytes() + self.claims.bytes()
    }

    /// The most that [`Self::bytes`] can grow by so many sources whose paths together have so many bytes.
    pub(super) fn growth_bytes_max(&self, sources: usize, bytes: usize) -> usize {
        self.paths.growth_bytes_max(sources, bytes) + self.claims.growth_bytes_max(sources)
    }
}
