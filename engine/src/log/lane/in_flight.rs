//! The writes of a lane that are under way, in the order in which they were started.

use std::collections::VecDeque;

use crate::log::frame::FrameHeader;
use crate::log::lane::{FailureCause, WriteId};
use crate::log::segment::SegmentId;
use crate::planted::{self, Bug};
use crate::ring::aligned::AlignedBuffer;

/// What a write is.
#[derive(Debug, Clone, Copy)]
pub(super) enum WriteKind {
    Header,
    Frame(FrameHeader),
    Marker,
    Seal,
}

/// A write that was started.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlightWrite {
    pub(super) kind: WriteKind,
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

/// A write that is durable.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) write: InFlightWrite,
    pub(super) buffer: AlignedBuffer,
}

#[derive(Debug)]
struct Entry {
    id: WriteId,
    write: InFlightWrite,
    /// The buffer, once the write is done.
    buffer: Option<AlignedBuffer>,
}

/// All writes that were started and whose results were not yet told.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    entries: VecDeque<Entry>,
    started: u64,
    /// What a planted bug has done once more, and the last that it had.
    #[cfg(feature = "planted-bugs")]
    again: (Vec<super::LaneWrite>, Option<WriteId>),
}

impl InFlight {
    pub(super) fn start(&mut self, write: InFlightWrite) -> WriteId {
        self.started += 1;
        let id = WriteId(self.started);
        self.entries.push_back(Entry { id, write, buffer: None });
        id
    }

    /// Notes that a write is done; if it did not write all its bytes, takes it out and says why it failed.
    pub(super) fn done(
        &mut self,
        id: WriteId,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
    ) -> Result<(), (InFlightWrite, FailureCause)> {
        let at = self.entries.iter().position(|entry| entry.id == id && entry.buffer.is_none());
        let at = at.unwrap_or_else(|| panic!("{id:?} is done, but was not in flight"));
        let bytes = self.entries[at].write.bytes;
        let cause = match result {
            Ok(_) if planted::is(Bug::BelieveShortWrites) => {
                self.entries[at].buffer = Some(buffer);
                return Ok(());
            }
            Err(_) if planted::is(Bug::BelieveFailedWrites) => {
                self.entries[at].buffer = Some(buffer);
                return Ok(());
            }
            Ok(written) if written == bytes => {
                self.entries[at].buffer = Some(buffer);
                return Ok(());
            }
            Ok(written) => FailureCause::Short { written },
            Err(errno) => FailureCause::Error { errno },
        };
        let entry = self.entries.remove(at).expect("it was found there");
        Err((entry.write, cause))
    }

    /// Has a write done once more, but not a third time. Gives its buffer back if it is the third.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn retry(&mut self, id: WriteId, buffer: AlignedBuffer) -> Option<AlignedBuffer> {
        let (again, last) = &mut self.again;
        if last.replace(id) == Some(id) {
            return Some(buffer);
        }
        let entry = self.entries.iter().find(|entry| entry.id == id).expect("what has failed was in flight");
        let InFlightWrite { segment, offset, bytes, .. } = entry.write;
        again.push(super::LaneWrite { id, segment: segment.number, offset, buffer, bytes });
        None
    }

    /// The next write that is to be done once more.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn next_retry(&mut self) -> Option<super::LaneWrite> {
        self.again.0.pop()
    }

    /// Takes out the first write, if it is done.
    pub(super) fn pop_done(&mut self) -> Option<Done> {
        if planted::is(Bug::AcknowledgeOutOfOrder)
            && let Some(done) = self.entries.iter().position(|entry| entry.buffer.is_some())
        {
            self.entries.swap(0, done);
        }
        let buffer = self.entries.front_mut()?.buffer.take()?;
        let entry = self.entries.pop_front().expect("there is a front");
        Some(Done { write: entry.write, buffer })
    }

    /// Drops all that is done: the lane has failed, and none of it will be acknowledged.
    pub(super) fn forget_done(&mut self) {
        self.entries.retain(|entry| entry.buffer.is_none());
    }

    /// How many writes were started and are not yet told to be durable.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them have not returned their buffers.
    pub(super) fn under_way(&self) -> usize {
        self.entries.iter().filter(|entry| entry.buffer.is_none()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
