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
