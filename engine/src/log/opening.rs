//! Opening a generation: makes what recovery found binding, and the log ready for new records.
//!
//! Each step is durable before the next one begins, so that a crash between any two leaves a log that recovery reads as
//! the same one:
//! 1. Files that hold nothing and that the new generation has no use for are removed.
//! 2. The end of every lane is made durable: recovery may have seen what was written, but not yet stable.
//! 3. Each lane of the generation gets its first segment and, as the first frame in it, the generation's record.
//! 4. Each lane gets copies of the retractions that were interrupted, and a marker. A second frame in any
//!    lane hence means that step 3 is done in all of them.
//! 5. The files that older generations ended in are cut to what they hold.

use std::io;

use crate::log::blocking::{DriveError, drive};
use crate::log::generation::GenerationRecord;
use crate::log::lane::{AppendError, Lane, LaneConfig};
use crate::log::record::RecordKind;
use crate::log::recovery::Recovered;
use crate::log::segment::SegmentId;
use crate::log::storage::{LogDisk, SegmentFile};
use crate::slot::LaneId;
use crate::time::UnixMicros;

/// The generation to open.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// How many lanes it has, one for each core.
    pub lanes: u16,
    /// What every lane is like, but for its number and the generation's, which are filled in.
    pub lane: LaneConfig,
    /// The time that goes into headers.
    pub now: UnixMicros,
    /// The time on the clock of [`Lane::tick`].
    pub monotonic_us: u64,
}

/// Opens the generation after those in `recovered`, which [`recover`](crate::log::recovery::recover) has just found on
/// `disk`, and returns its lanes. They are idle, and all they hold is durable.
///
/// The lanes hold the retractions in [`Recovered::unfinished_retractions`] now; the caller applies them to all slots
/// before it serves.
pub fn open_generation(
    disk: &mut dyn LogDisk,
    recovered: &Recovered,
    opening: &Opening,
) -> Result<Vec<Lane>, OpenError> {
    let prepared = remove_unused(disk, recovered, opening)?;
    for end in &recovered.lane_ends {
        let segment = SegmentId { lane: end.lane, number: end.segment };
        disk.sync(segment).map_err(|source| OpenError::Sync { segment, source })?;
    }
    let record = GenerationRecord {
        generation: recovered.next_generation,
        lanes: opening.lanes,
        opened: opening.now,
        ends: recovered.lane_ends.clone(),
    };
    let mut lanes = Vec::with_capacity(usize::from(opening.lanes));
    for lane in (0..opening.lanes).map(LaneId) {
        lanes.push(begin_lane(disk, recovered, opening, &record, lane, &prepared)?);
    }
    for lane in &mut lanes {
        complete_lane(disk, recovered, opening, lane)?;
    }
    for untrimmed in &recovered.untrimmed {
        let segment = untrimmed.segment;
        let cut = disk.truncate(segment, untrimmed.end_offset);
        cut.map_err(|source| OpenError::Trim { segment, source })?;
    }
    Ok(lanes)
}

/// Removes the files that are in the way, and returns the prepared ones that remain.
fn remove_unused(
    disk: &mut dyn LogDisk,
    recovered: &Recovered,
    opening: &Opening,
) -> Result<Vec<SegmentFile>, OpenError> {
    let is_useful = |file: &&SegmentFile| {
        let next = recovered.lane_start(file.id.lane).next_segment;
        let comes_soon = file.id.number == next || file.id.number == next.next();
        file.id.lane.0 < opening.lanes && comes_soon && file.bytes == opening.lane.segment_bytes
    };
    let (useful, useless): (Vec<_>, Vec<_>) = recovered.prepared.iter().partition(is_useful);
    for file in useless.into_iter().chain(recovered.abandoned.iter()) {
        let segment = file.id;
        disk.remove(segment).map_err(|source| OpenError::Remove { segment, source })?;
    }
    Ok(useful.into_iter().copied().collect())
}

/// Opens a lane and makes the generation's record durable in it.
fn begin_lane(
    disk: &mut dyn LogDisk,
    recovered: &Recovered,
    opening: &Opening,
    record: &GenerationRecord,
    lane: LaneId,
    prepared: &[SegmentFile],
) -> Result<Lane, OpenError> {
    let config = LaneConfig { lane, generation: record.generation, ..opening.lane };
    let mut lane = Lane::open(config, recovered.lane_start(lane));
    let use_prepared = |lane: &mut Lane| {
        while let Some(number) = lane.segment_wanted() {
            let id = SegmentId { lane: config.lane, number };
            if !prepared.iter().any(|file| file.id == id) {
                break;
            }
            lane.segment_ready(number);
        }
    };
    use_prepared(&mut lane);
    lane.append(RecordKind::Generation, 0, &record.encode()).map_err(OpenError::Append)?;
    drive(&mut lane, disk, opening.now, opening.monotonic_us)?;
    use_prepared(&mut lane);
    Ok(lane)
}

/// Makes the interrupted retractions and the opening marker durable in a lane.
fn complete_lane(
    disk: &mut dyn LogDisk,
    recovered: &Recovered,
    opening: &Opening,
    lane: &mut Lane,
) -> Result<(), OpenError> {
    for retraction in &recovered.unfinished_retractions {
        let appended = match lane.append(RecordKind::Retraction, 0, retraction) {
            Err(AppendError::Busy) => {
                drive(lane, disk, opening.now, opening.monotonic_us)?;
                lane.append(RecordKind::Retraction, 0, retraction)
            }
            appended => appended,
        };
        appended.map_err(OpenError::Append)?;
    }
    lane.mark();
    drive(lane, disk, opening.now, opening.monotonic_us)?;
    assert!(lane.is_idle(), "a lane that was driven has nothing left to do");
    Ok(())
}

/// Why a generation could not be opened. The log holds what it held; opening it can be tried again after a new recovery.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file that is in the way could not be removed.
    #[error("{segment}, which holds nothing, cannot be removed")]
    Remove {
        /// The segment.
        segment: SegmentId,
        /// Why.
        source: io::Error,
    },
    /// A lane's end could not be made durable.
    #[error("the end of the log in {segment} cannot be made durable")]
    Sync {
        /// The segment.
        segment: SegmentId,
        /// Why.
        source: io::Error,
    },
    /// The generation's record, or a retraction, does not fit into a frame of the size that is configured.
    #[error("the generation cannot begin")]
    Append(#[source] AppendError),
    /// A write failed.
    #[error("the generation cannot begin")]
    Drive(#[from] DriveError),
    /// An old segment could not be cut to what it holds.
    #[error("{segment} cannot be cut to what it holds")]
    Trim {
        /// The segment.
        segment: SegmentId,
        /// Why.
        source: io::Error,
    },
}
