//! The second pass of recovery: reads every frame, finds the lanes' ends, and hands out the records.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::log::covered::{Covered, CoveredEnd};
use crate::log::frame::{Frame, FrameError, FrameHeader, FrameKind};
use crate::log::generation::{GenerationRecord, LaneEnd};
use crate::log::recovery::reader::SegmentReader;
use crate::log::recovery::sink::{FramePlace, RecordSink};
use crate::log::recovery::survey::{BegunSegment, RequiredEnd, Survey, SurveyedLane, contradiction};
use crate::log::recovery::{
    DroppedTail, LostSegments, READ_BYTES, Recovered, RecoveryError, SegmentRange, UntrimmedSegment,
};
use crate::log::segment::SegmentId;
use crate::log::storage::{LogStorage, SegmentFile};
use crate::log::{BLOCK_BYTES, Generation, Lsn, SegmentNumber};
use crate::planted::{self, Bug};
use crate::slot::LaneId;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// The second pass, generation by generation.
pub(super) struct Replay<'s, 'v> {
    storage: &'s dyn LogStorage,
    survey: &'s Survey,
    reader: SegmentReader<'s>,
    sink: RecordSink<'v>,
    /// The record of the generation that was read last, if that has one.
    generation: Option<GenerationRecord>,
    ends: BTreeMap<LaneId, LaneEnd>,
    tails_dropped: Vec<DroppedTail>,
    untrimmed: Vec<UntrimmedSegment>,
    lost: Vec<LostSegments>,
    bytes: u64,
}

/// How far a segment's frames reach.
struct Walked {
    end: u64,
    next_lsn: Lsn,
    /// Where the first frame is that is not the record of its generation.
    second_frame: Option<u64>,
}

impl<'s, 'v> Replay<'s, 'v> {
    pub(super) fn new(
        storage: &'s dyn LogStorage,
        survey: &'s Survey,
        sink: RecordSink<'v>,
    ) -> Replay<'s, 'v> {
        let unopened =
            SegmentFile { id: SegmentId { lane: LaneId(0), number: SegmentNumber::FIRST }, bytes: 0 };
        Replay {
            storage,
            survey,
            reader: SegmentReader::new(storage, unopened, READ_BYTES),
            sink,
            generation: survey.covered.generation.clone(),
            ends: survey.covered.ends.iter().map(|covered| (covered.end.lane, covered.end)).collect(),
            tails_dropped: Vec::new(),
            untrimmed: Vec::new(),
            lost: Vec::new(),
            bytes: 0,
        }
    }

    /// What was found to be lost of what was read.
    pub(super) fn take_lost(&mut self) -> Vec<LostSegments> {
        std::mem::take(&mut self.lost)
    }

    /// Reads all segments of a generation. Generations come in their order.
    pub(super) fn generation(&mut self, generation: Generation) -> Result<(), RecoveryError> {
        self.begin_generation(generation);
        let mut second_frame = None;
        for surveyed in self.survey.lanes.values() {
            let of_generation = of_generation(surveyed, generation);
            for at in of_generation.clone() {
                let segment = &surveyed.begun[at];
                let walked = self.walk(segment, at)?;
                // A lane goes on to another segment when it has no room in the one before, and so after the first frame.
                let goes_on = !segment.is_lost && !self.is_first(segment, at);
                let behind = walked.second_frame.or(goes_on.then_some(0));
                second_frame = second_frame.or(behind.map(|offset| (segment.file.id, offset)));
                if at == of_generation.end - 1 && segment.file.bytes > walked.end && !segment.is_lost {
                    self.untrimmed
                        .push(UntrimmedSegment { segment: segment.file.id, end_offset: walked.end });
                }
            }
        }
        match second_frame {
            Some((segment, offset)) => self.check_opened(generation, segment, offset),
            None => Ok(()),
        }
    }

    /// Reads those segments of a generation whose ends are stated by what was written later, until about `bytes_max` were
    /// read in all. Generations come in their order. Gives whether all of the generation has been read.
    pub(super) fn ended_segments(
        &mut self,
        generation: Generation,
        bytes_max: u64,
    ) -> Result<bool, RecoveryError> {
        let mut is_all = true;
        let mut lanes: Vec<_> = self.survey.lanes.iter().collect();
        // The lane that is furthest behind comes first: one that never rests would keep the others from their turn.
        lanes.sort_by_key(|(_, surveyed)| Reverse(of_generation(surveyed, generation).len()));
        for (&lane, surveyed) in lanes {
            for at in of_generation(surveyed, generation) {
                let has_ended =
                    self.survey.required_end(lane, at).is_some() || planted::is(Bug::CoverTooMuch);
                if self.bytes >= bytes_max || !has_ended {
                    is_all = false;
                    break;
                }
                // Not before something of it is read: what is covered names the latest generation of which something is.
                self.begin_generation(generation);
                self.walk(&surveyed.begun[at], at)?;
            }
        }
        Ok(is_all)
    }

