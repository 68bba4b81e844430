//! Recovery against logs that were written by lanes and then cut, torn and damaged.
//!
//! Goal: what was acknowledged comes back, or recovery refuses; what was not comes back whole or not at all. Method:
//! lanes write to a disk in memory, which is then changed in one way at a time, everywhere that way applies.

mod capture;
mod contradiction;
mod covered;
mod crash;
mod cut;
mod damage;
mod generations;
mod history;
mod lost;
mod scripted;
mod tail;

use crate::log::blocking::drive;
use crate::log::lane::{Lane, LaneConfig};
use crate::log::opening::{OpenError, Opening, open_generation};
use crate::log::recovery::capture::{Capture, capture};
use crate::log::recovery::*;
use crate::log::storage::{LogDisk, MemoryStorage};
use crate::log::{BLOCK_BYTES, SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MIN, SegmentNumber};
use crate::ring::aligned::AlignedBuffer;
use crate::time::UnixMicros;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A record as it was replayed: generation, lane, LSN, payload.
type Read = (u32, u16, u64, Vec<u8>);

/// A disk with the lanes that write to it.
struct World {
    disk: MemoryStorage,
    lanes: Vec<Lane>,
}

fn opening(lanes: u16) -> Opening {
    let lane = LaneConfig {
        segment_bytes: SEGMENT_BYTES_MIN,
        frame_bytes_max: 16 * BLOCK_BYTES,
        frame_buffers: 4,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    Opening { lanes, lane, now: NOW, monotonic_us: 0 }
}

/// The same with segments that are soon full.
fn small_opening(lanes: u16) -> Opening {
    let mut opening = opening(lanes);
    (opening.lane.segment_bytes, opening.lane.frame_bytes_max) = (SEGMENT_BYTES_LEAST, 4 * BLOCK_BYTES);
    opening
}

/// Recovers, and returns all records with what recovery says.
fn read(disk: &dyn LogStorage) -> Result<(Vec<Read>, Recovered), RecoveryError> {
    let mut records = Vec::new();
    let recovered = recover(disk, &mut |replayed| {
        records.extend(
            replayed
                .iter()
                .map(|record| (record.generation.0, record.lane.0, record.lsn.0, record.payload.to_vec())),
        );
        Ok(())
    })?;
    assert_eq!(recovered.records, records.len() as u64);
    assert!(records.is_sorted_by_key(|record| (record.0, record.1, record.2)), "records come in order");
    Ok((records, recovered))
}

/// Recovers and opens the next generation.
fn start(disk: &mut dyn LogDisk, lanes: u16) -> Result<Vec<Lane>, OpenError> {
    let (_, recovered) = read(disk).expect("the log is sound");
    open_generation(disk, &recovered, &opening(lanes))
}

impl World {
    /// An empty log, opened with `lanes` lanes.
    fn new(lanes: u16) -> World {
        World { disk: MemoryStorage::new(), lanes: Vec::new() }.restarted(lanes)
    }

    /// The server is gone without a word, and starts again with `lanes` lanes.
    fn restarted(mut self, lanes: u16) -> World {
        self.lanes = start(&mut self.disk, lanes).unwrap();
        self
    }

    /// Commits `payloads` in one frame.
    fn commit(&mut self, lane: usize, payloads: &[&[u8]]) {
        for payload in payloads {
            self.lanes[lane].append(RecordKind::Assertion, 0, payload).unwrap();
        }
        self.drive(lane);
    }

    fn drive(&mut self, lane: usize) {
        drive(&mut self.lanes[lane], &mut self.disk, NOW, 0).unwrap();
    }

    /// Stops the lanes as a clean stop does.
    fn close(&mut self) {
        for lane in 0..self.lanes.len() {
            self.lanes[lane].close();
            self.drive(lane);
        }
    }

    /// Commits until `lane` is `segments` segments further on; one record is in the last.
    fn fill_segments(&mut self, lane: usize, segments: u64) {
        let writing = |world: &World| world.lanes[lane].writing().expect("it was opened").0;
        let goal = writing(self) + segments;
        let frame_bytes_max = self.lanes[lane].config().frame_bytes_max;
        let large = vec![0xCD; (frame_bytes_max - BLOCK_BYTES).min(15 * BLOCK_BYTES)];
        while writing(self) < goal {
            self.commit(lane, &[&large]);
        }
    }

    fn read(&self) -> (Vec<Read>, Recovered) {
        read(&self.disk).expect("the log is sound")
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.read().0.into_iter().map(|record| record.3).collect()
    }

    /// Recovers, which fails, and leaves the disk as it was; returns the message.
    fn refused(&self) -> String {
        match read(&self.disk) {
            Ok((records, recovered)) => panic!("recovered {} records: {recovered:?}", records.len()),
            Err(error) => error.to_string(),
        }
    }

    fn segment(&mut self, lane: u16, number: u64) -> &mut Vec<u8> {
        self.disk.segments.get_mut(&id(lane, number)).expect("the test knows which segments there are")
    }

    /// Where the frames of the lane end.
    fn end(&self, lane: u16) -> LaneEnd {
        let ends = self.read().1.lane_ends;
        *ends.iter().find(|end| end.lane == LaneId(lane)).expect("the lane was begun")
    }
}

/// Copies what was captured.
fn copy(capture: &Capture, storage: &dyn LogStorage) -> MemoryStorage {
    let mut copy = MemoryStorage::new();
    for segment in &capture.segments {
        let mut bytes = AlignedBuffer::zeroed(segment.bytes as usize);
        assert_eq!(storage.read(segment.id(), 0, &mut bytes).unwrap() as u64, segment.bytes);
        copy.segments.insert(segment.id(), bytes.to_vec());
    }
    copy
}

/// What is covered when about `bytes_max` of the segments have been read that will never change.
fn covered_of(disk: &MemoryStorage, bytes_max: u64) -> Covered {
    // Where nobody writes, what is being made is not to be seen either.
    let captured = capture(disk, &Covered::default()).expect("the log is sound");
    let still = copy(&captured, disk);
    let read = read_ended(&still, &Covered::default(), &BTreeMap::new(), bytes_max, &mut |_| Ok(()));
    read.expect("the log is sound").unwrap_or_default()
}

/// The records of the log behind what is covered.
fn read_behind(disk: &MemoryStorage, covered: &Covered) -> Result<(Vec<Read>, Recovered), RecoveryError> {
    let mut records = Vec::new();
    let recovered = recover_after(disk, covered, &mut |replayed| {
        let read = |it: &Replayed<'_>| (it.generation.0, it.lane.0, it.lsn.0, it.payload.to_vec());
        records.extend(replayed.iter().map(read));
        Ok(())
    })?;
    Ok((records, recovered))
}

/// Whether a record is in the covered part of its lane.
fn is_covered(covered: &Covered, generation: u32, lane: u16, lsn: u64) -> bool {
    let end = covered.end_of(LaneId(lane)).map(|covered| covered.end);
    end.is_some_and(|end| generation <= end.generation.0 && lsn < end.next_lsn.0)
}

fn id(lane: u16, number: u64) -> SegmentId {
    SegmentId { lane: LaneId(lane), number: SegmentNumber(number) }
}

#[test]
fn an_empty_directory_is_an_empty_log() {
    let (records, recovered) = read(&MemoryStorage::new()).unwrap();
    assert!(records.is_empty());
    assert_eq!(recovered.next_generation, Generation::FIRST);
    assert_eq!(recovered.lane_start(LaneId(5)), LaneStart::NEW);
    assert!(
        recovered.lane_ends.is_empty() && recovered.prepared.is_empty() && recovered.untrimmed.is_empty()
    );
}

#[test]
fn what_was_committed_comes_back_in_order() {
    let mut world = World::new(2);
    world.commit(1, &[b"b1"]);
    world.commit(0, &[b"a1", b"a2"]);
    world.commit(1, &[b"b2"]);
    let (records, recovered) = world.read();
    let lane_0 = [(1, 0, 2, b"a1".to_vec()), (1, 0, 3, b"a2".to_vec())];
    let lane_1 = [(1, 1, 2, b"b1".to_vec()), (1, 1, 3, b"b2".to_vec())];
    assert_eq!(records, [lane_0, lane_1].concat(), "record 1 of each lane is the generation's");
    assert_eq!(recovered.next_generation, Generation(2));
    assert_eq!(
        recovered.lane_start(LaneId(0)),
        LaneStart { next_lsn: Lsn(4), next_segment: SegmentNumber(2), previous_end: 4 * BLOCK }
    );
    assert!(recovered.tails_dropped.is_empty());
    assert_eq!(recovered.bytes, 7 * BLOCK);
}

#[test]
fn many_segments_come_back_after_a_clean_stop_and_after_none() {
    for clean in [true, false] {
        let mut world = World::new(1);
        world.fill_segments(0, 3);
        if clean {
            world.close();
        }
        let committed = world.lanes[0].committed_lsn();
        let (records, recovered) = world.read();
        assert_eq!(records.len() as u64, committed.0 - 1);
        assert_eq!(recovered.lane_ends[0].segment, SegmentNumber(4));
        assert!(recovered.tails_dropped.is_empty());
    }
}

#[test]
fn a_visitor_that_refuses_a_record_ends_the_recovery() {
    let mut world = World::new(1);
    world.commit(0, &[b"one", b"two"]);
    let mut seen = 0;
    let error = recover(&world.disk, &mut |records| {
        seen += records.len();
        Err(RecoveryVisitError::new(&records[1], std::fmt::Error))
    })
    .unwrap_err();
    assert_eq!(seen, 2);
    let message = "record 3 in the frame at offset 12288 of segment-00-0000000001.log cannot be replayed";
    assert_eq!(error.to_string(), message);
    assert!(std::error::Error::source(&error).is_some());
}
