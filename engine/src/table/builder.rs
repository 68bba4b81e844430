//! Making a table of records in any order.

use super::entry::Key;
use super::{Entry, Step, Strikes, TableError, TableFacts, TableRetraction, TableWriter};
use crate::claim::{ClaimHash, DecodeError, Retraction};
use crate::order::WriteOrder;
use crate::slot::{SLOTS, SlotSet};

/// Bytes for each entry beside those of the arena: its place, in a vector that may be half empty.
const PLACE_BYTES: usize = 2 * size_of::<u32>();

/// Takes records in any order, as long as there is memory for them, and makes a table of them.
#[derive(Debug)]
pub struct TableBuilder {
    bytes_max: usize,
    /// The entries, encoded, as they came.
    arena: Vec<u8>,
    /// Where the entries of each slot are in the arena.
    slots: Vec<Vec<u32>>,
    entries: usize,
    retractions: Vec<OwnedRetraction>,
    retraction_bytes: usize,
}

#[derive(Debug)]
struct OwnedRetraction {
    order: WriteOrder,
    slots: SlotSet,
    payload: Box<[u8]>,
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AddError {
    /// There is no memory for it in this table. It was not taken; the table can be written, and a new one begun.
    #[error("the table has no room for another {bytes} bytes: {bytes_max} is its bound")]
    Full {
        /// Bytes that the record would have taken.
        bytes: usize,
        /// Bytes that all records of a table may take.
        bytes_max: usize,
    },
    /// The record's payload is not what its kind says.
    #[error(transparent)]
    Payload(#[from] DecodeError),
}

impl TableBuilder {
    /// A table without records. They will take `bytes_max` bytes of memory at most, which is no more than 4 GiB, all of it
    /// reserved at once and used as it is filled.
    pub fn new(bytes_max: usize) -> TableBuilder {
        assert!(
            u32::try_from(bytes_max).is_ok(),
            "a table is made of at most 4 GiB, not of {bytes_max} bytes"
        );
        TableBuilder {
            bytes_max,
            arena: Vec::with_capacity(bytes_max),
            slots: vec![Vec::new(); SLOTS.into()],
            entries: 0,
            retractions: Vec::new(),
            retraction_bytes: 0,
        }
    }

    /// Adds an Assertion record.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), AddError> {
        let (key, _) = Key::of(entry.order, entry.payload)?;
        self.reserve(entry.bytes() + PLACE_BYTES)?;
        self.slots[usize::from(key.slot.number())].push(self.arena.len() as u32);
        entry.encode(&mut self.arena);
        self.entries += 1;
        Ok(())
    }

    /// Adds a Retraction record. It strikes the claims of this table, too, that were written before it.
    pub fn add_retraction(&mut self, retraction: &TableRetraction<'_>) -> Result<(), AddError> {
        Retraction::decode(retraction.payload)?;
        // The record is kept twice: as it is, and by its path.
        let bytes = 2 * (size_of::<OwnedRetraction>() + retraction.payload.len());
        self.reserve(bytes)?;
        self.retraction_bytes += bytes;
        let TableRetraction { order, slots, payload } = *retraction;
        self.retractions.push(OwnedRetraction { order, slots, payload: payload.into() });
        Ok(())
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries == 0 && self.retractions.is_empty()
    }

    /// Bytes of memory that all records take.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.entries * PLACE_BYTES + self.retraction_bytes
    }

    /// Writes the table, step by step.
    pub fn write(mut self, writer: TableWriter) -> TableBuild {
        self.retractions.sort_unstable_by(|one, other| one.borrow().key().cmp(&other.borrow().key()));
        let mut strikes = Strikes::default();
        for retraction in &self.retractions {
            strikes.add_record(&retraction.borrow()).expect("it was decoded when it was added");
        }
        TableBuild { builder: self, strikes, writer: Some(writer), stage: Stage::Retractions { next: 0 } }
    }

    fn reserve(&self, bytes: usize) -> Result<(), AddError> {
        let bytes_max = self.bytes_max;
        if self.bytes() + bytes > bytes_max { Err(AddError::Full { bytes, bytes_max }) } else { Ok(()) }
    }
}

impl OwnedRetraction {
    fn borrow(&self) -> TableRetraction<'_> {
        TableRetraction { order: self.order, slots: self.slots, payload: &self.payload }
    }
}