    /// What is covered when all that was read is.
    pub(super) fn into_covered(self) -> Covered {
        let continues = |end: &LaneEnd| {
            let begun = self.survey.lanes.get(&end.lane).and_then(|lane| lane.begun.last());
            begun.is_some_and(|last| last.file.id.number > end.segment)
        };
        let mut ends: Vec<_> =
            self.ends.values().map(|end| CoveredEnd { end: *end, continues: continues(end) }).collect();
        let lanes = self.generation.as_ref().map(|record| record.lanes);
        if planted::is(Bug::CoverTooFar) {
            ends.iter_mut().for_each(|covered| covered.end.end_offset += BLOCK);
        }
        let mut retractions = self.sink.retractions.into_covered(lanes);
        if planted::is(Bug::CoverRetractions) {
            retractions.clear();
        }
        Covered { ends, generation: self.generation, retractions }
    }

    pub(super) fn finish(mut self) -> Recovered {
        self.end_generation();
        let covered = &self.survey.covered;
        let begun = self.survey.begun_generations().pop();
        let last = begun.max(covered.ends.iter().map(|covered| covered.end.generation).max());
        // Also where the log is a copy from before that one: what was opened once is not opened again with another record.
        let last = last.max(covered.generation.as_ref().map(|record| record.generation));
        let unbegun = || self.survey.lanes.values().flat_map(|lane| &lane.unbegun);
        let ended = |lane: &LaneEnd| SegmentId { lane: lane.lane, number: lane.segment };
        Recovered {
            next_generation: last.map_or(Generation::FIRST, Generation::next),
            covered: self.ends.values().map(ended).filter(|segment| covered.contains(*segment)).collect(),
            lane_ends: self.ends.into_values().collect(),
            generations: self.survey.generation_records(),
            tails_dropped: self.tails_dropped,
            records: self.sink.records,
            bytes: self.bytes,
            unfinished_retractions: self.sink.retractions.into_unfinished(),
            prepared: unbegun()
                .filter(|segment| segment.torn.is_none())
                .map(|segment| segment.file)
                .collect(),
            abandoned: unbegun()
                .filter(|segment| segment.torn.is_some())
                .map(|segment| segment.file)
                .collect(),
            untrimmed: self.untrimmed,
        }
    }

    /// Whether the segment at `at` of its lane is the first one of its generation there.
    fn is_first(&self, segment: &BegunSegment, at: usize) -> bool {
        let SegmentId { lane, number } = segment.file.id;
        // What is lost before it may be taken for a part of its generation; the record knows better.
        let surveyed = self.survey.generations.get(&segment.header.generation);
        self.survey.begins_generation(lane, at)
            || surveyed.is_some_and(|surveyed| surveyed.record.first_segment_of(lane) == number)
    }

    /// Goes over to a generation, unless it is the one already.
    fn begin_generation(&mut self, generation: Generation) {
        let is_new = |record: &GenerationRecord| record.generation < generation;
        if self.generation.as_ref().is_some_and(is_new) {
            self.end_generation();
        }
        if self.generation.is_none() {
            self.generation =
                self.survey.generations.get(&generation).map(|surveyed| surveyed.record.clone());
        }
    }

    fn end_generation(&mut self) {
        if let Some(record) = self.generation.take() {
            self.sink.retractions.end_generation(record.lanes);
        }
    }

    /// Reads the begun segment at `at` of its lane, and notes where it ends.
    fn walk(&mut self, segment: &BegunSegment, at: usize) -> Result<Walked, RecoveryError> {
        let SegmentId { lane, number } = segment.file.id;
        if segment.is_lost {
            return Ok(self.pass_over(segment, at));
        }
        let required = self.survey.required_end(lane, at);
        let lost_next = self.lost_next(lane, at);
        let walked = self.segment(segment, required, lost_next, self.survey.begins_generation(lane, at))?;
        let end = LaneEnd {
            lane,
            generation: segment.header.generation,
            segment: number,
            end_offset: walked.end,
            next_lsn: walked.next_lsn,
        };
        self.ends.insert(lane, end);
        Ok(walked)
    }

