//! The directory of the tables and their manifest, as a machine keeps it.
//!
//! What a file holds is synchronised before it gets its name, as `DirTables` and `DirManifest` do it; each call that
//! they make is a step here, at which the machine may go down or the disk may say no. A name that was given, changed or
//! taken away counts for the process at once, and for a power cut when the directory was synchronised; before that, each name
//! may be as it was or as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use stemedb_engine::checkpoint::{Manifest, ManifestStorage, ReplaceError};
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::table::{TableFile, TableNumber, TableSink, TableSource, TableStorage};
use stemedb_tests::Random;

use super::{Disk, SharedDisk, mix};

/// What a file holds.
type Content = Arc<Vec<u8>>;

/// The directory of the tables.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreDirectory {
    /// What a process finds.
    visible: Names,
    /// What a power cut leaves.
    durable: Names,
    /// A file that does not hold what was written.
    lie: Option<FalseContent>,
}

/// What a file holds, and what it ought to hold.
#[derive(Debug, Clone)]
struct FalseContent {
    file: StoreFile,
    lie: Content,
    truth: Content,
}

#[derive(Debug, Default, Clone)]
struct Names {
    tables: BTreeMap<TableNumber, Content>,
    /// Tables that are not finished. Nobody reads them.
    unfinished: BTreeSet<TableNumber>,
    manifest: Option<Content>,
}

/// A file of the directory that must be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFile {
    Manifest,
    Table(TableNumber),
}

/// What becomes of a file that must be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreLie {
    /// One bit is another.
    Rot,
    /// A block is all zeros.
    Lost,
    /// Its last block is missing.
    Cut,
}

impl StoreFile {
    /// How messages name it.
    pub(crate) fn name(self) -> String {
        match self {
            StoreFile::Manifest => "MANIFEST".to_owned(),
            StoreFile::Table(number) => number.to_string(),
        }
    }
}

impl StoreDirectory {
    /// Makes all names durable.
    pub(super) fn sync(&mut self) {
        self.durable = self.visible.clone();
    }

    /// Each name that was not durable is as it was, or as it is. Gives whether one is as it was.
    pub(super) fn cut_power(&mut self, random: &mut Random) -> bool {
        let StoreDirectory { visible, durable, .. } = self;
        let mut numbers: BTreeSet<_> = visible.tables.keys().chain(durable.tables.keys()).copied().collect();
        numbers.retain(|number| visible.tables.contains_key(number) != durable.tables.contains_key(number));
        for number in numbers {
            let from = if random.once_in(2) { &visible.tables } else { &durable.tables };
            match from.get(&number).cloned() {
                Some(content) => durable.tables.insert(number, content),
                None => durable.tables.remove(&number),
            };
        }
        if visible.manifest != durable.manifest && random.once_in(2) {
            durable.manifest.clone_from(&visible.manifest);
        }
        let loose: Vec<_> = visible.unfinished.symmetric_difference(&durable.unfinished).copied().collect();
        for number in loose.into_iter().filter(|_| random.once_in(2)) {
            if !durable.unfinished.insert(number) {
                durable.unfinished.remove(&number);
            }
        }
        let has_lost =
            visible.tables.keys().ne(durable.tables.keys()) || visible.manifest != durable.manifest;
        *visible = durable.clone();
        has_lost
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let tables: usize = self.visible.tables.values().map(|content| content.len()).sum();
        (tables + self.visible.manifest.as_ref().map_or(0, |content| content.len())) as u64
    }

    /// A number that changes with the content of any file.
    pub(super) fn fingerprint(&self) -> u64 {
        let tables = self.visible.tables.values();
        tables.chain(&self.visible.manifest).fold(0, |sum, content| {
            let words = content.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            });
            words.fold(mix(sum, content.len() as u64), mix)
        })
    }
}

impl Names {
    /// The manifest, if there is a sound one.
    fn manifest(&self) -> Option<Manifest> {
        Manifest::decode(self.manifest.as_ref()?).ok()
    }

    fn content(&mut self, file: StoreFile) -> Option<&mut Content> {
        match file {
            StoreFile::Manifest => self.manifest.as_mut(),
            StoreFile::Table(number) => self.tables.get_mut(&number),
        }
    }

    /// Whether the file is there as the lie has it: it may have been replaced or removed.
    fn shows(&mut self, lied: &FalseContent) -> bool {
        self.content(lied.file).is_some_and(|content| Arc::ptr_eq(content, &lied.lie))
    }
}

impl Disk {
    /// Changes a table that counts, or the manifest. Gives which; `None` if there is none, or nothing to change, or one is changed
    /// already: two changes may undo each other.
    pub(crate) fn lie_about_store(&mut self, what: StoreLie) -> Option<StoreFile> {
        let Disk { store: StoreDirectory { visible, durable, lie: lied }, random, .. } = self;
        if lied.as_ref().is_some_and(|lied| visible.shows(lied) || durable.shows(lied)) {
            return None;
        }
        let manifest = visible.manifest()?;
        let mut files = vec![StoreFile::Manifest];
        files.extend(manifest.tables.iter().map(|table| StoreFile::Table(table.facts.number)));
        let file = files[random.within(0..=files.len() as u64 - 1) as usize];
        let truth = Arc::clone(visible.content(file)?);
        let mut bytes = truth.to_vec();
        let at = random.within(0..=bytes.len() as u64 - 1) as usize;
        match what {
            StoreLie::Rot => bytes[at] ^= 1 << random.within(0..=7),
            StoreLie::Lost => {
                let begin = at - at % BLOCK_BYTES;
                let end = bytes.len().min(begin + BLOCK_BYTES);
                bytes[begin..end].fill(0);
            }
            StoreLie::Cut => bytes.truncate(bytes.len().saturating_sub(BLOCK_BYTES)),
        }
        if bytes == *truth {
            return None;
        }
        let lie = Arc::new(bytes);
        for content in [visible, durable].into_iter().filter_map(|names| names.content(file)) {
            // What is not durable yet may be lost all the same.
            if Arc::ptr_eq(content, &truth) {
                *content = Arc::clone(&lie);
            }
        }
        *lied = Some(FalseContent { file, lie, truth });
        Some(file)
    }

