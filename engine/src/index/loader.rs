//! Building an index of many claims before anybody asks it anything.

use std::ops::Range;

use super::appending::Appending;
use super::batch::BatchFull;
use super::{Checkpoints, ClaimView, Index, IndexConfig, IndexFull, Inserted, NewClaim};
use crate::claim::ClaimHash;
use crate::order::WriteOrder;

/// An index that is being built, as at a start from the log. What it gives in the end is what insertions one by one give.
///
/// Paths are put in order together and late: each path by itself is compared with twenty others that are anywhere in
/// memory. Claims that come in the order of a table are put one behind the other.
pub struct IndexLoader {
    pub(super) index: Index,
    /// As long as all claims have come in the order of a table.
    appending: Option<Appending>,
}

impl IndexLoader {
    /// Begins with an empty index.
    pub fn new(config: IndexConfig) -> IndexLoader {
        let mut index = Index::new(config);
        index.subjects.put_order_off();
        index.sources.put_order_off();
        // What is found late counts late, too: not where memory has a bound.
        let appending = (config.bytes_max == u64::MAX).then(Appending::default);
        IndexLoader { index, appending }
    }

    /// Goes on with an index whose paths need not be in order.
    pub(super) fn of(index: Index) -> IndexLoader {
        IndexLoader { index, appending: None }
    }

    /// Inserts claims, as [`Index::insert_all`].
    ///
    /// # Errors
    ///
    /// At the first claim that there is no room for.
    pub fn insert_all(&mut self, claims: &[NewClaim<'_>]) -> Result<(), BatchFull> {
        self.insert(claims, None)
    }

    /// The same for claims that are in a table of these checkpoints: what is long of them does not enter memory.
    ///
    /// # Errors
    ///
    /// At the first claim that there is no room for.
    pub fn insert_all_stored(
        &mut self,
        claims: &[NewClaim<'_>],
        stored: Checkpoints,
    ) -> Result<(), BatchFull> {
        self.insert(claims, Some(stored))
    }

    /// Inserts a claim of another index whose long parts are in a table.
    ///
    /// # Errors
    ///
    /// When there is no room for it.
    pub fn insert_copy(&mut self, view: &ClaimView<'_>) -> Result<Inserted, IndexFull> {
        self.stop_appending();
        self.index.insert_copy(view)
    }

    /// Marks the claim with this hash, which is there, as retracted.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn mark_retracted(&mut self, hash: &ClaimHash) {
        if self.appending.as_mut().is_some_and(|appending| appending.mark_retracted(hash)) {
            return;
        }
        self.stop_appending();
        self.index.mark_retracted(hash);
    }

    /// Retracts, as [`Index::retract`].
    pub fn retract(&mut self, path: &str, slots: Range<u16>, before: WriteOrder) -> u64 {
        self.stop_appending();
        // Sources are looked for in their order.
        self.index.sources.put_in_order();
        self.index.retract(path, slots, before)
    }

    /// How many claims there are.
    pub fn len(&self) -> u64 {
        self.index.len()
    }

    /// Whether there is no claim.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The index.
    pub fn finish(mut self) -> Index {
        self.stop_appending();
        self.index.subjects.stop_putting_order_off();
        self.index.sources.stop_putting_order_off();
        self.index
    }

    fn insert(&mut self, claims: &[NewClaim<'_>], stored: Option<Checkpoints>) -> Result<(), BatchFull> {
        let appended = match &mut self.appending {
            Some(appending) => appending.append(&mut self.index, claims, stored),
            None => 0,
        };
        let rest = &claims[appended..];
        if rest.is_empty() {
            return Ok(());
        }
        self.stop_appending();
        let inserted = self.index.insert_all_stored(rest, stored);
        inserted.map_err(|batch| BatchFull { at: appended + batch.at, ..batch })
    }

    fn stop_appending(&mut self) {
        self.appending.take().into_iter().for_each(|appending| appending.finish(&mut self.index));
    }
}
