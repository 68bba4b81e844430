//! The first hits of a list that is found in any order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Hit;
use crate::order::ListKey;

/// The hits that come first in the list, of all that were offered; at most `count_max`.
pub(super) struct FirstHits {
    count_max: usize,
    /// The last of them on top.
    hits: BinaryHeap<ByKey>,
}

impl FirstHits {
    pub(super) fn new(count_max: usize) -> FirstHits {
        FirstHits { count_max, hits: BinaryHeap::new() }
    }

    /// Takes a hit in, unless there are enough that come before it.
    pub(super) fn offer(&mut self, hit: Hit) {
        if self.has_room_for(&hit.key) {
            if self.hits.len() == self.count_max {
                self.hits.pop();
            }
            self.hits.push(ByKey(hit));
        }
    }

    /// Whether a hit with this key would be taken in.
    pub(super) fn has_room_for(&self, key: &ListKey) -> bool {
        self.hits.len() < self.count_max || self.hits.peek().is_some_and(|last| *key < last.0.key)
    }

    /// The hits in list order.
    pub(super) fn into_sorted(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|ByKey(hit)| hit).collect()
    }
}

/// A hit that sorts by its key.
struct ByKey(Hit);

impl PartialEq for ByKey {
    fn eq(&self, other: &ByKey) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &ByKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &ByKey) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}
