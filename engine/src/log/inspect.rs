//! Looking at a log as it lies there, whole or damaged, without judging it.
//!
//! [`recovery`](crate::log::recovery) says whether a log can be trusted; [`inspect`] shows what is in it either way, segment by
//! segment, and never fails: what cannot be read or understood is itself something to show.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use crate::log::frame::{Frame, FrameError, FrameHeader, FrameHome};
use crate::log::layout::array;
use crate::log::record::{Record, RecordKind};
use crate::log::recovery::RecoveryError;
use crate::log::recovery::reader::{SegmentReader, is_zero};
use crate::log::segment::{self, SegmentHeader, SegmentHeaderError, SegmentId};
use crate::log::storage::{LogStorage, SegmentFile};
use crate::log::{BLOCK_BYTES, FRAME_BYTES_MAX, Generation, Lsn};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Something that a log holds. Whatever has an offset is in the segment told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// A segment begins.
    Segment {
        /// Its file.
        path: PathBuf,
        /// Which segment the file is named after, and its size.
        file: SegmentFile,
        /// What its first block holds.
        header: InspectedHeader,
    },
    /// A frame that is whole and belongs to its segment.
    Frame {
        /// Where it begins, in bytes.
        offset: u64,
        /// Its header.
        header: FrameHeader,
    },
    /// A record of the frame told last.
    Record(InspectedRecord),
    /// Bytes that are no frame although they were written to, or although a frame follows.
    Bad {
        /// Where they begin.
        offset: u64,
        /// How many there are, up to the next whole frame or the end of the last block that was written to.
        bytes: u64,
        /// Why they are no frame.
        reason: String,
    },
    /// The file of a segment that was listed, or was told last, is not there any more: it was removed meanwhile.
    Removed {
        /// The file.
        path: PathBuf,
    },
    /// The rest of the segment, or the list of all segments, could not be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// What the first block of a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InspectedHeader {
    /// A header.
    Valid(SegmentHeader),
    /// Zeros: the segment was prepared and not begun.
    Blank,
    /// Something else.
    Broken(SegmentHeaderError),
}

/// A record with its own copy of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedRecord {
    /// Its number in its lane.
    pub lsn: Lsn,
    /// What the payload is.
    pub kind: RecordKind,
    /// Its flags.
    pub flags: u16,
    /// The payload.
    pub payload: Vec<u8>,
}

/// All that the log in `storage` holds: segments by lane and number, each followed by its frames, each followed by its records.
pub fn inspect(storage: &dyn LogStorage) -> Inspection<'_> {
    let mut inspection =
        Inspection { storage, files: VecDeque::new(), current: None, found: VecDeque::new() };
    match storage.list() {
        Ok(mut files) => {
            files.sort_unstable_by_key(|file| file.id);
            inspection.files = files.into();
        }
        Err(error) => inspection.found.push_back(Inspected::Unreadable { reason: error.to_string() }),
    }
    inspection
}

/// Iterator of [`inspect`]. Holds the records of one frame at a time.
pub struct Inspection<'s> {
    storage: &'s dyn LogStorage,
    files: VecDeque<SegmentFile>,
    current: Option<CurrentSegment<'s>>,
    /// What was found and not yet told.
    found: VecDeque<Inspected>,
}

/// The segment that is being looked at.
struct CurrentSegment<'s> {
    reader: SegmentReader<'s>,
    home: FrameHome,
    offset: u64,
}

impl Iterator for Inspection<'_> {
    type Item = Inspected;

    fn next(&mut self) -> Option<Inspected> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some(found);
            }
            let looked = match &mut self.current {
                Some(segment) => segment.next_frame(&mut self.found),
                None => {
                    let file = self.files.pop_front()?;
                    self.begin_segment(file);
                    continue;
                }
            };
            let goes_on = looked.unwrap_or_else(|error| {
                self.found.push_back(unreadable(&error));
                false
            });
            if !goes_on {
                self.current = None;
            }
        }
    }
}

impl Inspection<'_> {
    fn begin_segment(&mut self, file: SegmentFile) {
        let mut reader = SegmentReader::new(self.storage, file, FRAME_BYTES_MAX);
        let path = self.storage.path(file.id);
        let block = match reader.bytes(0, BLOCK_BYTES) {
            Ok(bytes) => bytes.get(..BLOCK_BYTES),
            Err(error) => {
                self.found.push_back(unreadable(&error));
                return;
            }
        };
        let (header, home) = match block {
            None => (InspectedHeader::Broken(SegmentHeaderError::CutOff { actual: file.bytes }), None),
            Some(block) => match SegmentHeader::decode(block) {
                Ok((header, checksum)) => {
                    (InspectedHeader::Valid(header), Some(FrameHome::new(&header, checksum)))
                }
                Err(_) if is_zero(block) => (InspectedHeader::Blank, Some(supposed_home(file.id, block))),
                Err(error) => (InspectedHeader::Broken(error), Some(supposed_home(file.id, block))),
            },
        };
        self.found.push_back(Inspected::Segment { path, file, header });
        self.current = home.map(|home| CurrentSegment { reader, home, offset: BLOCK });
    }
}

