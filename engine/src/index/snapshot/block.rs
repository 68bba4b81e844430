//! Blocks: a snapshot is a chain of them, each checked together with all that comes before it.

use std::io::{self, Read};

use super::SnapshotError;
use crate::planted::{self, Bug};

/// What a snapshot begins with.
pub(super) const MAGIC: [u8; 8] = *b"STEMEIDX";

/// The version of the format. Another one is not read: a snapshot is made anew soon enough.
pub(super) const VERSION: u32 = 2;

/// Bytes of a block before its payload: section, zero, bytes of the payload, checksum.
const HEADER_BYTES: usize = 12;

/// The most bytes that a payload may have.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What a block is about. Sections come in this order; any but the first and the last have any number of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub(super) enum Section {
    /// How much of everything there is.
    Header = 0,
    Predicates = 1,
    Epochs = 2,
    Agents = 3,
    Sources = 4,
    Subjects = 5,
    /// Subject and predicate of each series.
    Series = 6,
    /// Values and metadata that are long, or where they are.
    LongParts = 7,
    Bodies = 8,
    Rows = 9,
    /// The numbers of the sources, by their paths.
    SourceOrder = 10,
    /// The numbers of the subjects, by their paths.
    SubjectOrder = 11,
    /// The claims of each series, oldest first.
    SeriesOrder = 12,
    /// Nothing: the snapshot is whole.
    Footer = 13,
}

impl Section {
    /// All sections, in their order.
    const ALL: [Section; 14] = [
        Section::Header,
        Section::Predicates,
        Section::Epochs,
        Section::Agents,
        Section::Sources,
        Section::Subjects,
        Section::Series,
        Section::LongParts,
        Section::Bodies,
        Section::Rows,
        Section::SourceOrder,
        Section::SubjectOrder,
        Section::SeriesOrder,
        Section::Footer,
    ];

    /// The section after this one; none after the footer.
    pub(super) fn next(self) -> Option<Section> {
        Self::ALL.get(self as usize + 1).copied()
    }

    /// What is in the section, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Section::Header => "header",
            Section::Predicates => "predicates",
            Section::Epochs => "epochs",
            Section::Agents => "agents",
            Section::Sources => "sources",
            Section::Subjects => "subjects",
            Section::Series => "series",
            Section::LongParts => "long parts",
            Section::Bodies => "bodies",
            Section::Rows => "rows",
            Section::SourceOrder => "order of sources",
            Section::SubjectOrder => "order of subjects",
            Section::SeriesOrder => "order of claims",
            Section::Footer => "footer",
        }
    }
}

/// The checksum of all that was written so far: a block out of its place, or of another snapshot, does not fit.
#[derive(Debug, Clone, Copy)]
struct Chain(u32);

impl Chain {
    /// The chain behind the magic and the version.
    fn new() -> Chain {
        Chain(crc32c::crc32c_append(crc32c::crc32c(&MAGIC), &VERSION.to_le_bytes()))
    }

    fn add(&mut self, header: &[u8], payload: &[u8]) -> u32 {
        self.0 = crc32c::crc32c_append(crc32c::crc32c_append(self.0, header), payload);
        self.0
    }
}

/// Appends the blocks of one snapshot, one after the other.
#[derive(Debug)]
pub(super) struct BlockWriter {
    chain: Chain,
}

impl BlockWriter {
    /// Begins a snapshot.
    pub(super) fn new() -> BlockWriter {
        BlockWriter { chain: Chain::new() }
    }

    /// Appends what comes before the first block.
    pub(super) fn begin(out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
    }

    /// Appends a block whose payload `fill` appends.
    pub(super) fn append<T>(
        &mut self,
        section: Section,
        out: &mut Vec<u8>,
        fill: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let filled = fill(out);
        let bytes = out.len() - start - HEADER_BYTES;
        assert!(bytes <= PAYLOAD_BYTES_MAX, "a block of {bytes} bytes, {PAYLOAD_BYTES_MAX} at most");
        let (header, payload) = out[start..].split_at_mut(HEADER_BYTES);
        header[..2].copy_from_slice(&(section as u16).to_le_bytes());
        header[4..8].copy_from_slice(&(bytes as u32).to_le_bytes());
        let checksum = self.chain.add(&header[..8], payload);
        header[8..].copy_from_slice(&checksum.to_le_bytes());
        filled
    }
}

