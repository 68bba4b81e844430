//! A disk that tears, loses, delays and refuses writes, rots, and lies.
//!
//! What a write leaves behind follows what disks promise: a write that was reported durable stays; one under way
//! leaves any of its sectors; one that failed may have left some. Names of files are as durable as their directory.
//! Beyond what disks promise, a few blocks rot or get written elsewhere: see [`lie`].

mod faults;
mod lie;
mod shared;
mod snapshots;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{LogDisk, LogStorage, SegmentFile};
use stemedb_tests::Random;

use faults::Faults;
pub(crate) use faults::{FailedRead, Failure};
pub(crate) use lie::Lie;
use lie::Lied;
pub(crate) use shared::SharedDisk;
use snapshots::SnapshotDirectory;
pub(crate) use snapshots::SnapshotLie;
use store::StoreDirectory;
pub(crate) use store::{StoreFile, StoreLie};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

const SECTORS_A_BLOCK: usize = BLOCK_BYTES / SECTOR_BYTES;

type Block = Box<[u8; BLOCK_BYTES]>;

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process ends; what it wrote stays in the memory of kernel and disk.
    Kill,
    /// What is not durable is lost, or some of it.
    PowerCut,
}

/// The files of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    files: BTreeMap<SegmentId, File>,
    store: StoreDirectory,
    snapshots: SnapshotDirectory,
    /// Removed, but their directory has not been made durable since.
    removed: BTreeMap<SegmentId, File>,
    random: Random,
    /// What is to go wrong in a start or a step of upkeep.
    faults: Faults,
    /// Whether a segment, a table or a manifest finds room.
    pub(crate) is_full: bool,
    /// Blocks whose content is not what was written there, and what it ought to be.
    lies: BTreeMap<(SegmentId, u64), Lied>,
    /// Files that are gone or replaced, as they ought to be.
    files_taken: BTreeMap<SegmentId, File>,
    /// How many lanes the generation has that was opened last.
    lanes_opened: u16,
    /// A block that cannot be read.
    unreadable: Option<(SegmentId, u64)>,
    /// Durable writes in the order in which they ended.
    written: Vec<Written>,
    /// Counts whatever is done.
    moment: u64,
    /// What has gone wrong with writes and names, by its kind.
    losses: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: u64,
    /// By number; blocks of zeros may be left out.
    blocks: BTreeMap<u64, Block>,
    /// What a power cut may bring back, in whole or in part, where the content is not durable.
    durable: BTreeMap<u64, Option<Block>>,
    /// The file before it was cut, if that is not durable.
    uncut: Option<(u64, BTreeMap<u64, Block>)>,
    is_name_durable: bool,
}

/// A durable write.
#[derive(Debug, Clone, Copy)]
struct Written {
    segment: SegmentId,
    offset: u64,
    bytes: u64,
    began: u64,
    ended: u64,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new(random: Random) -> Disk {
        Disk {
            files: BTreeMap::new(),
            store: StoreDirectory::default(),
            snapshots: SnapshotDirectory::default(),
            removed: BTreeMap::new(),
            random,
            faults: Faults::default(),
            is_full: false,
            lies: BTreeMap::new(),
            files_taken: BTreeMap::new(),
            lanes_opened: 0,
            unreadable: None,
            written: Vec::new(),
            moment: 0,
            losses: BTreeMap::new(),
        }
    }

