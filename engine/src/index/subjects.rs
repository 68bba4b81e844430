//! Subjects: the paths that claims are about, found by name and in the order of their names.

use super::chunked_vec::ChunkedVec;
use super::interner::Interner;
use super::row::Link;
use super::seeded_hash::SeededHash;
use super::sorted_ids::{Forward, SortedIds};

/// Bytes that paths are allocated by.
const PATHS_CHUNK_BYTES: usize = 1 << 20;

/// All subjects of an index.
pub(super) struct Subjects {
    paths: Interner,
    /// By subject: the series that was new last.
    series: ChunkedVec<Link, 4096>,
    /// All subjects, by the bytes of their paths.
    ordered: SortedIds,
    /// The one interned last: claims about one subject mostly come together.
    last: Option<u32>,
}

impl Subjects {
    pub(super) fn new() -> Subjects {
        Subjects {
            paths: Interner::new(PATHS_CHUNK_BYTES),
            series: ChunkedVec::new(),
            ordered: SortedIds::default(),
            last: None,
        }
    }

    /// The number of `path`, new if the path is new.
    pub(super) fn intern(&mut self, hash: &SeededHash, path: &str) -> u32 {
        if let Some(last) = self.last.filter(|&last| self.paths.string(last) == path.as_bytes()) {
            return last;
        }
        let subject = self.paths.intern(hash, path.as_bytes());
        self.last = Some(subject);
        if subject as usize == self.series.len() {
            self.series.push(Link::NONE);
            let paths = &self.paths;
            self.ordered.insert(subject, |other| paths.string(other).cmp(path.as_bytes()));
        }
        subject
    }

    /// Makes `series` the head of the subject's chain of series; answers the head before.
    pub(super) fn push_series(&mut self, subject: u32, series: u32) -> Link {
        std::mem::replace(&mut self.series[subject], Link::to(series))
    }

    /// The head of the subject's chain of series.
    pub(super) fn series(&self, subject: u32) -> Link {
        self.series[subject]
    }

    /// The number of `path`.
    pub(super) fn find(&self, hash: &SeededHash, path: &str) -> Option<u32> {
        self.paths.find(hash, path.as_bytes())
    }

    /// The path of a subject.
    pub(super) fn path(&self, subject: u32) -> &str {
        str::from_utf8(self.paths.string(subject)).expect("interned from a string")
    }

    /// The subjects whose paths begin with `prefix`, by the bytes of their paths, from the one after `after`
    /// on.
    pub(super) fn beginning_with<'a>(&'a self, prefix: &'a [u8], after: Option<u32>) -> BeginningWith<'a> {
        let position = match after.map(|after| self.paths.string(after)) {
            Some(after) => self.ordered.position(|other| self.paths.string(other) <= after),
            None => self.ordered.position(|other| self.paths.string(other) < prefix),
        };
        BeginningWith { paths: &self.paths, prefix, subjects: self.ordered.forward(position) }
    }

    /// Whether there is room for so many more paths in the numbers by which they are referred to.
    pub(super) fn has_references_for(&self, paths: usize) -> bool {
        self.paths.has_references_for(paths)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.paths.bytes() + self.series.bytes() + self.ordered.bytes()
    }

    /// The most that [`Self::bytes`] can grow by so many subjects whose paths together have so many bytes.
    pub(super) fn growth_bytes_max(&self, subjects: usize, bytes: usize) -> usize {
        self.paths.growth_bytes_max(subjects, bytes)
            + self.series.growth_bytes_max(subjects)
            + SortedIds::growth_bytes_max(self.ordered.bytes(), subjects)
    }
}

/// The subjects whose paths begin with a prefix.
pub(super) struct BeginningWith<'a> {
    paths: &'a Interner,
    prefix: &'a [u8],
    subjects: Forward<'a>,
}

impl Iterator for BeginningWith<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.subjects.next().filter(|&subject| self.paths.string(subject).starts_with(self.prefix))
    }
}
