//! Rebuilds the cores' indexes from the log.

use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::claim::{Assertion, DecodeError, Retraction};
use stemedb_engine::index::{Index, IndexConfig, IndexFull};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{Recovered, RecoveryError, Replayed, recover as recover_log};
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::slot::{CoreId, Slot, SlotMap};

/// What recovery found, and what it built of that.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) recovered: Recovered,
    /// By core.
    pub(super) indexes: Vec<Index>,
    pub(super) took: Duration,
}

/// A record that is whole and cannot be understood.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Full(#[from] IndexFull),
    #[error("a record of kind {0:?}, which this version does not know; a newer version has written here")]
    Kind(RecordKind),
}

/// Reads the log in `directory` and builds the index of each core: all at once, each core's thread reads all of
/// the log and keeps what is in its slots.
pub(super) fn recover(directory: &Path, slots: SlotMap) -> Result<Recovery, RecoveryError> {
    let began = Instant::now();
    let seed = hash_seed();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..slots.cores())
            .map(|core| scope.spawn(move || recover_core(directory, slots.slots_of(CoreId(core)), seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<_, _>>()
    })?;
    let (recovered, indexes): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let mut recovered = recovered.into_iter();
    let first = recovered.next().expect("there is at least one core");
    assert!(recovered.all(|other| other == first), "two readings of one log differ");
    Ok(Recovery { recovered: first, indexes, took: began.elapsed() })
}

impl Recovery {
    /// How many claims there are.
    pub(super) fn assertions(&self) -> u64 {
        self.indexes.iter().map(Index::len).sum()
    }

    /// Tells what was found.
    pub(super) fn log(&self) {
        let Recovered { records, bytes, tails_dropped, unfinished_retractions, .. } = &self.recovered;
        for tail in tails_dropped {
            tracing::warn!(
                "Dropped {} bytes of an unfinished, never acknowledged commit at offset {} of {}: {}",
                tail.bytes,
                tail.offset,
                tail.path.display(),
                tail.reason
            );
        }
        tracing::info!("Replayed {records} entries from WAL ({bytes} bytes in {:.1?})", self.took);
        if !unfinished_retractions.is_empty() {
            tracing::info!(
                "Completing {} retractions that a crash interrupted",
                unfinished_retractions.len()
            );
        }
        tracing::info!(
            "Rebuilding indexes... {} assertions in {} cores",
            self.assertions(),
            self.indexes.len()
        );
    }
}

fn recover_core(
    directory: &Path,
    own: Range<u16>,
    hash_seed: u64,
) -> Result<(Recovered, Index), RecoveryError> {
    let mut index = Index::new(IndexConfig { bytes_max: u64::MAX, hash_seed });
    let storage = DirStorage::new(directory);
    let recovered = recover_log(&storage, &mut |record| Ok(replay(&mut index, &own, &record)?))?;
    for payload in &recovered.unfinished_retractions {
        let retraction = Retraction::decode(payload).expect("it was decoded when it was replayed");
        index.retract(retraction.path.as_str(), own.clone());
    }
    Ok((recovered, index))
}

/// Applies a record to the index of the core that owns the slots `own`.
fn replay(index: &mut Index, own: &Range<u16>, record: &Replayed<'_>) -> Result<(), ReplayError> {
    match record.kind {
        RecordKind::Assertion => {
            let assertion = Assertion::decode(record.payload)?;
            let slot = Slot::of(assertion.claim.subject.as_str().as_bytes());
            if own.contains(&slot.number()) {
                let order = WriteOrder::new(record.generation.0, record.lsn.0);
                index.insert(&assertion.hash, &assertion.claim, order)?;
            }
        }
        RecordKind::Retraction => {
            let retraction = Retraction::decode(record.payload)?;
            // The record stands for the slots that its lane had in its generation.
            let lane = SlotMap::new(record.lanes).slots_of(CoreId(record.lane.0));
            let both = lane.start.max(own.start)..lane.end.min(own.end);
            index.retract(retraction.path.as_str(), both);
        }
        kind => return Err(ReplayError::Kind(kind)),
    }
    Ok(())
}

/// A number that nobody outside can guess, to key the hash tables.
fn hash_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u64)
}
