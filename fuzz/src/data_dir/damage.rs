//! What happens to the files of a store.

use stemedb_engine::log::BLOCK_BYTES;

use super::files::{Files, Name};
use super::history::Lived;
use crate::program::Program;
use crate::{manifest, recovery, table};

/// Bytes of the magic and the version of a snapshot's part, and of a block of it before its payload.
const PART_BEGINNING_BYTES: usize = 12;
const PART_BLOCK_HEADER_BYTES: usize = 12;

/// Does one thing to `files`. True if a checksum was made to fit what it did not fit before, which no accident does.
pub(super) fn step(files: &mut Files, lived: &Lived, program: &mut Program<'_>) -> bool {
    let what = program.byte();
    let Some(name) = any_of(files, program) else {
        return false;
    };
    let file = files.get_mut(&name).expect("it was just chosen");
    let at = (program.number() | usize::from(program.byte()) << 16) % file.len().max(1);
    let block = at - at % BLOCK_BYTES;
    let block_end = (block + BLOCK_BYTES).min(file.len());
    match what % 13 {
        0 => flip(file, at, program.byte()),
        1 => file[block..block_end].fill(program.byte()),
        2 => file.truncate(at),
        3 => file.truncate(block),
        4 => drop(files.remove(&name)),
        5 => {
            let added = program.number() % (2 * BLOCK_BYTES);
            file.extend(std::iter::repeat_n(program.byte(), added));
        }
        6 => {
            // A write that went to the wrong place.
            let from = any_of(files, program).expect("there is one at least");
            let from_block = program.number() % 64 * BLOCK_BYTES;
            let misdirected =
                files[&from].get(from_block..from_block + block_end - block).map(<[u8]>::to_vec);
            if let Some(misdirected) = misdirected {
                let file = files.get_mut(&name).expect("it was chosen");
                file[block..block_end].copy_from_slice(&misdirected);
            }
        }
        7 => {
            let other = any_of(files, program).expect("there is one at least");
            let content = files[&other].clone();
            let content = files.insert(name, content).expect("it was chosen");
            files.insert(other, content);
        }
        8 => {
            let other = any_of(files, program).expect("there is one at least");
            let content = files[&other].clone();
            files.insert(name, content);
        }
        9 => {
            // A file as it was earlier, whether it is still there or not.
            let older = older(lived, program);
            if let Some(name) = any_of(older, program) {
                files.insert(name, older[&name].clone());
            }
        }
        10 => {
            // All files of a kind as they were earlier, as an operator restores a directory.
            let kind = |name: &Name| std::mem::discriminant(name);
            let older = older(lived, program);
            files.retain(|other, _| kind(other) != kind(&name));
            let of_kind = older.iter().filter(|(other, _)| kind(other) == kind(&name));
            files.extend(of_kind.map(|(other, content)| (*other, content.clone())));
        }
        _ => {
            flip(file, at, program.byte());
            return repair(name, file, block / BLOCK_BYTES);
        }
    }
    false
}

fn flip(file: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = file.get_mut(at) {
        *byte ^= bits;
    }
}

fn any_of(files: &Files, program: &mut Program<'_>) -> Option<Name> {
    let chosen = usize::from(program.byte());
    files.keys().nth(chosen % files.len().max(1)).copied()
}

fn older<'l>(lived: &'l Lived, program: &mut Program<'_>) -> &'l Files {
    &lived.older[usize::from(program.byte()) % lived.older.len()]
}

/// Makes the checksums of a file fit, of a segment those of its frame or header at a block. True if one did not.
fn repair(name: Name, file: &mut [u8], block: usize) -> bool {
    let before = file.to_vec();
    match name {
        Name::Manifest => manifest::repair(file),
        Name::Segment(_) => {
            let blocks = file.len() / BLOCK_BYTES;
            if block < blocks {
                recovery::damage::repair(&mut file[..blocks * BLOCK_BYTES], block);
            }
        }
        Name::Table(_) => table::damage::repair(file),
        Name::Part(..) => repair_part(file),
    }
    file != before
}

/// Makes the checksums of a snapshot's part fit, as far as the lengths in it lead.
fn repair_part(file: &mut [u8]) {
    let Some(beginning) = file.get(..PART_BEGINNING_BYTES) else {
        return;
    };
    let (mut checksum, mut at) = (crc32c::crc32c(beginning), PART_BEGINNING_BYTES);
    while let Some(header) = file.get(at..at + PART_BLOCK_HEADER_BYTES) {
        let payload_bytes = u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
        let begin = at + PART_BLOCK_HEADER_BYTES;
        let Some(payload) = file.get(begin..begin.saturating_add(payload_bytes)) else {
            return;
        };
        checksum = crc32c::crc32c_append(crc32c::crc32c_append(checksum, &header[..8]), payload);
        file[at + 8..begin].copy_from_slice(&checksum.to_le_bytes());
        at = begin + payload_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::stores;
    use super::*;

    /// Were a format to change, checksums would be put into wrong places, and every forged file be refused.
    #[test]
    fn the_checksums_of_sound_files_fit_already() {
        for lived in stores() {
            for (name, sound) in &lived.files {
                assert!(!repair(*name, &mut sound.clone(), 0), "{name}: a checksum is elsewhere");
            }
        }
    }
}
