//! Which retractions reached all lanes, and which a crash interrupted.

use std::collections::BTreeMap;

use crate::log::layout::array;
use crate::log::{Generation, Lsn};
use crate::slot::LaneId;

/// Bytes at the beginning of a retraction's payload that name the record written first.
const NAME_BYTES: usize = 14;

/// The record of a retraction that was written first; sorts in the order of writing, as far as there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FirstRecord {
    generation: Generation,
    lane: LaneId,
    lsn: Lsn,
}

/// The retractions that were seen and did not reach all lanes so far.
///
/// A retraction is finished when all lanes of one generation have it: the one that made it or, if that was
/// interrupted, a later one that completed it when it was opened.
#[derive(Debug, Default)]
pub(super) struct Retractions {
    unfinished: BTreeMap<FirstRecord, Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    payload: Vec<u8>,
    /// How many lanes of the current generation have it.
    lanes: u16,
    last_lane: LaneId,
}

impl Retractions {
    /// Notes a retraction in `lane` of the current generation. Lanes come one after the other. `false` if the payload
    /// is too short to be one.
    pub(super) fn note(&mut self, lane: LaneId, payload: &[u8]) -> bool {
        if payload.len() < NAME_BYTES {
            return false;
        }
        let first = FirstRecord {
            generation: Generation(u32::from_le_bytes(array(payload, 0))),
            lane: LaneId(u16::from_le_bytes(array(payload, 4))),
            lsn: Lsn(u64::from_le_bytes(array(payload, 6))),
        };
        let fresh = || Unfinished { payload: payload.to_vec(), lanes: 0, last_lane: lane };
        let retraction = self.unfinished.entry(first).or_insert_with(fresh);
        if retraction.lanes == 0 || retraction.last_lane != lane {
            retraction.lanes += 1;
            retraction.last_lane = lane;
        }
        true
    }

    /// Ends a generation of `lanes` lanes.
    pub(super) fn end_generation(&mut self, lanes: u16) {
        self.unfinished.retain(|_, retraction| retraction.lanes < lanes);
        for retraction in self.unfinished.values_mut() {
            retraction.lanes = 0;
        }
    }

    /// The payloads of those that remain unfinished, in the order of their first records.
    pub(super) fn into_unfinished(self) -> Vec<Vec<u8>> {
        self.unfinished.into_values().map(|retraction| retraction.payload).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(generation: u32, lane: u16, lsn: u64) -> Vec<u8> {
        let mut bytes = generation.to_le_bytes().to_vec();
        bytes.extend(lane.to_le_bytes());
        bytes.extend(lsn.to_le_bytes());
        bytes.extend(b"path and reason");
        bytes
    }

    #[test]
    fn what_reached_all_lanes_of_a_generation_is_finished() {
        let mut retractions = Retractions::default();
        let (whole, half, other) = (payload(1, 0, 5), payload(1, 1, 9), payload(1, 1, 3));
        assert!(retractions.note(LaneId(0), &whole));
        assert!(retractions.note(LaneId(1), &whole));
        assert!(retractions.note(LaneId(1), &half));
        assert!(retractions.note(LaneId(1), &half), "a second copy in the same lane counts once");
        assert!(retractions.note(LaneId(1), &other));
        retractions.end_generation(2);
        assert!(retractions.note(LaneId(0), &half));
        retractions.end_generation(1);
        assert_eq!(retractions.into_unfinished(), [other]);
    }

    #[test]
    fn unfinished_ones_come_in_the_order_of_their_first_records() {
        let mut retractions = Retractions::default();
        let sorted = [payload(1, 1, 300), payload(2, 0, 2), payload(2, 0, 256), payload(2, 1, 1)];
        for at in [2, 0, 3, 1] {
            assert!(retractions.note(LaneId(0), &sorted[at]));
        }
        retractions.end_generation(2);
        assert_eq!(retractions.into_unfinished(), sorted);
    }

    #[test]
    fn a_payload_without_a_name_is_none() {
        assert!(!Retractions::default().note(LaneId(0), &payload(1, 0, 5)[..13]));
    }
}
