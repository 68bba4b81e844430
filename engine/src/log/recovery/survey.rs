//! The first pass of recovery: which segments there are, and what they say about each other.
//!
//! Reads the beginning of every segment only. What comes out is consistent: the begun segments of a lane are numbered
//! without gap, each begins where the one before it ends, and everything that a generation's record names is there.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::log::covered::{Covered, CoveredEnd};
use crate::log::frame::{FrameHome, FrameKind};
use crate::log::generation::{GenerationRecord, LaneEnd};
use crate::log::record::RecordKind;
use crate::log::recovery::reader::{SegmentReader, is_zero};
use crate::log::recovery::{RecoveryError, SegmentRange};
use crate::log::segment::{SegmentHeader, SegmentHeaderError, SegmentId};
use crate::log::storage::{LogStorage, SegmentFile};
use crate::log::{BLOCK_BYTES, Generation, Lsn, SEGMENT_BYTES_LEAST, SegmentNumber};
use crate::planted::{self, Bug};
use crate::slot::LaneId;
use crate::time::UnixMicros;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// The length of what stands for a segment that is gone: no file that a segment's name is given to is as long.
const LOST_BYTES: u64 = u64::MAX;

/// Bytes read of a segment to learn what it is: its header and, as a rule, the record of its generation.
const GLANCE_BYTES: usize = 64 * 1024;

/// A segment with a valid header.
#[derive(Debug, Clone, Copy)]
pub(super) struct BegunSegment {
    pub(super) file: SegmentFile,
    pub(super) header: SegmentHeader,
    pub(super) home: FrameHome,
    /// Whether it is gone. Then its header is made up, and says nothing but its place and generation.
    pub(super) is_lost: bool,
}

impl BegunSegment {
    /// Stands for a segment that is gone, of a lane that had come to `generation` before it.
    fn lost(id: SegmentId, generation: Generation) -> BegunSegment {
        let header = SegmentHeader {
            id,
            generation,
            first_lsn: Lsn::FIRST,
            previous_end: BLOCK,
            segment_bytes: SEGMENT_BYTES_LEAST,
            created: UnixMicros(0),
        };
        let file = SegmentFile { id, bytes: LOST_BYTES };
        BegunSegment { file, header, home: FrameHome::new(&header, 0), is_lost: true }
    }

    /// Up to where it can hold frames.
    pub(super) fn limit(&self) -> u64 {
        self.header.segment_bytes.min(self.file.bytes)
    }
}

/// A file that is there for a segment that has no header.
#[derive(Debug)]
pub(super) struct UnbegunSegment {
    pub(super) file: SegmentFile,
    /// What its first block has instead of a header; `None` if that is all zeros, as it was prepared.
    pub(super) torn: Option<SegmentHeaderError>,
}

/// The segments of a lane, by number.
#[derive(Debug, Default)]
pub(super) struct SurveyedLane {
    pub(super) begun: Vec<BegunSegment>,
    /// Behind all that were begun.
    pub(super) unbegun: Vec<UnbegunSegment>,
}

/// A generation whose record is valid in one lane at least.
#[derive(Debug)]
pub(super) struct SurveyedGeneration {
    pub(super) record: GenerationRecord,
    /// The lanes in which it is valid, with the segments that hold it. None if only the manifest of the tables has it.
    pub(super) found_in: BTreeMap<LaneId, SegmentId>,
    /// Whether the record is gone with lost segments, and made up of what else is known.
    is_guess: bool,
}

impl SurveyedGeneration {
    /// Where the record was found, for messages: only in the manifest if the log is a copy from before the generation.
    fn witness(&self) -> String {
        self.found_in
            .values()
            .next()
            .map_or_else(|| "the manifest of the tables".to_owned(), SegmentId::to_string)
    }
}

/// Where the frames of a segment must end, by what was written later.
#[derive(Debug)]
pub(super) struct RequiredEnd {
    pub(super) end: u64,
    pub(super) next_lsn: Lsn,
    /// Whether the lane went on in the next segment within the same generation, so that a seal is due.
    pub(super) sealed: bool,
    /// Who says so.
    pub(super) testimony: String,
}

