//! What tables should hold, by a plain list of all records of a log.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::records::{ClaimRecord, RetractionRecord};
use super::*;
use crate::slot::{Slot, SlotSet};

/// The claims of a view: whether each is retracted, by its place in the order of a table.
pub(super) type View = BTreeMap<ViewKey, (bool, u16, Vec<u8>)>;

/// Slot, subject, predicate, timestamp, order, hash.
type ViewKey = (u16, String, String, i64, u64, [u8; 32]);

/// A record of a log; its LSN is its place.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Claim {
        subject: &'static str,
        predicate: &'static str,
        timestamp: i64,
        source: Option<&'static str>,
        bytes: usize,
    },
    Retraction {
        path: &'static str,
        slots: Option<std::ops::Range<u16>>,
    },
}

const PATHS: &[&str] = &["a", "a/b", "a/b/c", "a/b/", "ab", "b", "b/c", "c", "größe/x", "größe"];

/// Logs of up to `records_max` records. Few paths, so that much is struck; some values of many kilobytes, so that tables
/// have several blocks.
pub(super) fn logs(records_max: usize) -> impl Strategy<Value = Vec<Record>> {
    let path = || prop::sample::select(PATHS);
    let bytes = prop_oneof![8 => 0..100_usize, 2 => 3_000..9_000_usize, 1 => 30_000..65_000_usize];
    let claim =
        (path(), prop::sample::select(&["p", "q", "pq"][..]), 0..4_i64, prop::option::of(path()), bytes);
    let claim = claim.prop_map(|(subject, predicate, timestamp, source, bytes)| Record::Claim {
        subject,
        predicate,
        timestamp,
        source,
        bytes,
    });
    let slots = prop::sample::select(vec![None, None, Some(0..512), Some(512..SLOTS), Some(100..900)]);
    let retraction = (path(), slots).prop_map(|(path, slots)| Record::Retraction { path, slots });
    prop::collection::vec(prop_oneof![6 => claim, 1 => retraction], 0..records_max)
}

/// The records as a log has them, in its order.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) claims: Vec<ClaimRecord>,
    pub(super) retractions: Vec<RetractionRecord>,
}

impl Log {
    /// The records from LSN `from` on, in order, up to `end`. The first of the log is 1.
    pub(super) fn new(records: &[Record], lsns: std::ops::Range<usize>) -> Log {
        let mut log = Log::default();
        for lsn in lsns {
            match &records[lsn - 1] {
                Record::Claim { subject, predicate, timestamp, source, bytes } => {
                    let value = noise(lsn, *bytes);
                    let lsn = lsn as u64;
                    let claim = ClaimRecord::with_value(lsn, subject, predicate, *timestamp, *source, &value);
                    log.claims.push(claim);
                }
                Record::Retraction { path, slots } => {
                    let set = SlotSet::default().add(slots.clone().unwrap_or(0..SLOTS));
                    log.retractions.push(RetractionRecord::of_slots(lsn as u64, path, set));
                }
            }
        }
        log
    }

    /// What is to be seen of this log: by the words of the rule, claim by claim.
    pub(super) fn view(&self) -> View {
        let is_struck = |claim: &ClaimRecord| {
            self.retractions.iter().any(|retraction| {
                let path = &retraction.path;
                let is_below = |source: &String| source == path || source.starts_with(&format!("{path}/"));
                retraction.order > claim.order
                    && retraction.slots.contains(Slot::of(claim.subject.as_bytes()))
                    && (claim.subject == *path || claim.source.as_ref().is_some_and(is_below))
            })
        };
        let mut view = View::new();
        for claim in &self.claims {
            insert(&mut view, &claim.entry(), claim.retracted || is_struck(claim));
        }
        view
    }
}

/// Text of so many bytes that does not compress well, different for each LSN.
fn noise(lsn: usize, bytes: usize) -> String {
    let mut state = lsn as u64;
    let mut text = format!("{lsn}:");
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b' ' + (state >> 40) as u8 % 95));
    }
    text
}

/// Adds a claim to a view. A claim that is there already is the same, and retracted if either is.
pub(super) fn insert(view: &mut View, entry: &crate::table::Entry<'_>, is_retracted: bool) {
    let claim = crate::claim::Assertion::decode(entry.payload).expect("a claim");
    let (subject, predicate) = (claim.claim.subject.as_str(), claim.claim.predicate.as_str());
    let key = (
        Slot::of(subject.as_bytes()).number(),
        subject.to_owned(),
        predicate.to_owned(),
        claim.claim.timestamp.unix_micros().0,
        entry.order.as_u64(),
        claim.hash.0,
    );
    let new = (is_retracted, entry.flags, entry.payload.to_vec());
    match view.get_mut(&key) {
        Some(there) => {
            assert_eq!((there.1, &there.2), (new.1, &new.2));
            there.0 |= is_retracted;
        }
        None => drop(view.insert(key, new)),
    }
}
