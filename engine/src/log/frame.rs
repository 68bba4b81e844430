//! Frames: what one group commit writes.
//!
//! A frame starts on a block's boundary and fills whole blocks: 64 bytes of header, the records, zeros to the end of the block.
//! Its checksum covers all of it behind the checksum itself, the padding included, and continues the checksum of its
//! segment's header: a frame belongs to the one segment that it was written to, and bytes that merely look like a
//! frame, such as those a client can put into a claim, are none.

use crate::log::layout::{array, blocks_up, put};
use crate::log::record::Records;
use crate::log::segment::{SegmentHeader, SegmentId};
use crate::log::{BLOCK_BYTES, FRAME_BYTES_MAX, Generation, Lsn, SegmentNumber};
use crate::planted::{self, Bug};
use crate::slot::LaneId;
use crate::time::UnixMicros;

/// The first four bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"STMF";

/// Bytes of a frame before its records.
pub const FRAME_HEADER_BYTES: usize = 64;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum FrameKind {
    /// It holds records, at least one.
    Records = 0,
    /// It is empty, and written only so that what it says is durable testifies for the frames before it.
    Marker = 1,
    /// It is empty and the last frame of its segment: the lane goes on in the next one, whose header is durable.
    Seal = 2,
}

impl FrameKind {
    fn from_number(number: u16) -> Option<FrameKind> {
        match number {
            0 => Some(FrameKind::Records),
            1 => Some(FrameKind::Marker),
            2 => Some(FrameKind::Seal),
            _ => None,
        }
    }
}

/// A segment as its frames know it: whose they are, and where their checksums begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHome {
    /// The segment.
    pub segment: SegmentId,
    /// Its generation.
    pub generation: Generation,
    /// The checksum of its header.
    pub checksum: u32,
}

impl FrameHome {
    /// The home of the frames of a segment with this header and this checksum of it.
    pub fn new(header: &SegmentHeader, checksum: u32) -> FrameHome {
        FrameHome { segment: header.id, generation: header.generation, checksum }
    }
}

/// The fields of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// The number of its first record; in an empty frame, of the next record that the lane will write.
    pub first_lsn: Lsn,
    /// The highest LSN of the lane known to be durable when the frame was queued; [`Lsn::ZERO`] if none.
    pub committed_lsn: Lsn,
    /// The segment was known to be durable up to this offset when the frame was queued, in bytes.
    ///
    /// Says the same as `committed_lsn` about frames with records, and of empty frames too.
    pub committed_end: u64,
    /// When the frame was queued.
    pub time: UnixMicros,
    /// How many records it holds.
    pub records: u32,
    /// Bytes of its records.
    pub payload_bytes: u32,
}

impl FrameHeader {
    /// Bytes of the whole frame: header, records and padding.
    pub fn frame_bytes(&self) -> usize {
        blocks_up(FRAME_HEADER_BYTES + self.payload_bytes as usize)
    }

    /// The number after the frame's last record.
    pub fn next_lsn(&self) -> Lsn {
        self.first_lsn.plus(u64::from(self.records))
    }

    /// Completes a frame whose records already lie behind the place of its header: writes header, padding and checksum.
    /// `frame` has [`FrameHeader::frame_bytes`] bytes.
    pub fn close(&self, frame: &mut [u8], home: &FrameHome) {
        self.check().expect("the lane closes only consistent frames");
        assert_eq!(frame.len(), self.frame_bytes(), "a frame fills whole blocks");
        put(frame, 0, &FRAME_MAGIC);
        put(frame, 8, &home.generation.0.to_le_bytes());
        put(frame, 12, &home.segment.lane.0.to_le_bytes());
        put(frame, 14, &(self.kind as u16).to_le_bytes());
        put(frame, 16, &home.segment.number.0.to_le_bytes());
        put(frame, 24, &self.first_lsn.0.to_le_bytes());
        put(frame, 32, &self.committed_lsn.0.to_le_bytes());
        put(frame, 40, &self.committed_end.to_le_bytes());
        put(frame, 48, &self.time.0.to_le_bytes());
        put(frame, 56, &self.records.to_le_bytes());
        put(frame, 60, &self.payload_bytes.to_le_bytes());
        frame[FRAME_HEADER_BYTES + self.payload_bytes as usize..].fill(0);
        let checksum = crc32c::crc32c_append(home.checksum, &frame[8..]);
        put(frame, 4, &checksum.to_le_bytes());
    }

    /// Whether the fields agree with each other.
    fn check(&self) -> Result<(), FrameError> {
        let empty = self.records == 0 && self.payload_bytes == 0;
        let fits = self.frame_bytes() <= FRAME_BYTES_MAX;
        let kind_agrees = match self.kind {
            FrameKind::Records => self.records > 0 && self.payload_bytes > 0,
            FrameKind::Marker | FrameKind::Seal => empty,
        };
        let numbered = self.committed_lsn < self.first_lsn
            && self.first_lsn.can_be_next()
            && self.next_lsn().can_be_next();
        if fits && kind_agrees && numbered { Ok(()) } else { Err(FrameError::Inconsistent { header: *self }) }
    }
}

