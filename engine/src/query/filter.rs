//! The conditions of a query that can be decided by looking at one claim.

use super::{LifecycleFilter, Query};
use crate::claim::SourceClass;
use crate::index::{ClaimId, ClaimView, EpochNumber, Index};
use crate::lens::effective_confidence;
use crate::time::UnixMicros;

/// The conditions on a claim, but for those on its subject, its predicate and its time.
pub(super) struct Filter {
    /// The first claim that came after the query began.
    end: ClaimId,
    lifecycle: LifecycleFilter,
    epoch: Option<EpochNumber>,
    source_class: Option<SourceClass>,
    min_confidence: f64,
    include_retracted: bool,
    decay_at: Option<UnixMicros>,
}

impl Filter {
    /// The conditions of `query`; none if no claim that `index` has now meets them.
    pub(super) fn new(query: &Query, index: &Index) -> Option<Filter> {
        let epoch = match &query.epoch {
            Some(name) => Some(index.epoch(name)?),
            None => None,
        };
        Some(Filter {
            end: index.next_claim(),
            lifecycle: query.lifecycle,
            epoch,
            source_class: query.source_class,
            min_confidence: query.min_confidence,
            include_retracted: query.include_retracted,
            decay_at: query.decay_at,
        })
    }

    /// Whether the query sees this claim at all.
    pub(super) fn sees(&self, claim: ClaimId) -> bool {
        claim < self.end
    }

    /// If the claim meets the conditions, its confidence, faded if decay was asked for.
    pub(super) fn admit(&self, claim: &ClaimView<'_>) -> Option<f64> {
        let confidence = self.confidence(claim);
        let is_admitted = (self.include_retracted || !claim.retracted())
            && match self.lifecycle {
                LifecycleFilter::Only(lifecycle) => claim.lifecycle() == lifecycle,
                LifecycleFilter::Any => true,
            }
            && (self.epoch.is_none() || claim.epoch() == self.epoch)
            && self.source_class.is_none_or(|class| claim.source_class() == class)
            && confidence >= self.min_confidence;
        is_admitted.then_some(confidence)
    }

    /// The claim's faded confidence, if decay was asked for.
    pub(super) fn effective_confidence(&self, claim: &ClaimView<'_>) -> Option<f64> {
        let now = self.decay_at?;
        Some(effective_confidence(claim.confidence(), claim.source_class(), claim.key().timestamp, now))
    }

    fn confidence(&self, claim: &ClaimView<'_>) -> f64 {
        self.effective_confidence(claim).unwrap_or(claim.confidence().value())
    }
}
