//! What happens to the file of a table.

use crate::program::Program;

const BLOCK_BYTES: usize = 4096;
const BLOCK_HEADER_BYTES: usize = 32;

/// Damages `file`. True if its checksums were made to fit afterwards.
pub(super) fn step(what: u8, file: &mut Vec<u8>, program: &mut Program<'_>) -> bool {
    if file.is_empty() {
        return false;
    }
    let at = (program.number() | usize::from(program.byte()) << 16) % file.len();
    let end = |bytes: usize| (at + bytes).min(file.len());
    match what % 8 {
        0 => file[at] ^= program.byte(),
        1 => {
            let end = end(program.number());
            file[at..end].fill(program.byte());
        }
        2 => {
            let replacement = program.take(8);
            let end = end(replacement.len());
            file[at..end].copy_from_slice(&replacement[..end - at]);
        }
        3 => {
            let from = program.number() % file.len();
            let bytes = (program.number() % BLOCK_BYTES).min(file.len() - at.max(from));
            file.copy_within(from..from + bytes, at);
        }
        4 => file.truncate(at),
        5 => {
            let added = program.number() % (2 * BLOCK_BYTES);
            file.extend(std::iter::repeat_n(program.byte(), added));
        }
        6 => {
            // A whole block of the file, as disks lose them.
            let begin = at - at % BLOCK_BYTES;
            let end = (begin + BLOCK_BYTES).min(file.len());
            file[begin..end].fill(program.byte());
        }
        _ => {
            let byte = program.byte();
            file[at] ^= byte;
            repair(file);
            return true;
        }
    }
    false
}

/// Makes all checksums fit, as far as the lengths in the file lead.
pub(crate) fn repair(file: &mut [u8]) {
    if file.len() < 2 * BLOCK_BYTES {
        return;
    }
    let seed = seal(&mut file[..BLOCK_BYTES], 0);
    let footer = file.len() - BLOCK_BYTES;
    let index =
        u64::from_le_bytes(field(file, footer + 72)).clamp(BLOCK_BYTES as u64, footer as u64) as usize;
    let mut at = BLOCK_BYTES;
    while at + BLOCK_HEADER_BYTES <= index {
        let stored = u32::from_le_bytes(field(file, at + 16)) as usize;
        let end = (at + BLOCK_HEADER_BYTES).saturating_add(stored).min(index);
        let checksum = crc32c::crc32c_append(seed, &file[at + 4..end]);
        file[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
        at = end;
    }
    let checksum = crc32c::crc32c_append(seed, &file[index..footer]);
    file[footer + 12..footer + 16].copy_from_slice(&checksum.to_le_bytes());
    seal(&mut file[footer..], seed);
}

/// Makes the checksum at the end of a header or footer fit, and returns it.
fn seal(block: &mut [u8], seed: u32) -> u32 {
    let (content, place) = block.split_at_mut(BLOCK_BYTES - 4);
    let checksum = crc32c::crc32c_append(seed, content);
    place.copy_from_slice(&checksum.to_le_bytes());
    checksum
}

fn field<const N: usize>(file: &[u8], at: usize) -> [u8; N] {
    file[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}
