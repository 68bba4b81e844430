//! What is true of a log, computed plainly.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_engine::claim::{Assertion, ClaimHash, Retraction, RetractionId};
use stemedb_engine::log::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameHome};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::storage::MemoryStorage;
use stemedb_engine::log::{BLOCK_BYTES, Generation};
use stemedb_engine::slot::{CoreId, Slot, SlotMap};

use super::damage::Damage;
use super::{Place, Records};

/// Which claims of a log are there, and whether they are retracted.
///
/// A retraction strikes what was written, in each slot, before the first of its records that stands for the slot. Where none
/// does it was interrupted, and strikes all.
pub(crate) fn retracted(records: &Records, lanes: &BTreeMap<Generation, u16>) -> BTreeMap<ClaimHash, bool> {
    let mut retractions: BTreeMap<RetractionId, (&str, Vec<Place>)> = BTreeMap::new();
    for (place, record) in records.iter().filter(|(_, record)| record.kind == RecordKind::Retraction) {
        let retraction = Retraction::decode(&record.payload).expect("it was encoded");
        retractions.entry(retraction.id).or_insert((retraction.path.as_str(), Vec::new())).1.push(*place);
    }
    let claims = records.iter().filter(|(_, record)| record.kind == RecordKind::Assertion);
    claims
        .map(|(&(generation, _, lsn), record)| {
            let Assertion { hash, claim, .. } = Assertion::decode(&record.payload).expect("it was encoded");
            let slot = Slot::of(claim.subject.as_str().as_bytes());
            let is_struck = retractions.values().any(|(path, places)| {
                let source = claim.source.map(|source| source.as_str());
                let rests_on_it =
                    source.is_some_and(|source| source == *path || source.starts_with(&format!("{path}/")));
                let stands_for_slot = |place: &&Place| {
                    let lanes = SlotMap::new(lanes[&place.0]);
                    lanes.owner(slot) == CoreId(place.1.0)
                };
                // Within a generation a slot is in one lane, so these are in the order of writing.
                let first = places.iter().find(stands_for_slot);
                rests_on_it && first.is_none_or(|first| (generation, lsn) < (first.0, first.2))
            });
            (hash, is_struck)
        })
        .collect()
}

/// What a log that nothing has damaged says of itself.
pub(crate) struct Sound {
    /// Of each begun segment the generation, and the first record that it can hold.
    begun: BTreeMap<SegmentId, (Generation, u64)>,
    /// The newest generation whose record is there.
    newest: Option<Generation>,
    /// The first blocks of segments, and the headers of frames: whatever is valid and not among them was forged.
    headers: BTreeSet<Vec<u8>>,
    /// The frames of each lane's last segment for which no later one testifies: the first block, and the first record.
    last_frames: BTreeMap<SegmentId, (usize, u64)>,
}

impl Sound {
    pub(crate) fn of(disk: &MemoryStorage) -> Sound {
        let mut sound = Sound {
            begun: BTreeMap::new(),
            newest: None,
            headers: BTreeSet::new(),
            last_frames: BTreeMap::new(),
        };
        for (id, file) in &disk.segments {
            let Some((header, home)) = home(file) else { continue };
            sound.begun.insert(*id, (header.generation, header.first_lsn.0));
            sound.headers.insert(file[..BLOCK_BYTES].to_vec());
            let frames: Vec<(usize, FrameHeader)> = frames(file, &home).collect();
            for (block, _) in &frames {
                let at = block * BLOCK_BYTES;
                sound.headers.insert(file[at..at + FRAME_HEADER_BYTES].to_vec());
            }
            if frames.first().is_some_and(|(block, _)| *block == 1) {
                sound.newest = sound.newest.max(Some(home.generation));
            }
            let durable = frames.iter().map(|(_, header)| header.committed_end).max().unwrap_or(0);
            let is_last = |(block, _): &&(usize, FrameHeader)| (block * BLOCK_BYTES) as u64 >= durable;
            // The header of a lane's next segment says where this one ends.
            sound.last_frames.retain(|earlier, _| earlier.lane != id.lane);
            if let Some((block, header)) = frames.iter().find(is_last) {
                sound.last_frames.insert(*id, (*block, header.first_lsn.0));
            }
        }
        sound
    }

