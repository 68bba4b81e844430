//! Writing a table from front to back.

use std::path::PathBuf;

use super::block::{self, BlockKind, RAW_BYTES};
use super::block_index::BlockPlace;
use super::ends::{Footer, Header};
use super::entry::{Key, KeyBuffer};
use super::{
    BLOCK_BYTES, Entry, TableError, TableFacts, TableNumber, TableRetraction, TableSink, TableStorage,
};
use crate::background::offer_turn;
use crate::planted::{self, Bug};
use crate::ring::aligned::AlignedBuffer;
use crate::slot::SLOTS;
use crate::time::UnixMicros;

/// Bytes that are written at once.
const WINDOW_BYTES: usize = 256 << 10;

/// Writes a table: first its retractions, then its claims, both in order.
///
/// Memory is bounded but for the block index, 20 bytes for each block. After an error there will be no table, and
/// the writer is to be dropped, which removes what was written.
pub struct TableWriter {
    path: PathBuf,
    /// `None` after an error.
    sink: Option<Box<dyn TableSink>>,
    /// What was not handed to the sink yet.
    window: AlignedBuffer,
    in_window: usize,
    /// Bytes of the file so far, those in the window included.
    offset: u64,
    /// The checksum of the header, which all others continue.
    seed: u32,
    block: OpenBlock,
    /// The last block as it was written: kept for its memory.
    packed: Vec<u8>,
    /// The block index, encoded.
    index: Vec<u8>,
    retraction_blocks: u64,
    claim_blocks: u64,
    facts: TableFacts,
    /// The last retraction, encoded.
    last_retraction: Vec<u8>,
    last_claim: Option<KeyBuffer>,
}

/// The block that is being filled.
struct OpenBlock {
    kind: BlockKind,
    raw: Vec<u8>,
    entries: u32,
    first_slot: u16,
    last_slot: u16,
}

impl TableWriter {
    /// Begins table `number` at the time `created`. No two tables of a number are begun at the same time.
    pub fn create(
        storage: &dyn TableStorage,
        number: TableNumber,
        created: UnixMicros,
    ) -> Result<TableWriter, TableError> {
        let path = storage.path(number);
        let sink = match storage.create(number) {
            Ok(sink) => sink,
            Err(source) => return Err(TableError::Create { path, source }),
        };
        let mut window = AlignedBuffer::zeroed(WINDOW_BYTES);
        let seed = Header { number, created }.encode(&mut window[..BLOCK_BYTES]);
        Ok(TableWriter {
            path,
            sink: Some(sink),
            window,
            in_window: BLOCK_BYTES,
            offset: BLOCK_BYTES as u64,
            seed,
            block: OpenBlock {
                kind: BlockKind::Retractions,
                raw: Vec::with_capacity(RAW_BYTES),
                entries: 0,
                first_slot: 0,
                last_slot: SLOTS - 1,
            },
            packed: Vec::new(),
            index: Vec::new(),
            retraction_blocks: 0,
            claim_blocks: 0,
            facts: TableFacts { number, bytes: 0, entries: 0, retracted: 0, retractions: 0 },
            last_retraction: Vec::new(),
            last_claim: None,
        })
    }

    /// Writes a retraction, which is behind the one before it by order, slots and payload.
    ///
    /// # Panics
    ///
    /// If it is not, or if a claim was written already.
    pub fn push_retraction(&mut self, retraction: &TableRetraction<'_>) -> Result<(), TableError> {
        assert!(self.block.kind == BlockKind::Retractions, "retractions come before all claims");
        if let Ok(last) = TableRetraction::decode(&self.last_retraction, 0) {
            assert!(last.key() < retraction.key(), "retractions come in order");
        }
        self.make_room(retraction.bytes())?;
        retraction.encode(&mut self.block.raw);
        self.block.entries += 1;
        self.facts.retractions += 1;
        self.last_retraction.clear();
        retraction.encode(&mut self.last_retraction);
        Ok(())
    }

