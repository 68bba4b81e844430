//! What upkeep has done so far, for metrics, health and messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts that upkeep writes and any thread may read.
#[derive(Debug, Clone, Default)]
pub struct UpkeepFacts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    checkpoints: AtomicU64,
    merges: AtomicU64,
    failures: AtomicU64,
    tables: AtomicU64,
    table_bytes: AtomicU64,
    table_entries: AtomicU64,
    segments_removed: AtomicU64,
    segment_bytes_removed: AtomicU64,
    last_checkpoint_us: AtomicU64,
    has_ended: AtomicBool,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpkeepSnapshot {
    /// Checkpoints made since the start.
    pub checkpoints: u64,
    /// Merges of tables since the start.
    pub merges: u64,
    /// Attempts at either, or at removing something, that failed since the start.
    pub failures: u64,
    /// Tables that there are.
    pub tables: u64,
    /// Bytes of them.
    pub table_bytes: u64,
    /// Claims in them.
    pub table_entries: u64,
    /// Segments removed since the start, as tables hold their claims.
    pub segments_removed: u64,
    /// Bytes of them.
    pub segment_bytes_removed: u64,
    /// When the last checkpoint was made, in microseconds since 1970; 0 if none was since the start.
    pub last_checkpoint_us: u64,
    /// Whether a failure has ended upkeep until the next start: the log grows, and nothing is lost by that.
    pub has_ended: bool,
}

impl UpkeepFacts {
    /// The counts now. They are read one after the other, and may be of slightly different moments.
    pub fn snapshot(&self) -> UpkeepSnapshot {
        let counts = &self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        UpkeepSnapshot {
            checkpoints: read(&counts.checkpoints),
            merges: read(&counts.merges),
            failures: read(&counts.failures),
            tables: read(&counts.tables),
            table_bytes: read(&counts.table_bytes),
            table_entries: read(&counts.table_entries),
            segments_removed: read(&counts.segments_removed),
            segment_bytes_removed: read(&counts.segment_bytes_removed),
            last_checkpoint_us: read(&counts.last_checkpoint_us),
            has_ended: counts.has_ended.load(Ordering::Relaxed),
        }
    }

    /// Notes that a failure has ended upkeep: whoever runs it will take no further step.
    pub fn ended(&self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn checkpointed(&self, now_us: u64) {
        self.0.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.0.last_checkpoint_us.store(now_us, Ordering::Relaxed);
    }

    pub(super) fn merged(&self) {
        self.0.merges.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tables(&self, tables: u64, bytes: u64, entries: u64) {
        self.0.tables.store(tables, Ordering::Relaxed);
        self.0.table_bytes.store(bytes, Ordering::Relaxed);
        self.0.table_entries.store(entries, Ordering::Relaxed);
    }

    pub(super) fn removed_segment(&self, bytes: u64) {
        self.0.segments_removed.fetch_add(1, Ordering::Relaxed);
        self.0.segment_bytes_removed.fetch_add(bytes, Ordering::Relaxed);
    }
}
