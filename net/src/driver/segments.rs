//! The files of a lane's segments.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use stemedb_engine::background::{BackgroundHandle, LaneProgress, PrepareSegment};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::ring::{Descriptor, Waker};
use stemedb_engine::slot::LaneId;

/// Where a lane's segments are, how large they are, and who prepares them.
#[derive(Clone)]
pub struct SegmentSource {
    /// The directory of the log.
    pub directory: PathBuf,
    /// The lane.
    pub lane: LaneId,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Prepares segments.
    pub background: BackgroundHandle,
    /// Wakes the lane's core when one is prepared.
    pub waker: Waker,
}

/// The open segments of a lane, and the one being prepared.
pub(super) struct Segments {
    source: SegmentSource,
    /// Ascending; those before the last two are closed.
    open: Vec<(SegmentNumber, Descriptor)>,
    progress: LaneProgress,
    prepared: (Sender<Prepared>, Receiver<Prepared>),
}

/// A segment that was to be prepared, and the kernel's error number or what else went wrong.
pub(super) type Prepared = (SegmentNumber, Result<(), PrepareError>);

/// Why a segment is not there.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct PrepareError {
    message: String,
    pub(super) no_space: bool,
}

/// Segments that a lane may write at once: the one being sealed and the next.
const OPEN_MAX: usize = 2;

impl Segments {
    pub(super) fn new(source: SegmentSource) -> Segments {
        Segments {
            source,
            open: Vec::with_capacity(OPEN_MAX + 1),
            progress: LaneProgress::waiting(),
            prepared: channel(),
        }
    }

    /// Has a segment prepared in the background.
    pub(super) fn prepare(&mut self, number: SegmentNumber) {
        let SegmentSource { directory, lane, segment_bytes, background, waker } = &self.source;
        let path = directory.join(SegmentId { lane: *lane, number }.to_string());
        let segment = PrepareSegment::new(path, *segment_bytes, self.progress.clone());
        let (sender, waker) = (self.prepared.0.clone(), waker.clone());
        let submitted = background.prepare_segment(segment, move |result| {
            let result = result.map_err(|error| PrepareError {
                no_space: matches!(error.errno(), Some(libc::ENOSPC | libc::EDQUOT)),
                message: error.to_string(),
            });
            // The core has ended if nobody listens.
            let _ = sender.send((number, result));
            waker.wake();
        });
        if let Err(error) = submitted {
            let error = PrepareError { message: error.to_string(), no_space: false };
            self.prepared.0.send((number, Err(error))).expect("the receiver is in the same place");
        }
    }

    /// The next segment that has been prepared or has failed to be.
    pub(super) fn next_prepared(&mut self) -> Option<Prepared> {
        self.prepared.1.try_recv().ok()
    }

    /// Notes that a segment is filled up to `bytes`.
    pub(super) fn reached(&mut self, segment: SegmentNumber, bytes: u64) {
        self.progress.reached(segment, bytes);
    }

    /// The file of a segment that is prepared.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(super) fn file(&mut self, number: SegmentNumber) -> io::Result<&Descriptor> {
        if self.open.iter().all(|(open, _)| *open != number) {
            let id = SegmentId { lane: self.source.lane, number };
            let file = OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_DIRECT)
                .open(self.source.directory.join(id.to_string()))?;
            if self.open.len() == OPEN_MAX {
                self.open.remove(0);
            }
            self.open.push((number, Descriptor::from(OwnedFd::from(file))));
        }
        let (_, file) = self.open.iter().find(|(open, _)| *open == number).expect("it was just opened");
        Ok(file)
    }
}
