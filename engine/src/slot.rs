//! Slots: the fixed hash partitions of all subjects, and which core owns which.
//!
//! Everything about a subject is in one slot, so the core that owns the slot can answer for it alone.
//! The hash is part of the on-disk contract: it never changes. The map from slots to cores is not: it
//! follows from the number of cores at each start.

use std::ops::Range;

/// How many slots there are. Part of the on-disk contract.
pub const SLOTS: u16 = 1024;

/// One of the [`SLOTS`] hash partitions, `0..1024`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a subject: the top ten bits of the CRC-32C of its UTF-8 bytes.
    pub fn of(subject: &[u8]) -> Slot {
        Slot((crc32c::crc32c(subject) >> 22) as u16)
    }

    /// The slot's number, `0..1024`.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A core of the running server, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// A log lane, counted from 0. Core `n` of a generation writes lane `n`; lanes outlive the cores that wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u16);

impl LaneId {
    /// Which of `cores` cores answers for what the lane takes on disk: the one that writes it, or, where none does any more, another
    /// one, always the same.
    pub fn charged_to(self, cores: u16) -> CoreId {
        CoreId(self.0 % cores)
    }
}

/// Which core owns which slots: contiguous ranges whose sizes differ by at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotMap {
    cores: u16,
}

impl SlotMap {
    /// The map for `cores` cores, `1..=1024`.
    pub fn new(cores: u16) -> SlotMap {
        assert!((1..=SLOTS).contains(&cores), "cores must be between 1 and {SLOTS}, got {cores}");
        SlotMap { cores }
    }

    /// How many cores share the slots.
    pub fn cores(self) -> u16 {
        self.cores
    }

    /// The core that owns `slot`.
    pub fn owner(self, slot: Slot) -> CoreId {
        CoreId((u32::from(slot.0) * u32::from(self.cores) / u32::from(SLOTS)) as u16)
    }

    /// The slots that `core` owns.
    pub fn slots_of(self, core: CoreId) -> Range<u16> {
        assert!(core.0 < self.cores, "core {} of {}", core.0, self.cores);
        let first_of = |core: u32| (core * u32::from(SLOTS)).div_ceil(u32::from(self.cores)) as u16;
        first_of(u32::from(core.0))..first_of(u32::from(core.0) + 1)
    }
}

/// Some of the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotSet([u64; (SLOTS / u64::BITS as u16) as usize]);

impl SlotSet {
    /// How long the bitmap of a set is.
    pub const BYTES: usize = (SLOTS / 8) as usize;

    /// Adds the slots of `range`, and gives those of them that were not there.
    pub fn add(&mut self, range: Range<u16>) -> SlotSet {
        let mut added = SlotSet::default();
        for slot in range {
            let (word, bit) = place(slot);
            added.0[word] |= bit & !self.0[word];
            self.0[word] |= bit;
        }
        added
    }

    /// Whether `slot` is in it.
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = place(slot.0);
        self.0[word] & bit != 0
    }

    /// The set as a bitmap: slot `n` is bit `n % 8` of byte `n / 8`. Part of the on-disk contract.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (place, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(self.0) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The set that [`Self::to_bytes`] gave. Any bitmap is one.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> SlotSet {
        let (words, _) = bytes.as_chunks();
        let mut set = SlotSet::default();
        for (word, bytes) in set.0.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        set
    }

    /// All slots that are not in it.
    pub fn complement(self) -> SlotSet {
        SlotSet(self.0.map(|word| !word))
    }

    /// The slots that are also in `range`, in order, as ranges that do not touch.
    pub fn ranges_within(&self, range: Range<u16>) -> Vec<Range<u16>> {
        let mut ranges: Vec<Range<u16>> = Vec::new();
        for slot in range {
            let (word, bit) = place(slot);
            match ranges.last_mut() {
                _ if self.0[word] & bit == 0 => {}
                Some(last) if last.end == slot => last.end += 1,
                _ => ranges.push(slot..slot + 1),
            }
        }
        ranges
    }
}

/// Which bit of which word stands for a slot.
fn place(slot: u16) -> (usize, u64) {
    (usize::from(slot / u64::BITS as u16), 1 << (slot % u64::BITS as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_what_is_new_and_what_is_missing() {
        let ranges = |set: SlotSet, within| -> Vec<(u16, u16)> {
            set.ranges_within(within).into_iter().map(|range| (range.start, range.end)).collect()
        };
        let mut set = SlotSet::default();
        assert_eq!(ranges(set.add(60..70), 0..SLOTS), [(60, 70)]);
        assert_eq!(ranges(set.add(65..80), 0..SLOTS), [(70, 80)]);
        assert_eq!(set.add(60..80), SlotSet::default());
        assert_eq!(ranges(set, 64..66), [(64, 66)]);
        assert_eq!(ranges(set.complement(), 50..SLOTS), [(50, 60), (80, SLOTS)]);
        let contained = (0..SLOTS).filter(|&slot| set.contains(Slot(slot)));
        assert!(contained.eq(60..80));
    }

    #[test]
    fn a_set_is_a_bitmap_and_leads_back() {
        let mut set = SlotSet::default();
        set.add(7..9);
        set.add(1023..SLOTS);
        let bytes = set.to_bytes();
        assert_eq!((bytes[0], bytes[1], bytes[127]), (0x80, 1, 0x80));
        assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 3);
        assert_eq!(SlotSet::from_bytes(&bytes), set);
    }

    #[test]
    fn slots_of_known_subjects_never_change() {
        // CRC-32C of "123456789" is 0xE3069283 (RFC 3720, appendix B.4, for the same polynomial).
        assert_eq!(Slot::of(b"123456789").number(), (0xE306_9283_u32 >> 22) as u16);
        assert_eq!(Slot::of(b"").number(), 0);
    }

    #[test]
    fn owner_and_ranges_agree_for_every_number_of_cores() {
        for cores in 1..=SLOTS {
            let map = SlotMap::new(cores);
            let mut next = 0;
            for core in 0..cores {
                let range = map.slots_of(CoreId(core));
                assert_eq!(range.start, next);
                let (least, most) = (SLOTS / cores, SLOTS.div_ceil(cores));
                assert!((least..=most).contains(&(range.end - range.start)));
                for slot in range.clone() {
                    assert_eq!(map.owner(Slot(slot)), CoreId(core));
                }
                next = range.end;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
