//! Goal: at any time there is a whole snapshot to read, if there was one before, and never more than two; what a stop of the
//! machine leaves is cleared away by the next snapshot. Method: snapshots of two cores on a storage in memory that stops at
//! each of its changes.

use super::*;
use crate::slot::SLOTS;

const CORES: [std::ops::Range<u16>; 2] = [0..512, 512..SLOTS];

/// Snapshots of these tests have 40 bytes.
const ROOM: SnapshotRoom = SnapshotRoom { expected_bytes: 40, spare_bytes: 1000 };

/// Writes a snapshot whose parts hold `byte`, their pieces in turns.
fn write(storage: &MemorySnapshots, byte: u8) -> Result<u64, WriteError> {
    let mut writer = SnapshotWriter::begin(storage, &CORES, ROOM)?;
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
    let mut writer = SnapshotWriter::begin(&storage, &CORES, ROOM).expect("space");
    let piece = Piece { bytes: vec![2; 10], is_last: true };
    assert_eq!(writer.write(&storage, 1, &piece).expect("space"), Written::Partly);
    drop(writer);
    assert_eq!((newest(&storage), storage.unfinished()), (Some(1), 0));
    keep_only(&storage, Some(SnapshotNumber(1))).expect("memory");
    assert_eq!(storage.list().expect("memory").len(), 2);
    keep_only(&storage, None).expect("memory");
    assert!(storage.list().expect("memory").is_empty());
}

/// Goal: a power cut leaves a snapshot where there was one. A process may have been killed when the newest had its name, and nothing of that was
/// durable yet. Method: it is not to be made durable; then nothing goes either.
#[test]
fn what_is_kept_is_durable_before_anything_goes() {
    let storage = MemorySnapshots::new();
    for number in [1, 2] {
        let part = Part { number: SnapshotNumber(number), slots: 0..1024 };
        storage.insert(&part, vec![number as u8; 10]);
    }
    // What was begun is removed, and that is all that succeeds.
    storage.fail_after(1);
    let error = keep_only(&storage, Some(SnapshotNumber(2))).expect_err("it cannot be made durable");
    assert!(error.to_string().contains("synchronise"), "{error}");
    assert_eq!(storage.list().expect("memory").len(), 2);
    storage.restart();
    keep_only(&storage, Some(SnapshotNumber(2))).expect("memory");
    assert_eq!((newest(&storage), storage.list().expect("memory").len()), (Some(2), 1));
}

/// Goal: a snapshot never takes what the log needs, and where there is no room for it, the one before stays. Method: room for a byte
/// too few before it begins, at each of its pieces, and for just enough.
#[test]
fn a_snapshot_leaves_the_room_that_the_log_needs() {
    let whole = 2 * ROOM.expected_bytes + ROOM.spare_bytes;
    let storage = MemorySnapshots::new();
    write(&storage, 1).expect("room without end");
    storage.set_bytes_max(whole - 1);
    let error = SnapshotWriter::begin(&storage, &CORES, ROOM).err().expect("a byte is missing");
    assert!(matches!(error, WriteError::NoRoom { free: 1039, needed: 40, spare: 1000, .. }), "{error}");
    assert_eq!((newest(&storage), storage.unfinished()), (Some(1), 0));

    // It turns out to be larger than expected, or others take what was there.
    for pieces in 0..4 {
        storage.set_bytes_max(whole);
        let mut writer = SnapshotWriter::begin(&storage, &CORES, ROOM).expect("there is room");
        storage.set_bytes_max(whole - 40 + 10 * pieces + 9);
        let mut written = 0;
        let error = loop {
            let piece = Piece { bytes: vec![2; 10], is_last: false };
            match writer.write(&storage, written as usize % 2, &piece) {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, WriteError::NoRoom { needed: 10, .. }), "{error}");
        assert_eq!((written, writer.taken_bytes()), (pieces, 10 * pieces));
        assert!(storage.free_bytes().expect("memory") >= ROOM.spare_bytes);
        drop(writer);
        assert_eq!((newest(&storage), storage.unfinished()), (Some(1), 0));
    }
    storage.set_bytes_max(whole);
    write(&storage, 3).expect("there is room");
    assert_eq!(newest(&storage), Some(3));
}
