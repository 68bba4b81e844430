//! A lane: the append-only log of one core, as a state machine that is told what happened.
//!
//! [`Lane::append`] puts records into the open frame. [`Lane::next_write`] hands out the next durable write that may be
//! started, with its buffer; [`Lane::write_done`] takes the buffer back with the write's result, in any order, and
//! [`Lane::next_outcome`] tells what became durable, in LSN order. The lane holds no file and reads no clock.
//!
//! What may be written when, and why a crash between any two writes is harmless, is the business of
//! [`Lane::next_write`]; the argument for each step is in `docs/format.md`.

mod cursor;
mod failure;
mod in_flight;
#[cfg(test)]
mod tests;
mod waiting;
mod write;

use std::collections::VecDeque;

use crate::log::frame::{FrameHeader, FrameKind};
use crate::log::record::{RecordKind, record_bytes};
use crate::log::{BLOCK_BYTES, FRAME_BYTES_MAX, Generation, Lsn, SEGMENT_BYTES_LEAST, SegmentNumber};
use crate::planted::{self, Bug};
use crate::ring::aligned::AlignedBuffer;
use crate::slot::LaneId;
use crate::time::UnixMicros;

use cursor::{Cursor, Stage};
pub use failure::{AppendError, FailureCause, LaneFailure};
use in_flight::{Done, InFlight, InFlightWrite, WriteKind};
use waiting::WaitingFrames;
pub use write::{CommittedFrame, LaneWrite, WriteId, WriteOutcome};

/// How many frames a lane may have in flight at most.
pub const FRAMES_IN_FLIGHT_MAX: usize = 2;

/// What a lane is, and its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneConfig {
    /// Which lane.
    pub lane: LaneId,
    /// The generation that it writes.
    pub generation: Generation,
    /// Bytes of each segment, in whole blocks: at least [`SEGMENT_BYTES_LEAST`], and enough for a header, the largest frame,
    /// a marker and a seal.
    pub segment_bytes: u64,
    /// Bytes of the largest frame, in whole blocks, at most [`FRAME_BYTES_MAX`]. No record can be longer.
    pub frame_bytes_max: usize,
    /// How many frames may be on their way to the disk at once: 1 or 2.
    pub frames_in_flight: usize,
    /// How many frames the lane holds in memory, filling, in flight, or committed and not yet recycled: the lane's
    /// memory is this times `frame_bytes_max`. More than `frames_in_flight`.
    pub frame_buffers: usize,
    /// How long the lane must have nothing to do before it writes a marker, in microseconds.
    pub marker_idle_us: u64,
}

impl LaneConfig {
    /// The configuration used unless something else is asked for.
    pub fn new(lane: LaneId, generation: Generation) -> LaneConfig {
        LaneConfig {
            lane,
            generation,
            segment_bytes: crate::log::SEGMENT_BYTES_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX,
            frames_in_flight: 1,
            frame_buffers: 8,
            marker_idle_us: 250_000,
        }
    }

    fn check(&self) {
        let blocks = |bytes: u64| bytes.is_multiple_of(BLOCK_BYTES as u64);
        assert!(self.generation >= Generation::FIRST, "generations are counted from 1");
        let needed_bytes = (self.frame_bytes_max + 3 * BLOCK_BYTES) as u64;
        let bytes_min = needed_bytes.max(SEGMENT_BYTES_LEAST);
        assert!(self.segment_bytes >= bytes_min, "segments of {} bytes", self.segment_bytes);
        assert!(blocks(self.segment_bytes), "segments of {} bytes", self.segment_bytes);
        assert!((BLOCK_BYTES..=FRAME_BYTES_MAX).contains(&self.frame_bytes_max));
        assert!(blocks(self.frame_bytes_max as u64), "frames of {} bytes", self.frame_bytes_max);
        assert!((1..=FRAMES_IN_FLIGHT_MAX).contains(&self.frames_in_flight));
        assert!(
            self.frame_buffers > self.frames_in_flight,
            "no buffer could be filled while others are in flight"
        );
    }
}

/// Where a lane goes on: what recovery found of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneStart {
    /// The number of the next record.
    pub next_lsn: Lsn,
    /// The segment to begin.
    pub next_segment: SegmentNumber,
    /// Where the frames of the segment before it end, in bytes; 0 if there is none.
    pub previous_end: u64,
}

impl LaneStart {
    /// The start of a lane that never existed.
    pub const NEW: LaneStart =
        LaneStart { next_lsn: Lsn::FIRST, next_segment: SegmentNumber::FIRST, previous_end: 0 };
}

