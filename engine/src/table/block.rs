//! Blocks: what a table is read by, each compressed and checked on its own.
//!
//! ```text
//! 0          4         8        16             20          24     25      26  32
//! ├──────────┼─────────┼────────┼──────────────┼───────────┼──────┼───────┼───┼──────────┤
//! │ checksum │ entries │ offset │ stored bytes │ raw bytes │ kind │ codec │ 0 │ stored … │
//! ```

use std::mem;

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::block_index::BlockPlace;
use super::entry::ENTRY_BYTES_MAX;
use super::{Damage, TablePart, array, put};
use crate::planted::{self, Bug};

/// Bytes before what a block stores.
pub(super) const BLOCK_HEADER_BYTES: usize = 32;

/// How many raw bytes a block has, unless one entry alone has more.
pub(super) const RAW_BYTES: usize = 32 << 10;

/// Raw bytes of the largest block.
pub(super) const RAW_BYTES_MAX: usize = if RAW_BYTES > ENTRY_BYTES_MAX { RAW_BYTES } else { ENTRY_BYTES_MAX };

/// Bytes of the largest block in the file: compression is only kept if it makes a block smaller.
pub(super) const STORED_BYTES_MAX: usize = BLOCK_HEADER_BYTES + RAW_BYTES_MAX;

const CODEC_NONE: u8 = 0;
const CODEC_LZ4: u8 = 1;

/// What the entries of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BlockKind {
    Claims = 1,
    Retractions = 2,
}

impl BlockKind {
    pub(super) fn part(self) -> TablePart {
        match self {
            BlockKind::Claims => TablePart::Claims,
            BlockKind::Retractions => TablePart::Retractions,
        }
    }
}

/// Packs `raw`, `entries` entries of one kind, as the block at `offset` of a table, into `packed`. `seed` is the checksum of the
/// table's header.
pub(super) fn pack(seed: u32, offset: u64, kind: BlockKind, entries: u32, raw: &[u8], packed: &mut Vec<u8>) {
    assert!(!raw.is_empty() && raw.len() <= RAW_BYTES_MAX, "a block of {} bytes", raw.len());
    packed.resize(BLOCK_HEADER_BYTES + get_maximum_output_size(raw.len()), 0);
    let compressed = compress_into(raw, &mut packed[BLOCK_HEADER_BYTES..])
        .expect("there is room for what grows when it is compressed");
    // Reading a block as it is costs nothing, so compression has to save a sixteenth at least.
    let (codec, stored_bytes) = if compressed < raw.len() - raw.len() / 16 {
        (CODEC_LZ4, compressed)
    } else {
        packed[BLOCK_HEADER_BYTES..][..raw.len()].copy_from_slice(raw);
        (CODEC_NONE, raw.len())
    };
    packed.truncate(BLOCK_HEADER_BYTES + stored_bytes);
    put(packed, 4, &entries.to_le_bytes());
    put(packed, 8, &offset.to_le_bytes());
    put(packed, 16, &(stored_bytes as u32).to_le_bytes());
    put(packed, 20, &(raw.len() as u32).to_le_bytes());
    put(packed, 24, &[kind as u8, codec, 0, 0, 0, 0, 0, 0]);
    let checksum = crc32c::crc32c_append(seed, &packed[4..]);
    put(packed, 0, &checksum.to_le_bytes());
}

