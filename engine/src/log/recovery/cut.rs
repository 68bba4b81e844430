//! Cutting a log back to an earlier moment, so that what is left is a log of its own.
//!
//! Frames say when they were queued. Each lane is cut before its first frame that is later than the moment: a claim that
//! was acknowledged by then is in a frame before the cut, since it was acknowledged after its frame was queued. A generation of
//! which anything is dropped is the last one that is left, whatever the clock said when a later one was opened; and one whose record is
//! dropped in any lane is dropped in all, since no lane may go on where another one never began.
//!
//! A lane that is cut ends without a seal, as if it had never gone on: a seal that stayed would testify for the segment
//! that is dropped.

use crate::log::covered::{Covered, CoveredEnd};
use crate::log::frame::{FrameHeader, FrameKind};
use crate::log::recovery::reader::SegmentReader;
use crate::log::recovery::survey::{BegunSegment, Survey};
use crate::log::recovery::{RecoveryError, UntrimmedSegment};
use crate::log::segment::SegmentId;
use crate::log::storage::LogStorage;
use crate::log::{BLOCK_BYTES, FRAME_BYTES_MAX, Generation, Lsn};
use crate::slot::LaneId;
use crate::time::UnixMicros;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What a log is to be cut back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutTarget {
    /// All frames that were queued at this time or before.
    Time(UnixMicros),
    /// A lane's frame with this record and what came before it; and of the other lanes all that had been queued when that frame was.
    Record {
        /// The lane.
        lane: LaneId,
        /// The record.
        lsn: Lsn,
    },
}

/// Which parts of a log are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The moment. Frames of this time are left.
    pub time: UnixMicros,
    /// What it means for each lane, by lane.
    pub lanes: Vec<CutLane>,
    /// Segments that end sooner. Nothing is shortened or dropped if nothing is later than the moment.
    pub shortened: Vec<UntrimmedSegment>,
    /// Segments that are dropped.
    pub dropped: Vec<SegmentId>,
}

/// What is left of a lane, and what is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLane {
    /// The lane.
    pub lane: LaneId,
    /// The record that comes next when the lane goes on: those before it are left.
    pub next_lsn: Lsn,
    /// How many records are dropped.
    pub records_dropped: u64,
    /// Bytes of the frames that are dropped.
    pub bytes_dropped: u64,
    /// When the last frame was queued that is left; `None` if none is.
    pub last_kept: Option<UnixMicros>,
    /// When the first frame was queued that is dropped; `None` if none is.
    pub first_dropped: Option<UnixMicros>,
}

/// Why a log cannot be cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The log is damaged or cannot be read.
    #[error(transparent)]
    Log(#[from] RecoveryError),
    /// The record to be cut at is not there.
    #[error("lane {} has no record {lsn}; its records end before {next_lsn}", lane.0)]
    NoRecord {
        /// The lane.
        lane: LaneId,
        /// The record that was asked for.
        lsn: Lsn,
        /// The first record that is not there, 1 if the lane is not.
        next_lsn: Lsn,
    },
    /// Tables have what is to be dropped, or may have it.
    #[error("the tables hold lane {} before its record {next_lsn}, and may hold what came later than the moment: tables cannot be cut", lane.0)]
    Covered {
        /// The lane.
        lane: LaneId,
        /// The first record that they do not hold.
        next_lsn: Lsn,
    },
}

impl Cut {
    /// How many records are dropped in all lanes.
    pub fn records_dropped(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.records_dropped).sum()
    }

    /// Whether the log reaches no further than the moment.
    pub fn drops_nothing(&self) -> bool {
        self.shortened.is_empty() && self.dropped.is_empty()
    }

    /// When the last frame was queued that is left, in any lane.
    pub fn last_kept(&self) -> Option<UnixMicros> {
        self.lanes.iter().filter_map(|lane| lane.last_kept).max()
    }
}

