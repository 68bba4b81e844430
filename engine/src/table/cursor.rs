//! The claims of some slots of a table, block by block.

use std::ops::Range;
use std::sync::Arc;

use super::block::BlockKind;
use super::block_index::BlockPlace;
use super::entry::{Key, KeyBuffer};
use super::reader::BlockReader;
use super::{Damage, Entry, Table, TableError};
use crate::slot::Slot;

/// A cursor over the claims of some slots, in order, that has one block in memory at a time.
pub struct Entries {
    reader: BlockReader,
    slots: Range<u16>,
    block: Block,
    /// Which claims of the block are of the slots.
    items: Range<usize>,
}

impl Entries {
    pub(super) fn new(table: Arc<Table>, slots: Range<u16>) -> Entries {
        let blocks = table.index.claims(&slots);
        let reader = BlockReader::new(table, BlockKind::Claims, blocks);
        Entries { reader, slots, block: Block::default(), items: 0..0 }
    }

    /// The next block of claims, checked; `None` at the end. No block is empty. After an error the same block comes again.
    pub fn next_block(&mut self) -> Result<Option<EntryBlock<'_>>, TableError> {
        Ok(if self.load()? { Some(self.block()) } else { None })
    }

    /// Goes on to the next block that has a claim of the slots. False at the end.
    pub(super) fn load(&mut self) -> Result<bool, TableError> {
        self.items = 0..0;
        while self.items.is_empty() {
            let Some(place) = self.reader.next(&mut self.block.raw)? else { return Ok(false) };
            self.block.read(&place).map_err(|damage| self.reader.refuse(&place, damage))?;
            if let Some(first) = self.block.first_key() {
                self.reader.note_first_key(&first);
            }
            let before = |slot: u16| self.block.items.partition_point(|item| item.slot.number() < slot);
            self.items = before(self.slots.start)..before(self.slots.end);
        }
        Ok(true)
    }

    /// Up to where the file was read, in bytes from its start; 0 before anything was.
    pub(super) fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// The block that was loaded last.
    pub(super) fn block(&self) -> EntryBlock<'_> {
        EntryBlock { block: &self.block, items: self.items.clone() }
    }
}

/// Claims that are in memory.
#[derive(Debug, Clone)]
pub struct EntryBlock<'a> {
    block: &'a Block,
    items: Range<usize>,
}

impl<'a> EntryBlock<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The claims, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'a>> + 'a {
        let block = self.block;
        self.items.clone().map(move |item| block.entry(item))
    }

    /// Some of them.
    pub(super) fn part(&self, items: Range<usize>) -> EntryBlock<'a> {
        let begin = self.items.start;
        assert!(items.end <= self.len(), "a part of {} claims ends at {}", self.len(), items.end);
        EntryBlock { block: self.block, items: begin + items.start..begin + items.end }
    }

    /// Where the block is in the file.
    pub(super) fn offset(&self) -> u64 {
        self.block.offset
    }

    /// Claim number `at` of [`Self::len`], where it stands, and its source, empty if it has none.
    pub(super) fn keyed(&self, at: usize) -> (Entry<'a>, Key<'a>, &'a [u8]) {
        let item = self.items.start + at;
        let entry = self.block.entry(item);
        let key = Key::in_slot(self.block.items[item].slot, entry.order, entry.payload);
        let (key, source) = key.expect("the key was read when the block was");
        (entry, key, source)
    }
}

/// The claims of one block, each of them and their order checked.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Where it is in the file.
    offset: u64,
    raw: Vec<u8>,
    items: Vec<Item>,
    /// The key of the last claim, which the next block begins behind.
    last: Option<KeyBuffer>,
}

/// A claim of a block.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// Where its entry begins in the raw bytes.
    at: u32,
    slot: Slot,
}

impl Block {
    /// Finds the claims in the raw bytes of the block at `place`.
    pub(super) fn read(&mut self, place: &BlockPlace) -> Result<(), Damage> {
        self.offset = place.offset;
        self.items.clear();
        let mut rest = self.raw.as_slice();
        let mut previous = self.last.as_ref().map(KeyBuffer::key);
        for number in 0..place.entries {
            let entry = Entry::decode(rest, number)?;
            let (key, _) = Key::of(entry.order, entry.payload)
                .map_err(|cause| Damage::Payload { entry: number, cause })?;
            if previous.is_some_and(|previous| previous >= key) {
                return Err(Damage::Order { entry: number });
            }
            self.items.push(Item { at: (self.raw.len() - rest.len()) as u32, slot: key.slot });
            previous = Some(key);
            rest = &rest[entry.bytes()..];
        }
        Damage::check("what is left behind its last entry", 0, rest.len() as u64)?;
        let slot = |item: Option<&Item>| item.map_or(0, |item| item.slot.number().into());
        Damage::check("its first slot", place.first_slot.into(), slot(self.items.first()))?;
        Damage::check("its last slot", place.last_slot.into(), slot(self.items.last()))?;
        if let Some(key) = previous.as_ref().map(KeyBuffer::new) {
            self.last = Some(key);
        }
        Ok(())
    }

    /// Where its raw bytes go.
    pub(super) fn raw_mut(&mut self) -> &mut Vec<u8> {
        &mut self.raw
    }

    /// The claim with this key, by its number in the block.
    pub(super) fn position(&self, key: &Key<'_>) -> Option<usize> {
        (0..self.items.len()).find(|&at| self.key(at) >= *key).filter(|&at| self.key(at) == *key)
    }

    pub(super) fn first_key(&self) -> Option<Key<'_>> {
        (!self.items.is_empty()).then(|| self.key(0))
    }

    pub(super) fn last_key(&self) -> Option<Key<'_>> {
        self.items.len().checked_sub(1).map(|last| self.key(last))
    }

    fn key(&self, item: usize) -> Key<'_> {
        let entry = self.entry(item);
        Key::in_slot(self.items[item].slot, entry.order, entry.payload)
            .expect("the key was read when the block was")
            .0
    }

    pub(super) fn entry(&self, item: usize) -> Entry<'_> {
        Entry::decode(&self.raw[self.items[item].at as usize..], 0)
            .expect("the entry was read with its block")
    }
}
