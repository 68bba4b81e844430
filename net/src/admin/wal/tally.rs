//! What one segment holds, in numbers.

use stemedb_engine::log::frame::FrameKind;
use stemedb_engine::log::inspect::Inspected;

/// Counts of the frames of one segment.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Frames that hold records.
    pub(super) frames: u64,
    pub(super) markers: u64,
    pub(super) sealed: bool,
    pub(super) records: u64,
    /// The numbers of the first and the last record.
    pub(super) lsns: Option<(u64, u64)>,
    /// The highest LSN that a frame says is durable.
    pub(super) committed_lsn: u64,
    /// Where the last frame ends, in bytes.
    pub(super) end: u64,
    /// Places that are no frames.
    pub(super) bad: u64,
}

impl Tally {
    pub(super) fn add(&mut self, inspected: &Inspected) {
        match inspected {
            Inspected::Frame { offset, header } => {
                match header.kind {
                    FrameKind::Records => self.frames += 1,
                    FrameKind::Marker => self.markers += 1,
                    FrameKind::Seal => self.sealed = true,
                }
                self.records += u64::from(header.records);
                if header.records > 0 {
                    let (first, last) = (header.first_lsn.0, header.next_lsn().0 - 1);
                    self.lsns = Some((self.lsns.map_or(first, |(first, _)| first), last));
                }
                self.committed_lsn = self.committed_lsn.max(header.committed_lsn.0);
                self.end = offset + header.frame_bytes() as u64;
            }
            Inspected::Bad { .. } => self.bad += 1,
            Inspected::Segment { .. }
            | Inspected::Record(_)
            | Inspected::Removed { .. }
            | Inspected::Unreadable { .. } => {}
        }
    }

    /// Whether the segment holds nothing that was ever written.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0 && self.bad == 0
    }
}