/// Says what to drop of the log in `storage`, which nobody writes, to cut it back to `target`. What is `covered` stays; what goes on behind that may
/// be dropped as a whole, so that the log that is left is as a [copy](Covered::of_copy) that is older than the tables. The log
/// is sound: recovery has said so. Nothing is changed.
///
/// # Errors
///
/// When the log cannot be read, does not have the record that it is to be cut at, or may be covered beyond the moment.
pub fn plan(storage: &dyn LogStorage, covered: &Covered, target: CutTarget) -> Result<Cut, CutError> {
    let survey = Survey::new(storage, covered)?;
    let mut lanes = Vec::new();
    let time = match target {
        CutTarget::Time(time) => time,
        CutTarget::Record { lane, lsn } => time_of_record(storage, &survey, lane, lsn)?,
    };
    if let Some(end) = covered.ends.iter().find(|covered| !ends_by(&survey, covered, time)) {
        return Err(covered_error(end));
    }
    let is_later = |lane: LaneId, frame: &FrameHeader| match target {
        CutTarget::Record { lane: named, lsn } if named == lane => frame.first_lsn > lsn,
        _ => frame.time > time,
    };
    for (&lane, surveyed) in &survey.lanes {
        let mut segments = Vec::with_capacity(surveyed.begun.len());
        for (at, segment) in surveyed.begun.iter().enumerate() {
            let required = survey.required_end(lane, at).map(|required| required.end);
            let begins = survey.begins_generation(lane, at);
            segments.push(look_at(storage, segment, required, begins, &|frame| is_later(lane, frame))?);
        }
        lanes.push((lane, segments));
    }
    let limit = Limit::of(lanes.iter().flat_map(|(_, segments)| segments));
    if let Some(limit) = limit.filter(|limit| limit.is_dropped)
        && let Some(end) = covered.ends.iter().find(|covered| covered.end.generation == limit.last)
    {
        return Err(covered_error(end));
    }
    let mut cut = Cut { time, lanes: Vec::new(), shortened: Vec::new(), dropped: Vec::new() };
    for (lane, segments) in &lanes {
        if !segments.is_empty() {
            cut_lane(*lane, segments, limit, &mut cut);
        }
    }
    Ok(cut)
}

/// Whether all that is covered of a lane had been queued by `time`. The header of whatever came next says so: of the lane's next segment or, where
/// the lane has none, of a later generation. If a lane of that is covered, it is asked for itself.
fn ends_by(survey: &Survey, covered: &CoveredEnd, time: UnixMicros) -> bool {
    let end = &covered.end;
    let next = survey.lanes.get(&end.lane).and_then(|lane| lane.begun.first());
    if let Some(next) = next {
        return next.header.created <= time;
    }
    if survey.covered.ends.iter().any(|other| other.end.generation > end.generation) {
        return true;
    }
    let begun = survey.lanes.values().flat_map(|lane| &lane.begun);
    let later = begun.filter(|segment| segment.header.generation > end.generation);
    later.map(|segment| segment.header.created).min().is_some_and(|created| created <= time)
}

fn covered_error(covered: &CoveredEnd) -> CutError {
    CutError::Covered { lane: covered.end.lane, next_lsn: covered.end.next_lsn }
}

/// What a segment holds.
struct Looked<'s> {
    segment: &'s BegunSegment,
    /// Where its frames end, the seal not counted.
    end: u64,
    next_lsn: Lsn,
    first_frame: Option<UnixMicros>,
    /// The first frame that is too late.
    later: Option<Later>,
    /// The last frame before that.
    last_frame: Option<UnixMicros>,
}

/// A frame that is too late.
#[derive(Clone, Copy)]
struct Later {
    offset: u64,
    first_lsn: Lsn,
    time: UnixMicros,
    /// It is the record of its generation.
    is_generation: bool,
}

/// The generation that is left in part, or as the last one.
#[derive(Clone, Copy)]
struct Limit {
    /// Later ones are dropped.
    last: Generation,
    /// It is dropped, too.
    is_dropped: bool,
}

impl Limit {
    /// The first generation that has anything too late; `None` if none has.
    fn of<'l>(segments: impl Iterator<Item = &'l Looked<'l>>) -> Option<Limit> {
        let too_late = segments.filter_map(|looked| Some((looked.segment.header.generation, looked.later?)));
        too_late.fold(None, |limit: Option<Limit>, (generation, later)| match limit {
            Some(limit) if limit.last < generation => Some(limit),
            Some(limit) if limit.last == generation => {
                Some(Limit { is_dropped: limit.is_dropped || later.is_generation, ..limit })
            }
            _ => Some(Limit { last: generation, is_dropped: later.is_generation }),
        })
    }

    /// Where a segment is cut: nothing of it is left if that is where its frames begin. `None` if it is left whole.
    fn cut_of(self, looked: &Looked<'_>) -> Option<Later> {
        let generation = looked.segment.header.generation;
        if generation < self.last {
            return None;
        }
        if generation == self.last && !self.is_dropped {
            return looked.later;
        }
        Some(Later {
            offset: BLOCK,
            first_lsn: looked.segment.header.first_lsn,
            time: looked.first_frame.unwrap_or(looked.segment.header.created),
            is_generation: false,
        })
    }
}