impl RequiredEnd {
    /// The error for a segment whose frames end elsewhere, or with another record.
    pub(super) fn missed(
        &self,
        storage: &dyn LogStorage,
        segment: SegmentId,
        end: u64,
        next_lsn: Lsn,
    ) -> RecoveryError {
        let expected = format!("record {} to come next: {}", self.next_lsn, self.testimony);
        let actual = format!("frames up to offset {end} and record {next_lsn} to come next");
        contradiction(storage, segment, self.end, expected, actual)
    }
}

/// All that the beginnings of the segments say that are not covered.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) covered: Covered,
    pub(super) lanes: BTreeMap<LaneId, SurveyedLane>,
    pub(super) generations: BTreeMap<Generation, SurveyedGeneration>,
}

impl Survey {
    /// Reads the beginnings of all segments that are not `covered` and checks them against each other.
    pub(super) fn new(storage: &dyn LogStorage, covered: &Covered) -> Result<Survey, RecoveryError> {
        Survey::without(storage, covered, &[])
    }

    /// The same for a log of which segments are `lost`.
    pub(super) fn without(
        storage: &dyn LogStorage,
        covered: &Covered,
        lost: &[SegmentRange],
    ) -> Result<Survey, RecoveryError> {
        let mut files = storage.list().map_err(|source| RecoveryError::List { source })?;
        files.retain(|file| !covered.contains(file.id));
        let is_there = |files: &[SegmentFile], id| files.iter().any(|file| file.id == id);
        for SegmentRange { lane, first, last } in lost {
            let ids =
                (first.0..=last.0).map(|number| SegmentId { lane: *lane, number: SegmentNumber(number) });
            let gone: Vec<_> = ids.filter(|id| !is_there(&files, *id)).collect();
            files.extend(gone.into_iter().map(|id| SegmentFile { id, bytes: LOST_BYTES }));
        }
        files.sort_unstable_by_key(|file| file.id);
        let mut survey =
            Survey { covered: covered.clone(), lanes: BTreeMap::new(), generations: BTreeMap::new() };
        survey.note_covered_generation();
        if let Some(&first) = files.first() {
            let mut reader = SegmentReader::new(storage, first, GLANCE_BYTES);
            for lane_files in files.chunk_by(|one, next| one.id.lane == next.id.lane) {
                survey.add_lane(storage, &mut reader, lane_files)?;
            }
        }
        if !lost.is_empty() {
            survey.guess_generations();
        }
        survey.check_continued(storage)?;
        survey.check_ends(storage)?;
        Ok(survey)
    }

    /// Whether the begun segment at `at` of `lane` is the first one of its generation there, and so begins with its record.
    pub(super) fn begins_generation(&self, lane: LaneId, at: usize) -> bool {
        let begun = &self.lanes[&lane].begun;
        let before = match at.checked_sub(1) {
            Some(before) => Some(begun[before].header.generation),
            None => self.covered.end_of(lane).map(|covered| covered.end.generation),
        };
        before != Some(begun[at].header.generation)
    }

    /// Takes over what is known of the generation of which a part is covered.
    fn note_covered_generation(&mut self) {
        let Some(record) = self.covered.generation.clone() else { return };
        // A lane's first segments are covered first.
        let of_generation = |covered: &&CoveredEnd| covered.end.generation == record.generation;
        let lanes = self.covered.ends.iter().filter(of_generation).map(|covered| covered.end.lane);
        let first_of = |lane| (lane, SegmentId { lane, number: record.first_segment_of(lane) });
        let found_in = lanes.map(first_of).collect();
        let surveyed = SurveyedGeneration { record, found_in, is_guess: false };
        self.generations.insert(surveyed.record.generation, surveyed);
    }

