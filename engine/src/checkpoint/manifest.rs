//! The manifest: which tables there are, and which part of the log they stand for.
//!
//! ```text
//! 0       8         12         16      24            32           40       44
//! ├───────┼─────────┼──────────┼───────┼─────────────┼────────────┼────────┼─────────┬───────────────────┬─────────┐
//! │ magic │ version │ checksum │ bytes │ checkpoints │ next table │ tables │ covered │ tables × 56 bytes │ covered │
//!
//! a table:  0        8       16        24          32            40      48     56
//!           ├────────┼───────┼─────────┼───────────┼─────────────┼───────┼──────┤
//!           │ number │ bytes │ entries │ retracted │ retractions │ first │ last │
//! ```

use std::ops::RangeInclusive;

use crate::log::covered::{Covered, CoveredError};
use crate::table::{TableFacts, TableNumber};

const MAGIC: [u8; 8] = *b"STEMEMAN";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 48;
const TABLE_BYTES: usize = 56;

/// The greatest number of checkpoints that is believed. At one a second they last for 68 years, and as many again fit what an index keeps
/// of them.
const CHECKPOINTS_MAX: u64 = u32::MAX as u64 / 2;

/// The greatest table number that is believed: counting on from it has no end.
const TABLE_NUMBER_MAX: u64 = u64::MAX / 2;

/// Where what the checksum covers begins.
const CHECKED_FROM: usize = 16;

/// Which tables there are, and which part of the log they stand for.
///
/// A claim is in one of the tables or in the log behind what is covered, and in no other place. The manifest is replaced as a whole, so that
/// at any time either all of a change holds or nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// How many checkpoints were made.
    pub checkpoints: u64,
    /// The number that the next table gets; none has it or a greater one.
    pub next_table: TableNumber,
    /// The tables, oldest claims first.
    pub tables: Vec<ListedTable>,
    /// The part of the log that is in the tables.
    pub covered: Covered,
}

/// A table of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTable {
    /// What it is.
    pub facts: TableFacts,
    /// The checkpoints of which it holds the claims, counted from 1.
    pub checkpoints: RangeInclusive<u64>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// They begin with something else.
    #[error("magic byte validation failed: expected {MAGIC:02x?}, found {actual:02x?}")]
    Magic {
        /// What they begin with.
        actual: Vec<u8>,
    },
    /// Another version.
    #[error(
        "format version {actual}, but this program reads version {VERSION}; it was written by a newer version"
    )]
    Version {
        /// The version.
        actual: u32,
    },
    /// There are fewer or more of them than they state.
    #[error("{actual} bytes, but it says that it has {expected}")]
    Length {
        /// How many it states.
        expected: u64,
        /// How many there are.
        actual: u64,
    },
    /// A byte has changed.
    #[error("checksum mismatch: expected {expected:08x}, computed {actual:08x}")]
    Checksum {
        /// The checksum that it states.
        expected: u32,
        /// That of its bytes.
        actual: u32,
    },
    /// What it says of the log cannot be read.
    #[error(transparent)]
    Covered(#[from] CoveredError),
    /// Its parts contradict each other.
    #[error("its list of tables contradicts itself: {tables:?}")]
    Tables {
        /// The list.
        tables: Vec<ListedTable>,
    },
}

impl Manifest {
    /// The manifest of a store without tables.
    pub fn empty() -> Manifest {
        Manifest {
            checkpoints: 0,
            next_table: TableNumber::FIRST,
            tables: Vec::new(),
            covered: Covered::default(),
        }
    }

    /// How many claims the tables hold.
    pub fn entries(&self) -> u64 {
        self.tables.iter().map(|table| table.facts.entries).sum()
    }