/// A whole frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// How many bytes [`Frame::decode`] needs to be given to read a frame that begins with these.
    ///
    /// An error if there is no frame: its first bytes are other, or its length cannot be. `bytes` holds a block at least.
    pub fn bytes_needed(bytes: &[u8]) -> Result<usize, FrameError> {
        let magic = array(bytes, 0);
        if magic != FRAME_MAGIC {
            return Err(FrameError::Magic { actual: magic });
        }
        let payload_bytes = u32::from_le_bytes(array(bytes, 60));
        if payload_bytes as usize > FRAME_BYTES_MAX - FRAME_HEADER_BYTES {
            return Err(FrameError::TooLong { payload_bytes });
        }
        Ok(blocks_up(FRAME_HEADER_BYTES + payload_bytes as usize))
    }

    /// Reads the frame that `bytes` begins with, and checks that it is whole and belongs to `home`.
    pub fn decode(bytes: &'a [u8], home: &FrameHome) -> Result<Frame<'a>, FrameError> {
        let needed = Self::bytes_needed(bytes)?;
        let Some(frame) = bytes.get(..needed) else {
            return Err(FrameError::CutOff { needed, actual: bytes.len() });
        };
        let expected = u32::from_le_bytes(array(frame, 4));
        let actual = crc32c::crc32c_append(home.checksum, &frame[8..]);
        if expected != actual && !planted::is(Bug::AcceptTornFrames) {
            return Err(FrameError::Checksum { expected, actual });
        }
        let segment = SegmentId {
            lane: LaneId(u16::from_le_bytes(array(frame, 12))),
            number: SegmentNumber(u64::from_le_bytes(array(frame, 16))),
        };
        let generation = Generation(u32::from_le_bytes(array(frame, 8)));
        if (segment, generation) != (home.segment, home.generation) {
            return Err(FrameError::Misplaced { segment, generation });
        }
        let number = u16::from_le_bytes(array(frame, 14));
        let Some(kind) = FrameKind::from_number(number) else {
            return Err(FrameError::UnknownKind { number });
        };
        let header = FrameHeader {
            kind,
            first_lsn: Lsn(u64::from_le_bytes(array(frame, 24))),
            committed_lsn: Lsn(u64::from_le_bytes(array(frame, 32))),
            committed_end: u64::from_le_bytes(array(frame, 40)),
            time: UnixMicros(i64::from_le_bytes(array(frame, 48))),
            records: u32::from_le_bytes(array(frame, 56)),
            payload_bytes: u32::from_le_bytes(array(frame, 60)),
        };
        header.check()?;
        let payload = &frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.payload_bytes as usize];
        Ok(Frame { header, payload })
    }

    /// The frame's records, in LSN order.
    pub fn records(&self) -> Records<'a> {
        Records::new(self.payload, self.header.first_lsn, self.header.records)
    }
}

/// Why bytes are not a frame of the segment they lie in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes begin with something else; zeros, where nothing was ever written.
    #[error(
        "WAL magic byte validation failed: a frame begins with {}, this begins with {}",
        hex::encode(FRAME_MAGIC),
        hex::encode(actual)
    )]
    Magic {
        /// What they begin with.
        actual: [u8; 4],
    },
    /// The frame says that it is longer than any frame.
    #[error("the frame claims {payload_bytes} bytes of records, more than any frame has")]
    TooLong {
        /// Bytes of records, as the frame has it.
        payload_bytes: u32,
    },
    /// The file ends within the frame.
    #[error("the frame has {needed} bytes, of which only {actual} are there")]
    CutOff {
        /// Bytes of the frame.
        needed: usize,
        /// Bytes up to the end of the file or the segment.
        actual: usize,
    },
    /// The frame was changed, or not written whole.
    #[error("Checksum mismatch in WAL segment: expected {expected:#010x}, actual {actual:#010x}")]
    Checksum {
        /// The checksum that the frame states.
        expected: u32,
        /// The checksum that its bytes have.
        actual: u32,
    },
    /// The frame is whole but was written for another place.
    #[error("the frame belongs to {segment} of generation {generation}")]
    Misplaced {
        /// Its segment.
        segment: SegmentId,
        /// Its generation.
        generation: Generation,
    },
    /// The frame is whole but of a kind that this version does not know.
    #[error(
        "the frame is of kind {number}, which this version does not know: was it written by a later one?"
    )]
    UnknownKind {
        /// Its kind.
        number: u16,
    },
    /// The frame is whole but its header contradicts itself.
    #[error("the frame's header contradicts itself: {header:?}")]
    Inconsistent {
        /// The header.
        header: FrameHeader,
    },
}

