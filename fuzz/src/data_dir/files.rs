//! The files of a whole store, and the storages that hold them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use stemedb_engine::checkpoint::{ManifestStorage, MemoryManifest};
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{LogDisk, LogStorage, MemoryStorage, SegmentFile};
use stemedb_engine::snapshots::{MemorySnapshots, Part, SnapshotNumber, SnapshotStorage};
use stemedb_engine::table::{MemoryTables, TableNumber, TableStorage};

/// A file of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Manifest,
    Segment(SegmentId),
    Table(TableNumber),
    /// A part of an index snapshot: its number, its first slot and the one after its last.
    Part(u64, u16, u16),
}

impl Name {
    fn of_part(part: &Part) -> Name {
        Name::Part(part.number.0, part.slots.start, part.slots.end)
    }
}

/// As the files are called, and messages name them.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Name::Manifest => f.write_str("MANIFEST"),
            Name::Segment(id) => id.fmt(f),
            Name::Table(number) => number.fmt(f),
            Name::Part(number, start, end) => part(number, start, end).fmt(f),
        }
    }
}

fn part(number: u64, start: u16, end: u16) -> Part {
    Part { number: SnapshotNumber(number), slots: start..end }
}

/// What the files hold.
pub(super) type Files = BTreeMap<Name, Vec<u8>>;

/// The storages of a store.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) log: SharedLog,
    pub(super) tables: MemoryTables,
    pub(super) manifest: MemoryManifest,
    pub(super) snapshots: MemorySnapshots,
}

impl Disk {
    pub(super) fn of(files: &Files) -> Disk {
        let disk = Disk::default();
        for (&name, bytes) in files {
            let bytes = bytes.clone();
            match name {
                Name::Manifest => disk.manifest.replace(&bytes).expect("memory takes every write"),
                Name::Segment(id) => drop(disk.log.get().segments.insert(id, bytes)),
                Name::Table(number) => disk.tables.insert(number, bytes),
                Name::Part(number, start, end) => disk.snapshots.insert(&part(number, start, end), bytes),
            }
        }
        disk
    }

    pub(super) fn files(&self) -> Files {
        const THERE: &str = "memory can be read, and what is listed is there";
        let mut files = Files::new();
        files.extend(self.manifest.read().expect(THERE).map(|bytes| (Name::Manifest, bytes)));
        let log = self.log.get();
        files.extend(log.segments.iter().map(|(id, bytes)| (Name::Segment(*id), bytes.clone())));
        let tables = self.tables.list().expect(THERE).into_iter().map(|file| file.number);
        files.extend(tables.map(|number| (Name::Table(number), self.tables.bytes(number).expect(THERE))));
        let parts = self.snapshots.list().expect(THERE).into_iter();
        files.extend(parts.map(|part| (Name::of_part(&part), self.snapshots.bytes(&part).expect(THERE))));
        files
    }
}

/// A log in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLog(Arc<Mutex<MemoryStorage>>);

impl SharedLog {
    pub(super) fn get(&self) -> MutexGuard<'_, MemoryStorage> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl LogStorage for SharedLog {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        self.get().list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.get().read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.get().path(segment)
    }
}

impl LogDisk for SharedLog {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.get().prepare(segment, bytes)
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.get().write(segment, offset, bytes)
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.get().sync(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.get().sync_names()
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.get().truncate(segment, bytes)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.get().remove(segment)
    }
}
