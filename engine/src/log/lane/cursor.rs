//! Where in its segments a lane writes, and how it goes from one to the next.

use crate::log::frame::FrameHome;
use crate::log::lane::{LaneConfig, LaneStart};
use crate::log::segment::{SegmentHeader, SegmentId};
use crate::log::{BLOCK_BYTES, Generation, Lsn, SegmentNumber};
use crate::slot::LaneId;
use crate::time::UnixMicros;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What is to be written next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The header of the next segment, which may not be ready yet.
    Beginning,
    /// Nothing, until that header is durable.
    HeaderInFlight,
    /// The seal of the segment that is full.
    Sealing,
    /// Nothing, until the seal is durable.
    SealInFlight,
    /// Frames.
    Filling,
}

/// A segment whose header is durable, or on its way.
#[derive(Debug)]
struct BegunSegment {
    home: FrameHome,
    /// Where the next frame goes.
    end: u64,
    /// Up to here all is durable.
    durable_end: u64,
}

/// The lane's place in its segments.
#[derive(Debug)]
pub(super) struct Cursor {
    lane: LaneId,
    generation: Generation,
    segment_bytes: u64,
    stage: Stage,
    /// The segment that takes frames, or the one to be sealed.
    current: Option<BegunSegment>,
    /// The segment after it, while the lane goes over to it.
    next: Option<BegunSegment>,
    /// The segment to begin next.
    next_number: SegmentNumber,
    /// Whether `next_number` is prepared.
    next_ready: bool,
    /// Where the segment before the first one of this generation ends.
    previous_end: u64,
}

impl Cursor {
    pub(super) fn new(config: &LaneConfig, start: LaneStart) -> Cursor {
        Cursor {
            lane: config.lane,
            generation: config.generation,
            segment_bytes: config.segment_bytes,
            stage: Stage::Beginning,
            current: None,
            next: None,
            next_number: start.next_segment,
            next_ready: false,
            previous_end: start.previous_end,
        }
    }

    pub(super) fn ready(&mut self, number: SegmentNumber) {
        assert_eq!(number, self.next_number, "segments become ready in their order");
        self.next_ready = true;
    }

    /// Leaves the current segment, since the next frame does not fit into it.
    pub(super) fn roll(&mut self) {
        assert_eq!(self.stage, Stage::Filling);
        self.stage = Stage::Beginning;
    }

    /// Takes up the current segment again, since there is no next one: what is short may still fit, and a marker does.
    pub(super) fn unroll(&mut self) {
        assert!(self.stage == Stage::Beginning && !self.next_ready);
        if self.current.is_some() {
            self.stage = Stage::Filling;
        }
    }

    /// Writes the next segment's header to `block`. All of the current segment is durable.
    pub(super) fn begin(&mut self, first_lsn: Lsn, created: UnixMicros, block: &mut [u8]) {
        assert!(self.stage == Stage::Beginning && self.next_ready);
        let previous_end = match &self.current {
            None => self.previous_end,
            Some(segment) => {
                assert_eq!(segment.end, segment.durable_end, "a segment is left when all of it is durable");
                segment.end
            }
        };
        let header = SegmentHeader {
            id: SegmentId { lane: self.lane, number: self.next_number },
            generation: self.generation,
            first_lsn,
            previous_end,
            segment_bytes: self.segment_bytes,
            created,
        };
        let checksum = header.encode(block);
        self.next =
            Some(BegunSegment { home: FrameHome::new(&header, checksum), end: BLOCK, durable_end: BLOCK });
        self.next_number = self.next_number.next();
        self.next_ready = false;
    }

    pub(super) fn start_header(&mut self) -> (SegmentId, u64) {
        self.stage = Stage::HeaderInFlight;
        (self.next.as_ref().expect("the header was made").home.segment, 0)
    }

    pub(super) fn header_done(&mut self) {
        assert_eq!(self.stage, Stage::HeaderInFlight);
        if self.current.is_some() {
            self.stage = Stage::Sealing;
        } else {
            self.current = self.next.take();
            self.stage = Stage::Filling;
        }
    }

    pub(super) fn start_seal(&mut self) -> (SegmentId, u64) {
        self.stage = Stage::SealInFlight;
        self.start_frame(BLOCK_BYTES)
    }

    pub(super) fn seal_done(&mut self) {
        assert_eq!(self.stage, Stage::SealInFlight);
        self.current = self.next.take();
        self.stage = Stage::Filling;
    }

    /// Gives the next `bytes` of the segment to a frame.
    pub(super) fn start_frame(&mut self, bytes: usize) -> (SegmentId, u64) {
        let segment = self.current.as_mut().expect("frames are started in a begun segment");
        let offset = segment.end;
        segment.end += bytes as u64;
        assert!(segment.end <= self.segment_bytes, "room was asked for before");
        (segment.home.segment, offset)
    }

    /// The frame at `offset` is durable, and all before it.
    pub(super) fn frame_done(&mut self, offset: u64, bytes: usize) {
        let segment = self.current.as_mut().expect("a segment is left only when its frames are durable");
        assert_eq!(segment.durable_end, offset, "frames become durable in their order");
        segment.durable_end += bytes as u64;
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether a frame of records fits, and still a marker and a seal after it.
    pub(super) fn has_room(&self, frame_bytes: usize) -> bool {
        let segment = self.current.as_ref().expect("room is asked for in a begun segment");
        segment.end + frame_bytes as u64 + 2 * BLOCK <= self.segment_bytes
    }

    /// Whether the current segment is taking frames and these bytes fit into it.
    pub(super) fn takes(&self, frame_bytes: usize) -> bool {
        self.stage == Stage::Filling && self.has_room(frame_bytes)
    }

    pub(super) fn home(&self) -> &FrameHome {
        &self.current.as_ref().expect("frames are made in a begun segment").home
    }

    pub(super) fn durable_end(&self) -> u64 {
        self.current.as_ref().expect("frames are made in a begun segment").durable_end
    }

    /// The segment that takes frames, or whose seal is not durable yet.
    pub(super) fn writing(&self) -> Option<SegmentNumber> {
        self.current.as_ref().map(|current| current.home.segment.number)
    }

    /// The segment that has to be prepared.
    pub(super) fn wanted(&self) -> Option<SegmentNumber> {
        (!self.next_ready).then_some(self.next_number)
    }

    /// The segment that has to be begun before anything else can be written, if it is not prepared.
    pub(super) fn missing(&self) -> Option<SegmentNumber> {
        self.wanted().filter(|_| self.stage == Stage::Beginning)
    }
}