impl CurrentSegment<'_> {
    /// Looks at what comes next; `false` if nothing was written from here on.
    fn next_frame(&mut self, found: &mut VecDeque<Inspected>) -> Result<bool, RecoveryError> {
        let offset = self.offset;
        let cause = match self.reader.frame(offset, &self.home)? {
            Ok(frame) => {
                self.offset += frame.header.frame_bytes() as u64;
                tell_frame(offset, &frame, found);
                return Ok(true);
            }
            Err(cause) => cause,
        };
        let Some((bytes, frame_follows)) = self.bad_bytes(offset)? else { return Ok(false) };
        found.push_back(Inspected::Bad { offset, bytes, reason: reason(&cause) });
        self.offset = offset + bytes;
        Ok(frame_follows)
    }

    /// How many bytes from `offset` on are no frame, and whether one follows. `None` if nothing was written there.
    fn bad_bytes(&mut self, offset: u64) -> Result<Option<(u64, bool)>, RecoveryError> {
        let mut end = offset;
        while let Some(written) = self.reader.first_written(end)? {
            if written > offset && self.reader.frame(written, &self.home)?.is_ok() {
                return Ok(Some((written - offset, true)));
            }
            end = written + BLOCK;
        }
        Ok((end > offset).then_some((end - offset, false)))
    }
}

fn tell_frame(offset: u64, frame: &Frame<'_>, found: &mut VecDeque<Inspected>) {
    found.push_back(Inspected::Frame { offset, header: frame.header });
    for record in frame.records() {
        found.push_back(match record {
            Ok(Record { lsn, kind, flags, payload }) => {
                Inspected::Record(InspectedRecord { lsn, kind, flags, payload: payload.to_vec() })
            }
            Err(error) => {
                let bytes = frame.header.frame_bytes() as u64;
                Inspected::Bad { offset, bytes, reason: error.to_string() }
            }
        });
    }
}

/// The home that the frames behind a broken header are likely to have: what of it is still legible may suffice.
fn supposed_home(segment: SegmentId, block: &[u8]) -> FrameHome {
    FrameHome {
        segment,
        generation: Generation(u32::from_le_bytes(array(block, 16))),
        checksum: segment::stored_checksum(block),
    }
}

fn reason(cause: &FrameError) -> String {
    match cause {
        FrameError::Magic { actual: [0, 0, 0, 0] } => {
            "nothing was written here, but something was behind it".to_owned()
        }
        cause => cause.to_string(),
    }
}

