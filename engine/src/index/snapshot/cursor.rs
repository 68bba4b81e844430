//! Taking a snapshot, a piece at a time.

use std::ops::Range;

use super::POSITION_BYTES_MAX;
use super::block::{BlockWriter, PAYLOAD_BYTES_MAX, Section};
use super::sections::Sections;
use crate::index::Index;

/// The most that a step does, in bytes; the last name or series of a step may exceed it.
const STEP_BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 2;

/// A snapshot of an index that is being taken, while the index goes on taking claims and retractions.
///
/// It holds the claims that were there when it was begun, each retracted if it was when its row was written.
#[derive(Debug)]
pub struct SnapshotCursor {
    sections: Sections,
    /// The section that comes next; none at the end.
    section: Option<Section>,
    is_begun: bool,
    blocks: BlockWriter,
}

impl SnapshotCursor {
    /// Begins a snapshot of `index`, which holds the claims of `slots`. `position` says up to where in the log it reaches, to
    /// whoever restores it.
    ///
    /// Panics if the position is longer than [`POSITION_BYTES_MAX`].
    pub fn new(index: &Index, slots: Range<u16>, position: Vec<u8>) -> SnapshotCursor {
        let bytes = position.len();
        assert!(bytes <= POSITION_BYTES_MAX, "a position of {bytes} bytes, {POSITION_BYTES_MAX} at most");
        SnapshotCursor {
            sections: Sections::new(index, slots, position),
            section: Some(Section::Header),
            is_begun: false,
            blocks: BlockWriter::new(),
        }
    }

    /// Appends the next pieces to `out`: about `budget_bytes`, but for names, and less where pieces take long. True if the
    /// snapshot is whole, with all that was appended before.
    ///
    /// `index` is the one that the snapshot was begun with.
    pub fn step(&mut self, index: &Index, budget_bytes: usize, out: &mut Vec<u8>) -> bool {
        if !self.is_begun {
            BlockWriter::begin(out);
            self.is_begun = true;
        }
        let mut budget = budget_bytes.clamp(1, STEP_BYTES_MAX);
        while budget > 0 {
            let Some(section) = self.section else { break };
            if self.sections.is_written(section) {
                self.section = section.next();
                self.sections.begin();
                continue;
            }
            let sections = &mut self.sections;
            let cost = self.blocks.append(section, out, |out| sections.append(section, index, budget, out));
            budget = budget.saturating_sub(cost);
        }
        // What is written to its end is left at once, so that nobody comes once more for nothing.
        while let Some(section) = self.section.filter(|section| self.sections.is_written(*section)) {
            self.section = section.next();
            self.sections.begin();
        }
        self.section.is_none()
    }
}
