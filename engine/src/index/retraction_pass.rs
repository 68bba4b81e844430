//! Retraction: finding the claims that a retraction strikes, step by step, and marking them.

use std::ops::Range;

use super::lookup::SeriesId;
use super::row::Link;
use super::{ClaimId, Index};
use crate::order::{ListKey, WriteOrder};
use crate::slot::Slot;

/// The retraction of everything about a path, or resting on it, in one index.
///
/// It strikes the claims about exactly that path, and those whose source is the path or below it, as far as they were
/// written before the retraction. When they were inserted makes no difference: where a log is read again over what is
/// there, claims that were written later may be there first.
#[derive(Debug)]
pub struct RetractionPass {
    /// What the paths of all sources below the retracted path begin with.
    below: String,
    slots: Range<u16>,
    /// When the retraction was written.
    before: WriteOrder,
    /// The source that is the retracted path itself.
    source: Option<u32>,
    place: Place,
    retracted: u64,
}

/// Where a pass goes on.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In a series of the subject, after the claim with this key.
    Subject { series: SeriesId, after: Option<ListKey> },
    /// In the claims of a source.
    Claims { source: u32, next: Link },
    /// At the source below the path that comes after this one.
    NextSource { after: Option<u32> },
    /// At the end.
    Done,
}

impl RetractionPass {
    /// A pass over `index` that retracts what is about `path` or rests on it, as far as the subjects are in
    /// `slots` and the claims were written before `before`.
    pub fn new(path: &str, slots: Range<u16>, before: WriteOrder, index: &Index) -> RetractionPass {
        let is_in_slots = slots.contains(&Slot::of(path.as_bytes()).number());
        let subject = index.subject(path).filter(|_| is_in_slots);
        let mut pass = RetractionPass {
            below: format!("{path}/"),
            slots,
            before,
            source: index.sources.find(&index.hash, path),
            place: Place::Done,
            retracted: 0,
        };
        pass.place = match subject.and_then(|subject| index.last_series(subject)) {
            Some(series) => Place::Subject { series, after: None },
            None => pass.first_source(index),
        };
        pass
    }

    /// Goes on over about `claims_budget` claims and sources. True if there is nothing left to do.
    ///
    /// `index` is the one that the pass began with.
    pub fn step(&mut self, index: &mut Index, claims_budget: usize) -> bool {
        let mut budget = claims_budget.max(1);
        while budget > 0 {
            self.place = match self.place {
                Place::Subject { series, after } => self.retract_series(index, series, after, &mut budget),
                Place::Claims { source, next } => self.retract_claims(index, source, next, &mut budget),
                Place::NextSource { after } => {
                    budget -= 1;
                    match index.sources.beginning_with(&self.below, after).next() {
                        Some(source) => Place::Claims { source, next: index.sources.head(source) },
                        None => Place::Done,
                    }
                }
                Place::Done => return true,
            };
        }
        matches!(self.place, Place::Done)
    }

    /// How many claims the pass has retracted so far that were not retracted before.
    pub fn retracted(&self) -> u64 {
        self.retracted
    }

    fn retract_series(
        &mut self,
        index: &mut Index,
        series: SeriesId,
        after: Option<ListKey>,
        budget: &mut usize,
    ) -> Place {
        let claims: Vec<ClaimId> =
            index.newest_first(series, after.as_ref()).take((*budget).min(1024)).collect();
        *budget = budget.saturating_sub(claims.len().max(1));
        for &claim in &claims {
            self.retract(index, claim);
        }
        match claims.last() {
            Some(&last) => Place::Subject { series, after: Some(index.rows[last.0].key()) },
            None => match index.previous_series(series) {
                Some(series) => Place::Subject { series, after: None },
                None => self.first_source(index),
            },
        }
    }

    fn retract_claims(
        &mut self,
        index: &mut Index,
        source: u32,
        mut next: Link,
        budget: &mut usize,
    ) -> Place {
        // Neighbours in the chain mostly share their subject.
        let mut subject_seen = None;
        while *budget > 0 {
            let Some(claim) = next.target() else {
                let after = Some(source).filter(|source| Some(*source) != self.source);
                return Place::NextSource { after };
            };
            *budget -= 1;
            let row = &index.rows[claim];
            next = row.same_source();
            let subject = index.series[row.series].subject;
            let is_in_slots = match subject_seen {
                Some((seen, is_in_slots)) if seen == subject => is_in_slots,
                _ => self.slots.contains(&Slot::of(index.subjects.path(subject).as_bytes()).number()),
            };
            subject_seen = Some((subject, is_in_slots));
            if is_in_slots {
                self.retract(index, ClaimId(claim));
            }
        }
        Place::Claims { source, next }
    }

    /// Where the sources begin: with the path itself, before those below it.
    fn first_source(&self, index: &Index) -> Place {
        match self.source {
            Some(source) => Place::Claims { source, next: index.sources.head(source) },
            None => Place::NextSource { after: None },
        }
    }

    fn retract(&mut self, index: &mut Index, claim: ClaimId) {
        let row = &mut index.rows[claim.0];
        if row.order() < self.before && row.retract() {
            index.retracted += 1;
            self.retracted += 1;
        }
    }
}
