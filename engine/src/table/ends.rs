//! The two ends of a table: the header that names it, and the footer that says that it is whole and where everything is.

use super::{BLOCK_BYTES, Damage, TableFacts, TableNumber, array, put};
use crate::time::UnixMicros;

/// The version of the format that this code writes, and the only one that it reads.
pub(super) const FORMAT_VERSION: u32 = 1;

const HEADER_MAGIC: [u8; 8] = *b"STEMETBL";
const FOOTER_MAGIC: [u8; 8] = *b"STEMETBE";
const CHECKSUM_AT: usize = BLOCK_BYTES - 4;

/// The first block of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: TableNumber,
    /// When the table was begun.
    pub(super) created: UnixMicros,
}

impl Header {
    /// Writes the header to `block` and returns its checksum, which all other checksums of the table continue.
    pub(super) fn encode(&self, block: &mut [u8]) -> u32 {
        assert_eq!(block.len(), BLOCK_BYTES, "a table's header fills one block");
        block.fill(0);
        put(block, 0, &HEADER_MAGIC);
        put(block, 8, &FORMAT_VERSION.to_le_bytes());
        put(block, 16, &self.number.0.to_le_bytes());
        put(block, 24, &self.created.0.to_le_bytes());
        seal(block, 0)
    }

    /// Reads the header, with its checksum.
    pub(super) fn decode(block: &[u8]) -> Result<(Header, u32), Damage> {
        let checksum = unseal(block, HEADER_MAGIC, 0)?;
        let header = Header {
            number: TableNumber(u64::from_le_bytes(array(block, 16))),
            created: UnixMicros(i64::from_le_bytes(array(block, 24))),
        };
        Ok((header, checksum))
    }
}

/// The last block of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) facts: TableFacts,
    /// How many blocks of retractions there are; they come first.
    pub(super) retraction_blocks: u64,
    /// How many blocks of claims there are.
    pub(super) claim_blocks: u64,
    /// Where the block index begins, right behind the last block.
    pub(super) index_offset: u64,
    /// The checksum of the block index and the zeros between it and the footer.
    pub(super) index_checksum: u32,
}

impl Footer {
    /// Writes the footer to `block`. `seed` is the header's checksum.
    pub(super) fn encode(&self, seed: u32, block: &mut [u8]) {
        assert_eq!(block.len(), BLOCK_BYTES, "a table's footer fills one block");
        block.fill(0);
        put(block, 0, &FOOTER_MAGIC);
        put(block, 8, &FORMAT_VERSION.to_le_bytes());
        put(block, 12, &self.index_checksum.to_le_bytes());
        put(block, 16, &self.facts.number.0.to_le_bytes());
        put(block, 24, &self.facts.bytes.to_le_bytes());
        put(block, 32, &self.facts.entries.to_le_bytes());
        put(block, 40, &self.facts.retracted.to_le_bytes());
        put(block, 48, &self.facts.retractions.to_le_bytes());
        put(block, 56, &self.retraction_blocks.to_le_bytes());
        put(block, 64, &self.claim_blocks.to_le_bytes());
        put(block, 72, &self.index_offset.to_le_bytes());
        seal(block, seed);
    }

    /// Reads the footer. `seed` is the header's checksum.
    pub(super) fn decode(seed: u32, block: &[u8]) -> Result<Footer, Damage> {
        unseal(block, FOOTER_MAGIC, seed)?;
        let u64_at = |at| u64::from_le_bytes(array(block, at));
        Ok(Footer {
            index_checksum: u32::from_le_bytes(array(block, 12)),
            facts: TableFacts {
                number: TableNumber(u64_at(16)),
                bytes: u64_at(24),
                entries: u64_at(32),
                retracted: u64_at(40),
                retractions: u64_at(48),
            },
            retraction_blocks: u64_at(56),
            claim_blocks: u64_at(64),
            index_offset: u64_at(72),
        })
    }
}