    /// Which file of the tables' directory is not what was written. A table that was merged into another one and is not removed yet does
    /// not count: nobody reads it.
    pub(crate) fn lied_about_in_store(&mut self) -> Option<StoreFile> {
        let StoreDirectory { visible, lie, .. } = &mut self.store;
        let file = lie.as_ref().filter(|lied| visible.shows(lied)).map(|lied| lied.file)?;
        let is_listed = match file {
            StoreFile::Manifest => true,
            StoreFile::Table(number) => visible.manifest().is_some_and(|manifest| manifest.lists(number)),
        };
        is_listed.then_some(file)
    }

    /// Puts back what was written.
    pub(crate) fn repair_store(&mut self) {
        let StoreDirectory { visible, durable, lie } = &mut self.store;
        let Some(lied) = lie.take() else { return };
        for names in [visible, durable] {
            if names.shows(&lied) {
                *names.content(lied.file).expect("it was just seen") = Arc::clone(&lied.truth);
            }
        }
    }

    /// The numbers of all finished tables.
    pub(crate) fn tables(&self) -> Vec<TableNumber> {
        self.store.visible.tables.keys().copied().collect()
    }

    /// A step that needs room.
    pub(super) fn step_with_room(&mut self) -> io::Result<()> {
        self.step()?;
        if self.is_full { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn sync_store(&mut self) -> io::Result<()> {
        self.step()?;
        self.store.sync();
        Ok(())
    }
}

impl TableStorage for SharedDisk {
    /// What finds no room is seen where it is written.
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn list(&self) -> io::Result<Vec<TableFile>> {
        let mut disk = self.get();
        disk.read_step(None::<TableNumber>)?;
        let file =
            |(&number, content): (&TableNumber, &Content)| TableFile { number, bytes: content.len() as u64 };
        Ok(disk.store.visible.tables.iter().map(file).collect())
    }

    fn open(&self, number: TableNumber) -> io::Result<Box<dyn TableSource>> {
        let mut disk = self.get();
        disk.read_step(Some(number))?;
        if !disk.store.visible.tables.contains_key(&number) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(Box::new(Source { disk: self.clone(), number }))
    }

    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>> {
        let mut disk = self.get();
        if disk.store.visible.tables.contains_key(&number) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        disk.step_with_room()?;
        disk.store.visible.unfinished.insert(number);
        drop(disk);
        Ok(Box::new(Sink { disk: self.clone(), number, bytes: Vec::new() }))
    }

    fn remove(&self, number: TableNumber) -> io::Result<()> {
        let mut disk = self.get();
        disk.step()?;
        disk.store.visible.tables.remove(&number).ok_or(ErrorKind::NotFound)?;
        disk.sync_store()
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let mut disk = self.get();
        disk.step()?;
        disk.store.visible.unfinished.clear();
        disk.sync_store()
    }

    fn path(&self, number: TableNumber) -> PathBuf {
        PathBuf::from(number.to_string())
    }
}

impl ManifestStorage for SharedDisk {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut disk = self.get();
        disk.read_step(Some(StoreFile::Manifest.name()))?;
        Ok(disk.store.visible.manifest.as_ref().map(|content| content.to_vec()))
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        let mut disk = self.get();
        disk.step_with_room()?;
        disk.step()?;
        disk.step()?;
        disk.store.visible.manifest = Some(Arc::new(bytes.to_vec()));
        disk.sync_store().map_err(ReplaceError::InDoubt)
    }

    fn sync(&self) -> io::Result<()> {
        self.get().sync_store()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(StoreFile::Manifest.name())
    }
}

/// A table that is open: it is read as it is at that moment, also when it is changed or gone by then.
struct Source {
    disk: SharedDisk,
    number: TableNumber,
}

impl TableSource for Source {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.get().store.visible.tables.get(&self.number).map_or(0, |content| content.len() as u64))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.disk.get();
        disk.read_step(Some(self.number))?;
        let Some(content) = disk.store.visible.tables.get(&self.number) else { return Ok(0) };
        let from = content.len().min(offset as usize);
        let count = buffer.len().min(content.len() - from);
        buffer[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }
}

struct Sink {
    disk: SharedDisk,
    number: TableNumber,
    bytes: Vec<u8>,
}

impl TableSink for Sink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.get().step_with_room()?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut disk = self.disk.get();
        // The file, its name, and the directory.
        disk.step()?;
        disk.step()?;
        assert!(disk.store.visible.unfinished.remove(&self.number), "an unfinished table keeps its name");
        disk.store.visible.tables.insert(self.number, Arc::new(bytes));
        disk.sync_store()
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
            disk.store.visible.unfinished.remove(&self.number);
        }
    }
}
