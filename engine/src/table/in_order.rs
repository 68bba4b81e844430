//! The claims of several tables in one order.

use super::entry::Key;
use super::{Entries, EntryBlock, TableError};

/// A cursor over the claims of several tables, in the order that each of them has, with a block of each in memory.
///
/// Claims come in runs: as many of one table as come before the next claim of every other. A claim that is in several tables comes out
/// of each, one behind the other.
pub struct InOrder {
    /// Those that have a claim left, by the key of that claim. A few dozen: there are never more tables.
    inputs: Vec<Input>,
    /// How many claims of the first one were given in the last run.
    given: usize,
}

/// A table, and the first of its claims that is left.
struct Input {
    number: usize,
    entries: Entries,
    /// The claim's place in its block.
    at: usize,
}

impl InOrder {
    /// A cursor before the first claim. It numbers the tables from 0, as they come.
    ///
    /// # Errors
    ///
    /// When the first block of one is damaged.
    pub fn new(tables: impl IntoIterator<Item = Entries>) -> Result<InOrder, TableError> {
        let mut inputs = Vec::new();
        for (number, mut entries) in tables.into_iter().enumerate() {
            if entries.load()? {
                inputs.push(Input { number, entries, at: 0 });
            }
        }
        inputs.sort_by(|one, other| one.key().cmp(&other.key()));
        Ok(InOrder { inputs, given: 0 })
    }

    /// The next run, and the number of the table that it is of; `None` at the end. No run is empty.
    ///
    /// # Errors
    ///
    /// When a block is damaged. It is tried again when the next run is asked for.
    pub fn next_run(&mut self) -> Result<Option<(usize, EntryBlock<'_>)>, TableError> {
        self.pass_given()?;
        let Some((first, others)) = self.inputs.split_first() else { return Ok(None) };
        let block = first.entries.block();
        let left = first.at..block.len();
        self.given = match others.first().map(Input::key) {
            None => left.len(),
            // The first one comes first: a key that is the same in both is taken out of it, and then out of the other.
            Some(next) => 1 + left.clone().skip(1).take_while(|&at| block.keyed(at).1 < next).count(),
        };
        Ok(Some((first.number, block.part(first.at..first.at + self.given))))
    }

    /// Moves the first table behind what was given of it, and to its place among the others.
    fn pass_given(&mut self) -> Result<(), TableError> {
        let Some(first) = self.inputs.first_mut() else { return Ok(()) };
        first.at += std::mem::take(&mut self.given);
        // Beyond it where the block that follows could not be read: then this is the next try.
        if first.at >= first.entries.block().len() {
            if !first.entries.load()? {
                self.inputs.remove(0);
                return Ok(());
            }
            first.at = 0;
        }
        let key = self.inputs[0].key();
        let before = self.inputs[1..].partition_point(|other| other.key() < key);
        self.inputs[..=before].rotate_left(1);
        Ok(())
    }
}

impl Input {
    fn key(&self) -> Key<'_> {
        self.entries.block().keyed(self.at).1
    }
}
