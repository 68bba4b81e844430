//! A crash at any step of writing leaves a whole table or none, and none of its inputs is touched.

use super::*;

/// Does `work` with one change of the storage after the other as the last before a crash, until it succeeds. After each crash `check`
/// is given whether there is an output, and the work can be done again.
fn crash_everywhere(
    prepare: impl Fn(&MemoryTables),
    work: impl Fn(&MemoryTables) -> Result<TableFacts, TableError>,
    output: TableNumber,
) {
    let undisturbed = MemoryTables::new();
    prepare(&undisturbed);
    let before = undisturbed.list().unwrap();
    work(&undisturbed).unwrap();
    let expected = undisturbed.bytes(output).unwrap();
    let mut crashes = 0;
    loop {
        let storage = MemoryTables::new();
        prepare(&storage);
        storage.fail_after(crashes);
        let result = work(&storage);
        storage.restart();
        let is_there = storage.list().unwrap().iter().any(|file| file.number == output);
        if result.is_ok() {
            assert_eq!(storage.bytes(output).unwrap(), expected);
            break;
        }
        if is_there {
            // All was written, and only that its name is durable was not heard of.
            assert_eq!(storage.bytes(output).unwrap(), expected, "after {crashes} changes");
            storage.remove(output).unwrap();
        }
        assert_eq!(storage.list().unwrap(), before);
        storage.remove_unfinished().unwrap();
        work(&storage).unwrap();
        assert_eq!(storage.bytes(output).unwrap(), expected);
        crashes += 1;
    }
    assert!(crashes >= 4, "create, append, finish twice, but only {crashes} changes");
}

fn claims(lsns: std::ops::Range<u64>) -> Vec<ClaimRecord> {
    // Large enough for several appends.
    lsns.map(|lsn| ClaimRecord::new(lsn, &format!("s/{}", lsn % 50), "p", lsn as i64, Some("t"))).collect()
}

#[test]
fn a_crash_at_any_step_of_a_build_leaves_a_whole_table_or_none() {
    let retraction = RetractionRecord::new(900, "s/9");
    let work = |storage: &MemoryTables| {
        build(storage, TableNumber(1), &claims(1..9_000), std::slice::from_ref(&retraction), 100_000)
    };
    crash_everywhere(|_| {}, work, TableNumber(1));
}

#[test]
fn a_crash_at_any_step_of_a_merge_leaves_its_inputs_and_a_whole_table_or_none() {
    let prepare = |storage: &MemoryTables| {
        build(storage, TableNumber(1), &claims(1..3_000), &[], 100_000).unwrap();
        let retraction = RetractionRecord::new(6_000, "t");
        build(storage, TableNumber(2), &claims(3_000..6_000), &[retraction], 100_000).unwrap();
    };
    let inputs = [TableNumber(1), TableNumber(2)];
    crash_everywhere(
        prepare,
        |storage| merge(storage, &inputs, TableNumber(3), true, 50_000),
        TableNumber(3),
    );
}
