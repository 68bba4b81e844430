//! What one core holds: its lane, its index, and the requests parked until their frame is durable.
//!
//! A write goes into the lane's open frame and is parked. When the frame is durable its records are applied
//! to the index in the order of their LSNs, and only then are the parked requests answered: nothing is
//! visible before it is durable, nothing is acknowledged before it is visible.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::claim::{Assertion, ClaimHash, ConceptPath, Reason, Retraction, RetractionId};
use crate::index::{Index, WriteOrder};
use crate::log::lane::{AppendError, Committed, Lane, LaneWrite, WriteId, WriteOutcome};
use crate::log::record::RecordKind;
use crate::log::{Lsn, SegmentNumber};
use crate::ring::aligned::AlignedBuffer;
use crate::slot::Slot;
use crate::time::UnixMicros;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The claim is durable and visible.
    Created,
    /// The claim had been stored before; it is durable and visible.
    Exists,
    /// The retraction is durable and this many claims of the shard left the results.
    Retracted(u64),
    /// Nothing was written, or it is not known whether it was.
    Refused(Refusal),
}

/// Why a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The log is being recovered.
    Recovering,
    /// Too much waits for the disk already. Nothing was written.
    Busy,
    /// The memory for the index is used up. Nothing was written.
    IndexFull,
    /// The disk has no room for a further segment. Nothing was written.
    DiskFull,
    /// A write to the lane has failed. Whether this one is on disk shows after the next start.
    LaneFailed,
}

/// How much of the room for frames that wait a write may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// At most half, so that writes that were let in before find room: a client that can be told to come again.
    Single,
    /// All of it: a line of a stream that was let in before and bounds itself.
    Stream,
}

/// What one core holds. `T` is what leads from an outcome back to whoever waits for it.
#[derive(Debug)]
pub struct Shard<T> {
    lane: Lane,
    index: Index,
    slots: Range<u16>,
    index_bytes_max: u64,
    /// Claims on their way to the disk.
    pending: HashMap<ClaimHash, Lsn, FixedState>,
    /// In the order of their LSNs.
    parked: VecDeque<Parked<T>>,
    outcomes: Vec<(T, Outcome)>,
    encoded: Vec<u8>,
}

/// A request whose answer waits for a record.
#[derive(Debug)]
struct Parked<T> {
    lsn: Lsn,
    ticket: T,
    /// Whether the record is another request's: the claim was already on its way when this one came.
    duplicate: bool,
}

