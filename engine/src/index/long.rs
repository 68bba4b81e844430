//! Long parts: values and metadata that are too long to stay in memory once a table has them.

use std::collections::VecDeque;

use super::body;
use super::chunked_vec::ChunkedVec;
use crate::claim::Claim;
use crate::order::WriteOrder;

/// The longest value or metadata, in bytes, that is kept beside the rest of its claim. A read of the disk for less would cost
/// more than the memory; and shorter ones are most.
pub const INLINE_BYTES_MAX: usize = 1 << 10;

/// Some checkpoints, counted from 1: one of the tables that hold their claims has a claim. Tables change as they are merged, but not
/// which checkpoints' claims are together in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoints {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// The value and the metadata of a claim, as far as each is long; the other is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongParts {
    /// The value, then the metadata.
    bytes: Box<[u8]>,
    value_bytes: u32,
}

impl LongParts {
    /// Copies of a value's and of a metadata's text, as far as they are long.
    pub(super) fn of(value: Option<&str>, metadata: Option<&str>) -> LongParts {
        let long = |text: Option<&str>| text.filter(|text| is_long(text)).map_or(Vec::new(), Vec::from);
        let mut bytes = long(value);
        let value_bytes = bytes.len() as u32;
        bytes.extend(long(metadata));
        LongParts { bytes: bytes.into(), value_bytes }
    }

    /// Those of a claim.
    pub fn of_claim(claim: &Claim<'_>) -> LongParts {
        body::long_parts(claim)
    }

    /// Those that a snapshot has: the value's text of so many bytes, then the metadata's.
    pub(super) fn restored(texts: &[u8], value_bytes: usize) -> LongParts {
        LongParts { bytes: texts.into(), value_bytes: value_bytes as u32 }
    }

    /// The value's text.
    pub(super) fn value(&self) -> &[u8] {
        &self.bytes[..self.value_bytes as usize]
    }

    /// The metadata's text.
    pub(super) fn metadata(&self) -> &[u8] {
        &self.bytes[self.value_bytes as usize..]
    }

    /// How much memory they occupy beside themselves, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Whether the text of a value or of metadata is long.
pub(super) fn is_long(text: &str) -> bool {
    text.len() > INLINE_BYTES_MAX
}

/// The long parts of all claims of an index that have some, or where they are.
pub(super) struct LongStore {
    places: ChunkedVec<LongPlace, 1024>,
    /// Those in memory, in the order in which they came; some may have left it by another way.
    queue: VecDeque<InMemory>,
    in_memory: u64,
    /// Bytes of those.
    bytes_in_memory: usize,
}

/// Where long parts are.
pub(super) enum LongPlace {
    Memory(LongParts),
    Stored(Checkpoints),
}

/// Long parts in memory: their number, and when the claim was written.
#[derive(Debug, Clone, Copy)]
struct InMemory {
    number: u32,
    order: WriteOrder,
}

impl LongStore {
    pub(super) fn new() -> LongStore {
        LongStore { places: ChunkedVec::new(), queue: VecDeque::new(), in_memory: 0, bytes_in_memory: 0 }
    }

    /// The number of what comes next.
    pub(super) fn next_number(&self) -> u32 {
        self.places.len() as u32
    }

    /// Adds the long parts of a claim that was written then, or where they are.
    pub(super) fn push(&mut self, place: LongPlace, order: WriteOrder) {
        let number = self.next_number();
        let is_in_memory = matches!(place, LongPlace::Memory(_));
        self.push_restored(place);
        if is_in_memory {
            self.note_order(number, order);
        }
    }

    /// Adds what a snapshot has. When the claim of what is in memory was written [is noted](Self::note_order) later.
    pub(super) fn push_restored(&mut self, place: LongPlace) {
        if let LongPlace::Memory(parts) = &place {
            self.in_memory += 1;
            self.bytes_in_memory += parts.bytes();
        }
        self.places.push(place);
    }

    /// Notes when the claim was written whose long parts in memory have this number.
    pub(super) fn note_order(&mut self, number: u32, order: WriteOrder) {
        self.queue.push_back(InMemory { number, order });
    }

    /// Where some are.
    pub(super) fn place(&self, number: u32) -> &LongPlace {
        &self.places[number]
    }

    /// Lets go of what a table has, if it is in memory.
    pub(super) fn store(&mut self, number: u32, checkpoints: Checkpoints) {
        let place = &mut self.places[number];
        if let LongPlace::Memory(parts) = place {
            self.in_memory -= 1;
            self.bytes_in_memory -= parts.bytes();
            *place = LongPlace::Stored(checkpoints);
        }
    }