    /// Reads the beginnings of a lane's files, which are sorted by number.
    fn add_lane(
        &mut self,
        storage: &dyn LogStorage,
        reader: &mut SegmentReader<'_>,
        files: &[SegmentFile],
    ) -> Result<(), RecoveryError> {
        let lane = files[0].id.lane;
        let surveyed = survey_lane(storage, reader, files, self.covered.end_of(lane))?;
        let begun = surveyed.begun.clone();
        self.lanes.insert(lane, surveyed);
        for (at, segment) in begun.iter().enumerate() {
            if !segment.is_lost && self.begins_generation(lane, at) {
                self.note_generation(storage, reader, segment)?;
            }
        }
        Ok(())
    }

    /// Makes records for those generations whose record is gone in all lanes: it had as many lanes as are seen of it.
    fn guess_generations(&mut self) {
        for generation in self.begun_generations() {
            let is_of = |lane: &&SurveyedLane| {
                lane.begun.iter().any(|segment| segment.header.generation == generation)
            };
            let lanes = self.lanes.iter().filter(|(_, lane)| is_of(lane)).map(|(id, _)| id.0 + 1).max();
            let created = self
                .lanes
                .values()
                .flat_map(|lane| &lane.begun)
                .filter(|segment| segment.header.generation == generation && !segment.is_lost);
            let opened = created.map(|segment| segment.header.created).min().unwrap_or(UnixMicros(0));
            let record = GenerationRecord { generation, lanes: lanes.unwrap_or(1), opened, ends: Vec::new() };
            let guess = SurveyedGeneration { record, found_in: BTreeMap::new(), is_guess: true };
            self.generations.entry(generation).or_insert(guess);
        }
    }

    /// Whether the record of a generation may be missing in a lane, since the segment that had it is gone.
    pub(super) fn has_lost_beginning(&self, generation: &SurveyedGeneration, lane: LaneId) -> bool {
        let id = SegmentId { lane, number: generation.record.first_segment_of(lane) };
        let begun = self.lanes.get(&lane).map_or(&[][..], |lane| &lane.begun);
        generation.is_guess || begun.iter().any(|segment| segment.is_lost && segment.file.id == id)
    }

    /// Checks that the lanes go on behind what is covered, and with nothing older than that.
    fn check_continued(&self, storage: &dyn LogStorage) -> Result<(), RecoveryError> {
        const TESTIMONY: &str = "the manifest of the tables says that it was begun";
        for CoveredEnd { end, .. } in self.covered.ends.iter().filter(|covered| covered.continues) {
            if self.lanes.get(&end.lane).is_none_or(|lane| lane.begun.is_empty()) {
                let next = SegmentId { lane: end.lane, number: end.segment.next() };
                return Err(self.unbegun(storage, next, TESTIMONY));
            }
        }
        let latest = self.covered.generation.as_ref().map(|record| record.generation);
        for (&lane, surveyed) in &self.lanes {
            let Some(at) = surveyed.begun.iter().position(|segment| !segment.is_lost) else { continue };
            let segment = &surveyed.begun[at];
            let generation = segment.header.generation;
            let has_record = self.begins_generation(lane, at) || self.generations.contains_key(&generation);
            if !has_record || latest.is_some_and(|latest| generation < latest) {
                let expected = format!("what follows {:?}, which the tables hold", self.covered.generation);
                let actual = format!("generation {generation}");
                return Err(contradiction(storage, segment.file.id, 0, expected, actual));
            }
        }
        Ok(())
    }

    /// The records of generations that are still there: those of the log, and the one that what is covered keeps.
    pub(super) fn generation_records(&self) -> Vec<GenerationRecord> {
        let mut records: BTreeMap<_, _> =
            self.generations.iter().map(|(&generation, surveyed)| (generation, &surveyed.record)).collect();
        if let Some(record) = &self.covered.generation {
            records.insert(record.generation, record);
        }
        records.into_values().cloned().collect()
    }

    /// All generations that began a segment, in order.
    pub(super) fn begun_generations(&self) -> Vec<Generation> {
        let begun = self.lanes.values().flat_map(|lane| &lane.begun);
        let mut generations: Vec<_> = begun.map(|segment| segment.header.generation).collect();
        generations.sort_unstable();
        generations.dedup();
        generations
    }

