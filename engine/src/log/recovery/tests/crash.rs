//! Crashes while a generation is opened, any number of times.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::log::storage::hooked::{Change, Hook, HookedDisk};
use crate::random_cases::of_256;

/// Stops in the middle of the `operations_left`-th change, and takes no other after it.
struct Crash {
    operations_left: usize,
    /// Which blocks of the write that is interrupted arrive, from the lowest bit on, again and again.
    arriving: u64,
}

impl Hook for Crash {
    fn change(&mut self, disk: &mut MemoryStorage, change: Change<'_>) -> io::Result<usize> {
        if let Change::Sync(_) | Change::SyncNames = change {
            return change.apply(disk);
        }
        let crashed = || io::Error::from_raw_os_error(libc::EIO);
        self.operations_left = self.operations_left.checked_sub(1).ok_or_else(crashed)?;
        match change {
            _ if self.operations_left > 0 => return change.apply(disk),
            Change::Write(segment, offset, bytes) => self.write_in_part(disk, segment, offset, bytes),
            // All else happens whole or not at all.
            _ if self.arriving & 1 != 0 => drop(change.apply(disk)?),
            _ => {}
        }
        Err(crashed())
    }
}

impl Crash {
    fn write_in_part(&self, disk: &mut MemoryStorage, segment: SegmentId, offset: u64, bytes: &[u8]) {
        let file = disk.segments.get_mut(&segment).expect("it was prepared");
        for (block, bytes) in bytes.chunks(BLOCK_BYTES).enumerate() {
            if self.arriving >> (block % 64) & 1 != 0 {
                let at = offset as usize + block * BLOCK_BYTES;
                // Half of a block arrives, as devices with sectors of 512 bytes allow.
                let arrived = if self.arriving & 2 != 0 { bytes.len() } else { bytes.len() / 2 };
                file[at..at + arrived].copy_from_slice(&bytes[..arrived]);
            }
        }
    }
}

/// A log that has something of everything: an unfinished tail, an interrupted retraction, unused segments, idle lanes.
fn unsettled() -> MemoryStorage {
    let mut world = World::new(3);
    world.commit(2, &[b"of a lane that will be idle"]);
    let mut world = world.restarted(2);
    world.fill_segments(1, 1);
    let retraction = [&2_u32.to_le_bytes()[..], &0_u16.to_le_bytes(), &4_u64.to_le_bytes(), b"path"].concat();
    world.lanes[0].append(RecordKind::Retraction, 0, &retraction).unwrap();
    world.drive(0);
    world.commit(0, &[&[7; 3 * BLOCK_BYTES]]);
    let end = world.end(0).end_offset as usize;
    world.segment(0, 2)[end - BLOCK_BYTES..end].fill(0);
    for unused in [id(0, 3), id(1, 4), id(2, 2), id(5, 1)] {
        world.disk.prepare(unused, SEGMENT_BYTES_MIN).unwrap();
    }
    world.disk
}

/// The records that are not copies of retractions.
fn claims(records: &[Read]) -> Vec<Read> {
    records.iter().filter(|record| !record.3.ends_with(b"path")).cloned().collect()
}

/// Opens generations until one is open, crashing after so many changes in each; every recovery finds the same.
fn assert_recovers(unsettled: &MemoryStorage, crashes: &[(usize, u64, u16)]) {
    let mut disk = unsettled.clone();
    let (before, _) = read(&disk).unwrap();
    for &(operations_left, arriving, lanes) in crashes {
        let mut crashing = HookedDisk { disk, hook: Crash { operations_left, arriving } };
        let opened = start(&mut crashing, lanes);
        disk = crashing.disk;
        let (records, recovered) = read(&disk).unwrap();
        assert_eq!(claims(&records), claims(&before));
        if opened.is_err() {
            let again = read(&disk).unwrap();
            assert_eq!(again, (records, recovered), "reading twice finds the same");
        }
    }
    let mut world = World { disk, lanes: Vec::new() }.restarted(2);
    assert!(world.read().1.unfinished_retractions.is_empty());
    world.commit(1, &[b"goes on"]);
    let after = world.restarted(1).payloads();
    assert_eq!(after.last().unwrap(), b"goes on");
}

/// How many changes an opening makes when nothing stops it.
fn changes_of_an_opening(unsettled: &MemoryStorage, lanes: u16) -> usize {
    let hook = Crash { operations_left: 1000, arriving: 0 };
    let mut disk = HookedDisk { disk: unsettled.clone(), hook };
    start(&mut disk, lanes).unwrap();
    1000 - disk.hook.operations_left
}

#[test]
fn a_crash_at_any_change_of_an_opening_changes_nothing() {
    let unsettled = unsettled();
    for lanes in [1, 3] {
        for operations_left in 0..changes_of_an_opening(&unsettled, lanes) {
            for arriving in [0, 0x5555_5555_5555_5555] {
                assert_recovers(&unsettled, &[(operations_left, arriving, lanes)]);
            }
        }
    }
}

proptest! {
    #![proptest_config(of_256(24))]

    #[test]
    fn crashes_after_crashes_change_nothing(
        crashes in prop::collection::vec((0_usize..20, any::<u64>(), 1_u16..4), 1..6),
    ) {
        assert_recovers(&unsettled(), &crashes);
    }
}
