//! Decoding segments' headers, frames and records: nothing that is on a disk makes the reader panic, and what it takes
//! for a frame is one.

use stemedb_engine::log::frame::{FRAME_HEADER_BYTES, Frame, FrameHome};
use stemedb_engine::log::record;
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::{BLOCK_BYTES, Generation, SegmentNumber};
use stemedb_engine::slot::LaneId;

use crate::program::next_random;

/// A segment's header block, once as it is and once with the checksum made to fit.
pub fn segment_header(input: &[u8]) {
    let mut block = input.to_vec();
    block.resize(BLOCK_BYTES, 0);
    let _ = SegmentHeader::decode(&block);
    let checksum = seal(&mut block);
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

/// Makes the checksum of a header's block fit, and returns it.
fn seal(block: &mut [u8]) -> u32 {
    let checksum = crc32c::crc32c(&block[..BLOCK_BYTES - 4]);
    block[BLOCK_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// Where a frame is to be.
const HOME: FrameHome = FrameHome {
    segment: SegmentId { lane: LaneId(1), number: SegmentNumber(2) },
    generation: Generation(3),
    checksum: 0x1234_5678,
};

/// A frame, once as it is and once with the checksum and the place made to fit; then all its records. A valid frame with a
/// byte changed, or in another place, is none.
pub fn frame(input: &[u8]) {
    let mut bytes = input.to_vec();
    bytes.resize(input.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES), 0);
    let _ = Frame::decode(&bytes, &HOME);
    let Some(bytes) = made_to_fit(bytes) else {
        return;
    };
    let Ok(frame) = Frame::decode(&bytes, &HOME) else {
        return;
    };
    assert_eq!(frame.header.frame_bytes(), bytes.len());
    let mut changed = bytes.clone();
    for flipped in flips(input, bytes.len()) {
        flipped.change(&mut changed);
        // The length is read before the checksum is; a frame that claims to be longer is cut off.
        assert!(Frame::decode(&changed, &HOME).is_err(), "{:?} with {flipped:?}", frame.header);
        flipped.change(&mut changed);
    }
    let elsewhere = [
        FrameHome { segment: SegmentId { lane: LaneId(0), ..HOME.segment }, ..HOME },
        FrameHome { segment: SegmentId { number: SegmentNumber(3), ..HOME.segment }, ..HOME },
        FrameHome { generation: Generation(2), ..HOME },
        FrameHome { checksum: HOME.checksum ^ 1, ..HOME },
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

/// Blocks as long as the frame that they begin with, in its place and with the right checksum; `None` if they begin with none.
fn made_to_fit(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let frame_bytes = Frame::bytes_needed(&bytes).ok()?;
    assert!(frame_bytes.is_multiple_of(BLOCK_BYTES));
    bytes.resize(frame_bytes, 0);
    bytes[8..12].copy_from_slice(&HOME.generation.0.to_le_bytes());
    bytes[12..14].copy_from_slice(&HOME.segment.lane.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&HOME.segment.number.0.to_le_bytes());
    let checksum = crc32c::crc32c_append(HOME.checksum, &bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// One byte of a block that is not as it was written.
#[derive(Debug)]
pub(crate) struct Flip {
    at: usize,
    bits: u8,
}

impl Flip {
    pub(crate) fn change(&self, bytes: &mut [u8]) {
        bytes[self.at] ^= self.bits;
    }
}

/// Changes of single bytes at places that follow from the input, half of them in the header; fewer of a long frame, whose
/// checksum takes long.
pub(crate) fn flips(input: &[u8], bytes: usize) -> impl Iterator<Item = Flip> {
    const CHECKED_BYTES_MAX: usize = 256 << 10;
    let mut seed = u64::from(crc32c::crc32c(input));
    (0..(CHECKED_BYTES_MAX / bytes).clamp(4, 64)).map(move |number| {
        seed = next_random(seed);
        let place = (seed >> 33) as usize;
        let at = if number % 2 == 0 { place % FRAME_HEADER_BYTES } else { place % bytes };
        Flip { at, bits: 1 << (seed >> 61) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus_file;

    /// Were the format to change, all that is fuzzed would be refused from then on, and no promise be broken.
    #[test]
    fn what_is_sound_in_the_corpus_is_accepted() {
        for name in ["first", "later", "smallest-segment"] {
            let mut block = corpus_file("segment_header", name);
            block.resize(BLOCK_BYTES, 0);
            seal(&mut block);
            SegmentHeader::decode(&block).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for (name, records) in [("one-record", 1), ("many-small-records", 120), ("marker", 0), ("seal", 0)] {
            let mut bytes = corpus_file("frame", name);
            bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
            let bytes = made_to_fit(bytes).expect("it begins with a frame");
            let frame = Frame::decode(&bytes, &HOME).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(frame.records().filter(Result::is_ok).count(), records, "{name}");
        }
    }
}
