//! Checking a segment that has ended, step by step, while the log is in use.

use super::reader::{SegmentReader, is_zero};
use super::survey::contradiction;
use super::{READ_BYTES, RecoveryError};
use crate::log::covered::Covered;
use crate::log::frame::{FrameHeader, FrameHome, FrameKind};
use crate::log::segment::{SegmentHeader, SegmentHeaderError, SegmentId};
use crate::log::storage::{LogStorage, SegmentFile};
use crate::log::{BLOCK_BYTES, Lsn};
use crate::planted::{self, Bug};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Reads all frames of one segment and checks them: checksums, that each goes on where the one before it ended, and that they
/// reach as far as what was written later says.
///
/// It finds what a recovery would find in this segment, without the rest of the log. What is only known to be unfinished is no
/// damage.
pub struct SegmentCheck {
    file: SegmentFile,
    home: FrameHome,
    /// Up to where the segment can hold frames.
    limit: u64,
    end: Option<StatedEnd>,
    offset: u64,
    next_lsn: Lsn,
}

/// What was written later says about the end of a segment's frames.
struct StatedEnd {
    offset: u64,
    next_lsn: Lsn,
    /// Whether a seal must follow.
    sealed: bool,
    testimony: String,
}

impl SegmentCheck {
    /// A check of `file`, which nobody writes to any more. `next` is the file of the lane's next segment, if that is there and may
    /// have been begun; `covered` is the part of the log that is in tables. `None` if the segment was never begun.
    ///
    /// # Errors
    ///
    /// When the header cannot be read, or is not what it must be.
    pub fn begin(
        storage: &dyn LogStorage,
        file: SegmentFile,
        next: Option<SegmentFile>,
        covered: &Covered,
    ) -> Result<Option<SegmentCheck>, RecoveryError> {
        let mut reader = SegmentReader::new(storage, file, BLOCK_BYTES);
        let following = next.map(|next| following(&mut reader, next)).transpose()?.flatten();
        let testimony = || match &following {
            Some((next, ..)) => format!("{} was begun after it", next.id),
            None => "the manifest of the tables says that it was begun".to_owned(),
        };
        let was_begun = following.is_some() || covered.contains(file.id);
        reader.open(file, file.bytes);
        let block = reader.bytes(0, BLOCK_BYTES)?;
        let decoded = match block.get(..BLOCK_BYTES) {
            None => Err(SegmentHeaderError::CutOff { actual: file.bytes }),
            Some(block) if !was_begun && is_zero(block) => return Ok(None),
            Some(block) => SegmentHeader::decode(block),
        };
        let (header, checksum) = match decoded {
            Ok(decoded) => decoded,
            // The header that was being written when a generation ended.
            Err(_) if !was_begun => return Ok(None),
            Err(cause) => {
                let (path, testimony) = (storage.path(file.id), testimony());
                return Err(RecoveryError::Header { path, cause, testimony });
            }
        };
        if header.id != file.id {
            let (expected, actual) =
                (format!("the header of {}", file.id), format!("the header of {}", header.id));
            return Err(contradiction(storage, file.id, 0, expected, actual));
        }
        let end = match following {
            Some((next, is_written)) => Some(StatedEnd {
                offset: next.previous_end,
                next_lsn: next.first_lsn,
                sealed: is_written && next.generation == header.generation,
                testimony: format!("the header of {} says that it was durable", next.id),
            }),
            None => covered.end_of(file.id.lane).filter(|covered| covered.end.segment == file.id.number).map(
                |covered| StatedEnd {
                    offset: covered.end.end_offset,
                    next_lsn: covered.end.next_lsn,
                    sealed: false,
                    testimony: "the manifest of the tables says that it was durable".to_owned(),
                },
            ),
        };
        Ok(Some(SegmentCheck {
            file,
            home: FrameHome::new(&header, checksum),
            limit: header.segment_bytes.min(file.bytes),
            end,
            offset: BLOCK,
            next_lsn: header.first_lsn,
        }))
    }

    /// The segment.
    pub fn segment(&self) -> SegmentId {
        self.file.id
    }