/// Checks `packed`, which is where the index has a block of this kind, and unpacks it into `raw`.
pub(super) fn unpack(
    seed: u32,
    place: &BlockPlace,
    kind: BlockKind,
    packed: &[u8],
    raw: &mut Vec<u8>,
) -> Result<(), Damage> {
    assert_eq!(packed.len(), place.bytes as usize, "a block's bytes are what its index says");
    if !planted::is(Bug::BelieveBlocks) && !planted::is_in_merge(Bug::BelieveMergedBlocks) {
        Damage::check_sum(
            u32::from_le_bytes(array(packed, 0)),
            crc32c::crc32c_append(seed, &packed[mem::size_of::<u32>()..]),
        )?;
    }
    let u32_at = |at| u32::from_le_bytes(array(packed, at));
    Damage::check("its number of entries", place.entries.into(), u32_at(4).into())?;
    Damage::check("its offset", place.offset, u64::from_le_bytes(array(packed, 8)))?;
    let stored = &packed[BLOCK_HEADER_BYTES..];
    Damage::check("its stored bytes", stored.len() as u64, u32_at(16).into())?;
    let raw_bytes = u32_at(20) as usize;
    Damage::check_bound("its raw bytes", RAW_BYTES_MAX as u64, raw_bytes as u64)?;
    Damage::check("its kind", kind as u64, packed[24].into())?;
    Damage::check("what is behind its codec", 0, u64::from_le_bytes(array(packed, 24)) >> 16)?;
    raw.resize(raw_bytes, 0);
    match packed[25] {
        CODEC_NONE => {
            Damage::check("its raw bytes", stored.len() as u64, raw_bytes as u64)?;
            raw.copy_from_slice(stored);
        }
        CODEC_LZ4 => {
            let unpacked = decompress_into(stored, raw)
                .map_err(|error| Damage::Compression { problem: error.to_string() })?;
            Damage::check("its raw bytes", unpacked as u64, raw_bytes as u64)?;
        }
        codec => Damage::check_bound("its codec", CODEC_LZ4.into(), codec.into())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u32 = 0x1234_5678;

    fn packed(raw: &[u8]) -> (BlockPlace, Vec<u8>) {
        let mut packed = vec![0xFF; 3];
        pack(SEED, 4096, BlockKind::Claims, 3, raw, &mut packed);
        let bytes = packed.len() as u32;
        (BlockPlace { offset: 4096, bytes, entries: 3, first_slot: 0, last_slot: 0 }, packed)
    }

    #[test]
    fn a_block_is_these_very_bytes() {
        let (_, stored) = packed(b"incompressible");
        let header = "03000000 0010000000000000 0e000000 0e000000 01 00 000000000000";
        assert_eq!(hex::encode(&stored[4..32]), header.replace(' ', ""));
        assert_eq!(&stored[32..], b"incompressible");
        assert_eq!(stored[..4], crc32c::crc32c_append(SEED, &stored[4..]).to_le_bytes());
        let (_, compressed) = packed(&[7; 1000]);
        assert_eq!(compressed[20..24], 1000_u32.to_le_bytes());
        assert_eq!(compressed[25], CODEC_LZ4);
        assert!(compressed.len() < 64);
    }

    #[test]
    fn a_block_comes_back_and_only_where_it_was_written() {
        let raw: Vec<u8> = (0..30_000_u32).flat_map(|n| (n / 9).to_le_bytes()).take(RAW_BYTES_MAX).collect();
        for raw in [&raw[..1], &raw[..100], &raw] {
            let (place, packed) = packed(raw);
            let mut unpacked = vec![9; 50];
            unpack(SEED, &place, BlockKind::Claims, &packed, &mut unpacked).unwrap();
            assert_eq!(unpacked, raw);
            let mut check =
                |seed, place, kind| unpack(seed, &place, kind, &packed, &mut unpacked).unwrap_err();
            assert!(matches!(check(SEED + 1, place, BlockKind::Claims), Damage::Checksum { .. }));
            let fields = [
                check(SEED, BlockPlace { offset: 4097, ..place }, BlockKind::Claims),
                check(SEED, BlockPlace { entries: 4, ..place }, BlockKind::Claims),
                check(SEED, place, BlockKind::Retractions),
            ];
            for damage in fields {
                assert!(matches!(damage, Damage::Number { .. }), "{damage}");
            }
        }
    }

    /// Goal: a block whose checksum is right and whose content is not is an error, and no more memory than a block may have is used.
    #[test]
    fn a_forged_block_is_an_error() {
        let (place, packed) = packed(&[7; 1000]);
        let forged = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packed = packed.clone();
            change(&mut packed);
            let checksum = crc32c::crc32c_append(SEED, &packed[4..]);
            put(&mut packed, 0, &checksum.to_le_bytes());
            let mut raw = Vec::new();
            let damage = unpack(SEED, &place, BlockKind::Claims, &packed, &mut raw).unwrap_err();
            assert!(raw.len() <= RAW_BYTES_MAX);
            damage
        };
        let more = (RAW_BYTES_MAX as u32 + 1).to_le_bytes();
        assert!(matches!(forged(&|bytes| put(bytes, 20, &more)), Damage::Bound { .. }));
        assert!(matches!(forged(&|bytes| put(bytes, 20, &1001_u32.to_le_bytes())), Damage::Number { .. }));
        assert!(matches!(
            forged(&|bytes| put(bytes, 20, &999_u32.to_le_bytes())),
            Damage::Compression { .. }
        ));
        assert!(matches!(forged(&|bytes| bytes[25] = 2), Damage::Bound { .. }));
        assert!(matches!(forged(&|bytes| bytes[25] = CODEC_NONE), Damage::Number { .. }));
        assert!(matches!(forged(&|bytes| bytes[31] = 1), Damage::Number { .. }));
        assert!(matches!(
            forged(&|bytes| bytes[32] = 0xFF),
            Damage::Compression { .. } | Damage::Number { .. }
        ));
    }
}
