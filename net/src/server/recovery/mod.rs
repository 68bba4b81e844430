//! Rebuilds the cores' indexes: from the newest snapshot, what the tables have beyond it, and the log.

mod copied;
mod lost;
mod rebuild;
mod restore;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::checkpoint::{
    DirManifest, GiveUpError, Manifest, OpenTables, ReadError, StoreError, TableSet,
};
use stemedb_engine::index::{Index, IndexFull};
use stemedb_engine::log::recovery::{Recovered, RecoveryError, SegmentRange};
use stemedb_engine::log::storage::{DirStorage, LogStorage};
use stemedb_engine::slot::{CoreId, SlotMap};
use stemedb_engine::snapshots::{DirSnapshots, SnapshotStorage, WriteError};
use stemedb_engine::table::DirTables;

use super::steps::{Step, Steps};
use crate::log_copy::LogCopy;
use copied::Copied;
pub use lost::Lost;
pub(super) use lost::{Agreement, GivenUp, go_on_without};
use lost::{agreed_instead, ranges};
pub use rebuild::rebuild;
use rebuild::{Basis, Filled, Rebuild};
pub use restore::UsedSnapshot;
use restore::{Restored, restore};

/// What recovery found, and what it built of that.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) recovered: Recovered,
    /// What the log is as a copy of a backup, if it is one and has not gone on since: tables may have come further than it.
    pub(super) copied: Option<Recovered>,
    /// Which tables there are, and what they cover.
    pub(super) manifest: Manifest,
    /// The same, open.
    pub(super) tables: Arc<TableSet>,
    /// The snapshot that saved reading most of them, if there was one.
    pub(super) snapshot: Option<UsedSnapshot>,
    /// Whether there was one that was of no use, all of it or a part.
    pub(super) snapshot_failed: bool,
    /// By core.
    pub(super) indexes: Vec<Index>,
    pub(super) took: Duration,
}

/// Why the index of a core cannot be built. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log cannot be recovered.
    #[error(transparent)]
    Log(#[from] RecoveryError),
    /// Segments of the log are gone, and nothing else is wrong with it.
    #[error(
        "{first}. In all there is no {}{}. Put them back; or start once with --give-up-segments {} (STEMEDB_GIVE_UP_SEGMENTS) to go on without them for good",
        lost.iter().map(ToString::to_string).collect::<Vec<_>>().join("; no "), agreed_instead(.agreed), ranges(.lost)
    )]
    Lost {
        /// What was missed first.
        first: Box<RecoveryError>,
        /// All that is missing.
        lost: Vec<Lost>,
        /// What the operator has agreed to go on without, if it is something else.
        agreed: Vec<SegmentRange>,
    },
    /// Segments that are gone cannot be given up.
    #[error("the segments that are missing cannot be given up")]
    GiveUp(#[from] GiveUpError),
    /// Index snapshots, which may have claims of segments that are given up, cannot be removed.
    #[error("index snapshots cannot be removed, which may have claims of the missing segments")]
    Snapshots(#[from] WriteError),
    /// The list of the tables, or a table, is not as it must be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The claims of a table cannot be read.
    #[error("{0}. Nothing on disk was changed; docs/operations/recovery.md says what to do")]
    Table(#[from] ReadError),
    /// The claims of the tables do not fit into memory.
    #[error("the claims of the tables do not fit into the index")]
    Full(#[source] IndexFull),
    /// The note in the log's directory, which says that it is a copy, cannot be read.
    #[error("cannot read {path}, which says of which backup the log is a copy: {source}")]
    Copy {
        /// The note.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A claim of the copied log should be in the tables.
    #[error(
        "the log in {wal} is a copy of {backup}, but the tables in {db} have come from another log: the claim {claim} is in the          copy, and the tables, which cover that part, do not have it. Nothing on disk was changed; restore log and tables          together with stemedb-admin restore"
    )]
    OtherLog {
        /// The directory of the log.
        wal: PathBuf,
        /// The directory of the tables.
        db: PathBuf,
        /// The backup.
        backup: String,
        /// The claim's hash.
        claim: String,
    },
}

/// Reads the snapshot, the tables in `db` and the log in `wal` and builds the index of each core: see [`rebuild_all`].
///
/// The log may be a `copy` that is older than the tables. Then snapshots, which may be of what was in its place, are of no use.
pub(super) fn recover(
    wal: &Path,
    db: &Path,
    copy: Option<&LogCopy>,
    slots: SlotMap,
) -> Result<Recovery, RebuildError> {
    let began = Instant::now();
    let mut tables = OpenTables::open(&DirManifest::new(db), &DirTables::new(db))?;
    if copy.is_some() {
        let files = DirStorage::new(wal).list().map_err(|source| RecoveryError::List { source })?;
        tables.go_on_from_copy(&files);
    }
    let snapshots = DirSnapshots::new(db);
    let sources = Sources {
        log: &|| Box::new(DirStorage::new(wal)),
        tables: &tables,
        snapshots: match copy {
            None => Some(&snapshots),
            Some(_) => None,
        },
    };
    let rebuilt = rebuild_all(&sources, slots, hash_seed(), Hands::Threads)?;
    let Rebuilt { recovered, indexes, snapshot, snapshot_failed } = rebuilt;
    let copied = match copy {
        Some(copy) => Copied::of(copy, wal, db)?.check(&recovered, &tables, slots, &indexes)?,
        None => None,
    };
    Ok(Recovery {
        recovered,
        copied,
        manifest: tables.manifest().clone(),
        tables: Arc::new(tables.set()),
        snapshot,
        snapshot_failed,
        indexes,
        took: began.elapsed(),
    })
}

/// What the indexes are built of.
pub struct Sources<'a> {
    /// The log, opened once by each of those who read it.
    pub log: &'a (dyn Fn() -> Box<dyn LogStorage + 'a> + Sync),
    /// The tables.
    pub tables: &'a OpenTables,
    /// Snapshots of the indexes, if any may be of use.
    pub snapshots: Option<&'a (dyn SnapshotStorage + Sync)>,
}

