//! Which claims some retractions strike.

use std::collections::HashMap;

use super::TableRetraction;
use crate::claim::{DecodeError, Retraction};
use crate::order::WriteOrder;
use crate::slot::{SLOTS, Slot, SlotSet};

/// Retractions, by the path that they take back, to be asked about one claim after the other.
///
/// A retraction strikes the claims about exactly its path, and those whose source is the path or below it, as far as they are
/// of its slots and were written before it. A path costs its bytes and about a hundred more, and 16 for each range of slots
/// that was last struck by another record than its neighbours.
#[derive(Debug, Clone, Default)]
pub struct Strikes {
    // Clients choose the paths, so the standard hasher, whose keys nobody knows; what is found does not depend on them.
    paths: HashMap<Box<[u8]>, Vec<Strike>>,
}

/// The last record that strikes these slots of a path. The ranges of a path are in order and apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Strike {
    first: u16,
    end: u16,
    order: WriteOrder,
}

impl Strikes {
    /// Adds a retraction of `path` that strikes what was written to `slots` before `order`.
    pub fn add(&mut self, order: WriteOrder, slots: &SlotSet, path: &str) {
        let strikes = self.paths.entry(path.as_bytes().into()).or_default();
        for range in slots.ranges_within(0..SLOTS) {
            raise(strikes, Strike { first: range.start, end: range.end, order });
        }
    }

    /// Adds a retraction of a table.
    pub fn add_record(&mut self, retraction: &TableRetraction<'_>) -> Result<(), DecodeError> {
        let path = Retraction::decode(retraction.payload)?.path;
        self.add(retraction.order, &retraction.slots, path.as_str());
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether a claim is struck that was written at `order`, about `subject` in `slot`, resting on `source`, which is empty if
    /// there is none.
    pub fn strike(&self, slot: Slot, order: WriteOrder, subject: &[u8], source: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_struck_at =
            |path: &[u8]| self.paths.get(path).is_some_and(|strikes| covers(strikes, slot, order));
        // Of a source, what is before each slash is a path that it is below of.
        let slashes = (0..source.len()).filter(|&at| source[at] == b'/');
        is_struck_at(subject)
            || is_struck_at(source)
            || slashes.into_iter().any(|at| is_struck_at(&source[..at]))
    }
}

/// Whether one of `strikes` is of `slot` and later than `order`.
fn covers(strikes: &[Strike], slot: Slot, order: WriteOrder) -> bool {
    let at = strikes.partition_point(|strike| strike.end <= slot.number());
    strikes.get(at).is_some_and(|strike| strike.first <= slot.number() && strike.order > order)
}

/// Adds a strike to those of a path: for each slot the latest one counts.
fn raise(strikes: &mut Vec<Strike>, new: Strike) {
    let mut raised = Vec::with_capacity(strikes.len() + 2);
    // Up to here the new strike's slots are dealt with.
    let mut next = new.first;
    for &old in strikes.iter() {
        let (first, end) = (old.first.max(new.first), old.end.min(new.end));
        if first >= end {
            raised.push(old);
            continue;
        }
        raised.push(Strike { end: first, ..old });
        raised.push(Strike { first: next, end: first, order: new.order });
        raised.push(Strike { first, end, order: old.order.max(new.order) });
        raised.push(Strike { first: end, ..old });
        next = end;
    }
    raised.push(Strike { first: next, ..new });
    raised.retain(|strike| strike.first < strike.end);
    raised.sort_unstable_by_key(|strike| strike.first);
    raised.dedup_by(|later, earlier| {
        let is_one = earlier.end == later.first && earlier.order == later.order;
        if is_one {
            earlier.end = later.end;
        }
        is_one
    });
    *strikes = raised;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(range: std::ops::Range<u16>) -> SlotSet {
        SlotSet::default().add(range)
    }

    #[test]
    fn a_path_strikes_its_subject_and_the_sources_at_and_below_it() {
        let mut strikes = Strikes::default();
        assert!(strikes.is_empty());
        strikes.add(WriteOrder::new(1, 9), &set(0..SLOTS), "a/b");
        let slot = Slot::of(b"x");
        let struck = |lsn, subject: &str, source: &str| {
            strikes.strike(slot, WriteOrder::new(1, lsn), subject.as_bytes(), source.as_bytes())
        };
        assert!(struck(8, "a/b", ""));
        assert!(struck(8, "x", "a/b"));
        assert!(struck(8, "x", "a/b/c/d"));
        assert!(struck(8, "x", "a/b/"));
        // Subjects below it are not struck, nor sources that only begin like it.
        assert!(!struck(8, "a/b/c", ""));
        assert!(!struck(8, "a", "a"));
        assert!(!struck(8, "x", "a/bc"));
        // Nor what was written after it.
        assert!(!struck(9, "a/b", ""));
        assert!(!struck(10, "a/b", ""));
    }

    proptest! {
        /// Method: the latest strike of each slot, kept one by one.
        #[test]
        fn each_slot_keeps_its_latest_strike(
            added in prop::collection::vec((0..40_u16, 0..40_u16, 1..6_u64), 0..12),
        ) {
            let (mut strikes, mut model) = (Strikes::default(), [0; SLOTS as usize]);
            for (one, other, lsn) in added {
                let range = one.min(other)..one.max(other);
                strikes.add(WriteOrder::new(1, lsn), &set(range.clone()), "p");
                for slot in range {
                    let latest = &mut model[usize::from(slot)];
                    *latest = lsn.max(*latest);
                }
            }
            let slots = (0_u32..).map(|n| Slot::of(&n.to_le_bytes())).filter(|slot| slot.number() < 48).take(200);
            for slot in slots {
                for lsn in 0..6 {
                    let is_struck = strikes.strike(slot, WriteOrder::new(1, lsn), b"p", b"");
                    prop_assert_eq!(is_struck, model[usize::from(slot.number())] > lsn);
                }
            }
            if let Some(ranges) = strikes.paths.get(&b"p"[..]) {
                for pair in ranges.windows(2) {
                    prop_assert!(pair[0].end <= pair[1].first);
                    prop_assert!(pair[0].end < pair[1].first || pair[0].order != pair[1].order);
                }
            }
        }
    }
}
