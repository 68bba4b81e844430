//! Paths, found by name and in the order of their names, each at the head of a chain of what belongs to it.

use std::ops::Range;

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
    /// The first paths, by their bytes: all, unless order is put off.
    ordered: SortedIds,
    /// How many paths are in order.
    ordered_count: u32,
    puts_order_off: bool,
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
            ordered_count: 0,
            puts_order_off: false,
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
            if !self.puts_order_off {
                self.put_in_order();
            }
        }
        id
    }

    /// Gives `path`, which is new, a number and an empty chain. It is not found before [`Self::index_all`], and not in
    /// order before [`Self::append_in_order`].
    pub(super) fn push_path(&mut self, path: &str) -> u32 {
        self.heads.push(Link::NONE);
        self.paths.push(path.as_bytes())
    }

    /// Makes all paths found, or answers two numbers whose paths are the same.
    pub(super) fn index_all(&mut self, hash: &SeededHash) -> Result<(), (u32, u32)> {
        self.paths.index_all(hash)
    }

    /// Puts paths into the order, behind those that are in it. Answers the first that is none, or does not come after the
    /// one before it.
    pub(super) fn append_in_order(&mut self, ids: impl Iterator<Item = u32> + Clone) -> Result<(), u32> {
        // How many paths ahead the references are fetched, and how many the paths.
        const AHEAD: [usize; 2] = [32, 16];
        let count = self.heads.len() as u32;
        let is_there = |id: &u32| *id < count;
        let mut references = ids.clone().skip(AHEAD[0]).filter(is_there);
        let mut strings = ids.clone().skip(AHEAD[1]).filter(is_there);
        for id in ids {
            references.next().inspect(|&id| self.paths.prefetch_reference(id));
            strings.next().inspect(|&id| self.paths.prefetch_string(id));
            let comes_after = |last| self.paths.string(last) < self.paths.string(id);
            if !is_there(&id) || !self.ordered.last().is_none_or(comes_after) {
                return Err(id);
            }
            self.ordered.append(id);
            self.ordered_count += 1;
        }
        Ok(())
    }

    /// Whether all paths are in order.
    pub(super) fn is_in_order(&self) -> bool {
        self.ordered_count as usize == self.heads.len()
    }

    /// From now on, paths are put in order when it is asked for. That takes 16 bytes for each, less than a tenth of what an index has for it.
    pub(super) fn put_order_off(&mut self) {
        self.puts_order_off = true;
    }

    /// Puts all paths in order, and from now on each when it comes.
    pub(super) fn stop_putting_order_off(&mut self) {
        self.puts_order_off = false;
        self.put_in_order();
    }

    /// Puts all paths in order.
    pub(super) fn put_in_order(&mut self) {
        let PathChains { paths, ordered, .. } = self;
        let count = self.heads.len() as u32;
        let new = self.ordered_count..count;
        self.ordered_count = count;
        if new.len() == 1 {
            insert(paths, ordered, new.start);
            return;
        }
        let sorted = sorted(paths, new);
        let Some((_, first)) = sorted.first() else { return };
        if ordered.last().is_none_or(|last| paths.string(last) < paths.string(*first)) {
            // They are not compared again: that would wait for the memory of each.
            sorted.into_iter().for_each(|(_, id)| ordered.append(id));
        } else {
            sorted.into_iter().for_each(|(_, id)| insert(paths, ordered, id));
        }
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
        assert!(self.is_in_order(), "paths are asked for that are not in order");
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

/// Puts a path in its place in the order.
fn insert(paths: &Interner, ordered: &mut SortedIds, id: u32) {
    let path = paths.string(id);
    ordered.insert(id, |other| paths.string(other).cmp(path));
}

/// The paths with these numbers, by their bytes, each behind a key by which most comparisons are decided: where
/// the paths are in memory has nothing to do with their order.
fn sorted(paths: &Interner, numbers: Range<u32>) -> Vec<(u64, u32)> {
    let Some(first) = numbers.clone().next() else { return Vec::new() };
    let first = paths.string(first);
    let common_with_first =
        |id| first.iter().zip(paths.string(id)).take_while(|(one, other)| one == other).count();
    let common = numbers.clone().map(common_with_first).min().expect("the first is one of them");
    let key = |id| {
        let rest = &paths.string(id)[common..];
        let mut key = [0; 8];
        let bytes = rest.len().min(key.len());
        key[..bytes].copy_from_slice(&rest[..bytes]);
        (u64::from_be_bytes(key), id)
    };
    let mut sorted: Vec<(u64, u32)> = numbers.map(key).collect();
    sorted.sort_unstable_by(|(one_key, one), (other_key, other)| {
        one_key.cmp(other_key).then_with(|| paths.string(*one).cmp(paths.string(*other)))
    });
    sorted
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Paths that share beginnings of all lengths, and some that are the beginning of others.
    fn path() -> impl Strategy<Value = String> {
        proptest::collection::vec(0..4_u8, 1..24).prop_map(|letters| {
            let letters = letters.into_iter().map(|letter| char::from(b"ab/z"[usize::from(letter)]));
            "common/beginning/".chars().chain(letters).collect()
        })
    }

    proptest! {
        #[test]
        fn order_put_off_is_order(
            batches in proptest::collection::vec(proptest::collection::vec(path(), 0..60), 1..6),
            late in proptest::collection::vec(path(), 0..10),
        ) {
            let hash = SeededHash::new(1);
            let mut chains = PathChains::new(1 << 16);
            let mut expected = BTreeSet::new();
            let in_order = |chains: &PathChains| {
                chains.beginning_with("", None).map(|id| chains.path(id).to_owned()).collect::<Vec<_>>()
            };
            chains.put_order_off();
            for batch in batches {
                for path in batch {
                    chains.intern(&hash, &path);
                    expected.insert(path);
                }
                chains.put_in_order();
                prop_assert!(expected.iter().eq(&in_order(&chains)));
            }
            chains.stop_putting_order_off();
            for path in late {
                chains.intern(&hash, &path);
                expected.insert(path);
                prop_assert!(expected.iter().eq(&in_order(&chains)));
            }
        }
    }

    #[test]
    #[should_panic(expected = "paths are asked for that are not in order")]
    fn what_is_not_in_order_is_not_listed() {
        let mut chains = PathChains::new(1 << 16);
        chains.put_order_off();
        chains.intern(&SeededHash::new(1), "a");
        let _ = chains.beginning_with("", None);
    }
}
