//! Ids in an order that only the caller knows, in small sorted chunks.

use std::cmp::Ordering;

use crate::prefetch::prefetch;

/// The most ids in a chunk.
const CHUNK_IDS_MAX: usize = 512;

/// The most chunks in a block.
const BLOCK_CHUNKS_MAX: usize = 512;

/// Ids in order.
type Chunk = Vec<u32>;

/// Chunks in order.
type Block = Vec<Chunk>;

/// A sorted list of `u32` ids whose order is a comparison that the caller passes in.
///
/// Three levels: the list of blocks, a block's chunks, a chunk's ids. An insertion compares O(log n) times,
/// moves the ids of one chunk at most, rarely the chunks of one block, and once in 65 thousand times the list
/// of blocks, which has 24 bytes for as many ids. Appending in order fills chunks and blocks to the brim.
#[derive(Debug, Default)]
pub(super) struct SortedIds {
    /// No block and no chunk is empty.
    blocks: Vec<Block>,
    /// Bytes allocated.
    bytes: usize,
}

/// A place between two ids, good until the next insertion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    block: usize,
    chunk: usize,
    id: usize,
}

impl SortedIds {
    /// Inserts an id. `compare` tells how an id in the list stands to the new one, which is never `Equal`.
    pub(super) fn insert(&mut self, id: u32, compare: impl Fn(u32) -> Ordering) {
        let is_before = |other| match compare(other) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => panic!("id {id} is equal to {other}, which is in the list"),
        };
        if self.last().is_none_or(is_before) {
            self.append(id);
        } else {
            self.insert_at(self.position(is_before), id);
        }
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most that lists which have `bytes` together can grow by so many insertions into any of them.
    pub(super) fn growth_bytes_max(bytes: usize, insertions: usize) -> usize {
        // A list's first id takes less than this.
        const FIRST_BYTES: usize = 128;
        // Otherwise an insertion takes a place that is there; or lets a chunk grow by a quarter or a block
        // double, by no more than they have; or splits one that is full, by no more than it has.
        const CHUNK_AND_BLOCK_BYTES: usize =
            2 * CHUNK_IDS_MAX * size_of::<u32>() + 2 * BLOCK_CHUNKS_MAX * size_of::<Chunk>();
        insertions * FIRST_BYTES + (insertions * CHUNK_AND_BLOCK_BYTES).min(2 * bytes)
    }

    /// The place before the first id for which `is_before` is false; the ids for which it is true come first.
    pub(super) fn position(&self, is_before: impl Fn(u32) -> bool) -> Position {
        let block = self.blocks.partition_point(|block| is_before(block[0][0])).saturating_sub(1);
        let Some(chunks) = self.blocks.get(block) else {
            return Position { block: 0, chunk: 0, id: 0 };
        };
        let chunk = chunks.partition_point(|chunk| is_before(chunk[0])).saturating_sub(1);
        let id = chunks[chunk].partition_point(|&id| is_before(id));
        Position { block, chunk, id }
    }

    /// The place after the last id.
    pub(super) fn end(&self) -> Position {
        let block = self.blocks.len().saturating_sub(1);
        let chunk = self.blocks.last().map_or(0, |block| block.len() - 1);
        let id = self.blocks.last().map_or(0, |block| block[chunk].len());
        Position { block, chunk, id }
    }