fn unreadable(error: &RecoveryError) -> Inspected {
    if let RecoveryError::Read { path, source, .. } = error
        && source.kind() == io::ErrorKind::NotFound
    {
        return Inspected::Removed { path: path.clone() };
    }
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Inspected::Unreadable { reason: format!("{error}{source}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::blocking::drive;
    use crate::log::lane::LaneConfig;
    use crate::log::opening::{Opening, open_generation};
    use crate::log::recovery::recover;
    use crate::log::storage::{DirStorage, LogDisk, MemoryStorage};
    use crate::log::{SEGMENT_BYTES_MIN, SegmentNumber};
    use crate::slot::LaneId;
    use crate::time::UnixMicros;

    const FIRST: SegmentId = SegmentId { lane: LaneId(0), number: SegmentNumber(1) };

    /// A log of one segment with two frames behind the opening, and a prepared one.
    fn log() -> MemoryStorage {
        let mut disk = MemoryStorage::new();
        let recovered = recover(&disk, &mut |_| Ok(())).unwrap();
        let lane =
            LaneConfig { segment_bytes: SEGMENT_BYTES_MIN, ..LaneConfig::new(LaneId(0), Generation::FIRST) };
        let opening = Opening { lanes: 1, lane, now: UnixMicros(1), monotonic_us: 0 };
        let mut lanes = open_generation(&mut disk, &recovered, &opening).unwrap();
        for payloads in [&[&b"one"[..], b"two"][..], &[b"three"]] {
            for payload in payloads {
                lanes[0].append(RecordKind::Assertion, 3, payload).unwrap();
            }
            drive(&mut lanes[0], &mut disk, UnixMicros(1), 0).unwrap();
        }
        disk.prepare(SegmentId { number: SegmentNumber(2), ..FIRST }, SEGMENT_BYTES_MIN).unwrap();
        disk
    }

    /// One line for each thing found.
    fn lines(disk: &dyn LogStorage) -> Vec<String> {
        let line = |inspected| match inspected {
            Inspected::Segment { file, header, .. } => {
                let header = match header {
                    InspectedHeader::Valid(header) => format!("generation {}", header.generation),
                    InspectedHeader::Blank => "blank".to_owned(),
                    InspectedHeader::Broken(_) => "broken".to_owned(),
                };
                format!("{} {header}", file.id)
            }
            Inspected::Frame { offset, header } => format!("{:?} at {offset}", header.kind),
            Inspected::Record(record) => {
                format!("{:?} {} of {}", record.kind, record.lsn, record.payload.len())
            }
            Inspected::Bad { offset, bytes, .. } => format!("{bytes} bad at {offset}"),
            Inspected::Removed { path } => format!("{} removed", path.display()),
            Inspected::Unreadable { reason } => reason,
        };
        inspect(disk).map(line).collect()
    }

    const BEGINNING: [&str; 4] =
        ["segment-00-0000000001.log generation 1", "Records at 4096", "Generation 1 of 24", "Marker at 8192"];
    const SECOND: [&str; 3] = ["Records at 12288", "Assertion 2 of 3", "Assertion 3 of 3"];
    const THIRD: [&str; 2] = ["Records at 16384", "Assertion 4 of 5"];
    const BLANK: [&str; 1] = ["segment-00-0000000002.log blank"];

    #[test]
    fn a_sound_log_is_shown_whole() {
        assert_eq!(lines(&log()), [&BEGINNING[..], &SECOND, &THIRD, &BLANK].concat());
        let record = inspect(&log()).find_map(|inspected| match inspected {
            Inspected::Record(record) if record.kind == RecordKind::Assertion => Some(record),
            _ => None,
        });
        let expected =
            InspectedRecord { lsn: Lsn(2), kind: RecordKind::Assertion, flags: 3, payload: b"one".to_vec() };
        assert_eq!(record, Some(expected));
    }

    #[test]
    fn what_is_damaged_is_shown_and_what_follows_too() {
        let mut flipped = log();
        flipped.segments.get_mut(&FIRST).unwrap()[12288 + 70] ^= 1;
        let expected = [&BEGINNING[..], &["4096 bad at 12288"], &THIRD, &BLANK].concat();
        assert_eq!(lines(&flipped), expected);

        let mut lost = log();
        lost.segments.get_mut(&FIRST).unwrap()[8192..16384].fill(0);
        let expected = [&BEGINNING[..3], &["8192 bad at 8192"], &THIRD, &BLANK].concat();
        assert_eq!(lines(&lost), expected);

        let mut torn = log();
        torn.segments.get_mut(&FIRST).unwrap()[16384] = 0;
        assert_eq!(lines(&torn), [&BEGINNING[..], &SECOND, &["4096 bad at 16384"], &BLANK].concat());
    }

    #[test]
    fn frames_behind_a_broken_header_are_shown_if_they_can_be() {
        let broken = "segment-00-0000000001.log broken";
        let mut magic = log();
        magic.segments.get_mut(&FIRST).unwrap()[0] ^= 1;
        assert_eq!(lines(&magic), [&[broken], &BEGINNING[1..], &SECOND, &THIRD, &BLANK].concat());

        let mut gone = log();
        gone.segments.get_mut(&FIRST).unwrap()[..BLOCK_BYTES].fill(0);
        let blank = "segment-00-0000000001.log blank";
        assert_eq!(lines(&gone), [blank, "16384 bad at 4096", BLANK[0]]);

        let mut cut = log();
        cut.segments.get_mut(&FIRST).unwrap().truncate(100);
        assert_eq!(lines(&cut), [broken, BLANK[0]]);
    }

    /// Goal: what goes while a log is looked at is no damage. Method: the second segment is removed before it is begun.
    #[test]
    fn what_is_removed_meanwhile_is_shown_as_such() {
        let directory = tempfile::tempdir().unwrap();
        for (id, bytes) in &log().segments {
            std::fs::write(directory.path().join(id.to_string()), bytes).unwrap();
        }
        let storage = DirStorage::new(directory.path());
        let mut inspection = inspect(&storage);
        assert!(matches!(inspection.next(), Some(Inspected::Segment { .. })));
        let path = storage.path(SegmentId { number: SegmentNumber(2), ..FIRST });
        std::fs::remove_file(&path).unwrap();
        assert_eq!(inspection.last(), Some(Inspected::Removed { path }));
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_such() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(lines(&DirStorage::new(directory.path())), [""; 0]);
        let absent = DirStorage::new(&directory.path().join("absent"));
        assert_eq!(lines(&absent), ["No such file or directory (os error 2)"]);
        std::fs::create_dir(directory.path().join(FIRST.to_string())).unwrap();
        let lines = lines(&DirStorage::new(directory.path()));
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("segment-00-0000000001.log cannot be read at offset 0: Is a directory"),
            "{lines:?}"
        );
    }
}