    /// Up to where it is checked, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on over about `bytes_budget` bytes, and a frame at least. True when all is checked.
    ///
    /// # Errors
    ///
    /// When the segment cannot be read, or is damaged. That ends the check.
    pub fn step(&mut self, storage: &dyn LogStorage, bytes_budget: usize) -> Result<bool, RecoveryError> {
        let mut reader = SegmentReader::new(storage, self.file, bytes_budget.min(READ_BYTES));
        reader.open(self.file, self.limit);
        let until = self.offset.saturating_add(bytes_budget.max(1) as u64);
        while self.offset < until {
            let is_last = |end: &StatedEnd| self.offset + BLOCK >= end.offset;
            if planted::is(Bug::SkipLastBlocks) && self.end.as_ref().is_some_and(is_last) {
                return Ok(true);
            }
            if self.end.as_ref().is_some_and(|end| self.offset >= end.offset) {
                return self.check_end(storage, &mut reader).map(|()| true);
            }
            let header = match reader.frame(self.offset, &self.home)? {
                Ok(frame) => frame.header,
                Err(cause) => {
                    let testimony = match &self.end {
                        Some(end) => Some(end.testimony.clone()),
                        None => self.later_testimony(&mut reader)?,
                    };
                    let Some(testimony) = testimony else { return Ok(true) };
                    let (path, offset) = (storage.path(self.file.id), self.offset);
                    return Err(RecoveryError::Frame { path, offset, cause: Box::new(cause), testimony });
                }
            };
            self.check_goes_on(storage, &header)?;
            self.offset += header.frame_bytes() as u64;
            self.next_lsn = header.next_lsn();
        }
        Ok(false)
    }

    fn check_goes_on(&self, storage: &dyn LogStorage, header: &FrameHeader) -> Result<(), RecoveryError> {
        if header.first_lsn == self.next_lsn {
            return Ok(());
        }
        let expected = format!("a frame that goes on with record {}", self.next_lsn);
        Err(contradiction(storage, self.file.id, self.offset, expected, format!("{header:?}")))
    }

    /// Checks that the frames end where they must, and the seal behind them.
    fn check_end(
        &self,
        storage: &dyn LogStorage,
        reader: &mut SegmentReader<'_>,
    ) -> Result<(), RecoveryError> {
        let end = self.end.as_ref().expect("the caller has seen that it is stated");
        if (self.offset, self.next_lsn) != (end.offset, end.next_lsn) {
            let expected = format!("record {} to come next: {}", end.next_lsn, end.testimony);
            let actual =
                format!("frames up to offset {} and record {} to come next", self.offset, self.next_lsn);
            return Err(contradiction(storage, self.file.id, end.offset, expected, actual));
        }
        if !end.sealed {
            return Ok(());
        }
        match reader.frame(self.offset, &self.home)? {
            Ok(frame) if frame.header.kind == FrameKind::Seal => Ok(()),
            Ok(frame) => {
                let (expected, actual) =
                    ("the seal of the segment".to_owned(), format!("{:?}", frame.header));
                Err(contradiction(storage, self.file.id, self.offset, expected, actual))
            }
            Err(cause) => Err(RecoveryError::Frame {
                path: storage.path(self.file.id),
                offset: self.offset,
                cause: Box::new(cause),
                testimony: "the next segment was written to, for which the seal of this one must be durable"
                    .to_owned(),
            }),
        }
    }

    /// Where no frame is and nothing says where the frames end: who says that one was durable here, if anybody does.
    fn later_testimony(&self, reader: &mut SegmentReader<'_>) -> Result<Option<String>, RecoveryError> {
        let mut from = self.offset + BLOCK;
        while let Some(offset) = reader.first_written(from)? {
            from = offset + BLOCK;
            let Ok(frame) = reader.frame(offset, &self.home)? else { continue };
            if frame.header.committed_end > self.offset || frame.header.committed_lsn >= self.next_lsn {
                return Ok(Some(format!("the frame at offset {offset} says that it was durable")));
            }
        }
        Ok(None)
    }
}

/// The header of the segment that follows, and whether anything was written behind it. `None` if it has none: then it was not
/// begun, or is itself damaged, which its own check finds.
fn following(
    reader: &mut SegmentReader<'_>,
    next: SegmentFile,
) -> Result<Option<(SegmentHeader, bool)>, RecoveryError> {
    reader.open(next, 2 * BLOCK);
    let Some(Ok((header, _))) = reader.bytes(0, BLOCK_BYTES)?.get(..BLOCK_BYTES).map(SegmentHeader::decode)
    else {
        return Ok(None);
    };
    if header.id != next.id {
        return Ok(None);
    }
    Ok(Some((header, reader.first_written(BLOCK)?.is_some())))
}
