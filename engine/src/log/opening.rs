//! Opening a generation: makes what recovery found binding, and the log ready for new records.
//!
//! Each step is durable before the next one begins, so that a crash between any two leaves a log that recovery reads as
//! the same one:
//! 1. Files that hold nothing and that the new generation has no use for are removed.
//! 2. The end of every lane is made durable, and the names of all files: recovery may have seen what was written or named,
//!    but was not yet stable. A segment that was being prepared when the process ended may have a name that a power cut
//!    takes back, with all that is written to it until then.
//! 3. Each lane of the generation gets its first segment and, as the first frame in it, the generation's record.
//! 4. Each lane gets copies of the retractions that were interrupted, and a marker. A second frame in any
//!    lane hence means that step 3 is done in all of them.
//! 5. The files that older generations ended in are cut to what they hold.

use std::io;

use crate::log::blocking::{DriveError, drive};
use crate::log::generation::GenerationRecord;
use crate::log::lane::{AppendError, Lane, LaneConfig, LaneStart};
use crate::log::record::RecordKind;
use crate::log::recovery::Recovered;
use crate::log::segment::SegmentId;
use crate::log::storage::{LogDisk, SegmentFile};
use crate::log::{Lsn, SegmentNumber};
use crate::order::WriteOrder;
use crate::planted::{self, Bug};
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
/// The lanes hold the retractions in [`Recovered::unfinished_retractions`] now; the caller applies them to the
/// slots that they name before it serves.
pub fn open_generation(
    disk: &mut dyn LogDisk,
    recovered: &Recovered,
    opening: &Opening,
) -> Result<Vec<Lane>, OpenError> {
    // Before anything is changed: a claim of a later generation would have no place in the order of claims.
    if recovered.next_generation.0 > WriteOrder::GENERATION_MAX {
        return Err(OpenError::LastGeneration { generations: WriteOrder::GENERATION_MAX });
    }
    // Nor would its records and segments be believed by a later start.
    for lane in (0..opening.lanes).map(LaneId) {
        let LaneStart { next_lsn, next_segment, .. } = recovered.lane_start(lane);
        if !next_lsn.has_room() || !next_segment.has_room() {
            return Err(OpenError::LastNumbers { lane, next_lsn, next_segment });
        }
    }
    let prepared = remove_unused(disk, recovered, opening)?;
    if !planted::is(Bug::ForgetNames) {
        disk.sync_names().map_err(|source| OpenError::SyncNames { source })?;
    }
    for end in recovered.lane_ends.iter().filter(|_| !planted::is(Bug::ForgetEnds)) {
        let segment = SegmentId { lane: end.lane, number: end.segment };
        // What tables hold is durable there.
        if recovered.covered.contains(&segment) {
            continue;
        }
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
        let appended = match lane.append(RecordKind::Retraction, 0, &retraction.payload) {
            Err(AppendError::Busy) => {
                drive(lane, disk, opening.now, opening.monotonic_us)?;
                lane.append(RecordKind::Retraction, 0, &retraction.payload)
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
    /// The log has had as many generations as claims can tell apart.
    #[error(
        "the log has been opened {generations} times, which is as often as a log can be; nothing on disk was changed"
    )]
    LastGeneration {
        /// How many there were.
        generations: u32,
    },
    /// A lane has come to where there are no numbers for what it would write.
    #[error(
        "lane {} of the log has come to record {next_lsn} and segment {next_segment}, behind which there are not enough numbers \
         left for a generation; nothing on disk was changed",
        .lane.0
    )]
    LastNumbers {
        /// Which lane.
        lane: LaneId,
        /// Its next record.
        next_lsn: Lsn,
        /// Its next segment.
        next_segment: SegmentNumber,
    },
    /// A file that is in the way could not be removed.
    #[error("{segment}, which holds nothing, cannot be removed")]
    Remove {
        /// The segment.
        segment: SegmentId,
        /// Why.
        source: io::Error,
    },
    /// The names of the segments could not be made durable.
    #[error("the names of the log's segments cannot be made durable")]
    SyncNames {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::covered::{Covered, CoveredEnd};
    use crate::log::frame::FRAME_MAGIC;
    use crate::log::generation::LaneEnd;
    use crate::log::recovery::{recover, recover_after};
    use crate::log::segment::SEGMENT_MAGIC;
    use crate::log::storage::hooked::{Change, Hook, HookedDisk};
    use crate::log::storage::{DirStorage, LogStorage, MemoryStorage};
    use crate::log::{BLOCK_BYTES, Generation, SEGMENT_BYTES_MIN, SegmentNumber};

    fn opening(lanes: u16) -> Opening {
        let lane = LaneConfig {
            segment_bytes: SEGMENT_BYTES_MIN,
            frame_bytes_max: 4 * BLOCK_BYTES,
            ..LaneConfig::new(LaneId(0), Generation::FIRST)
        };
        Opening { lanes, lane, now: UnixMicros(1_700_000_000_000_000), monotonic_us: 5 }
    }

    fn open(disk: &mut dyn LogDisk, lanes: u16) -> Vec<Lane> {
        let recovered = recover(disk, &mut |_| Ok(())).unwrap();
        open_generation(disk, &recovered, &opening(lanes)).unwrap()
    }

    #[test]
    fn the_last_generation_is_opened_and_none_after_it() {
        let mut disk = MemoryStorage::new();
        let mut recovered = recover(&disk, &mut |_| Ok(())).unwrap();
        recovered.next_generation = Generation(WriteOrder::GENERATION_MAX + 1);
        let refused = open_generation(&mut disk, &recovered, &opening(2));
        assert!(matches!(refused, Err(OpenError::LastGeneration { .. })), "{refused:?}");
        assert!(disk.segments.is_empty(), "nothing was begun");

        recovered.next_generation = Generation(WriteOrder::GENERATION_MAX);
        let lanes = open_generation(&mut disk, &recovered, &opening(2)).unwrap();
        assert_eq!(lanes[0].config().generation, recovered.next_generation);
        let again = recover(&disk, &mut |_| Ok(())).unwrap();
        assert!(matches!(
            open_generation(&mut disk, &again, &opening(2)),
            Err(OpenError::LastGeneration { .. })
        ));
    }

    /// Goal: no generation begins whose records or segments a later start does not believe. Method: a log that is covered up to the
    /// last numbers that are, whose lane has just room, or just not.
    #[test]
    fn a_generation_begins_only_where_it_has_numbers_to_write() {
        let last_lsn = Lsn(WriteOrder::LSN_MAX - (1 << 32));
        let last_segment = SegmentNumber(u64::MAX / 2 - (1 << 32));
        for (next_lsn, next_segment, opens) in [
            (last_lsn, last_segment, true),
            (last_lsn.plus(1), last_segment, false),
            (last_lsn, last_segment.next(), false),
        ] {
            let mut disk = MemoryStorage::new();
            let end = LaneEnd {
                lane: LaneId(1),
                generation: Generation::FIRST,
                segment: SegmentNumber(next_segment.0 - 1),
                end_offset: BLOCK_BYTES as u64,
                next_lsn,
            };
            let covered = Covered { ends: vec![CoveredEnd { end, continues: false }], ..Covered::default() };
            let recovered = recover_after(&disk, &covered, &mut |_| Ok(())).expect("nothing is missing");
            let opened = open_generation(&mut disk, &recovered, &opening(2));
            assert_eq!(opened.is_ok(), opens, "{next_lsn} {next_segment}: {opened:?}");
            if !opens {
                assert!(matches!(opened, Err(OpenError::LastNumbers { lane: LaneId(1), .. })), "{opened:?}");
                assert!(disk.segments.is_empty(), "nothing was begun");
                continue;
            }
            let again = recover_after(&disk, &covered, &mut |_| Ok(())).expect("it is believed");
            assert_eq!(again.lane_start(LaneId(1)).next_segment, next_segment.next());
        }
    }

    /// Notes each change, by lane, segment and what it is.
    struct Notes(Vec<String>);

    impl Hook for Notes {
        fn change(&mut self, disk: &mut MemoryStorage, change: Change<'_>) -> io::Result<usize> {
            let (what, segment) = match change {
                Change::Prepare(segment, _) => ("prepare", Some(segment)),
                Change::Write(segment, offset, bytes) => (name_of(offset, bytes), Some(segment)),
                Change::Sync(segment) => ("sync", Some(segment)),
                Change::SyncNames => ("sync names", None),
                Change::Truncate(segment, _) => ("truncate", Some(segment)),
                Change::Remove(segment) => ("remove", Some(segment)),
            };
            let of = segment.map(|segment| format!(" {}.{}", segment.lane.0, segment.number));
            self.0.push(what.to_owned() + &of.unwrap_or_default());
            change.apply(disk)
        }
    }

    fn name_of(offset: u64, bytes: &[u8]) -> &'static str {
        if bytes.starts_with(&SEGMENT_MAGIC) {
            return "header";
        }
        assert!(bytes.starts_with(&FRAME_MAGIC));
        if offset == BLOCK_BYTES as u64 { "record" } else { "frame" }
    }

    #[test]
    fn every_step_is_done_in_all_lanes_before_the_next() {
        let mut disk = HookedDisk { disk: MemoryStorage::new(), hook: Notes(Vec::new()) };
        open(&mut disk, 3);
        let unused = SegmentId { lane: LaneId(2), number: SegmentNumber(2) };
        disk.disk.prepare(unused, SEGMENT_BYTES_MIN).unwrap();
        disk.hook.0.clear();
        open(&mut disk, 2);
        let steps = [
            &["remove 2.2", "sync names", "sync 0.1", "sync 1.1", "sync 2.1"][..],
            &["prepare 0.2", "header 0.2", "record 0.2", "prepare 1.2", "header 1.2", "record 1.2"],
            &["frame 0.2", "frame 1.2"],
            &["truncate 0.1", "truncate 1.1", "truncate 2.1"],
        ];
        assert_eq!(disk.hook.0, steps.concat());
    }

    #[test]
    fn lanes_come_back_idle_and_testified_for() {
        let lanes = open(&mut MemoryStorage::new(), 2);
        assert_eq!(lanes.len(), 2);
        for (number, lane) in (0..).zip(&lanes) {
            assert_eq!(lane.config().lane, LaneId(number));
            assert_eq!(lane.config().generation, Generation::FIRST);
            assert!(lane.is_idle());
            assert_eq!(lane.next_deadline(), None);
        }
    }

    #[test]
    fn a_log_in_files_is_opened_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        for start in 0..3_u64 {
            let mut disk = DirStorage::new(directory.path());
            let mut payloads = Vec::new();
            let recovered = recover(&disk, &mut |records| {
                payloads.extend(records.iter().map(|record| record.payload.to_vec()));
                Ok(())
            });
            let recovered = recovered.unwrap();
            let expected: Vec<_> = (0..start).map(|start| start.to_le_bytes().to_vec()).collect();
            assert_eq!(payloads, expected);
            let mut lanes = open_generation(&mut disk, &recovered, &opening(1)).unwrap();
            lanes[0].append(RecordKind::Assertion, 0, &start.to_le_bytes()).unwrap();
            drive(&mut lanes[0], &mut disk, UnixMicros(0), 0).unwrap();
            let sizes: Vec<_> = disk.list().unwrap().iter().map(|file| file.bytes).collect();
            assert_eq!(sizes.iter().filter(|&&bytes| bytes == SEGMENT_BYTES_MIN).count(), 1, "{sizes:?}");
        }
    }

    #[test]
    fn a_generation_whose_record_fits_no_frame_is_refused() {
        let mut disk = MemoryStorage::new();
        open(&mut disk, 130);
        let recovered = recover(&disk, &mut |_| Ok(())).unwrap();
        let mut small = opening(1);
        small.lane.frame_bytes_max = BLOCK_BYTES;
        let error = open_generation(&mut disk, &recovered, &small).unwrap_err();
        assert!(matches!(error, OpenError::Append(AppendError::TooLarge { .. })), "{error}");
    }
}
