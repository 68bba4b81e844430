//! Checking everything that a table holds.

use std::sync::Arc;

use super::{Damage, Entries, Retractions, Step, Table, TableError, TablePart};
use crate::background::offer_turn;
use crate::claim::Assertion;
use crate::slot::SLOTS;

/// Reads all of a table and checks it, step by step: checksums, order, and that each claim is one and has its hash.
///
/// Header, footer and block index were checked when the table was opened.
pub struct Verification {
    table: Arc<Table>,
    retractions: Option<Retractions>,
    entries: Entries,
    retracted: u64,
}

impl Verification {
    pub(super) fn new(table: Arc<Table>) -> Verification {
        let (retractions, entries) = (Some(table.retractions()), table.entries(0..SLOTS));
        Verification { table, retractions, entries, retracted: 0 }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Up to where the file was read, in bytes from its start.
    pub fn offset(&self) -> u64 {
        self.retractions.as_ref().map_or(0, Retractions::offset).max(self.entries.offset())
    }

    /// Goes on over about `bytes_budget` bytes of records, and a block at least. An error says what is damaged, and ends it.
    pub fn step(&mut self, bytes_budget: usize) -> Result<Step<()>, TableError> {
        let mut budget = bytes_budget.max(1);
        while budget > 0 {
            if let Some(retractions) = &mut self.retractions {
                match retractions.next()? {
                    Some(retraction) => budget = budget.saturating_sub(retraction.bytes()),
                    None => self.retractions = None,
                }
                continue;
            }
            let Some(block) = self.entries.next_block()? else {
                let checked = Damage::check(
                    "its number of retracted claims",
                    self.retracted,
                    self.table.facts().retracted,
                );
                let footer_offset = self.table.facts().bytes - super::BLOCK_BYTES as u64;
                return checked
                    .map(Step::Done)
                    .map_err(|damage| damage.at(&self.table.path, footer_offset, TablePart::Footer));
            };
            offer_turn();
            for (number, entry) in block.iter().enumerate() {
                budget = budget.saturating_sub(entry.bytes());
                self.retracted += u64::from(entry.retracted);
                let checked = Assertion::decode(entry.payload).and_then(|assertion| assertion.check_hash());
                if let Err(cause) = checked {
                    let damage = Damage::Payload { entry: number as u32, cause };
                    return Err(damage.at(&self.table.path, block.offset(), TablePart::Claims));
                }
            }
        }
        Ok(Step::More)
    }
}
