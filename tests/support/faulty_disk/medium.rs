//! What a disk has, and what it would have after a power cut.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use crate::Random;

/// The inode of the root, as FUSE numbers it.
const ROOT: u64 = 1;

pub(super) const BLOCK_BYTES: usize = 4096;

/// What a disk writes wholly or not at all.
const SECTOR_BYTES: usize = 512;

/// Files and directories, each as programs see it and as it is known to be stable.
#[derive(Debug)]
pub(super) struct Medium {
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    /// Changes of names that are not stable, oldest first.
    names_pending: Vec<NameChange>,
}

#[derive(Debug, Clone)]
pub(super) struct Inode {
    /// The permissions.
    pub(super) mode: u32,
    /// The name that it was given last.
    pub(super) name: String,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    File(File),
    Directory(Directory),
}

#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// As programs see it.
    pub(super) bytes: Vec<u8>,
    /// The length that is stable.
    stable_len: usize,
    /// What is stable of the blocks that were written and not synchronised, by number.
    beneath: BTreeMap<usize, Vec<u8>>,
    /// The same of blocks that could not be synchronised. Programs see what they have written, and the system believes that the
    /// disk has it, so that only what is written again ever becomes stable.
    lost: BTreeMap<usize, Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// As programs see it.
    pub(super) names: BTreeMap<OsString, u64>,
    stable: BTreeMap<OsString, u64>,
}

/// A change of names, which happens wholly or not at all.
#[derive(Debug, Clone)]
enum NameChange {
    Link { directory: u64, name: OsString, inode: u64 },
    Unlink { directory: u64, name: OsString },
    Rename { from: (u64, OsString), to: (u64, OsString) },
}

/// How much a power cut leaves of what was not synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Nothing,
    Some,
    All,
}

impl Medium {
    /// An empty root directory.
    pub(super) fn new() -> Medium {
        let root = Inode { mode: 0o755, name: String::new(), body: Body::Directory(Directory::default()) };
        Medium { inodes: HashMap::from([(ROOT, root)]), next_inode: ROOT + 1, names_pending: Vec::new() }
    }

    pub(super) fn inode(&self, inode: u64) -> Result<&Inode, i32> {
        self.inodes.get(&inode).ok_or(libc::ENOENT)
    }

    pub(super) fn file(&mut self, inode: u64) -> Result<&mut File, i32> {
        match self.inodes.get_mut(&inode).map(|inode| &mut inode.body) {
            Some(Body::File(file)) => Ok(file),
            Some(Body::Directory(_)) => Err(libc::EISDIR),
            None => Err(libc::ENOENT),
        }
    }

