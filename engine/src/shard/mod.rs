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

use crate::checkpoint::TableSet;
use crate::claim::{Assertion, ClaimHash, ConceptPath, Reason, Retraction, RetractionId, assertion};
use crate::index::{Checkpoints, Index, NewClaim, RetractionPass};
use crate::log::lane::{AppendError, CommittedFrame, Lane, LaneConfig, LaneWrite, WriteId, WriteOutcome};
use crate::log::record::RecordKind;
use crate::log::{Lsn, SegmentNumber};
use crate::order::WriteOrder;
use crate::planted::{self, Bug};
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
    /// The log has as many bytes as it may have until tables hold some of its claims. Nothing was written.
    LogFull,
    /// A further segment cannot be prepared, for another reason. Nothing was written.
    NoSegment,
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

/// Claims that one shard may hold: its index numbers them with 31 bits, and some are always on their way.
const CLAIMS_MAX: u64 = (1 << 31) - (1 << 24);

/// Bytes that the index of one shard may have at most, whatever it is allowed: its 32-bit references reach 32 GiB of
/// claims, and what has been let in must find room.
const INDEX_BYTES_ADDRESSABLE: u64 = 31 << 30;

/// What one claim may make the index allocate at once: it grows by chunks of up to 1 MiB in several places.
const INDEX_CHUNKS_BYTES: u64 = 4 << 20;

/// Why a claim that the log holds finds room in the index.
const ADMITTED: &str = "a claim is let in only while there is room for it";

/// What one core holds. `T` is what leads from an outcome back to whoever waits for it.
#[derive(Debug)]
pub struct Shard<T> {
    lane: Lane,
    index: Index,
    slots: Range<u16>,
    index_bytes_max: u64,
    /// What the index occupied when it last changed.
    index_bytes: u64,
    /// Claims on their way to the disk.
    pending: HashMap<ClaimHash, Lsn, FixedState>,
    /// In the order of their LSNs.
    parked: VecDeque<Parked<T>>,
    /// Durable retractions being applied to the index, the first one first.
    retractions: VecDeque<(RetractionPass, T)>,
    outcomes: Vec<(T, Outcome)>,
    /// What writes are refused with that need a further segment, while none can be prepared.
    no_segment: Option<Refusal>,
    /// How many checkpoints there were when values were last let go of that tables have. Without, none are.
    checkpoints: Option<u32>,
}

/// A request whose answer waits for a record.
#[derive(Debug)]
struct Parked<T> {
    lsn: Lsn,
    ticket: T,
    /// Whether the record is another request's: the claim was already on its way when this one came.
    duplicate: bool,
}

/// What a write has brought about for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A frame is durable and visible.
    Frame {
        /// Its records.
        records: u32,
        /// Those of them that are new claims.
        claims: u32,
    },
    /// A segment is full, and the lane has gone over to the next.
    SegmentSealed,
    /// A write failed, or wrote too little, and has ended the lane.
    LaneFailed,
}

impl<T: Copy> Shard<T> {
    /// The shard of a core that writes `lane` and owns `slots`, whose claims are in `index`. New claims are
    /// refused while the index occupies more than `index_bytes_max`.
    pub fn new(lane: Lane, index: Index, slots: Range<u16>, index_bytes_max: u64) -> Shard<T> {
        Shard {
            lane,
            index_bytes: index.bytes(),
            index,
            slots,
            index_bytes_max: index_bytes_max.min(INDEX_BYTES_ADDRESSABLE),
            pending: HashMap::with_hasher(FixedState::default()),
            parked: VecDeque::new(),
            retractions: VecDeque::new(),
            outcomes: Vec::new(),
            no_segment: None,
            checkpoints: None,
        }
    }

    /// The shard of a store of which so many checkpoints were made before it was read.
    pub fn after_checkpoints(self, checkpoints: u32) -> Shard<T> {
        Shard { checkpoints: Some(checkpoints), ..self }
    }

