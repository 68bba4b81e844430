//! The snapshots of the cores' indexes: the server's own orders and writer, as the thread for upkeep has them, and the way between
//! them and the cores.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stemedb_engine::checkpoint::{Manifest, UpkeepConfig};
use stemedb_engine::slot::{CoreId, SlotMap};
use stemedb_engine::snapshots::SnapshotFacts;
use stemedb_engine::time::UnixMicros;
use stemedb_net::core::SnapshotOrder;
use stemedb_net::driver::PieceSender;
use stemedb_net::server::recovery::UsedSnapshot;
use stemedb_net::server::snapshots::{SnapshotCores, SnapshotPlan, Snapshots};

use crate::disk::SharedDisk;
use crate::server::Happening;
use crate::simulation::{Event, Simulation};

/// Takes snapshots.
pub(crate) struct Taker {
    snapshots: Snapshots,
    post: Arc<Post>,
    /// What is counted, for all cores.
    facts: SnapshotFacts,
    /// Whether it is foreseen that pieces are written.
    is_foreseen: bool,
}

/// What cores and the thread have told each other and neither has heard yet.
#[derive(Default)]
struct Post {
    to_cores: Mutex<Vec<(usize, Told)>>,
    piece_came: AtomicBool,
}

/// What a core is told.
enum Told {
    Take(SnapshotOrder, PieceSender),
    Wake,
}

impl Taker {
    /// One that has taken none yet, for the generation that was opened at `opened`.
    pub(crate) fn new(
        disk: &SharedDisk,
        slots: SlotMap,
        opened: UnixMicros,
        used: Option<&UsedSnapshot>,
        upkeep: &UpkeepConfig,
    ) -> Taker {
        let (post, facts) = (Arc::new(Post::default()), SnapshotFacts::default());
        let plan = SnapshotPlan {
            storage: Box::new(disk.clone()),
            slots: (0..slots.cores()).map(|core| slots.slots_of(CoreId(core))).collect(),
            cores: Box::new(PostToCores(Arc::clone(&post))),
            opened,
            checkpoints: used.map_or(0, UsedSnapshot::checkpoints),
            checkpoint_bytes: upkeep.checkpoint_bytes,
            spare_bytes: upkeep.spare_bytes,
            facts: facts.clone(),
        };
        let noted = Arc::clone(&post);
        let notify = Arc::new(move || noted.piece_came.store(true, Ordering::Relaxed));
        Taker { snapshots: Snapshots::new(plan, notify), post, facts, is_foreseen: false }
    }

    /// What it counts.
    pub(crate) fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    /// Orders a snapshot of what is in these tables and more, if one is due.
    pub(crate) fn begin_if_due(&mut self, manifest: &Manifest, now: stemedb_net::core::Now) {
        self.snapshots.begin_if_due(manifest, now);
    }
}

impl fmt::Debug for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taker").field("facts", &self.facts.figures()).finish_non_exhaustive()
    }
}

struct PostToCores(Arc<Post>);

impl PostToCores {
    fn tell(&self, core: usize, told: Told) {
        self.0.to_cores.lock().expect("nobody panics with it").push((core, told));
    }
}

impl SnapshotCores for PostToCores {
    fn order(&self, core: usize, order: SnapshotOrder, pieces: PieceSender) {
        self.tell(core, Told::Take(order, pieces));
    }

    fn wake(&self, core: usize) {
        self.tell(core, Told::Wake);
    }
}

impl Simulation {
    /// Passes on what cores and the writer of snapshots have told each other.
    pub(crate) fn pass_on_snapshots(&mut self) {
        let Some(taker) = self.server.as_mut().and_then(|server| server.keeper.taker()) else { return };
        let to_cores = std::mem::take(&mut *taker.post.to_cores.lock().expect("nobody panics with it"));
        if taker.post.piece_came.swap(false, Ordering::Relaxed) {
            taker.snapshots.piece_came();
        }
        let due_us = taker.snapshots.due_us().filter(|_| !taker.is_foreseen);
        taker.is_foreseen |= due_us.is_some();
        for (core, told) in to_cores {
            match told {
                Told::Take(order, pieces) => self.tell(core, Happening::TakeSnapshot(order, pieces)),
                Told::Wake => {
                    let latency_us = self.random.within(0..=20);
                    self.call(core, latency_us);
                }
            }
        }
        if let Some(due_us) = due_us {
            let in_us = if self.scenario.upkeep_stalls.happens(&mut self.random) {
                self.random.within(10_000..=3_000_000)
            } else {
                self.random.within(0..=1_000)
            };
            self.schedule.add(due_us.max(self.time_us) + in_us, Event::Snapshot);
        }
    }

    /// The thread writes a piece of each core that has one.
    pub(crate) fn write_snapshot(&mut self) {
        let time_us = self.time_us;
        let Some(taker) = self.server().keeper.taker() else { return };
        taker.is_foreseen = false;
        if taker.snapshots.due_us().is_none_or(|due_us| due_us > time_us) {
            self.pass_on_snapshots();
            return;
        }
        let faults = self.foresee_faults();
        let Some(taker) = self.server().keeper.taker() else { return };
        let before = taker.facts.figures();
        taker.snapshots.write(time_us);
        let after = taker.facts.figures();
        self.auditor.note(self.time_us, "snapshot", after.taken, self.disk.get().moment());
        if self.ends_in_step() {
            return;
        }
        let has_failed = self.disk.get().has_failed(faults);
        self.check_snapshots(before.failures, has_failed);
        if after.taken > before.taken {
            self.auditor.tell(self.time_us, || format!("a snapshot of {} bytes", after.last_bytes));
            self.totals.snapshots += 1;
            self.has_snapshot = true;
        }
        self.pass_on_snapshots();
    }

    /// Checks that a snapshot that has failed since had a reason for it. That the disk is full is none: then it is not written.
    pub(crate) fn check_snapshots(&mut self, failures_before: u64, has_failed: bool) {
        let Some(taker) = self.server().keeper.taker() else { return };
        let failures = taker.facts.figures().failures;
        assert!(failures == failures_before || has_failed, "a snapshot fails on a sound disk");
        self.totals.snapshot_failures += failures - failures_before;
    }
}