    pub(super) fn directory(&self, inode: u64) -> Result<&Directory, i32> {
        match &self.inode(inode)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(libc::ENOTDIR),
        }
    }

    pub(super) fn find(&self, directory: u64, name: &OsStr) -> Result<u64, i32> {
        self.directory(directory)?.names.get(name).copied().ok_or(libc::ENOENT)
    }

    /// Makes a file or directory under a name that must be free.
    pub(super) fn make(&mut self, directory: u64, name: &OsStr, mode: u32, body: Body) -> Result<u64, i32> {
        if self.find(directory, name).is_ok() {
            return Err(libc::EEXIST);
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode { mode, name: name.to_string_lossy().into_owned(), body });
        self.change_names(NameChange::Link { directory, name: name.to_owned(), inode });
        Ok(inode)
    }

    pub(super) fn unlink(&mut self, directory: u64, name: &OsStr) -> Result<(), i32> {
        self.find(directory, name)?;
        self.change_names(NameChange::Unlink { directory, name: name.to_owned() });
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        must_be_new: bool,
    ) -> Result<(), i32> {
        let inode = self.find(from.0, from.1)?;
        if must_be_new && self.find(to.0, to.1).is_ok() {
            return Err(libc::EEXIST);
        }
        let change = NameChange::Rename { from: (from.0, from.1.to_owned()), to: (to.0, to.1.to_owned()) };
        self.change_names(change);
        self.inodes.get_mut(&inode).expect("it was found").name = to.1.to_string_lossy().into_owned();
        Ok(())
    }

    pub(super) fn set_mode(&mut self, inode: u64, mode: u32) -> Result<(), i32> {
        self.inodes.get_mut(&inode).ok_or(libc::ENOENT)?.mode = mode;
        Ok(())
    }

    /// Makes the names in a directory stable, those that came or went by renaming included.
    pub(super) fn sync_directory(&mut self, inode: u64) -> Result<(), i32> {
        self.directory(inode)?;
        let (stable, pending) =
            std::mem::take(&mut self.names_pending).into_iter().partition(|change| change.concerns(inode));
        self.names_pending = pending;
        let stable: Vec<NameChange> = stable;
        stable.iter().for_each(|change| self.apply(change, |directory| &mut directory.stable));
        Ok(())
    }

    /// What the disk has when the power comes back.
    pub(super) fn after_power_cut(&mut self, random: &mut Random) -> Medium {
        let leaves = match random.within(0..=3) {
            0 => Leaves::Nothing,
            1 => Leaves::All,
            _ => Leaves::Some,
        };
        let pending = std::mem::take(&mut self.names_pending);
        // File systems write changes of names in their order.
        let kept = match leaves {
            Leaves::Nothing => 0,
            Leaves::All => pending.len(),
            Leaves::Some => random.within(0..=pending.len() as u64) as usize,
        };
        pending[..kept].iter().for_each(|change| self.apply(change, |directory| &mut directory.stable));
        // A map has another order in each process, and a seed must choose the same blocks again.
        let mut inodes: Vec<(u64, Inode)> = self.inodes.drain().collect();
        inodes.sort_unstable_by_key(|(number, _)| *number);
        for (_, inode) in &mut inodes {
            match &mut inode.body {
                Body::File(file) => file.cut(leaves, random),
                Body::Directory(directory) => directory.names.clone_from(&directory.stable),
            }
        }
        Medium {
            inodes: inodes.into_iter().collect(),
            next_inode: self.next_inode,
            names_pending: Vec::new(),
        }
    }

    fn change_names(&mut self, change: NameChange) {
        self.apply(&change, |directory| &mut directory.names);
        self.names_pending.push(change);
    }

    fn apply(&mut self, change: &NameChange, names: fn(&mut Directory) -> &mut BTreeMap<OsString, u64>) {
        match change {
            NameChange::Link { directory, name, inode } => {
                self.names_of(*directory, names).insert(name.clone(), *inode);
            }
            NameChange::Unlink { directory, name } => {
                self.names_of(*directory, names).remove(name);
            }
            NameChange::Rename { from, to } => {
                // What was linked in another directory, and is not stable there, cannot come from there.
                if let Some(inode) = self.names_of(from.0, names).remove(&from.1) {
                    self.names_of(to.0, names).insert(to.1.clone(), inode);
                }
            }
        }
    }

    fn names_of(
        &mut self,
        inode: u64,
        names: fn(&mut Directory) -> &mut BTreeMap<OsString, u64>,
    ) -> &mut BTreeMap<OsString, u64> {
        match self.inodes.get_mut(&inode).map(|inode| &mut inode.body) {
            Some(Body::Directory(directory)) => names(directory),
            _ => panic!("names are in directories"),
        }
    }
}

impl NameChange {
    fn concerns(&self, inode: u64) -> bool {
        match self {
            NameChange::Link { directory, .. } | NameChange::Unlink { directory, .. } => *directory == inode,
            NameChange::Rename { from, to } => from.0 == inode || to.0 == inode,
        }
    }
}

impl File {
    pub(super) fn read(&self, offset: usize, bytes: usize) -> &[u8] {
        let begin = offset.min(self.bytes.len());
        &self.bytes[begin..(begin + bytes).min(self.bytes.len())]
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.keep_beneath(offset, end);
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.bytes.len() {
            self.keep_beneath(len, self.bytes.len());
        }
        self.bytes.resize(len, 0);
    }

