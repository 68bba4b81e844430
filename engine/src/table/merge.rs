//! Making one table of several.

use std::sync::Arc;

use super::entry::Key;
use super::{Entries, Entry, Retractions, Step, Strikes, Table, TableError, TableFacts, TableWriter};
use crate::claim::ClaimHash;
use crate::planted::{self, Bug};
use crate::slot::SLOTS;

/// How tables are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeOptions {
    /// Whether the oldest of all tables is among the inputs. Then all claims that their retractions can strike are there,
    /// too, and the retractions are dropped; otherwise they are carried over.
    pub bottom: bool,
}

/// Makes one table of several, step by step, with a block of each input in memory, and the paths of their retractions.
///
/// The output holds every claim of the inputs, retracted if it was in any of them or if a retraction of any of them
/// strikes it. A record that is in several inputs is kept once.
pub struct Merge {
    retractions: Vec<Retractions>,
    inputs: Vec<Input>,
    /// The inputs that have a claim left, by the key of that claim.
    order: Vec<usize>,
    strikes: Strikes,
    bottom: bool,
    stage: Stage,
    /// `None` when all is done, or after an error.
    writer: Option<TableWriter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Retractions,
    /// Reading the first block of this input.
    Begin {
        input: usize,
    },
    Claims,
}

impl Merge {
    /// A merge of `inputs` into what `writer` has just begun.
    pub fn new(inputs: &[Arc<Table>], writer: TableWriter, options: MergeOptions) -> Merge {
        Merge {
            retractions: inputs.iter().map(Table::retractions).collect(),
            inputs: inputs.iter().map(|table| Input { entries: table.entries(0..SLOTS), at: 0 }).collect(),
            order: Vec::with_capacity(inputs.len()),
            strikes: Strikes::default(),
            bottom: options.bottom,
            stage: Stage::Retractions,
            writer: Some(writer),
        }
    }

    /// Goes on over about `bytes_budget` bytes of records. After an error there is no output, and the inputs are as they were.
    ///
    /// # Panics
    ///
    /// If it was done, or had failed, before.
    pub fn step(&mut self, bytes_budget: usize) -> Result<Step<TableFacts>, TableError> {
        planted::merging(|| self.go_on(bytes_budget))
    }

    fn go_on(&mut self, bytes_budget: usize) -> Result<Step<TableFacts>, TableError> {
        let mut writer =
            self.writer.take().expect("a merge goes on as long as it is not done and has not failed");
        let mut budget = bytes_budget.max(1);
        while budget > 0 {
            let done = match self.stage {
                Stage::Retractions => self.take_retraction(&mut writer)?,
                Stage::Begin { input } => self.begin(input)?,
                Stage::Claims if self.order.is_empty() => return writer.finish().map(Step::Done),
                Stage::Claims => self.take_claim(&mut writer)?,
            };
            budget = budget.saturating_sub(done);
        }
        self.writer = Some(writer);
        Ok(Step::More)
    }

    /// Takes the first retraction that is left in any input, out of all inputs that have it.
    fn take_retraction(&mut self, writer: &mut TableWriter) -> Result<usize, TableError> {
        for retractions in &mut self.retractions {
            retractions.load()?;
        }
        let first = self.retractions.iter().filter_map(Retractions::peek).min_by_key(|first| first.key());
        let Some(first) = first else {
            self.retractions.clear();
            self.stage = Stage::Begin { input: 0 };
            return Ok(1);
        };
        self.strikes.add_record(&first).expect("it was decoded with its block");
        if !self.bottom && !planted::is(Bug::MergeAwayRetractions) {
            writer.push_retraction(&first)?;
        }
        let (bytes, key) = (first.bytes(), first.key());
        let having: Vec<usize> = (0..self.retractions.len())
            .filter(|&at| self.retractions[at].peek().is_some_and(|other| other.key() == key))
            .collect();
        for at in having {
            let _ = self.retractions[at].next()?;
        }
        Ok(bytes)
    }

    fn begin(&mut self, input: usize) -> Result<usize, TableError> {
        if input == self.inputs.len() {
            self.stage = Stage::Claims;
            return Ok(1);
        }
        self.stage = Stage::Begin { input: input + 1 };
        let is_left_out = input + 1 == self.inputs.len() && planted::is(Bug::MergeAwayInputs);
        if self.inputs[input].load()? && !is_left_out {
            self.order.insert(0, input);
            self.sink(0);
        }
        Ok(1)
    }

    /// Takes the first claim that is left in any input, out of all inputs that have it.
    fn take_claim(&mut self, writer: &mut TableWriter) -> Result<usize, TableError> {
        let (mut entry, key, source) = self.inputs[self.order[0]].current();
        let mut having = 1;
        for &input in &self.order[1..] {
            let (other, other_key, _) = self.inputs[input].current();
            if other_key != key {
                break;
            }
            if (other.flags, other.payload) != (entry.flags, entry.payload) {
                let (path, hash) = (writer.path().clone(), ClaimHash(*key.hash));
                return Err(TableError::Contradiction { path, hash });
            }
            entry.retracted |= other.retracted;
            having += 1;
        }
        entry.retracted |= self.strikes.strike(key.slot, key.order, key.subject, source);
        writer.push_keyed(&entry, &key)?;
        let bytes = entry.bytes();
        for at in (0..having).rev() {
            if self.inputs[self.order[at]].advance()? {
                self.sink(at);
            } else {
                self.order.remove(at);
            }
        }
        Ok(bytes)
    }

    /// Moves the input at `at` of the order to its place among those behind it, which are in order.
    fn sink(&mut self, mut at: usize) {
        while let Some(&next) = self.order.get(at + 1) {
            if self.inputs[self.order[at]].current().1 <= self.inputs[next].current().1 {
                break;
            }
            self.order.swap(at, at + 1);
            at += 1;
        }
    }
}

/// A table that is merged, and the first of its claims that is left.
struct Input {
    entries: Entries,
    /// The claim's place in its block.
    at: usize,
}

impl Input {
    /// Goes on to the next block. False if there is none.
    fn load(&mut self) -> Result<bool, TableError> {
        self.at = 0;
        self.entries.load()
    }

    /// Goes on to the next claim. False if there is none.
    fn advance(&mut self) -> Result<bool, TableError> {
        self.at += 1;
        if self.at < self.entries.block().len() { Ok(true) } else { self.load() }
    }

    /// The claim, where it stands, and its source.
    fn current(&self) -> (Entry<'_>, Key<'_>, &[u8]) {
        self.entries.block().keyed(self.at)
    }
}