/// Reads the frames of a segment up to where they end.
fn look_at<'s>(
    storage: &dyn LogStorage,
    segment: &'s BegunSegment,
    required_end: Option<u64>,
    begins_generation: bool,
    is_later: &dyn Fn(&FrameHeader) -> bool,
) -> Result<Looked<'s>, RecoveryError> {
    let mut looked = Looked {
        segment,
        end: BLOCK,
        next_lsn: segment.header.first_lsn,
        first_frame: None,
        later: None,
        last_frame: None,
    };
    each_frame(storage, segment, required_end, &mut |offset, frame| {
        looked.first_frame = looked.first_frame.or(Some(frame.time));
        if looked.later.is_none() {
            if is_later(frame) {
                let is_generation = begins_generation && offset == BLOCK;
                let (first_lsn, time) = (frame.first_lsn, frame.time);
                looked.later = Some(Later { offset, first_lsn, time, is_generation });
            } else {
                looked.last_frame = Some(frame.time);
            }
        }
        looked.end = offset + frame.frame_bytes() as u64;
        looked.next_lsn = frame.next_lsn();
    })?;
    Ok(looked)
}

fn cut_lane(lane: LaneId, segments: &[Looked<'_>], limit: Option<Limit>, cut: &mut Cut) {
    let whole_next_lsn = segments.last().expect("a lane has segments").next_lsn;
    let mut left = CutLane {
        lane,
        next_lsn: whole_next_lsn,
        records_dropped: 0,
        bytes_dropped: 0,
        last_kept: None,
        first_dropped: None,
    };
    for (at, looked) in segments.iter().enumerate() {
        let id = looked.segment.file.id;
        let Some(later) = limit.and_then(|limit| limit.cut_of(looked)) else {
            left.last_kept = looked.last_frame.or(left.last_kept);
            continue;
        };
        left.next_lsn = later.first_lsn;
        left.records_dropped = whole_next_lsn.0 - later.first_lsn.0;
        left.first_dropped = Some(later.time);
        left.bytes_dropped = looked.end - later.offset;
        left.bytes_dropped += segments[at + 1..].iter().map(|later| later.end - BLOCK).sum::<u64>();
        if later.offset > BLOCK {
            left.last_kept = looked.last_frame.or(left.last_kept);
            cut.shortened.push(UntrimmedSegment { segment: id, end_offset: later.offset });
        } else {
            cut.dropped.push(id);
            if let Some(before) = at.checked_sub(1).map(|before| &segments[before]) {
                let segment = before.segment.file.id;
                cut.shortened.push(UntrimmedSegment { segment, end_offset: before.end });
            }
        }
        cut.dropped.extend(segments[at + 1..].iter().map(|later| later.segment.file.id));
        break;
    }
    cut.lanes.push(left);
}

/// When the frame was queued that holds a record.
fn time_of_record(
    storage: &dyn LogStorage,
    survey: &Survey,
    lane: LaneId,
    lsn: Lsn,
) -> Result<UnixMicros, CutError> {
    let covered = survey.covered.end_of(lane);
    if let Some(covered) = covered.filter(|covered| lsn < covered.end.next_lsn) {
        return Err(covered_error(covered));
    }
    let begun = survey.lanes.get(&lane).map_or(&[][..], |lane| &lane.begun);
    let mut next_lsn = covered.map_or(Lsn::FIRST, |covered| covered.end.next_lsn);
    let mut found = None;
    for (at, segment) in begun.iter().enumerate() {
        let required = survey.required_end(lane, at).map(|required| required.end);
        each_frame(storage, segment, required, &mut |_, frame| {
            if (frame.first_lsn..frame.next_lsn()).contains(&lsn) {
                found = Some(frame.time);
            }
            next_lsn = frame.next_lsn();
        })?;
    }
    found.ok_or(CutError::NoRecord { lane, lsn, next_lsn })
}

/// Shows all frames of a segment but its seal.
fn each_frame(
    storage: &dyn LogStorage,
    segment: &BegunSegment,
    required_end: Option<u64>,
    visit: &mut dyn FnMut(u64, &FrameHeader),
) -> Result<(), RecoveryError> {
    let mut reader = SegmentReader::new(storage, segment.file, FRAME_BYTES_MAX);
    reader.open(segment.file, segment.limit());
    let mut offset = BLOCK;
    while required_end.is_none_or(|end| offset < end) {
        let Ok(frame) = reader.frame(offset, &segment.home)? else { break };
        if frame.header.kind == FrameKind::Seal {
            break;
        }
        visit(offset, &frame.header);
        offset += frame.header.frame_bytes() as u64;
    }
    Ok(())
}
