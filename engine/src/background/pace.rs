//! How fast a segment is prepared: as its lane needs it, and no faster.
//!
//! Zeros that are written at full speed fill the disk's queue and its cache, and each durable write of a lane that comes
//! between them waits until they are on the medium, ten times as long as it would. So the preparation of the next
//! segment keeps some way ahead of the lane in the current one, in small pieces, and hurries only when the lane does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::log::SegmentNumber;

/// How many bytes are prepared for each that the lane writes: the next segment is ready when half of the current one is
/// full.
const AHEAD: u64 = 2;

/// Bytes prepared in a millisecond however little the lane writes.
const IDLE_BYTES_PER_MS: u64 = 8 << 10;

/// How far a lane has come in the segment that it writes.
#[derive(Debug, Clone)]
pub struct LaneProgress {
    segment: SegmentNumber,
    filled_bytes: Arc<AtomicU64>,
}

impl LaneProgress {
    /// The progress of a lane that has no segment yet, and so waits for the first.
    pub fn waiting() -> LaneProgress {
        LaneProgress { segment: SegmentNumber::FIRST, filled_bytes: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Notes that `segment` is filled up to `bytes`. What still comes to the segment before the newest, its seal, is no
    /// progress.
    pub fn reached(&mut self, segment: SegmentNumber, bytes: u64) {
        if segment >= self.segment {
            self.segment = segment;
            // Nothing is read on the strength of it.
            self.filled_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// How many bytes of the next segment should be prepared, `elapsed` after its preparation began.
    pub(super) fn bytes_due(&self, elapsed: Duration) -> u64 {
        let idle_bytes =
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_mul(IDLE_BYTES_PER_MS);
        self.filled_bytes.load(Ordering::Relaxed).saturating_mul(AHEAD).saturating_add(idle_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: SegmentNumber = SegmentNumber::FIRST;

    #[test]
    fn preparation_keeps_ahead_of_the_lane_and_goes_on_without_it() {
        let mut progress = LaneProgress::waiting();
        assert_eq!(progress.bytes_due(Duration::ZERO), u64::MAX, "the first segment is waited for");
        progress.reached(FIRST, 4096);
        assert_eq!(progress.bytes_due(Duration::ZERO), 8192);
        assert_eq!(progress.bytes_due(Duration::from_millis(1)), 8192 + 8192);
        // A segment of 64 MiB is prepared when the lane is half through the current one, or after eight seconds.
        progress.reached(FIRST, 32 << 20);
        assert_eq!(progress.bytes_due(Duration::ZERO), 64 << 20);
        progress.reached(FIRST, 0);
        assert!(progress.bytes_due(Duration::from_millis(8192)) >= 64 << 20);
        assert_eq!(progress.bytes_due(Duration::MAX), u64::MAX);
    }

    /// In the order in which a lane changes over: the next segment's header, the full one's seal, the next one's frames.
    #[test]
    fn the_seal_of_a_full_segment_is_no_progress_in_the_next() {
        let mut progress = LaneProgress::waiting();
        progress.reached(FIRST, 63 << 20);
        progress.reached(FIRST.next(), 4096);
        assert_eq!(progress.bytes_due(Duration::ZERO), 8192);
        progress.reached(FIRST, 64 << 20);
        assert_eq!(progress.bytes_due(Duration::ZERO), 8192);
        progress.reached(FIRST.next(), 12288);
        assert_eq!(progress.bytes_due(Duration::ZERO), 24576);
    }
}