impl<T: Copy> Shard<T> {
    /// The shard of a core that writes `lane` and owns `slots`, whose claims are in `index`.
    pub fn new(lane: Lane, index: Index, slots: Range<u16>, index_bytes_max: u64) -> Shard<T> {
        Shard {
            lane,
            index,
            slots,
            index_bytes_max,
            pending: HashMap::with_hasher(FixedState::default()),
            parked: VecDeque::new(),
            outcomes: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// Stores a claim, given as the payload of its record. What became of it is among the
    /// [outcomes](Self::drain_outcomes), now or once it is durable.
    pub fn assert(&mut self, payload: &[u8], admission: Admission, ticket: T) {
        let hash = Assertion::hash_of(payload);
        if self.index.contains(&hash) {
            self.outcomes.push((ticket, Outcome::Exists));
        } else if let Some(&lsn) = self.pending.get(&hash) {
            self.park(lsn, ticket, true);
        } else {
            match self.append(RecordKind::Assertion, payload, admission) {
                Ok(lsn) => {
                    self.pending.insert(hash, lsn);
                    self.park(lsn, ticket, false);
                }
                Err(refusal) => self.outcomes.push((ticket, Outcome::Refused(refusal))),
            }
        }
    }

    /// Decides a retraction, as the owner of the path's slot, and does this shard's part of it. Answers with
    /// the payload of its record, which the other shards are to [copy](Self::retract_copy) once the outcome
    /// is there; none if it was refused.
    pub fn retract(
        &mut self,
        path: ConceptPath<'_>,
        reason: Reason<'_>,
        at: UnixMicros,
        ticket: T,
    ) -> Option<Arc<[u8]>> {
        let id = RetractionId {
            generation: self.lane.generation().0,
            lane: self.lane.id(),
            lsn: self.lane.next_lsn().0,
        };
        let mut payload = std::mem::take(&mut self.encoded);
        payload.clear();
        Retraction { id, path, reason, at }.encode(&mut payload);
        let record = self.retract_copy(&payload, ticket).map(|lsn| {
            assert_eq!(lsn.0, id.lsn, "a retraction's record is not where its id says");
            Arc::from(payload.as_slice())
        });
        self.encoded = payload;
        record
    }

    /// Does this shard's part of a retraction that was decided elsewhere. Answers with the LSN of its record.
    pub fn retract_copy(&mut self, payload: &[u8], ticket: T) -> Option<Lsn> {
        match self.append(RecordKind::Retraction, payload, Admission::Stream) {
            Ok(lsn) => {
                self.park(lsn, ticket, false);
                Some(lsn)
            }
            Err(refusal) => {
                self.outcomes.push((ticket, Outcome::Refused(refusal)));
                None
            }
        }
    }

    /// Takes what became of writes since the last call.
    pub fn drain_outcomes(&mut self) -> std::vec::Drain<'_, (T, Outcome)> {
        self.outcomes.drain(..)
    }

    /// The next write that the lane wants done.
    pub fn next_write(&mut self, now: UnixMicros) -> Option<LaneWrite> {
        self.lane.next_write(now)
    }

    /// Takes what became of a write: with the bytes written, or the error number.
    pub fn write_done(&mut self, id: WriteId, buffer: AlignedBuffer, result: Result<usize, i32>, now: UnixMicros) {
        match self.lane.write_done(id, buffer, result, now) {
            WriteOutcome::Nothing => {}
            WriteOutcome::Committed(frames) => {
                for frame in frames {
                    self.apply(&frame);
                    self.lane.recycle(frame);
                }
            }
            WriteOutcome::Failed => self.refuse_parked(),
        }
    }

    /// Lets time pass for the lane, which may want to write a marker.
    pub fn tick(&mut self, now: UnixMicros) {
        self.lane.tick(now);
    }

    /// Begins the orderly end: what is parked is still written, then a closing marker.
    pub fn close(&mut self) {
        self.lane.close();
    }

    /// Whether nothing is parked and the lane wants nothing more.
    pub fn is_idle(&self) -> bool {
        self.parked.is_empty() && self.lane.is_idle()
    }

    /// The shard's claims.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The shard's lane.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Notes that a segment has been prepared.
    pub fn segment_ready(&mut self, number: SegmentNumber) {
        self.lane.segment_ready(number);
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8], admission: Admission) -> Result<Lsn, Refusal> {
        if self.index.bytes() + self.lane.bytes_waiting() as u64 >= self.index_bytes_max {
            return Err(Refusal::IndexFull);
        }
        if admission == Admission::Single && self.lane.buffers_free() < self.lane.buffers() / 2 {
            return Err(Refusal::Busy);
        }
        self.lane.append(kind, payload).map_err(|error| match error {
            AppendError::Busy => Refusal::Busy,
            AppendError::NoSegment => Refusal::DiskFull,
            AppendError::Failed => Refusal::LaneFailed,
            AppendError::TooLarge => panic!("a record of {} bytes got past the limits of a claim", payload.len()),
        })
    }

    fn park(&mut self, lsn: Lsn, ticket: T, duplicate: bool) {
        // A duplicate may wait a frame longer than it must, so that the queue stays in order.
        let lsn = self.parked.back().map_or(lsn, |last| last.lsn.max(lsn));
        self.parked.push_back(Parked { lsn, ticket, duplicate });
    }

    /// Makes the records of a durable frame visible and answers those who wait for them.
    fn apply(&mut self, frame: &Committed) {
        for record in frame.records() {
            let outcome = match record.kind {
                RecordKind::Assertion => {
                    let assertion = Assertion::decode(record.payload).expect("a record that this lane encoded");
                    self.pending.remove(&assertion.hash);
                    let slot = Slot::of(assertion.claim.subject.as_str().as_bytes());
                    assert!(self.slots.contains(&slot.number()), "a claim of slot {} is in the wrong lane", slot.number());
                    let order = WriteOrder::new(self.lane.generation().0, record.lsn.0);
                    self.index.insert(assertion.hash, &assertion.claim, slot, order);
                    Outcome::Created
                }
                RecordKind::Retraction => {
                    let retraction = Retraction::decode(record.payload).expect("a record that this lane encoded");
                    Outcome::Retracted(self.index.retract(retraction.path.as_str(), self.slots.clone()))
                }
                kind => panic!("a lane of a serving shard does not write records of kind {kind:?}"),
            };
            while let Some(parked) = self.parked.pop_front_if(|parked| parked.lsn == record.lsn) {
                let outcome = if parked.duplicate { Outcome::Exists } else { outcome };
                self.outcomes.push((parked.ticket, outcome));
            }
        }
    }

    /// After the lane has failed nobody parked will ever be acknowledged.
    fn refuse_parked(&mut self) {
        self.pending.clear();
        let refused = self.parked.drain(..);
        self.outcomes.extend(refused.map(|parked| (parked.ticket, Outcome::Refused(Refusal::LaneFailed))));
    }
}
