//! What is known of snapshots, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Figures that the writer of snapshots keeps and any thread may read.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFacts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    failures: AtomicU64,
    last_taken_us: AtomicU64,
    last_bytes: AtomicU64,
    last_duration_us: AtomicU64,
    restored: AtomicU64,
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotFigures {
    /// Snapshots taken since the start.
    pub taken: u64,
    /// Snapshots given up since the start, and those of the start that were of no use.
    pub failures: u64,
    /// When the snapshot that is there was begun, in microseconds since 1970; 0 if none is there.
    pub last_taken_us: u64,
    /// Bytes of the last one that was taken since the start.
    pub last_bytes: u64,
    /// How long that took, in microseconds.
    pub last_duration_us: u64,
    /// Claims that this start had from a snapshot.
    pub restored: u64,
}

impl SnapshotFacts {
    /// The figures now. They are read one after the other, and may be of slightly different moments.
    pub fn figures(&self) -> SnapshotFigures {
        let counts = &self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SnapshotFigures {
            taken: read(&counts.taken),
            failures: read(&counts.failures),
            last_taken_us: read(&counts.last_taken_us),
            last_bytes: read(&counts.last_bytes),
            last_duration_us: read(&counts.last_duration_us),
            restored: read(&counts.restored),
        }
    }

    /// Notes that a start had so many claims from the snapshot that was begun at `taken_us`.
    pub fn restored(&self, claims: u64, taken_us: u64) {
        self.0.restored.store(claims, Ordering::Relaxed);
        self.0.last_taken_us.store(taken_us, Ordering::Relaxed);
    }

    /// Notes that a snapshot was given up, or was of no use.
    pub fn failed(&self) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a snapshot was taken which was begun at `taken_us`.
    pub fn taken(&self, taken_us: u64, bytes: u64, duration_us: u64) {
        let counts = &self.0;
        counts.taken.fetch_add(1, Ordering::Relaxed);
        counts.last_taken_us.store(taken_us, Ordering::Relaxed);
        counts.last_bytes.store(bytes, Ordering::Relaxed);
        counts.last_duration_us.store(duration_us, Ordering::Relaxed);
    }
}
