//! Which tables to merge, so that there are never many of them and none is written too often.

use std::ops::Range;

/// The most tables that are left once [`pick`] has nothing more to merge.
pub const TABLES_MAX: usize = 24;

/// How many tables of a tier are merged into one, as long as there are few enough tables.
const TABLES_MERGED: usize = 4;

/// Tables below this many bytes count alike: merging them costs no more than creating them.
const TIER_BYTES: u64 = 256 << 10;

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
pub fn pick(tables: &[TableSize]) -> Option<Range<usize>> {
    let least = if tables.len() > TABLES_MAX { 2 } else { TABLES_MERGED };
    let (mut end, mut current) = (tables.len(), 0);
    for at in (0..tables.len()).rev() {
        let tier = tier(tables[at]);
        if tier > current {
            if end - (at + 1) >= least {
                return Some(at + 1..end);
            }
            (end, current) = (at + 1, tier);
        }
    }
    (end >= least).then_some(0..end)
}

/// The tier of a table's own size: 0 below [`TIER_BYTES`], one more for each factor of four.
fn tier(table: TableSize) -> u32 {
    (table.bytes / TIER_BYTES).checked_ilog2().map_or(0, |log2| log2 / 2 + 1)
}

// 2^64 bytes are in tier 23: with the lowest, there are 24.
const _: () = assert!((u64::MAX / TIER_BYTES).ilog2() as usize / 2 + 2 <= TABLES_MAX);
