//! Decoding what stands beside the log and the tables: manifests, which part of a log is covered, and the records of
//! generations. Nothing that is on a disk makes the reader panic, what it takes has one spelling, and a log goes on behind it.

use stemedb_engine::checkpoint::Manifest;
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::generation::GenerationRecord;
use stemedb_engine::log::recovery::recover_after;
use stemedb_engine::log::storage::MemoryStorage;

use crate::frame::flips;

/// The bytes of a manifest, of a covered part, or of a generation's record, as the first byte says.
pub fn manifest(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => of_manifest(bytes),
        1 => of_covered(bytes),
        _ => of_generation(bytes),
    }
}

/// A manifest, once as it is and once with its length and its checksum made to fit. A valid one with a byte changed, or with
/// one more or less, is none.
fn of_manifest(input: &[u8]) {
    let _ = Manifest::decode(input);
    let mut bytes = input.to_vec();
    repair(&mut bytes);
    let Ok(manifest) = Manifest::decode(&bytes) else {
        return;
    };
    assert_eq!(manifest.encode(), bytes, "a second encoding of {manifest:?}");
    assert!(manifest.entries() == 0 || !manifest.tables.is_empty());
    assert_eq!(manifest.bytes_after(0), manifest.bytes(), "no checkpoint is before the first");
    for table in &manifest.tables {
        assert!(manifest.lists(table.facts.number) && table.facts.number < manifest.next_table);
    }
    for flipped in flips(input, bytes.len()) {
        flipped.change(&mut bytes);
        assert!(Manifest::decode(&bytes).is_err(), "{manifest:?} with {flipped:?}");
        flipped.change(&mut bytes);
    }
    assert!(Manifest::decode(&bytes[..bytes.len() - 1]).is_err());
    bytes.push(0);
    assert!(Manifest::decode(&bytes).is_err());
    goes_on_behind(&manifest.covered);
}

/// Makes length and checksum of a manifest fit, if it is long enough to have them.
pub(crate) fn repair(bytes: &mut [u8]) {
    let length = bytes.len() as u64;
    let Some(fixed) = bytes.get_mut(..48) else {
        return;
    };
    fixed[16..24].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
}

/// Which part of a log is covered, as manifests have it, and the marks of archives and of copies.
fn of_covered(input: &[u8]) {
    if let Ok(covered) = Covered::decode(input) {
        assert_eq!(covered.encode(), input, "a second encoding of {covered:?}");
        let lanes = covered.ends.iter().map(|end| end.end.lane);
        assert!(lanes.is_sorted_by(|one, next| one < next));
        goes_on_behind(&covered);
    }
}

/// A log of which nothing is left but what is covered is refused, or there is a next generation, and a place in each lane where it goes on.
fn goes_on_behind(covered: &Covered) {
    let Ok(recovered) = recover_after(&MemoryStorage::new(), covered, &mut |_| panic!("nothing is left"))
    else {
        return;
    };
    for end in &recovered.lane_ends {
        assert!(recovered.lane_start(end.lane).next_segment > end.segment);
    }
    assert!(recovered.lane_ends.iter().all(|end| end.generation < recovered.next_generation));
}

/// The payload of the record with which a generation begins.
fn of_generation(input: &[u8]) {
    if let Ok(record) = GenerationRecord::decode(input) {
        assert_eq!(record.encode(), input, "a second encoding of {record:?}");
        for end in &record.ends {
            assert!(record.first_segment_of(end.lane) > end.segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus_file;

    /// Were a format to change, all that is fuzzed would be refused from then on, and no promise be broken.
    #[test]
    fn what_is_sound_in_the_corpus_is_accepted() {
        let file = |name| corpus_file("manifest", name).split_off(1);
        for (name, tables) in [("empty", 0), ("two-tables", 2), ("all-there-is", 2)] {
            let manifest = Manifest::decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(manifest.tables.len(), tables, "{name}");
        }
        for name in ["covered-nothing", "covered", "covered-retraction"] {
            Covered::decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for name in ["generation", "generation-without-ends"] {
            GenerationRecord::decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