    /// What has gone wrong with writes and names, by its kind, since this was asked last.
    pub(crate) fn take_losses(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.losses)
    }

    /// A generation of so many lanes is open.
    pub(crate) fn opened(&mut self, lanes: u16) {
        self.lanes_opened = lanes;
    }

    /// A number that grows with whatever is written.
    pub(crate) fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Does a write that began at `began`, durably. `bytes` are whole blocks, or less if it is a short write.
    pub(crate) fn write_durable(&mut self, segment: SegmentId, offset: u64, bytes: &[u8], began: u64) {
        let file = self.files.get_mut(&segment).expect("a lane writes to segments that are there");
        assert!(offset + bytes.len() as u64 <= file.bytes, "a write beyond the end of {segment}");
        for (block, bytes) in blocks(offset).zip(bytes.chunks(BLOCK_BYTES)) {
            file.put(block, bytes);
            file.durable.remove(&block);
            self.lies.remove(&(segment, block));
        }
        let ended = self.moment();
        self.written.push(Written { segment, offset, bytes: bytes.len() as u64, began, ended });
    }

    /// Leaves some of a write's sectors, none of them durable: it failed, or the process has ended while it was under way. In
    /// what is left a bit may be wrong: nobody was promised anything. Gives whether all of them are left.
    pub(crate) fn write_partly(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> bool {
        let keep = Kept::new(&mut self.random, bytes.len() / SECTOR_BYTES);
        let Some(file) = self.files.get_mut(&segment) else { return false };
        let mut kept = Vec::new();
        for (at, (block, bytes)) in blocks(offset).zip(bytes.chunks(BLOCK_BYTES)).enumerate() {
            let mut content = file.content(block);
            let mut changed = false;
            for (sector, bytes) in bytes.chunks(SECTOR_BYTES).enumerate() {
                let is_kept = keep.keeps(&mut self.random, at * SECTORS_A_BLOCK + sector);
                kept.push(is_kept);
                if is_kept {
                    content[sector * SECTOR_BYTES..][..bytes.len()].copy_from_slice(bytes);
                    changed = true;
                }
            }
            if changed {
                if self.random.once_in(20) {
                    count(&mut self.losses, "unfinished write: a wrong bit");
                    let at = self.random.within(0..=BLOCK_BYTES as u64 - 1) as usize;
                    content[at] ^= 1 << self.random.within(0..=7);
                }
                file.note_durable(block);
                file.put(block, &content[..]);
                self.lies.remove(&(segment, block));
            }
        }
        let is_whole = kept.iter().all(|is_kept| *is_kept);
        let kind = match kept.iter().position(|is_kept| !is_kept) {
            None => "unfinished write: all of it is left",
            Some(_) if !kept.contains(&true) => "unfinished write: nothing is left",
            Some(first) if !kept[first..].contains(&true) => "unfinished write: its beginning is left",
            Some(_) => "unfinished write: some sectors are left",
        };
        count(&mut self.losses, kind);
        is_whole
    }

    /// A prepared segment appears under its name, which is not yet durable.
    pub(crate) fn appear(&mut self, segment: SegmentId, bytes: u64) {
        self.removed.remove(&segment);
        self.drop_lies(segment);
        self.files.insert(segment, File { bytes, ..File::default() });
    }

    /// Makes all names durable.
    pub(crate) fn sync_directory(&mut self) {
        self.files.values_mut().for_each(|file| file.is_name_durable = true);
        self.removed.clear();
    }

    /// The machine goes down. What is to become of writes under way has been said before.
    pub(crate) fn crash(&mut self, crash: Crash) {
        self.faults = Faults::default();
        if crash == Crash::Kill {
            return;
        }
        if self.store.cut_power(&mut self.random) {
            count(&mut self.losses, "power cut: a name of tables or manifest as it was");
        }
        self.snapshots.cut_power(&mut self.random);
        let Disk { files, removed, random, lies, losses, .. } = self;
        let came_back: Vec<_> = removed.keys().copied().filter(|_| random.once_in(2)).collect();
        for segment in came_back {
            count(losses, "power cut: a removed segment is back");
            files.entry(segment).or_insert_with(|| removed.remove(&segment).expect("it was just listed"));
        }
        removed.clear();
        files.retain(|segment, file| {
            let stays = file.is_name_durable || random.once_in(2);
            if !stays {
                count(losses, "power cut: the name of a segment is gone");
                lies.retain(|(lied, _), _| lied != segment);
            }
            stays
        });
        for file in files.values_mut() {
            file.is_name_durable = true;
            if file.lose(random) {
                count(losses, "power cut: blocks of a segment as they were");
            }
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum::<u64>() + self.store.bytes() + self.snapshots.bytes()
    }

    /// A number that changes with the content of any file.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut fingerprint = mix(self.store.fingerprint(), self.snapshots.fingerprint());
        for (id, file) in &self.files {
            fingerprint = mix(fingerprint, u64::from(id.lane.0) << 48 | id.number.0);
            fingerprint = mix(fingerprint, file.bytes);
            for (number, block) in &file.blocks {
                let sum = block.chunks_exact(8).fold(*number, |sum, word| {
                    mix(sum, u64::from_le_bytes(word.try_into().expect("chunks of eight bytes")))
                });
                fingerprint = mix(fingerprint, sum);
            }
        }
        fingerprint
    }
}

impl File {
    fn content(&self, block: u64) -> Block {
        self.blocks.get(&block).cloned().unwrap_or_else(|| Box::new([0; BLOCK_BYTES]))
    }

    fn put(&mut self, block: u64, bytes: &[u8]) {
        let content = self.blocks.entry(block).or_insert_with(|| Box::new([0; BLOCK_BYTES]));
        content[..bytes.len()].copy_from_slice(bytes);
    }

    /// Notes what is durable in a block that is about to be changed in a way that is not.
    fn note_durable(&mut self, block: u64) {
        let content = self.blocks.get(&block).cloned();
        self.durable.entry(block).or_insert(content);
    }

