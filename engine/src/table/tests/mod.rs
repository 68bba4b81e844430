//! Tests of tables as a whole.

mod crash;
mod damage;
mod merging;
mod model;
mod records;
mod round_trip;
mod search;

use std::sync::Arc;

use self::records::{ClaimRecord, RetractionRecord};
use super::{
    Entries, MemoryTables, Merge, MergeOptions, Retractions, Step, Table, TableBuild, TableBuilder,
    TableError, TableFacts, TableNumber, TableStorage, TableWriter, Verification,
};
use crate::slot::SLOTS;
use crate::time::UnixMicros;

// All of it may move to another thread, and an open table may be read by several.
const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<(TableBuilder, TableBuild, TableWriter, Merge, Verification, Entries, Retractions)>();
    is_sync::<Table>();
};

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

/// What a table holds, as the tests compare it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Content {
    /// Order, flags, whether it is retracted, payload.
    claims: Vec<(u64, u16, bool, Vec<u8>)>,
    /// Order, payload.
    retractions: Vec<(u64, Vec<u8>)>,
}

/// Builds a table of these records, in steps of `budget` bytes.
fn build(
    storage: &dyn TableStorage,
    number: TableNumber,
    claims: &[ClaimRecord],
    retractions: &[RetractionRecord],
    budget: usize,
) -> Result<TableFacts, TableError> {
    let mut builder = TableBuilder::new(16 << 20);
    for claim in claims {
        builder.add(&claim.entry()).expect("room for the claims of a test");
    }
    for retraction in retractions {
        builder.add_retraction(&retraction.retraction()).expect("room for the retractions of a test");
    }
    let mut build = builder.write(TableWriter::create(storage, number, NOW)?);
    loop {
        if let Step::Done(facts) = build.step(budget)? {
            return Ok(facts);
        }
    }
}

/// Merges tables, in steps of `budget` bytes.
fn merge(
    storage: &dyn TableStorage,
    inputs: &[TableNumber],
    output: TableNumber,
    bottom: bool,
    budget: usize,
) -> Result<TableFacts, TableError> {
    let inputs: Result<Vec<_>, _> = inputs.iter().map(|&number| Table::open(storage, number)).collect();
    let mut merge = Merge::new(&inputs?, TableWriter::create(storage, output, NOW)?, MergeOptions { bottom });
    loop {
        if let Step::Done(facts) = merge.step(budget)? {
            return Ok(facts);
        }
    }
}

/// Reads all of a table, slots in three ranges, verified before.
fn content(storage: &dyn TableStorage, number: TableNumber) -> Result<Content, TableError> {
    let table = Table::open(storage, number)?;
    let mut verification = table.verification();
    while verification.step(10_000)? == Step::More {}
    read(&table)
}

fn read(table: &Arc<Table>) -> Result<Content, TableError> {
    let mut content = Content::default();
    for slots in [0..300, 300..301, 301..SLOTS] {
        let mut entries = table.entries(slots);
        while let Some(block) = entries.next_block()? {
            assert!(!block.is_empty());
            content.claims.extend(
                block.iter().map(|entry| {
                    (entry.order.as_u64(), entry.flags, entry.retracted, entry.payload.to_vec())
                }),
            );
        }
    }
    let mut retractions = table.retractions();
    while let Some(retraction) = retractions.next()? {
        content.retractions.push((retraction.order.as_u64(), retraction.payload.to_vec()));
    }
    Ok(content)
}
