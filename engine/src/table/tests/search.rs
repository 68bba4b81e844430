//! Goal: a claim is found where it is, in few reads, and never where it is not; damage on the way to it is an error.
//!
//! Method: tables of generated claims, in which each one is searched for, and others that are not there; reads are done by the test.

use super::records::ClaimRecord;
use super::*;
use crate::claim::Assertion;
use crate::order::ListKey;
use crate::table::{ClaimKey, Search};

fn key_of(claim: &ClaimRecord) -> ClaimKey {
    let entry = claim.entry();
    let Assertion { hash, claim, .. } = Assertion::decode(entry.payload).expect("it was encoded");
    let key = ListKey { timestamp: claim.timestamp.unix_micros(), order: entry.order, hash: hash.0 };
    ClaimKey::new(claim.subject.as_str().as_bytes(), claim.predicate.as_str().as_bytes(), &key)
}

/// Searches a table; gives the payload that was found, and how many reads it took. `spoil` is what becomes of what was read.
fn search(
    table: &Arc<Table>,
    key: ClaimKey,
    spoil: &dyn Fn(&mut Vec<u8>),
) -> Result<(Option<Vec<u8>>, usize), TableError> {
    let mut search = Search::new(Arc::clone(table), key);
    let mut reads = 0;
    while let Some(range) = search.next_read() {
        reads += 1;
        assert!(range.bytes <= Search::READ_BYTES_MAX, "{range:?}");
        let mut window = crate::ring::aligned::AlignedBuffer::zeroed(range.bytes);
        let bytes = table.read_at(range.offset, &mut window).expect("memory can be read");
        let mut read = window[..bytes].to_vec();
        spoil(&mut read);
        if let Some(entry) = search.take(&read)? {
            return Ok((Some(entry.payload.to_vec()), reads));
        }
    }
    Ok((None, reads))
}

/// Many claims about few subjects, so that a slot has many blocks, and some about others.
fn claims() -> Vec<ClaimRecord> {
    let claim = |number: u64| {
        let subject = format!("s/{}", if number.is_multiple_of(3) { number } else { number % 4 });
        let predicate = ["is", "was", "will be"][number as usize % 3];
        ClaimRecord::with_value(
            number + 1,
            &subject,
            predicate,
            (number / 7) as i64,
            None,
            &noise(number, 5_000),
        )
    };
    (0..600).map(claim).collect()
}

/// Text of so many bytes that no compression makes small.
fn noise(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut character = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 95) as u8)
    };
    (0..bytes).map(|_| character()).collect()
}

#[test]
fn every_claim_is_found_and_others_are_not() {
    let storage = MemoryTables::new();
    let claims = claims();
    let (there, absent): (Vec<_>, Vec<_>) = claims.into_iter().enumerate().partition(|(at, _)| at % 5 != 0);
    let there: Vec<ClaimRecord> = there.into_iter().map(|(_, claim)| claim).collect();
    build(&storage, TableNumber(1), &there, &[], 1 << 20).expect("memory takes it");
    let table = Table::open(&storage, TableNumber(1)).expect("it is sound");
    for (at, claim) in there.iter().enumerate() {
        let (found, reads) = search(&table, key_of(claim), &|_| {}).expect("it is sound");
        assert_eq!(found.as_deref(), Some(claim.entry().payload), "claim {at}");
        assert!(reads <= 10, "{reads} reads for claim {at}");
    }
    for (at, claim) in &absent {
        assert_eq!(search(&table, key_of(claim), &|_| {}).expect("it is sound").0, None, "claim {at}");
    }
    // Where blocks begin is known by now.
    for claim in &there {
        assert_eq!(search(&table, key_of(claim), &|_| {}).expect("it is sound").1, 1);
    }
    // A reader of all of it finds that out, too.
    let table = Table::open(&storage, TableNumber(1)).expect("it is sound");
    read(&table).expect("it is sound");
    for claim in &there {
        assert_eq!(search(&table, key_of(claim), &|_| {}).expect("it is sound").1, 1);
    }
}

#[test]
fn a_block_that_is_damaged_or_cut_is_an_error_at_its_place() {
    let storage = MemoryTables::new();
    let claims = claims();
    build(&storage, TableNumber(1), &claims, &[], 1 << 20).expect("memory takes it");
    let table = Table::open(&storage, TableNumber(1)).expect("it is sound");
    let flip: fn(&mut Vec<u8>) = |read| {
        let middle = read.len() / 2;
        read[middle] ^= 1;
    };
    let cut: fn(&mut Vec<u8>) = |read| read.truncate(read.len() / 2);
    for spoil in [flip, cut, Vec::clear] {
        for claim in claims.iter().step_by(37) {
            let error = search(&table, key_of(claim), &spoil).expect_err("it is spoilt");
            let (path, offset) = error.damaged_place().expect("damage has a place");
            assert!(path.to_string_lossy().contains("assertions-0000000001.kv") && offset >= 4096, "{error}");
            assert!(search(&table, key_of(claim), &|_| {}).expect("it can be read now").0.is_some());
        }
    }
}