/// What was built.
#[derive(Debug)]
pub struct Rebuilt {
    /// What the log says of its end.
    pub recovered: Recovered,
    /// By core.
    pub indexes: Vec<Index>,
    /// The snapshot that saved reading most of the tables, if there was one.
    pub snapshot: Option<UsedSnapshot>,
    /// Whether there was one that was of no use, all of it or a part.
    pub snapshot_failed: bool,
}

/// Who does what is to be done for each core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hands {
    /// A thread for each, all at once.
    Threads,
    /// The caller, for one after the other.
    Caller,
}

/// Builds the index of each core: each reads its slots of the snapshot, then of the tables, then all of the log, and keeps what is in
/// its slots. `hash_seed` keys the hash tables.
///
/// What is wrong with a snapshot is told, and makes this slower, but no error.
///
/// # Errors
///
/// When a table or the log is damaged, or holds a record that cannot be understood.
pub fn rebuild_all(
    sources: &Sources<'_>,
    slots: SlotMap,
    hash_seed: u64,
    hands: Hands,
) -> Result<Rebuilt, RebuildError> {
    let manifest = sources.tables.manifest();
    let list_log = || (sources.log)().list().map_err(|source| RecoveryError::List { source });
    let is_empty = manifest.tables.is_empty() && list_log()?.is_empty();
    let restored = match sources.snapshots {
        Some(snapshots) => restore(snapshots, slots, hash_seed, hands)?,
        None => Restored { rebuilds: from_nothing(slots, hash_seed), used: None, failed: false },
    };
    let Restored { mut rebuilds, mut used, failed: mut snapshot_failed } = restored;
    let mut rebuilding = Rebuilding::begin(used.as_ref().is_some_and(UsedSnapshot::is_all) || is_empty);
    let (recovered, filled) = loop {
        let (recovered, filled) = read(sources, rebuilds, hands)?;
        let Some(mismatch) = used.as_ref().and_then(|used| used.mismatch(manifest, &recovered)) else {
            break (recovered, filled);
        };
        tracing::warn!("{mismatch}; rebuilding the indexes without it");
        (used, snapshot_failed) = (None, true);
        rebuilds = from_nothing(slots, hash_seed);
        rebuilding = Rebuilding::begin(false);
    };
    rebuilding.filled(filled.iter().map(Filled::claims).sum());
    let indexes = hands.for_all(filled, |filled| Ok(filled.finish()))?;
    rebuilding.complete();
    Ok(Rebuilt { recovered, indexes, snapshot: used, snapshot_failed })
}

