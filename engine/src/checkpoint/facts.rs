//! What upkeep has done so far, for metrics, health and messages.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::DamagedPlace;

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
    segments_held: AtomicU64,
    segments_given_up: AtomicU64,
    segment_bytes_removed: AtomicU64,
    last_checkpoint_us: AtomicU64,
    has_ended: AtomicBool,
    scrub: ScrubCounts,
    /// One place of each file at most. Locked for moments only, and seldom: when damage is found, and to tell of it.
    damage: Mutex<Vec<DamagedPlace>>,
}

#[derive(Debug, Default)]
struct ScrubCounts {
    bytes: AtomicU64,
    damage: AtomicU64,
    skipped: AtomicU64,
    passes: AtomicU64,
    last_pass_us: AtomicU64,
    position_bytes: AtomicU64,
    pass_bytes: AtomicU64,
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
    /// Segments that are kept for the archive only.
    pub segments_held: u64,
    /// Segments removed since the start that the archive did not have yet.
    pub segments_given_up: u64,
    /// Bytes of them.
    pub segment_bytes_removed: u64,
    /// When the last checkpoint was made, in microseconds since 1970; 0 if none was since the start.
    pub last_checkpoint_us: u64,
    /// Whether a failure has ended upkeep until the next start: the log grows, and nothing is lost by that.
    pub has_ended: bool,
    /// How far the reading of all that is stored has come.
    pub scrub: ScrubSnapshot,
}

/// How far the reading of all that is stored has come at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubSnapshot {
    /// Bytes read since the start and found sound.
    pub bytes: u64,
    /// Damaged files found since the start, by whatever read them.
    pub damage: u64,
    /// Of those, the ones that are still there.
    pub damaged_files: u64,
    /// Files that could not be opened or read, for a reason that says nothing about what they hold.
    pub skipped: u64,
    /// How often all was read since the start.
    pub passes: u64,
    /// When all had been read last, in microseconds since 1970; 0 if that was not since the start.
    pub last_pass_us: u64,
    /// Bytes that the pass under way has read.
    pub position_bytes: u64,
    /// Bytes that it has to read, about.
    pub pass_bytes: u64,
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
            segments_held: read(&counts.segments_held),
            segments_given_up: read(&counts.segments_given_up),
            segment_bytes_removed: read(&counts.segment_bytes_removed),
            last_checkpoint_us: read(&counts.last_checkpoint_us),
            has_ended: counts.has_ended.load(Ordering::Relaxed),
            scrub: ScrubSnapshot {
                bytes: read(&counts.scrub.bytes),
                damage: read(&counts.scrub.damage),
                damaged_files: self.damaged_files().len() as u64,
                skipped: read(&counts.scrub.skipped),
                passes: read(&counts.scrub.passes),
                last_pass_us: read(&counts.scrub.last_pass_us),
                position_bytes: read(&counts.scrub.position_bytes),
                pass_bytes: read(&counts.scrub.pass_bytes),
            },
        }
    }

    /// Notes that a failure has ended checkpoints until the next start.
    pub fn ended(&self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }

    /// The first damaged place of each file that is damaged.
    pub fn damage(&self) -> Vec<DamagedPlace> {
        self.damaged_files().clone()
    }

    fn damaged_files(&self) -> MutexGuard<'_, Vec<DamagedPlace>> {
        self.0.damage.lock().expect("no holder of this lock panics")
    }

    pub(super) fn is_damaged(&self, path: &Path) -> bool {
        self.damaged_files().iter().any(|place| place.path == path)
    }

    /// Notes a damaged place. False if the file was known to be damaged.
    pub fn damaged(&self, place: DamagedPlace) -> bool {
        let mut damage = self.damaged_files();
        let is_news = damage.iter().all(|known| known.path != place.path);
        if is_news {
            damage.push(place);
            self.0.scrub.damage.fetch_add(1, Ordering::Relaxed);
        }
        is_news
    }

    /// Notes that a file is gone, and its damage with it.
    pub(super) fn gone(&self, path: &Path) {
        self.damaged_files().retain(|place| place.path != path);
    }

    pub(super) fn scrub_begins(&self, bytes: u64) {
        self.0.scrub.position_bytes.store(0, Ordering::Relaxed);
        self.0.scrub.pass_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn scrub_finds(&self, bytes: u64) {
        self.0.scrub.pass_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn scrubbed(&self, bytes: u64) {
        self.0.scrub.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.scrub.position_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn scrub_skipped(&self) {
        self.0.scrub.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn scrub_passed(&self, now_us: u64) {
        self.0.scrub.passes.fetch_add(1, Ordering::Relaxed);
        self.0.scrub.last_pass_us.store(now_us, Ordering::Relaxed);
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

    pub(super) fn holding(&self, segments: u64) {
        self.0.segments_held.store(segments, Ordering::Relaxed);
    }

    pub(super) fn gave_up_segment(&self) {
        self.0.segments_given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn removed_segment(&self, bytes: u64) {
        self.0.segments_removed.fetch_add(1, Ordering::Relaxed);
        self.0.segment_bytes_removed.fetch_add(bytes, Ordering::Relaxed);
    }
}
