//! Records of a log, as the tests make them.

use crate::claim::{
    Claim, ConceptPath, Predicate, Reason, Retraction, RetractionId, Timestamp, Value, assertion,
};
use crate::order::WriteOrder;
use crate::slot::{LaneId, SLOTS, SlotSet};
use crate::table::{Entry, TableRetraction};
use crate::time::UnixMicros;

/// A claim as a record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimRecord {
    pub(super) subject: String,
    pub(super) source: Option<String>,
    pub(super) order: WriteOrder,
    pub(super) flags: u16,
    pub(super) retracted: bool,
    pub(super) payload: Vec<u8>,
}

impl ClaimRecord {
    /// Record `lsn` of the first generation.
    pub(super) fn new(
        lsn: u64,
        subject: &str,
        predicate: &str,
        timestamp: i64,
        source: Option<&str>,
    ) -> Self {
        Self::with_value(lsn, subject, predicate, timestamp, source, &format!("value {lsn}"))
    }

    pub(super) fn with_value(
        lsn: u64,
        subject: &str,
        predicate: &str,
        timestamp: i64,
        source: Option<&str>,
        value: &str,
    ) -> Self {
        let mut claim = Claim::new(
            ConceptPath::new(subject).expect("a path"),
            Predicate::new(predicate).expect("a predicate"),
            Value::text(value).expect("a text"),
            Timestamp::new(UnixMicros(timestamp)).expect("a time from 1970 on"),
        );
        claim.source = source.map(|source| ConceptPath::new(source).expect("a path"));
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        ClaimRecord {
            subject: subject.to_owned(),
            source: source.map(str::to_owned),
            order: WriteOrder::new(1, lsn),
            flags: lsn as u16 % 3,
            retracted: false,
            payload,
        }
    }

    pub(super) fn entry(&self) -> Entry<'_> {
        let ClaimRecord { order, flags, retracted, ref payload, .. } = *self;
        Entry { order, flags, retracted, payload }
    }
}

/// A retraction as a record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RetractionRecord {
    pub(super) path: String,
    pub(super) order: WriteOrder,
    pub(super) slots: SlotSet,
    pub(super) payload: Vec<u8>,
}

impl RetractionRecord {
    /// Record `lsn` of the first generation, which strikes all slots.
    pub(super) fn new(lsn: u64, path: &str) -> Self {
        Self::of_slots(lsn, path, SlotSet::default().add(0..SLOTS))
    }

    pub(super) fn of_slots(lsn: u64, path: &str, slots: SlotSet) -> Self {
        let mut payload = Vec::new();
        let retraction = Retraction {
            id: RetractionId { generation: 1, lane: LaneId(0), lsn },
            path: ConceptPath::new(path).expect("a path"),
            reason: Reason::new("wrong").expect("a reason"),
            at: UnixMicros(lsn as i64),
        };
        retraction.encode(&mut payload);
        RetractionRecord { path: path.to_owned(), order: WriteOrder::new(1, lsn), slots, payload }
    }

    pub(super) fn retraction(&self) -> TableRetraction<'_> {
        TableRetraction { order: self.order, slots: self.slots, payload: &self.payload }
    }
}