    /// Loses what is not durable, or some of it. Gives whether a block is not what it was.
    fn lose(&mut self, random: &mut Random) -> bool {
        if let Some((bytes, blocks)) = self.uncut.take()
            && random.once_in(2)
        {
            self.bytes = bytes;
            self.blocks = blocks;
        }
        let durable = std::mem::take(&mut self.durable);
        let keep = Kept::new(random, durable.len() * SECTORS_A_BLOCK);
        let mut is_changed = false;
        for (at, (block, durable)) in durable.into_iter().enumerate() {
            let mut content = durable.unwrap_or_else(|| Box::new([0; BLOCK_BYTES]));
            let changed = self.content(block);
            for sector in 0..SECTORS_A_BLOCK {
                if keep.keeps(random, at * SECTORS_A_BLOCK + sector) {
                    let bytes = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                    content[bytes.clone()].copy_from_slice(&changed[bytes]);
                }
            }
            is_changed |= content != changed;
            self.blocks.insert(block, content);
        }
        is_changed
    }
}

/// Counts something that has gone wrong.
fn count(losses: &mut BTreeMap<&'static str, u64>, kind: &'static str) {
    *losses.entry(kind).or_default() += 1;
}

/// Which sectors of a write reach the disk.
enum Kept {
    All,
    None,
    /// The first so many.
    Prefix(usize),
    Any,
}

impl Kept {
    fn new(random: &mut Random, sectors: usize) -> Kept {
        match random.within(0..=7) {
            0 | 1 => Kept::All,
            2 => Kept::None,
            3 | 4 => Kept::Prefix(random.within(0..=sectors as u64) as usize),
            _ => Kept::Any,
        }
    }

    fn keeps(&self, random: &mut Random, sector: usize) -> bool {
        match *self {
            Kept::All => true,
            Kept::None => false,
            Kept::Prefix(sectors) => sector < sectors,
            Kept::Any => random.once_in(2),
        }
    }
}

impl LogStorage for Disk {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        Ok(self.files.iter().map(|(&id, file)| SegmentFile { id, bytes: file.bytes }).collect())
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(&segment).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let bytes = (file.bytes.saturating_sub(offset)).min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..bytes];
        buffer.fill(0);
        let Range { start, end } = blocks_of(offset, bytes);
        if self.unreadable.is_some_and(|(bad, block)| bad == segment && (start..end).contains(&block)) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        for (number, block) in file.blocks.range(start..end) {
            let at = (number - start) as usize * BLOCK_BYTES;
            let count = BLOCK_BYTES.min(bytes - at);
            buffer[at..at + count].copy_from_slice(&block[..count]);
        }
        Ok(bytes)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        PathBuf::from(segment.to_string())
    }
}

impl LogDisk for Disk {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.step()?;
        if self.is_full {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.appear(segment, bytes);
        self.step()?;
        self.sync_directory();
        Ok(())
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let began = self.moment();
        if let Err(error) = self.step() {
            self.write_partly(segment, offset, bytes);
            if error.kind() == io::ErrorKind::WriteZero {
                let sectors = self.random.within(0..=(bytes.len() / SECTOR_BYTES) as u64 - 1);
                return Ok(sectors as usize * SECTOR_BYTES);
            }
            return Err(error);
        }
        self.write_durable(segment, offset, bytes, began);
        Ok(bytes.len())
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.step()?;
        let file = self.files.get_mut(&segment).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        file.durable.clear();
        file.uncut = None;
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.step()?;
        self.sync_directory();
        Ok(())
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.step()?;
        let file = self.files.get_mut(&segment).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if file.bytes != bytes {
            file.uncut.get_or_insert_with(|| (file.bytes, file.blocks.clone()));
            file.bytes = bytes;
            let end = bytes.div_ceil(BLOCK_BYTES as u64);
            file.blocks.split_off(&end);
            file.durable.split_off(&end);
            self.lies.retain(|(lied, block), _| *lied != segment || *block < end);
        }
        self.sync(segment)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.step()?;
        let file = self.files.remove(&segment).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if file.is_name_durable {
            self.removed.insert(segment, file);
        }
        self.drop_lies(segment);
        self.step()?;
        self.sync_directory();
        Ok(())
    }
}

/// The numbers of the blocks from `offset` on.
fn blocks(offset: u64) -> impl Iterator<Item = u64> {
    offset / BLOCK_BYTES as u64..
}

fn blocks_of(offset: u64, bytes: usize) -> Range<u64> {
    offset / BLOCK_BYTES as u64..(offset + bytes as u64).div_ceil(BLOCK_BYTES as u64)
}

fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
