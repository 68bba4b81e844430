//! The table of operations in flight: what each of them owns stays here until its last completion.

use std::cell::UnsafeCell;

use io_uring::types::Timespec;

use super::operation::Operation;
use super::token::{OPERATIONS_MAX, Token};

/// One operation in flight. The kernel may read or write any memory that it owns until its last completion.
#[derive(Debug)]
pub(super) struct InFlight {
    /// What the caller wants to be told with each completion.
    pub(super) user: u64,
    pub(super) operation: Operation,
}

/// Memory at a fixed address that an operation may need beside what it owns.
pub(super) struct Scratch {
    /// When a timer expires.
    pub(super) timespec: Timespec,
    /// What an eventfd counted, written by the kernel.
    pub(super) wakes: u64,
}

/// Which operation of a table: index and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Key {
    /// The token under which the kernel knows the operation.
    pub(super) fn token(self) -> Token {
        Token::Operation { index: self.index, generation: self.generation }
    }
}

/// A table of fixed size. Each reuse of an entry has another generation, so that a handle to an operation
/// that has ended can be told from one to its successor.
pub(super) struct InFlightTable {
    entries: Box<[Entry]>,
    scratch: Box<[UnsafeCell<Scratch>]>,
    first_free: Option<u32>,
    len: u32,
}

struct Entry {
    generation: u32,
    state: EntryState,
}

enum EntryState {
    Free { next_free: Option<u32> },
    Used(InFlight),
}

impl InFlightTable {
    /// An empty table for up to `operations_max` operations, `1..=OPERATIONS_MAX`.
    pub(super) fn new(operations_max: u32) -> InFlightTable {
        assert!((1..=OPERATIONS_MAX).contains(&operations_max), "{operations_max} operations");
        let free = |index: u32| Entry {
            generation: 0,
            state: EntryState::Free { next_free: Some(index + 1).filter(|next| *next < operations_max) },
        };
        let scratch = |_| UnsafeCell::new(Scratch { timespec: Timespec::new(), wakes: 0 });
        InFlightTable {
            entries: (0..operations_max).map(free).collect(),
            scratch: (0..operations_max).map(scratch).collect(),
            first_free: Some(0),
            len: 0,
        }
    }

    /// Takes an operation in, or gives it back when the table is full.
    pub(super) fn insert(&mut self, operation: InFlight) -> Result<Key, InFlight> {
        let Some(index) = self.first_free else { return Err(operation) };
        let entry = &mut self.entries[index as usize];
        let EntryState::Free { next_free } = entry.state else { panic!("entry {index} is free and used") };
        entry.state = EntryState::Used(operation);
        self.first_free = next_free;
        self.len += 1;
        Ok(Key { index, generation: entry.generation })
    }

    /// Ends an operation and hands it back.
    pub(super) fn remove(&mut self, key: Key) -> InFlight {
        let entry = &mut self.entries[key.index as usize];
        assert_eq!(entry.generation, key.generation, "a completion for entry {} came too late", key.index);
        entry.generation = entry.generation.wrapping_add(1);
        let free = EntryState::Free { next_free: self.first_free };
        match std::mem::replace(&mut entry.state, free) {
            EntryState::Used(operation) => {
                self.first_free = Some(key.index);
                self.len -= 1;
                operation
            }
            EntryState::Free { .. } => panic!("a completion for entry {}, which is not in flight", key.index),
        }
    }

    /// The operation of that key, unless it has ended.
    pub(super) fn find(&self, key: Key) -> Option<&InFlight> {
        let entry = self.entries.get(key.index as usize)?;
        match &entry.state {
            EntryState::Used(operation) if entry.generation == key.generation => Some(operation),
            EntryState::Used(_) | EntryState::Free { .. } => None,
        }
    }

    /// An operation in flight and its scratch memory, whose address stays the same for as long as the table lives.
    pub(super) fn parts(&self, key: Key) -> (&InFlight, *mut Scratch) {
        let operation = self.find(key).expect("the key of an operation in flight");
        (operation, self.scratch[key.index as usize].get())
    }

    /// How many operations are in flight.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// How many more operations would fit.
    pub(super) fn free(&self) -> u32 {
        self.entries.len() as u32 - self.len
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timer(user: u64) -> InFlight {
        InFlight { user, operation: Operation::Timer { after: Duration::ZERO } }
    }

    #[test]
    fn a_full_table_refuses_and_gives_the_operation_back() {
        let mut table = InFlightTable::new(2);
        let first = table.insert(timer(1)).expect("the table is empty");
        table.insert(timer(2)).expect("one entry is free");
        assert_eq!(table.free(), 0);
        assert_eq!(table.insert(timer(3)).expect_err("the table is full").user, 3);
        assert_eq!(table.remove(first).user, 1);
        table.insert(timer(3)).expect("one entry is free again");
    }

    #[test]
    fn a_key_does_not_find_the_successor_of_its_operation() {
        let mut table = InFlightTable::new(1);
        let first = table.insert(timer(1)).expect("the table is empty");
        table.remove(first);
        let second = table.insert(timer(2)).expect("the table is empty");
        assert_eq!(first.index, second.index);
        assert!(table.find(first).is_none());
        assert_eq!(table.find(second).map(|operation| operation.user), Some(2));
    }

    #[test]
    #[should_panic(expected = "came too late")]
    fn a_completion_of_an_earlier_generation_stops_the_process() {
        let mut table = InFlightTable::new(1);
        let first = table.insert(timer(1)).expect("the table is empty");
        table.remove(first);
        table.remove(first);
    }
}