/// What the cores begin with where there is no snapshot.
fn from_nothing(slots: SlotMap, hash_seed: u64) -> Vec<Rebuild> {
    let own = (0..slots.cores()).map(|core| slots.slots_of(CoreId(core)));
    own.map(|own| Rebuild::new(own.clone(), vec![Basis::nothing(own)], hash_seed)).collect()
}

/// Reads tables and log for all cores.
fn read(
    sources: &Sources<'_>,
    rebuilds: Vec<Rebuild>,
    hands: Hands,
) -> Result<(Recovered, Vec<Filled>), RebuildError> {
    let Sources { log, tables, .. } = sources;
    let results = hands.for_all(rebuilds, |rebuild| rebuild.read(&*log(), tables))?;
    let (recovered, filled): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let mut recovered = recovered.into_iter();
    let first = recovered.next().expect("there is at least one core");
    assert!(recovered.all(|other| other == first), "two readings of one log differ");
    Ok((first, filled))
}

impl Hands {
    /// Does something for each core.
    fn for_all<T: Send, R: Send>(
        self,
        inputs: impl IntoIterator<Item = T>,
        work: impl Fn(T) -> Result<R, RebuildError> + Sync,
    ) -> Result<Vec<R>, RebuildError> {
        let work = &work;
        match self {
            Hands::Caller => inputs.into_iter().map(work).collect(),
            Hands::Threads => thread::scope(|scope| {
                let threads: Vec<_> =
                    inputs.into_iter().map(|input| scope.spawn(move || work(input))).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            }),
        }
    }
}

/// Tells of a rebuild of the indexes, where it is one and not the rest that a snapshot leaves.
struct Rebuilding {
    began: Option<Instant>,
}

impl Rebuilding {
    fn begin(is_needless: bool) -> Rebuilding {
        let began = (!is_needless).then(Instant::now);
        began.inspect(|_| tracing::info!("Index rebuild started..."));
        Rebuilding { began }
    }

    /// All claims are read, and found by subject and predicate; paths are still to be put in order.
    fn filled(&self, claims: u64) {
        if self.began.is_some() {
            tracing::info!("Rebuilding predicate index from {claims} assertions...");
            tracing::info!("Rebuilding concept index...");
        }
    }

    fn complete(&self) {
        if let Some(began) = self.began {
            tracing::info!("Index rebuild complete in {:.1}s", began.elapsed().as_secs_f64());
        }
    }
}

impl Recovery {
    /// How many claims there are.
    pub(super) fn assertions(&self) -> u64 {
        self.indexes.iter().map(Index::len).sum()
    }

    /// Tells what was found.
    pub(super) fn log(&self, steps: &mut Steps<'_>) {
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
        steps.did(
            Step::Replay,
            format_args!("Replayed {records} entries from WAL ({bytes} bytes in {:.1?})", self.took),
        );
        if !unfinished_retractions.is_empty() {
            tracing::info!(
                "Completing {} retractions that a crash interrupted",
                unfinished_retractions.len()
            );
        }
        steps.did(
            Step::Indexes,
            format_args!(
                "Rebuilding indexes... {} assertions in {} cores, {} of them from an index snapshot; {} in {} tables",
                self.assertions(),
                self.indexes.len(),
                self.snapshot.as_ref().map_or(0, |used| used.claims),
                self.manifest.entries(),
                self.manifest.tables.len()
            ),
        );
    }
}

/// A number that nobody outside can guess, to key the hash tables.
fn hash_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u64)
}

#[cfg(test)]
mod tests;