    /// Lets go of those in memory that `stored` says are in tables, the oldest first, up to `count_max`, until it says of one that it is
    /// not. False if there may be more.
    pub(super) fn release(
        &mut self,
        count_max: usize,
        stored: &dyn Fn(WriteOrder) -> Option<Checkpoints>,
    ) -> bool {
        for _ in 0..count_max {
            let Some(InMemory { number, order }) = self.queue.front().copied() else { return true };
            if let LongPlace::Memory(_) = self.places[number] {
                let Some(checkpoints) = stored(order) else { return true };
                self.store(number, checkpoints);
            }
            self.queue.pop_front();
        }
        false
    }

    /// How many there are in memory, and how many in tables.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.in_memory, self.places.len() as u64 - self.in_memory)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.places.bytes() + self.queue.capacity() * size_of::<InMemory>() + self.bytes_in_memory
    }

    /// The most that [`Self::bytes`] can grow by so many claims whose canonical encodings together have so many bytes.
    pub(super) fn growth_bytes_max(&self, claims: usize, canonical_bytes: usize) -> usize {
        let queue = if self.queue.len() + claims > self.queue.capacity() {
            2 * (self.queue.len() + claims) * size_of::<InMemory>()
        } else {
            0
        };
        self.places.growth_bytes_max(claims) + queue + canonical_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{ClaimHash, ConceptPath, Predicate, Timestamp, Value};
    use crate::index::{Index, IndexConfig, IndexLoader, Inserted, NewClaim};
    use crate::time::UnixMicros;

    fn new(number: u8, text: &str) -> NewClaim<'_> {
        let claim = Claim::new(
            ConceptPath::new("a").expect("valid"),
            Predicate::new("is").expect("valid"),
            Value::text(text).expect("valid"),
            Timestamp::new(UnixMicros(i64::from(number))).expect("valid"),
        );
        NewClaim { hash: ClaimHash([number; 32]), claim, order: WriteOrder::new(1, u64::from(number)) }
    }

    const CONFIG: IndexConfig = IndexConfig { bytes_max: 64 << 20, hash_seed: 1 };
    const STORED: Checkpoints = Checkpoints { first: 2, last: 4 };

    #[test]
    fn only_what_is_longer_than_the_bound_can_leave_memory() {
        let (short, long) = ("x".repeat(INLINE_BYTES_MAX), "x".repeat(INLINE_BYTES_MAX + 1));
        let mut index = Index::new(CONFIG);
        index.insert_all(&[new(1, &short), new(2, &long), new(3, &long)]).expect("there is room");
        assert_eq!(index.long_counts(), (2, 0));
        let bytes = index.bytes();
        assert!(!index.release_long(1, &|_| Some(STORED)), "as many as were asked for");
        assert!(index.release_long(9, &|_| Some(STORED)));
        assert_eq!(index.long_counts(), (0, 2));
        assert_eq!(index.bytes(), bytes - 2 * long.len() as u64);
        let view = |number| index.claim(&ClaimHash([number; 32])).expect("it is there");
        assert_eq!((view(1).stored(), view(2).stored()), (None, Some(STORED)));
        assert_eq!(view(1).value(), Value::text(&short).expect("valid"));
        assert_eq!(view(2).raw_value(), view(3).raw_value(), "values are compared wherever they are");
        assert_ne!(view(1).raw_value(), view(2).raw_value());
        let parts = LongParts::of_claim(&new(2, &long).claim);
        assert_eq!(view(2).with(&parts).value(), Value::text(&long).expect("valid"));
    }

    #[test]
    fn values_leave_in_order_up_to_the_first_that_no_table_has() {
        let long = "x".repeat(INLINE_BYTES_MAX + 1);
        let mut index = Index::new(CONFIG);
        let claims: Vec<_> = (1..=9).map(|number| new(number, &long)).collect();
        index.insert_all(&claims).expect("there is room");
        assert!(index.release_long(100, &|order| (order.lsn() != 4).then_some(STORED)));
        assert_eq!(index.long_counts(), (6, 3));
    }

    #[test]
    fn a_claim_that_a_snapshot_had_in_memory_leaves_it_when_a_table_brings_it_again() {
        let long = "x".repeat(INLINE_BYTES_MAX + 1);
        let mut loader = IndexLoader::new(CONFIG);
        loader.insert_all(&[new(1, &long), new(2, &long)]).expect("there is room");
        loader.insert_all_stored(&[new(1, &long), new(3, &long)], STORED).expect("there is room");
        let mut index = loader.finish();
        assert_eq!((index.len(), index.long_counts()), (3, (1, 2)));
        assert!(index.release_long(100, &|_| Some(STORED)));
        assert_eq!(index.long_counts(), (0, 3));
        let again = new(1, &long);
        assert_eq!(index.insert(&again.hash, &again.claim, again.order), Ok(Inserted::Exists));
        assert_eq!(index.long_counts(), (0, 3));
    }
}