    /// Where the frames of the begun segment at `at` of `lane` must end; `None` if nothing written later says so.
    pub(super) fn required_end(&self, lane: LaneId, at: usize) -> Option<RequiredEnd> {
        let begun = &self.lanes[&lane].begun;
        let segment = &begun[at];
        let next = begun.get(at + 1);
        if let Some(next) = next.filter(|next| !next.is_lost) {
            return Some(RequiredEnd {
                end: next.header.previous_end,
                next_lsn: next.header.first_lsn,
                sealed: next.header.generation == segment.header.generation,
                testimony: format!(
                    "the header of {} says that everything before offset {} was durable",
                    next.file.id, next.header.previous_end
                ),
            });
        }
        let (generation, end) = self.end_stated_after(lane, segment.header.generation)?;
        if end.segment != segment.file.id.number && next.is_some() {
            return None;
        }
        Some(RequiredEnd {
            end: end.end_offset,
            next_lsn: end.next_lsn,
            sealed: false,
            testimony: format!(
                "the record of generation {generation} says that everything before offset {} was durable",
                end.end_offset
            ),
        })
    }

    /// The end of `lane` in the first record of a generation after `generation`.
    fn end_stated_after(&self, lane: LaneId, generation: Generation) -> Option<(Generation, &LaneEnd)> {
        let later = self.generations.range(generation.next()..);
        later.filter_map(|(&later, surveyed)| Some((later, surveyed.record.end_of(lane)?))).next()
    }

    /// The end of `lane` in `segment`, if the record of a generation states it, with that record.
    pub(super) fn end_stated(
        &self,
        lane: LaneId,
        segment: SegmentNumber,
    ) -> Option<(&GenerationRecord, &LaneEnd)> {
        let ends = self.generations.values().filter_map(|surveyed| {
            Some((&surveyed.record, surveyed.record.end_of(lane).filter(|end| end.segment == segment)?))
        });
        ends.into_iter().next()
    }

    /// Notes the generation's record, if the first frame of its first segment is valid.
    fn note_generation(
        &mut self,
        storage: &dyn LogStorage,
        reader: &mut SegmentReader<'_>,
        segment: &BegunSegment,
    ) -> Result<(), RecoveryError> {
        reader.open(segment.file, segment.limit());
        let Ok(frame) = reader.frame(BLOCK, &segment.home)? else { return Ok(()) };
        let id = segment.file.id;
        let generation = segment.header.generation;
        let no_record = |actual: &str| {
            let expected = format!("the record of generation {generation}");
            Err(contradiction(storage, id, BLOCK, expected, actual.to_owned()))
        };
        if frame.header.kind != FrameKind::Records {
            return no_record("an empty frame");
        }
        let mut records = frame.records();
        let record = match (records.next(), records.next()) {
            (Some(Ok(record)), None) => record,
            (Some(Err(cause)), _) | (_, Some(Err(cause))) => {
                return Err(RecoveryError::Records { path: storage.path(id), offset: BLOCK, cause });
            }
            _ => return no_record("a frame of several records"),
        };
        if record.kind != RecordKind::Generation {
            return no_record("another record");
        }
        let record = GenerationRecord::decode(record.payload).map_err(|cause| RecoveryError::Generation {
            path: storage.path(id),
            offset: BLOCK,
            cause: Box::new(cause),
        })?;
        if record.generation != generation || id.lane.0 >= record.lanes {
            let expected = format!("generation {generation} with lane {}", id.lane.0);
            let actual = format!("generation {} of {} lanes", record.generation, record.lanes);
            return Err(contradiction(storage, id, BLOCK, expected, actual));
        }
        let surveyed = self.generations.entry(generation).or_insert_with(|| SurveyedGeneration {
            record: record.clone(),
            found_in: BTreeMap::new(),
            is_guess: false,
        });
        if surveyed.record != record {
            let expected = format!("the record of generation {generation} as in {}", surveyed.witness());
            return Err(contradiction(storage, id, BLOCK, expected, "another".to_owned()));
        }
        surveyed.found_in.insert(id.lane, id);
        Ok(())
    }