    /// The ids from `position` on, in order.
    pub(super) fn forward(&self, position: Position) -> Forward<'_> {
        Forward { ids: self, position }
    }

    /// The ids before `position`, in reverse order.
    pub(super) fn backward(&self, position: Position) -> Backward<'_> {
        Backward { ids: self, position }
    }

    /// Fetches the list's last block, which leads to the last chunk.
    pub(super) fn prefetch_last_block(&self) {
        self.blocks.last().inspect(|block| prefetch(*block));
    }

    /// Fetches the list's last chunk, which leads to the last id.
    pub(super) fn prefetch_last_chunk(&self) {
        self.blocks.last().and_then(|block| block.last()).inspect(|chunk| prefetch(*chunk));
    }

    /// Fetches the list's last id, where one that comes in order is appended.
    pub(super) fn prefetch_last(&self) {
        let chunk = self.blocks.last().and_then(|block| block.last());
        chunk.and_then(|chunk| chunk.last()).inspect(|id| prefetch(*id));
    }

    /// The last id.
    pub(super) fn last(&self) -> Option<u32> {
        self.blocks.last().map(|block| {
            let chunk = &block[block.len() - 1];
            chunk[chunk.len() - 1]
        })
    }

    /// Puts `id` after all others, into a chunk and a block of its own if the last ones are full.
    pub(super) fn append(&mut self, id: u32) {
        if self.blocks.last().is_none_or(|block| {
            block.len() == BLOCK_CHUNKS_MAX && block[BLOCK_CHUNKS_MAX - 1].len() == CHUNK_IDS_MAX
        }) {
            self.insert_block(self.blocks.len(), Block::new());
        }
        let block = self.blocks.len() - 1;
        if self.blocks[block].last().is_none_or(|chunk| chunk.len() == CHUNK_IDS_MAX) {
            self.insert_chunk(block, self.blocks[block].len(), Chunk::new());
        }
        let chunk = self.blocks[block].len() - 1;
        self.insert_id(Position { block, chunk, id: self.blocks[block][chunk].len() }, id);
    }

    /// Puts `id` at a place that is not the end, and splits a full chunk there in halves, and a full block.
    fn insert_at(&mut self, mut at: Position, id: u32) {
        if self.blocks[at.block][at.chunk].len() == CHUNK_IDS_MAX {
            if self.blocks[at.block].len() == BLOCK_CHUNKS_MAX {
                let upper = self.blocks[at.block].split_off(BLOCK_CHUNKS_MAX / 2);
                self.bytes += upper.capacity() * size_of::<Chunk>();
                self.insert_block(at.block + 1, upper);
                if at.chunk >= BLOCK_CHUNKS_MAX / 2 {
                    at = Position { block: at.block + 1, chunk: at.chunk - BLOCK_CHUNKS_MAX / 2, id: at.id };
                }
            }
            let upper = self.blocks[at.block][at.chunk].split_off(CHUNK_IDS_MAX / 2);
            self.bytes += upper.capacity() * size_of::<u32>();
            self.insert_chunk(at.block, at.chunk + 1, upper);
            if at.id >= CHUNK_IDS_MAX / 2 {
                at = Position { block: at.block, chunk: at.chunk + 1, id: at.id - CHUNK_IDS_MAX / 2 };
            }
        }
        self.insert_id(at, id);
    }

    fn insert_block(&mut self, at: usize, block: Block) {
        let capacity = self.blocks.capacity();
        if capacity == 0 {
            // Most lists never need a second block.
            self.blocks.reserve_exact(1);
        }
        self.blocks.insert(at, block);
        self.bytes += (self.blocks.capacity() - capacity) * size_of::<Block>();
    }

    fn insert_chunk(&mut self, block: usize, at: usize, chunk: Chunk) {
        let block = &mut self.blocks[block];
        let capacity = block.capacity();
        if block.len() == capacity {
            block.reserve_exact(capacity.clamp(1, BLOCK_CHUNKS_MAX - capacity));
        }
        block.insert(at, chunk);
        self.bytes += (block.capacity() - capacity) * size_of::<Chunk>();
    }

    fn insert_id(&mut self, at: Position, id: u32) {
        let chunk = &mut self.blocks[at.block][at.chunk];
        let capacity = chunk.capacity();
        if chunk.len() == capacity {
            // A chunk is small enough to move often, and most chunks are never full: do not double.
            chunk.reserve_exact((capacity / 4).clamp(4, CHUNK_IDS_MAX - capacity));
        }
        chunk.insert(at.id, id);
        self.bytes += (chunk.capacity() - capacity) * size_of::<u32>();
    }
}

/// The ids from a place on, in order.
pub(super) struct Forward<'a> {
    ids: &'a SortedIds,
    position: Position,
}

impl Iterator for Forward<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let Position { block, chunk, id } = &mut self.position;
        loop {
            let chunks = self.ids.blocks.get(*block)?;
            match chunks.get(*chunk).map(|ids| ids.get(*id)) {
                Some(Some(&found)) => {
                    *id += 1;
                    return Some(found);
                }
                Some(None) => (*chunk, *id) = (*chunk + 1, 0),
                None => (*block, *chunk) = (*block + 1, 0),
            }
        }
    }
}

