//! Capturing a log while a server writes it: how much of each segment is to be copied so that the copy is a log of its own
//! that holds everything acknowledged before the capture began.
//!
//! No help of the server is needed, because the log is append-only: what was once part of it never changes. Each lane is
//! cut at the first place without a valid frame, and nothing from there on is copied; a frame that arrives while others
//! are being copied can neither be torn in the copy nor look like damage there. That lanes are cut at slightly different
//! moments does no harm. They depend on each other in two ways only: all lanes of a generation begin before any goes on,
//! for which a generation that is just being opened is left out as a whole; and a retraction that has reached some lanes is
//! completed by recovery.
//!
//! A bad frame is told from one under way by looking twice. Where something written later says that the frame was
//! durable, a second look finds it, since it comes after the testimony was written; or the frame is damaged.
//!
//! Files that the log no longer needs must not be removed while they are being copied; that is what
//! [`Hold`](crate::data_dir::Hold) is for.

use std::io;

use crate::log::covered::Covered;
use crate::log::frame::{FrameError, FrameKind};
use crate::log::generation::LaneEnd;
use crate::log::recovery::reader::SegmentReader;
use crate::log::recovery::survey::{BegunSegment, RequiredEnd, Survey, SurveyedGeneration, contradiction};
use crate::log::recovery::{RecoveryError, SegmentRange};
use crate::log::segment::{SegmentHeader, SegmentId};
use crate::log::storage::LogStorage;
use crate::log::{BLOCK_BYTES, FRAME_BYTES_MAX, Generation, Lsn};
use crate::planted::{self, Bug};
use crate::ring::aligned::AlignedBuffer;
use crate::slot::LaneId;
use crate::time::UnixMicros;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Bytes read at a time.
const READ_BYTES: usize = FRAME_BYTES_MAX;

/// How often a log that seems to contradict itself is looked at again: segments are begun and generations opened between
/// one look and the next, but hardly so many times in a row.
const LOOKS_MAX: usize = 5;

/// How much of a log is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// By lane and number.
    pub segments: Vec<CapturedSegment>,
    /// Where the copy ends, by lane.
    pub lanes: Vec<CapturedLane>,
}

/// A segment to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedSegment {
    /// Its header.
    pub header: SegmentHeader,
    /// How many bytes to copy, from the beginning of the file: whole blocks.
    pub bytes: u64,
}

/// Where a lane is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedLane {
    /// The end of the copy, as a generation opened on it would state it.
    pub end: LaneEnd,
    /// When the last frame before that was queued; `None` if there is none in the lane's last segment.
    pub last_frame: Option<UnixMicros>,
}

impl Capture {
    /// The last generation that is captured; `None` if the log is empty.
    pub fn generation(&self) -> Option<Generation> {
        self.lanes.iter().map(|lane| lane.end.generation).max()
    }

    /// Bytes to be copied.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// Looks at the log in `storage`, which may be written meanwhile, and says how much of it to copy. Of what is `covered`
/// nothing is.
///
/// # Errors
///
/// When the log is damaged or cannot be read.
pub fn capture(storage: &dyn LogStorage, covered: &Covered) -> Result<Capture, RecoveryError> {
    let mut looks = 1;
    loop {
        match look(storage, covered) {
            Err(_) if looks < LOOKS_MAX => looks += 1,
            result => return result,
        }
    }
}

fn look(storage: &dyn LogStorage, covered: &Covered) -> Result<Capture, RecoveryError> {
    let survey = Survey::new(storage, covered)?;
    let mut capture = Capture { segments: Vec::new(), lanes: Vec::new() };
    let Some(any) = survey.lanes.values().flat_map(|lane| &lane.begun).next() else { return Ok(capture) };
    let mut look =
        Look { storage, survey: &survey, reader: SegmentReader::new(storage, any.file, READ_BYTES) };
    let Some(generation) = look.last_opened()? else { return Ok(capture) };
    for (&lane, surveyed) in &survey.lanes {
        let of_later = |segment: &BegunSegment| segment.header.generation > generation;
        let count = surveyed.begun.iter().position(of_later).unwrap_or(surveyed.begun.len());
        if count > 0 {
            look.lane(lane, &surveyed.begun[..count], &mut capture)?;
        }
    }
    Ok(capture)
}

/// One look at the log.
struct Look<'s> {
    storage: &'s dyn LogStorage,
    survey: &'s Survey,
    reader: SegmentReader<'s>,
}

/// How far the frames of a lane's last segment reach.
struct Walked {
    end: u64,
    next_lsn: Lsn,
    last_frame: Option<UnixMicros>,
}

