//! Tables of any records, which may then be damaged: an error or the same content, and never a panic.
//!
//! The input is a little program. Its beginning is the records of a log, cut into one to three tables, which are also merged. The
//! rest damages one table after the other.

pub(crate) mod damage;
mod records;

use std::sync::Arc;

use stemedb_engine::claim::Assertion;
use stemedb_engine::slot::SLOTS;
use stemedb_engine::table::{
    MemoryTables, Merge, MergeOptions, Step, Table, TableBuilder, TableError, TableFacts, TableNumber,
    TableStorage, TableWriter,
};
use stemedb_engine::time::UnixMicros;

use self::records::Log;
use crate::program::Program;

/// Damages an input can do at most.
const DAMAGES_MAX: usize = 16;

/// More than all records of an input take.
const BUILDER_BYTES_MAX: usize = 4 << 20;

/// The number of the table into which the others are merged.
const MERGED: TableNumber = TableNumber(9);

/// What a table holds.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    /// Order, flags, whether it is retracted, payload.
    claims: Vec<(u64, u16, bool, Vec<u8>)>,
    /// Order, slots, payload.
    retractions: Vec<(u64, [u8; 128], Vec<u8>)>,
}

/// Tables hold what the records say, one by one and merged. Of a damaged one, an error or the same is read; of one with valid
/// checksums over wrong content, an error or anything that is a claim.
pub fn table(input: &[u8]) {
    let mut program = Program::new(input);
    let (budget, bottom) = (1 + program.number(), program.byte().is_multiple_of(2));
    let logs = Log::read_several(&mut program);
    let tables = MemoryTables::new();
    let numbers: Vec<TableNumber> = (1..=logs.len() as u64).map(TableNumber).collect();
    for (log, &number) in logs.iter().zip(&numbers) {
        let facts = build(&tables, number, log, budget);
        check(&tables, &facts, log, true);
    }
    let merged = merge(&tables, &numbers, budget, bottom).expect("sound tables can be merged");
    check(&tables, &merged, &Log::joined(&logs), !bottom);

    let sound: Vec<Content> = numbers.iter().map(|&number| read(&tables, number).expect("sound")).collect();
    let mut is_forged = false;
    for _ in 0..DAMAGES_MAX {
        let what = program.byte();
        if what == 0 {
            break;
        }
        let number = numbers[usize::from(program.byte()) % numbers.len()];
        let mut bytes = tables.bytes(number).expect("it was built");
        is_forged |= damage::step(what, &mut bytes, &mut program);
        tables.insert(number, bytes);
    }
    for (&number, sound) in numbers.iter().zip(&sound) {
        match read(&tables, number) {
            Ok(content) if !is_forged => assert_eq!(&content, sound, "damage went unnoticed"),
            Ok(content) => assert!(content.claims.iter().all(|claim| Assertion::decode(&claim.3).is_ok())),
            Err(error) => assert!(matches!(error, TableError::Damaged { .. }), "{error}"),
        }
    }
    if merge(&tables, &numbers, budget, bottom).is_ok() && !is_forged {
        check(&tables, &merged, &Log::joined(&logs), !bottom);
    }
}

fn build(tables: &MemoryTables, number: TableNumber, log: &Log, budget: usize) -> TableFacts {
    let mut builder = TableBuilder::new(BUILDER_BYTES_MAX);
    for claim in &log.claims {
        builder.add(&claim.entry()).expect("there is room for all");
    }
    for retraction in &log.retractions {
        builder.add_retraction(&retraction.retraction()).expect("there is room for all");
    }
    let mut build = builder.write(writer(tables, number));
    loop {
        if let Step::Done(facts) = build.step(budget).expect("memory takes all writes") {
            return facts;
        }
    }
}

/// Merges into [`MERGED`], in place of what is there.
fn merge(
    tables: &MemoryTables,
    numbers: &[TableNumber],
    budget: usize,
    bottom: bool,
) -> Result<TableFacts, TableError> {
    // The first time there is none.
    let _ = tables.remove(MERGED);
    let inputs: Vec<Arc<Table>> =
        numbers.iter().map(|&number| Table::open(tables, number)).collect::<Result<_, _>>()?;
    let mut merge = Merge::new(&inputs, writer(tables, MERGED), MergeOptions { bottom });
    loop {
        if let Step::Done(facts) = merge.step(budget)? {
            return Ok(facts);
        }
    }
}

fn writer(tables: &MemoryTables, number: TableNumber) -> TableWriter {
    let created = UnixMicros(1_700_000_000_000_000);
    TableWriter::create(tables, number, created).expect("there is no table of this number")
}

/// Holds a table to its records: each claim is there, in order, and retracted if the rule says so.
fn check(tables: &MemoryTables, facts: &TableFacts, log: &Log, keeps_retractions: bool) {
    let content = read(tables, facts.number).expect("a sound table");
    assert_eq!(content, log.content(keeps_retractions));
    let retracted = content.claims.iter().filter(|claim| claim.2).count() as u64;
    let counts = (content.claims.len() as u64, retracted, content.retractions.len() as u64);
    assert_eq!((facts.entries, facts.retracted, facts.retractions), counts);
    assert_eq!(facts.bytes, tables.bytes(facts.number).expect("it was read").len() as u64);
}

/// Reads and verifies all of a table.
fn read(tables: &MemoryTables, number: TableNumber) -> Result<Content, TableError> {
    let table = Table::open(tables, number)?;
    let mut verification = table.verification();
    while verification.step(10_000)? == Step::More {}
    let (mut claims, mut retractions) = (Vec::new(), Vec::new());
    for slots in [0..512, 512..SLOTS] {
        let mut entries = table.entries(slots);
        while let Some(block) = entries.next_block()? {
            claims.extend(
                block.iter().map(|entry| {
                    (entry.order.as_u64(), entry.flags, entry.retracted, entry.payload.to_vec())
                }),
            );
        }
    }
    let mut cursor = table.retractions();
    while let Some(retraction) = cursor.next()? {
        let payload = retraction.payload.to_vec();
        retractions.push((retraction.order.as_u64(), retraction.slots.to_bytes(), payload));
    }
    Ok(Content { claims, retractions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus_file;

    /// Were the format to change, checksums would be put into wrong places, and every forged table be refused.
    #[test]
    fn the_checksums_of_a_sound_table_fit_already() {
        for name in ["many-blocks", "retraction-of-half-the-slots", "three-tables"] {
            let input = corpus_file("table", name);
            let logs = Log::read_several(&mut Program::new(&input[3..]));
            assert!(logs.iter().any(|log| !log.claims.is_empty()), "{name}");
            for log in &logs {
                let tables = MemoryTables::new();
                build(&tables, MERGED, log, 1 << 20);
                let sound = tables.bytes(MERGED).expect("it was built");
                let mut repaired = sound.clone();
                damage::repair(&mut repaired);
                assert!(repaired == sound, "{name}: a checksum is elsewhere");
            }
        }
    }
}
