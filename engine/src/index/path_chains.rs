//! Paths, found by name and in the order of their names, each at the head of a chain of what belongs to it.

use super::chunked_vec::ChunkedVec;
use super::interner::Interner;
use super::row::Link;
use super::seeded_hash::SeededHash;
use super::sorted_ids::{Forward, SortedIds};

/// A set of paths, each with a number counted from 0 in the order in which they came. Subjects with the
/// chains of their series are one, sources with the chains of their claims another.
pub(super) struct PathChains {
    paths: Interner,
    /// By path: what joined its chain last.
    heads: ChunkedVec<Link, 4096>,
    /// All paths, by their bytes.
    ordered: SortedIds,
    /// The one interned last: claims about one subject, and from one source, mostly come together.
    last: Option<u32>,
}

impl PathChains {
    /// An empty set that allocates `chunk_bytes` at a time for the paths; none may be longer than that, nor
    /// than 64 KiB.
    pub(super) fn new(chunk_bytes: usize) -> PathChains {
        PathChains {
            paths: Interner::new(chunk_bytes),
            heads: ChunkedVec::new(),
            ordered: SortedIds::default(),
            last: None,
        }
    }

    /// The number of `path`, new and with an empty chain if the path is new.
    pub(super) fn intern(&mut self, hash: &SeededHash, path: &str) -> u32 {
        if let Some(last) = self.last.filter(|&last| self.paths.string(last) == path.as_bytes()) {
            return last;
        }
        let id = self.paths.intern(hash, path.as_bytes());
        self.last = Some(id);
        if id as usize == self.heads.len() {
            self.heads.push(Link::NONE);
            let paths = &self.paths;
            self.ordered.insert(id, |other| paths.string(other).cmp(path.as_bytes()));
        }
        id
    }

    /// Makes `element` the head of the path's chain; answers the head before, to which it must lead on.
    pub(super) fn push(&mut self, path: u32, element: u32) -> Link {
        std::mem::replace(&mut self.heads[path], Link::to(element))
    }

    /// The head of the path's chain.
    pub(super) fn head(&self, path: u32) -> Link {
        self.heads[path]
    }

    /// The number of `path`.
    pub(super) fn find(&self, hash: &SeededHash, path: &str) -> Option<u32> {
        self.paths.find(hash, path.as_bytes())
    }

    /// All paths, without their order and their chains.
    pub(super) fn paths(&self) -> &Interner {
        &self.paths
    }

    /// The path with this number.
    pub(super) fn path(&self, path: u32) -> &str {
        str::from_utf8(self.paths.string(path)).expect("interned from a string")
    }

    /// The paths that begin with `prefix`, by their bytes, from the one after `after` on.
    pub(super) fn beginning_with<'a>(&'a self, prefix: &'a str, after: Option<u32>) -> BeginningWith<'a> {
        let prefix = prefix.as_bytes();
        let position = match after.map(|after| self.paths.string(after)) {
            Some(after) => self.ordered.position(|other| self.paths.string(other) <= after),
            None => self.ordered.position(|other| self.paths.string(other) < prefix),
        };
        BeginningWith { paths: &self.paths, prefix, ordered: self.ordered.forward(position) }
    }

    /// Whether there is room for so many more paths in the numbers by which they are referred to.
    pub(super) fn has_references_for(&self, paths: usize) -> bool {
        self.paths.has_references_for(paths)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.paths.bytes() + self.heads.bytes() + self.ordered.bytes()
    }

    /// The most that [`Self::bytes`] can grow by so many paths that together have so many bytes.
    pub(super) fn growth_bytes_max(&self, paths: usize, bytes: usize) -> usize {
        self.paths.growth_bytes_max(paths, bytes)
            + self.heads.growth_bytes_max(paths)
            + SortedIds::growth_bytes_max(self.ordered.bytes(), paths)
    }
}

/// The paths that begin with a prefix.
pub(super) struct BeginningWith<'a> {
    paths: &'a Interner,
    prefix: &'a [u8],
    ordered: Forward<'a>,
}

impl Iterator for BeginningWith<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.ordered.next().filter(|&path| self.paths.string(path).starts_with(self.prefix))
    }
}