    /// Makes all stable that was written since this was tried last.
    pub(super) fn sync(&mut self) {
        for block in std::mem::take(&mut self.beneath).into_keys() {
            self.lost.remove(&block);
        }
        self.stable_len = self.bytes.len();
    }

    /// Gives up what was to be made stable, as kernels do (fsync(2), EIO): nothing is written by trying it again.
    pub(super) fn sync_failed(&mut self) {
        for (block, stable) in std::mem::take(&mut self.beneath) {
            self.lost.entry(block).or_insert(stable);
        }
    }

    /// Makes a part stable, and a length that it lies within.
    pub(super) fn sync_range(&mut self, offset: usize, end: usize) {
        for block in offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES) {
            self.beneath.remove(&block);
            self.lost.remove(&block);
        }
        self.stable_len = self.stable_len.max(end);
    }

    /// Notes what is stable of the blocks of a part that is about to change.
    fn keep_beneath(&mut self, offset: usize, end: usize) {
        for block in offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES) {
            let File { bytes, beneath, lost, .. } = self;
            let begin = (block * BLOCK_BYTES).min(bytes.len());
            let end = (begin + BLOCK_BYTES).min(bytes.len());
            let stable = || lost.get(&block).cloned().unwrap_or_else(|| bytes[begin..end].to_vec());
            beneath.entry(block).or_insert_with(stable);
        }
    }

    /// Forgets some of what is not stable.
    fn cut(&mut self, leaves: Leaves, random: &mut Random) {
        let keeps_len = match leaves {
            Leaves::Nothing => false,
            Leaves::Some => random.once_in(2),
            Leaves::All => true,
        };
        if !keeps_len {
            self.bytes.resize(self.stable_len, 0);
        }
        let mut unstable = std::mem::take(&mut self.lost);
        unstable.append(&mut self.beneath);
        for (block, stable) in unstable {
            let kept = match leaves {
                Leaves::Nothing => Leaves::Nothing,
                Leaves::All => Leaves::All,
                Leaves::Some => [Leaves::Nothing, Leaves::Some, Leaves::All][random.within(0..=2) as usize],
            };
            self.cut_block(block, &stable, kept, random);
        }
        self.stable_len = self.bytes.len();
    }

    fn cut_block(&mut self, block: usize, stable: &[u8], kept: Leaves, random: &mut Random) {
        let begin = (block * BLOCK_BYTES).min(self.bytes.len());
        let end = (begin + BLOCK_BYTES).min(self.bytes.len());
        for (number, sector) in self.bytes[begin..end].chunks_mut(SECTOR_BYTES).enumerate() {
            let is_kept = match kept {
                Leaves::Nothing => false,
                Leaves::All => true,
                Leaves::Some => random.once_in(2),
            };
            if !is_kept {
                let old = stable.get(number * SECTOR_BYTES..).unwrap_or_default();
                let old = &old[..old.len().min(sector.len())];
                sector.fill(0);
                sector[..old.len()].copy_from_slice(old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a power cut takes what was not synchronised, sooner or later, and never what was. Method: many cuts of
    //! small disks, by different seeds.

    use super::*;

    fn medium_with_file() -> (Medium, u64) {
        let mut medium = Medium::new();
        let inode =
            medium.make(ROOT, OsStr::new("file"), 0o644, Body::File(File::default())).expect("a free name");
        (medium, inode)
    }

    /// What is left of the file, in many worlds.
    fn outcomes(change: impl Fn(&mut Medium, u64)) -> Vec<Option<Vec<u8>>> {
        let outcome = |seed| {
            let (mut medium, inode) = medium_with_file();
            change(&mut medium, inode);
            let mut after = medium.after_power_cut(&mut Random::new(seed));
            let names = after.directory(ROOT).expect("the root").names.clone();
            let inode = names.get(OsStr::new("file")).or(names.get(OsStr::new("renamed")))?;
            Some(after.file(*inode).expect("a file").bytes.clone())
        };
        (0..100).map(outcome).collect()
    }

    #[test]
    fn what_was_synchronised_stays() {
        let stay = outcomes(|medium, inode| {
            medium.file(inode).expect("a file").write(0, &[7; 9000]);
            medium.file(inode).expect("a file").sync();
            medium.sync_directory(ROOT).expect("the root");
        });
        assert!(stay.iter().all(|bytes| *bytes == Some(vec![7; 9000])));
    }

    #[test]
    fn what_was_not_synchronised_may_go_or_stay() {
        let names = outcomes(|medium, inode| medium.file(inode).expect("a file").sync());
        assert!(names.contains(&None) && names.contains(&Some(Vec::new())), "a name is not stable by itself");
        let torn = outcomes(|medium, inode| {
            medium.sync_directory(ROOT).expect("the root");
            medium.file(inode).expect("a file").write(0, &[1; 4096]);
            medium.file(inode).expect("a file").sync();
            medium.file(inode).expect("a file").write(0, &[2; 4096]);
        });
        let of = |bytes: &[u8]| torn.iter().any(|torn| torn.as_deref() == Some(bytes));
        assert!(of(&[1; 4096]) && of(&[2; 4096]), "a whole block goes or stays");
        assert!(torn.iter().flatten().any(|bytes| bytes.contains(&1) && bytes.contains(&2)), "or is torn");
    }

    #[test]
    fn a_durable_write_makes_itself_stable_and_nothing_else() {
        let outcomes = outcomes(|medium, inode| {
            medium.sync_directory(ROOT).expect("the root");
            let file = medium.file(inode).expect("a file");
            file.write(0, &[1; 8192]);
            file.sync();
            file.write(0, &[2; 8192]);
            file.sync_range(4096, 8192);
        });
        assert!(outcomes.iter().flatten().all(|bytes| bytes[4096..] == [2; 4096]));
        assert!(outcomes.iter().flatten().any(|bytes| bytes[..4096] == [1; 4096]));
    }

    #[test]
    fn what_could_not_be_synchronised_is_not_by_trying_again_but_by_writing_again() {
        let outcomes_after = |writes_again: bool| {
            outcomes(|medium, inode| {
                medium.sync_directory(ROOT).expect("the root");
                let file = medium.file(inode).expect("a file");
                file.write(0, &[1; 4096]);
                file.sync();
                file.write(0, &[2; 4096]);
                file.sync_failed();
                if writes_again {
                    file.write(0, &[2; 4096]);
                }
                file.sync();
            })
        };
        assert!(outcomes_after(false).contains(&Some(vec![1; 4096])), "it may be lost");
        assert!(outcomes_after(false).contains(&Some(vec![2; 4096])), "and may not");
        assert!(outcomes_after(true).iter().all(|bytes| *bytes == Some(vec![2; 4096])));
    }

    #[test]
    fn a_file_that_was_cut_may_be_whole_again_and_a_renamed_one_has_one_name() {
        let cut = outcomes(|medium, inode| {
            medium.sync_directory(ROOT).expect("the root");
            medium.file(inode).expect("a file").write(0, &[3; 8192]);
            medium.file(inode).expect("a file").sync();
            medium.file(inode).expect("a file").set_len(4096);
        });
        let lengths: Vec<usize> = cut.iter().flatten().map(Vec::len).collect();
        assert!(lengths.contains(&4096) && lengths.contains(&8192));
        let renamed = outcomes(|medium, _| {
            medium.sync_directory(ROOT).expect("the root");
            let (from, to) = (OsStr::new("file"), OsStr::new("renamed"));
            medium.rename((ROOT, from), (ROOT, to), true).expect("a free name");
        });
        assert!(renamed.iter().all(Option::is_some));
    }
}
