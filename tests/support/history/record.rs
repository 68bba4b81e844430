//! What is known of one claim, and of one retraction.

use super::{Group, Tick};
use crate::claims::Row;

/// What the clients know of a claim that may be there.
#[derive(Debug)]
pub(super) struct ClaimRecord {
    /// When it was sent first, since it was last known not to be there.
    pub(super) sent: Tick,
    /// Since when it is known to be there.
    pub(super) certain: Option<Tick>,
    /// How often it was sent, less how often that was refused: as often it may have been stored.
    pub(super) open: u64,
    /// Its hash, if an answer has told it.
    pub(super) hash: Option<String>,
    /// Since when it is known to be retracted.
    pub(super) retracted: Option<Tick>,
    /// When a listing has last shown it as active while nobody wrote: no retraction of before strikes it any more.
    pub(super) active: Option<Tick>,
}

/// A retraction that was sent.
#[derive(Debug)]
pub(super) struct RetractionRecord {
    pub(super) sent: Tick,
    /// When it was acknowledged, or was found to have happened. What is sent later is not struck by it.
    pub(super) answered: Option<Tick>,
    pub(super) fate: Fate,
}

/// How far a retraction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// No answer has come.
    Open,
    /// It was acknowledged, or a listing after a crash has shown it.
    Happened,
    /// It was refused, or a listing after a crash has shown that it never happened.
    Never,
}

/// Names a retraction for as long as its answer is awaited.
#[derive(Debug, Clone, Copy)]
pub struct Retraction {
    pub(super) group: Group,
    pub(super) number: usize,
}

impl ClaimRecord {
    pub(super) fn sent(tick: Tick) -> ClaimRecord {
        ClaimRecord { sent: tick, certain: None, open: 0, hash: None, retracted: None, active: None }
    }

    /// Whether each request to store it was refused.
    pub(super) fn is_refused(&self) -> bool {
        self.open == 0 && self.certain.is_none()
    }

    /// Notes that `row` was shown at `tick`.
    pub(super) fn show(&mut self, row: &Row, tick: Tick) {
        self.certain.get_or_insert(tick);
        self.hash.get_or_insert_with(|| row.hash.clone());
        if row.status == "retracted" {
            self.retracted.get_or_insert(tick);
        }
    }

    /// Whether it is known to have been there before `tick`.
    pub(super) fn is_before(&self, tick: Tick) -> bool {
        self.certain.is_some_and(|certain| certain < tick)
    }
}

impl RetractionRecord {
    /// Whether it is certain to have happened by `tick`.
    pub(super) fn has_happened(&self, tick: Tick) -> bool {
        self.fate == Fate::Happened && self.answered.is_some_and(|answered| answered <= tick)
    }

    /// Whether it may have happened by `tick`, as far as clients know.
    pub(super) fn may_have_happened(&self, tick: Tick) -> bool {
        self.fate != Fate::Never && self.sent <= tick
    }

    /// Whether it may have struck `claim`.
    pub(super) fn may_strike(&self, claim: &ClaimRecord) -> bool {
        self.answered.is_none_or(|answered| claim.sent < answered)
            && claim.active.is_none_or(|active| active < self.sent)
    }
}
