//! The mark that the archive leaves in the directory of a log: that there is an archive, and which part of the log it has.
//!
//! As long as the mark is there, a server keeps segments until they are archived, although tables hold their claims.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stemedb_engine::log::covered::Covered;
use stemedb_engine::unfinished_file::sync_directory;

use crate::fresh_file;

/// The mark's name in the directory of the log.
const NAME: &str = "ARCHIVED";

/// Where the mark is, for the log in `wal`.
pub(crate) fn path(wal: &Path) -> PathBuf {
    wal.join(NAME)
}

/// Which part of the log in `wal` the archive has; `None` where there is no archive.
///
/// # Errors
///
/// When the mark is there and cannot be read.
pub(crate) fn read(wal: &Path) -> io::Result<Option<Covered>> {
    match fs::read_to_string(path(wal)) {
        Ok(text) => decode(&text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts the mark in its place, whole.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(wal: &Path, archived: &Covered) -> io::Result<()> {
    fresh_file::replace(&path(wal), &encode(archived), 0o644)?;
    sync_directory(wal)
}

/// As text: hexadecimal digits of what the manifest has for the covered part, and of its CRC-32C. Without that, a digit that
/// is changed might say that segments are archived that are not, and a server would remove them.
pub(crate) fn encode(archived: &Covered) -> String {
    let mut bytes = archived.encode();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    hex::encode(bytes)
}

/// What [`encode`] gave.
///
/// # Errors
///
/// When the text is anything else.
pub(crate) fn decode(text: &str) -> io::Result<Covered> {
    let bytes = hex::decode(text.trim()).map_err(io::Error::other)?;
    let (bytes, checksum) =
        bytes.split_last_chunk().ok_or_else(|| io::Error::other("it ends before its checksum"))?;
    if u32::from_le_bytes(*checksum) != crc32c::crc32c(bytes) {
        return Err(io::Error::other("its checksum is wrong"));
    }
    Covered::decode(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use stemedb_engine::log::covered::CoveredEnd;
    use stemedb_engine::log::generation::LaneEnd;
    use stemedb_engine::log::{Generation, Lsn, SegmentNumber};
    use stemedb_engine::slot::LaneId;

    use super::*;

    #[test]
    fn a_mark_comes_back_and_another_text_is_none() {
        let wal = tempfile::tempdir().expect("a directory");
        assert_eq!(read(wal.path()).expect("nothing is fine"), None);
        write(wal.path(), &Covered::default()).expect("writable");
        assert_eq!(read(wal.path()).expect("readable"), Some(Covered::default()));
        for text in ["", "x", "00", "0100"] {
            fs::write(path(wal.path()), text).expect("writable");
            read(wal.path()).expect_err("no mark");
        }
    }

    /// Goal: a mark that has rotted has no segment removed that is not archived. Method: each digit is changed.
    #[test]
    fn a_mark_of_which_a_digit_is_changed_is_none() {
        let end = |lane| LaneEnd {
            lane: LaneId(lane),
            generation: Generation::FIRST,
            segment: SegmentNumber(3),
            end_offset: 8192,
            next_lsn: Lsn(77),
        };
        let ends = [0, 1].map(|lane| CoveredEnd { end: end(lane), continues: true });
        let archived = Covered { ends: ends.into(), ..Covered::default() };
        let text = encode(&archived);
        assert_eq!(decode(&text).expect("it is whole"), archived);
        for at in 0..text.len() {
            let other = if &text[at..=at] == "7" { "3" } else { "7" };
            let changed = [&text[..at], other, &text[at + 1..]].concat();
            decode(&changed).expect_err(&changed);
        }
    }

    #[test]
    fn a_mark_is_not_written_through_a_link() {
        let wal = tempfile::tempdir().expect("a directory");
        let other = wal.path().join("other");
        fs::write(&other, "untouched").expect("writable");
        std::os::unix::fs::symlink(&other, path(wal.path()).with_extension("new")).expect("its name is free");
        write(wal.path(), &Covered::default()).expect("writable");
        assert_eq!(fs::read(&other).expect("it is there"), b"untouched");
    }
}