/// The append-only log of one core. See the [module](self).
#[derive(Debug)]
pub struct Lane {
    config: LaneConfig,
    waiting: WaitingFrames,
    cursor: Cursor,
    in_flight: InFlight,
    outcomes: VecDeque<WriteOutcome>,
    /// One block, for headers, markers and seals. Away while one of them is in flight, which is alone or first there.
    control: Option<AlignedBuffer>,
    committed_lsn: Lsn,
    /// The greatest committed LSN that a durable frame states.
    testified_lsn: Lsn,
    /// When the last write was done, in monotonic microseconds.
    last_write_us: u64,
    marker_wanted: bool,
    closed: bool,
    failure: Option<LaneFailure>,
}

impl Lane {
    /// A lane that begins `start.next_segment` with its first record. Panics if the configuration is out of its bounds.
    pub fn open(config: LaneConfig, start: LaneStart) -> Lane {
        config.check();
        Lane {
            waiting: WaitingFrames::new(start.next_lsn, config.frame_buffers, config.frame_bytes_max),
            cursor: Cursor::new(&config, start),
            in_flight: InFlight::default(),
            outcomes: VecDeque::with_capacity(FRAMES_IN_FLIGHT_MAX + 1),
            control: Some(AlignedBuffer::zeroed(BLOCK_BYTES)),
            committed_lsn: start.next_lsn.before(),
            testified_lsn: start.next_lsn.before(),
            last_write_us: 0,
            marker_wanted: false,
            closed: false,
            failure: None,
            config,
        }
    }

    /// Copies a record into the open frame and returns its number. The record is durable when a
    /// [`WriteOutcome::Frame`] holds it, and not before.
    #[inline]
    pub fn append(&mut self, kind: RecordKind, flags: u16, payload: &[u8]) -> Result<Lsn, AppendError> {
        if self.failure.is_some() {
            return Err(AppendError::Failed);
        }
        if self.closed {
            return Err(AppendError::Closed);
        }
        let bytes_max = self.record_bytes_max();
        if record_bytes(payload.len()) > bytes_max {
            return Err(AppendError::TooLarge { bytes: record_bytes(payload.len()), bytes_max });
        }
        self.waiting.append(kind, flags, payload).ok_or(AppendError::Busy)
    }

    /// The next write that may be started now; `now` goes into headers. `None` until something changes: a record is
    /// appended, a write is done, a segment is ready.
    ///
    /// Frames go out as long as fewer than `frames_in_flight` are under way or wait for one that is. Everything else waits until nothing is:
    /// the header of a new segment, then the seal of the old one, then the frames of the new one.
    pub fn next_write(&mut self, now: UnixMicros) -> Option<LaneWrite> {
        if self.failure.is_some() {
            return None;
        }
        #[cfg(feature = "planted-bugs")]
        if let Some(write) = self.in_flight.next_retry() {
            return Some(write);
        }
        match self.cursor.stage() {
            Stage::Filling => self.next_frame_write(now),
            Stage::Beginning => self.header_write(now),
            Stage::Sealing => Some(self.empty_frame_write(FrameKind::Seal, now)),
            Stage::HeaderInFlight | Stage::SealInFlight => None,
        }
    }

    /// Takes back the buffer of the write `id` with the bytes written or the error number. `monotonic_us` is the time
    /// on the clock of [`Lane::tick`].
    ///
    /// An error or a short write ends the lane: it starts no further write, acknowledges none that is still under way,
    /// and refuses all records.
    pub fn write_done(
        &mut self,
        id: WriteId,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        monotonic_us: u64,
    ) {
        self.last_write_us = monotonic_us;
        #[cfg(feature = "planted-bugs")]
        let buffer = if planted::is(Bug::RetryWrites) && result.is_err() {
            let Some(buffer) = self.in_flight.retry(id, buffer) else { return };
            buffer
        } else {
            buffer
        };
        match self.in_flight.done(id, buffer, result) {
            Err(_) if self.failure.is_some() => {}
            Err(failed) => self.fail(failed),
            Ok(()) if self.failure.is_some() => self.in_flight.forget_done(),
            Ok(()) => {
                while let Some(done) = self.in_flight.pop_done() {
                    self.commit(done);
                }
            }
        }
    }

    /// What became of the writes, in LSN order, each told once.
    pub fn next_outcome(&mut self) -> Option<WriteOutcome> {
        self.outcomes.pop_front()
    }

    /// Takes a frame's memory back, so that records can be appended to it again. Every [`CommittedFrame`] has to
    /// come back: the lane does not make new ones.
    pub fn recycle(&mut self, frame: CommittedFrame) {
        self.waiting.recycle(frame.into_buffer());
    }

