//! Goal: at any time there is a whole snapshot to read, if there was one before, and never more than two; what a stop of the
//! machine leaves is cleared away by the next snapshot. Method: snapshots of two cores on a storage in memory that stops at
//! each of its changes.

use super::*;
use crate::slot::SLOTS;

const CORES: [std::ops::Range<u16>; 2] = [0..512, 512..SLOTS];

/// Writes a snapshot whose parts hold `byte`, their pieces in turns.
fn write(storage: &MemorySnapshots, byte: u8) -> Result<u64, WriteError> {
    let mut writer = SnapshotWriter::begin(storage, &CORES)?;
    let mut written = Written::Partly;
    for is_last in [false, true] {
        for core in 0..CORES.len() {
            assert_eq!(written, Written::Partly);
            written = writer.write(storage, core, &Piece { bytes: vec![byte; 10], is_last })?;
        }
    }
    let Written::Whole { bytes } = written else { panic!("{written:?} after the last piece") };
    Ok(bytes)
}

/// The byte that the newest whole snapshot holds, in all its parts.
fn newest(storage: &MemorySnapshots) -> Option<u8> {
    let whole = WholeSnapshot::newest(&storage.list().expect("memory"))?;
    let mut bytes = whole.parts.iter().flat_map(|part| storage.bytes(part).expect("it was listed"));
    let first = bytes.next();
    assert!(bytes.all(|byte| Some(byte) == first));
    first
}

#[test]
fn a_snapshot_takes_the_place_of_the_one_before_it() {
    let storage = MemorySnapshots::new();
    for (byte, number) in [(1, 1), (2, 2), (3, 3)] {
        assert_eq!(write(&storage, byte).expect("space"), 40);
        let parts = storage.list().expect("memory");
        assert!(parts.len() == 2 && parts.iter().all(|part| part.number == SnapshotNumber(number)));
        assert_eq!(newest(&storage), Some(byte));
    }
}

#[test]
fn a_stop_at_any_change_leaves_a_whole_snapshot_and_the_next_one_clears_up() {
    for had_one in [false, true] {
        let mut changes = 0;
        loop {
            let storage = MemorySnapshots::new();
            if had_one {
                write(&storage, 1).expect("space");
            }
            storage.fail_after(changes);
            let is_done = write(&storage, 2).is_ok();
            let found = newest(&storage);
            let before = had_one.then_some(1);
            assert!(found == before || found == Some(2), "{changes} changes: {found:?}");
            assert!(!is_done || found == Some(2));
            assert!(
                storage.list().expect("memory").len() + storage.unfinished() <= 4,
                "two snapshots at most"
            );
            storage.restart();
            write(&storage, 3).expect("space");
            assert_eq!((newest(&storage), storage.list().expect("memory").len()), (Some(3), 2));
            assert_eq!(storage.unfinished(), 0);
            if is_done {
                break;
            }
            changes += 1;
        }
        assert!(changes > 10, "{changes} changes were tried");
    }
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing_but_the_one_before_it() {
    let storage = MemorySnapshots::new();
    write(&storage, 1).expect("space");
    let mut writer = SnapshotWriter::begin(&storage, &CORES).expect("space");
    let piece = Piece { bytes: vec![2; 10], is_last: true };
    assert_eq!(writer.write(&storage, 1, &piece).expect("space"), Written::Partly);
    drop(writer);
    assert_eq!((newest(&storage), storage.unfinished()), (Some(1), 0));
    keep_only(&storage, Some(SnapshotNumber(1))).expect("memory");
    assert_eq!(storage.list().expect("memory").len(), 2);
    keep_only(&storage, None).expect("memory");
    assert!(storage.list().expect("memory").is_empty());
}
