//! Reading the newest snapshot, by any number of cores.

use std::path::PathBuf;
use std::time::Instant;

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::index::IndexLoader;
use stemedb_engine::log::recovery::Recovered;
use stemedb_engine::slot::{CoreId, SlotMap};
use stemedb_engine::snapshots::{Part, Position, SnapshotNumber, SnapshotStorage, WholeSnapshot};

use super::rebuild::{Basis, PartError, Rebuild, restore_part};
use super::{Hands, RebuildError};

/// What each core begins with.
pub(super) struct Restored {
    /// By core.
    pub(super) rebuilds: Vec<Rebuild>,
    /// Where that is from.
    pub(super) used: Option<UsedSnapshot>,
    /// Whether there was a snapshot that was of no use, all of it or a part.
    pub(super) failed: bool,
}

/// A snapshot that a start used.
#[derive(Debug)]
pub struct UsedSnapshot {
    /// Which.
    pub number: SnapshotNumber,
    /// How many claims it had.
    pub claims: u64,
    /// What its parts hold, with their files; none of a part that was of no use.
    positions: Vec<(PathBuf, Option<Position>)>,
}

impl UsedSnapshot {
    /// Whether all of its parts were of use.
    pub fn is_all(&self) -> bool {
        self.positions.iter().all(|(_, position)| position.is_some())
    }

    /// When it was begun, in microseconds since 1970.
    pub(in crate::server) fn taken_us(&self) -> u64 {
        let taken = self.positions.iter().find_map(|(_, position)| *position);
        taken.map_or(0, |position| position.taken.0.unsigned_abs())
    }

    /// The checkpoints that all of its parts hold.
    pub fn checkpoints(&self) -> u64 {
        let checkpoints = |position: &Option<Position>| position.map_or(0, |position| position.checkpoints);
        self.positions.iter().map(|(_, position)| checkpoints(position)).min().unwrap_or(0)
    }

    /// Why it is not one of this store, if it is not.
    pub(super) fn mismatch(&self, manifest: &Manifest, recovered: &Recovered) -> Option<String> {
        self.positions.iter().find_map(|(path, position)| {
            let mismatch = position.as_ref()?.check(manifest, recovered).err()?;
            Some(format!("Index snapshot {} does not belong to this log: {mismatch}", path.display()))
        })
    }
}

/// Reads the newest whole snapshot in `storage`, if there is one, for the cores of `slots`.
///
/// # Errors
///
/// When the claims of a snapshot do not fit. Whatever else is wrong with one is told, and what it would have had is to be read from tables
/// and log.
pub(super) fn restore(
    storage: &(dyn SnapshotStorage + Sync),
    slots: SlotMap,
    hash_seed: u64,
    hands: Hands,
) -> Result<Restored, RebuildError> {
    let listed = storage.list().unwrap_or_else(|error| {
        tracing::warn!("Index snapshots cannot be listed, rebuilding the indexes without them: {error}");
        Vec::new()
    });
    let own = || (0..slots.cores()).map(|core| slots.slots_of(CoreId(core)));
    let Some(WholeSnapshot { number, parts }) = WholeSnapshot::newest(&listed) else {
        if let Some(part) = listed.first() {
            let path = storage.path(part);
            tracing::warn!(
                "Index snapshot {} is not whole, rebuilding the indexes without it",
                path.display()
            );
        }
        let rebuilds =
            own().map(|own| Rebuild::new(own.clone(), vec![Basis::nothing(own)], hash_seed)).collect();
        return Ok(Restored { rebuilds, used: None, failed: !listed.is_empty() });
    };
    let began = Instant::now();
    let is_of_these_cores = parts.iter().map(|part| part.slots.clone()).eq(own());
    let reading = Reading { storage, parts: &parts, hash_seed, hands };
    let (rebuilds, positions) =
        if is_of_these_cores { reading.in_place()? } else { reading.copied(own().collect())? };
    let claims = rebuilds.iter().map(Rebuild::claims).sum();
    let paths = parts.iter().map(|part| storage.path(part));
    let used = UsedSnapshot { number, claims, positions: paths.zip(positions).collect() };
    if claims > 0 {
        tracing::info!(
            "Restored {claims} assertions from index snapshot {} in {:.1?}",
            number.0,
            began.elapsed()
        );
    }
    Ok(Restored { rebuilds, failed: !used.is_all(), used: Some(used) })
}

/// A snapshot that is being read.
struct Reading<'a> {
    storage: &'a (dyn SnapshotStorage + Sync),
    parts: &'a [Part],
    hash_seed: u64,
    hands: Hands,
}

/// What each core begins with, and what each part holds.
type Read = (Vec<Rebuild>, Vec<Option<Position>>);

impl Reading<'_> {
    /// Each core reads the part that it once wrote.
    fn in_place(&self) -> Result<Read, RebuildError> {
        let read = self.hands.for_all(self.parts, |part| {
            let own = part.slots.clone();
            Ok(match self.part(part) {
                Some((index, position)) => (Rebuild::with(own, index, &position), Some(position)),
                None => (Rebuild::new(own.clone(), vec![Basis::nothing(own)], self.hash_seed), None),
            })
        })?;
        Ok(read.into_iter().unzip())
    }

    /// The cores own other slots than those that wrote the snapshot: one part after the other is read, and each core copies what is
    /// its own. So only one part is in memory twice.
    fn copied(&self, own: Vec<std::ops::Range<u16>>) -> Result<Read, RebuildError> {
        let begin = |own: std::ops::Range<u16>| Rebuild::new(own, Vec::new(), self.hash_seed);
        let mut rebuilds: Vec<Rebuild> = own.into_iter().map(begin).collect();
        let mut positions = Vec::new();
        for part in self.parts {
            let read = self.part(part).map(|(index, position)| (index.finish(), position));
            let position = read.as_ref().map(|(_, position)| *position);
            self.hands.for_all(&mut rebuilds, |rebuild| {
                let index = read.as_ref().map(|(index, _)| index);
                rebuild.add(index, &part.slots, position.as_ref()).map_err(RebuildError::Full)
            })?;
            positions.push(position);
        }
        Ok((rebuilds, positions))
    }

    /// Reads a part. `None`, after a warning, if it is of no use.
    fn part(&self, part: &Part) -> Option<(IndexLoader, Position)> {
        let read = restore_part(self.storage, part, self.hash_seed);
        read.inspect_err(|error: &PartError| {
            let path = self.storage.path(part);
            tracing::warn!(
                "Index snapshot {} is of no use, rebuilding its part of the indexes without it: {error}",
                path.display()
            );
        })
        .ok()
    }
}
