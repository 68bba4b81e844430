//! However a log is cut into tables and these are merged: what is to be seen stays what the log says.

use proptest::prelude::*;

use super::model::{Log, Record, View, insert, logs};
use super::*;
use crate::order::WriteOrder;
use crate::random_cases::of_256;
use crate::slot::Slot;
use crate::table::entry::{Key, KeyBuffer};
use crate::table::{InOrder, Strikes};

/// What is to be seen of some tables: all their claims, struck by the retractions of all of them.
fn view(storage: &MemoryTables, tables: &[TableNumber]) -> View {
    let tables: Vec<_> = tables.iter().map(|&number| Table::open(storage, number).unwrap()).collect();
    let mut strikes = Strikes::default();
    for table in &tables {
        let mut retractions = table.retractions();
        while let Some(retraction) = retractions.next().unwrap() {
            strikes.add_record(&retraction).unwrap();
        }
    }
    let mut view = View::new();
    for table in &tables {
        let mut entries = table.entries(0..SLOTS);
        let mut in_order = Vec::new();
        while let Some(block) = entries.next_block().unwrap() {
            for entry in block.iter() {
                let claim = crate::claim::Assertion::decode(entry.payload).unwrap().claim;
                let subject = claim.subject.as_str().as_bytes();
                let source = claim.source.map_or(&b""[..], |source| source.as_str().as_bytes());
                let is_struck = strikes.strike(Slot::of(subject), entry.order, subject, source);
                insert(&mut view, &entry, entry.retracted || is_struck);
                in_order.push(entry.order);
            }
        }
        // The keys of a view sort as the claims of a table do.
        let mut own = View::new();
        let mut entries = table.entries(0..SLOTS);
        while let Some(block) = entries.next_block().unwrap() {
            block.iter().for_each(|entry| insert(&mut own, &entry, entry.retracted));
        }
        assert!(own.keys().map(|key| key.4).eq(in_order.iter().map(|order| order.as_u64())));
    }
    view
}

/// Cuts a log into tables at `cuts`, each beginning `overlap` records before the end of the one before.
fn cut(storage: &MemoryTables, records: &[Record], cuts: &[usize], overlap: usize) -> Vec<TableNumber> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (records.len() + 1)).collect();
    ends.push(records.len());
    ends.sort_unstable();
    let (mut begin, mut numbers) = (0, Vec::new());
    for end in ends {
        let number = TableNumber(numbers.len() as u64 + 1);
        let log = Log::new(records, begin + 1..end + 1);
        build(storage, number, &log.claims, &log.retractions, 10_000).unwrap();
        numbers.push(number);
        begin = end.saturating_sub(overlap).max(begin);
    }
    numbers
}

