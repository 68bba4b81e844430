//! What is changed on the disk that it had promised to keep: before a start, and while the server runs.

use stemedb_tests::Random;

use crate::disk::{Lie, SnapshotLie, StoreLie};
use crate::simulation::Simulation;

impl Simulation {
    /// Changes something on the disk.
    pub(crate) fn lie(&mut self) {
        if self.scenario.takes_snapshots && self.random.once_in(3) {
            self.lie_about_snapshot();
        } else if self.random.once_in(3) {
            self.lie_about_store();
        } else {
            let lies = [
                Lie::Rot,
                Lie::Lost,
                Lie::Misdirected,
                Lie::RotOfNothing,
                Lie::Unreadable,
                Lie::Stray,
                Lie::Stray,
                Lie::SegmentGone,
                Lie::LaneGone,
                Lie::Replaced,
                Lie::Older,
                Lie::Older,
            ];
            self.lie_about_log(&lies);
        }
    }

    /// The same while the server runs.
    pub(crate) fn lie_in_run(&mut self) {
        let has_lied = if self.random.once_in(3) {
            self.lie_about_log(&[Lie::Rot, Lie::Lost, Lie::RotOfNothing, Lie::Unreadable])
        } else {
            let has_lied = self.lie_about_store();
            // Cores may read it from now on.
            self.model.reads_failed |= has_lied;
            has_lied
        };
        if has_lied {
            self.totals.count_fault("change in a run");
        }
    }

    /// Changes something in the log, if something is there. One change at a time: two could take away what says that either was
    /// written.
    fn lie_about_log(&mut self, lies: &[Lie]) -> bool {
        let lie = one_of(&mut self.random, lies);
        let mut disk = self.disk.get();
        if disk.is_lying() {
            return false;
        }
        let lied_about = disk.lie(lie);
        drop(disk);
        if let Some(segment) = lied_about {
            self.auditor.tell(self.time_us, || format!("{lie:?} in {segment}"));
            self.totals.count_fault(format!("log: {lie:?}"));
            self.totals.lies += 1;
        }
        lied_about.is_some()
    }

    /// Changes a table or the manifest, if one is there.
    fn lie_about_store(&mut self) -> bool {
        let lie = one_of(&mut self.random, &[StoreLie::Rot, StoreLie::Lost, StoreLie::Cut]);
        let lied_about = self.disk.get().lie_about_store(lie);
        if let Some(file) = lied_about {
            self.auditor.tell(self.time_us, || format!("{lie:?} in {file:?}"));
            self.totals.count_fault(format!("store: {lie:?}"));
            self.totals.lies += 1;
        }
        lied_about.is_some()
    }

    fn lie_about_snapshot(&mut self) {
        let lies = [SnapshotLie::Rot, SnapshotLie::Lost, SnapshotLie::Cut, SnapshotLie::Gone];
        let lie = one_of(&mut self.random, &lies);
        if let Some(part) = self.disk.get().lie_about_snapshot(lie) {
            self.auditor.tell(self.time_us, || format!("{lie:?} in {part}"));
            self.totals.count_fault(format!("snapshot: {lie:?}"));
            self.totals.lies += 1;
            self.has_snapshot &= lie != SnapshotLie::Gone;
        }
    }
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.within(0..=all.len() as u64 - 1) as usize]
}