    /// Lets go of up to `count_max` values and metadata that are long and that these tables have. True if there are no more.
    pub fn release_long(&mut self, tables: &TableSet, count_max: usize) -> bool {
        let LaneConfig { lane, generation, .. } = *self.lane.config();
        let Some(before) = self.checkpoints else { return true };
        let last = tables.checkpoints();
        let stored = |order: WriteOrder| {
            // What came from an earlier generation may have been in a table before the start, and in memory by a snapshot of that time.
            let first = if order.generation() == generation.0 { before + 1 } else { 1 };
            (first <= last && tables.has(order, lane, generation)).then_some(Checkpoints { first, last })
        };
        let is_done = self.index.release_long(count_max, &stored);
        if is_done {
            self.checkpoints = Some(last);
            self.index_bytes = self.index.bytes();
        }
        is_done
    }

    /// Stores a claim, given as the payload of its record, whose hash it begins with. What became of it is
    /// among the [outcomes](Self::drain_outcomes), now or once it is durable.
    pub fn assert(&mut self, payload: &[u8], admission: Admission, ticket: T) {
        let hash = assertion::hash(payload);
        if self.index.contains(&hash) {
            self.outcomes.push((ticket, Outcome::Exists));
        } else if let Some(&lsn) = self.pending.get(&hash) {
            self.park(lsn, ticket, true);
        } else {
            match self.admit(admission).and_then(|()| self.append(RecordKind::Assertion, payload)) {
                Ok(_) if planted::is(Bug::AcknowledgeBeforeDurable) => {
                    self.outcomes.push((ticket, Outcome::Created));
                }
                Ok(lsn) => {
                    if planted::is(Bug::ApplyBeforeDurable) {
                        let Assertion { claim, .. } = Assertion::decode(payload).expect("a valid payload");
                        let order = WriteOrder::new(self.lane.config().generation.0, lsn.0);
                        self.index.insert_all(&[NewClaim { hash, claim, order }]).expect(ADMITTED);
                    }
                    self.pending.insert(hash, lsn);
                    self.park(lsn, ticket, false);
                }
                Err(refusal) => {
                    if planted::is(Bug::StoreRefused)
                        && let Ok(lsn) = self.append(RecordKind::Assertion, payload)
                    {
                        self.pending.insert(hash, lsn);
                    }
                    self.outcomes.push((ticket, Outcome::Refused(refusal)));
                }
            }
        }
    }

    /// Decides a retraction, as the owner of the path's slot, and does this shard's part of it. Gives the
    /// payload of its record, which the other shards are to [copy](Self::retract_copy) once the outcome is there.
    ///
    /// # Errors
    ///
    /// When nothing was written and no outcome will follow.
    pub fn retract(
        &mut self,
        path: ConceptPath<'_>,
        reason: Reason<'_>,
        at: UnixMicros,
        ticket: T,
    ) -> Result<Arc<[u8]>, Refusal> {
        let LaneConfig { lane, generation, .. } = *self.lane.config();
        let id = RetractionId { generation: generation.0, lane, lsn: self.lane.next_lsn().0 };
        let mut payload = Vec::new();
        Retraction { id, path, reason, at }.encode(&mut payload);
        self.retract_copy(&payload, ticket)?;
        assert_eq!(self.lane.next_lsn().0, id.lsn + 1, "a retraction's record is not where its id says");
        Ok(payload.into())
    }

    /// Does this shard's part of a retraction, given as the payload of its record.
    ///
    /// # Errors
    ///
    /// When nothing was written and no outcome will follow.
    pub fn retract_copy(&mut self, payload: &[u8], ticket: T) -> Result<(), Refusal> {
        let lsn = self.append(RecordKind::Retraction, payload)?;
        self.park(lsn, ticket, false);
        Ok(())
    }

