//! The retractions of a table.
//!
//! ```text
//! 0        4   8       16      144
//! ├────────┼───┼───────┼───────┼───────────┤
//! │ length │ 0 │ order │ slots │ payload … │   the next retraction follows without padding
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::block::{BlockKind, RAW_BYTES};
use super::block_index::BlockPlace;
use super::reader::BlockReader;
use super::{Damage, Table, TableError, array};
use crate::claim::Retraction;
use crate::claim::retraction::RETRACTION_BYTES_MAX;
use crate::order::WriteOrder;
use crate::slot::SlotSet;

const HEADER_BYTES: usize = 16 + SlotSet::BYTES;

const _: () = assert!(HEADER_BYTES + RETRACTION_BYTES_MAX <= RAW_BYTES);

/// A retraction of a table: a Retraction record, and which slots it is the first of its name to strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableRetraction<'a> {
    /// When it was written: it strikes what was written before.
    pub order: WriteOrder,
    /// The slots whose claims it strikes.
    pub slots: SlotSet,
    /// The payload of its record, to be decoded by [`Retraction::decode`].
    pub payload: &'a [u8],
}

impl<'a> TableRetraction<'a> {
    /// How many bytes it takes in a block.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// What retractions are sorted by: no two of a table have the same.
    pub(super) fn key(&self) -> (WriteOrder, [u8; SlotSet::BYTES], &'a [u8]) {
        (self.order, self.slots.to_bytes(), self.payload)
    }

    /// Appends it to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).expect("a payload fits into a frame of the log");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.order.as_u64().to_le_bytes());
        out.extend_from_slice(&self.slots.to_bytes());
        out.extend_from_slice(self.payload);
    }

    /// The retraction that begins `bytes`, which are of the block's entry number `entry` on.
    pub(super) fn decode(bytes: &'a [u8], entry: u32) -> Result<TableRetraction<'a>, Damage> {
        let short =
            |needed: usize| Damage::Entry { entry, expected: needed as u64, actual: bytes.len() as u64 };
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(short(HEADER_BYTES));
        };
        let length = u32::from_le_bytes(array(header, 0)) as usize;
        Damage::check("what is behind the length", 0, u32::from_le_bytes(array(header, 4)).into())?;
        let Some(payload) = rest.get(..length) else {
            return Err(short(HEADER_BYTES + length));
        };
        let order = WriteOrder::from_u64(u64::from_le_bytes(array(header, 8)));
        Ok(TableRetraction { order, slots: SlotSet::from_bytes(&array(header, 16)), payload })
    }
}

/// A cursor over the retractions of a table, in the order of writing, that has one block in memory at a time.
pub struct Retractions {
    reader: BlockReader,
    raw: Vec<u8>,
    /// Where the retractions of the block are that are still to come, the last one first.
    left: Vec<Range<u32>>,
    /// The last retraction of the block before, encoded.
    last: Vec<u8>,
}

impl Retractions {
    pub(super) fn new(table: Arc<Table>) -> Retractions {
        let blocks = table.index.retractions();
        let reader = BlockReader::new(table, BlockKind::Retractions, blocks);
        Retractions { reader, raw: Vec::new(), left: Vec::new(), last: Vec::new() }
    }

    /// The next retraction, its block checked; `None` at the end. After an error the same block comes again.
    #[expect(clippy::should_implement_trait, reason = "what it gives is borrowed from it")]
    pub fn next(&mut self) -> Result<Option<TableRetraction<'_>>, TableError> {
        self.load()?;
        Ok(self.left.pop().map(|range| retraction(&self.raw, range)))
    }

    /// The retraction that [`Self::next`] will give, if its block was [loaded](Self::load).
    pub(super) fn peek(&self) -> Option<TableRetraction<'_>> {
        self.left.last().map(|range| retraction(&self.raw, range.clone()))
    }

    /// Up to where the file was read, in bytes from its start; 0 before anything was.
    pub(super) fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// Reads the next block if nothing is left of this one.
    pub(super) fn load(&mut self) -> Result<(), TableError> {
        while self.left.is_empty() {
            let Some(place) = self.reader.next(&mut self.raw)? else { break };
            self.read(&place).map_err(|damage| {
                self.left.clear();
                self.reader.refuse(&place, damage)
            })?;
        }
        Ok(())
    }

    fn read(&mut self, place: &BlockPlace) -> Result<(), Damage> {
        let mut at = 0;
        let mut previous = TableRetraction::decode(&self.last, 0).ok();
        for number in 0..place.entries {
            let retraction = TableRetraction::decode(&self.raw[at..], number)?;
            Retraction::decode(retraction.payload)
                .map_err(|cause| Damage::Payload { entry: number, cause })?;
            if previous.is_some_and(|previous| previous.key() >= retraction.key()) {
                return Err(Damage::Order { entry: number });
            }
            let end = at + retraction.bytes();
            self.left.push(at as u32..end as u32);
            at = end;
            previous = Some(retraction);
        }
        Damage::check("what is left behind its last entry", 0, (self.raw.len() - at) as u64)?;
        self.last.clear();
        if let Some(range) = self.left.last() {
            self.last.extend_from_slice(&self.raw[range.start as usize..range.end as usize]);
        }
        self.left.reverse();
        Ok(())
    }
}

fn retraction(raw: &[u8], range: Range<u32>) -> TableRetraction<'_> {
    let bytes = &raw[range.start as usize..range.end as usize];
    TableRetraction::decode(bytes, 0).expect("the retraction was read with its block")
}