    /// Goes on behind a segment that is gone, as far as it is known where that is.
    fn pass_over(&mut self, segment: &BegunSegment, at: usize) -> Walked {
        let SegmentId { lane, number } = segment.file.id;
        let begun = &self.survey.lanes[&lane].begun;
        let next = begun.get(at + 1).filter(|next| !next.is_lost);
        let before = self.ends.get(&lane);
        let first_lsn = before.map_or(Lsn::FIRST, |end| end.next_lsn);
        let stated = self.survey.end_stated(lane, number);
        let (end, next_lsn) = match (next, stated) {
            (Some(next), _) => (next.header.previous_end, Some(next.header.first_lsn)),
            (None, Some((_, end))) => (end.end_offset, Some(end.next_lsn)),
            (None, None) => (BLOCK, None),
        };
        let following = next.map(|next| next.header.created).or(stated.map(|(record, _)| record.opened));
        let follows = |lost: &LostSegments| lost.segments.lane == lane && lost.segments.last.next() == number;
        match self.lost.last_mut().filter(|lost| follows(lost)) {
            Some(lost) => {
                (lost.segments.last, lost.next_lsn, lost.before) = (number, next_lsn, following);
            }
            None => self.lost.push(LostSegments {
                segments: SegmentRange { lane, first: number, last: number },
                first_lsn,
                next_lsn,
                after: at.checked_sub(1).map(|before| begun[before].header.created),
                before: following,
            }),
        }
        let next_lsn = next_lsn.unwrap_or(first_lsn);
        // What a record states later starts hold it to.
        let generation = stated.map_or(segment.header.generation, |(_, end)| end.generation);
        self.ends.insert(lane, LaneEnd { lane, generation, segment: number, end_offset: end, next_lsn });
        Walked { end, next_lsn, second_frame: None }
    }

    /// Whether the segment behind the one at `at` of its lane is gone, and whether that was begun within the same generation.
    fn lost_next(&self, lane: LaneId, at: usize) -> Option<bool> {
        let begun = &self.survey.lanes[&lane].begun;
        let next = begun.get(at + 1).filter(|next| next.is_lost)?;
        // Only a later segment says so for certain: of what is lost the generation is not known otherwise.
        let generation = begun[at].header.generation;
        let later = begun[at + 1..].iter().find(|later| !later.is_lost);
        Some(
            next.header.generation == generation
                && later.is_some_and(|later| later.header.generation == generation),
        )
    }

    /// Reads the frames of a segment up to where they must end or, if nothing says where, to where they do.
    fn segment(
        &mut self,
        segment: &BegunSegment,
        required: Option<RequiredEnd>,
        lost_next: Option<bool>,
        begins_generation: bool,
    ) -> Result<Walked, RecoveryError> {
        let mut walked = Walked { end: BLOCK, next_lsn: segment.header.first_lsn, second_frame: None };
        self.reader.open(segment.file, segment.limit());
        while required.as_ref().is_none_or(|required| walked.end < required.end) {
            let frame = match self.reader.frame(walked.end, &segment.home)? {
                Ok(frame) => frame,
                Err(cause) => match required.filter(|_| !planted::is(Bug::ForgiveDamage)) {
                    Some(required) => {
                        return Err(self.damage(segment, walked.end, cause, required.testimony));
                    }
                    None if lost_next == Some(true) => {
                        let testimony =
                            "the lane went on behind it, for which its seal must be durable".to_owned();
                        return Err(self.damage(segment, walked.end, cause, testimony));
                    }
                    None => {
                        self.tail(segment, &walked, cause)?;
                        return Ok(walked);
                    }
                },
            };
            let header = frame.header;
            check_frame(self.storage, segment, &walked, &frame)?;
            if header.kind == FrameKind::Seal && required.is_none() && lost_next.is_some() {
                self.bytes += BLOCK;
                return Ok(walked);
            }
            if header.kind == FrameKind::Seal {
                return Err(self.sealed(segment, walked.end, required.is_some()));
            }
            if walked.end > BLOCK || !begins_generation {
                walked.second_frame = walked.second_frame.or(Some(walked.end));
                let surveyed = self.survey.generations.get(&segment.header.generation);
                let lanes = surveyed.expect("it is behind the record of the generation").record.lanes;
                self.sink
                    .give(frame, &FramePlace { storage: self.storage, segment, offset: walked.end, lanes })?;
            }
            walked.end += header.frame_bytes() as u64;
            walked.next_lsn = header.next_lsn();
            self.bytes += header.frame_bytes() as u64;
        }
        let required = required.expect("only a required end ends the loop");
        if (walked.end, walked.next_lsn) != (required.end, required.next_lsn) {
            return Err(required.missed(self.storage, segment.file.id, walked.end, walked.next_lsn));
        }
        if required.sealed {
            self.seal(segment, &walked)?;
        }
        Ok(walked)
    }

