//! Reading some blocks of a table one after the other, through a window that is large enough for sequential reads.

use std::ops::Range;
use std::sync::Arc;

use super::block::{self, BlockKind, STORED_BYTES_MAX};
use super::block_index::BlockPlace;
use super::entry::Key;
use super::{BLOCK_BYTES, Damage, Table, TableError};
use crate::ring::aligned::AlignedBuffer;

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 256 << 10;

// Wherever a block begins, a window has it whole.
const _: () = assert!(STORED_BYTES_MAX + BLOCK_BYTES <= WINDOW_BYTES);

/// Some blocks of one kind.
pub(super) struct BlockReader {
    table: Arc<Table>,
    kind: BlockKind,
    blocks: Range<usize>,
    /// What was read last; nothing is allocated before.
    window: Option<AlignedBuffer>,
    /// The part of the file that is in the window.
    in_window: Range<u64>,
}

impl BlockReader {
    pub(super) fn new(table: Arc<Table>, kind: BlockKind, blocks: Range<usize>) -> BlockReader {
        BlockReader { table, kind, blocks, window: None, in_window: 0..0 }
    }

    /// Reads and checks the next block, and puts what it holds into `raw`. After an error it is the next block again.
    pub(super) fn next(&mut self, raw: &mut Vec<u8>) -> Result<Option<BlockPlace>, TableError> {
        if self.blocks.is_empty() {
            return Ok(None);
        }
        let place = *self.table.index.place(self.blocks.start);
        if place.offset < self.in_window.start || place.end() > self.in_window.end {
            self.fill_from(place)?;
        }
        let begin = (place.offset - self.in_window.start) as usize;
        let window = self.window.as_deref().expect("it was filled");
        let packed = &window[begin..begin + place.bytes as usize];
        block::unpack(self.table.seed, &place, self.kind, packed, raw)
            .map_err(|damage| self.damaged(&place, damage))?;
        self.blocks.start += 1;
        Ok(Some(place))
    }

    /// Notes with which key the block begins that was read last.
    pub(super) fn note_first_key(&self, first: &Key<'_>) {
        self.table.note_first_key(self.blocks.start - 1, first);
    }

    /// Up to where the file was read, in bytes from its start; 0 before anything was.
    pub(super) fn offset(&self) -> u64 {
        self.in_window.end
    }

    /// Refuses the block that was read last for what is in it: it is the next block again, so that nobody gets past it.
    pub(super) fn refuse(&mut self, place: &BlockPlace, damage: Damage) -> TableError {
        self.blocks.start -= 1;
        self.damaged(place, damage)
    }

    fn damaged(&self, place: &BlockPlace, damage: Damage) -> TableError {
        damage.at(&self.table.path, place.offset, self.kind.part())
    }

    /// Reads from the beginning of `place` on, as far as the window and the blocks that are wanted go.
    fn fill_from(&mut self, place: BlockPlace) -> Result<(), TableError> {
        let block_bytes = BLOCK_BYTES as u64;
        let begin = place.offset - place.offset % block_bytes;
        let end = self.table.index.place(self.blocks.end - 1).end().next_multiple_of(block_bytes);
        let bytes = (end - begin).min(WINDOW_BYTES as u64) as usize;
        self.in_window = 0..0;
        let mut window = self.window.take().unwrap_or_else(|| AlignedBuffer::zeroed(bytes));
        let bytes = bytes.min(window.len());
        self.table.read(begin, self.kind.part(), &mut window[..bytes])?;
        self.window = Some(window);
        self.in_window = begin..begin + bytes as u64;
        Ok(())
    }
}