    /// Whether something is valid in the segments that were touched that no lane has written: a checksum was made to fit,
    /// which no accident does.
    pub(super) fn is_forged(&self, disk: &MemoryStorage, touched: &BTreeSet<SegmentId>) -> bool {
        touched.iter().filter_map(|id| disk.segments.get(id)).any(|file| {
            let Some((_, home)) = home(file) else { return false };
            let is_unknown = |at: usize, bytes: usize| !self.headers.contains(&file[at..at + bytes]);
            is_unknown(0, BLOCK_BYTES)
                || frames(file, &home).any(|(block, _)| is_unknown(block * BLOCK_BYTES, FRAME_HEADER_BYTES))
        })
    }

    /// Whether something that is unharmed says what must be where the damage is.
    pub(super) fn is_testified_for(&self, damage: &Damage) -> bool {
        // The record of a generation says where all lanes ended before it.
        let is_older = |id: &SegmentId| {
            self.begun.get(id).is_some_and(|(generation, _)| Some(*generation) < self.newest)
        };
        let in_last_frames = |(id, block): &(SegmentId, usize)| {
            !is_older(id) && self.last_frames.get(id).is_some_and(|(first, _)| block >= first)
        };
        let is_in_one_block = damage.is_in_one_block() && !damage.blocks.iter().any(in_last_frames);
        is_in_one_block || damage.touched.iter().all(is_older)
    }

    /// Whether a record may be gone without an error: its segment was damaged, and nothing later in its lane that is unharmed
    /// says that it was there. Of one block, the header of a later segment is one such thing, and a later frame another.
    pub(crate) fn may_be_lost(&self, place: &Place, damage: &Damage) -> bool {
        let segment = self.segment_of(place);
        let is_harmed = damage.touched.contains(&segment);
        let is_testified_for = self.later(segment).any(|id| !damage.touched.contains(id));
        let is_last = || self.last_frames.get(&segment).is_some_and(|(_, first_lsn)| place.2 >= *first_lsn);
        is_harmed && !is_testified_for && (!damage.is_in_one_block() || is_last())
    }

    /// The segment that holds a record.
    pub(crate) fn segment_of(&self, (generation, lane, lsn): &Place) -> SegmentId {
        let in_lane = self.begun.iter().filter(|(id, _)| id.lane == *lane);
        let mut holding = in_lane.rev().filter(|(_, begun)| **begun <= (*generation, *lsn));
        *holding.next().expect("a record is in a segment").0
    }

    /// The segments that were begun.
    pub(crate) fn begun(&self) -> impl Iterator<Item = &SegmentId> {
        self.begun.keys()
    }

    /// Those of them that its lane began after `segment`.
    fn later(&self, segment: SegmentId) -> impl Iterator<Item = &SegmentId> {
        self.begun().filter(move |id| id.lane == segment.lane && **id > segment)
    }
}

/// The header of a segment, and what its frames must refer to, if it was begun.
fn home(file: &[u8]) -> Option<(SegmentHeader, FrameHome)> {
    let (header, checksum) = SegmentHeader::decode(file.get(..BLOCK_BYTES)?).ok()?;
    let home = FrameHome::new(&header, checksum);
    Some((header, home))
}

/// All valid frames of a segment, wherever they begin.
fn frames<'f>(file: &'f [u8], home: &'f FrameHome) -> impl Iterator<Item = (usize, FrameHeader)> + 'f {
    (1..file.len() / BLOCK_BYTES).filter_map(|block| {
        let rest = &file[block * BLOCK_BYTES..];
        let rest = &rest[..rest.len() / BLOCK_BYTES * BLOCK_BYTES];
        let bytes = Frame::bytes_needed(rest).ok()?;
        let frame = Frame::decode(rest.get(..bytes)?, home).ok()?;
        Some((block, frame.header))
    })
}
