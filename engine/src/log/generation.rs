//! The record with which each generation begins in each of its lanes.
//!
//! ```text
//! 0            4       6       8        16      20         24
//! ├────────────┼───────┼───────┼────────┼───────┼──────────┼───────────────────┤
//! │ generation │ lanes │ slots │ opened │ ends  │ 0        │ ends × 32 bytes   │
//!
//! an end:  0      2   4            8         16           24         32
//!          ├──────┼───┼────────────┼─────────┼────────────┼──────────┤
//!          │ lane │ 0 │ generation │ segment │ end offset │ next LSN │
//! ```

use crate::log::layout::array;
use crate::log::{BLOCK_BYTES, Generation, Lsn, SegmentNumber};
use crate::slot::{LaneId, SLOTS};
use crate::time::UnixMicros;

const FIXED_BYTES: usize = 24;
const END_BYTES: usize = 32;

/// Where a lane's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneEnd {
    /// The lane.
    pub lane: LaneId,
    /// The last generation in which the lane began a segment.
    pub generation: Generation,
    /// The last segment that it began.
    pub segment: SegmentNumber,
    /// Where the frames of that segment end, in bytes.
    pub end_offset: u64,
    /// The number of the record that would come next.
    pub next_lsn: Lsn,
}

/// What a generation says when it begins. The same in all of its lanes.
///
/// Once it is durable in all of them, no lane or segment of the past can go missing, and no frame before an end can be
/// damaged, without being noticed; and what lies behind an end is no part of the log, whatever it looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRecord {
    /// The generation.
    pub generation: Generation,
    /// It writes lanes 0 to `lanes - 1`.
    pub lanes: u16,
    /// When it was opened.
    pub opened: UnixMicros,
    /// Where the log ends of every lane that was ever written, by lane.
    pub ends: Vec<LaneEnd>,
}

impl LaneEnd {
    /// Whether a lane can come to end there.
    pub(super) fn is_possible(&self) -> bool {
        self.generation.is_possible()
            && self.segment.is_possible()
            && self.end_offset.is_multiple_of(BLOCK_BYTES as u64)
            && self.next_lsn.can_be_next()
    }
}

