//! A table that is open to be read.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::block_index::{BlockIndex, PLACE_BYTES};
use super::ends::{Footer, Header};
use super::entry::{Key, KeyBuffer};
use super::{
    BLOCK_BYTES, Damage, Entries, Retractions, TableError, TableFacts, TableNumber, TablePart, TableSource,
    TableStorage, Verification,
};
use crate::ring::aligned::AlignedBuffer;
use crate::time::UnixMicros;

/// A table that is open to be read, by as many cursors as like, on any threads.
///
/// What was checked at opening is the header, the footer and the block index; a block is checked when it is read.
pub struct Table {
    pub(super) path: PathBuf,
    source: Box<dyn TableSource>,
    /// The checksum of the header, which all others continue.
    pub(super) seed: u32,
    created: UnixMicros,
    facts: TableFacts,
    pub(super) index: BlockIndex,
    /// The key that each block of claims begins with, as far as somebody has read the block.
    first_keys: Box<[OnceLock<Box<KeyBuffer>>]>,
}

impl Table {
    /// Opens table `number`. Costs a few reads, and memory of about a 1600th of the table's raw bytes for the block index.
    pub fn open(storage: &dyn TableStorage, number: TableNumber) -> Result<Arc<Table>, TableError> {
        let path = storage.path(number);
        let opened = storage.open(number).and_then(|source| Ok((source.bytes()?, source)));
        let (bytes, source) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(TableError::Open { path, source }),
        };
        let file = OpenFile { path: &path, source: &*source };
        let block = BLOCK_BYTES as u64;
        if bytes < 2 * block || !bytes.is_multiple_of(block) {
            let expected = (2 * block).max(bytes.next_multiple_of(block));
            return Err(Damage::CutOff { expected, actual: bytes }.at(&path, 0, TablePart::Footer));
        }
        let mut buffer = AlignedBuffer::zeroed(BLOCK_BYTES);
        file.read(0, TablePart::Header, &mut buffer)?;
        let in_header = |damage: Damage| damage.at(&path, 0, TablePart::Header);
        let (header, seed) = Header::decode(&buffer).map_err(in_header)?;
        Damage::check("its number", number.0, header.number.0).map_err(in_header)?;

        let footer_offset = bytes - block;
        file.read(footer_offset, TablePart::Footer, &mut buffer)?;
        let in_footer = |damage: Damage| damage.at(&path, footer_offset, TablePart::Footer);
        let footer = Footer::decode(seed, &buffer).map_err(in_footer)?;
        check_footer(&footer, number, bytes).map_err(in_footer)?;
        let index = read_index(&file, seed, &footer)?;
        let first_keys = (0..footer.claim_blocks).map(|_| OnceLock::new()).collect();
        let facts = footer.facts;
        Ok(Arc::new(Table { path, source, seed, created: header.created, facts, index, first_keys }))
    }

    /// What the table holds.
    pub fn facts(&self) -> &TableFacts {
        &self.facts
    }

    /// When it was begun.
    pub fn created(&self) -> UnixMicros {
        self.created
    }

    /// A cursor over the claims of `slots`, in order. It reads only blocks that hold some.
    pub fn entries(self: &Arc<Self>, slots: Range<u16>) -> Entries {
        Entries::new(Arc::clone(self), slots)
    }

    /// A cursor over all retractions, in the order of writing.
    pub fn retractions(self: &Arc<Self>) -> Retractions {
        Retractions::new(Arc::clone(self))
    }

    /// A check of everything, to be done step by step. To check header, footer and index again, too, open the table anew.
    pub fn verification(self: &Arc<Self>) -> Verification {
        Verification::new(Arc::clone(self))
    }

    /// The table's file, to be read by other means than [`Self::read_at`]; `None` if there is none.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.source.descriptor()
    }

    /// Reads from `offset` on into `buffer`, both aligned, and gives how many bytes were read.
    ///
    /// # Errors
    ///
    /// As the storage has them.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(offset, buffer)
    }

    /// The table's file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that a block begins with, if somebody has read the block.
    pub(super) fn first_key(&self, block: usize) -> Option<&KeyBuffer> {
        self.first_keys[block - self.index.retractions().end].get().map(|key| &**key)
    }

    /// Notes the key that a block of claims begins with.
    pub(super) fn note_first_key(&self, block: usize, first: &Key<'_>) {
        self.first_keys[block - self.index.retractions().end].get_or_init(|| Box::new(KeyBuffer::new(first)));
    }

    /// Reads all of `buffer` from `offset` on, both aligned.
    pub(super) fn read(&self, offset: u64, part: TablePart, buffer: &mut [u8]) -> Result<(), TableError> {
        OpenFile { path: &self.path, source: &*self.source }.read(offset, part, buffer)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("path", &self.path).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// A file and its name.
struct OpenFile<'a> {
    path: &'a std::path::Path,
    source: &'a dyn TableSource,
}

impl OpenFile<'_> {
    fn read(&self, offset: u64, part: TablePart, buffer: &mut [u8]) -> Result<(), TableError> {
        let read = self.source.read(offset, buffer);
        let read =
            read.map_err(|source| TableError::Read { path: self.path.to_path_buf(), offset, source })?;
        if read < buffer.len() {
            let (expected, actual) = (offset + buffer.len() as u64, offset + read as u64);
            return Err(Damage::CutOff { expected, actual }.at(self.path, offset, part));
        }
        Ok(())
    }
}

/// Checks what the footer says about the file as a whole, so that nothing is read or allocated that is not in it.
fn check_footer(footer: &Footer, number: TableNumber, bytes: u64) -> Result<(), Damage> {
    Damage::check("its number", number.0, footer.facts.number.0)?;
    Damage::check("its number of bytes", bytes, footer.facts.bytes)?;
    Damage::check_bound("its number of blocks", bytes, footer.claim_blocks)?;
    Damage::check_bound("its number of blocks", bytes, footer.retraction_blocks)?;
    Damage::check_bound("the offset of its index", bytes, footer.index_offset)?;
    Damage::check_bound("its number of retracted claims", footer.facts.entries, footer.facts.retracted)?;
    let index_bytes = (footer.claim_blocks + footer.retraction_blocks).saturating_mul(PLACE_BYTES as u64);
    let index_end = footer.index_offset.saturating_add(index_bytes).next_multiple_of(BLOCK_BYTES as u64);
    Damage::check("the end of its index", bytes - BLOCK_BYTES as u64, index_end)
}

fn read_index(file: &OpenFile<'_>, seed: u32, footer: &Footer) -> Result<BlockIndex, TableError> {
    let blocks = (footer.claim_blocks + footer.retraction_blocks) as usize;
    let footer_offset = footer.facts.bytes - BLOCK_BYTES as u64;
    let begin = footer.index_offset - footer.index_offset % BLOCK_BYTES as u64;
    let damaged = |damage: Damage| damage.at(file.path, footer.index_offset, TablePart::Index);
    let mut buffer = AlignedBuffer::zeroed(((footer_offset - begin) as usize).max(BLOCK_BYTES));
    if begin < footer_offset {
        file.read(begin, TablePart::Index, &mut buffer)?;
    }
    let index = &buffer[(footer.index_offset - begin) as usize..];
    let index = if begin < footer_offset { index } else { &[] };
    Damage::check_sum(footer.index_checksum, crc32c::crc32c_append(seed, index)).map_err(damaged)?;
    BlockIndex::decode(&index[..blocks * PLACE_BYTES], footer).map_err(damaged)
}
