//! Rows: what the index keeps of every claim in one cache line.

use super::chunked_vec::ChunkedVec;
use crate::order::{ListKey, WriteOrder};
use crate::time::UnixMicros;

/// The rows of all claims, by their number.
pub(super) type Rows = ChunkedVec<Row, 4096>;

/// One claim, but for what its body holds.
#[repr(align(64))]
pub(super) struct Row {
    pub(super) hash: [u8; 32],
    /// Microseconds since 1970.
    timestamp: i64,
    order: u64,
    /// Where the body is in its arena.
    pub(super) body: u32,
    pub(super) series: u32,
    /// The next older claim of the same series, as long as the series is a chain.
    pub(super) older: Link,
    /// The claim of the same source that was inserted before this one, and whether this one is retracted.
    same_source: u32,
}

// One cache line: looking at any part of a row costs no more than looking at one.
const _: () = assert!(size_of::<Row>() == 64);

/// The bit of `same_source` that says that the claim is retracted.
const RETRACTED: u32 = 1 << 31;

impl Row {
    pub(super) fn new(key: &ListKey, body: u32, series: u32, same_source: Link) -> Row {
        Row {
            hash: key.hash,
            timestamp: key.timestamp.0,
            order: key.order.as_u64(),
            body,
            series,
            older: Link::NONE,
            same_source: same_source.0,
        }
    }

    /// Marks the claim as retracted; false if it was already.
    pub(super) fn retract(&mut self) -> bool {
        let is_news = !self.is_retracted();
        self.same_source |= RETRACTED;
        is_news
    }

    pub(super) fn key(&self) -> ListKey {
        ListKey { timestamp: UnixMicros(self.timestamp), order: self.order(), hash: self.hash }
    }

    pub(super) fn order(&self) -> WriteOrder {
        WriteOrder::from_u64(self.order)
    }

    pub(super) fn same_source(&self) -> Link {
        Link(self.same_source & !RETRACTED)
    }

    pub(super) fn is_retracted(&self) -> bool {
        self.same_source & RETRACTED != 0
    }
}

/// A number below 2^31 − 1, or none: the next element of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    /// The end of a chain.
    pub(super) const NONE: Link = Link(!RETRACTED);

    /// The greatest number that a link can lead to.
    pub(super) const TARGET_MAX: u32 = Self::NONE.0 - 1;

    pub(super) fn to(target: u32) -> Link {
        assert!(target <= Self::TARGET_MAX, "no link leads to {target}");
        Link(target)
    }

    pub(super) fn target(self) -> Option<u32> {
        (self != Self::NONE).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retracting_changes_nothing_else() {
        let key = ListKey {
            timestamp: UnixMicros(i64::MAX),
            order: WriteOrder::from_u64(u64::MAX),
            hash: [0xAB; 32],
        };
        for same_source in [Link::NONE, Link::to(0), Link::to(Link::TARGET_MAX)] {
            let mut row = Row::new(&key, u32::MAX, 5, same_source);
            assert!(!row.is_retracted());
            assert!(row.retract());
            assert!(!row.retract(), "the second time is no news");
            assert!(row.is_retracted());
            assert_eq!((row.key(), row.same_source(), row.body, row.series), (key, same_source, u32::MAX, 5));
            assert_eq!(row.older, Link::NONE);
        }
    }

    #[test]
    fn links_lead_where_they_were_made_to() {
        assert_eq!(Link::NONE.target(), None);
        assert_eq!(Link::to(0).target(), Some(0));
        assert_eq!(Link::to(Link::TARGET_MAX).target(), Some(Link::TARGET_MAX));
    }
}
