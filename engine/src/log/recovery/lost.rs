//! Segments that are gone although something else says that they were begun, and reading what is there without them.
//!
//! Recovery refuses such a log. An operator may decide that what is gone will not come back: then all that is there is read once
//! more as if the lanes had gaps, and moves into tables. Nothing else is forgiven: what is there must be as sound as ever.

use std::fmt;
use std::str::FromStr;

use crate::log::covered::Covered;
use crate::log::recovery::replay::Replay;
use crate::log::recovery::sink::RecordSink;
use crate::log::recovery::survey::Survey;
use crate::log::recovery::{RecoveryError, RecoveryVisitError, Replayed};
use crate::log::storage::LogStorage;
use crate::log::{Lsn, SegmentNumber};
use crate::slot::LaneId;
use crate::time::UnixMicros;

/// Segments of a lane, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentRange {
    /// The lane.
    pub lane: LaneId,
    /// The first of them.
    pub first: SegmentNumber,
    /// The last one.
    pub last: SegmentNumber,
}

/// Segments that are gone, and what the rest of the log says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostSegments {
    /// Which.
    pub segments: SegmentRange,
    /// The first record of theirs: those before it are there.
    pub first_lsn: Lsn,
    /// The first record after them; `None` if nothing says it.
    pub next_lsn: Option<Lsn>,
    /// When the segment before them was begun, if that is there: they were written later.
    pub after: Option<UnixMicros>,
    /// When what follows them was begun, if anything does: they were written before that.
    pub before: Option<UnixMicros>,
}

impl SegmentRange {
    /// How many segments they are.
    pub fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

/// Why a text names no segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected lane:number or lane:first-last, such as 0:12-15")]
pub struct SegmentRangeError;

impl FromStr for SegmentRange {
    type Err = SegmentRangeError;

    fn from_str(text: &str) -> Result<SegmentRange, SegmentRangeError> {
        let number = |text: &str| text.parse().ok().filter(|number| (1..u64::MAX).contains(number));
        let (lane, numbers) = text.split_once(':').ok_or(SegmentRangeError)?;
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let lane = lane.parse().map_err(|_| SegmentRangeError)?;
        let (first, last) = number(first).zip(number(last)).ok_or(SegmentRangeError)?;
        let range =
            SegmentRange { lane: LaneId(lane), first: SegmentNumber(first), last: SegmentNumber(last) };
        // One way to write it: what operators copy is what was printed.
        if first > last || range.to_string() != text { Err(SegmentRangeError) } else { Ok(range) }
    }
}

/// As operators name them: `lane:number`, or `lane:first-last`.
impl fmt::Display for SegmentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentRange { lane, first, last } = self;
        match first == last {
            true => write!(f, "{}:{first}", lane.0),
            false => write!(f, "{}:{first}-{last}", lane.0),
        }
    }
}

impl LostSegments {
    /// How many records they had, if that is known. A generation's record counts among them.
    pub fn records(&self) -> Option<u64> {
        self.next_lsn.map(|next| next.0 - self.first_lsn.0)
    }
}

/// Finds all segments behind what is `covered` that are gone. Reads the whole log, as a recovery does.
///
/// # Errors
///
/// When anything else is wrong with the log.
pub fn find_lost(storage: &dyn LogStorage, covered: &Covered) -> Result<Vec<LostSegments>, RecoveryError> {
    let mut lost = Vec::new();
    loop {
        match read_without(storage, covered, &lost, &mut |_| Ok(())) {
            Ok((_, found)) => return Ok(found),
            // Each names segments that were not named before, and there are only so many whose absence shows.
            Err(RecoveryError::Missing { segments, .. }) if !lost.contains(&segments) => lost.push(segments),
            Err(error) => return Err(error),
        }
    }
}

/// Reads the log behind what is `covered` without the `lost` segments, and gives all records to `visit`. Returns what is covered
/// with them, which is all of the log, and what is known of the lost segments.
///
/// # Errors
///
/// When anything else is wrong with the log, or `visit` has refused a record.
pub fn read_without(
    storage: &dyn LogStorage,
    covered: &Covered,
    lost: &[SegmentRange],
    visit: &mut dyn FnMut(&[Replayed<'_>]) -> Result<(), RecoveryVisitError>,
) -> Result<(Covered, Vec<LostSegments>), RecoveryError> {
    let survey = Survey::without(storage, covered, lost)?;
    let mut replay = Replay::new(storage, &survey, RecordSink::new(visit, &covered.retractions));
    for generation in survey.begun_generations() {
        replay.generation(generation)?;
    }
    let found = replay.take_lost();
    let mut covered = replay.into_covered();
    covered.ends.iter_mut().for_each(|end| end.continues = false);
    Ok((covered, found))
}