/// Puts the checksum behind everything else.
fn seal(block: &mut [u8], seed: u32) -> u32 {
    let checksum = crc32c::crc32c_append(seed, &block[..CHECKSUM_AT]);
    put(block, CHECKSUM_AT, &checksum.to_le_bytes());
    checksum
}

/// Checks magic, version and checksum, and returns the last.
fn unseal(block: &[u8], magic: [u8; 8], seed: u32) -> Result<u32, Damage> {
    assert_eq!(block.len(), BLOCK_BYTES, "each end of a table fills one block");
    let actual = array(block, 0);
    if actual != magic {
        return Err(Damage::Magic { expected: magic, actual });
    }
    let version = u32::from_le_bytes(array(block, 8));
    if version != FORMAT_VERSION {
        return Err(Damage::Version { actual: version });
    }
    let checksum = crc32c::crc32c_append(seed, &block[..CHECKSUM_AT]);
    Damage::check_sum(u32::from_le_bytes(array(block, CHECKSUM_AT)), checksum)?;
    Ok(checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { number: TableNumber(0x0807_0605_0403_0201), created: UnixMicros(1_700_000_000_000_000) };

    fn footer() -> Footer {
        let facts =
            TableFacts { number: HEADER.number, bytes: 0x5000, entries: 9, retracted: 4, retractions: 3 };
        Footer {
            facts,
            retraction_blocks: 1,
            claim_blocks: 2,
            index_offset: 0x3456,
            index_checksum: 0xD4C3_B2A1,
        }
    }

    #[test]
    fn a_header_is_these_very_bytes() {
        let mut block = [0xFF; BLOCK_BYTES];
        let checksum = HEADER.encode(&mut block);
        let fields = "5354454d4554424c 01000000 00000000 0102030405060708 00401e18240a0600";
        assert_eq!(hex::encode(&block[..32]), fields.replace(' ', ""));
        assert!(block[32..CHECKSUM_AT].iter().all(|&byte| byte == 0));
        assert_eq!(block[CHECKSUM_AT..], checksum.to_le_bytes());
        assert_eq!(checksum, crc32c::crc32c(&block[..CHECKSUM_AT]));
        assert_eq!(Header::decode(&block), Ok((HEADER, checksum)));
    }

    #[test]
    fn a_footer_is_these_very_bytes() {
        let mut block = [0xFF; BLOCK_BYTES];
        footer().encode(0x1234_5678, &mut block);
        let fields = "5354454d45544245 01000000 a1b2c3d4 0102030405060708 0050000000000000 0900000000000000 \
                      0400000000000000 0300000000000000 0100000000000000 0200000000000000 5634000000000000";
        assert_eq!(hex::encode(&block[..80]), fields.replace(' ', ""));
        assert!(block[80..CHECKSUM_AT].iter().all(|&byte| byte == 0));
        assert_eq!(Footer::decode(0x1234_5678, &block), Ok(footer()));
        let other_table = Footer::decode(0x1234_5679, &block);
        assert!(matches!(other_table, Err(Damage::Checksum { .. })), "{other_table:?}");
    }

    #[test]
    fn no_bit_of_either_end_changes_unnoticed() {
        let (mut header, mut footer_block) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);
        HEADER.encode(&mut header);
        footer().encode(1, &mut footer_block);
        for bit in 0..BLOCK_BYTES * 8 {
            for block in [&mut header, &mut footer_block] {
                block[bit / 8] ^= 1 << (bit % 8);
            }
            for error in [Header::decode(&header).unwrap_err(), Footer::decode(1, &footer_block).unwrap_err()]
            {
                match bit / 8 {
                    0..8 => assert!(matches!(error, Damage::Magic { .. }), "bit {bit}: {error}"),
                    8..12 => assert!(matches!(error, Damage::Version { .. }), "bit {bit}: {error}"),
                    _ => assert!(matches!(error, Damage::Checksum { .. }), "bit {bit}: {error}"),
                }
            }
            for block in [&mut header, &mut footer_block] {
                block[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}
