//! Decoding segments' headers, frames and records: nothing that is on a disk makes the reader panic, and what it takes
//! for a frame is one.

use stemedb_engine::log::frame::{FRAME_HEADER_BYTES, Frame, FrameHome};
use stemedb_engine::log::record;
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::{BLOCK_BYTES, Generation, SegmentNumber};
use stemedb_engine::slot::LaneId;

/// A segment's header block, once as it is and once with the checksum made to fit.
pub fn segment_header(input: &[u8]) {
    let mut block = input.to_vec();
    block.resize(BLOCK_BYTES, 0);
    let _ = SegmentHeader::decode(&block);
    let checksum = crc32c::crc32c(&block[..BLOCK_BYTES - 4]);
    block[BLOCK_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    if let Ok((_, decoded)) = SegmentHeader::decode(&block) {
        assert_eq!(decoded, checksum);
    }
}

/// A frame, once as it is and once with the checksum and the place made to fit; then all its records.
pub fn frame(input: &[u8]) {
    let home = FrameHome {
        segment: SegmentId { lane: LaneId(1), number: SegmentNumber(2) },
        generation: Generation(3),
        checksum: 0x1234_5678,
    };
    let mut bytes = input.to_vec();
    bytes.resize(input.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES), 0);
    let _ = Frame::decode(&bytes, &home);
    let Ok(frame_bytes) = Frame::bytes_needed(&bytes) else {
        return;
    };
    assert!(frame_bytes.is_multiple_of(BLOCK_BYTES));
    bytes.resize(frame_bytes, 0);
    bytes[8..12].copy_from_slice(&home.generation.0.to_le_bytes());
    bytes[12..14].copy_from_slice(&home.segment.lane.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&home.segment.number.0.to_le_bytes());
    let checksum = crc32c::crc32c_append(home.checksum, &bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    let Ok(frame) = Frame::decode(&bytes, &home) else {
        return;
    };
    assert_eq!(frame.header.frame_bytes(), frame_bytes);

    let mut payload = Vec::new();
    let (mut next_lsn, mut whole) = (frame.header.first_lsn, true);
    for record in frame.records() {
        let Ok(record) = record else {
            whole = false;
            continue;
        };
        assert!(whole, "records end with the first error");
        assert_eq!(record.lsn, next_lsn, "numbers follow each other");
        next_lsn = next_lsn.plus(1);
        let begin = payload.len();
        payload.resize(begin + record::record_bytes(record.payload.len()), 0);
        record::encode(&mut payload[begin..], record.kind, record.flags, record.payload);
    }
    if whole {
        assert_eq!(next_lsn, frame.header.next_lsn());
        let payload_bytes = frame.header.payload_bytes as usize;
        assert_eq!(payload, bytes[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + payload_bytes]);
    }
}
