//! An arena of byte strings that are written once, never moved and never freed.

/// References count in units of this many bytes, so that a `u32` reaches 32 GiB.
pub(super) const UNIT_BYTES: usize = 8;

/// Byte strings in chunks, each found again by a `u32` reference.
///
/// The arena does not know how long a string is: a reference gives the bytes from the string's first to the
/// end of what its chunk holds, and what is written there says itself where it ends.
#[derive(Debug)]
pub(super) struct ByteArena {
    chunks: Vec<Vec<u8>>,
    /// A power of two, so that a reference is split without a division.
    chunk_bytes: usize,
    /// Which one.
    chunk_bits: u32,
}

impl ByteArena {
    /// An arena that allocates `chunk_bytes` at a time, a power of two, which is also the most that one string may have.
    pub(super) fn new(chunk_bytes: usize) -> ByteArena {
        assert!(chunk_bytes.is_power_of_two() && chunk_bytes.is_multiple_of(UNIT_BYTES));
        ByteArena { chunks: Vec::new(), chunk_bytes, chunk_bits: chunk_bytes.ilog2() }
    }

    /// Copies a string in that is given in parts, and answers its reference.
    pub(super) fn push<const PARTS: usize>(&mut self, parts: [&[u8]; PARTS]) -> u32 {
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        assert!(bytes <= self.chunk_bytes, "{bytes} bytes do not fit into a chunk of {}", self.chunk_bytes);
        if self.chunks.last().is_none_or(|chunk| chunk.len() + bytes > self.chunk_bytes) {
            self.chunks.push(Vec::with_capacity(self.chunk_bytes));
        }
        let chunk = self.chunks.last_mut().expect("a chunk was pushed if there was none");
        let offset = chunk.len();
        parts.iter().for_each(|part| chunk.extend_from_slice(part));
        // The next string starts at a unit; a chunk is a whole number of units, so this cannot outgrow it.
        chunk.resize(chunk.len().next_multiple_of(UNIT_BYTES), 0);
        self.reference(self.chunks.len() - 1, offset)
    }

    /// The string at `reference`, followed by whatever was pushed after it.
    pub(super) fn from(&self, reference: u32) -> &[u8] {
        let byte = reference as usize * UNIT_BYTES;
        &self.chunks[byte >> self.chunk_bits][byte & (self.chunk_bytes - 1)..]
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// What a chunk holds so far: strings, each from a multiple of 8 bytes on.
    pub(super) fn chunk(&self, at: usize) -> &[u8] {
        &self.chunks[at]
    }

    /// The reference of the string that begins at `offset` of a chunk.
    pub(super) fn reference(&self, chunk: usize, offset: usize) -> u32 {
        let unit = (chunk * self.chunk_bytes + offset) / UNIT_BYTES;
        u32::try_from(unit).expect("callers ask `has_references_for`")
    }

    /// Begins a chunk, whatever room there is in the one before.
    pub(super) fn begin_chunk(&mut self) {
        self.chunks.push(Vec::with_capacity(self.chunk_bytes));
    }

    /// Copies a piece of a chunk to the end of the last one. False if there is no room for it.
    pub(super) fn extend_chunk(&mut self, piece: &[u8]) -> bool {
        let chunk_bytes = self.chunk_bytes;
        let chunk = self.chunks.last_mut().filter(|chunk| chunk.len() + piece.len() <= chunk_bytes);
        chunk.map(|chunk| chunk.extend_from_slice(piece)).is_some()
    }

    /// Whether there are references for so many more strings, whatever their lengths.
    pub(super) fn has_references_for(&self, strings: usize) -> bool {
        (self.chunks.len() + strings) * (self.chunk_bytes / UNIT_BYTES) <= u32::MAX as usize
    }

    /// Bytes allocated: whole chunks, used or not, and the list of them.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * self.chunk_bytes + self.chunks.capacity() * size_of::<Vec<u8>>()
    }

    /// The most that [`Self::bytes`] can grow by so many strings that together have so many bytes.
    pub(super) fn growth_bytes_max(&self, strings: usize, bytes: usize) -> usize {
        // A string that begins a chunk did not fit into the one before: two neighbours together hold a
        // chunk's worth.
        let chunks = 2 * (bytes + strings * UNIT_BYTES) / self.chunk_bytes + 1;
        // The list of chunks doubles when it is full, from four on.
        let list = self.chunks.capacity() + 2 * chunks + 4;
        chunks * self.chunk_bytes + list * size_of::<Vec<u8>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_found_again() {
        let mut arena = ByteArena::new(64);
        let strings: Vec<Vec<u8>> =
            (0..200_usize).map(|n| vec![n as u8; if n % 7 == 0 { 64 } else { n % 20 }]).collect();
        let references: Vec<u32> = strings
            .iter()
            .map(|string| {
                let most = arena.bytes() + arena.growth_bytes_max(1, string.len());
                let reference = arena.push([&string[..string.len() / 3], &string[string.len() / 3..]]);
                assert!(arena.bytes() <= most);
                reference
            })
            .collect();
        for (string, reference) in strings.iter().zip(references) {
            assert_eq!(&arena.from(reference)[..string.len()], string);
        }
        assert!(arena.chunks.iter().all(|chunk| chunk.capacity() == 64), "no chunk was reallocated");
    }

    #[test]
    fn the_end_of_the_references_is_told_in_advance() {
        let mut arena = ByteArena::new(1 << 20);
        assert!(arena.has_references_for(32_767));
        assert!(!arena.has_references_for(32_768));
        // Empty chunks stand for full ones: only their number counts.
        arena.chunks.resize_with(32_766, Vec::new);
        assert!(arena.has_references_for(1));
        assert!(!arena.has_references_for(2));
    }
}
