//! Parts of snapshots, by their names, and which of them make a whole.

use std::fmt;
use std::ops::Range;

use crate::slot::SLOTS;

/// The number of a snapshot. A later one has a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotNumber(pub u64);

impl SnapshotNumber {
    /// The first snapshot.
    pub const FIRST: SnapshotNumber = SnapshotNumber(1);

    /// The number after this one.
    pub fn next(self) -> SnapshotNumber {
        SnapshotNumber(self.0.checked_add(1).expect("nobody lives to see 2^64 snapshots"))
    }
}

/// A part of a snapshot: the claims of some slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// Which snapshot.
    pub number: SnapshotNumber,
    /// Which slots, at least one.
    pub slots: Range<u16>,
}

impl Part {
    /// The part that a file of this name holds, or `None` if it is not a part's name.
    ///
    /// Only the very name that the part displays is one, so that no two names stand for the same part.
    pub fn from_file_name(name: &str) -> Option<Part> {
        let mut fields = name.strip_prefix("index-")?.strip_suffix(".snapshot")?.splitn(3, '-');
        let number = SnapshotNumber(fields.next()?.parse().ok()?);
        let slots = fields.next()?.parse().ok()?..fields.next()?.parse().ok()?;
        let part = Part { number, slots };
        let is_sound =
            number >= SnapshotNumber::FIRST && part.slots.start < part.slots.end && part.slots.end <= SLOTS;
        (is_sound && part.to_string() == name).then_some(part)
    }
}

/// The file's name: `index-<number>-<first slot>-<slot after the last>.snapshot`, in decimal, padded.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { number, slots } = self;
        write!(f, "index-{:010}-{:04}-{:04}.snapshot", number.0, slots.start, slots.end)
    }
}

/// A snapshot of all slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeSnapshot {
    /// Which.
    pub number: SnapshotNumber,
    /// Its parts, by slots, without gap or overlap.
    pub parts: Vec<Part>,
}

impl WholeSnapshot {
    /// The newest snapshot of which all parts are there, if any is whole.
    pub fn newest(parts: &[Part]) -> Option<WholeSnapshot> {
        let mut parts = parts.to_vec();
        parts.sort_unstable_by_key(|part| (part.number, part.slots.start));
        let mut snapshots = parts.chunk_by(|one, next| one.number == next.number).rev();
        let whole = snapshots.find(|parts| are_whole(parts))?;
        Some(WholeSnapshot { number: whole[0].number, parts: whole.to_vec() })
    }
}

fn are_whole(parts: &[Part]) -> bool {
    let end = parts.iter().try_fold(0, |next, part| (part.slots.start == next).then_some(part.slots.end));
    end == Some(SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, slots: Range<u16>) -> Part {
        Part { number: SnapshotNumber(number), slots }
    }

    #[test]
    fn a_part_is_found_by_its_very_name() {
        let part = part(7, 512..1024);
        assert_eq!(part.to_string(), "index-0000000007-0512-1024.snapshot");
        assert_eq!(Part::from_file_name(&part.to_string()), Some(part));
        for name in [
            "index-7-0512-1024.snapshot",
            "index-0000000007-0512-1025.snapshot",
            "index-0000000007-0512-0512.snapshot",
            "index-0000000000-0512-1024.snapshot",
            "index-0000000007-0512-1024.snapshot.prepare",
            "index-0000000007-0512.snapshot",
            "MANIFEST",
        ] {
            assert_eq!(Part::from_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_newest_whole_snapshot_counts() {
        let newest = |parts: &[Part]| WholeSnapshot::newest(parts).map(|whole| whole.number.0);
        let (first, second) = ([part(1, 512..1024), part(1, 0..512)], [part(2, 0..400), part(2, 400..1024)]);
        assert_eq!(newest(&[]), None);
        assert_eq!(newest(&first), Some(1));
        assert_eq!(newest(&[&first[..], &second[..]].concat()), Some(2));
        // A part is missing, one overlaps another, one is twice as long as it should be.
        assert_eq!(newest(&[&first[..], &second[1..]].concat()), Some(1));
        assert_eq!(newest(&[part(1, 0..600), part(1, 512..1024)]), None);
        assert_eq!(newest(&[part(1, 0..512), part(1, 0..1024)]), None);
        assert_eq!(WholeSnapshot::newest(&first).expect("whole").parts[0].slots, 0..512);
    }
}
