//! What a group commit costs the lane: copying records into a frame, closing it with its checksum, and checking it as
//! recovery does. Nothing is written.
//!
//! `cargo bench -p stemedb-bench --bench frame`. One iteration is one frame.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_engine::log::frame::{Frame, FrameHeader, FrameHome, FrameKind};
use stemedb_engine::log::lane::{Lane, LaneConfig, LaneStart, WriteOutcome};
use stemedb_engine::log::record::{RecordKind, record_bytes};
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::{Generation, Lsn, SegmentNumber};
use stemedb_engine::slot::LaneId;
use stemedb_engine::time::UnixMicros;

const NOW: UnixMicros = UnixMicros(1_767_225_600_000_000);

/// The record of a small claim.
const RECORD: [u8; 150] = [0x5A; 150];

/// Records of a frame: of an idle server, of one with 64 connections, of one that is sent batches.
const RECORDS: [u32; 4] = [1, 32, 400, 6_000];

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/append_and_close");
    let mut lane = Lane::open(LaneConfig::new(LaneId(0), Generation::FIRST), LaneStart::NEW);
    for records in RECORDS {
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_with_input(BenchmarkId::from_parameter(records), &records, |bencher, &records| {
            bencher.iter(|| {
                for _ in 0..records {
                    lane.append(RecordKind::Assertion, 0, black_box(&RECORD)).expect("there is room");
                }
                commit(&mut lane);
            });
        });
    }
    group.finish();
}

/// Does all that the lane wants, at once.
fn commit(lane: &mut Lane) {
    loop {
        while let Some(number) = lane.segment_wanted() {
            lane.segment_ready(number);
        }
        let Some(write) = lane.next_write(NOW) else { return };
        lane.write_done(write.id, write.buffer, Ok(write.bytes), 0);
        while let Some(outcome) = lane.next_outcome() {
            if let WriteOutcome::Frame(frame) = outcome {
                lane.recycle(frame);
            }
        }
    }
}

fn check(criterion: &mut Criterion) {
    let home = FrameHome {
        segment: SegmentId { lane: LaneId(0), number: SegmentNumber::FIRST },
        generation: Generation::FIRST,
        checksum: 0x1234_5678,
    };
    let mut close = criterion.benchmark_group("frame/close");
    let frames = RECORDS.map(|records| {
        let header = header(records);
        let mut bytes = vec![0x5A; header.frame_bytes()];
        close.throughput(Throughput::Bytes(bytes.len() as u64));
        close.bench_with_input(BenchmarkId::from_parameter(records), &header, |bencher, header| {
            bencher.iter(|| header.close(black_box(&mut bytes), &home));
        });
        header.close(&mut bytes, &home);
        (records, bytes)
    });
    close.finish();
    let mut decode = criterion.benchmark_group("frame/decode");
    for (records, bytes) in frames {
        decode.throughput(Throughput::Bytes(bytes.len() as u64));
        decode.bench_with_input(BenchmarkId::from_parameter(records), &bytes, |bencher, bytes| {
            bencher.iter(|| Frame::decode(black_box(bytes), &home).expect("whole").header.records);
        });
    }
    decode.finish();
}

fn header(records: u32) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Records,
        first_lsn: Lsn::FIRST,
        committed_lsn: Lsn::ZERO,
        committed_end: 0,
        time: NOW,
        records,
        payload_bytes: records * record_bytes(RECORD.len()) as u32,
    }
}

criterion_group!(benches, build, check);
criterion_main!(benches);
