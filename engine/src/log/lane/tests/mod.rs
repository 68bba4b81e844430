//! The lane against a disk in memory.
//!
//! Goal: whatever is appended becomes durable once, in order, in frames and segments as the format wants them, and
//! nothing is told before it is. Method: a test holds the lane's writes and completes them in the order, with the results
//! and at the times that it wants; the disk refuses to have a block written twice, and is then read frame by frame.

mod commit;
mod failure;
mod marker;
mod roll;

use super::*;
use crate::log::SEGMENT_BYTES_MIN;
use crate::log::frame::{Frame, FrameHome};
use crate::log::segment::{SegmentHeader, SegmentId};
use crate::log::storage::{LogDisk, MemoryStorage};

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A lane with the smallest segments and small frames, and the disk it writes to.
struct Bench {
    lane: Lane,
    disk: MemoryStorage,
    monotonic_us: u64,
}

/// What an outcome said, without the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Begun(u64),
    /// The numbers and payloads of a frame's records.
    Frame(Vec<(u64, Vec<u8>)>),
    Marked(u64),
    Sealed(u64),
    Failed,
}

/// A frame as it was found on the disk.
#[derive(Debug)]
struct Found {
    offset: u64,
    header: FrameHeader,
    payloads: Vec<Vec<u8>>,
}

fn config() -> LaneConfig {
    LaneConfig {
        segment_bytes: SEGMENT_BYTES_MIN,
        frame_bytes_max: 4 * BLOCK_BYTES,
        frame_buffers: 4,
        marker_idle_us: 1000,
        ..LaneConfig::new(LaneId(2), Generation(7))
    }
}

impl Bench {
    fn new(config: LaneConfig) -> Bench {
        let start = LaneStart { next_lsn: Lsn(101), next_segment: SegmentNumber(5), previous_end: 7 * BLOCK };
        Bench { lane: Lane::open(config, start), disk: MemoryStorage::new(), monotonic_us: 50_000 }
    }

    /// A lane whose first segment is begun.
    fn begun(config: LaneConfig) -> Bench {
        let mut bench = Bench::new(config);
        bench.append(b"first");
        assert_eq!(bench.run(), [Told::Begun(5), frame(101, &[b"first"])]);
        bench
    }

    fn append(&mut self, payload: &[u8]) -> Lsn {
        self.lane.append(RecordKind::Assertion, 0, payload).unwrap()
    }

    fn prepare(&mut self) {
        while let Some(number) = self.lane.segment_wanted() {
            let id = SegmentId { lane: LaneId(2), number };
            self.disk.prepare(id, self.lane.config().segment_bytes).unwrap();
            self.lane.segment_ready(number);
        }
    }

    fn next_write(&mut self) -> Option<LaneWrite> {
        self.prepare();
        self.lane.next_write(NOW)
    }

    /// Does a write; no block of it may have been written before.
    fn complete(&mut self, write: LaneWrite) {
        let id = SegmentId { lane: LaneId(2), number: write.segment };
        let (from, to) = (write.offset as usize, write.offset as usize + write.bytes);
        let before = &self.disk.segments[&id][from..to];
        assert!(before.iter().all(|&byte| byte == 0), "{id} is written twice at {from}");
        let written = self.disk.write(id, write.offset, &write.buffer[..write.bytes]).unwrap();
        self.done(write, Ok(written));
    }

    fn done(&mut self, write: LaneWrite, result: Result<usize, i32>) {
        self.monotonic_us += 10;
        self.lane.write_done(write.id, write.buffer, result, self.monotonic_us);
    }

    /// All that the lane has to tell, with its frames recycled.
    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(outcome) = self.lane.next_outcome() {
            told.push(match outcome {
                WriteOutcome::Begun { segment } => Told::Begun(segment.0),
                WriteOutcome::Marked { segment } => Told::Marked(segment.0),
                WriteOutcome::Sealed { segment } => Told::Sealed(segment.0),
                WriteOutcome::Failed(_) => Told::Failed,
                WriteOutcome::Frame(frame) => {
                    let records: Vec<_> =
                        frame.records().map(|record| (record.lsn.0, record.payload.to_vec())).collect();
                    assert_eq!(records.first().map(|&(lsn, _)| lsn), Some(frame.first_lsn().0));
                    assert_eq!(records.last().map(|&(lsn, _)| lsn), Some(frame.last_lsn().0));
                    self.lane.recycle(frame);
                    Told::Frame(records)
                }
            });
        }
        told
    }

    /// Completes writes one after the other until there are no more.
    fn run(&mut self) -> Vec<Told> {
        let mut told = self.told();
        while let Some(write) = self.next_write() {
            self.complete(write);
            told.extend(self.told());
        }
        told
    }

    /// Appends and commits single large records until a segment is sealed; tells what that took.
    fn run_until_sealed(&mut self) -> Vec<Told> {
        loop {
            self.append(&[0xAB; 3 * BLOCK_BYTES]);
            let told = self.run();
            if told.iter().any(|told| matches!(told, Told::Sealed(_))) {
                return told;
            }
        }
    }

    fn home(&self, number: u64) -> (SegmentHeader, FrameHome) {
        let id = SegmentId { lane: LaneId(2), number: SegmentNumber(number) };
        let (header, checksum) = SegmentHeader::decode(&self.disk.segments[&id][..BLOCK_BYTES]).unwrap();
        assert_eq!(header.id, id);
        (header, FrameHome::new(&header, checksum))
    }

    /// The frames of a segment, checked, up to the first block that is none.
    fn frames(&self, number: u64) -> Vec<Found> {
        let (_, home) = self.home(number);
        let bytes = &self.disk.segments[&home.segment];
        let mut offset = BLOCK_BYTES;
        let mut found = Vec::new();
        while offset < bytes.len() {
            let Ok(frame) = Frame::decode(&bytes[offset..], &home) else { break };
            let payloads = frame.records().map(|record| record.unwrap().payload.to_vec()).collect();
            found.push(Found { offset: offset as u64, header: frame.header, payloads });
            offset += frame.header.frame_bytes();
        }
        assert!(bytes[offset..].iter().all(|&byte| byte == 0), "bytes behind the last frame of {number}");
        found
    }
}

fn frame(first_lsn: u64, payloads: &[&[u8]]) -> Told {
    let numbered = (first_lsn..).zip(payloads).map(|(lsn, payload)| (lsn, payload.to_vec()));
    Told::Frame(numbered.collect())
}
