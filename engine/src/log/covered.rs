//! Which part of the log is no longer needed, because tables hold what it says.
//!
//! ```text
//! 0         4        8       12        16                 20
//! ├─────────┼────────┼────────┼─────────┼──────────────────┼─────────────────┬────────┬──────────────────┐
//! │ version │ ends   │ record │ 0       │ retractions      │ ends × 32 bytes │ record │ retractions …    │
//!
//! an end:         0      2           4            8         16           24         32
//!                 ├──────┼───────────┼────────────┼─────────┼────────────┼──────────┤
//!                 │ lane │ continues │ generation │ segment │ end offset │ next LSN │
//!
//! a retraction:   0         4       8        136
//!                 ├─────────┼───────┼────────┼────────────────┬─────────┐
//!                 │ payload │ lanes │ struck │ lanes × 2 bytes│ payload │
//! ```

use std::collections::BTreeSet;

use crate::log::generation::{GenerationRecord, GenerationRecordError, LaneEnd};
use crate::log::layout::array;
use crate::log::record::RETRACTION_NAME_BYTES;
use crate::log::segment::SegmentId;
use crate::log::storage::SegmentFile;
use crate::log::{BLOCK_BYTES, Generation, Lsn, SegmentNumber};
use crate::slot::{LaneId, SlotSet};

const VERSION: u32 = 1;
const FIXED_BYTES: usize = 20;
const END_BYTES: usize = 32;
const RETRACTION_FIXED_BYTES: usize = 8 + SlotSet::BYTES;

/// The part of the log that is no longer needed: of each lane, a number of whole segments from its first on.
///
/// Generations are covered in their order. While a segment of one generation is not covered, none of a later one is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covered {
    /// Where the covered part of each lane ends, by lane. A lane of which nothing is covered is not there.
    pub ends: Vec<CoveredEnd>,
    /// The record of the latest generation of which something is covered, if that has one: its copies may be gone.
    pub generation: Option<GenerationRecord>,
    /// The retractions of which it is not known yet that they reached all lanes, in the order of their first records.
    pub retractions: Vec<CoveredRetraction>,
}

/// Where the covered part of a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoveredEnd {
    /// The last covered segment, where its frames end, and what comes next.
    pub end: LaneEnd,
    /// Whether the lane's next segment was begun. If so, it must be there.
    pub continues: bool,
}

/// A retraction of which some records are covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredRetraction {
    /// The payload of its records.
    pub payload: Vec<u8>,
    /// The lanes of the generation covered last that have it.
    pub lanes: BTreeSet<LaneId>,
    /// The slots that one of its records stood for, in any generation.
    pub struck: SlotSet,
}

/// Why bytes do not say which part of the log is covered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoveredError {
    /// Another version.
    #[error(
        "it says in version {actual} which part of the log is covered; this program reads version {VERSION}"
    )]
    Version {
        /// The version.
        actual: u32,
    },
    /// It does not have the length that it states.
    #[error("it ends after {actual} bytes, which is not the length that it states")]
    Length {
        /// Its length in bytes.
        actual: usize,
    },
    /// Its record of a generation cannot be read.
    #[error(transparent)]
    Generation(#[from] GenerationRecordError),
    /// Its parts contradict each other.
    #[error("what it says of the covered part of the log contradicts itself: {covered:?}")]
    Inconsistent {
        /// What it says.
        covered: Box<Covered>,
    },
}

impl Covered {
    /// Where the covered part of a lane ends.
    pub fn end_of(&self, lane: LaneId) -> Option<&CoveredEnd> {
        self.ends.iter().find(|covered| covered.end.lane == lane)
    }

    /// Whether a segment is covered.
    pub fn contains(&self, segment: SegmentId) -> bool {
        self.end_of(segment.lane).is_some_and(|covered| segment.number <= covered.end.segment)
    }

    /// The same for an older copy of the log, which has these files: a lane of which the copy has nothing behind the covered
    /// part goes on there as if its next segment had never been begun.
    pub fn of_copy(mut self, files: &[SegmentFile]) -> Covered {
        for covered in &mut self.ends {
            let next = SegmentId { lane: covered.end.lane, number: covered.end.segment.next() };
            covered.continues &= files.iter().any(|file| file.id == next);
        }
        self
    }

