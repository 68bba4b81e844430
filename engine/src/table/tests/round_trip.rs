//! What goes into a table comes out of it.

use proptest::prelude::*;

use super::model::{Log, View, insert, logs};
use super::*;
use crate::claim::Value;
use crate::random_cases::of_256;
use crate::slot::Slot;
use crate::table::{AddError, DirTables, Entry};

proptest! {
    #![proptest_config(of_256(64))]

    /// Method: the view of the log, made by comparing each claim with each retraction.
    #[test]
    fn a_table_holds_what_its_records_say(records in logs(80), budget in prop_oneof![Just(1_usize), Just(9_999)]) {
        let storage = MemoryTables::new();
        let log = Log::new(&records, 1..records.len() + 1);
        // Any order will do.
        let claims: Vec<_> = log.claims.iter().rev().cloned().collect();
        let facts = build(&storage, TableNumber::FIRST, &claims, &log.retractions, budget).unwrap();
        let content = content(&storage, TableNumber::FIRST).unwrap();
        let expected = log.view();
        let in_order = expected.iter().map(|(key, (retracted, flags, payload))| {
            (key.4, *flags, *retracted, payload.clone())
        });
        prop_assert!(in_order.eq(content.claims.iter().cloned()));
        let mut retractions: Vec<_> =
            log.retractions.iter().map(|record| (record.order.as_u64(), record.payload.clone())).collect();
        retractions.sort();
        prop_assert_eq!(&content.retractions, &retractions);
        let retracted = content.claims.iter().filter(|claim| claim.2).count();
        let expected_facts = TableFacts {
            number: TableNumber::FIRST,
            bytes: storage.bytes(TableNumber::FIRST).unwrap().len() as u64,
            entries: log.claims.len() as u64,
            retracted: retracted as u64,
            retractions: retractions.len() as u64,
        };
        prop_assert_eq!(facts, expected_facts);
        prop_assert_eq!(*Table::open(&storage, TableNumber::FIRST).unwrap().facts(), expected_facts);
    }
}

/// Goal: a range of slots gives the claims of these slots and reads no block without one.
#[test]
fn a_range_of_slots_reads_only_its_own_blocks() {
    let storage = MemoryTables::new();
    let claims: Vec<_> =
        (1..5_000).map(|n| ClaimRecord::new(n, &format!("subject/{n}"), "p", 1, None)).collect();
    build(&storage, TableNumber::FIRST, &claims, &[], usize::MAX).unwrap();
    let view_of = |slots: std::ops::Range<u16>| {
        let (mut view, table) = (View::new(), Table::open(&storage, TableNumber::FIRST).unwrap());
        let mut entries = table.entries(slots);
        while let Some(block) = entries.next_block().unwrap() {
            block.iter().for_each(|entry| insert(&mut view, &entry, false));
        }
        view
    };
    for slots in [0..1, 0..512, 511..513, 700..701, 512..SLOTS, 1023..SLOTS, 30..30] {
        let of_slots: Vec<_> = claims
            .iter()
            .filter(|claim| slots.contains(&Slot::of(claim.subject.as_bytes()).number()))
            .cloned()
            .collect();
        let expected = Log { claims: of_slots, retractions: Vec::new() }.view();
        assert_eq!(view_of(slots.clone()), expected, "{slots:?}");
    }
    // The last block of claims is damaged: who does not want it does not notice.
    let mut bytes = storage.bytes(TableNumber::FIRST).unwrap();
    let end_of_blocks = bytes.iter().rposition(|&byte| byte != 0).unwrap().min(bytes.len() - 2 * 4096);
    bytes[end_of_blocks - 2_000] ^= 1;
    storage.insert(TableNumber::FIRST, bytes);
    assert_eq!(
        view_of(0..512).len(),
        Log { claims, retractions: Vec::new() }
            .view()
            .range(..(512, String::new(), String::new(), 0, 0, [0; 32]))
            .count()
    );
    let table = Table::open(&storage, TableNumber::FIRST).unwrap();
    let mut entries = table.entries(512..SLOTS);
    let last = loop {
        match entries.next_block() {
            Ok(Some(_)) => {}
            last => break last.map(|_| ()),
        }
    };
    assert!(matches!(last, Err(TableError::Damaged { .. })), "{last:?}");
}