const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(BLOCK_BYTES));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::{self, RecordKind};
    use crate::order::WriteOrder;

    const HOME: FrameHome = FrameHome {
        segment: SegmentId { lane: LaneId(0x0302), number: SegmentNumber(0x0807_0605_0403_0201) },
        generation: Generation(0x0D0C_0B0A),
        checksum: 0x1234_5678,
    };

    fn header(records: u32, payload_bytes: u32) -> FrameHeader {
        FrameHeader {
            kind: if records == 0 { FrameKind::Marker } else { FrameKind::Records },
            first_lsn: Lsn(0x0615_1413_1211),
            committed_lsn: Lsn(0x0515_1413_1211),
            committed_end: 0x2000,
            time: UnixMicros(1_700_000_000_000_000),
            records,
            payload_bytes,
        }
    }

    fn frame() -> Vec<u8> {
        let mut frame = vec![0xEE; BLOCK_BYTES];
        let payload_bytes =
            record::encode(&mut frame[FRAME_HEADER_BYTES..], RecordKind::Assertion, 0, b"payload");
        header(1, payload_bytes as u32).close(&mut frame, &HOME);
        frame
    }

    #[test]
    fn a_frame_is_these_very_bytes() {
        let frame = frame();
        let header = "53544d46 553e7fee 0a0b0c0d 0203 0000 0102030405060708 1112131415060000 1112131415050000 \
                      0020000000000000 00401e18240a0600 01000000 0f000000";
        assert_eq!(hex::encode(&frame[..64]), header.replace(' ', ""));
        assert_eq!(hex::encode(&frame[64..79]), "07000000000000007061796c6f6164");
        assert!(frame[79..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_frame_comes_back_with_its_records() {
        let bytes = frame();
        let frame = Frame::decode(&bytes, &HOME).unwrap();
        assert_eq!(frame.header, header(1, 15));
        let records: Vec<_> = frame.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].payload, b"payload");
        assert_eq!(records[0].lsn, frame.header.first_lsn);
    }

    #[test]
    fn no_bit_of_a_frame_changes_unnoticed() {
        let mut bytes = frame();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bytes, &HOME).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_frame_of_another_segment_is_none_here() {
        let bytes = frame();
        let other_header = FrameHome { checksum: HOME.checksum + 1, ..HOME };
        assert!(matches!(Frame::decode(&bytes, &other_header), Err(FrameError::Checksum { .. })));
        let other_generation = FrameHome { generation: Generation(1), ..HOME };
        let misplaced = FrameError::Misplaced { segment: HOME.segment, generation: HOME.generation };
        assert_eq!(Frame::decode(&bytes, &other_generation), Err(misplaced));
    }

    #[test]
    fn a_frame_cut_off_says_how_much_is_missing() {
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        let payload_bytes =
            record::encode(&mut bytes[FRAME_HEADER_BYTES..], RecordKind::Assertion, 0, &[7; BLOCK_BYTES]);
        header(1, payload_bytes as u32).close(&mut bytes, &HOME);
        let cut_off = FrameError::CutOff { needed: 2 * BLOCK_BYTES, actual: BLOCK_BYTES };
        assert_eq!(Frame::decode(&bytes[..BLOCK_BYTES], &HOME), Err(cut_off));
        put(&mut bytes, 60, &u32::MAX.to_le_bytes());
        assert_eq!(Frame::decode(&bytes, &HOME), Err(FrameError::TooLong { payload_bytes: u32::MAX }));
    }

    #[test]
    fn a_frame_with_a_number_that_no_lane_reaches_is_none() {
        let numbered = |first_lsn: u64| {
            let mut bytes = frame();
            put(&mut bytes, 24, &first_lsn.to_le_bytes());
            let checksum = crc32c::crc32c_append(HOME.checksum, &bytes[8..]);
            put(&mut bytes, 4, &checksum.to_le_bytes());
            Frame::decode(&bytes, &HOME).map(|frame| frame.header.first_lsn)
        };
        assert_eq!(numbered(WriteOrder::LSN_MAX), Ok(Lsn(WriteOrder::LSN_MAX)));
        for beyond in [WriteOrder::LSN_MAX + 1, u64::MAX] {
            assert!(matches!(numbered(beyond), Err(FrameError::Inconsistent { .. })), "{beyond}");
        }
    }

    #[test]
    #[should_panic(expected = "the lane closes only consistent frames")]
    fn a_frame_cannot_testify_for_itself() {
        let own = FrameHeader { committed_lsn: header(0, 0).first_lsn, ..header(0, 0) };
        own.close(&mut [0; BLOCK_BYTES], &HOME);
    }
}
