//! Looking for one claim in a table, a block at a time, by whoever reads the blocks.

use std::ops::Range;
use std::sync::Arc;

use super::block::{self, BlockKind, STORED_BYTES_MAX};
use super::block_index::BlockPlace;
use super::cursor::Block;
use super::entry::{Key, KeyBuffer};
use super::{BLOCK_BYTES, Damage, Entry, Table, TableError, TablePart};
use crate::order::ListKey;
use crate::slot::Slot;

/// Where a claim stands in whichever table has it.
#[derive(Debug, Clone)]
pub struct ClaimKey(KeyBuffer);

impl ClaimKey {
    /// The key of the claim about this subject and predicate that stands there in lists.
    pub fn new(subject: &[u8], predicate: &[u8], key: &ListKey) -> ClaimKey {
        let ListKey { timestamp, order, hash } = key;
        let slot = Slot::of(subject);
        ClaimKey(KeyBuffer::new(&Key {
            slot,
            subject,
            predicate,
            timestamp: *timestamp,
            order: *order,
            hash,
        }))
    }

    /// The claim's hash.
    pub fn hash(&self) -> [u8; 32] {
        *self.0.key().hash
    }
}

/// A part of a table's file to be read, aligned as direct reads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRange {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How many bytes, up to [`Search::READ_BYTES_MAX`].
    pub bytes: usize,
}

/// A search for one claim among the blocks that may hold it. A block that was read once, by anybody, need not be read again to know
/// whether the claim is before it: mostly one block is read.
pub struct Search {
    table: Arc<Table>,
    key: ClaimKey,
    /// The blocks that may hold the claim.
    blocks: Range<usize>,
    /// The one that is being read.
    reading: usize,
    block: Block,
}

impl Search {
    /// The most bytes of a read.
    pub const READ_BYTES_MAX: usize = STORED_BYTES_MAX.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES;

    /// A search of `table` for the claim with this key.
    pub fn new(table: Arc<Table>, key: ClaimKey) -> Search {
        let slot = key.0.key().slot.number();
        let blocks = table.index.claims(&(slot..slot + 1));
        Search { table, key, blocks, reading: 0, block: Block::default() }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// What to read next; `None` if the claim is not in the table.
    pub fn next_read(&mut self) -> Option<ReadRange> {
        let key = self.key.0.key();
        while self.blocks.len() > 1 {
            let middle = self.blocks.start + self.blocks.len() / 2;
            match self.table.first_key(middle) {
                Some(first) if key < first.key() => self.blocks.end = middle,
                Some(_) => self.blocks.start = middle,
                None => {
                    self.reading = middle;
                    return Some(range(self.table.index.place(middle)));
                }
            }
        }
        self.reading = self.blocks.start;
        (!self.blocks.is_empty()).then(|| range(self.table.index.place(self.reading)))
    }

    /// Takes what was read. `None` if the search [goes on](Self::next_read).
    ///
    /// # Errors
    ///
    /// When the block is not what was written, or `window` is not all that was to be read.
    pub fn take(&mut self, window: &[u8]) -> Result<Option<Entry<'_>>, TableError> {
        let place = *self.table.index.place(self.reading);
        self.read_block(&place, window)
            .map_err(|damage| damage.at(&self.table.path, place.offset, TablePart::Claims))?;
        let key = self.key.0.key();
        if let Some(at) = self.block.position(&key) {
            return Ok(Some(self.block.entry(at)));
        }
        match self.block.first_key() {
            Some(first) if key < first => self.blocks.end = self.reading,
            _ => self.blocks.start = self.reading + 1,
        }
        // It is between two entries of the block.
        if self.block.first_key().is_some_and(|first| first < key)
            && self.block.last_key().is_some_and(|last| key < last)
        {
            self.blocks = 0..0;
        }
        Ok(None)
    }

    fn read_block(&mut self, place: &BlockPlace, window: &[u8]) -> Result<(), Damage> {
        let begin = (place.offset % BLOCK_BYTES as u64) as usize;
        let Some(packed) = window.get(begin..begin + place.bytes as usize) else {
            let window_start = place.offset - begin as u64;
            return Err(Damage::CutOff { expected: place.end(), actual: window_start + window.len() as u64 });
        };
        self.block = Block::default();
        block::unpack(self.table.seed, place, BlockKind::Claims, packed, self.block.raw_mut())?;
        self.block.read(place)?;
        if let Some(first) = self.block.first_key() {
            self.table.note_first_key(self.reading, &first);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Search({:?}, blocks {:?})", self.table, self.blocks)
    }
}

/// What has to be read for a block.
fn range(place: &BlockPlace) -> ReadRange {
    let block = BLOCK_BYTES as u64;
    let offset = place.offset - place.offset % block;
    ReadRange { offset, bytes: (place.end().next_multiple_of(block) - offset) as usize }
}