    /// Tells that `segment`, which was [wanted](Lane::segment_wanted), exists: filled with zeros, under its name, durably.
    pub fn segment_ready(&mut self, segment: SegmentNumber) {
        assert_eq!(self.cursor.wanted(), Some(segment), "only the segment that is wanted can become ready");
        self.cursor.ready(segment);
    }

    /// Lets the lane notice that it has been idle: a marker then follows the last frame. To be called at
    /// [`Lane::next_deadline`], or whenever convenient. `monotonic_us` never goes back.
    pub fn tick(&mut self, monotonic_us: u64) {
        if self.next_deadline().is_some_and(|deadline_us| monotonic_us >= deadline_us) {
            self.marker_wanted = true;
        }
    }

    /// Asks for a marker as soon as all that was appended is durable, unless one testifies for it already.
    pub fn mark(&mut self) {
        self.marker_wanted = self.testified_lsn.plus(1) < self.next_lsn();
    }

    /// Refuses further records. What was appended is still written, and a marker after it; the lane
    /// [is idle](Lane::is_idle) when that is durable.
    pub fn close(&mut self) {
        self.closed = true;
        self.mark();
    }

    /// The next segment that has to be prepared, if it is not yet [ready](Lane::segment_ready): one more than the lane has begun.
    pub fn segment_wanted(&self) -> Option<SegmentNumber> {
        if self.failure.is_some() || (self.closed && self.waiting.is_empty()) {
            return None;
        }
        self.cursor.wanted()
    }

    /// The segment for want of which the lane does not write, although records wait.
    pub fn stalled_on(&self) -> Option<SegmentNumber> {
        let stalled = self.failure.is_none() && self.in_flight.is_empty() && !self.waiting.is_empty();
        self.cursor.missing().filter(|_| stalled)
    }

    /// Takes back the records that wait for the segment for want of which the lane is
    /// [stalled](Lane::stalled_on): nothing of them was written, and their numbers are given out anew. Gives the number of the
    /// first one.
    pub fn take_back_stalled(&mut self) -> Option<Lsn> {
        self.stalled_on()?;
        self.cursor.unroll();
        Some(self.waiting.take_back())
    }

