//! The block index: where each block of a table is, and which slots its claims are in.
//!
//! ```text
//! 0        8       12        16           18          20
//! ├────────┼───────┼─────────┼────────────┼───────────┤
//! │ offset │ bytes │ entries │ first slot │ last slot │   the next block's place follows without padding
//! ```

use std::ops::Range;

use super::block::{BLOCK_HEADER_BYTES, STORED_BYTES_MAX};
use super::ends::Footer;
use super::{BLOCK_BYTES, Damage, array};
use crate::slot::SLOTS;

/// Bytes of a block's place.
pub(super) const PLACE_BYTES: usize = 20;

/// Where a block is, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockPlace {
    /// From the beginning of the file.
    pub(super) offset: u64,
    /// Header included.
    pub(super) bytes: u32,
    pub(super) entries: u32,
    /// The slots of its first and of its last claim; of a block of retractions, of all slots.
    pub(super) first_slot: u16,
    pub(super) last_slot: u16,
}

impl BlockPlace {
    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.bytes)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.first_slot.to_le_bytes());
        out.extend_from_slice(&self.last_slot.to_le_bytes());
    }

    fn decode(bytes: &[u8; PLACE_BYTES]) -> BlockPlace {
        BlockPlace {
            offset: u64::from_le_bytes(array(bytes, 0)),
            bytes: u32::from_le_bytes(array(bytes, 8)),
            entries: u32::from_le_bytes(array(bytes, 12)),
            first_slot: u16::from_le_bytes(array(bytes, 16)),
            last_slot: u16::from_le_bytes(array(bytes, 18)),
        }
    }
}

/// The blocks of a table: those of retractions, then those of claims, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockIndex {
    places: Vec<BlockPlace>,
    retraction_blocks: usize,
}

impl BlockIndex {
    /// Reads the index from `bytes`, whose checksum was checked, and checks that it is what `footer` says.
    pub(super) fn decode(bytes: &[u8], footer: &Footer) -> Result<BlockIndex, Damage> {
        let (places, rest) = bytes.as_chunks();
        assert!(rest.is_empty(), "the index is as long as the footer says");
        let places: Vec<BlockPlace> = places.iter().map(BlockPlace::decode).collect();
        let retraction_blocks = footer.retraction_blocks as usize;
        let (of_retractions, of_claims) = places.split_at(retraction_blocks);
        let mut offset = BLOCK_BYTES as u64;
        for place in &places {
            Damage::check("the offset of a block", offset, place.offset)?;
            Damage::check_bound("the length of a block", STORED_BYTES_MAX as u64, place.bytes.into())?;
            if (place.bytes as usize) < BLOCK_HEADER_BYTES {
                let expected = BLOCK_HEADER_BYTES as u64;
                return Err(Damage::CutOff { expected, actual: place.bytes.into() });
            }
            offset = place.end();
        }
        Damage::check("the end of the last block", footer.index_offset, offset)?;
        let mut slot = 0;
        for place in of_claims {
            Damage::check_bound(
                "the first slot of a block",
                place.last_slot.into(),
                place.first_slot.into(),
            )?;
            Damage::check_bound("a slot before a block", place.first_slot.into(), slot)?;
            slot = place.last_slot.into();
        }
        Damage::check_bound("the last slot", u64::from(SLOTS) - 1, slot)?;
        let sum = |places: &[BlockPlace]| places.iter().map(|place| u64::from(place.entries)).sum();
        Damage::check("the number of claims", footer.facts.entries, sum(of_claims))?;
        Damage::check("the number of retractions", footer.facts.retractions, sum(of_retractions))?;
        Ok(BlockIndex { places, retraction_blocks })
    }

    /// The blocks of retractions.
    pub(super) fn retractions(&self) -> Range<usize> {
        0..self.retraction_blocks
    }

    /// The blocks that hold claims of `slots`, and perhaps of others beside them.
    pub(super) fn claims(&self, slots: &Range<u16>) -> Range<usize> {
        let of_claims = &self.places[self.retraction_blocks..];
        let first = of_claims.partition_point(|place| place.last_slot < slots.start);
        let end = of_claims.partition_point(|place| place.first_slot < slots.end);
        self.retraction_blocks + first..self.retraction_blocks + end.max(first)
    }

    /// The place of a block.
    pub(super) fn place(&self, block: usize) -> &BlockPlace {
        &self.places[block]
    }
}
