//! Doing a lane's writes one after the other, as long as no ring runs: when a generation is opened, and in tests.

use std::io;

use crate::log::lane::{Lane, LaneFailure, LaneWrite, WriteOutcome};
use crate::log::segment::SegmentId;
use crate::log::storage::LogDisk;
use crate::time::UnixMicros;

/// Does what `lane` wants written, preparing segments as it needs them, until it wants no more. All that was appended is
/// durable then; its frames are recycled, since nobody waits for them. `now` goes into headers, and `monotonic_us`
/// is the time on the clock that the lane's [`tick`](Lane::tick) is told.
pub fn drive(
    lane: &mut Lane,
    disk: &mut dyn LogDisk,
    now: UnixMicros,
    monotonic_us: u64,
) -> Result<(), DriveError> {
    loop {
        if let Some(number) = lane.stalled_on() {
            let segment = SegmentId { lane: lane.config().lane, number };
            let prepared = disk.prepare(segment, lane.config().segment_bytes);
            prepared.map_err(|source| DriveError::Prepare { segment, source })?;
            lane.segment_ready(number);
        }
        let Some(write) = lane.next_write(now) else { return Ok(()) };
        do_write(lane, disk, write, monotonic_us);
        while let Some(outcome) = lane.next_outcome() {
            match outcome {
                WriteOutcome::Frame(frame) => lane.recycle(frame),
                WriteOutcome::Failed(failure) => return Err(DriveError::Failed(failure)),
                WriteOutcome::Begun { .. } | WriteOutcome::Marked { .. } | WriteOutcome::Sealed { .. } => {}
            }
        }
    }
}

fn do_write(lane: &mut Lane, disk: &mut dyn LogDisk, write: LaneWrite, monotonic_us: u64) {
    let segment = SegmentId { lane: lane.config().lane, number: write.segment };
    let result = disk.write(segment, write.offset, &write.buffer[..write.bytes]);
    let result = result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
    lane.write_done(write.id, write.buffer, result, monotonic_us);
}

/// Why a lane's writes could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// A segment could not be prepared.
    #[error("{segment} cannot be prepared")]
    Prepare {
        /// The segment.
        segment: SegmentId,
        /// Why.
        source: io::Error,
    },
    /// A write failed, and ended the lane.
    #[error(transparent)]
    Failed(LaneFailure),
}