    /// Checks that each generation's record and the segments before that generation agree.
    fn check_ends(&self, storage: &dyn LogStorage) -> Result<(), RecoveryError> {
        for (&generation, surveyed) in self.generations.iter().filter(|(_, surveyed)| !surveyed.is_guess) {
            let record = &surveyed.record;
            let testimony =
                format!("the record of generation {generation} in {} says so", surveyed.witness());
            for end in &record.ends {
                self.check_end(storage, generation, end, &testimony)?;
            }
            let begun = self.lanes.values().flat_map(|lane| &lane.begun);
            for segment in begun.filter(|segment| !segment.is_lost) {
                let lane = segment.file.id.lane;
                let unnamed = match segment.header.generation.cmp(&generation) {
                    Ordering::Less => record.end_of(lane).is_none(),
                    Ordering::Equal => lane.0 >= record.lanes,
                    Ordering::Greater => false,
                };
                if unnamed {
                    let actual = format!("a segment of generation {}", segment.header.generation);
                    let expected = format!("none of lane {}: {testimony}", lane.0);
                    return Err(contradiction(storage, segment.file.id, 0, expected, actual));
                }
            }
        }
        Ok(())
    }

    /// Checks that a lane ends before `generation` where that generation's record says.
    fn check_end(
        &self,
        storage: &dyn LogStorage,
        generation: Generation,
        end: &LaneEnd,
        testimony: &str,
    ) -> Result<(), RecoveryError> {
        let id = SegmentId { lane: end.lane, number: end.segment };
        if let Some(covered) = self.covered.end_of(end.lane).filter(|_| self.covered.contains(id)) {
            if covered.end.segment > end.segment || covered.end == *end {
                return Ok(());
            }
            let expected = format!("{end:?}: {testimony}");
            let actual = format!("{:?} in the manifest of the tables", covered.end);
            return Err(contradiction(storage, id, end.end_offset, expected, actual));
        }
        let begun = self.lanes.get(&end.lane).map_or(&[][..], |lane| &lane.begun);
        let Some(at) = begun.iter().position(|segment| segment.file.id == id) else {
            if planted::is(Bug::TakeGoneForEmpty) {
                return Ok(());
            }
            return Err(self.unbegun(storage, id, testimony));
        };
        if begun[at].is_lost {
            return Ok(());
        }
        let found = begun[at].header.generation;
        if found != end.generation {
            let expected = format!("generation {}: {testimony}", end.generation);
            return Err(contradiction(storage, id, 0, expected, format!("generation {found}")));
        }
        let next = begun[at + 1..].iter().find(|next| !next.is_lost);
        if let Some(next) = next.filter(|next| next.header.generation < generation) {
            let expected = format!("no segment between {id} and generation {generation}: {testimony}");
            let actual = format!("a segment of generation {}", next.header.generation);
            return Err(contradiction(storage, next.file.id, 0, expected, actual));
        }
        let required = self.required_end(end.lane, at).expect("a later generation's record states an end");
        if (required.end, required.next_lsn) != (end.end_offset, end.next_lsn) {
            let place = |offset, lsn| format!("an end at offset {offset} with record {lsn} to follow");
            let expected = format!("{}: {testimony}", place(end.end_offset, end.next_lsn));
            let actual = place(required.end, required.next_lsn);
            return Err(contradiction(storage, id, end.end_offset, expected, actual));
        }
        Ok(())
    }

    /// A segment that is there and was begun.
    pub(super) fn begun(&self, id: SegmentId) -> Option<&BegunSegment> {
        self.lanes.get(&id.lane)?.begun.iter().find(|begun| begun.file.id == id)
    }

    /// The error for a segment that must have been begun, and was not or is not there.
    pub(super) fn unbegun(&self, storage: &dyn LogStorage, id: SegmentId, testimony: &str) -> RecoveryError {
        let path = storage.path(id);
        let testimony = testimony.to_owned();
        let files = self.lanes.get(&id.lane).map_or(&[][..], |lane| &lane.unbegun);
        match files.iter().find(|segment| segment.file.id == id) {
            Some(UnbegunSegment { torn: Some(cause), .. }) => {
                RecoveryError::Header { path, cause: cause.clone(), testimony }
            }
            Some(UnbegunSegment { torn: None, .. }) => {
                RecoveryError::Header { path, cause: SegmentHeaderError::Magic { actual: [0; 8] }, testimony }
            }
            None => {
                let segments = SegmentRange { lane: id.lane, first: id.number, last: id.number };
                RecoveryError::Missing { path, segments, testimony }
            }
        }
    }
}