    /// Bytes of all tables.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.facts.bytes).sum()
    }

    /// Bytes of the tables that hold something later than checkpoint `known`.
    pub fn bytes_after(&self, known: u64) -> u64 {
        let later = self.tables.iter().filter(|table| *table.checkpoints.end() > known);
        later.map(|table| table.facts.bytes).sum()
    }

    /// Whether it lists a table.
    pub fn lists(&self, number: TableNumber) -> bool {
        self.tables.iter().any(|table| table.facts.number == number)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_sound(), "{self:?}");
        let covered = self.covered.encode();
        let bytes_len = FIXED_BYTES + self.tables.len() * TABLE_BYTES + covered.len();
        let mut bytes = Vec::with_capacity(bytes_len);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        for number in [bytes_len as u64, self.checkpoints, self.next_table.0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((self.tables.len() as u32).to_le_bytes());
        let covered_bytes = u32::try_from(covered.len()).expect("a manifest has less than 4 GiB");
        bytes.extend(covered_bytes.to_le_bytes());
        for ListedTable { facts, checkpoints } in &self.tables {
            let numbers = [facts.number.0, facts.bytes, facts.entries, facts.retracted, facts.retractions];
            for number in numbers.into_iter().chain([*checkpoints.start(), *checkpoints.end()]) {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(covered);
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[12..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] gave.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(ManifestError::Magic { actual: bytes[..bytes.len().min(MAGIC.len())].to_vec() });
        }
        let cut_off = |expected: usize| {
            Err(ManifestError::Length { expected: expected as u64, actual: bytes.len() as u64 })
        };
        if bytes.len() < FIXED_BYTES {
            return cut_off(FIXED_BYTES);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(ManifestError::Version { actual: version });
        }
        let (expected, actual) = (u64_at(bytes, 16), bytes.len() as u64);
        if expected != actual {
            return Err(ManifestError::Length { expected, actual });
        }
        let (expected, actual) = (u32_at(bytes, 12), crc32c::crc32c(&bytes[CHECKED_FROM..]));
        if expected != actual {
            return Err(ManifestError::Checksum { expected, actual });
        }
        let (tables, covered_bytes) = (u32_at(bytes, 40) as usize, u32_at(bytes, 44) as usize);
        let tables_end = FIXED_BYTES.saturating_add(tables.saturating_mul(TABLE_BYTES));
        if tables_end.saturating_add(covered_bytes) != bytes.len() {
            return cut_off(tables_end.saturating_add(covered_bytes));
        }
        let manifest = Manifest {
            checkpoints: u64_at(bytes, 24),
            next_table: TableNumber(u64_at(bytes, 32)),
            tables: bytes[FIXED_BYTES..tables_end].chunks_exact(TABLE_BYTES).map(decode_table).collect(),
            covered: Covered::decode(&bytes[tables_end..])?,
        };
        match manifest.is_sound() {
            true => Ok(manifest),
            false => Err(ManifestError::Tables { tables: manifest.tables }),
        }
    }

    fn is_sound(&self) -> bool {
        let table_is_sound = |table: &ListedTable| {
            let (first, last) = (*table.checkpoints.start(), *table.checkpoints.end());
            table.facts.number < self.next_table && 1 <= first && first <= last && last <= self.checkpoints
        };
        let follows =
            |one: &ListedTable, next: &ListedTable| one.checkpoints.end() < next.checkpoints.start();
        let sum_fits = |count: fn(&TableFacts) -> u64| {
            let mut counts = self.tables.iter().map(|table| count(&table.facts));
            counts.try_fold(0_u64, u64::checked_add).is_some()
        };
        self.checkpoints <= CHECKPOINTS_MAX
            && self.next_table.0 <= TABLE_NUMBER_MAX
            && self.tables.iter().all(table_is_sound)
            && self.tables.is_sorted_by(follows)
            && sum_fits(|facts| facts.entries)
            && sum_fits(|facts| facts.bytes)
    }
}