/// A table that is being made of the records of a builder.
pub struct TableBuild {
    builder: TableBuilder,
    strikes: Strikes,
    /// `None` when all is done, or after an error.
    writer: Option<TableWriter>,
    stage: Stage,
}

/// What is to be written next.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Retractions {
        next: usize,
    },
    /// The slot's entries are sorted when the first of them is written.
    Claims {
        slot: usize,
        next: usize,
    },
}

impl TableBuild {
    /// Goes on over about `bytes_budget` bytes of records, and the sorting of a slot's claims. After an error there is no table.
    ///
    /// # Panics
    ///
    /// If it was done, or had failed, before.
    pub fn step(&mut self, bytes_budget: usize) -> Result<Step<TableFacts>, TableError> {
        let mut writer =
            self.writer.take().expect("a build goes on as long as it is not done and has not failed");
        let mut budget = bytes_budget.max(1);
        while budget > 0 {
            let written = match self.stage {
                Stage::Retractions { next } => self.write_retraction(next, &mut writer)?,
                Stage::Claims { slot, .. } if slot == usize::from(SLOTS) => {
                    return writer.finish().map(Step::Done);
                }
                Stage::Claims { slot, next } => self.write_claim(slot, next, &mut writer)?,
            };
            budget = budget.saturating_sub(written);
        }
        self.writer = Some(writer);
        Ok(Step::More)
    }

    fn write_retraction(&mut self, next: usize, writer: &mut TableWriter) -> Result<usize, TableError> {
        let Some(retraction) = self.builder.retractions.get(next).map(OwnedRetraction::borrow) else {
            self.stage = Stage::Claims { slot: 0, next: 0 };
            return Ok(0);
        };
        self.stage = Stage::Retractions { next: next + 1 };
        let before = next.checked_sub(1).map(|before| self.builder.retractions[before].borrow());
        if before != Some(retraction) {
            writer.push_retraction(&retraction)?;
        }
        Ok(retraction.bytes())
    }

    fn write_claim(
        &mut self,
        slot: usize,
        next: usize,
        writer: &mut TableWriter,
    ) -> Result<usize, TableError> {
        let TableBuilder { arena, slots, .. } = &mut self.builder;
        let places = &mut slots[slot];
        if let (0, Some(&first)) = (next, places.first()) {
            let slot = keyed(arena, first).1.slot;
            let key = |place: u32| {
                let entry = entry(arena, place);
                Key::in_slot(slot, entry.order, entry.payload).expect(HAS_KEY).0
            };
            places.sort_unstable_by(|&one, &other| key(one).cmp(&key(other)));
        }
        let Some(&place) = places.get(next) else {
            self.stage = Stage::Claims { slot: slot + 1, next: 0 };
            return Ok(1);
        };
        self.stage = Stage::Claims { slot, next: next + 1 };
        let (mut entry, key, source) = keyed(arena, place);
        entry.retracted |= self.strikes.strike(key.slot, key.order, key.subject, source);
        // The same record twice stays one record.
        if let Some(&before) = next.checked_sub(1).and_then(|before| places.get(before)) {
            let (before, before_key, _) = keyed(arena, before);
            if before_key == key {
                if (before.flags, before.payload) != (entry.flags, entry.payload) {
                    let (path, hash) = (writer.path().clone(), ClaimHash(*key.hash));
                    return Err(TableError::Contradiction { path, hash });
                }
                return Ok(entry.bytes());
            }
        }
        writer.push_keyed(&entry, &key)?;
        Ok(entry.bytes())
    }
}

/// Why the key of an entry in an arena can be read.
const HAS_KEY: &str = "it had a key when it was added";

/// The entry at `place` of an arena.
fn entry(arena: &[u8], place: u32) -> Entry<'_> {
    Entry::decode(&arena[place as usize..], 0).expect("it was encoded there")
}

/// The entry at `place` of an arena, its key, and the source of its claim.
fn keyed(arena: &[u8], place: u32) -> (Entry<'_>, Key<'_>, &[u8]) {
    let entry = entry(arena, place);
    let (key, source) = Key::of(entry.order, entry.payload).expect(HAS_KEY);
    (entry, key, source)
}