    /// Writes a claim, which is behind the one before it by slot, subject, predicate, timestamp, order and hash.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub fn push(&mut self, entry: &Entry<'_>) -> Result<(), TableError> {
        let key = Key::of(entry.order, entry.payload);
        let (key, _) = key.map_err(|cause| TableError::NotAClaim { path: self.path.clone(), cause })?;
        self.push_keyed(entry, &key)
    }

    /// As [`Self::push`], where the key is known.
    pub(super) fn push_keyed(&mut self, entry: &Entry<'_>, key: &Key<'_>) -> Result<(), TableError> {
        if self.block.kind == BlockKind::Retractions {
            self.end_block()?;
            self.block.kind = BlockKind::Claims;
        }
        match &mut self.last_claim {
            Some(last) => {
                assert!(last.key() < *key, "claims come in order");
                last.set(key);
            }
            none => *none = Some(KeyBuffer::new(key)),
        }
        self.make_room(entry.bytes())?;
        if self.block.entries == 0 {
            self.block.first_slot = key.slot.number();
        }
        self.block.last_slot = key.slot.number();
        entry.encode(&mut self.block.raw);
        self.block.entries += 1;
        self.facts.entries += 1;
        self.facts.retracted += u64::from(entry.retracted);
        Ok(())
    }

    /// Writes what is left, makes the table durable and gives it its name.
    pub fn finish(mut self) -> Result<TableFacts, TableError> {
        self.end_block()?;
        let index_offset = self.offset;
        let index = std::mem::take(&mut self.index);
        self.emit(&index)?;
        let padding = [0; BLOCK_BYTES];
        let padding = &padding[..(self.offset.next_multiple_of(BLOCK_BYTES as u64) - self.offset) as usize];
        self.emit(padding)?;
        let index_checksum = crc32c::crc32c_append(crc32c::crc32c_append(self.seed, &index), padding);

        self.facts.bytes = self.offset + BLOCK_BYTES as u64;
        let footer = Footer {
            facts: self.facts,
            retraction_blocks: self.retraction_blocks,
            claim_blocks: self.claim_blocks,
            index_offset,
            index_checksum,
        };
        let mut block = [0; BLOCK_BYTES];
        footer.encode(self.seed, &mut block);
        self.emit(&block)?;
        self.flush()?;
        let sink = self.sink.take().expect("an error before would have ended this");
        if planted::is(Bug::ListTooEarly) {
            planted::postpone(|| drop(sink.finish()));
            return Ok(self.facts);
        }
        match sink.finish() {
            Ok(()) => Ok(self.facts),
            Err(source) => Err(TableError::Finish { path: self.path, source }),
        }
    }

    /// The table's file, for messages.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Ends the open block if it cannot take so many more bytes.
    fn make_room(&mut self, bytes: usize) -> Result<(), TableError> {
        if self.block.raw.len() + bytes > RAW_BYTES { self.end_block() } else { Ok(()) }
    }

    /// Writes the open block, unless it is empty.
    fn end_block(&mut self) -> Result<(), TableError> {
        let OpenBlock { kind, ref mut raw, entries, first_slot, last_slot } = self.block;
        if entries == 0 {
            return Ok(());
        }
        let mut packed = std::mem::take(&mut self.packed);
        block::pack(self.seed, self.offset, kind, entries, raw, &mut packed);
        raw.clear();
        self.block.entries = 0;
        let place =
            BlockPlace { offset: self.offset, bytes: packed.len() as u32, entries, first_slot, last_slot };
        place.encode(&mut self.index);
        match kind {
            BlockKind::Retractions => self.retraction_blocks += 1,
            BlockKind::Claims => self.claim_blocks += 1,
        }
        self.emit(&packed)?;
        self.packed = packed;
        offer_turn();
        Ok(())
    }

    /// Appends to the file.
    fn emit(&mut self, mut bytes: &[u8]) -> Result<(), TableError> {
        while !bytes.is_empty() {
            let room = self.window.len() - self.in_window;
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.window[self.in_window..self.in_window + now.len()].copy_from_slice(now);
            self.in_window += now.len();
            self.offset += now.len() as u64;
            bytes = later;
            if self.in_window == self.window.len() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Hands to the sink what is in the window, whole blocks.
    fn flush(&mut self) -> Result<(), TableError> {
        let bytes = &self.window[..self.in_window];
        let sink = self.sink.as_mut().expect("nothing is written after an error");
        if let Err(source) = sink.append(bytes) {
            self.sink = None;
            let offset = self.offset - self.in_window as u64;
            return Err(TableError::Write { path: self.path.clone(), offset, source });
        }
        self.in_window = 0;
        Ok(())
    }
}