    /// Looks at the seal that is due at the end of a segment which the lane left for the next one.
    ///
    /// It may be missing only if nothing was written to the next segment, whose header is durable before the seal is.
    fn seal(&mut self, segment: &BegunSegment, walked: &Walked) -> Result<(), RecoveryError> {
        let cause = match self.reader.frame(walked.end, &segment.home)? {
            Ok(frame) => {
                check_frame(self.storage, segment, walked, &frame)?;
                if frame.header.kind == FrameKind::Seal {
                    self.bytes += BLOCK;
                    return Ok(());
                }
                let actual = format!("a frame of records from {} on", frame.header.first_lsn);
                let expected = "the seal of the segment".to_owned();
                return Err(contradiction(self.storage, segment.file.id, walked.end, expected, actual));
            }
            Err(cause) => cause,
        };
        let next = segment.file.id.number.next();
        let begun = &self.survey.lanes[&segment.file.id.lane].begun;
        let of_generation = begun.iter().filter(|other| other.header.generation == segment.header.generation);
        let mut later = of_generation.skip_while(|other| other.file.id.number < next);
        let next = later.next().expect("the next segment's header says where this one ends");
        let next_but_one = later.next();
        self.reader.open(next.file, next.limit());
        if next_but_one.is_none() && self.reader.first_written(BLOCK)?.is_none() {
            return Ok(());
        }
        let testimony =
            format!("{} was written to, for which the seal of this segment must be durable", next.file.id);
        Err(self.damage(segment, walked.end, cause, testimony))
    }

    /// Where nothing says that the lane went on: looks behind `walked.end`, where `cause` is instead of a frame,
    /// whether a frame was written when that was durable. If not, the lane ends here.
    fn tail(
        &mut self,
        segment: &BegunSegment,
        walked: &Walked,
        cause: FrameError,
    ) -> Result<(), RecoveryError> {
        let mut written_end = walked.end;
        while let Some(offset) = self.reader.first_written(written_end)? {
            written_end = offset + BLOCK;
            if offset == walked.end {
                continue;
            }
            let Ok(frame) = self.reader.frame(offset, &segment.home)? else { continue };
            let FrameHeader { committed_end, committed_lsn, .. } = frame.header;
            let testifies = committed_end > walked.end || committed_lsn >= walked.next_lsn;
            if testifies && !planted::is(Bug::ForgiveDamage) {
                let testimony = format!(
                    "the frame at offset {offset} was written when everything before offset {committed_end} was durable"
                );
                return Err(self.damage(segment, walked.end, cause, testimony));
            }
        }
        let written_end = written_end.min(segment.limit());
        if written_end > walked.end {
            self.tails_dropped.push(DroppedTail {
                path: self.storage.path(segment.file.id),
                offset: walked.end,
                bytes: written_end - walked.end,
                reason: cause.to_string(),
            });
        }
        Ok(())
    }

    /// Checks that a generation, of which there is something behind its record, has that record in all its lanes.
    fn check_opened(
        &mut self,
        generation: Generation,
        segment: SegmentId,
        offset: u64,
    ) -> Result<(), RecoveryError> {
        let witness =
            if offset < BLOCK { "the header".to_owned() } else { format!("the frame at offset {offset}") };
        let testimony = format!(
            "{witness} of {segment} was written when all lanes of generation {generation} had its record"
        );
        let Some(surveyed) = self.survey.generations.get(&generation) else {
            return Err(self.unrecorded_in(segment.lane, generation, testimony)?);
        };
        let mut lanes = (0..surveyed.record.lanes).map(LaneId);
        let is_missed = |lane: &LaneId| {
            !surveyed.found_in.contains_key(lane) && !self.survey.has_lost_beginning(surveyed, *lane)
        };
        let Some(lane) = lanes.find(is_missed).filter(|_| !planted::is(Bug::TakeGoneForEmpty)) else {
            return Ok(());
        };
        let id = SegmentId { lane, number: surveyed.record.first_segment_of(lane) };
        let begun = self.survey.lanes.get(&lane).map_or(&[][..], |lane| &lane.begun);
        let Some(first) = begun.iter().find(|segment| segment.file.id == id) else {
            return Err(self.survey.unbegun(self.storage, id, &testimony));
        };
        Err(self.unrecorded(first, testimony)?)
    }

