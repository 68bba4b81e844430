//! Byte strings that many claims share, kept once.

use super::byte_arena::ByteArena;
use super::chunked_vec::ChunkedVec;
use super::id_table::{IdTable, Vacancy};
use super::seeded_hash::SeededHash;
use crate::prefetch::prefetch;

/// Bytes of the length before each string.
const LENGTH_BYTES: usize = size_of::<u16>();

/// A set of byte strings, each with a number counted from 0 in the order in which they came.
pub(super) struct Interner {
    bytes: ByteArena,
    /// Where each string is, behind its length.
    strings: ChunkedVec<u32, 4096>,
    ids: IdTable,
}

impl Interner {
    /// An empty set that allocates `chunk_bytes` at a time for its strings; none may be longer than that, nor
    /// than 64 KiB.
    pub(super) fn new(chunk_bytes: usize) -> Interner {
        Interner { bytes: ByteArena::new(chunk_bytes), strings: ChunkedVec::new(), ids: IdTable::new() }
    }

    /// The number of `string`, new if it is new.
    pub(super) fn intern(&mut self, hash: &SeededHash, string: &[u8]) -> u32 {
        let vacancy = match self.find_or_vacancy(hash, string) {
            Ok(id) => return id,
            Err(vacancy) => vacancy,
        };
        let id = self.push(string);
        self.ids.insert(vacancy, id);
        id
    }

    /// Gives `string`, which is new, a number. It is not found before [`Self::index_all`].
    pub(super) fn push(&mut self, string: &[u8]) -> u32 {
        let length = u16::try_from(string.len()).expect("callers intern strings of at most 64 KiB");
        self.strings.push(self.bytes.push([&length.to_le_bytes(), string]))
    }

    /// Makes all strings found, or answers two numbers whose strings are the same.
    pub(super) fn index_all(&mut self, hash: &SeededHash) -> Result<(), (u32, u32)> {
        let are_equal = |one, other| self.string(one) == self.string(other);
        let hash_of = |id| hash.of_bytes(self.string(id));
        self.ids = IdTable::of_distinct(self.len() as u32, hash_of, are_equal)?;
        Ok(())
    }

    /// How many strings there are.
    pub(super) fn len(&self) -> usize {
        self.strings.len()
    }

    /// The number of `string`, whose hash is `hash`, if it is in the set.
    pub(super) fn find_hashed(&self, hash: u64, string: &[u8]) -> Option<u32> {
        self.ids.find(hash, |id| self.string(id) == string).ok()
    }

    /// The number of `string`, if it is in the set.
    pub(super) fn find(&self, hash: &SeededHash, string: &[u8]) -> Option<u32> {
        self.find_or_vacancy(hash, string).ok()
    }

    /// The string with the number `id`.
    pub(super) fn string(&self, id: u32) -> &[u8] {
        string_at(&self.bytes, self.strings[id])
    }

    /// By hash, so that what a search looks at can be fetched before it.
    pub(super) fn ids(&self) -> &IdTable {
        &self.ids
    }

    /// The string that a search for this hash will likely find. Fetches the reference to it.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        let guess = self.ids.guess(hash);
        guess.inspect(|&id| prefetch(&self.strings[id]))
    }

    /// Fetches the reference to a string.
    pub(super) fn prefetch_reference(&self, id: u32) {
        prefetch(&self.strings[id]);
    }

    /// Fetches a string.
    pub(super) fn prefetch_string(&self, id: u32) {
        prefetch(&self.bytes.from(self.strings[id])[0]);
    }

    /// Whether there is room for so many more strings in the numbers by which they are referred to.
    pub(super) fn has_references_for(&self, strings: usize) -> bool {
        self.bytes.has_references_for(strings)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes() + self.strings.bytes() + self.ids.bytes()
    }

    /// The most that [`Self::bytes`] can grow by so many strings that together have so many bytes.
    pub(super) fn growth_bytes_max(&self, strings: usize, bytes: usize) -> usize {
        self.bytes.growth_bytes_max(strings, bytes + strings * LENGTH_BYTES)
            + self.strings.growth_bytes_max(strings)
            + self.ids.growth_bytes_max(strings)
    }

    fn find_or_vacancy(&self, hash: &SeededHash, string: &[u8]) -> Result<u32, Vacancy> {
        self.ids.find(hash.of_bytes(string), |id| self.string(id) == string)
    }
}

fn string_at(bytes: &ByteArena, reference: u32) -> &[u8] {
    let (length, rest) = bytes
        .from(reference)
        .split_first_chunk::<LENGTH_BYTES>()
        .expect("each string was pushed with its length");
    &rest[..usize::from(u16::from_le_bytes(*length))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_has_one_number_for_ever() {
        let hash = SeededHash::new(1);
        let mut interner = Interner::new(1 << 16);
        assert_eq!(interner.find(&hash, b""), None);
        let strings: Vec<Vec<u8>> = (0..5_000_u32)
            .map(|n| n.to_string().repeat(n as usize % 40).into_bytes())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        for (id, string) in strings.iter().enumerate() {
            let most = interner.bytes() + interner.growth_bytes_max(1, string.len());
            assert_eq!(interner.intern(&hash, string), id as u32);
            assert!(interner.bytes() <= most);
        }
        let bytes = interner.bytes();
        for (id, string) in strings.iter().enumerate() {
            assert_eq!(interner.intern(&hash, string), id as u32);
            assert_eq!(interner.find(&hash, string), Some(id as u32));
            assert_eq!(interner.string(id as u32), string);
        }
        assert_eq!(interner.bytes(), bytes);
    }
}