fn decode_table(bytes: &[u8]) -> ListedTable {
    ListedTable {
        facts: TableFacts {
            number: TableNumber(u64_at(bytes, 0)),
            bytes: u64_at(bytes, 8),
            entries: u64_at(bytes, 16),
            retracted: u64_at(bytes, 24),
            retractions: u64_at(bytes, 32),
        },
        checkpoints: u64_at(bytes, 40)..=u64_at(bytes, 48),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::covered::CoveredEnd;
    use crate::log::generation::LaneEnd;
    use crate::log::{Generation, Lsn, SegmentNumber};
    use crate::slot::LaneId;

    fn table(number: u64, checkpoints: RangeInclusive<u64>) -> ListedTable {
        let facts = TableFacts {
            number: TableNumber(number),
            bytes: 12_288,
            entries: 40,
            retracted: 2,
            retractions: 1,
        };
        ListedTable { facts, checkpoints }
    }

    fn manifest() -> Manifest {
        let end = LaneEnd {
            lane: LaneId(1),
            generation: Generation(2),
            segment: SegmentNumber(7),
            end_offset: 8192,
            next_lsn: Lsn(99),
        };
        Manifest {
            checkpoints: 5,
            next_table: TableNumber(9),
            tables: vec![table(8, 1..=3), table(6, 5..=5)],
            covered: Covered {
                ends: vec![CoveredEnd { end, continues: true }],
                generation: None,
                retractions: Vec::new(),
            },
        }
    }

    #[test]
    fn a_manifest_is_these_very_bytes() {
        let bytes = manifest().encode();
        assert_eq!(bytes.len(), 48 + 2 * 56 + 20 + 32);
        assert_eq!(&bytes[..12], b"STEMEMAN\x01\0\0\0");
        assert_eq!(
            &bytes[16..48],
            hex("d400000000000000 0500000000000000 0900000000000000 02000000 34000000")
        );
        let second = "0600000000000000 0030000000000000 2800000000000000 0200000000000000 0100000000000000 \
                      0500000000000000 0500000000000000";
        assert_eq!(&bytes[104..160], hex(second));
        assert_eq!(u32_at(&bytes, 12), crc32c::crc32c(&bytes[16..]));
        assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
        assert_eq!(Manifest::decode(&Manifest::empty().encode()), Ok(Manifest::empty()));
        assert_eq!((manifest().entries(), manifest().bytes()), (80, 24_576));
        assert_eq!([0, 3, 4, 5].map(|known| manifest().bytes_after(known)), [24_576, 12_288, 12_288, 0]);
        assert!(manifest().lists(TableNumber(6)) && !manifest().lists(TableNumber(7)));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn no_bit_of_a_manifest_changes_unnoticed_and_none_is_missing() {
        let bytes = manifest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&changed).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..end]).is_err(), "cut to {end} bytes");
        }
        assert!(Manifest::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn tables_that_overlap_come_from_the_future_or_are_beyond_all_counts_are_refused() {
        let wrong: [fn(&mut Manifest); 9] = [
            |manifest| manifest.tables[0].checkpoints = 1..=5,
            |manifest| manifest.tables.swap(0, 1),
            |manifest| manifest.tables[1].checkpoints = 6..=6,
            |manifest| manifest.tables[0].checkpoints = 0..=3,
            |manifest| manifest.tables[0].facts.number = TableNumber(9),
            |manifest| manifest.tables[0].facts.entries = u64::MAX,
            |manifest| manifest.tables[1].facts.bytes = u64::MAX,
            |manifest| manifest.checkpoints = u64::from(u32::MAX),
            |manifest| manifest.next_table = TableNumber(u64::MAX),
        ];
        for change in wrong {
            let mut manifest = manifest();
            change(&mut manifest);
            assert!(!manifest.is_sound(), "{manifest:?}");
            assert!(std::panic::catch_unwind(|| manifest.encode()).is_err(), "it is never written");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = manifest().encode();
        bytes[8] = 2;
        let error = Manifest::decode(&bytes).unwrap_err().to_string();
        assert_eq!(
            error,
            "format version 2, but this program reads version 1; it was written by a newer version"
        );
    }
}
