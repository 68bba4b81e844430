//! How queries and retractions walk an index: subjects, their series, the series' claims.

use super::body::RawValue;
use super::{ClaimId, Index};
use crate::order::ListKey;

/// A subject of one index, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubjectId(u32);

/// A series of one index, the claims about one predicate of one subject, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesId(u32);

/// A predicate of one index, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PredicateId(u32);

/// An epoch of one index, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochNumber(pub(super) u32);

impl Index {
    /// The number that the next new claim will have. What has a smaller one is there now.
    pub(crate) fn next_claim(&self) -> ClaimId {
        ClaimId(self.rows.len() as u32)
    }

    /// The subject with this path.
    pub(crate) fn subject(&self, path: &str) -> Option<SubjectId> {
        self.subjects.find(&self.hash, path).map(SubjectId)
    }

    /// The subjects whose paths begin with `prefix`, in the order of their paths' bytes, from the one after
    /// `after` on.
    pub(crate) fn subjects_beginning_with<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<SubjectId>,
    ) -> impl Iterator<Item = SubjectId> + 'a {
        let after = after.map(|SubjectId(after)| after);
        self.subjects.beginning_with(prefix, after).map(SubjectId)
    }

    /// The predicate with this name.
    pub(crate) fn predicate(&self, name: &str) -> Option<PredicateId> {
        self.predicates.find(&self.hash, name.as_bytes()).map(PredicateId)
    }

    /// The epoch with this name.
    pub(crate) fn epoch(&self, name: &str) -> Option<EpochNumber> {
        self.epochs.find(&self.hash, name.as_bytes()).map(EpochNumber)
    }

    /// The series of a subject that came last.
    pub(crate) fn last_series(&self, subject: SubjectId) -> Option<SeriesId> {
        self.subjects.head(subject.0).target().map(SeriesId)
    }

    /// The series of the same subject that came before this one. Stays what it is for ever.
    pub(crate) fn previous_series(&self, series: SeriesId) -> Option<SeriesId> {
        self.series[series.0].same_subject.target().map(SeriesId)
    }

    /// The series of a subject and a predicate.
    pub(crate) fn series(&self, subject: SubjectId, predicate: PredicateId) -> Option<SeriesId> {
        self.series.find(&self.hash, subject.0, predicate.0).map(SeriesId)
    }

    /// The claims of a series that come after `after` in list order, newest first.
    pub(crate) fn newest_first(
        &self,
        series: SeriesId,
        after: Option<&ListKey>,
    ) -> impl Iterator<Item = ClaimId> + '_ {
        self.series.newest_first(series.0, after, &self.rows).map(ClaimId)
    }

    /// A hash of a value: equal values have equal hashes.
    pub(crate) fn value_hash(&self, value: &RawValue<'_>) -> u64 {
        self.hash.of(value)
    }
}
