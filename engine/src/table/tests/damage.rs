//! Whatever happens to the bytes of a table, it is an error or makes no difference.

use super::*;
use crate::table::{Damage, InOrder, TablePart};

const NUMBER: TableNumber = TableNumber(7);

/// A small file with two blocks of retractions and several of claims, most of them compressed.
fn table(created: UnixMicros) -> Vec<u8> {
    let storage = MemoryTables::new();
    let mut writer = TableWriter::create(&storage, NUMBER, created).unwrap();
    for lsn in 1..200 {
        writer.push_retraction(&RetractionRecord::new(lsn, "path/of/a/retraction").retraction()).unwrap();
    }
    let mut claims: Vec<_> = (0..12_u64)
        .map(|n| {
            let value = "abc ".repeat(if n % 4 == 3 { 5 } else { 2_500 });
            ClaimRecord::with_value(300 + n, &format!("s/{n}"), "p", n as i64, None, &value)
        })
        .collect();
    claims.sort_by_key(|claim| crate::slot::Slot::of(claim.subject.as_bytes()));
    for claim in &claims {
        writer.push(&claim.entry()).unwrap();
    }
    writer.finish().unwrap();
    storage.bytes(NUMBER).unwrap()
}

fn content_of(bytes: Vec<u8>) -> Result<Content, TableError> {
    let storage = MemoryTables::new();
    storage.insert(NUMBER, bytes);
    content(&storage, NUMBER)
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_that_names_the_place() {
    let mut bytes = table(NOW);
    let original = content_of(bytes.clone()).unwrap();
    assert_eq!((original.claims.len(), original.retractions.len()), (12, 199));
    let footer = bytes.len() - 4096;
    let mut parts = Vec::new();
    for at in 0..bytes.len() {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        let error = content_of(bytes.clone()).unwrap_err();
        bytes[at] ^= bit;
        let TableError::Damaged { ref path, offset, part, .. } = error else { panic!("byte {at}: {error}") };
        assert_eq!(path.to_str(), Some("assertions-0000000007.kv"));
        assert!(offset <= at as u64, "byte {at}: {error}");
        assert!(error.to_string().contains("assertions-0000000007.kv"), "{error}");
        match at {
            0..4096 => assert_eq!(part, TablePart::Header, "byte {at}"),
            _ if at >= footer => assert_eq!(part, TablePart::Footer, "byte {at}"),
            _ => parts.push(part),
        }
    }
    parts.dedup();
    assert_eq!(parts, [TablePart::Retractions, TablePart::Claims, TablePart::Index]);
}

#[test]
fn every_truncation_and_every_extension_is_an_error() {
    let bytes = table(NOW);
    let lengths = (0..bytes.len()).filter(|length| length % 4096 == 0 || length % 61 == 0);
    for length in lengths {
        let error = content_of(bytes[..length].to_vec()).unwrap_err();
        assert!(matches!(error, TableError::Damaged { .. }), "{length}: {error}");
    }
    for more in [1, 4096] {
        let longer = [&bytes[..], &vec![0; more]].concat();
        content_of(longer).unwrap_err();
    }
}

/// Goal: who goes on after an error gets it again, and never what is in or behind the damaged block.
#[test]
fn nobody_gets_past_a_damaged_block() {
    let sound = table(NOW);
    let storage = MemoryTables::new();
    // The first block is of retractions.
    for (at, is_first) in [(4200, true), (sound.len() - 4096 - 500, false)] {
        let mut bytes = sound.clone();
        let at = if is_first { at } else { (4096..at).rfind(|&at| bytes[at..at + 4] == *b"abc ").unwrap() };
        bytes[at] ^= 1;
        storage.insert(NUMBER, bytes);
        let table = Table::open(&storage, NUMBER).unwrap();
        let (mut retractions, mut entries) = (table.retractions(), table.entries(0..SLOTS));
        for _ in 0..3 {
            if is_first {
                assert!(matches!(retractions.next(), Err(TableError::Damaged { .. })));
                continue;
            }
            while let Ok(block) = entries.next_block() {
                assert!(block.is_some(), "the claims end before the damage");
            }
        }
        if !is_first {
            let mut in_order = InOrder::new([table.entries(0..SLOTS)]).unwrap();
            while let Ok(run) = in_order.next_run() {
                assert!(run.is_some(), "the claims end before the damage");
            }
            for _ in 0..3 {
                assert!(matches!(in_order.next_run(), Err(TableError::Damaged { .. })));
            }
        }
    }
}

/// Goal: a block that is whole, but not where it belongs, is noticed: one that was written elsewhere in the table, and one that
/// an earlier table of the same number left behind.
#[test]
fn a_block_in_the_wrong_place_or_table_is_an_error() {
    let (bytes, other) = (table(NOW), table(UnixMicros(NOW.0 + 1)));
    assert_eq!(bytes.len(), other.len());
    for begin in (4096..bytes.len()).step_by(4096) {
        let mut mixed = bytes.clone();
        mixed[begin..begin + 4096].copy_from_slice(&other[begin..begin + 4096]);
        let error = content_of(mixed).unwrap_err();
        let is_sum = matches!(error, TableError::Damaged { damage: Damage::Checksum { .. }, .. });
        assert!(is_sum, "block at {begin}: {error}");
    }
    let storage = MemoryTables::new();
    storage.insert(TableNumber(8), bytes);
    let error = content(&storage, TableNumber(8)).unwrap_err();
    assert!(error.to_string().contains("its number is 7, expected 8"), "{error}");
}

/// Method: two tables whose first blocks of claims have the same length are built, and one block is copied over another.
#[test]
fn two_blocks_of_a_table_cannot_change_places() {
    let storage = MemoryTables::new();
    let mut writer = TableWriter::create(&storage, NUMBER, NOW).unwrap();
    let mut claims: Vec<_> = (0..6_u64)
        .map(|n| ClaimRecord::with_value(n + 1, &format!("s/{n}"), "p", 1, None, &noise(n, 30_000)))
        .collect();
    claims.sort_by_key(|claim| crate::slot::Slot::of(claim.subject.as_bytes()));
    for claim in &claims {
        writer.push(&claim.entry()).unwrap();
    }
    writer.finish().unwrap();
    let mut bytes = storage.bytes(NUMBER).unwrap();
    let block_bytes = 32 + 16 + claims[0].payload.len();
    let (one, other) = bytes[4096..].split_at_mut(block_bytes);
    one.swap_with_slice(&mut other[..block_bytes]);
    let error = content_of(bytes).unwrap_err();
    assert!(error.to_string().contains("its offset is"), "{error}");
}

/// Text without repetition.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 40) as u8 % 95)
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn errors_of_the_storage_are_passed_on() {
    let storage = MemoryTables::new();
    let error = Table::open(&storage, NUMBER).unwrap_err();
    assert!(matches!(error, TableError::Open { .. }), "{error}");
    storage.insert(NUMBER, Vec::new());
    let error = Table::open(&storage, NUMBER).unwrap_err();
    assert!(error.to_string().contains("the file ends after 0 bytes"), "{error}");
    let error = TableWriter::create(&storage, NUMBER, NOW).err().expect("there is one of this number");
    assert!(matches!(error, TableError::Create { .. }), "{error}");
}
