//! Recovery: reads a log from its beginning, tells an unfinished tail from damage, and hands out every record.
//!
//! A log is what its lanes' frames say, in the order of generations, each lane to its end. A frame that is not
//! valid, where one was or could have been written, is
//! - the *tail* of a commit that never finished, if nothing that was written later says that it was durable: the log ends there;
//! - *damage* otherwise: an error that names file and offset. Later testimony is a later frame of the same segment, whose committed
//!   end lies behind the place; the header of a later segment of the lane; a seal; the record of a later generation; and a
//!   second frame of a generation, or a second segment of it, in any lane, since both wait for that generation's record in all lanes.
//!
//! Nothing is changed on disk, so that recovery can be repeated any number of times, whatever interrupts it. What it
//! found becomes binding when the next generation is [opened](crate::log::opening).

pub mod capture;
pub mod cut;
mod error;
mod lost;
pub(in crate::log) mod reader;
mod replay;
mod retractions;
mod segment_check;
mod sink;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::log::covered::Covered;
use crate::log::generation::{GenerationRecord, LaneEnd};
use crate::log::lane::LaneStart;
use crate::log::record::RecordKind;
use crate::log::segment::SegmentId;
use crate::log::storage::{LogStorage, SegmentFile};
use crate::log::{Generation, Lsn, SegmentNumber};
use crate::slot::{LaneId, SlotSet};

pub use error::{RecoveryError, RecoveryVisitError};
pub use lost::{LostSegments, SegmentRange, SegmentRangeError, find_lost, read_without};
use replay::Replay;
pub use segment_check::SegmentCheck;
use sink::RecordSink;
use survey::Survey;

/// Bytes read at a time.
const READ_BYTES: usize = 2 * crate::log::FRAME_BYTES_MAX;

/// A record of the log, as recovery hands it out.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// The generation that wrote it.
    pub generation: Generation,
    /// Its lane.
    pub lane: LaneId,
    /// Its number in the lane.
    pub lsn: Lsn,
    /// What the payload is; never [`RecordKind::Generation`].
    pub kind: RecordKind,
    /// The record's flags.
    pub flags: u16,
    /// The payload.
    pub payload: &'a [u8],
    /// Of a retraction: the slots whose claims it takes back at this place, those of its lane that no earlier record of the
    /// same retraction stood for. What was written there after the earlier one is not touched.
    pub retracts: Option<SlotSet>,
}

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The generation to open.
    pub next_generation: Generation,
    /// Where each lane ends that was ever begun, by lane.
    pub lane_ends: Vec<LaneEnd>,
    /// The records of generations that are still there, in their order.
    pub generations: Vec<GenerationRecord>,
    /// Those of the segments at these ends that are covered by tables, and may be gone.
    pub covered: Vec<SegmentId>,
    /// What was written, but never finished, at the lanes' ends.
    pub tails_dropped: Vec<DroppedTail>,
    /// How many records were handed out.
    pub records: u64,
    /// Bytes of the frames that hold them, and of those that hold none.
    pub bytes: u64,
    /// The retractions that did not reach all lanes, in the order of their first records.
    pub unfinished_retractions: Vec<UnfinishedRetraction>,
    /// Segments that were prepared and not begun, by lane and number.
    pub prepared: Vec<SegmentFile>,
    /// Segments whose header was never finished: they hold nothing, and are in the way.
    pub abandoned: Vec<SegmentFile>,
    /// Segments that no frame will be written to any more, and that are longer than what they hold.
    pub untrimmed: Vec<UntrimmedSegment>,
}

/// A retraction that a crash interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedRetraction {
    /// The payload of its records.
    pub payload: Vec<u8>,
    /// The slots that none of its records stands for.
    pub slots: SlotSet,
}

/// What was written behind a lane's end, and is no part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTail {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the lane's frames end in it, in bytes.
    pub offset: u64,
    /// Bytes from there to the end of the last block that is not all zeros.
    pub bytes: u64,
    /// What is there instead of a valid frame.
    pub reason: String,
}

/// A segment that is longer than what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntrimmedSegment {
    /// Which segment.
    pub segment: SegmentId,
    /// Where its frames end, in bytes.
    pub end_offset: u64,
}

impl Recovered {
    /// Where `lane` goes on, or begins.
    pub fn lane_start(&self, lane: LaneId) -> LaneStart {
        let end = self.lane_ends.iter().find(|end| end.lane == lane);
        end.map_or(LaneStart::NEW, |end| LaneStart {
            next_lsn: end.next_lsn,
            next_segment: end.segment.next(),
            previous_end: end.end_offset,
        })
    }
}

/// Reads the log in `storage` and gives all of its records to `visit`, a few at a time: by generation, and within a
/// generation by lane and LSN. Records come while it is not yet known whether the rest of the log is sound: after an error,
/// whatever `visit` built of them has to be thrown away.
///
/// Memory is bounded but for the retractions of one generation, whose payloads are kept until it is known which of them
/// reached all lanes.
pub fn recover(
    storage: &dyn LogStorage,
    visit: &mut dyn FnMut(&[Replayed<'_>]) -> Result<(), RecoveryVisitError>,
) -> Result<Recovered, RecoveryError> {
    recover_after(storage, &Covered::default(), visit)
}

/// The same for a log of which a part is `covered`: that part is not read, and need not be there.
pub fn recover_after(
    storage: &dyn LogStorage,
    covered: &Covered,
    visit: &mut dyn FnMut(&[Replayed<'_>]) -> Result<(), RecoveryVisitError>,
) -> Result<Recovered, RecoveryError> {
    let survey = Survey::new(storage, covered)?;
    let mut replay = Replay::new(storage, &survey, RecordSink::new(visit, &covered.retractions));
    for generation in survey.begun_generations() {
        replay.generation(generation)?;
    }
    Ok(replay.finish())
}

/// Reads on in the log behind what is `covered`, through segments that will never change, until about `bytes_max` were read
/// or no more of them are there. Gives all of their records to `visit`, and returns what is covered with them; `None` if there
/// was nothing to read.
///
/// The log may be in use: `writing` has the segment that each of its lanes writes to, and is empty where nobody writes. No record is read of that or of later
/// ones, but for the generation's, which is the first of a lane; its header says where the one before it ends. Both must be there: a lane
/// writes to a segment only when its header is durable, and all lanes have the record.
pub fn read_ended(
    storage: &dyn LogStorage,
    covered: &Covered,
    writing: &BTreeMap<LaneId, SegmentNumber>,
    bytes_max: u64,
    visit: &mut dyn FnMut(&[Replayed<'_>]) -> Result<(), RecoveryVisitError>,
) -> Result<Option<Covered>, RecoveryError> {
    let storage = LogInUse { storage, writing };
    let survey = Survey::new(&storage, covered)?;
    let mut replay = Replay::new(&storage, &survey, RecordSink::new(visit, &covered.retractions));
    replay.check_written(writing)?;
    for generation in survey.begun_generations() {
        if !replay.ended_segments(generation, bytes_max)? {
            replay.check_recorded()?;
            break;
        }
    }
    Ok(Some(replay.into_covered()).filter(|now| now.ends != covered.ends))
}

/// A log of which the segments behind those that are being written are not to be seen: they are being made.
struct LogInUse<'a> {
    storage: &'a dyn LogStorage,
    writing: &'a BTreeMap<LaneId, SegmentNumber>,
}

impl LogStorage for LogInUse<'_> {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let mut files = self.storage.list()?;
        files.retain(|file| self.writing.get(&file.id.lane).is_none_or(|&writing| file.id.number <= writing));
        Ok(files)
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.storage.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.storage.path(segment)
    }
}