    /// When [`Lane::tick`] has something to do, in monotonic microseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let drained = self.waiting.is_empty() && self.in_flight.is_empty();
        let due = drained && !self.marker_wanted && self.needs_marker();
        due.then(|| self.last_write_us.saturating_add(self.config.marker_idle_us))
    }

    /// Whether the lane has nothing under way and nothing to write: all that was appended is durable or, after a
    /// failure, never will be.
    pub fn is_idle(&self) -> bool {
        let marker_due = self.marker_wanted && self.needs_marker();
        let settled = self.failure.is_some() || (self.waiting.is_empty() && !marker_due);
        settled && self.in_flight.is_empty() && self.outcomes.is_empty()
    }

    /// How many writes are under way: buffers that the lane has given out and not got back.
    pub fn writes_in_flight(&self) -> usize {
        self.in_flight.under_way()
    }

    /// The number that the next record will get.
    pub fn next_lsn(&self) -> Lsn {
        self.waiting.next_lsn()
    }

    /// All records up to this one are durable; [`Lsn::ZERO`] if there are none.
    pub fn committed_lsn(&self) -> Lsn {
        self.committed_lsn
    }

    /// Bytes of the largest record that [`Lane::append`] takes, its own header included.
    pub fn record_bytes_max(&self) -> usize {
        self.waiting.record_bytes_max()
    }

    /// How many frames can still be filled before records are refused for want of memory.
    pub fn frames_free(&self) -> usize {
        self.waiting.frames_free()
    }

    /// Whether a further record has its place on disk: in the current segment, behind all that waits, or in
    /// the next one, if that is ready.
    pub fn has_segment_for(&self, payload_bytes: usize) -> bool {
        self.cursor.wanted().is_none() || self.cursor.takes(self.waiting.bytes_with(payload_bytes))
    }

    /// The segment that the lane writes to: those before it are sealed, durably. `None` before the lane has begun one.
    pub fn writing(&self) -> Option<SegmentNumber> {
        self.cursor.writing()
    }

    /// What the lane is.
    pub fn config(&self) -> &LaneConfig {
        &self.config
    }

    /// What ended the lane.
    pub fn failure(&self) -> Option<&LaneFailure> {
        self.failure.as_ref()
    }

    /// Whether records are durable for which no durable frame testifies.
    fn needs_marker(&self) -> bool {
        self.failure.is_none() && self.testified_lsn < self.committed_lsn
    }

    /// In a begun segment: the first waiting frame, if it may go out and fits, or a marker.
    fn next_frame_write(&mut self, now: UnixMicros) -> Option<LaneWrite> {
        let Some(frame_bytes) = self.waiting.first_frame_bytes() else {
            let marker_due = self.marker_wanted && self.needs_marker() && self.in_flight.is_empty();
            return marker_due.then(|| self.empty_frame_write(FrameKind::Marker, now));
        };
        if !self.cursor.has_room(frame_bytes) {
            self.cursor.roll();
            return self.header_write(now);
        }
        if self.in_flight.len() >= self.config.frames_in_flight && !planted::is(Bug::WriteTooMany) {
            return None;
        }
        let mut frame = self.waiting.pop().expect("its length was just asked for");
        let header = FrameHeader {
            kind: FrameKind::Records,
            first_lsn: frame.first_lsn,
            committed_lsn: self.committed_lsn,
            committed_end: self.cursor.durable_end(),
            time: now,
            records: frame.records,
            payload_bytes: frame.payload_bytes(),
        };
        header.close(&mut frame.buffer[..frame_bytes], self.cursor.home());
        Some(self.start(WriteKind::Frame(header), frame.buffer, frame_bytes))
    }

    /// The header of the next segment, once all before it is durable and the segment is ready.
    fn header_write(&mut self, now: UnixMicros) -> Option<LaneWrite> {
        if self.waiting.is_empty() || !self.in_flight.is_empty() || self.cursor.missing().is_some() {
            return None;
        }
        let mut block = self.take_control();
        self.cursor.begin(self.committed_lsn.plus(1), now, &mut block);
        Some(self.start(WriteKind::Header, block, BLOCK_BYTES))
    }

    /// A marker or seal. Nothing is in flight.
    fn empty_frame_write(&mut self, kind: FrameKind, now: UnixMicros) -> LaneWrite {
        let mut block = self.take_control();
        let header = FrameHeader {
            kind,
            first_lsn: self.committed_lsn.plus(1),
            committed_lsn: self.committed_lsn,
            committed_end: self.cursor.durable_end(),
            time: now,
            records: 0,
            payload_bytes: 0,
        };
        header.close(&mut block, self.cursor.home());
        let kind = if kind == FrameKind::Seal { WriteKind::Seal } else { WriteKind::Marker };
        self.start(kind, block, BLOCK_BYTES)
    }

    fn take_control(&mut self) -> AlignedBuffer {
        assert!(self.in_flight.is_empty(), "headers, seals and markers wait until nothing is in flight");
        self.control.take().expect("the control block is back when nothing is in flight")
    }

    fn start(&mut self, kind: WriteKind, buffer: AlignedBuffer, bytes: usize) -> LaneWrite {
        let (segment, offset) = match kind {
            WriteKind::Header => self.cursor.start_header(),
            WriteKind::Seal => self.cursor.start_seal(),
            WriteKind::Frame(_) | WriteKind::Marker => self.cursor.start_frame(bytes),
        };
        let id = self.in_flight.start(InFlightWrite { kind, segment, offset, bytes });
        LaneWrite { id, segment: segment.number, offset, buffer, bytes }
    }

    /// A write that is durable, as is all before it.
    fn commit(&mut self, Done { write, buffer }: Done) {
        let outcome = match write.kind {
            WriteKind::Header => {
                self.control = Some(buffer);
                self.cursor.header_done();
                WriteOutcome::Begun { segment: write.segment.number }
            }
            WriteKind::Seal => {
                self.control = Some(buffer);
                self.cursor.seal_done();
                self.testified_lsn = self.committed_lsn;
                WriteOutcome::Sealed { segment: write.segment.number }
            }
            WriteKind::Marker => {
                self.control = Some(buffer);
                self.cursor.frame_done(write.offset, write.bytes);
                self.testified_lsn = self.committed_lsn;
                self.marker_wanted = false;
                WriteOutcome::Marked { segment: write.segment.number }
            }
            WriteKind::Frame(header) => {
                assert_eq!(header.first_lsn, self.committed_lsn.plus(1), "frames are committed in LSN order");
                self.cursor.frame_done(write.offset, write.bytes);
                self.testified_lsn = header.committed_lsn;
                self.committed_lsn = header.next_lsn().before();
                WriteOutcome::Frame(CommittedFrame::new(buffer, header))
            }
        };
        self.outcomes.push_back(outcome);
    }

    fn fail(&mut self, (write, cause): (InFlightWrite, FailureCause)) {
        let failure = LaneFailure {
            segment: write.segment,
            offset: write.offset,
            bytes: write.bytes,
            cause,
            committed_lsn: self.committed_lsn,
        };
        self.waiting.clear();
        self.in_flight.forget_done();
        self.outcomes.push_back(WriteOutcome::Failed(failure.clone()));
        self.failure = Some(failure);
    }
}
