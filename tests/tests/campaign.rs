//! Goal: the crash campaigns themselves work, and a few rounds of each find nothing.
//!
//! Method: what `crash-campaign` does a thousand times is done a few times here. A kind that needs what this machine
//! does not have, or does not permit, is skipped with a word.

use stemedb_tests::campaign::{Campaign, Kind};
use stemedb_tests::{random, skip};

fn a_few_rounds(kind: Kind, rounds: u64) {
    let seed = random::seed_for_test(kind.name());
    match (Campaign { kind, rounds, seed }).run(|_| ()) {
        Ok(report) => println!("{report}"),
        Err(lack) => skip(format_args!("{} is not possible here: {lack}", kind.name())),
    }
}

#[test]
fn kill() {
    a_few_rounds(Kind::Kill, 8);
}

#[test]
fn image() {
    a_few_rounds(Kind::Image, 2);
}

#[test]
fn faults() {
    a_few_rounds(Kind::Faults, 5);
}

#[test]
fn stops() {
    a_few_rounds(Kind::Stops, 1);
}

#[test]
fn full_disk() {
    a_few_rounds(Kind::FullDisk, 2);
}

#[test]
fn memory() {
    a_few_rounds(Kind::Memory, 2);
}
