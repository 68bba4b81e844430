//! Which tables to merge, so that there are never many of them and none is written too often.

use std::ops::Range;

/// The most tables that are left once [`pick`] has nothing more to merge.
pub const TABLES_MAX: usize = 24;

/// How many tables of a tier are merged into one, as long as there are few enough tables.
const TABLES_MERGED: usize = 4;

/// Tables below this many bytes count alike: merging them costs no more than creating them.
pub const TIER_BYTES: u64 = 256 << 10;

/// How large a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// Bytes of its file.
    pub bytes: u64,
}

/// Which of `tables`, which are all there are, the oldest first, to merge into one in their place; `None` if there is nothing to do.
///
/// Each tier is of tables four times as large as those of the tier below. A table counts as large as the largest behind
/// it: then tiers only decrease towards the newest, and the tables of a tier are side by side. Four tables of a tier
/// are merged, those of the lowest tier first; so there are at most three of each, and a claim is written a few times in each tier
/// that its table grows through. Should these be too many, two of a tier are merged: there are fewer tiers than tables allowed.
///
/// Tables below `tier_bytes`, which is [`TIER_BYTES`] but for tests and simulations, are in the lowest tier.
pub fn pick(tables: &[TableSize], tier_bytes: u64) -> Option<Range<usize>> {
    let least = if tables.len() > TABLES_MAX { 2 } else { TABLES_MERGED };
    let (mut end, mut current) = (tables.len(), 0);
    for at in (0..tables.len()).rev() {
        let tier = tier(tables[at], tier_bytes);
        if tier > current {
            if end - (at + 1) >= least {
                return Some(at + 1..end);
            }
            (end, current) = (at + 1, tier);
        }
    }
    (end >= least).then_some(0..end)
}

/// The tier of a table's own size: 0 below `tier_bytes`, one more for each factor of four.
fn tier(table: TableSize, tier_bytes: u64) -> u32 {
    (table.bytes / tier_bytes).checked_ilog2().map_or(0, |log2| log2 / 2 + 1)
}

// 2^64 bytes are in tier 23: with the lowest, there are 24.
const _: () = assert!((u64::MAX / TIER_BYTES).ilog2() as usize / 2 + 2 <= TABLES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A history of tables: what was written to make each byte that is there.
    #[derive(Default)]
    struct History {
        tables: Vec<TableSize>,
        bytes_added: u128,
        bytes_written: u128,
    }

    impl History {
        /// Adds a table, and merges until there is nothing to merge. Of a merged table `kept` of 16 parts are left.
        fn add(&mut self, bytes: u64, kept: u64) {
            self.tables.push(TableSize { bytes });
            self.bytes_added += u128::from(bytes);
            self.bytes_written += u128::from(bytes);
            while let Some(range) = pick(&self.tables, TIER_BYTES) {
                assert!(range.len() >= 2 && range.end <= self.tables.len(), "{range:?}");
                let sum = self.tables[range.clone()]
                    .iter()
                    .fold(0_u64, |sum, table| sum.saturating_add(table.bytes));
                let bytes = (sum / 16).saturating_mul(kept).max(1);
                self.bytes_written += u128::from(bytes);
                self.tables.splice(range, [TableSize { bytes }]);
            }
            assert!(self.tables.len() <= TABLES_MAX, "{:?}", self.tables);
        }

        fn amplification(&self) -> f64 {
            self.bytes_written as f64 / self.bytes_added as f64
        }
    }

    proptest! {
        /// Method: tables of any sizes up to the largest number, which lose any part of what they hold when they are merged.
        #[test]
        fn there_are_never_many_tables(
            added in prop::collection::vec((any::<u64>(), 0..64_u32, 0..=16_u64), 0..300),
        ) {
            let mut history = History::default();
            for (bytes, shift, kept) in added {
                history.add(bytes >> shift, kept);
            }
        }

        /// Method: whatever order tables of different sizes come in, each byte is written at most five times in each of the
        /// tiers that there are up to the sum of all, and small tables cost what the lowest tier costs.
        #[test]
        fn nothing_is_written_too_often(
            added in prop::collection::vec((0..TIER_BYTES, 0..10_u32), 1..400),
        ) {
            let mut history = History::default();
            for (bytes, tiers) in added {
                history.add((TIER_BYTES + bytes) << (2 * tiers), 16);
            }
            let sum = TableSize { bytes: history.bytes_added as u64 };
            prop_assert!(history.amplification() <= 5.0 * f64::from(tier(sum, TIER_BYTES) + 1));
        }
    }

    #[test]
    fn equal_tables_are_merged_by_fours() {
        let mut history = History::default();
        let mut tables_seen = 0;
        for count in 1..=4096_u32 {
            history.add(64 << 20, 16);
            tables_seen = tables_seen.max(history.tables.len());
            // Once when it is made, and once in each tier that it has left.
            assert!(history.amplification() <= 1.0 + f64::from(count).log(4.0), "{count}");
        }
        assert_eq!(history.tables, [TableSize { bytes: 4096 * (64 << 20) }]);
        assert_eq!(tables_seen, 18);
    }

    #[test]
    fn a_table_counts_as_large_as_the_largest_behind_it() {
        let sizes = |tiers: &[u32]| -> Vec<TableSize> {
            tiers.iter().map(|tier| TableSize { bytes: (TIER_BYTES / 4) << (2 * tier) }).collect()
        };
        let pick = |tables: &[TableSize]| pick(tables, TIER_BYTES);
        assert_eq!(pick(&[]), None);
        assert_eq!(pick(&sizes(&[5, 5, 5, 3, 3, 3, 1, 1, 1])), None);
        assert_eq!(pick(&sizes(&[5, 3, 3, 3, 3, 1])), Some(1..5));
        assert_eq!(pick(&sizes(&[5, 5, 5, 5, 1, 1, 1, 1])), Some(4..8));
        assert_eq!(pick(&sizes(&[7, 1, 2, 1, 5])), Some(1..5));
        assert_eq!(pick(&sizes(&[1, 1, 1, 5])), Some(0..4));
        // More than are allowed, though no four are of a tier.
        let many: Vec<u32> = (1..10).rev().flat_map(|tier| [tier; 3]).collect();
        assert_eq!(many.len(), 27);
        assert_eq!(pick(&sizes(&many)), Some(24..27));
        assert_eq!(pick(&sizes(&many[..24])), None);
    }

    #[test]
    fn a_tier_is_four_times_the_one_below() {
        let tier = |bytes| tier(TableSize { bytes }, TIER_BYTES);
        let below = TIER_BYTES;
        assert_eq!([0, below - 1, below, 4 * below - 1, 4 * below].map(tier), [0, 0, 1, 1, 2]);
        assert_eq!(tier(u64::MAX), 23);
    }
}
