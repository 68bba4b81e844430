//! Recovery of a log with any history, which may then be damaged: an error or the truth, never a panic, and never records that
//! nobody wrote or that are gone without a word. A copy of the log, as backups take it, has what recovery finds, or is refused.
//!
//! The input is a little program. Its beginning writes a log: generations of some lanes each, which end in an orderly way
//! or in a crash, at any point of an opening too; claims, retractions that reach all lanes or some. The rest damages it.

pub(crate) mod damage;
mod disk;
mod history;
pub(crate) mod truth;

use std::collections::BTreeMap;

use stemedb_engine::checkpoint::OpenTables;
use stemedb_engine::log::Generation;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::inspect::inspect;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::capture::capture;
use stemedb_engine::log::recovery::{Recovered, RecoveryError, recover_after};
use stemedb_engine::log::storage::{LogStorage, MemoryStorage};
use stemedb_engine::slot::{LaneId, SLOTS};
use stemedb_engine::time::UnixMicros;
use stemedb_net::server::recovery::rebuild;

use crate::program::Program;
use damage::Damage;
use history::History;
use truth::{Sound, retracted};

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

/// Damage is done in so many steps at most.
const STEPS_MAX: usize = 8;

/// Where a record stands: its generation, lane and number.
pub(crate) type Place = (Generation, LaneId, u64);

/// Records, by where they stand.
pub(crate) type Records = BTreeMap<Place, Record>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) payload: Vec<u8>,
}

/// Writes a log, damages it, recovers it, and opens it again.
pub fn recovery(input: &[u8]) {
    let mut program = Program::new(input);
    let history = History::write(&mut program);
    let (sound_disk, truth) = (history.disk.memory.clone(), &history.records);
    let is_damaged = !program.rest.is_empty();
    if !is_damaged {
        check_claims(&sound_disk, truth, &history);
    }
    let sound = Sound::of(&sound_disk);

    let mut disk = sound_disk.clone();
    let mut damage = Damage::default();
    while !program.rest.is_empty() && damage.steps < STEPS_MAX {
        damage.step(&mut disk, &mut program);
    }
    inspect(&disk).for_each(drop);

    let read = read(&disk);
    if sound.is_forged(&disk, &damage.touched) {
        return;
    }
    let copied = copied(&disk);
    if let Ok(copied) = &copied {
        check_records(copied, truth, &sound, &damage);
    }
    let Ok((found, recovered)) = read else {
        assert!(damage.steps > 0, "a sound log is recovered");
        return;
    };
    check_records(&found, truth, &sound, &damage);
    match copied {
        Ok(copied) => assert_eq!(copied, found, "a copy of the log has other records"),
        Err(error) => assert!(damage.steps > 0, "a sound log is not copied: {error}"),
    }

    // What was recovered once stays, and nothing joins it.
    let mut opened = history.disk.with(disk);
    history::open(&mut opened, &recovered, 2, 1).expect("memory takes every write");
    let (again, recovered_again) = self::read(&opened.memory).expect("a log that was just opened");
    assert_eq!(claims_of(&again), claims_of(&found));
    assert!(recovered_again.unfinished_retractions.is_empty(), "an opening completes retractions");
    if !is_damaged {
        check_claims(&opened.memory, truth, &history);
    }
}

/// Checks that nothing is found that nobody wrote, and that nothing is gone without a word.
fn check_records(found: &Records, truth: &Records, sound: &Sound, damage: &Damage) {
    for (place, record) in found {
        assert_eq!(truth.get(place), Some(record), "a record that nobody wrote, at {place:?}");
    }
    if damage.touched.is_empty() || sound.is_testified_for(damage) {
        assert_eq!(found.len(), truth.len(), "acknowledged records are gone without an error");
    }
    for place in truth.keys().filter(|place| !found.contains_key(place)) {
        assert!(sound.may_be_lost(place, damage), "{place:?} is gone without an error");
    }
}

/// An index that is built from the log has each claim once, and those retracted that must be.
fn check_claims(disk: &MemoryStorage, truth: &Records, history: &History) {
    let (_, index) = rebuild(disk, &OpenTables::none(), 0..SLOTS, 1).expect("the log is sound");
    let expected = retracted(truth, &history.lanes);
    assert_eq!(index.len(), expected.len() as u64);
    for (hash, is_retracted) in expected {
        let view = index.claim(&hash).expect("a claim of the log");
        assert_eq!(view.retracted(), is_retracted, "{:?}", view.claim());
    }
}

/// Recovers: all records, and what recovery says.
fn read(disk: &MemoryStorage) -> Result<(Records, Recovered), RecoveryError> {
    read_after(disk, &Covered::default())
}

/// The same of what is behind the covered part.
pub(crate) fn read_after(
    disk: &dyn LogStorage,
    covered: &Covered,
) -> Result<(Records, Recovered), RecoveryError> {
    let mut records = Records::new();
    let recovered = recover_after(disk, covered, &mut |replayed| {
        for record in replayed {
            let place = (record.generation, record.lane, record.lsn.0);
            let (generation, lane, lsn) = place;
            let record = Record { kind: record.kind, payload: record.payload.to_vec() };
            assert!(records.insert(place, record).is_none(), "{place:?} comes twice");
            // The record of a generation is not handed out.
            let is_first = records.range((generation, lane, 0)..place).next().is_none();
            assert!(is_first || records.contains_key(&(generation, lane, lsn - 1)), "a gap before {place:?}");
        }
        Ok(())
    })?;
    Ok((records, recovered))
}

/// The records of a copy.
fn copied(disk: &MemoryStorage) -> Result<Records, RecoveryError> {
    let mut copy = MemoryStorage::new();
    for segment in capture(disk, &Covered::default())?.segments {
        let file = &disk.segments[&segment.id()];
        // One that is cut short is copied as it is; recovery of the copy finds that.
        let bytes = file.len().min(segment.bytes as usize);
        copy.segments.insert(segment.id(), file[..bytes].to_vec());
    }
    read(&copy).map(|(records, _)| records)
}

/// The records that are not retractions: of those an opening may write copies.
fn claims_of(records: &Records) -> Vec<(&Place, &Record)> {
    records.iter().filter(|(_, record)| record.kind == RecordKind::Assertion).collect()
}
