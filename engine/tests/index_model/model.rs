//! The model: a list of all claims, and queries that filter, group and sort it.

use std::cmp::Reverse;
use std::ops::Range;

use stemedb_engine::claim::{Claim, ClaimHash, Value};
use stemedb_engine::index::NewClaim;
use stemedb_engine::lens::{Lens, effective_confidence};
use stemedb_engine::order::{ListKey, WriteOrder};
use stemedb_engine::query::{LifecycleFilter, Query, SubjectFilter};
use stemedb_engine::slot::Slot;

/// A claim of the model.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) claim: Claim<'static>,
    pub(crate) key: ListKey,
    pub(crate) retracted: bool,
}

impl Known {
    /// The claim as it is inserted.
    pub(crate) fn new_claim(&self) -> NewClaim<'static> {
        NewClaim { hash: ClaimHash(self.key.hash), claim: self.claim.clone(), order: self.key.order }
    }
}

/// What a hit says, in terms that do not depend on an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) key: ListKey,
    pub(crate) effective_confidence: Option<f64>,
    pub(crate) resolution: Option<Outcome>,
}

/// What a lens made of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) supporting: u64,
    pub(crate) candidates: u64,
    pub(crate) distinct_values: u64,
    /// The hash of the runner-up, and how many claims support it.
    pub(crate) runner_up: Option<([u8; 32], u64)>,
}

/// Retracts in the model what was written before `before`; answers how many claims it newly did.
pub(crate) fn retract(model: &mut [Known], path: &str, slots: &Range<u16>, before: WriteOrder) -> u64 {
    let mut retracted = 0;
    for known in model {
        let subject = known.claim.subject.as_str();
        let names = known.claim.source.is_some_and(|source| is_at_or_below(source.as_str(), path));
        let is_struck = (subject == path || names) && known.key.order < before;
        if is_struck && slots.contains(&Slot::of(subject.as_bytes()).number()) {
            retracted += u64::from(!known.retracted);
            known.retracted = true;
        }
    }
    retracted
}

/// The answer to `query`, all of it from `after` on, whatever the limit.
pub(crate) fn ask(model: &[Known], query: &Query) -> Vec<Answer> {
    let candidates = model.iter().filter(|known| is_candidate(known, query));
    let mut answers: Vec<Answer> = match query.lens {
        None => candidates.map(|known| answer(known, query, None)).collect(),
        Some(lens) => {
            let mut series: Vec<Vec<&Known>> = Vec::new();
            for known in candidates {
                let name = |known: &Known| (known.claim.subject, known.claim.predicate);
                match series.iter_mut().find(|series| name(series[0]) == name(known)) {
                    Some(series) => series.push(known),
                    None => series.push(vec![known]),
                }
            }
            series.iter().map(|series| resolve(lens, series, query)).collect()
        }
    };
    answers.retain(|answer| query.after.is_none_or(|after| answer.key > after));
    answers.sort_by_key(|answer| answer.key);
    answers
}

fn is_candidate(known: &Known, query: &Query) -> bool {
    let claim = &known.claim;
    let is_about = match &query.subject {
        SubjectFilter::Exact(path) => claim.subject.as_str() == path,
        SubjectFilter::Subtree(path) => path.is_empty() || is_at_or_below(claim.subject.as_str(), path),
    };
    let is_at_stage = match query.lifecycle {
        LifecycleFilter::Only(lifecycle) => claim.lifecycle == lifecycle,
        LifecycleFilter::Any => true,
    };
    let epoch = claim.epoch.map(|epoch| epoch.as_str());
    is_about
        && is_at_stage
        && query.predicate.as_deref().is_none_or(|name| name == claim.predicate.as_str())
        && query.as_of.is_none_or(|as_of| known.key.timestamp <= as_of)
        && (query.epoch.is_none() || query.epoch.as_deref() == epoch)
        && query.source_class.is_none_or(|class| class == claim.source_class)
        && confidence(known, query) >= query.min_confidence
        && (query.include_retracted || !known.retracted)
}

fn resolve(lens: Lens, series: &[&Known], query: &Query) -> Answer {
    let holding =
        |value: &Value<'_>| series.iter().filter(|known| known.claim.value == *value).count() as u64;
    let pick = |among: &[&'_ Known]| -> Option<Known> {
        let rank = |known: &Known| match lens {
            Lens::Recency => 0,
            Lens::Consensus => holding(&known.claim.value),
            // Confidences are not negative, so their bits sort as they do.
            Lens::Confidence => confidence(known, query).to_bits(),
        };
        among.iter().map(|&known| known.clone()).min_by_key(|known| (Reverse(rank(known)), known.key))
    };
    let winner = pick(series).expect("a series has candidates");
    let values: std::collections::HashSet<Value<'_>> = series.iter().map(|known| known.claim.value).collect();
    let others: Vec<&Known> =
        series.iter().copied().filter(|known| known.claim.value != winner.claim.value).collect();
    let outcome = Outcome {
        supporting: holding(&winner.claim.value),
        candidates: series.len() as u64,
        distinct_values: values.len() as u64,
        runner_up: pick(&others).map(|known| (known.key.hash, holding(&known.claim.value))),
    };
    answer(&winner, query, Some(outcome))
}

fn answer(known: &Known, query: &Query, resolution: Option<Outcome>) -> Answer {
    let effective_confidence = query.decay_at.map(|_| confidence(known, query));
    Answer { key: known.key, effective_confidence, resolution }
}

fn confidence(known: &Known, query: &Query) -> f64 {
    let Claim { confidence, source_class, .. } = known.claim;
    match query.decay_at {
        Some(now) => effective_confidence(confidence, source_class, known.key.timestamp, now),
        None => confidence.value(),
    }
}

fn is_at_or_below(path: &str, other: &str) -> bool {
    path == other || path.starts_with(&format!("{other}/"))
}
