//! The scrub of a world at rest: all is read again, as it is, and then with damage in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use stemedb_engine::checkpoint::{Manifest, Scrubbed};
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::LogStorage;
use stemedb_engine::table::TableStorage;

use crate::disk::{Lie, StoreFile, StoreLie};
use crate::simulation::Simulation;
use crate::upkeep::begin;

/// How often to look for a place to damage: not each is in a file that is read.
const ATTEMPTS: u32 = 8;

impl Simulation {
    /// Checks that the scrub tells each damaged file, and no other.
    pub(crate) fn scrub(&mut self) {
        // What changed before and made no difference.
        self.disk.get().repair();
        let manifest = self.server().keeper.manifest().expect("it was just started").clone();
        let found = self.scrub_all(&manifest);
        assert!(found.is_empty(), "the scrub finds damage in a sound store: {found:?}");
        let damaged: BTreeSet<_> = self.damage_table().into_iter().chain(self.damage_segment()).collect();
        self.auditor.tell(self.time_us, || format!("damage in {damaged:?}"));
        let found = self.scrub_all(&manifest);
        assert_eq!(found, damaged, "files that the scrub finds damaged, and those that are");
        self.totals.scrubbed += found.len() as u64;
        self.disk.get().repair();
        self.disk.get().repair_store();
    }

    /// Reads all once. Gives the files that are damaged.
    fn scrub_all(&mut self, manifest: &Manifest) -> BTreeSet<PathBuf> {
        let writing = self.server().keeper.writing().clone();
        let mut upkeep = begin(&self.disk, self.scenario.upkeep, manifest.clone(), writing);
        loop {
            match upkeep.scrub(self.now().wall) {
                Scrubbed::Sound { .. } | Scrubbed::Damaged(_) => {}
                Scrubbed::Skipped { problem } => panic!("the scrub passes over a file: {problem}"),
                Scrubbed::Passed => {
                    return upkeep.facts().damage().into_iter().map(|place| place.path).collect();
                }
            }
        }
    }

    /// Damages a table, if there is one.
    fn damage_table(&mut self) -> Option<PathBuf> {
        for _ in 0..ATTEMPTS {
            let lie = if self.random.once_in(2) { StoreLie::Rot } else { StoreLie::Lost };
            let file = self.disk.get().lie_about_store(lie);
            if let Some(StoreFile::Table(number)) = file {
                return Some(TableStorage::path(&self.disk, number));
            }
            self.disk.get().repair_store();
        }
        None
    }

    /// Damages a segment that has ended, if there is one.
    fn damage_segment(&mut self) -> Option<PathBuf> {
        for _ in 0..ATTEMPTS {
            let segment = self.disk.get().lie(Lie::Rot);
            if let Some(segment) = segment.filter(|segment| self.has_ended(*segment)) {
                return Some(LogStorage::path(&self.disk, segment));
            }
            self.disk.get().repair();
        }
        None
    }

    /// Whether the lane has gone on to another segment, which says where this one ends.
    fn has_ended(&mut self, segment: SegmentId) -> bool {
        let writing = self.server().keeper.writing().get(&segment.lane).copied();
        writing.is_some_and(|writing| segment.number < writing)
    }
}