impl Look<'_> {
    /// The last generation whose record all its lanes have. One that is just being opened holds nothing yet that was
    /// acknowledged when the look began.
    fn last_opened(&mut self) -> Result<Option<Generation>, RecoveryError> {
        let generations = self.survey.begun_generations();
        let Some((&last, earlier)) = generations.split_last() else { return Ok(None) };
        let surveyed = self.survey.generations.get(&last);
        let is_in_all = surveyed
            .is_some_and(|it| (0..it.record.lanes).all(|lane| it.found_in.contains_key(&LaneId(lane))));
        if is_in_all {
            return Ok(Some(last));
        }
        if let Some(surveyed) = surveyed
            && let Some(error) = self.lost_record(surveyed)?
        {
            return Err(error);
        }
        for lane in self.survey.lanes.values() {
            let mut of_generation = lane.begun.iter().filter(|segment| segment.header.generation == last);
            let Some(first) = of_generation.next() else { continue };
            let behind = match of_generation.next() {
                Some(second) => Some((second, 0)),
                None => self.second_frame(first)?.map(|offset| (first, offset)),
            };
            if let Some((segment, offset)) = behind {
                // Either lanes got their records after they were looked at, or they have lost them.
                let expected = format!("the record of generation {last} in all its lanes");
                let actual = "what comes behind it, but not the record in every lane".to_owned();
                return Err(contradiction(self.storage, segment.file.id, offset, expected, actual));
            }
        }
        // Whichever generation came before, this one was begun on what recovery found of it.
        Ok(earlier.last().copied())
    }

    /// What is wrong with a generation of which tables hold a part, so that all its lanes had its record, if one of them lacks it now.
    fn lost_record(&mut self, surveyed: &SurveyedGeneration) -> Result<Option<RecoveryError>, RecoveryError> {
        let SurveyedGeneration { record, found_in, .. } = surveyed;
        let Some(covered) = found_in.values().find(|&&id| self.survey.covered.contains(id)) else {
            return Ok(None);
        };
        let lanes = (0..record.lanes).map(LaneId);
        let Some(lane) = lanes.into_iter().find(|lane| !found_in.contains_key(lane)) else { return Ok(None) };
        let id = SegmentId { lane, number: record.first_segment_of(lane) };
        let testimony = format!("the tables hold {covered}, which went on when all lanes had that record");
        let begun = self.survey.lanes.get(&lane).map_or(&[][..], |lane| &lane.begun);
        let Some(segment) = begun.iter().find(|segment| segment.file.id == id) else {
            return Ok(Some(self.survey.unbegun(self.storage, id, &testimony)));
        };
        self.reader.open(segment.file, segment.limit());
        let frame = self.reader.frame(BLOCK, &segment.home)?.map(|frame| frame.header);
        Ok(Some(match frame {
            Err(cause) => self.damage(segment, BLOCK, cause, testimony),
            Ok(header) => {
                let expected = format!("the record of generation {}", record.generation);
                contradiction(self.storage, id, BLOCK, expected, format!("{header:?}"))
            }
        }))
    }

    /// Where a segment has a valid frame behind its first one, whether that is valid or not.
    fn second_frame(&mut self, segment: &BegunSegment) -> Result<Option<u64>, RecoveryError> {
        self.reader.open(segment.file, segment.limit());
        let first = self.reader.frame(BLOCK, &segment.home)?;
        let mut from = BLOCK + first.map_or(BLOCK, |frame| frame.header.frame_bytes() as u64);
        while let Some(offset) = self.reader.first_written(from)? {
            if self.reader.frame(offset, &segment.home)?.is_ok() {
                return Ok(Some(offset));
            }
            from = offset + BLOCK;
        }
        Ok(None)
    }

    /// Captures a lane of which these segments were begun.
    fn lane(
        &mut self,
        lane: LaneId,
        begun: &[BegunSegment],
        capture: &mut Capture,
    ) -> Result<(), RecoveryError> {
        for (at, segment) in begun.iter().enumerate() {
            let required = self.survey.required_end(lane, at);
            if let Some(required) = required.as_ref().filter(|_| at + 1 < begun.len())
                && let Some(behind) = self.bytes_behind(lane, at, required)?
            {
                let bytes = required.end + behind;
                capture.segments.push(CapturedSegment { header: segment.header, bytes });
                continue;
            }
            // Nothing that follows is part of the capture. If the lane was sealed since, that and all behind it is news.
            let walked = self.walk(segment, required.as_ref())?;
            capture.segments.push(CapturedSegment { header: segment.header, bytes: walked.end });
            capture.lanes.push(CapturedLane {
                end: LaneEnd {
                    lane,
                    generation: segment.header.generation,
                    segment: segment.file.id.number,
                    end_offset: walked.end,
                    next_lsn: walked.next_lsn,
                },
                last_frame: walked.last_frame,
            });
            return Ok(());
        }
        unreachable!("the last segment has none behind it, and ends the loop");
    }

    /// How many bytes to copy behind the end of the segment at `at` of `lane`, which went on in the next one: those of its seal, if
    /// that is due and there. `None` if the seal may be on its way.
    ///
    /// A crash leaves a segment without its seal for good; then nothing was written to the next one, which has ended.
    fn bytes_behind(
        &mut self,
        lane: LaneId,
        at: usize,
        required: &RequiredEnd,
    ) -> Result<Option<u64>, RecoveryError> {
        let begun = &self.survey.lanes[&lane].begun;
        let (segment, next) = (&begun[at], &begun[at + 1]);
        if !required.sealed {
            return Ok(Some(0));
        }
        if self.seal_at(segment, required.end)?.is_ok() {
            return Ok(Some(BLOCK));
        }
        let generation = next.header.generation;
        let goes_on = begun.get(at + 2).is_some_and(|later| later.header.generation == generation);
        self.reader.open(next.file, next.limit());
        if !goes_on && self.reader.first_written(BLOCK)?.is_none() {
            let has_ended =
                self.survey.required_end(lane, at + 1).is_some() && !planted::is(Bug::WaitForSeals);
            return Ok(has_ended.then_some(0));
        }
        match self.seal_at(segment, required.end)? {
            Ok(()) => Ok(Some(BLOCK)),
            Err(cause) => Err(self.damage(segment, required.end, cause, required.testimony.clone())),
        }
    }

    fn seal_at(
        &mut self,
        segment: &BegunSegment,
        offset: u64,
    ) -> Result<Result<(), FrameError>, RecoveryError> {
        self.reader.open(segment.file, segment.limit());
        Ok(match self.reader.frame(offset, &segment.home)? {
            Ok(frame) if frame.header.kind == FrameKind::Seal => Ok(()),
            Ok(frame) => Err(FrameError::Inconsistent { header: frame.header }),
            Err(cause) => Err(cause),
        })
    }

    /// Reads the frames of a lane's last segment up to `required`, or else to the first place without one, or to the
    /// seal that it was given since.
    fn walk(
        &mut self,
        segment: &BegunSegment,
        required: Option<&RequiredEnd>,
    ) -> Result<Walked, RecoveryError> {
        let mut walked = Walked { end: BLOCK, next_lsn: segment.header.first_lsn, last_frame: None };
        self.reader.open(segment.file, segment.limit());
        while required.is_none_or(|required| walked.end < required.end) {
            let header = match self.reader.frame(walked.end, &segment.home)? {
                Ok(frame) if frame.header.kind == FrameKind::Seal => {
                    self.check_begun(segment.file.id, walked.end)?;
                    break;
                }
                Ok(frame) => frame.header,
                Err(cause) => match required {
                    Some(RequiredEnd { testimony, .. }) => {
                        return Err(self.damage(segment, walked.end, cause, testimony.clone()));
                    }
                    None => {
                        self.check_end(segment, &walked)?;
                        break;
                    }
                },
            };
            if header.first_lsn != walked.next_lsn {
                let expected = format!("a frame that goes on with record {}", walked.next_lsn);
                let actual = format!("{header:?}");
                return Err(contradiction(self.storage, segment.file.id, walked.end, expected, actual));
            }
            walked.end += header.frame_bytes() as u64;
            walked.next_lsn = header.next_lsn();
            walked.last_frame = Some(header.time);
        }
        if let Some(required) = required
            && (walked.end, walked.next_lsn) != (required.end, required.next_lsn)
        {
            return Err(required.missed(self.storage, segment.file.id, walked.end, walked.next_lsn));
        }
        Ok(walked)
    }

    /// Checks that there is a header behind a seal that was not expected: if the lane has gone on since the log was looked
    /// through, that came first.
    fn check_begun(&self, sealed: SegmentId, seal: u64) -> Result<(), RecoveryError> {
        let next = SegmentId { number: sealed.number.next(), ..sealed };
        let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
        let path = self.storage.path(next);
        let testimony =
            format!("the seal at offset {seal} of {sealed} was written when its header was durable");
        match self.storage.read(next, 0, &mut block) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let segments = SegmentRange { lane: next.lane, first: next.number, last: next.number };
                Err(RecoveryError::Missing { path, segments, testimony })
            }
            Err(source) => Err(RecoveryError::Read { path, offset: 0, source }),
            Ok(_) => match SegmentHeader::decode(&block) {
                Ok(_) => Ok(()),
                Err(cause) => Err(RecoveryError::Header { path, cause, testimony }),
            },
        }
    }

    /// Checks that the place without a valid frame, at which a walk has ended, is not a damaged one: if something behind it
    /// says that there is a durable frame, it must be there by now.
    fn check_end(&mut self, segment: &BegunSegment, walked: &Walked) -> Result<(), RecoveryError> {
        let mut from = walked.end;
        while let Some(offset) = self.reader.first_written(from)? {
            from = offset + BLOCK;
            if offset == walked.end {
                continue;
            }
            let Ok(frame) = self.reader.frame(offset, &segment.home)? else { continue };
            let (committed_end, committed_lsn) = (frame.header.committed_end, frame.header.committed_lsn);
            if committed_end <= walked.end && committed_lsn < walked.next_lsn {
                continue;
            }
            self.reader.open(segment.file, segment.limit());
            return match self.reader.frame(walked.end, &segment.home)? {
                Ok(_) => Ok(()),
                Err(cause) => {
                    let testimony = format!(
                        "the frame at offset {offset} was written when everything before offset {committed_end} was durable"
                    );
                    Err(self.damage(segment, walked.end, cause, testimony))
                }
            };
        }
        Ok(())
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

impl CapturedSegment {
    /// Which segment it is.
    pub fn id(&self) -> SegmentId {
        self.header.id
    }
}
