//! Retraction: finding the claims that a retraction strikes, step by step, and marking them.

use std::ops::Range;

use super::lookup::SeriesId;
use super::row::Link;
use super::{ClaimId, Index};
use crate::order::ListKey;
use crate::slot::Slot;

/// The retraction of everything about a path, or resting on it, in one index.
///
/// It strikes the claims about exactly that path, and those whose source is the path or below it. Claims that
/// are inserted after it began are not struck: they were written after the retraction.
#[derive(Debug)]
pub struct RetractionPass {
    path: String,
    slots: Range<u16>,
    /// The first claim that came too late.
    end: ClaimId,
    /// How many sources there were at the start; later ones have no claims that matter.
    sources: u32,
    place: Place,
    retracted: u64,
}

/// Where a pass goes on.
#[derive(Debug)]
enum Place {
    /// In a series of the subject, after the claim with this key.
    Subject {
        series: SeriesId,
        after: Option<ListKey>,
    },
    /// At the source with this number, to be compared with the path.
    Source {
        source: u32,
    },
    /// In the claims of this source, which is struck.
    SourceClaims {
        source: u32,
        next: Link,
    },
    Done,
}

impl RetractionPass {
    /// A pass over `index` that retracts what rests on `path`, as far as the subjects are in `slots`.
    pub fn new(path: &str, slots: Range<u16>, index: &Index) -> RetractionPass {
        let subject = Some(path).filter(|path| slots.contains(&Slot::of(path.as_bytes()).number()));
        let series =
            subject.and_then(|path| index.subject(path)).and_then(|subject| index.last_series(subject));
        RetractionPass {
            path: path.to_string(),
            slots,
            end: index.next_claim(),
            sources: index.sources.len() as u32,
            place: match series {
                Some(series) => Place::Subject { series, after: None },
                None => Place::Source { source: 0 },
            },
            retracted: 0,
        }
    }

    /// Goes on over about `claims_budget` claims and sources. True if there is nothing left to do.
    ///
    /// `index` is the one that the pass began with.
    pub fn step(&mut self, index: &mut Index, claims_budget: usize) -> bool {
        let mut budget = claims_budget.max(1);
        while budget > 0 {
            self.place = match std::mem::replace(&mut self.place, Place::Done) {
                Place::Subject { series, after } => self.retract_series(index, series, after, &mut budget),
                Place::Source { source } if source == self.sources => Place::Done,
                Place::Source { source } => {
                    budget -= 1;
                    match is_at_or_below(index.sources.path(source), &self.path) {
                        true => Place::SourceClaims { source, next: index.sources.newest_claim(source) },
                        false => Place::Source { source: source + 1 },
                    }
                }
                Place::SourceClaims { source, next } => self.retract_claims(index, source, next, &mut budget),
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
                None => Place::Source { source: 0 },
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
                return Place::Source { source: source + 1 };
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
        Place::SourceClaims { source, next }
    }

    fn retract(&mut self, index: &mut Index, claim: ClaimId) {
        if claim < self.end && index.rows[claim.0].retract() {
            index.retracted += 1;
            self.retracted += 1;
        }
    }
}

/// Whether `path` is `other` or below it: `a/b` and `a/b/c` are, of `a/b`, but `a/bc` is not.
fn is_at_or_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_by_whole_parts() {
        for path in ["a/b", "a/b/c", "a/b/", "a/b//c"] {
            assert!(is_at_or_below(path, "a/b"), "{path}");
        }
        for path in ["a/bc", "a/b-x", "a", "a/", "x/a/b"] {
            assert!(!is_at_or_below(path, "a/b"), "{path}");
        }
    }
}
