//! What a disk does to blocks that it has promised to keep, and can be made to take back.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::segment::SegmentId;

use super::{Block, Disk, Written};

/// What the disk does to a block that it has promised to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// One bit is another.
    Rot,
    /// It was never written.
    Lost,
    /// It was written elsewhere.
    Misdirected,
    /// One bit is another, where nothing was ever written.
    RotOfNothing,
    /// It cannot be read.
    Unreadable,
}

impl Disk {
    /// Changes what the disk holds in a place for which a later write testifies. Gives the place, or `None` if there
    /// is none.
    pub(crate) fn lie(&mut self, what: Lie) -> Option<SegmentId> {
        if what == Lie::RotOfNothing {
            return self.rot_of_nothing();
        }
        let testified = self.testified();
        if testified.is_empty() {
            return None;
        }
        let Written { segment, offset, bytes, .. } =
            testified[self.random.within(0..=testified.len() as u64 - 1) as usize];
        let block =
            offset / BLOCK_BYTES as u64 + self.random.within(0..=bytes.div_ceil(BLOCK_BYTES as u64) - 1);
        let truth = self.files[&segment].content(block);
        match what {
            Lie::Rot => {
                let mut content = truth.clone();
                let at = self.random.within(0..=BLOCK_BYTES as u64 - 1) as usize;
                content[at] ^= 1 << self.random.within(0..=7);
                self.falsify(segment, block, Some(content));
            }
            Lie::Unreadable => self.unreadable = Some((segment, block)),
            Lie::RotOfNothing => panic!("it was just done"),
            Lie::Lost => self.falsify(segment, block, None),
            Lie::Misdirected => {
                let others: Vec<_> = self.files.iter().map(|(id, file)| (*id, file.bytes)).collect();
                let (other, other_bytes) = others[self.random.within(0..=others.len() as u64 - 1) as usize];
                if other_bytes < BLOCK_BYTES as u64 {
                    return None;
                }
                let place = self.random.within(0..=other_bytes / BLOCK_BYTES as u64 - 1);
                // Blocks that are still to be written are written over: the lie would be forgotten. And what nobody testifies
                // for, nobody would miss, if what should have been written here instead is needed no more.
                let at = place * BLOCK_BYTES as u64;
                let is_there = |written: &&Written| {
                    written.segment == other && (written.offset..written.offset + written.bytes).contains(&at)
                };
                if !testified.iter().any(|written| is_there(&written)) {
                    return None;
                }
                self.falsify(segment, block, None);
                self.falsify(other, place, Some(truth));
            }
        }
        Some(segment)
    }

    /// Changes a bit in a block that was never written.
    fn rot_of_nothing(&mut self) -> Option<SegmentId> {
        let files: Vec<_> =
            self.files.iter().map(|(id, file)| (*id, file.bytes / BLOCK_BYTES as u64)).collect();
        let (segment, blocks) = *files.get(self.random.within(0..=files.len() as u64) as usize)?;
        let block = self.random.within(0..=blocks);
        if block == blocks || self.files[&segment].blocks.contains_key(&block) {
            return None;
        }
        let mut content = Box::new([0; BLOCK_BYTES]);
        let at = self.random.within(0..=BLOCK_BYTES as u64 - 1) as usize;
        content[at] = 1 << self.random.within(0..=7);
        self.falsify(segment, block, Some(content));
        Some(segment)
    }

    /// Takes back all lies.
    pub(crate) fn repair(&mut self) {
        self.unreadable = None;
        for ((segment, block), truth) in std::mem::take(&mut self.lies) {
            if let Some(file) = self.files.get_mut(&segment) {
                file.blocks.remove(&block);
                if let Some(truth) = truth {
                    file.blocks.insert(block, truth);
                }
            }
        }
    }

    /// The segments of which something is not what was written.
    pub(crate) fn lied_about(&self) -> BTreeSet<SegmentId> {
        self.lies.keys().chain(&self.unreadable).map(|(segment, _)| *segment).collect()
    }

    /// Durable writes for which a write of the same lane testifies that began after they had ended.
    fn testified(&self) -> Vec<Written> {
        let mut last_began = BTreeMap::new();
        for written in &self.written {
            let began = last_began.entry(written.segment.lane).or_insert(0);
            *began = written.began.max(*began);
        }
        let is_testified = |written: &&Written| {
            let stays = self.files.get(&written.segment);
            written.ended < last_began[&written.segment.lane]
                && stays.is_some_and(|file| written.offset + written.bytes <= file.bytes)
        };
        self.written.iter().filter(is_testified).copied().collect()
    }

    fn falsify(&mut self, segment: SegmentId, block: u64, content: Option<Block>) {
        let file = self.files.get_mut(&segment).expect("only files that are there are lied about");
        let truth = file.blocks.remove(&block);
        if let Some(content) = content {
            file.blocks.insert(block, content);
        }
        self.lies.entry((segment, block)).or_insert(truth);
    }

    pub(super) fn drop_lies(&mut self, segment: SegmentId) {
        self.lies.retain(|(lied, _), _| *lied != segment);
        self.unreadable.take_if(|(lied, _)| *lied == segment);
    }
}
