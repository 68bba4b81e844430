//! What happens to disks.

use std::collections::BTreeSet;

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::frame::{Frame, FrameHome};
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::storage::MemoryStorage;

use crate::program::Program;

/// What has been done to a log.
#[derive(Default)]
pub(crate) struct Damage {
    pub(super) steps: usize,
    /// Whether more than the bytes of blocks was changed.
    pub(crate) is_structural: bool,
    /// The blocks that were changed, by segment and number.
    pub(crate) blocks: Vec<(SegmentId, usize)>,
    /// The segments that were changed in any way.
    pub(crate) touched: BTreeSet<SegmentId>,
}

impl Damage {
    /// Whether it is what a bad block on a disk does.
    pub(super) fn is_in_one_block(&self) -> bool {
        !self.is_structural && self.blocks.windows(2).all(|pair| pair[0] == pair[1])
    }

    pub(super) fn step(&mut self, disk: &mut MemoryStorage, program: &mut Program<'_>) {
        self.steps += 1;
        let what = program.byte();
        let Some(id) = segment(disk, program) else {
            return;
        };
        let file = disk.segments.get_mut(&id).expect("it was just chosen");
        let blocks = file.len() / BLOCK_BYTES;
        if blocks == 0 {
            return;
        }
        let block = program.number() % blocks;
        let bytes = block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES;
        self.touched.insert(id);
        match what % 9 {
            0 => file[bytes].fill(program.byte()),
            1 => file[bytes.start + program.number() % BLOCK_BYTES] ^= program.byte(),
            2 => {
                let begin = bytes.start + program.number() % (BLOCK_BYTES - 8);
                let replacement = program.take(8);
                file[begin..begin + replacement.len()].copy_from_slice(replacement);
            }
            3 => {
                let from = program.number() % blocks * BLOCK_BYTES;
                file.copy_within(from..from + BLOCK_BYTES, bytes.start);
            }
            4 => repair(file, block),
            5 => {
                file.truncate(bytes.start + program.number() % BLOCK_BYTES);
                self.is_structural = true;
            }
            6 => {
                disk.segments.remove(&id);
                self.is_structural = true;
            }
            7 => {
                let content = file.clone();
                let other = segment(disk, program).expect("there is one at least");
                let replaced = disk.segments.insert(other, content);
                disk.segments.insert(id, replaced.expect("it was just chosen"));
                self.touched.insert(other);
                self.is_structural = true;
            }
            _ => {
                // A write that went to the wrong file.
                let other = segment(disk, program).expect("there is one at least");
                let from = program.number() * BLOCK_BYTES;
                let misdirected = disk.segments[&other].get(from..from + BLOCK_BYTES).map(<[u8]>::to_vec);
                if let Some(misdirected) = misdirected {
                    disk.segments.get_mut(&id).expect("it was chosen")[bytes].copy_from_slice(&misdirected);
                }
            }
        }
        self.blocks.push((id, block));
    }
}

/// Makes the checksum of the frame or header at a block fit.
pub(crate) fn repair(file: &mut [u8], block: usize) {
    if block == 0 {
        let checksum = crc32c::crc32c(&file[..BLOCK_BYTES - 4]);
        file[BLOCK_BYTES - 4..BLOCK_BYTES].copy_from_slice(&checksum.to_le_bytes());
        return;
    }
    let Ok((header, checksum)) = SegmentHeader::decode(&file[..BLOCK_BYTES]) else {
        return;
    };
    let home = FrameHome::new(&header, checksum);
    let rest = &mut file[block * BLOCK_BYTES..];
    let Ok(frame_bytes) = Frame::bytes_needed(rest) else {
        return;
    };
    if let Some(frame) = rest.get_mut(..frame_bytes) {
        let checksum = crc32c::crc32c_append(home.checksum, &frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn segment(disk: &MemoryStorage, program: &mut Program<'_>) -> Option<SegmentId> {
    let count = disk.segments.len();
    let chosen = usize::from(program.byte());
    disk.segments.keys().nth(if count == 0 { 0 } else { chosen % count }).copied()
}
