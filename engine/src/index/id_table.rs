//! A hash table of ids that never rehashes more than one small partition at once.

use hashbrown::HashTable;

use super::chunked_vec::ChunkedVec;

/// The most ids in a partition: what a table of 1024 buckets holds at hashbrown's load of 7/8.
const PARTITION_IDS_MAX: usize = 896;

/// The most hash bits that choose a partition. Beyond it, at half a billion ids, the partitions grow instead.
const DEPTH_MAX: u32 = 20;

/// The first of the hash bits that choose a partition. A partition itself uses the lowest and the seven highest.
const DIRECTORY_SHIFT: u32 = 32;

/// A hash table of `u32` ids; what an id stands for, its owner knows.
///
/// Extendible hashing (Fagin, Nievergelt, Pippenger, Strong 1979): a directory, indexed by some bits of the
/// hash, of small tables. A full table is split in two by one more bit, so the longest an insertion takes does not
/// depend on how much the table holds, but for the directory, which has 4 bytes for some 600 ids.
pub(super) struct IdTable {
    /// Indices into `partitions`; 2^depth of them, indexed by `depth` bits of the hash.
    directory: Vec<u32>,
    partitions: ChunkedVec<Partition, 256>,
    /// Bytes that the partitions' tables allocated.
    tables_bytes: usize,
}

struct Partition {
    ids: HashTable<u32>,
    /// How many hash bits all ids of this partition share.
    depth: u32,
}

impl IdTable {
    pub(super) fn new() -> IdTable {
        let mut partitions = ChunkedVec::new();
        partitions.push(Partition { ids: HashTable::new(), depth: 0 });
        IdTable { directory: vec![0], partitions, tables_bytes: 0 }
    }

    /// Inserts an id that is not in the table. `hash_of` gives the hash of any id that was inserted earlier.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let mut at = self.partition_of(hash);
        while self.partitions[at].ids.len() >= PARTITION_IDS_MAX && self.partitions[at].depth < DEPTH_MAX {
            self.split(at, hash, &hash_of);
            at = self.partition_of(hash);
        }
        let ids = &mut self.partitions[at].ids;
        let bytes = ids.allocation_size();
        ids.insert_unique(hash, id, |&id| hash_of(id));
        self.tables_bytes += ids.allocation_size() - bytes;
    }

    /// The id with this hash for which `is_it` is true.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.partitions[self.partition_of(hash)].ids.find(hash, |&id| is_it(id)).copied()
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.tables_bytes + self.partitions.bytes() + self.directory.capacity() * size_of::<u32>()
    }

    /// The most that [`Self::bytes`] can grow by the next insertion, as long as hashes are spread evenly.
    pub(super) fn growth_bytes_max(&self) -> usize {
        // A split adds one table of 1024 buckets. It may repeat if all ids fall on one side, which for even
        // hashes never happens once, let alone eight times.
        const TABLE_BYTES_MAX: usize = 1024 * 5 + 64;
        8 * TABLE_BYTES_MAX + self.partitions.growth_bytes_max() + self.directory.capacity() * 4
    }

    fn partition_of(&self, hash: u64) -> u32 {
        self.directory[(hash >> DIRECTORY_SHIFT) as usize & (self.directory.len() - 1)]
    }

    /// Moves the ids of partition `at` whose next hash bit is set to a new partition. `hash` is of any of them.
    fn split(&mut self, at: u32, hash: u64, hash_of: impl Fn(u32) -> u64) {
        let depth = self.partitions[at].depth;
        if 1 << depth == self.directory.len() {
            self.directory.extend_from_within(..);
        }
        // The hashes first: the loads that each needs do not wait for one another.
        let hashed: Vec<(u64, u32)> = self.partitions[at].ids.iter().map(|&id| (hash_of(id), id)).collect();
        let bit = 1_u64 << (DIRECTORY_SHIFT + depth);
        let mut halves = [(); 2].map(|()| HashTable::with_capacity(PARTITION_IDS_MAX));
        for (hash, id) in hashed {
            halves[usize::from(hash & bit != 0)].insert_unique(hash, id, |&id| hash_of(id));
        }
        self.tables_bytes -= self.partitions[at].ids.allocation_size();
        self.tables_bytes += halves.iter().map(HashTable::allocation_size).sum::<usize>();
        let [clear, set] = halves;
        self.partitions[at] = Partition { ids: clear, depth: depth + 1 };
        let new = self.partitions.push(Partition { ids: set, depth: depth + 1 });

        let shared = (hash >> DIRECTORY_SHIFT) as usize & ((1 << depth) - 1);
        for entry in (shared | 1 << depth..self.directory.len()).step_by(2 << depth) {
            assert_eq!(
                self.directory[entry], at,
                "directory entry {entry} belongs to the partition being split"
            );
            self.directory[entry] = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::seeded_hash::SeededHash;
    use super::*;

    fn hash(id: u32) -> u64 {
        SeededHash::new(7).of_u64(u64::from(id))
    }

    #[test]
    fn finds_what_was_inserted_and_nothing_else() {
        const IDS: u32 = 200_000;
        let mut table = IdTable::new();
        for id in 0..IDS {
            assert_eq!(table.find(hash(id), |found| found == id), None);
            let most = table.bytes() + table.growth_bytes_max();
            table.insert(hash(id), id, hash);
            assert!(table.bytes() <= most);
        }
        for id in 0..IDS {
            assert_eq!(table.find(hash(id), |found| found == id), Some(id));
        }
        for id in IDS..2 * IDS {
            assert_eq!(table.find(hash(id), |found| found == id), None);
        }
        assert!(table.directory.len() >= 256);
        assert!((table.bytes() as u32) < 12 * IDS, "{} bytes for {IDS} ids", table.bytes());
    }

    /// The longest insertion rehashes one partition, however many there are.
    #[test]
    fn an_insertion_rehashes_one_partition_at_most() {
        let mut table = IdTable::new();
        for id in 0..100_000 {
            let rehashed = std::cell::Cell::new(0);
            table.insert(hash(id), id, |id| {
                rehashed.set(rehashed.get() + 1);
                hash(id)
            });
            assert!(rehashed.get() <= PARTITION_IDS_MAX, "{} rehashed for id {id}", rehashed.get());
        }
    }

    /// Hashes that share the bits which choose a partition only make that partition large.
    #[test]
    fn hashes_that_all_collide_do_not_blow_the_directory_up() {
        let mut table = IdTable::new();
        let hash = |id: u32| u64::from(id) & 0xFF;
        (0..3_000).for_each(|id| table.insert(hash(id), id, hash));
        assert!((0..3_000).all(|id| table.find(hash(id), |found| found == id) == Some(id)));
        assert_eq!(table.directory.len(), 1 << DEPTH_MAX);
    }
}