proptest! {
    #![proptest_config(of_256(96))]

    /// Method: a log is cut into tables, which may overlap as they do after a crash; then adjacent ones are merged until
    /// one is left. After each merge the view of all tables is that of the log, made by comparing each claim with each retraction.
    #[test]
    fn merges_in_any_shape_change_nothing_that_is_seen(
        records in logs(60),
        cuts in prop::collection::vec(any::<usize>(), 0..7),
        overlap in prop_oneof![Just(0_usize), 1..4_usize],
        choices in prop::collection::vec((any::<usize>(), 2..5_usize, any::<bool>()), 7),
        budget in prop_oneof![Just(1_usize), Just(1000), Just(usize::MAX)],
    ) {
        let storage = MemoryTables::new();
        let expected = Log::new(&records, 1..records.len() + 1).view();
        let mut tables = cut(&storage, &records, &cuts, overlap);
        prop_assert_eq!(&view(&storage, &tables), &expected);
        let mut next = TableNumber(100);
        for (at, count, drops) in choices {
            if tables.len() < 2 {
                break;
            }
            let first = at % (tables.len() - 1);
            let range = first..(first + count).min(tables.len());
            let inputs = tables[range.clone()].to_vec();
            let bottom = first == 0 && drops;
            let facts = merge(&storage, &inputs, next, bottom, budget).unwrap();
            prop_assert!(!bottom || facts.retractions == 0);
            for number in inputs {
                storage.remove(number).unwrap();
            }
            content(&storage, next).unwrap();
            tables.splice(range, [next]);
            next = next.next();
            prop_assert_eq!(&view(&storage, &tables), &expected);
        }
    }

    /// Method: a log is cut into tables, which may overlap; read in one order, their claims are those of all tables, sorted as the claims of one.
    #[test]
    fn several_tables_are_read_in_one_order(
        records in logs(60),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        overlap in 0..4_usize,
        begin in 0..SLOTS,
        end in 0..=SLOTS,
    ) {
        let storage = MemoryTables::new();
        let numbers = cut(&storage, &records, &cuts, overlap);
        let tables: Vec<_> = numbers.iter().map(|&number| Table::open(&storage, number).unwrap()).collect();
        let mut expected = Vec::new();
        for (number, table) in tables.iter().enumerate() {
            let mut entries = table.entries(begin..end.max(begin));
            while let Some(block) = entries.next_block().unwrap() {
                expected.extend(block.iter().map(|entry| {
                    let (key, _) = Key::of(entry.order, entry.payload).unwrap();
                    (KeyBuffer::new(&key), number, entry.payload.to_vec())
                }));
            }
        }
        expected.sort_by(|(one, ..), (other, ..)| one.key().cmp(&other.key()));
        let mut in_order = InOrder::new(tables.iter().map(|table| table.entries(begin..end.max(begin)))).unwrap();
        let mut read = Vec::new();
        while let Some((number, run)) = in_order.next_run().unwrap() {
            prop_assert!(!run.is_empty());
            read.extend(run.iter().map(|entry| (entry.order, number, entry.payload.to_vec())));
        }
        let mut expected: Vec<_> =
            expected.into_iter().map(|(key, number, payload)| (key.key().order, number, payload)).collect();
        let in_order = |claims: &[(WriteOrder, usize, Vec<u8>)]| claims.iter().map(|claim| claim.0).collect::<Vec<_>>();
        prop_assert_eq!(in_order(&read), in_order(&expected));
        // One that is in several tables comes out of them in any order.
        read.sort();
        expected.sort();
        prop_assert_eq!(read, expected);
    }

    /// Method: the same records as one table, and as several that are merged at once: the very same bytes, but for the numbers.
    #[test]
    fn a_merge_of_all_equals_one_big_table(
        records in logs(80),
        cuts in prop::collection::vec(any::<usize>(), 1..6),
        overlap in 0..3_usize,
    ) {
        let (several, one) = (MemoryTables::new(), MemoryTables::new());
        let output = TableNumber(50);
        let tables = cut(&several, &records, &cuts, overlap);
        let merged = merge(&several, &tables, output, false, 3_000).unwrap();
        let log = Log::new(&records, 1..records.len() + 1);
        let built = build(&one, output, &log.claims, &log.retractions, 700).unwrap();
        prop_assert_eq!(merged, built);
        prop_assert!(several.bytes(output) == one.bytes(output));
    }
}

/// Goal: two records that should be one and are not are never made one silently.
#[test]
fn one_record_with_two_contents_is_an_error() {
    let storage = MemoryTables::new();
    let claim = super::records::ClaimRecord::new(1, "a", "p", 3, None);
    build(&storage, TableNumber(1), std::slice::from_ref(&claim), &[], 1000).unwrap();
    let other = super::records::ClaimRecord { flags: claim.flags + 1, ..claim };
    build(&storage, TableNumber(2), &[other], &[], 1000).unwrap();
    let error = merge(&storage, &[TableNumber(1), TableNumber(2)], TableNumber(3), true, 1000).unwrap_err();
    assert!(matches!(error, TableError::Contradiction { .. }), "{error}");
    assert!(storage.bytes(TableNumber(3)).is_none());
}