    /// The bytes that say it.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_sound(), "{self:?}");
        let record = self.generation.as_ref().map(GenerationRecord::encode).unwrap_or_default();
        let mut bytes = Vec::new();
        for number in [VERSION, self.ends.len() as u32, record.len() as u32, 0, self.retractions.len() as u32]
        {
            bytes.extend(number.to_le_bytes());
        }
        for CoveredEnd { end, continues } in &self.ends {
            bytes.extend(end.lane.0.to_le_bytes());
            bytes.extend(u16::from(*continues).to_le_bytes());
            bytes.extend(end.generation.0.to_le_bytes());
            bytes.extend(end.segment.0.to_le_bytes());
            bytes.extend(end.end_offset.to_le_bytes());
            bytes.extend(end.next_lsn.0.to_le_bytes());
        }
        bytes.extend(record);
        for CoveredRetraction { payload, lanes, struck } in &self.retractions {
            bytes.extend((payload.len() as u32).to_le_bytes());
            bytes.extend((lanes.len() as u32).to_le_bytes());
            bytes.extend(struck.to_bytes());
            lanes.iter().for_each(|lane| bytes.extend(lane.0.to_le_bytes()));
            bytes.extend(payload);
        }
        bytes
    }

    /// Reads what [`Self::encode`] gave.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Covered, CoveredError> {
        let mut reader = Reader { rest: bytes, bytes: bytes.len(), lanes_are_sorted: true };
        let fixed = reader.take(FIXED_BYTES)?;
        let number = |at| u32::from_le_bytes(array(fixed, at));
        let (version, ends, record_bytes, zero, retractions) =
            (number(0), number(4), number(8), number(12), number(16));
        if version != VERSION {
            return Err(CoveredError::Version { actual: version });
        }
        let mut covered = Covered::default();
        let mut flags_are_sound = zero == 0;
        for _ in 0..ends {
            let end = reader.take(END_BYTES)?;
            let continues = u16::from_le_bytes(array(end, 2));
            flags_are_sound &= continues <= 1;
            covered.ends.push(CoveredEnd {
                end: LaneEnd {
                    lane: LaneId(u16::from_le_bytes(array(end, 0))),
                    generation: Generation(u32::from_le_bytes(array(end, 4))),
                    segment: SegmentNumber(u64::from_le_bytes(array(end, 8))),
                    end_offset: u64::from_le_bytes(array(end, 16)),
                    next_lsn: Lsn(u64::from_le_bytes(array(end, 24))),
                },
                continues: continues == 1,
            });
        }
        if record_bytes > 0 {
            covered.generation = Some(GenerationRecord::decode(reader.take(record_bytes as usize)?)?);
        }
        for _ in 0..retractions {
            covered.retractions.push(reader.retraction()?);
        }
        if !reader.rest.is_empty() {
            return Err(CoveredError::Length { actual: bytes.len() });
        }
        if !flags_are_sound || !reader.lanes_are_sorted || !covered.is_sound() {
            return Err(CoveredError::Inconsistent { covered: Box::new(covered) });
        }
        Ok(covered)
    }

    fn is_sound(&self) -> bool {
        let latest = self.generation.as_ref().map(|record| record.generation);
        let end_is_sound = |covered: &CoveredEnd| {
            covered.end.is_possible()
                && covered.end.end_offset >= BLOCK_BYTES as u64
                && latest.is_none_or(|latest| covered.end.generation <= latest)
        };
        self.ends.is_sorted_by(|one, next| one.end.lane < next.end.lane)
            && self.ends.iter().all(end_is_sound)
            && self.retractions.iter().all(|retraction| retraction.payload.len() >= RETRACTION_NAME_BYTES)
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
    /// How many there were.
    bytes: usize,
    /// Whether all lists of lanes so far were in order, none twice.
    lanes_are_sorted: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CoveredError> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(CoveredError::Length { actual: self.bytes })?;
        self.rest = rest;
        Ok(taken)
    }

    fn retraction(&mut self) -> Result<CoveredRetraction, CoveredError> {
        let fixed = self.take(RETRACTION_FIXED_BYTES)?;
        let payload_bytes = u32::from_le_bytes(array(fixed, 0)) as usize;
        let lanes = u32::from_le_bytes(array(fixed, 4));
        let struck = SlotSet::from_bytes(&array(fixed, 8));
        let lanes = (0..lanes)
            .map(|_| Ok(LaneId(u16::from_le_bytes(array(self.take(2)?, 0)))))
            .collect::<Result<Vec<_>, CoveredError>>()?;
        self.lanes_are_sorted &= lanes.is_sorted_by(|one, next| one < next);
        let lanes = lanes.into_iter().collect();
        Ok(CoveredRetraction { payload: self.take(payload_bytes)?.to_vec(), lanes, struck })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lanes_of_a_retraction_are_there_once_and_in_order() {
        let retraction = CoveredRetraction {
            payload: vec![7; RETRACTION_NAME_BYTES],
            lanes: [LaneId(0), LaneId(3)].into(),
            struck: SlotSet::default(),
        };
        let covered = Covered { retractions: vec![retraction], ..Covered::default() };
        let bytes = covered.encode();
        assert_eq!(Covered::decode(&bytes), Ok(covered));
        let lanes = FIXED_BYTES + RETRACTION_FIXED_BYTES;
        for other in [[3, 0, 0, 0], [3, 0, 3, 0]] {
            let mut bytes = bytes.clone();
            bytes[lanes..lanes + 4].copy_from_slice(&other);
            assert!(matches!(Covered::decode(&bytes), Err(CoveredError::Inconsistent { .. })), "{other:?}");
        }
    }
}