    /// Checks that each generation in which a lane has gone on to another segment has its record in some lane: without it nothing states
    /// where the lanes ended before.
    pub(super) fn check_recorded(&mut self) -> Result<(), RecoveryError> {
        for (&lane, surveyed) in &self.survey.lanes {
            for (at, segment) in surveyed.begun.iter().enumerate() {
                let generation = segment.header.generation;
                let is_recorded = self.survey.generations.contains_key(&generation);
                if !is_recorded && !self.survey.begins_generation(lane, at) {
                    self.check_opened(generation, segment.file.id, 0)?;
                }
            }
        }
        Ok(())
    }

    /// Checks that the segments that lanes write to have their headers, and their generation its record in some lane: without these nothing states
    /// where the segments before them end.
    pub(super) fn check_written(
        &mut self,
        writing: &BTreeMap<LaneId, SegmentNumber>,
    ) -> Result<(), RecoveryError> {
        for (&lane, &number) in writing {
            let id = SegmentId { lane, number };
            let Some(segment) = self.survey.begun(id) else {
                return Err(self.survey.unbegun(self.storage, id, "its lane writes to it"));
            };
            let generation = segment.header.generation;
            if !self.survey.generations.contains_key(&generation) {
                let testimony = format!("{id} is written to, and was not before all lanes had the record");
                return Err(self.unrecorded_in(lane, generation, testimony)?);
            }
        }
        Ok(())
    }

    /// The error for the first segment of a generation in a lane, where no lane has the record.
    fn unrecorded_in(
        &mut self,
        lane: LaneId,
        generation: Generation,
        testimony: String,
    ) -> Result<RecoveryError, RecoveryError> {
        let lane = &self.survey.lanes[&lane];
        self.unrecorded(&lane.begun[of_generation(lane, generation).start], testimony)
    }

    /// The error for the first segment of a generation that does not begin with the record, as it must.
    fn unrecorded(
        &mut self,
        first: &BegunSegment,
        testimony: String,
    ) -> Result<RecoveryError, RecoveryError> {
        self.reader.open(first.file, first.limit());
        let cause = self.reader.frame(BLOCK, &first.home)?.err();
        Ok(match cause {
            Some(cause) => self.damage(first, BLOCK, cause, testimony),
            None => {
                let expected = format!("the record of generation {}: {testimony}", first.header.generation);
                contradiction(self.storage, first.file.id, BLOCK, expected, "another frame".to_owned())
            }
        })
    }

    /// The error for a seal in a segment behind which the lane did not go on.
    fn sealed(&self, segment: &BegunSegment, offset: u64, ends_elsewhere: bool) -> RecoveryError {
        let id = segment.file.id;
        if ends_elsewhere {
            let actual = "a seal, as if the lane went on in the next segment".to_owned();
            return contradiction(self.storage, id, offset, "the end of the lane".to_owned(), actual);
        }
        let testimony =
            format!("the seal at offset {offset} of {id} was written when its header was durable");
        self.survey.unbegun(self.storage, SegmentId { number: id.number.next(), ..id }, &testimony)
    }

    fn damage(
        &self,
        segment: &BegunSegment,
        offset: u64,
        cause: FrameError,
        testimony: String,
    ) -> RecoveryError {
        let path = self.storage.path(segment.file.id);
        RecoveryError::Frame { path, offset, cause: Box::new(cause), testimony }
    }
}

/// Which begun segments of a lane are of a generation.
fn of_generation(lane: &SurveyedLane, generation: Generation) -> Range<usize> {
    let first = lane.begun.partition_point(|segment| segment.header.generation < generation);
    let end = lane.begun.partition_point(|segment| segment.header.generation <= generation);
    first..end
}

/// Checks that a valid frame is the one that comes next in its segment.
fn check_frame(
    storage: &dyn LogStorage,
    segment: &BegunSegment,
    walked: &Walked,
    frame: &Frame<'_>,
) -> Result<(), RecoveryError> {
    let header = &frame.header;
    let testifies = (BLOCK..=walked.end).contains(&header.committed_end);
    if (header.first_lsn == walked.next_lsn && testifies) || planted::is(Bug::AcceptStrayFrames) {
        return Ok(());
    }
    let expected = format!("a frame that goes on with record {}", walked.next_lsn);
    Err(contradiction(storage, segment.file.id, walked.end, expected, format!("{header:?}")))
}
