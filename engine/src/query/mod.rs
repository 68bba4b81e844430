//! Queries: which claims are asked for, and how an index answers, step by step.

mod execution;
mod filter;
mod first_hits;

pub use self::execution::{Execution, Step};
use crate::claim::{Lifecycle, SourceClass};
use crate::index::ClaimId;
use crate::lens::{Lens, Resolution};
use crate::order::ListKey;
use crate::time::UnixMicros;

/// The most hits that one query may ask for.
pub const LIMIT_MAX: usize = 10_000;

/// A question to the indexes of all cores.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What the claims are about.
    pub subject: SubjectFilter,
    /// Only claims with this predicate.
    pub predicate: Option<String>,
    /// Instead of all claims, only the one that this lens picks for each subject and predicate.
    pub lens: Option<Lens>,
    /// The most hits wanted, `1..=LIMIT_MAX`.
    pub limit: usize,
    /// Only hits that come after this key in the list: the key of the last hit of the page before.
    pub after: Option<ListKey>,
    /// Only claims with this timestamp or an earlier one.
    pub as_of: Option<UnixMicros>,
    /// Only claims at this stage of their review.
    pub lifecycle: LifecycleFilter,
    /// Only claims of this epoch.
    pub epoch: Option<String>,
    /// Only claims that rest on this class of sources.
    pub source_class: Option<SourceClass>,
    /// Only claims with this confidence or a greater one; the faded one, if there is decay. 0 admits all.
    pub min_confidence: f64,
    /// Retracted claims, too.
    pub include_retracted: bool,
    /// Fade all confidences to what is left of them at this time.
    pub decay_at: Option<UnixMicros>,
}

impl Query {
    /// The query for all approved claims about `subject`, as they are, 100 at a time.
    pub fn new(subject: SubjectFilter) -> Query {
        Query {
            subject,
            predicate: None,
            lens: None,
            limit: 100,
            after: None,
            as_of: None,
            lifecycle: LifecycleFilter::default(),
            epoch: None,
            source_class: None,
            min_confidence: 0.0,
            include_retracted: false,
            decay_at: None,
        }
    }
}

/// Which subjects a query is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectFilter {
    /// The subject with exactly this path.
    Exact(String),
    /// The subject with this path and all below it: `a/b` stands for `a/b` and `a/b/c`, but not for `a/bc`.
    /// The empty path stands for all subjects.
    Subtree(String),
}

/// Which stages of their review claims may be at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleFilter {
    /// At this one.
    Only(Lifecycle),
    /// At any.
    Any,
}

impl Default for LifecycleFilter {
    fn default() -> LifecycleFilter {
        LifecycleFilter::Only(Lifecycle::Approved)
    }
}

/// One claim of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Where it stands in the list.
    pub key: ListKey,
    /// The claim.
    pub claim: ClaimId,
    /// What is left of its confidence, if decay was asked for.
    pub effective_confidence: Option<f64>,
    /// How the lens came to pick it, if one was asked for.
    pub resolution: Option<Resolution<ClaimId>>,
}
