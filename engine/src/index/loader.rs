//! Building an index of many claims before anybody asks it anything.

use std::ops::Range;

use super::batch::BatchFull;
use super::{Index, IndexConfig, NewClaim};
use crate::claim::ClaimHash;
use crate::order::WriteOrder;

/// An index that is being built, as at a start from the log. What it gives in the end is what insertions one by one give.
///
/// Paths are put in order together and late: each path by itself is compared with twenty others that are anywhere in
/// memory.
pub struct IndexLoader(pub(super) Index);

impl IndexLoader {
    /// Begins with an empty index.
    pub fn new(config: IndexConfig) -> IndexLoader {
        let mut index = Index::new(config);
        index.subjects.put_order_off();
        index.sources.put_order_off();
        IndexLoader(index)
    }

    /// Inserts claims, as [`Index::insert_all`].
    ///
    /// # Errors
    ///
    /// At the first claim that there is no room for.
    pub fn insert_all(&mut self, claims: &[NewClaim<'_>]) -> Result<(), BatchFull> {
        self.0.insert_all(claims)
    }

    /// Marks the claim with this hash, which is there, as retracted.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn mark_retracted(&mut self, hash: &ClaimHash) {
        self.0.mark_retracted(hash);
    }

    /// Retracts, as [`Index::retract`].
    pub fn retract(&mut self, path: &str, slots: Range<u16>, before: WriteOrder) -> u64 {
        // Sources are looked for in their order.
        self.0.sources.put_in_order();
        self.0.retract(path, slots, before)
    }

    /// How many claims there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is no claim.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The index.
    pub fn finish(mut self) -> Index {
        self.0.subjects.stop_putting_order_off();
        self.0.sources.stop_putting_order_off();
        self.0
    }
}
