//! Segments: the files of a lane, and the header block that each begins with.

use std::fmt;

use crate::log::layout::{array, put};
use crate::log::{BLOCK_BYTES, Generation, Lsn, SEGMENT_BYTES_LEAST, SegmentNumber};
use crate::slot::LaneId;
use crate::time::UnixMicros;

/// The first eight bytes of every segment that was begun.
pub const SEGMENT_MAGIC: [u8; 8] = *b"STEMEWAL";

/// The version of the format that this code writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

const CHECKSUM_AT: usize = BLOCK_BYTES - 4;

/// Which segment of which lane: what a segment's file is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The lane.
    pub lane: LaneId,
    /// The segment's number in it.
    pub number: SegmentNumber,
}

impl SegmentId {
    /// The segment that a file of this name holds, or `None` if it is not a segment's name.
    ///
    /// Only the very name that [`SegmentId`] displays is one, so that no two names stand for the same segment; and there is
    /// no last segment.
    pub fn from_file_name(name: &str) -> Option<SegmentId> {
        let (lane, number) = name.strip_prefix("segment-")?.strip_suffix(".log")?.split_once('-')?;
        let id = SegmentId { lane: LaneId(lane.parse().ok()?), number: SegmentNumber(number.parse().ok()?) };
        (id.to_string() == name && id.number.is_possible()).then_some(id)
    }
}

/// The file's name: `segment-<lane>-<number>.log`, in decimal, padded to two and ten digits.
impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment-{:02}-{:010}.log", self.lane.0, self.number.0)
    }
}

/// The first block of a segment. It is durable before the segment's first frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which segment this is.
    pub id: SegmentId,
    /// The generation whose frames it holds. No segment holds frames of two.
    pub generation: Generation,
    /// The number of the first record that the segment can hold.
    pub first_lsn: Lsn,
    /// Where the frames of the lane's previous segment end, in bytes from its start; 0 in a lane's first segment.
    ///
    /// All before that was durable when this header was written.
    pub previous_end: u64,
    /// Bytes of the segment: frames may fill them to the last.
    pub segment_bytes: u64,
    /// When the segment was begun.
    pub created: UnixMicros,
}

impl SegmentHeader {
    /// Writes the header to `block`, all of its [`BLOCK_BYTES`] bytes, and returns its checksum, which the
    /// checksums of the segment's frames continue.
    pub fn encode(&self, block: &mut [u8]) -> u32 {
        assert_eq!(block.len(), BLOCK_BYTES, "a segment's header fills one block");
        assert!(
            self.segment_bytes >= SEGMENT_BYTES_LEAST,
            "a segment of {} bytes is too small",
            self.segment_bytes
        );
        block.fill(0);
        put(block, 0, &SEGMENT_MAGIC);
        put(block, 8, &FORMAT_VERSION.to_le_bytes());
        put(block, 12, &self.id.lane.0.to_le_bytes());
        put(block, 16, &self.generation.0.to_le_bytes());
        put(block, 24, &self.id.number.0.to_le_bytes());
        put(block, 32, &self.first_lsn.0.to_le_bytes());
        put(block, 40, &self.previous_end.to_le_bytes());
        put(block, 48, &self.segment_bytes.to_le_bytes());
        put(block, 56, &self.created.0.to_le_bytes());
        let checksum = crc32c::crc32c(&block[..CHECKSUM_AT]);
        put(block, CHECKSUM_AT, &checksum.to_le_bytes());
        checksum
    }

    /// Reads the header from a segment's first [`BLOCK_BYTES`] bytes, with its checksum.
    pub fn decode(block: &[u8]) -> Result<(SegmentHeader, u32), SegmentHeaderError> {
        assert_eq!(block.len(), BLOCK_BYTES, "a segment's header fills one block");
        let magic = array(block, 0);
        if magic != SEGMENT_MAGIC {
            return Err(SegmentHeaderError::Magic { actual: magic });
        }
        // A block that was not written whole may have any version. Only one that was is of a later version.
        let (expected, actual) = (stored_checksum(block), crc32c::crc32c(&block[..CHECKSUM_AT]));
        if expected != actual {
            return Err(SegmentHeaderError::Checksum { expected, actual });
        }
        let version = u32::from_le_bytes(array(block, 8));
        if version != FORMAT_VERSION {
            return Err(SegmentHeaderError::Version { actual: version });
        }
        let header = SegmentHeader {
            id: SegmentId {
                lane: LaneId(u16::from_le_bytes(array(block, 12))),
                number: SegmentNumber(u64::from_le_bytes(array(block, 24))),
            },
            generation: Generation(u32::from_le_bytes(array(block, 16))),
            first_lsn: Lsn(u64::from_le_bytes(array(block, 32))),
            previous_end: u64::from_le_bytes(array(block, 40)),
            segment_bytes: u64::from_le_bytes(array(block, 48)),
            created: UnixMicros(i64::from_le_bytes(array(block, 56))),
        };
        Ok((header, actual))
    }
}