/// A block that was read and checked.
pub(super) struct Block<'r> {
    pub(super) section: Section,
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) payload: &'r [u8],
}

/// Reads the blocks of one snapshot.
pub(super) struct BlockReader<'s> {
    source: &'s mut dyn Read,
    chain: Chain,
    /// How far it was read.
    offset: u64,
    payload: Vec<u8>,
}

impl<'s> BlockReader<'s> {
    /// Reads what comes before the first block.
    pub(super) fn new(source: &'s mut dyn Read) -> Result<BlockReader<'s>, SnapshotError> {
        let mut reader = BlockReader { source, chain: Chain::new(), offset: 0, payload: Vec::new() };
        let (mut magic, mut version) = ([0; 8], [0; 4]);
        reader.read(&mut magic)?;
        if magic != MAGIC {
            return Err(SnapshotError::Magic { found: magic });
        }
        reader.read(&mut version)?;
        match u32::from_le_bytes(version) {
            VERSION => Ok(reader),
            version => Err(SnapshotError::Version { version }),
        }
    }

    /// The next block, checked.
    pub(super) fn next(&mut self) -> Result<Block<'_>, SnapshotError> {
        let offset = self.offset;
        let mut header = [0; HEADER_BYTES];
        self.read(&mut header)?;
        let number = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let checksum = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(SnapshotError::BlockBytes { offset, bytes, bytes_max: PAYLOAD_BYTES_MAX });
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(bytes, 0);
        let read = self.read(&mut payload);
        self.payload = payload;
        read?;
        let actual = self.chain.add(&header[..8], &self.payload);
        if actual != checksum && !planted::is(Bug::AcceptRottenSnapshots) {
            return Err(SnapshotError::Checksum { offset, expected: checksum, actual });
        }
        let Some(&section) = Section::ALL.get(number as usize) else {
            return Err(SnapshotError::Section { offset, number });
        };
        Ok(Block { section, offset, payload: &self.payload })
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        let offset = self.offset;
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::Truncated { offset },
            _ => SnapshotError::Read { offset, error },
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: no block is taken that was changed, moved, repeated, left out or cut. Method: three blocks, damaged.

    use super::*;

    fn blocks() -> (Vec<u8>, Vec<usize>) {
        let (mut out, mut writer, mut ends) = (Vec::new(), BlockWriter::new(), Vec::new());
        BlockWriter::begin(&mut out);
        for (section, byte) in [(Section::Rows, 1), (Section::Rows, 1), (Section::Footer, 2)] {
            ends.push(out.len());
            writer.append(section, &mut out, |out| out.extend([byte; 20]));
        }
        ends.push(out.len());
        (out, ends)
    }

    fn read(mut bytes: &[u8]) -> Result<Vec<(Section, Vec<u8>)>, SnapshotError> {
        let mut reader = BlockReader::new(&mut bytes)?;
        (0..3).map(|_| reader.next().map(|block| (block.section, block.payload.to_vec()))).collect()
    }

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let rows = (Section::Rows, vec![1; 20]);
        let expected = [rows.clone(), rows, (Section::Footer, vec![2; 20])];
        assert_eq!(read(&blocks().0).expect("undamaged"), expected);
    }

    #[test]
    fn any_change_and_any_cut_is_noticed() {
        let bytes = blocks().0;
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(matches!(read(&bytes[..at]), Err(SnapshotError::Truncated { .. })), "cut at {at}");
        }
    }

    #[test]
    fn blocks_keep_their_places() {
        let (bytes, ends) = blocks();
        // The first two blocks say the same, but for their place.
        for order in [[1, 0, 2], [0, 0, 2], [1, 1, 2], [0, 2, 2], [2, 1, 0]] {
            let mut moved = bytes[..ends[0]].to_vec();
            order.iter().for_each(|&at| moved.extend_from_slice(&bytes[ends[at]..ends[at + 1]]));
            assert!(matches!(read(&moved), Err(SnapshotError::Checksum { .. })), "{order:?}");
        }
    }

    #[test]
    fn sections_are_numbered_in_their_order() {
        assert!(Section::ALL.iter().enumerate().all(|(number, section)| *section as usize == number));
        assert_eq!((Section::Header.next(), Section::Footer.next()), (Some(Section::Predicates), None));
    }
}