impl GenerationRecord {
    /// The record's payload.
    pub fn encode(&self) -> Vec<u8> {
        assert!((1..=SLOTS).contains(&self.lanes), "a generation of {} lanes", self.lanes);
        assert!(self.ends.is_sorted_by_key(|end| end.lane), "ends are given by lane");
        let mut bytes = Vec::with_capacity(FIXED_BYTES + END_BYTES * self.ends.len());
        bytes.extend(self.generation.0.to_le_bytes());
        bytes.extend(self.lanes.to_le_bytes());
        bytes.extend(SLOTS.to_le_bytes());
        bytes.extend(self.opened.0.to_le_bytes());
        bytes.extend((self.ends.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        for end in &self.ends {
            bytes.extend(end.lane.0.to_le_bytes());
            bytes.extend([0; 2]);
            bytes.extend(end.generation.0.to_le_bytes());
            bytes.extend(end.segment.0.to_le_bytes());
            bytes.extend(end.end_offset.to_le_bytes());
            bytes.extend(end.next_lsn.0.to_le_bytes());
        }
        bytes
    }

    /// Reads the record's payload.
    pub fn decode(payload: &[u8]) -> Result<GenerationRecord, GenerationRecordError> {
        let Some((fixed, rest)) = payload.split_at_checked(FIXED_BYTES) else {
            return Err(GenerationRecordError::Length { actual: payload.len() });
        };
        let ends = u32::from_le_bytes(array(fixed, 16)) as usize;
        if ends.checked_mul(END_BYTES) != Some(rest.len()) {
            return Err(GenerationRecordError::Length { actual: payload.len() });
        }
        let mut reserved = rest.chunks_exact(END_BYTES).map(|end| &end[2..4]).chain([&fixed[20..24]]);
        if reserved.any(|bytes| bytes.iter().any(|byte| *byte != 0)) {
            return Err(GenerationRecordError::Reserved);
        }
        let slots = u16::from_le_bytes(array(fixed, 6));
        if slots != SLOTS {
            return Err(GenerationRecordError::Slots { actual: slots });
        }
        let record = GenerationRecord {
            generation: Generation(u32::from_le_bytes(array(fixed, 0))),
            lanes: u16::from_le_bytes(array(fixed, 4)),
            opened: UnixMicros(i64::from_le_bytes(array(fixed, 8))),
            ends: rest.chunks_exact(END_BYTES).map(decode_end).collect(),
        };
        let by_lane = record.ends.is_sorted_by(|one, next| one.lane < next.lane);
        let sound = record.ends.iter().all(|end| end.is_possible() && end.generation < record.generation);
        if !record.generation.is_possible() || !(1..=SLOTS).contains(&record.lanes) || !by_lane || !sound {
            return Err(GenerationRecordError::Inconsistent { record });
        }
        Ok(record)
    }

    /// Where the log of `lane` ends, if it was ever written.
    pub fn end_of(&self, lane: LaneId) -> Option<&LaneEnd> {
        self.ends.iter().find(|end| end.lane == lane)
    }

    /// The first segment of `lane` in this generation.
    pub fn first_segment_of(&self, lane: LaneId) -> SegmentNumber {
        self.end_of(lane).map_or(SegmentNumber::FIRST, |end| end.segment.next())
    }
}

fn decode_end(bytes: &[u8]) -> LaneEnd {
    LaneEnd {
        lane: LaneId(u16::from_le_bytes(array(bytes, 0))),
        generation: Generation(u32::from_le_bytes(array(bytes, 4))),
        segment: SegmentNumber(u64::from_le_bytes(array(bytes, 8))),
        end_offset: u64::from_le_bytes(array(bytes, 16)),
        next_lsn: Lsn(u64::from_le_bytes(array(bytes, 24))),
    }
}

/// Why a payload is not a generation's record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerationRecordError {
    /// It does not have the length that it says.
    #[error("the generation's record has {actual} bytes, which is not the length that it states")]
    Length {
        /// Its length in bytes.
        actual: usize,
    },
    /// Bytes are in use that this version has no use for.
    #[error(
        "the generation's record has bytes that are not 0 where this version has 0; a newer one wrote it"
    )]
    Reserved,
    /// The log was written with another number of slots.
    #[error("the log was written with {actual} slots, but this version has {SLOTS}")]
    Slots {
        /// How many slots.
        actual: u16,
    },
    /// Its fields contradict each other.
    #[error("the generation's record contradicts itself: {record:?}")]
    Inconsistent {
        /// The record.
        record: GenerationRecord,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> GenerationRecord {
        let end = LaneEnd {
            lane: LaneId(0x0203),
            generation: Generation(0x0002_0304),
            segment: SegmentNumber(5),
            end_offset: 0x2000,
            next_lsn: Lsn(0x0605_0403_0201),
        };
        GenerationRecord {
            generation: Generation(0x0003_0201),
            lanes: 2,
            opened: UnixMicros(1_700_000_000_000_000),
            ends: vec![LaneEnd { lane: LaneId(1), ..end }, end],
        }
    }

    #[test]
    fn a_generation_record_is_these_very_bytes() {
        let fixed = "01020300 0200 0004 00401e18240a0600 02000000 00000000";
        let first = "0100 0000 04030200 0500000000000000 0020000000000000 0102030405060000";
        let second = "0302 0000 04030200 0500000000000000 0020000000000000 0102030405060000";
        assert_eq!(hex::encode(record().encode()), format!("{fixed}{first}{second}").replace(' ', ""));
    }

    #[test]
    fn a_generation_record_comes_back_and_knows_its_lanes() {
        let decoded = GenerationRecord::decode(&record().encode()).unwrap();
        assert_eq!(decoded, record());
        assert_eq!(decoded.end_of(LaneId(1)), Some(&record().ends[0]));
        assert_eq!(decoded.end_of(LaneId(0)), None);
        assert_eq!(decoded.first_segment_of(LaneId(1)), SegmentNumber(6));
        assert_eq!(decoded.first_segment_of(LaneId(0)), SegmentNumber::FIRST);
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = record().encode();
        for cut in 0..bytes.len() {
            let error = GenerationRecord::decode(&bytes[..cut]).unwrap_err();
            assert_eq!(error, GenerationRecordError::Length { actual: cut });
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            GenerationRecord::decode(&bytes).unwrap_err()
        };
        for reserved in [20, 23, 26, 27, 58, 59] {
            assert_eq!(changed(reserved, 1), GenerationRecordError::Reserved);
        }
        assert_eq!(changed(7, 8), GenerationRecordError::Slots { actual: 2048 });
        assert!(matches!(changed(4, 0), GenerationRecordError::Inconsistent { .. }), "no lanes");
        assert!(matches!(changed(5, 5), GenerationRecordError::Inconsistent { .. }), "more lanes than slots");
        assert!(matches!(changed(25, 9), GenerationRecordError::Inconsistent { .. }), "lanes out of order");
        assert!(matches!(changed(30, 4), GenerationRecordError::Inconsistent { .. }), "an end in the future");
        assert!(
            matches!(changed(3, 1), GenerationRecordError::Inconsistent { .. }),
            "beyond all generations"
        );
        assert!(
            matches!(changed(39, 128), GenerationRecordError::Inconsistent { .. }),
            "beyond all segments"
        );
        assert!(matches!(changed(55, 1), GenerationRecordError::Inconsistent { .. }), "beyond all LSNs");
        assert!(
            matches!(changed(40, 1), GenerationRecordError::Inconsistent { .. }),
            "an end within a block"
        );
    }
}