/// The checksum that a header block claims to have, whether or not the block is whole.
pub(super) fn stored_checksum(block: &[u8]) -> u32 {
    u32::from_le_bytes(array(block, CHECKSUM_AT))
}

/// Why a block is not a segment's header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// The block begins with something else.
    #[error(
        "WAL magic byte validation failed: a segment begins with {}, this begins with {}",
        hex::encode(SEGMENT_MAGIC),
        hex::encode(actual)
    )]
    Magic {
        /// What it begins with.
        actual: [u8; 8],
    },
    /// The file is smaller than any segment.
    #[error("the WAL segment is cut off: its file has only {actual} bytes")]
    CutOff {
        /// Bytes of the file.
        actual: u64,
    },
    /// The segment is of a version of the format that this software does not read.
    #[error("WAL format version is {actual}, but only version {FORMAT_VERSION} can be read")]
    Version {
        /// The version.
        actual: u32,
    },
    /// The block was changed, or not written whole.
    #[error("Checksum mismatch in WAL segment header: expected {expected:#010x}, actual {actual:#010x}")]
    Checksum {
        /// The checksum that the block states.
        expected: u32,
        /// The checksum that its bytes have.
        actual: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            id: SegmentId { lane: LaneId(0x0302), number: SegmentNumber(0x0807_0605_0403_0201) },
            generation: Generation(0x0D0C_0B0A),
            first_lsn: Lsn(0x1817_1615_1413_1211),
            previous_end: 0x0000_0000_0300_2000,
            segment_bytes: 64 * 1024 * 1024,
            created: UnixMicros(1_700_000_000_000_000),
        }
    }

    #[test]
    fn a_header_is_these_very_bytes() {
        let mut block = [0xFF; BLOCK_BYTES];
        header().encode(&mut block);
        let fields = "5354454d4557414c 01000000 0203 0000 0a0b0c0d 00000000 0102030405060708 1112131415161718 \
                      0020000300000000 0000000400000000 00401e18240a0600";
        assert_eq!(hex::encode(&block[..64]), fields.replace(' ', ""));
        assert!(block[64..CHECKSUM_AT].iter().all(|&byte| byte == 0));
        assert_eq!(hex::encode(&block[CHECKSUM_AT..]), "118ba081");
    }

    #[test]
    fn a_header_comes_back_with_its_checksum() {
        let mut block = [0; BLOCK_BYTES];
        let checksum = header().encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok((header(), checksum)));
    }

    #[test]
    fn no_bit_of_a_header_changes_unnoticed() {
        let mut block = [0; BLOCK_BYTES];
        header().encode(&mut block);
        for bit in 0..BLOCK_BYTES * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            let error = SegmentHeader::decode(&block).unwrap_err();
            match bit / 8 {
                0..8 => assert!(matches!(error, SegmentHeaderError::Magic { .. }), "bit {bit}: {error}"),
                _ => assert!(matches!(error, SegmentHeaderError::Checksum { .. }), "bit {bit}: {error}"),
            }
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn only_a_whole_block_is_of_another_version() {
        let mut block = [0; BLOCK_BYTES];
        header().encode(&mut block);
        put(&mut block, 8, &2u32.to_le_bytes());
        assert!(matches!(SegmentHeader::decode(&block), Err(SegmentHeaderError::Checksum { .. })));
        let checksum = crc32c::crc32c(&block[..CHECKSUM_AT]);
        put(&mut block, CHECKSUM_AT, &checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(SegmentHeaderError::Version { actual: 2 }));
    }

    #[test]
    fn file_names_stand_for_one_segment_each() {
        let id = |lane, number| SegmentId { lane: LaneId(lane), number: SegmentNumber(number) };
        let named = [
            (id(0, 1), "segment-00-0000000001.log"),
            (id(7, 42), "segment-07-0000000042.log"),
            (id(1023, 98_765_432_100), "segment-1023-98765432100.log"),
        ];
        for (id, name) in named {
            assert_eq!(id.to_string(), name);
            assert_eq!(SegmentId::from_file_name(name), Some(id));
        }
        for other in [
            "segment-0-0000000001.log",
            "segment-00-1.log",
            "segment-00-0000000000.log",
            "segment-00-18446744073709551615.log",
            "segment-+1-0000000001.log",
            "segment-00-0000000001.log.prepare",
            "segment-99999-0000000001.log",
            "LOCK",
        ] {
            assert_eq!(SegmentId::from_file_name(other), None, "{other}");
        }
    }
}
