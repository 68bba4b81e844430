//! The records of which tables are made, and what is to be seen of them.

use stemedb_engine::claim::{
    Claim, ConceptPath, Predicate, Reason, Retraction, RetractionId, Timestamp, Value, assertion,
};
use stemedb_engine::order::WriteOrder;
use stemedb_engine::slot::{LaneId, SLOTS, Slot, SlotSet};
use stemedb_engine::table::{Entry, TableRetraction};
use stemedb_engine::time::UnixMicros;

use super::Content;
use crate::program::{Program, next_random};

/// Records an input can make at most.
const RECORDS_MAX: usize = 60;

const TABLES_MAX: usize = 3;

const PATHS: [&str; 8] = ["a", "a/b", "a/b/c", "a/b/", "ab", "b", "b/c", "c"];
const PREDICATES: [&str; 2] = ["is", "has"];

/// Some records of a log.
#[derive(Default)]
pub(super) struct Log {
    pub(super) claims: Vec<ClaimRecord>,
    pub(super) retractions: Vec<RetractionRecord>,
}

#[derive(Clone)]
pub(super) struct ClaimRecord {
    subject: &'static str,
    predicate: &'static str,
    timestamp: i64,
    source: Option<&'static str>,
    order: WriteOrder,
    flags: u16,
    payload: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct RetractionRecord {
    path: &'static str,
    order: WriteOrder,
    slots: SlotSet,
    payload: Vec<u8>,
}

impl Log {
    /// Reads records up to a zero, each with a number that says whether another table begins with it.
    pub(super) fn read_several(program: &mut Program<'_>) -> Vec<Log> {
        let mut logs = vec![Log::default()];
        for lsn in 1..=RECORDS_MAX as u64 {
            let kind = program.byte();
            if kind == 0 {
                break;
            }
            if kind & 0x80 != 0 && logs.len() < TABLES_MAX {
                logs.push(Log::default());
            }
            let log = logs.last_mut().expect("there is one from the beginning");
            if kind % 8 == 7 {
                log.retractions.push(RetractionRecord::read(lsn, program));
            } else {
                log.claims.push(ClaimRecord::read(lsn, kind, program));
            }
        }
        logs
    }

    pub(super) fn joined(logs: &[Log]) -> Log {
        Log {
            claims: logs.iter().flat_map(|log| log.claims.iter().cloned()).collect(),
            retractions: logs.iter().flat_map(|log| log.retractions.iter().cloned()).collect(),
        }
    }

    /// What a table of these records holds.
    pub(super) fn content(&self, keeps_retractions: bool) -> Content {
        let mut claims: Vec<&ClaimRecord> = self.claims.iter().collect();
        claims.sort_by_key(|claim| {
            let slot = Slot::of(claim.subject.as_bytes());
            (slot, claim.subject, claim.predicate, claim.timestamp, claim.order)
        });
        let seen = |claim: &ClaimRecord| {
            let is_struck = self.retractions.iter().any(|retraction| retraction.strikes(claim));
            (claim.order.as_u64(), claim.flags, is_struck, claim.payload.clone())
        };
        let kept = |retraction: &RetractionRecord| {
            (retraction.order.as_u64(), retraction.slots.to_bytes(), retraction.payload.clone())
        };
        Content {
            claims: claims.into_iter().map(seen).collect(),
            retractions: self.retractions.iter().filter(|_| keeps_retractions).map(kept).collect(),
        }
    }
}

impl ClaimRecord {
    fn read(lsn: u64, kind: u8, program: &mut Program<'_>) -> ClaimRecord {
        let subject = program.pick(&PATHS);
        let numbers = program.byte();
        let predicate = PREDICATES[usize::from(numbers) % 2];
        let timestamp = i64::from(numbers / 2 % 4);
        let source = Some(program.byte()).filter(|byte| byte % 2 == 1);
        let source = source.map(|byte| PATHS[usize::from(byte / 2) % PATHS.len()]);
        let value = text(lsn, program.number() % 20_000, kind.is_multiple_of(2));
        let mut claim = Claim::new(
            ConceptPath::new(subject).expect("a path"),
            Predicate::new(predicate).expect("a predicate"),
            Value::text(&value).expect("a text"),
            Timestamp::new(UnixMicros(timestamp)).expect("a time from 1970 on"),
        );
        claim.source = source.map(|source| ConceptPath::new(source).expect("a path"));
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        let (order, flags) = (WriteOrder::new(1, lsn), u16::from(kind));
        ClaimRecord { subject, predicate, timestamp, source, order, flags, payload }
    }

    pub(super) fn entry(&self) -> Entry<'_> {
        Entry { order: self.order, flags: self.flags, retracted: false, payload: &self.payload }
    }
}

impl RetractionRecord {
    fn read(lsn: u64, program: &mut Program<'_>) -> RetractionRecord {
        let path = program.pick(&PATHS);
        let slots =
            program.pick(&[0..SLOTS, 0..SLOTS, 0..512, 512..SLOTS].map(|range| (range.start, range.end)));
        let retraction = Retraction {
            id: RetractionId { generation: 1, lane: LaneId(0), lsn },
            path: ConceptPath::new(path).expect("a path"),
            reason: Reason::new("wrong").expect("a reason"),
            at: UnixMicros(1),
        };
        let mut payload = Vec::new();
        retraction.encode(&mut payload);
        let slots = SlotSet::default().add(slots.0..slots.1);
        RetractionRecord { path, order: WriteOrder::new(1, lsn), slots, payload }
    }

    pub(super) fn retraction(&self) -> TableRetraction<'_> {
        TableRetraction { order: self.order, slots: self.slots, payload: &self.payload }
    }

    /// The rule, in its own words: claims about the path, and those whose source is the path or below it.
    fn strikes(&self, claim: &ClaimRecord) -> bool {
        let is_below = |source: &str| source == self.path || source.starts_with(&format!("{}/", self.path));
        claim.order < self.order
            && self.slots.contains(Slot::of(claim.subject.as_bytes()))
            && (claim.subject == self.path || claim.source.is_some_and(is_below))
    }
}

/// Text that is different for each record and compresses well or not at all.
fn text(lsn: u64, bytes: usize, is_plain: bool) -> String {
    let mut state = lsn;
    let mut text = format!("{lsn}:");
    while text.len() < bytes {
        state = next_random(state);
        text.push(if is_plain { '.' } else { char::from(b' ' + (state >> 40) as u8 % 95) });
    }
    text
}
