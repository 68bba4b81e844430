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
    let Ok((header, decoded)) = SegmentHeader::decode(&block) else {
        return;
    };
    assert_eq!(decoded, checksum);
    for flipped in flips(input, BLOCK_BYTES) {
        flipped.change(&mut block);
        assert!(SegmentHeader::decode(&block).is_err(), "{header:?} with {flipped:?}");
        flipped.change(&mut block);
    }
}

/// A frame, once as it is and once with the checksum and the place made to fit; then all its records. A valid frame with a
/// byte changed, or in another place, is none.
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
    let mut changed = bytes.clone();
    for flipped in flips(input, frame_bytes) {
        flipped.change(&mut changed);
        // The length is read before the checksum is; a frame that claims to be longer is cut off.
        assert!(Frame::decode(&changed, &home).is_err(), "{:?} with {flipped:?}", frame.header);
        flipped.change(&mut changed);
    }
    let elsewhere = [
        FrameHome { segment: SegmentId { lane: LaneId(0), ..home.segment }, ..home },
        FrameHome { segment: SegmentId { number: SegmentNumber(3), ..home.segment }, ..home },
        FrameHome { generation: Generation(2), ..home },
        FrameHome { checksum: home.checksum ^ 1, ..home },
    ];
    for other in elsewhere {
        assert!(Frame::decode(&bytes, &other).is_err(), "{:?} in {other:?}", frame.header);
    }

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

/// One byte of a block that is not as it was written.
#[derive(Debug)]
struct Flip {
    at: usize,
    bits: u8,
}

impl Flip {
    fn change(&self, bytes: &mut [u8]) {
        bytes[self.at] ^= self.bits;
    }
}

/// Changes of single bytes at places that follow from the input, half of them in the header; fewer of a long frame, whose
/// checksum takes long.
fn flips(input: &[u8], bytes: usize) -> impl Iterator<Item = Flip> {
    const CHECKED_BYTES_MAX: usize = 256 << 10;
    let mut seed = u64::from(crc32c::crc32c(input));
    (0..(CHECKED_BYTES_MAX / bytes).clamp(4, 64)).map(move |number| {
        // The generator of Knuth's MMIX.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (seed >> 33) as usize;
        let at = if number % 2 == 0 { place % FRAME_HEADER_BYTES } else { place % bytes };
        Flip { at, bits: 1 << (seed >> 61) }
    })
}
