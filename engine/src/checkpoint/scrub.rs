//! Reading all that is stored again and again, so that damage is known before it is needed.

use std::io;
use std::path::Path;

use super::{DamagedPlace, Manifest, Store, UpkeepFacts};
use crate::background::offer_turn;
use crate::log::SegmentNumber;
use crate::log::recovery::{RecoveryError, SegmentCheck};
use crate::log::segment::SegmentId;
use crate::log::storage::SegmentFile;
use crate::slot::LaneId;
use crate::table::{Step, Table, TableError, TableNumber, Verification};
use crate::time::UnixMicros;

use std::collections::BTreeMap;

/// Bytes that a step reads, about: a few milliseconds' worth.
const STEP_BYTES: usize = 512 << 10;

/// How long to wait after a pass before the next, in microseconds: a small store is not read all the time.
const PAUSE_US: u64 = 60_000_000;

/// What a step of the scrub has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scrubbed {
    /// So many bytes of some file were read and are sound.
    Sound {
        /// How many.
        bytes: u64,
    },
    /// A file is damaged at a place; it is not read any further.
    Damaged(DamagedPlace),
    /// A file could not be opened or read, for a reason that says nothing about what it holds. The next pass tries it again.
    Skipped {
        /// Why.
        problem: String,
    },
    /// Everything was read once.
    Passed,
}

/// A scrub's pace: when the next step is due.
///
/// So many bytes a second are an upper bound at any time: nothing is made up for.
#[derive(Debug, Clone, Copy)]
pub struct ScrubPace {
    bytes_per_second: u64,
    due_us: u64,
}

impl ScrubPace {
    /// A pace of so many bytes a second, 0 for none at all, that begins at once.
    pub fn new(bytes_per_second: u64) -> ScrubPace {
        ScrubPace { bytes_per_second, due_us: 0 }
    }

    /// When the next step is due, on the clock of the caller; `None` for never.
    pub fn due_us(&self) -> Option<u64> {
        (self.bytes_per_second > 0).then_some(self.due_us)
    }

    /// Notes what the step has done that was just taken.
    pub fn took(&mut self, scrubbed: &Scrubbed, now_us: u64) {
        let pause_us = match scrubbed {
            Scrubbed::Sound { bytes } => {
                bytes.saturating_mul(1_000_000).div_ceil(self.bytes_per_second.max(1))
            }
            // What was read of it is not known exactly.
            Scrubbed::Damaged(_) => (STEP_BYTES as u64 * 1_000_000).div_ceil(self.bytes_per_second.max(1)),
            Scrubbed::Skipped { .. } => 0,
            Scrubbed::Passed => PAUSE_US,
        };
        self.due_us = now_us.saturating_add(pause_us);
    }
}

/// Reads the tables that the manifest lists, and the segments that have ended, one after the other, step by step.
///
/// What comes to be after a pass has begun is left to the next one, so that each pass has an end.
#[derive(Default)]
pub(super) struct Scrub {
    at: Place,
}

/// Where a pass stands.
#[derive(Default)]
enum Place {
    /// Before its beginning.
    #[default]
    Begin,
    /// Behind table `after`. Tables from `until` on are left to the next pass.
    Tables { after: TableNumber, until: TableNumber },
    /// In a table.
    Table { check: Box<Verification>, bytes: u64, until: TableNumber },
    /// Before the last of these segments.
    Segments { left: Vec<EndedSegment> },
    /// In a segment.
    Segment { check: Box<SegmentCheck>, left: Vec<EndedSegment> },
}

/// A segment to be read.
#[derive(Debug, Clone, Copy)]
struct EndedSegment {
    file: SegmentFile,
    /// The next one of its lane.
    next: Option<SegmentFile>,
}

/// What there is to read.
pub(super) struct Scrubbable<'a> {
    pub(super) store: &'a Store,
    pub(super) manifest: &'a Manifest,
    pub(super) writing: &'a BTreeMap<LaneId, SegmentNumber>,
    pub(super) facts: &'a UpkeepFacts,
}

impl Scrub {
    /// Takes a step.
    pub(super) fn step(&mut self, of: &Scrubbable<'_>, now: UnixMicros) -> Scrubbed {
        let scrubbed = loop {
            let (place, scrubbed) = match std::mem::take(&mut self.at) {
                Place::Begin => {
                    of.facts.scrub_begins(of.manifest.bytes());
                    (Place::Tables { after: TableNumber(0), until: of.manifest.next_table }, None)
                }
                Place::Tables { after, until } => begin_table(of, after, until),
                Place::Table { check, bytes, until } => read_table(of, check, bytes, until),
                Place::Segments { left } => begin_segment(of, left),
                Place::Segment { check, left } => read_segment(of, check, left),
            };
            self.at = place;
            if let Some(scrubbed) = scrubbed {
                break scrubbed;
            }
        };
        match &scrubbed {
            Scrubbed::Sound { bytes } => of.facts.scrubbed(*bytes),
            Scrubbed::Damaged(place) => drop(of.facts.damaged(place.clone())),
            Scrubbed::Skipped { .. } => of.facts.scrub_skipped(),
            Scrubbed::Passed => of.facts.scrub_passed(now.0.unsigned_abs()),
        }
        scrubbed
    }
}

