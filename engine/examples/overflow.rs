//! Asks the engine for a sum that fits in no number, and so must end as all of a release does at a broken invariant: by SIGABRT, in the engine's own
//! code. The tests build this in release and look how it ends.

use stemedb_engine::checkpoint::{ListedTable, Manifest};
use stemedb_engine::table::{TableFacts, TableNumber};

fn main() {
    let table = |number: u64| ListedTable {
        facts: TableFacts {
            number: TableNumber(number),
            bytes: 0,
            entries: u64::MAX,
            retracted: 0,
            retractions: 0,
        },
        checkpoints: number..=number,
    };
    let manifest = Manifest { tables: vec![table(1), table(2)], ..Manifest::empty() };
    println!("two tables of {} claims hold {}", u64::MAX, manifest.entries());
}
