//! The directory of the index snapshots, as a machine keeps it.
//!
//! As `DirSnapshots` does it: what a part holds is synchronised before it gets its name, and the directory after that. Each
//! call is a step at which the machine may go down or the disk may say no.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::snapshots::{Part, PartSink, SnapshotStorage, WholeSnapshot};
use stemedb_tests::Random;

use super::{Disk, SharedDisk, mix};

/// The directory of the snapshots.
#[derive(Debug, Clone, Default)]
pub(super) struct SnapshotDirectory {
    /// What a process finds.
    visible: Names,
    /// What a power cut leaves.
    durable: Names,
    /// Parts that do not hold what was written.
    lied_about: BTreeSet<String>,
}

#[derive(Debug, Default, Clone)]
struct Names {
    finished: BTreeMap<String, Content>,
    /// Parts that are not finished. Nobody reads them.
    unfinished: BTreeSet<String>,
}

/// What a part's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    /// With zeros up to the end of the last block.
    bytes: Arc<Vec<u8>>,
    /// How many bytes were to be written.
    bytes_written: usize,
}

/// What becomes of a part of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotLie {
    /// One bit is another.
    Rot,
    /// A block is all zeros.
    Lost,
    /// Its last block is missing.
    Cut,
    /// Somebody has removed it.
    Gone,
}

impl SnapshotDirectory {
    fn sync(&mut self) {
        self.durable = self.visible.clone();
    }

    /// Each name that was not durable is as it was, or as it is.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        let SnapshotDirectory { visible, durable, lied_about } = self;
        let mut names: BTreeSet<_> =
            visible.finished.keys().chain(durable.finished.keys()).cloned().collect();
        names.retain(|name| visible.finished.get(name) != durable.finished.get(name));
        for name in names.into_iter().filter(|_| random.once_in(2)) {
            match visible.finished.get(&name).cloned() {
                Some(content) => durable.finished.insert(name, content),
                None => durable.finished.remove(&name),
            };
        }
        let loose: Vec<_> = visible.unfinished.symmetric_difference(&durable.unfinished).cloned().collect();
        for name in loose.into_iter().filter(|_| random.once_in(2)) {
            if !durable.unfinished.remove(&name) {
                durable.unfinished.insert(name);
            }
        }
        *visible = durable.clone();
        lied_about.retain(|name| visible.finished.contains_key(name));
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.visible.finished.values().map(|content| content.bytes.len() as u64).sum()
    }

    /// A number that changes with the content of any file.
    pub(super) fn fingerprint(&self) -> u64 {
        self.visible.finished.iter().fold(0, |sum, (name, content)| {
            let bytes = name.as_bytes().chunks(8).chain(content.bytes.chunks(8));
            bytes.fold(sum, |sum, chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                mix(sum, u64::from_le_bytes(word))
            })
        })
    }

    fn parts(&self) -> Vec<Part> {
        self.visible.finished.keys().filter_map(|name| Part::from_file_name(name)).collect()
    }
}

impl Disk {
    /// The newest snapshot that is whole.
    pub(crate) fn whole_snapshot(&self) -> Option<WholeSnapshot> {
        WholeSnapshot::newest(&self.snapshots.parts())
    }

    /// Changes a part of the newest snapshot that is whole, one that still is what was written: two changes may not fit one file, or
    /// undo each other. Gives which; `None` if there is none.
    pub(crate) fn lie_about_snapshot(&mut self, what: SnapshotLie) -> Option<Part> {
        let mut parts = self.whole_snapshot()?.parts;
        parts.retain(|part| !self.is_lied_about(part));
        let Disk { snapshots, random, .. } = self;
        let last = parts.len().checked_sub(1)?;
        let part = parts[random.within(0..=last as u64) as usize].clone();
        let name = part.to_string();
        if what == SnapshotLie::Gone {
            snapshots.visible.finished.remove(&name);
            snapshots.durable.finished.remove(&name);
            return Some(part);
        }
        let Content { bytes: truth, bytes_written } = snapshots.visible.finished[&name].clone();
        let mut bytes = truth.to_vec();
        // Of the zeros behind it nobody says anything.
        let at = random.within(0..=bytes_written as u64 - 1) as usize;
        match what {
            SnapshotLie::Rot => bytes[at] ^= 1 << random.within(0..=7),
            SnapshotLie::Lost => {
                let begin = at - at % BLOCK_BYTES;
                bytes[begin..begin + BLOCK_BYTES].fill(0);
            }
            SnapshotLie::Cut => bytes.truncate(bytes.len() - BLOCK_BYTES),
            SnapshotLie::Gone => panic!("it was just done"),
        }
        let lie = Content { bytes: Arc::new(bytes), bytes_written };
        for names in [&mut snapshots.visible, &mut snapshots.durable] {
            names.finished.entry(name.clone()).and_modify(|content| *content = lie.clone());
        }
        snapshots.lied_about.insert(name);
        Some(part)
    }