/// Reads the headers of a lane's files, which are sorted by number and come after what is `covered`.
fn survey_lane(
    storage: &dyn LogStorage,
    reader: &mut SegmentReader<'_>,
    files: &[SegmentFile],
    covered: Option<&CoveredEnd>,
) -> Result<SurveyedLane, RecoveryError> {
    let mut lane = SurveyedLane::default();
    for &file in files {
        if file.bytes == LOST_BYTES {
            check_place(storage, &lane, covered, file.id)?;
            let before = lane.begun.last().map(|last| last.header.generation);
            let before = before.or(covered.map(|covered| covered.end.generation));
            lane.begun.push(BegunSegment::lost(file.id, before.unwrap_or(Generation::FIRST)));
            continue;
        }
        reader.open(file, file.bytes);
        let block = reader.bytes(0, BLOCK_BYTES)?;
        let torn = match block.get(..BLOCK_BYTES).map(SegmentHeader::decode) {
            Some(Ok((header, checksum))) => {
                let home = FrameHome::new(&header, checksum);
                let segment = BegunSegment { file, header, home, is_lost: false };
                check_follows(storage, &lane, covered, &segment)?;
                place_lost(&mut lane, reader, &segment)?;
                lane.begun.push(segment);
                continue;
            }
            Some(Err(SegmentHeaderError::Magic { .. })) if is_zero(&block[..BLOCK_BYTES]) => None,
            Some(Err(cause @ SegmentHeaderError::Version { .. })) => {
                let testimony = "it may be of a later version".to_owned();
                return Err(RecoveryError::Header { path: storage.path(file.id), cause, testimony });
            }
            Some(Err(cause)) => Some(cause),
            None => Some(SegmentHeaderError::CutOff { actual: file.bytes }),
        };
        lane.unbegun.push(UnbegunSegment { file, torn });
    }
    let next = next_number(&lane, covered);
    for segment in &lane.unbegun {
        check_unbegun(storage, reader, segment, next)?;
    }
    Ok(lane)
}

/// Checks that a begun segment is the next one of its lane, and begins where the one before it ends.
fn check_follows(
    storage: &dyn LogStorage,
    lane: &SurveyedLane,
    covered: Option<&CoveredEnd>,
    segment: &BegunSegment,
) -> Result<(), RecoveryError> {
    let (id, header) = (segment.file.id, &segment.header);
    let wrong = |expected: String, actual: String| Err(contradiction(storage, id, 0, expected, actual));
    if header.id != id {
        return wrong(format!("the header of {id}"), format!("the header of {}", header.id));
    }
    check_place(storage, lane, covered, id)?;
    let size_is_sound =
        header.segment_bytes >= SEGMENT_BYTES_LEAST && header.segment_bytes.is_multiple_of(BLOCK);
    if !size_is_sound || !header.generation.is_possible() || !header.first_lsn.can_be_next() {
        return wrong("a sound header".to_owned(), format!("{header:?}"));
    }
    let follows = match (lane.begun.last(), covered) {
        (Some(last), _) if last.is_lost => header.generation >= last.header.generation,
        (Some(last), _) => {
            (BLOCK..=last.header.segment_bytes).contains(&header.previous_end)
                && header.previous_end.is_multiple_of(BLOCK)
                && header.generation >= last.header.generation
        }
        (None, Some(CoveredEnd { end, .. })) => {
            (header.previous_end, header.first_lsn) == (end.end_offset, end.next_lsn)
                && header.generation >= end.generation
        }
        (None, None) => header.previous_end == 0 && header.first_lsn == Lsn::FIRST,
    };
    if follows {
        return Ok(());
    }
    let expected = match (lane.begun.last(), covered) {
        (Some(last), _) => format!("a header that follows {:?}", last.header),
        (None, Some(covered)) => format!("a header that follows {:?}, which the tables hold", covered.end),
        (None, None) => "the header of a lane's first segment".to_owned(),
    };
    wrong(expected, format!("{header:?}"))
}

