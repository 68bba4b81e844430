//! The numbers by which the log names its parts.

use std::fmt;

use crate::order::WriteOrder;

/// The number of a record in its lane, without gap or repeat across all generations. The first record is number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No record has this number: the committed LSN of a lane without committed records.
    pub const ZERO: Lsn = Lsn(0);

    /// The first record of a lane.
    pub const FIRST: Lsn = Lsn(1);

    /// The number `records` further on.
    pub fn plus(self, records: u64) -> Lsn {
        Lsn(self.0.checked_add(records).expect("a lane does not live to see 2^64 records"))
    }

    /// Whether a lane can come to have this record next: the order of all writes has a place for those before it.
    pub(crate) fn can_be_next(self) -> bool {
        (Lsn::FIRST.0..=WriteOrder::LSN_MAX + 1).contains(&self.0)
    }

    /// Whether a generation can begin here: 2^32 more records have numbers.
    pub(crate) fn has_room(self) -> bool {
        self.0 <= WriteOrder::LSN_MAX - (1 << 32)
    }

    /// The number before this one, which is not [`Lsn::ZERO`].
    pub fn before(self) -> Lsn {
        Lsn(self.0.checked_sub(1).expect("there is no LSN before zero"))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a start of the server that got as far as writing to the log. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation that begins an empty log.
    pub const FIRST: Generation = Generation(1);

    /// Whether a log can come to it: the order of all writes has a place for it.
    pub(crate) fn is_possible(self) -> bool {
        (Generation::FIRST.0..=WriteOrder::GENERATION_MAX).contains(&self.0)
    }

    /// The generation after this one.
    pub fn next(self) -> Generation {
        Generation(self.0.checked_add(1).expect("a log does not live to see 2^32 starts"))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a segment in its lane, contiguous across generations. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    /// The first segment of a lane.
    pub const FIRST: SegmentNumber = SegmentNumber(1);

    /// Whether a lane can come to it. None comes to half of all numbers, so that counting on from a possible one has no end.
    pub(crate) fn is_possible(self) -> bool {
        (SegmentNumber::FIRST.0..=u64::MAX / 2).contains(&self.0)
    }

    /// Whether a generation can begin here: 2^32 more segments have possible numbers.
    pub(crate) fn has_room(self) -> bool {
        self.0 <= u64::MAX / 2 - (1 << 32)
    }

    /// The segment after this one.
    pub fn next(self) -> SegmentNumber {
        SegmentNumber(self.0.checked_add(1).expect("a lane does not live to see 2^64 segments"))
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
