//! A query at work on one index.

use super::filter::Filter;
use super::first_hits::FirstHits;
use super::{Hit, LIMIT_MAX, Query, SubjectFilter};
use crate::index::{ClaimId, ClaimView, Index, PredicateId, SeriesId, SubjectId};
use crate::lens::{Candidate, Fold};
use crate::order::ListKey;
use crate::planted::{self, Bug};
use crate::time::UnixMicros;

/// A query on its way through an index, in steps that the caller may take as small as it likes.
///
/// It sees the claims that were there when it began. A retraction that happens meanwhile may or may not be
/// seen. It holds memory for the hits of its page and, with a lens, for the distinct values of one series.
pub struct Execution {
    /// What all subjects to visit begin with, but for the first one.
    prefix: Option<String>,
    predicate: Option<PredicateId>,
    /// The last subject visited of those that begin with the prefix.
    subject: Option<SubjectId>,
    /// The series to go on with.
    series: Option<SeriesPlace>,
    collector: Option<Collector>,
}

/// Whether an execution has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There may be more to find.
    More,
    /// All hits are found.
    Done,
}

/// A place in a series: after the claim with this key, or at its beginning.
#[derive(Clone, Copy)]
struct SeriesPlace {
    series: SeriesId,
    after: Option<ListKey>,
}

impl Execution {
    /// A query about to begin. Panics if the limit is not in `1..=LIMIT_MAX`.
    pub fn new(query: &Query, index: &Index) -> Execution {
        assert!((1..=LIMIT_MAX).contains(&query.limit), "a limit of {}", query.limit);
        let predicate = query.predicate.as_deref().map(|name| index.predicate(name));
        let collector = match predicate {
            // Nothing has that predicate.
            Some(None) => None,
            _ => Filter::new(query, index).map(|filter| Collector::new(query, filter)),
        };
        let (first, prefix) = match &query.subject {
            SubjectFilter::Exact(path) => (index.subject(path), None),
            SubjectFilter::Subtree(path) if path.is_empty() => (None, Some(String::new())),
            SubjectFilter::Subtree(path) => (index.subject(path), Some(path.clone() + "/")),
        };
        let predicate = predicate.flatten();
        let series = first.and_then(|subject| first_series(index, subject, predicate));
        Execution { prefix, predicate, subject: None, series, collector }
    }

    /// Goes on over about `claims_budget` claims, series and subjects.
    ///
    /// `index` is the one that the query began with; it may have grown since.
    pub fn step(&mut self, index: &Index, claims_budget: usize) -> Step {
        let Some(collector) = &mut self.collector else {
            return Step::Done;
        };
        let mut budget = claims_budget.max(1);
        let (prefix, after) = (self.prefix.as_deref(), self.subject);
        let mut subjects = prefix.into_iter().flat_map(|prefix| index.subjects_beginning_with(prefix, after));
        while budget > 0 {
            if let Some(place) = self.series {
                self.series = match collector.collect(index, place, &mut budget) {
                    Some(place) => Some(place),
                    // With a predicate there is one series a subject.
                    None if self.predicate.is_some() => None,
                    None => {
                        let series = index.previous_series(place.series);
                        series.map(|series| SeriesPlace { series, after: None })
                    }
                };
            } else if let Some(subject) = subjects.next() {
                budget -= 1;
                self.subject = Some(subject);
                self.series = first_series(index, subject, self.predicate);
            } else {
                return Step::Done;
            }
        }
        Step::More
    }

    /// The hits found, in list order: up to one more than the limit, which tells that there is a next page.
    pub fn into_hits(self) -> Vec<Hit> {
        self.collector.map_or_else(Vec::new, |collector| collector.hits.into_sorted())
    }
}

/// What is done with the claims of the series that a query visits.
struct Collector {
    filter: Filter,
    /// The lens, with the candidates of the series that is being collected.
    fold: Option<Fold<ClaimId>>,
    /// No hit is at this key or before it.
    after: Option<ListKey>,
    /// No claim that is looked at is at this key or before it.
    claims_after: Option<ListKey>,
    hits: FirstHits,
}

impl Collector {
    fn new(query: &Query, filter: Filter) -> Collector {
        // What is known as of a time comes after all that has the next microsecond for its timestamp.
        let as_of = query.as_of.filter(|_| !planted::is(Bug::IgnoreAsOf));
        let next_us = as_of.and_then(|as_of| as_of.0.checked_add(1));
        let as_of = next_us.map(|next_us| ListKey::last_of(UnixMicros(next_us)));
        Collector {
            filter,
            fold: query.lens.map(Fold::new),
            after: query.after,
            // A lens chooses among all claims, whichever of its choices are on this page.
            claims_after: if query.lens.is_some() { as_of } else { as_of.max(query.after) },
            hits: FirstHits::new(query.limit + 1),
        }
    }

    /// Looks at the claims of a series. If the budget ends first, answers where to go on.
    fn collect(&mut self, index: &Index, mut place: SeriesPlace, budget: &mut usize) -> Option<SeriesPlace> {
        let claims = index.newest_first(place.series, place.after.or(self.claims_after).as_ref());
        for claim in claims {
            if *budget == 0 {
                return Some(place);
            }
            *budget -= 1;
            let view = index.view(claim);
            let key = view.key();
            place.after = Some(key);
            if !self.filter.sees(claim) {
                continue;
            }
            if self.fold.is_none() && !self.hits.has_room_for(&key) {
                // All others of this series are older still.
                return None;
            }
            if let Some(confidence) = self.filter.admit(&view) {
                self.admit(index, Candidate { claim, key, confidence }, &view);
            }
        }
        // A series costs something even if nothing in it does.
        *budget = budget.saturating_sub(1);
        self.resolve(index);
        None
    }

    /// Takes in a claim that meets all conditions.
    fn admit(&mut self, index: &Index, candidate: Candidate<ClaimId>, view: &ClaimView<'_>) {
        match &mut self.fold {
            Some(fold) => {
                let value = view.raw_value();
                fold.add(candidate, index.value_hash(&value), |other| index.view(other).raw_value() == value);
            }
            None => self.hits.offer(Hit {
                key: candidate.key,
                claim: candidate.claim,
                effective_confidence: self.filter.effective_confidence(view),
                resolution: None,
            }),
        }
    }

    /// Takes in what the lens picked from the series, if there is a lens and there was a candidate.
    fn resolve(&mut self, index: &Index) {
        let Some(resolution) = self.fold.as_mut().and_then(Fold::finish) else {
            return;
        };
        let view = index.view(resolution.winner);
        let key = view.key();
        if self.after.is_none_or(|after| key > after) {
            self.hits.offer(Hit {
                key,
                claim: resolution.winner,
                effective_confidence: self.filter.effective_confidence(&view),
                resolution: Some(resolution),
            });
        }
    }
}

/// The series of a subject to begin with.
fn first_series(index: &Index, subject: SubjectId, predicate: Option<PredicateId>) -> Option<SeriesPlace> {
    let series = match predicate {
        Some(predicate) => index.series(subject, predicate),
        None => index.last_series(subject),
    };
    series.map(|series| SeriesPlace { series, after: None })
}