/// Checks that a begun segment is the next one of its lane.
fn check_place(
    storage: &dyn LogStorage,
    lane: &SurveyedLane,
    covered: Option<&CoveredEnd>,
    id: SegmentId,
) -> Result<(), RecoveryError> {
    let testimony = || format!("{id} follows it and was begun");
    if let Some(UnbegunSegment { file, torn }) = lane.unbegun.first() {
        let cause = torn.clone().unwrap_or(SegmentHeaderError::Magic { actual: [0; 8] });
        return Err(RecoveryError::Header { path: storage.path(file.id), cause, testimony: testimony() });
    }
    let number = next_number(lane, covered);
    if id.number != number {
        let path = storage.path(SegmentId { number, ..id });
        let last = SegmentNumber(id.number.0.saturating_sub(1).max(number.0));
        let segments = SegmentRange { lane: id.lane, first: number, last };
        return Err(RecoveryError::Missing { path, segments, testimony: testimony() });
    }
    Ok(())
}

/// Says of lost segments before `segment` that they are of its generation, unless it begins that itself.
fn place_lost(
    lane: &mut SurveyedLane,
    reader: &mut SegmentReader<'_>,
    segment: &BegunSegment,
) -> Result<(), RecoveryError> {
    if !lane.begun.last().is_some_and(|last| last.is_lost) {
        return Ok(());
    }
    reader.open(segment.file, segment.limit());
    let begins = match reader.frame(BLOCK, &segment.home)? {
        Ok(frame) => frame
            .records()
            .next()
            .is_some_and(|record| record.is_ok_and(|record| record.kind == RecordKind::Generation)),
        Err(_) => false,
    };
    if !begins {
        let lost = lane.begun.iter_mut().rev().take_while(|before| before.is_lost);
        lost.for_each(|lost| lost.header.generation = segment.header.generation);
    }
    Ok(())
}

/// The number of the segment that comes after those of a lane that were seen.
fn next_number(lane: &SurveyedLane, covered: Option<&CoveredEnd>) -> SegmentNumber {
    let last = lane.begun.last().map(|last| last.file.id.number);
    let last = last.or(covered.map(|covered| covered.end.segment));
    last.map_or(SegmentNumber::FIRST, SegmentNumber::next)
}

/// Checks that a segment without a valid header was never begun, or was being begun when the writing stopped.
///
/// A header that was being written is the next one of its lane, and has nothing behind it: the first frame waits for the header.
fn check_unbegun(
    storage: &dyn LogStorage,
    reader: &mut SegmentReader<'_>,
    segment: &UnbegunSegment,
    next: SegmentNumber,
) -> Result<(), RecoveryError> {
    let UnbegunSegment { file, torn } = segment;
    let (looked_through, cause) = match torn {
        None => (GLANCE_BYTES as u64, SegmentHeaderError::Magic { actual: [0; 8] }),
        Some(cause) => (file.bytes, cause.clone()),
    };
    reader.open(*file, looked_through);
    let (cause, testimony) = if file.bytes < SEGMENT_BYTES_LEAST {
        (
            SegmentHeaderError::CutOff { actual: file.bytes },
            "a segment gets its name when it has its full size",
        )
    } else if torn.is_some() && file.id.number != next {
        (cause, "it is not the segment that its lane would have begun next")
    } else if reader.first_written(BLOCK)?.is_some() {
        (cause, "something was written behind the header, for which a durable header is needed")
    } else {
        return Ok(());
    };
    Err(RecoveryError::Header { path: storage.path(file.id), cause, testimony: testimony.to_owned() })
}

/// The error for two valid parts of the log that do not fit together.
pub(super) fn contradiction(
    storage: &dyn LogStorage,
    segment: SegmentId,
    offset: u64,
    expected: String,
    actual: String,
) -> RecoveryError {
    RecoveryError::Contradiction { path: storage.path(segment), offset, expected, actual }
}