    /// Takes what became of writes since the last call.
    pub fn drain_outcomes(&mut self) -> std::vec::Drain<'_, (T, Outcome)> {
        self.outcomes.drain(..)
    }

    /// The next write that the lane wants done.
    pub fn next_write(&mut self, now: UnixMicros) -> Option<LaneWrite> {
        let write = self.lane.next_write(now);
        if write.is_none()
            && let Some(refusal) = self.no_segment
            && let Some(first) = self.lane.take_back_stalled()
        {
            self.refuse_from(first, refusal);
            return self.lane.next_write(now);
        }
        write
    }

    /// Takes what became of a write: the bytes written, or the error number. What follows from it is done by
    /// [`Self::apply_committed`], so that the lane can start its next write first.
    pub fn write_done(
        &mut self,
        id: WriteId,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        monotonic_us: u64,
    ) {
        self.lane.write_done(id, buffer, result, monotonic_us);
    }

    /// Applies what has become durable, and parts with what never will. Tells `each` what is done by that.
    pub fn apply_committed(&mut self, mut each: impl FnMut(Done)) {
        while let Some(outcome) = self.lane.next_outcome() {
            match outcome {
                WriteOutcome::Frame(frame) => {
                    let claims = self.apply(&frame);
                    self.index_bytes = self.index.bytes();
                    each(Done::Frame { records: frame.header().records, claims });
                    self.lane.recycle(frame);
                }
                WriteOutcome::Failed(failure) => {
                    tracing::error!(%failure, "a write to the log failed: the lane takes no further writes until a restart");
                    self.refuse_parked();
                    each(Done::LaneFailed);
                }
                WriteOutcome::Begun { segment } => tracing::debug!(%segment, "segment begun"),
                WriteOutcome::Sealed { segment } => {
                    tracing::debug!(%segment, "segment sealed");
                    each(Done::SegmentSealed);
                }
                WriteOutcome::Marked { .. } => {}
            }
        }
    }

    /// Goes on applying retractions, over about `claims_budget` claims.
    pub fn step(&mut self, claims_budget: usize) {
        if let Some((pass, ticket)) = self.retractions.front_mut()
            && pass.step(&mut self.index, claims_budget)
        {
            self.outcomes.push((*ticket, Outcome::Retracted(pass.retracted())));
            self.retractions.pop_front();
        }
    }

    /// Whether there are retractions to go on with.
    pub fn is_retracting(&self) -> bool {
        !self.retractions.is_empty()
    }

    /// The last record whose effect is in the index, all of it, as that of all before it; `None` while a retraction is being
    /// applied.
    ///
    /// To be asked when what is durable has been [applied](Self::apply_committed).
    pub fn applied(&self) -> Option<Lsn> {
        (!self.is_retracting()).then(|| self.lane.committed_lsn())
    }

    /// Which slots the shard owns.
    pub fn slots(&self) -> Range<u16> {
        self.slots.clone()
    }

    /// Lets time pass for the lane, which may want to write a marker.
    pub fn tick(&mut self, monotonic_us: u64) {
        self.lane.tick(monotonic_us);
    }

    /// Begins the orderly end: what is parked is still written, then a closing marker.
    pub fn close(&mut self) {
        self.lane.close();
    }

    /// Whether nothing is parked and the lane wants nothing more.
    pub fn is_idle(&self) -> bool {
        self.parked.is_empty() && self.retractions.is_empty() && self.lane.is_idle()
    }

    /// The shard's claims.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How much memory the claims may occupy before further ones are refused, in bytes.
    pub fn index_bytes_max(&self) -> u64 {
        self.index_bytes_max
    }

    /// The shard's lane.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Notes that the segment that the lane wants has been prepared.
    pub fn segment_ready(&mut self, segment: SegmentNumber) {
        self.no_segment = None;
        self.lane.segment_ready(segment);
    }

    /// Notes that the segment that the lane wants could not be prepared, for want of space or for another reason.
    /// Until one is ready, writes that would need it are refused, also those that were let in already.
    pub fn segment_failed(&mut self, no_space: bool) {
        self.no_segment = Some(if no_space { Refusal::DiskFull } else { Refusal::NoSegment });
    }

    /// Notes that the lane may not have the segment that it wants, for now. Until it is ready, writes that would need it are
    /// refused as when it [could not be prepared](Self::segment_failed).
    pub fn log_full(&mut self) {
        self.no_segment = Some(Refusal::LogFull);
    }

    /// Whether a new claim may come in.
    fn admit(&self, admission: Admission) -> Result<(), Refusal> {
        self.check_lane()?;
        let LaneConfig { frame_buffers, frame_bytes_max, .. } = *self.lane.config();
        let frames_used = frame_buffers - self.lane.frames_free();
        // A small claim takes up to about four times the memory of its record.
        let growth_bytes_max = INDEX_CHUNKS_BYTES + 4 * (frames_used * frame_bytes_max) as u64;
        let is_full = self.index_bytes + growth_bytes_max >= self.index_bytes_max;
        if (is_full && !planted::is(Bug::IgnoreIndexBound)) || self.index.len() >= CLAIMS_MAX {
            return Err(Refusal::IndexFull);
        }
        match admission {
            Admission::Single if frames_used > frame_buffers / 2 => Err(Refusal::Busy),
            Admission::Single | Admission::Stream => Ok(()),
        }
    }

    /// A failed lane takes nothing, and says so whatever room there would have been: what it held is not given back.
    fn check_lane(&self) -> Result<(), Refusal> {
        self.lane.failure().map_or(Ok(()), |_| Err(Refusal::LaneFailed))
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> Result<Lsn, Refusal> {
        self.check_lane()?;
        if let Some(refusal) = self.no_segment
            && !self.lane.has_segment_for(payload.len())
        {
            return Err(refusal);
        }
        self.lane.append(kind, 0, payload).map_err(|error| match error {
            AppendError::Busy => Refusal::Busy,
            AppendError::Failed | AppendError::Closed => Refusal::LaneFailed,
            AppendError::TooLarge { .. } => panic!("{error}: such a record gets past no limit of a claim"),
        })
    }

    fn park(&mut self, lsn: Lsn, ticket: T, duplicate: bool) {
        // A duplicate may wait a frame longer than it must, so that the queue stays in order.
        let lsn = self.parked.back().map_or(lsn, |last| last.lsn.max(lsn));
        self.parked.push_back(Parked { lsn, ticket, duplicate });
    }

    /// Makes the records of a durable frame visible and answers those who wait for them. Gives the number of claims.
    fn apply(&mut self, frame: &CommittedFrame) -> u32 {
        let mut claims = 0;
        let generation = self.lane.config().generation;
        // Claims that follow each other are inserted together.
        let mut new_claims = Vec::with_capacity(frame.header().records as usize);
        for record in frame.records() {
            let mut retraction = None;
            match record.kind {
                RecordKind::Assertion => {
                    let Assertion { hash, claim, .. } =
                        Assertion::decode(record.payload).expect("this lane encoded the record");
                    let slot = Slot::of(claim.subject.as_str().as_bytes());
                    assert!(self.slots.contains(&slot.number()), "a claim of {slot:?} is in the wrong lane");
                    self.pending.remove(&hash);
                    claims += 1;
                    let order = WriteOrder::new(generation.0, record.lsn.0);
                    if !planted::is(Bug::ApplyBeforeDurable) {
                        new_claims.push(NewClaim { hash, claim, order });
                    }
                }
                RecordKind::Retraction => {
                    self.index.insert_all(&new_claims).expect(ADMITTED);
                    new_claims.clear();
                    let decoded = Retraction::decode(record.payload).expect("this lane encoded the record");
                    let (path, before) = (decoded.path.as_str(), WriteOrder::new(generation.0, record.lsn.0));
                    retraction = Some(RetractionPass::new(path, self.slots.clone(), before, &self.index));
                }
                kind => panic!("a serving shard writes no records of kind {kind:?}"),
            }
            while let Some(parked) = self.parked.front().filter(|parked| parked.lsn == record.lsn) {
                let Parked { ticket, duplicate, .. } = *parked;
                self.parked.pop_front();
                if planted::is(Bug::ForgetAnswers) && record.lsn.0.is_multiple_of(50) {
                    continue;
                }
                if duplicate {
                    self.outcomes.push((ticket, Outcome::Exists));
                } else if let Some(pass) = retraction.take() {
                    self.retractions.push_back((pass, ticket));
                } else {
                    self.outcomes.push((ticket, Outcome::Created));
                }
            }
        }
        if planted::is(Bug::ApplyHalfFrames) {
            new_claims.truncate(new_claims.len().div_ceil(2));
        }
        self.index.insert_all(&new_claims).expect(ADMITTED);
        claims
    }

    /// The records from `first` on have been taken back from the lane.
    fn refuse_from(&mut self, first: Lsn, refusal: Refusal) {
        self.pending.retain(|_, lsn| *lsn < first);
        let kept = self.parked.partition_point(|parked| parked.lsn < first);
        let refused = self.parked.drain(kept..);
        self.outcomes.extend(refused.map(|parked| (parked.ticket, Outcome::Refused(refusal))));
    }

    /// After the lane has failed nobody parked will ever be acknowledged.
    fn refuse_parked(&mut self) {
        self.pending.clear();
        let refused = self.parked.drain(..);
        self.outcomes.extend(refused.map(|parked| (parked.ticket, Outcome::Refused(Refusal::LaneFailed))));
    }
}

#[cfg(test)]
mod tests;