fn begin_table(of: &Scrubbable<'_>, after: TableNumber, until: TableNumber) -> (Place, Option<Scrubbed>) {
    let numbers = of.manifest.tables.iter().map(|table| table.facts.number);
    let Some(number) = numbers.filter(|&number| after < number && number < until).min() else {
        return begin_segments(of);
    };
    let path = of.store.tables.path(number);
    if of.facts.is_damaged(&path) {
        return (Place::Tables { after: number, until }, None);
    }
    match Table::open(&*of.store.tables, number) {
        Ok(table) => (Place::Table { check: Box::new(table.verification()), bytes: 0, until }, None),
        Err(error) => (Place::Tables { after: number, until }, Some(told_of_table(&error))),
    }
}

fn read_table(
    of: &Scrubbable<'_>,
    mut check: Box<Verification>,
    bytes_before: u64,
    until: TableNumber,
) -> (Place, Option<Scrubbed>) {
    let number = check.table().facts().number;
    let on = Place::Tables { after: number, until };
    if !of.manifest.lists(number) {
        // It was merged into another one, and is gone or will be.
        return (on, None);
    }
    match check.step(STEP_BYTES) {
        Ok(Step::More) => {
            let bytes = check.offset().max(bytes_before);
            (Place::Table { check, bytes, until }, Some(Scrubbed::Sound { bytes: bytes - bytes_before }))
        }
        Ok(Step::Done(())) => {
            // With the block index and the two ends, which were read when it was opened.
            let bytes = check.table().facts().bytes.saturating_sub(bytes_before);
            (on, Some(Scrubbed::Sound { bytes }))
        }
        Err(error) => (on, Some(told_of_table(&error))),
    }
}

fn begin_segments(of: &Scrubbable<'_>) -> (Place, Option<Scrubbed>) {
    let files = match of.store.log.list() {
        Ok(files) => files,
        Err(error) => return (Place::Segments { left: Vec::new() }, Some(unlisted(&error))),
    };
    let sizes: BTreeMap<SegmentId, u64> = files.iter().map(|file| (file.id, file.bytes)).collect();
    let writes_behind = |id: SegmentId| of.writing.get(&id.lane).is_none_or(|&writing| id.number <= writing);
    let next_of = |id: SegmentId| {
        let next = SegmentId { number: id.number.next(), ..id };
        sizes.get(&next).filter(|_| writes_behind(next)).map(|&bytes| SegmentFile { id: next, bytes })
    };
    let has_ended = |id: SegmentId| of.writing.get(&id.lane).is_none_or(|&writing| id.number < writing);
    let ended = sizes.iter().rev().filter(|(id, _)| has_ended(**id));
    let left: Vec<EndedSegment> = ended
        .map(|(&id, &bytes)| EndedSegment { file: SegmentFile { id, bytes }, next: next_of(id) })
        .collect();
    of.facts.scrub_finds(left.iter().map(|segment| segment.file.bytes).sum());
    (Place::Segments { left }, None)
}

fn begin_segment(of: &Scrubbable<'_>, mut left: Vec<EndedSegment>) -> (Place, Option<Scrubbed>) {
    let Some(EndedSegment { file, next }) = left.pop() else { return (Place::Begin, Some(Scrubbed::Passed)) };
    if of.facts.is_damaged(&of.store.log.path(file.id)) {
        return (Place::Segments { left }, None);
    }
    match SegmentCheck::begin(&*of.store.log, file, next, &of.manifest.covered) {
        Ok(Some(check)) => (Place::Segment { check: Box::new(check), left }, None),
        Ok(None) => (Place::Segments { left }, None),
        Err(error) => {
            let told = told_of_segment(of, &error, file.id);
            (Place::Segments { left }, told)
        }
    }
}

fn read_segment(
    of: &Scrubbable<'_>,
    mut check: Box<SegmentCheck>,
    left: Vec<EndedSegment>,
) -> (Place, Option<Scrubbed>) {
    let before = check.offset();
    offer_turn();
    match check.step(&*of.store.log, STEP_BYTES) {
        Ok(is_done) => {
            let sound = Scrubbed::Sound { bytes: check.offset() - before };
            (if is_done { Place::Segments { left } } else { Place::Segment { check, left } }, Some(sound))
        }
        Err(error) => {
            let told = told_of_segment(of, &error, check.segment());
            (Place::Segments { left }, told)
        }
    }
}

fn told_of_table(error: &TableError) -> Scrubbed {
    told(error.damaged_place(), error)
}

/// What an error says about a segment; nothing if the segment has been removed meanwhile, as tables hold what it says.
fn told_of_segment(of: &Scrubbable<'_>, error: &RecoveryError, segment: SegmentId) -> Option<Scrubbed> {
    if of.manifest.covered.contains(segment) {
        match of.store.log.list() {
            Ok(files) if files.iter().all(|file| file.id != segment) => return None,
            Ok(_) => {}
            // It may be gone.
            Err(error) => return Some(unlisted(&error)),
        }
    }
    Some(told(error.damaged_place(), error))
}

fn unlisted(error: &io::Error) -> Scrubbed {
    Scrubbed::Skipped { problem: format!("the segments of the log cannot be listed: {error}") }
}

fn told(place: Option<(&Path, u64)>, error: &dyn std::error::Error) -> Scrubbed {
    match place {
        Some((path, offset)) => Scrubbed::Damaged(DamagedPlace::new(path, offset, error)),
        None => Scrubbed::Skipped { problem: super::damage::with_causes(error) },
    }
}
