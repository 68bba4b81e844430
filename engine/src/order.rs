//! The total order in which claims are listed and in which every lens breaks its ties.

use std::cmp::Ordering;
use std::fmt;

use crate::time::UnixMicros;

/// When a claim was written, as a number: the generation in the upper 20 bits, the LSN in its lane in the
/// lower 44.
///
/// A slot lives in one lane in each generation, so this orders all that ever happened to a slot. Claims of
/// slots in different lanes may share a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteOrder(u64);

impl WriteOrder {
    /// How many bits the LSN has.
    const LSN_BITS: u32 = 44;

    /// The greatest generation that has a place: about a million starts.
    pub const GENERATION_MAX: u32 = (1 << (u64::BITS - Self::LSN_BITS)) - 1;

    /// The greatest LSN that has a place: at a million records a second, 200 days in one generation.
    pub const LSN_MAX: u64 = (1 << Self::LSN_BITS) - 1;

    /// The order of record `lsn` of a lane in `generation`. Panics if either is beyond its maximum.
    pub fn new(generation: u32, lsn: u64) -> WriteOrder {
        assert!(generation <= Self::GENERATION_MAX, "generation {generation} is beyond the last one");
        assert!(lsn <= Self::LSN_MAX, "LSN {lsn} is beyond the last one of a generation");
        WriteOrder(u64::from(generation) << Self::LSN_BITS | lsn)
    }

    /// Where `generation` begins: after all that was written in earlier ones, and before all that is written in it, since
    /// LSNs are counted from 1. The one after the last has a beginning too.
    pub fn beginning_of(generation: u32) -> WriteOrder {
        match generation {
            0..=Self::GENERATION_MAX => WriteOrder::new(generation, 0),
            _ => WriteOrder(u64::MAX),
        }
    }

    /// The order as one number that sorts like the order itself.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The order that [`Self::as_u64`] gave.
    pub fn from_u64(number: u64) -> WriteOrder {
        WriteOrder(number)
    }

    /// The generation in which the claim was written.
    pub fn generation(self) -> u32 {
        (self.0 >> Self::LSN_BITS) as u32
    }

    /// The LSN of the claim's record in its lane.
    pub fn lsn(self) -> u64 {
        self.0 & Self::LSN_MAX
    }
}

/// Where a claim stands in any list of claims: newest first.
///
/// Sorts by later timestamp, then later write, then smaller hash; the first in a list is the smallest key.
/// No two claims share a key, on whatever cores they are, and a restart does not change one: a key can be
/// handed out as a cursor. The same order breaks the ties of every lens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListKey {
    /// The claim's own time.
    pub timestamp: UnixMicros,
    /// When the claim was written.
    pub order: WriteOrder,
    /// The claim's hash.
    pub hash: [u8; 32],
}

impl ListKey {
    /// The last key that a claim of `timestamp` could have.
    pub fn last_of(timestamp: UnixMicros) -> ListKey {
        ListKey { timestamp, order: WriteOrder(0), hash: [0xFF; 32] }
    }
}

impl Ord for ListKey {
    fn cmp(&self, other: &ListKey) -> Ordering {
        let time = other.timestamp.cmp(&self.timestamp);
        time.then_with(|| other.order.cmp(&self.order)).then_with(|| self.hash.cmp(&other.hash))
    }
}

impl PartialOrd for ListKey {
    fn partial_cmp(&self, other: &ListKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for ListKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = hex::encode(&self.hash[..4]);
        write!(
            f,
            "ListKey({} µs, {}.{}, {hash}…)",
            self.timestamp.0,
            self.order.generation(),
            self.order.lsn()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(timestamp: i64, generation: u32, lsn: u64, hash: u8) -> ListKey {
        ListKey {
            timestamp: UnixMicros(timestamp),
            order: WriteOrder::new(generation, lsn),
            hash: [hash; 32],
        }
    }

    #[test]
    fn newest_comes_first_then_last_written_then_smallest_hash() {
        let listed = [
            key(9, 1, 1, 7),
            key(8, 2, 1, 7),
            key(8, 1, 9, 7),
            key(8, 1, 8, 1),
            key(8, 1, 8, 2),
            key(-1, 3, 3, 0),
        ];
        for (at, one) in listed.iter().enumerate() {
            for (other_at, other) in listed.iter().enumerate() {
                assert_eq!(one.cmp(other), at.cmp(&other_at), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn order_keeps_generation_and_lsn() {
        let order = WriteOrder::new(WriteOrder::GENERATION_MAX, WriteOrder::LSN_MAX);
        assert_eq!((order.generation(), order.lsn()), (WriteOrder::GENERATION_MAX, WriteOrder::LSN_MAX));
        assert_eq!(order.as_u64(), u64::MAX);
        assert_eq!(WriteOrder::from_u64(WriteOrder::new(3, 4).as_u64()), WriteOrder::new(3, 4));
    }

    #[test]
    fn a_generation_begins_between_two() {
        for generation in [1, 2, WriteOrder::GENERATION_MAX] {
            let beginning = WriteOrder::beginning_of(generation);
            assert!(WriteOrder::new(generation - 1, WriteOrder::LSN_MAX) < beginning);
            assert!(beginning < WriteOrder::new(generation, 1));
        }
        let beyond = WriteOrder::beginning_of(WriteOrder::GENERATION_MAX + 1);
        assert!(WriteOrder::new(WriteOrder::GENERATION_MAX, WriteOrder::LSN_MAX - 1) < beyond);
    }

    #[test]
    #[should_panic(expected = "LSN 17592186044416 is beyond the last one")]
    fn an_lsn_too_great_is_refused() {
        WriteOrder::new(1, WriteOrder::LSN_MAX + 1);
    }
}
