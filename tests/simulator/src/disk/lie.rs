//! What a disk does to blocks and files that it has promised to keep, and can be made to take back.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::segment::SegmentId;

use super::{Block, Disk, File, Written};

/// What the disk does to a block, or a file, that it has promised to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// One bit is another.
    Rot,
    /// It was never written.
    Lost,
    /// It was written elsewhere.
    Misdirected,
    /// A whole frame was written again, behind the end of a lane.
    Stray,
    /// The file of a segment is gone that its lane has left for the next one.
    SegmentGone,
    /// All files of a lane are gone.
    LaneGone,
    /// Another segment's file stands in the place of a segment.
    Replaced,
    /// A segment that its lane has left is as it was earlier.
    Older,
    /// One bit is another, where nothing was ever written.
    RotOfNothing,
    /// It cannot be read.
    Unreadable,
}

/// What a block ought to hold.
#[derive(Debug, Clone)]
pub(super) struct Lied {
    truth: Option<Block>,
    /// Whether nobody needs the block, or may be misled by it.
    is_harmless: bool,
}

impl Disk {
    /// Changes what the disk holds in a place for which a later write testifies. Gives the place, or `None` if there
    /// is none.
    pub(crate) fn lie(&mut self, what: Lie) -> Option<SegmentId> {
        match what {
            Lie::RotOfNothing => return self.rot_of_nothing(),
            Lie::Stray => return self.stray(),
            Lie::SegmentGone | Lie::LaneGone | Lie::Replaced | Lie::Older => {
                return self.lie_about_file(what);
            }
            Lie::Rot | Lie::Lost | Lie::Misdirected | Lie::Unreadable => {}
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
            _ => panic!("it was just done"),
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

    /// Copies a whole frame to an empty place at the end of a lane, or some blocks behind it.
    fn stray(&mut self) -> Option<SegmentId> {
        let frames: Vec<_> =
            self.written.iter().filter(|it| it.offset > 0 && self.is_there(it)).copied().collect();
        let to = *self.any_of(&frames)?;
        // The last one of the lane.
        let of_lane =
            self.written.iter().filter(|it| it.segment.lane == to.segment.lane && self.is_there(it));
        let last =
            *of_lane.max_by_key(|it| (it.segment.number, it.offset)).expect("there is one of the lane");
        let is_own = self.random.once_in(2);
        let sources: Vec<_> = frames.into_iter().filter(|it| !is_own || it.segment == last.segment).collect();
        let from = *self.any_of(&sources)?;
        let gap = if self.random.once_in(2) { 0 } else { self.random.within(1..=3) };
        let block = BLOCK_BYTES as u64;
        let end = (last.offset + last.bytes) / block;
        let blocks = from.bytes / block;
        let file = &self.files[&last.segment];
        let has_room = (end + gap + blocks) * block <= file.bytes;
        // A lane that has only a header may be one that was never gone on to.
        let is_empty = file.blocks.range(end..).next().is_none() && last.offset > 0;
        if !has_room || !is_empty {
            return None;
        }
        // What does not follow in its own segment may be damage; anything else is no frame there.
        let is_harmless = from.segment != last.segment || gap > 0;
        for at in 0..blocks {
            let content = self.files[&from.segment].content(from.offset / block + at);
            self.falsify(last.segment, end + gap + at, Some(content));
            self.lies.get_mut(&(last.segment, end + gap + at)).expect("it is a lie").is_harmless =
                is_harmless;
        }
        Some(last.segment)
    }

    /// Takes away or replaces the whole file of a segment, or of several, where what is left says that it was another. No generation has been
    /// begun since the last one was opened.
    fn lie_about_file(&mut self, what: Lie) -> Option<SegmentId> {
        let headers = self.written.iter().filter(|it| it.offset == 0 && self.is_there(it));
        let begun = Vec::from_iter(BTreeSet::from_iter(headers.map(|it| it.segment)));
        let segment = *self.any_of(&begun)?;
        let is_left = begun.iter().any(|other| other.lane == segment.lane && other.number > segment.number);
        // A lane that is older than the generation has its end stated in it; one of its own has others beside it.
        let has_witness = segment.lane.0 >= self.lanes_opened || self.lanes_opened > 1;
        match what {
            Lie::SegmentGone if is_left => self.take_away(segment),
            Lie::LaneGone if has_witness => {
                begun
                    .iter()
                    .filter(|other| other.lane == segment.lane)
                    .for_each(|other| self.take_away(*other));
            }
            Lie::Replaced => {
                let other = *self.any_of(&begun)?;
                if other == segment {
                    return None;
                }
                let (bytes, blocks) = (self.files[&other].bytes, self.files[&other].blocks.clone());
                self.take_away(segment);
                let file = File { bytes, blocks, is_name_durable: true, ..File::default() };
                self.files.insert(segment, file);
            }
            Lie::Older if is_left => {
                let of_segment = self.written.iter().filter(|it| it.segment == segment);
                let mut ends: Vec<_> = of_segment.map(|it| it.offset + it.bytes).collect();
                ends.sort_unstable();
                // The seal alone may be missing.
                ends.truncate(ends.len().saturating_sub(2));
                let end = *self.any_of(&ends)?;
                let (bytes, mut blocks) = (self.files[&segment].bytes, self.files[&segment].blocks.clone());
                blocks.split_off(&(end / BLOCK_BYTES as u64));
                self.take_away(segment);
                let file = File { bytes, blocks, is_name_durable: true, ..File::default() };
                self.files.insert(segment, file);
            }
            _ => return None,
        }
        Some(segment)
    }

    fn take_away(&mut self, segment: SegmentId) {
        let file = self.files.remove(&segment).expect("only files that are there are taken away");
        self.files_taken.insert(segment, file);
    }

    /// Whether the file is there that was written to, and as long as then.
    fn is_there(&self, written: &Written) -> bool {
        let file = self.files.get(&written.segment);
        file.is_some_and(|file| written.offset + written.bytes <= file.bytes)
    }

    fn any_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let last = all.len().checked_sub(1)?;
        Some(&all[self.random.within(0..=last as u64) as usize])
    }

    /// Takes back all lies.
    pub(crate) fn repair(&mut self) {
        self.unreadable = None;
        for ((segment, block), lied) in std::mem::take(&mut self.lies) {
            if let Some(file) = self.files.get_mut(&segment) {
                file.blocks.remove(&block);
                if let Some(truth) = lied.truth {
                    file.blocks.insert(block, truth);
                }
            }
        }
        self.files.append(&mut self.files_taken);
    }

    /// The segments of which something is not what was written, and somebody may miss it.
    pub(crate) fn lied_about(&self) -> BTreeSet<SegmentId> {
        let harmful = self.lies.iter().filter(|(_, lied)| !lied.is_harmless);
        let blocks = harmful.map(|(place, _)| place).chain(&self.unreadable);
        blocks.map(|(segment, _)| *segment).chain(self.files_taken.keys().copied()).collect()
    }

    /// Whether anything is not what was written.
    pub(crate) fn is_lying(&self) -> bool {
        !(self.lies.is_empty() && self.unreadable.is_none() && self.files_taken.is_empty())
    }

    /// Puts back the files that are gone or replaced, as far as a start has not missed them, and says which.
    pub(crate) fn put_back_files(&mut self) -> Vec<SegmentId> {
        let taken = self.files_taken.keys().copied().collect();
        self.files.append(&mut self.files_taken);
        taken
    }

    /// Durable writes for which a write of the same lane testifies that began after they had ended.
    fn testified(&self) -> Vec<Written> {
        let mut last_began = BTreeMap::new();
        for written in &self.written {
            let began = last_began.entry(written.segment.lane).or_insert(0);
            *began = written.began.max(*began);
        }
        let is_testified =
            |written: &&Written| written.ended < last_began[&written.segment.lane] && self.is_there(written);
        self.written.iter().filter(is_testified).copied().collect()
    }

    fn falsify(&mut self, segment: SegmentId, block: u64, content: Option<Block>) {
        let file = self.files.get_mut(&segment).expect("only files that are there are lied about");
        let truth = file.blocks.remove(&block);
        if let Some(content) = content {
            file.blocks.insert(block, content);
        }
        self.lies.entry((segment, block)).or_insert(Lied { truth, is_harmless: false });
    }

    pub(super) fn drop_lies(&mut self, segment: SegmentId) {
        self.lies.retain(|(lied, _), _| *lied != segment);
        self.unreadable.take_if(|(lied, _)| *lied == segment);
        self.files_taken.remove(&segment);
    }
}
