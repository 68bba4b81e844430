//! The files of a lane's segments.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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
    open: OpenSegments,
    progress: LaneProgress,
    prepared: (Sender<Prepared>, Receiver<Prepared>),
}

/// The segments that a lane writes to.
#[derive(Default)]
struct OpenSegments(Vec<(SegmentNumber, Descriptor)>);

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
            open: OpenSegments::default(),
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
        let id = SegmentId { lane: self.source.lane, number };
        self.open.file(number, &self.source.directory.join(id.to_string()))
    }

    /// Closes the segments before this one, which are sealed.
    pub(super) fn close_before(&mut self, writing: SegmentNumber) {
        self.open.close_before(writing);
    }
}

impl OpenSegments {
    /// The file of a segment, which is opened if it is not open.
    fn file(&mut self, number: SegmentNumber, path: &Path) -> io::Result<&Descriptor> {
        let OpenSegments(open) = self;
        let at = match open.iter().position(|(open, _)| *open == number) {
            Some(at) => at,
            None => {
                assert!(open.len() < OPEN_MAX, "segments are closed when they are sealed");
                let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path)?;
                open.push((number, Descriptor::from(OwnedFd::from(file))));
                open.len() - 1
            }
        };
        Ok(&open[at].1)
    }

    /// Closes those before this one. As long as one is open, removing its file gives back nothing; who closes it then waits until the file
    /// system has given back all of it.
    fn close_before(&mut self, writing: SegmentNumber) {
        self.0.retain(|(number, _)| *number >= writing);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    /// Goal: the space of a segment is the file system's again when its file is removed. Method: two segments are opened, one is sealed, and what the process still has open is read from the kernel.
    #[test]
    fn a_sealed_segment_is_closed_and_others_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |number: u64| directory.path().join(number.to_string());
        let is_open = |number: u64| {
            let files = fs::read_dir("/proc/self/fd").expect("Linux has it");
            files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|file| file == path(number))
        };
        let mut open = OpenSegments::default();
        for number in [7, 8] {
            File::create(path(number)).expect("writable");
            open.file(SegmentNumber(number), &path(number)).expect("it is there");
            open.file(SegmentNumber(number), Path::new("is open already")).expect("it is open");
        }
        assert!(is_open(7) && is_open(8));
        open.close_before(SegmentNumber(8));
        assert!(!is_open(7) && is_open(8));
        open.file(SegmentNumber(9), &path(9)).expect_err("nobody made it");
    }
}