    /// Whether a part is not what was written.
    pub(crate) fn is_lied_about(&self, part: &Part) -> bool {
        self.snapshots.lied_about.contains(&part.to_string())
    }
}

impl SnapshotStorage for SharedDisk {
    fn list(&self) -> io::Result<Vec<Part>> {
        Ok(self.get().snapshots.parts())
    }

    fn open(&self, part: &Part) -> io::Result<Box<dyn Read>> {
        let content = self.get().snapshots.visible.finished.get(&part.to_string()).cloned();
        let Content { bytes, .. } = content.ok_or(ErrorKind::NotFound)?;
        let content = Cursor::new(Bytes(bytes));
        Ok(Box::new(Source { disk: self.clone(), name: part.to_string(), content }))
    }

    fn create(&self, part: &Part) -> io::Result<Box<dyn PartSink>> {
        let mut disk = self.get();
        disk.step_with_room()?;
        disk.snapshots.visible.unfinished.insert(part.to_string());
        drop(disk);
        Ok(Box::new(Sink { disk: self.clone(), name: part.to_string(), bytes: Vec::new() }))
    }

    fn remove(&self, part: &Part) -> io::Result<()> {
        let mut disk = self.get();
        disk.step()?;
        let name = part.to_string();
        disk.snapshots.visible.finished.remove(&name).ok_or(ErrorKind::NotFound)?;
        disk.snapshots.lied_about.remove(&name);
        disk.step()?;
        disk.snapshots.sync();
        Ok(())
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let mut disk = self.get();
        disk.step()?;
        disk.snapshots.visible.unfinished.clear();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.get();
        disk.step()?;
        disk.snapshots.sync();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(if self.get().is_full { 0 } else { u64::MAX })
    }

    fn path(&self, part: &Part) -> PathBuf {
        PathBuf::from(part.to_string())
    }
}

/// A part that is being read.
struct Source {
    disk: SharedDisk,
    name: String,
    content: Cursor<Bytes>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.get().read_step(Some(&self.name))?;
        self.content.read(buffer)
    }
}

/// Bytes that are shared with the file.
struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

struct Sink {
    disk: SharedDisk,
    name: String,
    bytes: Vec<u8>,
}

impl PartSink for Sink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.get().step_with_room()?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<u64> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let bytes_written = bytes.len();
        bytes.resize(bytes_written.next_multiple_of(BLOCK_BYTES), 0);
        let file_bytes = bytes.len() as u64;
        let mut disk = self.disk.get();
        // What is left of it, what it holds, its name, and the directory.
        disk.step_with_room()?;
        disk.step()?;
        disk.step()?;
        let snapshots = &mut disk.snapshots;
        assert!(snapshots.visible.unfinished.remove(&self.name), "an unfinished part keeps its name");
        let content = Content { bytes: Arc::new(bytes), bytes_written };
        snapshots.visible.finished.insert(self.name.clone(), content);
        disk.step()?;
        disk.snapshots.sync();
        Ok(file_bytes)
    }
}

impl Drop for Sink {
    /// What was not finished is removed, if there is somebody who can.
    fn drop(&mut self) {
        // Whoever broke a promise may have had the disk.
        if std::thread::panicking() {
            return;
        }
        let mut disk = self.disk.get();
        if !disk.is_down() {
            disk.snapshots.visible.unfinished.remove(&self.name);
        }
    }
}
