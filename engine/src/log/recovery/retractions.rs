//! Which retractions reached all lanes, and which a crash interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::log::covered::CoveredRetraction;
use crate::log::layout::array;
use crate::log::record::RETRACTION_NAME_BYTES;
use crate::log::recovery::UnfinishedRetraction;
use crate::log::{Generation, Lsn};
use crate::slot::{LaneId, SlotSet};

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
    /// The lanes of the current generation that have it.
    lanes: BTreeSet<LaneId>,
    /// The slots that one of its records stood for, in any generation.
    struck: SlotSet,
}

impl Retractions {
    /// Those that were seen in the covered part of the log.
    pub(super) fn covered(retractions: &[CoveredRetraction]) -> Retractions {
        let unfinished = |retraction: &CoveredRetraction| {
            let CoveredRetraction { payload, lanes, struck } = retraction.clone();
            let first = first_record(&payload).expect("what is covered was checked when it was read");
            (first, Unfinished { payload, lanes, struck })
        };
        Retractions { unfinished: retractions.iter().map(unfinished).collect() }
    }

    /// Notes a retraction in `lane` of the current generation, which has `slots` in it.
    /// Gives the slots that this record is the first to strike; `None` if the payload is too short to be a retraction.
    pub(super) fn note(&mut self, lane: LaneId, slots: Range<u16>, payload: &[u8]) -> Option<SlotSet> {
        let fresh =
            || Unfinished { payload: payload.to_vec(), lanes: BTreeSet::new(), struck: SlotSet::default() };
        let retraction = self.unfinished.entry(first_record(payload)?).or_insert_with(fresh);
        retraction.lanes.insert(lane);
        Some(retraction.struck.add(slots))
    }

    /// Ends a generation of `lanes` lanes.
    pub(super) fn end_generation(&mut self, lanes: u16) {
        self.unfinished.retain(|_, retraction| retraction.lanes.len() < usize::from(lanes));
        for retraction in self.unfinished.values_mut() {
            retraction.lanes.clear();
        }
    }

    /// What the covered part of the log says of them, if it ends here, in a generation of `lanes` lanes: nothing of those that
    /// have reached them all, whose records are covered. A generation without a record, of which the lanes are not known, has
    /// no retraction either, and so finishes none.
    pub(super) fn into_covered(self, lanes: Option<u16>) -> Vec<CoveredRetraction> {
        let is_finished =
            |retraction: &Unfinished| lanes.is_some_and(|lanes| retraction.lanes.len() >= usize::from(lanes));
        let unfinished = self.unfinished.into_values().filter(|retraction| !is_finished(retraction));
        unfinished
            .map(|Unfinished { payload, lanes, struck }| CoveredRetraction { payload, lanes, struck })
            .collect()
    }

    /// Those that remain unfinished, in the order of their first records.
    pub(super) fn into_unfinished(self) -> Vec<UnfinishedRetraction> {
        let unfinished = self.unfinished.into_values();
        let rest =
            |Unfinished { payload, struck, .. }| UnfinishedRetraction { payload, slots: struck.complement() };
        unfinished.map(rest).collect()
    }
}

fn first_record(payload: &[u8]) -> Option<FirstRecord> {
    (payload.len() >= RETRACTION_NAME_BYTES).then(|| FirstRecord {
        generation: Generation(u32::from_le_bytes(array(payload, 0))),
        lane: LaneId(u16::from_le_bytes(array(payload, 4))),
        lsn: Lsn(u64::from_le_bytes(array(payload, 6))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::SLOTS;

    fn note(retractions: &mut Retractions, lane: u16, payload: &[u8]) {
        assert!(retractions.note(LaneId(lane), 0..SLOTS, payload).is_some());
    }

    fn payloads(retractions: Retractions) -> Vec<Vec<u8>> {
        retractions.into_unfinished().into_iter().map(|retraction| retraction.payload).collect()
    }

    #[test]
    fn a_slot_is_struck_once_by_the_first_record_that_stands_for_it() {
        let mut retractions = Retractions::default();
        let retraction = payload(1, 0, 5);
        let set = |slots| SlotSet::default().add(slots);
        let mut struck =
            |lane, slots| retractions.note(LaneId(lane), slots, &retraction).expect("it is long enough");
        assert_eq!(struck(0, 0..300), set(0..300));
        // Interrupted here; what completes it has other lanes.
        assert_eq!(struck(0, 0..512), set(300..512));
        assert_eq!(retractions.into_unfinished()[0].slots, set(512..SLOTS));
    }

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
        note(&mut retractions, 0, &whole);
        note(&mut retractions, 1, &whole);
        note(&mut retractions, 1, &half);
        // A second copy in the same lane counts once.
        note(&mut retractions, 1, &half);
        note(&mut retractions, 1, &other);
        retractions.end_generation(2);
        note(&mut retractions, 0, &half);
        retractions.end_generation(1);
        assert_eq!(payloads(retractions), [other]);
    }

    /// The manifest has no bound if it keeps what is finished.
    #[test]
    fn nothing_is_kept_of_what_reached_all_lanes_when_its_records_are_covered() {
        let mut retractions = Retractions::default();
        let (whole, half, none) = (payload(1, 0, 5), payload(1, 1, 9), payload(1, 0, 7));
        note(&mut retractions, 0, &none);
        retractions.end_generation(2);
        for (lane, payload) in [(0, &whole), (0, &half), (1, &whole)] {
            note(&mut retractions, lane, payload);
        }
        let covered = retractions.into_covered(Some(2));
        let kept: Vec<_> = covered.iter().map(|kept| (&kept.payload, kept.lanes.len())).collect();
        assert_eq!(kept, [(&none, 0), (&half, 1)]);
    }

    #[test]
    fn unfinished_ones_come_in_the_order_of_their_first_records() {
        let mut retractions = Retractions::default();
        let sorted = [payload(1, 1, 300), payload(2, 0, 2), payload(2, 0, 256), payload(2, 1, 1)];
        for at in [2, 0, 3, 1] {
            note(&mut retractions, 0, &sorted[at]);
        }
        retractions.end_generation(2);
        assert_eq!(payloads(retractions), sorted);
    }

    #[test]
    fn a_payload_without_a_name_is_none() {
        assert!(Retractions::default().note(LaneId(0), 0..SLOTS, &payload(1, 0, 5)[..13]).is_none());
    }
}