/// The ids before a place, in reverse order.
pub(super) struct Backward<'a> {
    ids: &'a SortedIds,
    position: Position,
}

impl Iterator for Backward<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let Position { block, chunk, id } = &mut self.position;
        if *id == 0 {
            if *chunk == 0 {
                *block = block.checked_sub(1)?;
                *chunk = self.ids.blocks[*block].len();
            }
            *chunk -= 1;
            *id = self.ids.blocks[*block][*chunk].len();
        }
        *id -= 1;
        Some(self.ids.blocks[*block][*chunk][*id])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allocated(ids: &SortedIds) -> usize {
        let chunk = |chunk: &Chunk| chunk.capacity() * size_of::<u32>();
        let block =
            |block: &Block| block.capacity() * size_of::<Chunk>() + block.iter().map(chunk).sum::<usize>();
        ids.blocks.capacity() * size_of::<Block>() + ids.blocks.iter().map(block).sum::<usize>()
    }

    fn all(ids: &SortedIds) -> Vec<u32> {
        ids.forward(ids.position(|_| false)).collect()
    }

    fn check(ids: &SortedIds, expected: &[u32], probes: impl Iterator<Item = u32>) {
        assert_eq!(all(ids), expected);
        let reversed: Vec<u32> = ids.backward(ids.end()).collect();
        assert!(reversed.iter().eq(expected.iter().rev()));
        for probe in probes {
            let at = ids.position(|id| id < probe);
            let split = expected.partition_point(|&id| id < probe);
            assert!(ids.forward(at).eq(expected[split..].iter().copied()));
            assert!(ids.backward(at).eq(expected[..split].iter().rev().copied()));
        }
        assert_eq!(ids.bytes(), allocated(ids));
        assert!(ids.blocks.iter().all(|block| (1..=BLOCK_CHUNKS_MAX).contains(&block.len())));
        assert!(ids.blocks.iter().flatten().all(|chunk| (1..=CHUNK_IDS_MAX).contains(&chunk.len())));
    }

    proptest! {
        #[test]
        fn any_insertions_give_the_sorted_list(numbers in proptest::collection::vec(0_u32..100_000, 0..3_000)) {
            let mut ids = SortedIds::default();
            let mut expected = std::collections::BTreeSet::new();
            for number in numbers {
                if expected.insert(number) {
                    let most = ids.bytes() + SortedIds::growth_bytes_max(ids.bytes(), 1);
                    ids.insert(number, |other| other.cmp(&number));
                    prop_assert!(ids.bytes() <= most);
                }
            }
            let expected: Vec<u32> = expected.into_iter().collect();
            check(&ids, &expected, [0, 1, 50_000, 99_999, 100_000].into_iter());
        }
    }

    /// Enough ids, in an order that splits blocks as well as chunks.
    #[test]
    fn blocks_split_too() {
        const IDS: u32 = 400_000;
        let mut ids = SortedIds::default();
        for step in 0..IDS {
            // The factor is coprime to IDS, which only 2 and 5 divide: a permutation that jumps all over
            // 0..IDS.
            let id = (u64::from(step) * 7_919_777 % u64::from(IDS)) as u32;
            ids.insert(id, |other| other.cmp(&id));
        }
        assert!(ids.blocks.len() > 1);
        let expected: Vec<u32> = (0..IDS).collect();
        check(&ids, &expected, [1, IDS / 3, IDS / 2, IDS - 1].into_iter());
        assert!(ids.bytes() < 7 * IDS as usize, "{} bytes for {IDS} ids", ids.bytes());
    }

    #[test]
    fn appending_fills_chunks_to_the_brim() {
        const IDS: u32 = 600_000;
        let mut ids = SortedIds::default();
        (0..IDS).for_each(|id| ids.insert(id, |other| other.cmp(&id)));
        check(&ids, &(0..IDS).collect::<Vec<u32>>(), [0, IDS / 2].into_iter());
        assert!(ids.bytes() < 5 * IDS as usize, "{} bytes for {IDS} ids", ids.bytes());
    }

    #[test]
    #[should_panic(expected = "id 3 is equal to 3")]
    fn an_id_is_inserted_once() {
        let mut ids = SortedIds::default();
        (0..5).for_each(|id| ids.insert(id, |other| other.cmp(&id)));
        ids.insert(3, |other| other.cmp(&3));
    }
}