#[test]
fn the_smallest_and_the_largest_tables_are_read_again() {
    let storage = MemoryTables::new();
    let facts = build(&storage, TableNumber(1), &[], &[], 1).unwrap();
    assert_eq!((facts.entries, facts.bytes), (0, 8192));
    assert_eq!(content(&storage, TableNumber(1)).unwrap(), Content::default());

    // The longest values that there are, each in a block of its own.
    let longest = "x".repeat(Value::BYTES_MAX);
    let claims: Vec<_> =
        (1..9).map(|n| ClaimRecord::with_value(n, "s", "p", n as i64, None, &longest)).collect();
    build(&storage, TableNumber(2), &claims, &[], 1).unwrap();
    let content = content(&storage, TableNumber(2)).unwrap();
    assert!(content.claims.iter().map(|claim| &claim.3).eq(claims.iter().map(|claim| &claim.payload)));
}

/// Goal: the bytes of a table follow from its records alone, not from the steps in which it was made.
#[test]
fn steps_of_any_size_make_the_same_table() {
    let claims: Vec<_> =
        (1..900).map(|n| ClaimRecord::new(n, &format!("s/{}", n % 30), "p", 1, None)).collect();
    let bytes = |budget| {
        let storage = MemoryTables::new();
        build(&storage, TableNumber(1), &claims[..500], &[], budget).unwrap();
        build(&storage, TableNumber(2), &claims[400..], &[RetractionRecord::new(950, "s/3")], budget)
            .unwrap();
        merge(&storage, &[TableNumber(1), TableNumber(2)], TableNumber(3), false, budget).unwrap();
        [1, 2, 3].map(|number| storage.bytes(TableNumber(number)).unwrap())
    };
    assert!(bytes(1) == bytes(usize::MAX));
}

/// Goal: a builder takes what fits into its bound, to the byte, and nothing more.
#[test]
fn a_builder_is_full_at_its_bound() {
    let claim = ClaimRecord::new(1, "s", "p", 1, None);
    let retraction = RetractionRecord::new(2, "s");
    let mut measure = TableBuilder::new(1 << 20);
    assert!(measure.is_empty());
    measure.add(&claim.entry()).unwrap();
    measure.add_retraction(&retraction.retraction()).unwrap();
    let bytes = measure.bytes();

    let mut builder = TableBuilder::new(bytes);
    builder.add(&claim.entry()).unwrap();
    builder.add_retraction(&retraction.retraction()).unwrap();
    for full in [builder.add(&claim.entry()), builder.add_retraction(&retraction.retraction())] {
        assert!(matches!(full, Err(AddError::Full { bytes_max, .. }) if bytes_max == bytes), "{full:?}");
    }
    let mut builder = TableBuilder::new(bytes - 1);
    builder.add(&claim.entry()).unwrap();
    builder.add_retraction(&retraction.retraction()).unwrap_err();
    assert!(!builder.is_empty());

    let entry = Entry { payload: &claim.payload[..40], ..claim.entry() };
    assert!(matches!(builder.add(&entry), Err(AddError::Payload(_))));
    let storage = MemoryTables::new();
    let mut writer = TableWriter::create(&storage, TableNumber::FIRST, NOW).unwrap();
    assert!(matches!(writer.push(&entry), Err(TableError::NotAClaim { .. })));
}

#[test]
#[should_panic(expected = "claims come in order")]
fn a_writer_refuses_claims_out_of_order() {
    let storage = MemoryTables::new();
    let mut writer = TableWriter::create(&storage, TableNumber::FIRST, NOW).unwrap();
    writer.push(&ClaimRecord::new(2, "s", "p", 1, None).entry()).unwrap();
    let _ = writer.push(&ClaimRecord::new(1, "s", "p", 1, None).entry());
}

/// Goal: files are what memory is. Method: the same tables in both, through direct reads and writes.
#[test]
fn a_directory_holds_the_same_bytes_as_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (files, memory) = (DirTables::new(directory.path()), MemoryTables::new());
    let claims: Vec<_> =
        (1..4_000).map(|n| ClaimRecord::new(n, &format!("s/{}", n % 99), "p", 1, None)).collect();
    let storages: [&dyn TableStorage; 2] = [&files, &memory];
    let [in_files, in_memory] = storages.map(|storage| {
        build(storage, TableNumber(1), &claims[..3_000], &[], 50_000).unwrap();
        build(storage, TableNumber(2), &claims[2_000..], &[RetractionRecord::new(5_000, "s/7")], 50_000)
            .unwrap();
        merge(storage, &[TableNumber(1), TableNumber(2)], TableNumber(3), true, 50_000).unwrap();
        let contents = [1, 2, 3].map(|number| content(storage, TableNumber(number)).unwrap());
        let mut list = storage.list().unwrap();
        list.sort_by_key(|file| file.number);
        (contents, list)
    });
    assert_eq!(in_files, in_memory);
    for number in [1, 2, 3].map(TableNumber) {
        assert!(std::fs::read(files.path(number)).unwrap() == memory.bytes(number).unwrap());
    }
}
