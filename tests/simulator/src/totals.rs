//! What has happened, in figures.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

use crate::answers::Answers;

/// What has happened in one world, or in many.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Requests that clients sent, and claims in batches instead of these.
    pub operations: u64,
    /// Times at which the machine went down or the server was killed, starts that were cut short included.
    pub crashes: u64,
    /// Those of them that happened while the server was starting.
    pub start_crashes: u64,
    /// Orderly ends.
    pub stops: u64,
    /// Runs of the server.
    pub runs: u64,
    /// Writes that lanes began.
    pub writes: u64,
    /// Those of them that a crash cut short, so that they are not there, or not as a whole.
    pub writes_torn: u64,
    /// Those of them that failed.
    pub writes_failed: u64,
    /// Reads of tables for single claims.
    pub reads: u64,
    /// Those of them that failed, or gave something else than was written.
    pub reads_failed: u64,
    /// Steps of upkeep.
    pub upkeep_steps: u64,
    /// Those of them in the midst of which the machine went down.
    pub upkeep_crashes: u64,
    /// Those of them that failed.
    pub upkeep_failures: u64,
    /// Checkpoints that were made.
    pub checkpoints: u64,
    /// Merges of tables.
    pub merges: u64,
    /// Segments whose claims are in tables, and that were removed.
    pub segments_removed: u64,
    /// Tables that were merged into others, or never listed, and were removed.
    pub tables_removed: u64,
    /// Starts that found tables.
    pub starts_on_tables: u64,
    /// Snapshots of the indexes that were taken.
    pub snapshots: u64,
    /// Those that were given up.
    pub snapshot_failures: u64,
    /// Starts that had claims from a snapshot.
    pub starts_on_snapshots: u64,
    /// Those of them that found a part of it damaged.
    pub snapshots_damaged: u64,
    /// Damaged files that the scrub of a world at rest has told.
    pub scrubbed: u64,
    /// Changes made to what the disk held.
    pub lies: u64,
    /// Those of them that a start refused.
    pub lies_refused: u64,
    /// Connections that broke.
    pub resets: u64,
    /// Connections on which nothing moved for a while.
    pub stalls: u64,
    /// Connections whose client took its answers a little at a time.
    pub slow_readers: u64,
    /// Times at which, without faults, every core had to make progress and all figures had to be right.
    pub inspections: u64,
    /// Messages between cores.
    pub messages: u64,
    /// Times at which the wall clock was set.
    pub clock_jumps: u64,
    /// Bytes on the disk in the end.
    pub disk_bytes: u64,
    /// How much time passed in the world, in microseconds.
    pub virtual_us: u64,
    /// Everything that was noted.
    pub events: u64,
    /// Writes, or batches with some, that were refused because the log was as large as it may be.
    pub log_full: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// What went wrong with disk, network and cores, by its kind.
    pub faults: BTreeMap<String, u64>,
}

impl Totals {
    /// Takes in what clients were answered.
    pub(crate) fn count_answers(&mut self, answers: &Answers) {
        self.answers.clone_from(answers.by_status());
        self.log_full = answers.log_full();
    }

    /// Counts something that has gone wrong with the disk.
    pub(crate) fn count_fault(&mut self, kind: impl ToString) {
        *self.faults.entry(kind.to_string()).or_default() += 1;
    }
}

impl AddAssign<&Totals> for Totals {
    fn add_assign(&mut self, other: &Totals) {
        self.operations += other.operations;
        self.crashes += other.crashes;
        self.start_crashes += other.start_crashes;
        self.stops += other.stops;
        self.runs += other.runs;
        self.writes += other.writes;
        self.writes_torn += other.writes_torn;
        self.writes_failed += other.writes_failed;
        self.reads += other.reads;
        self.reads_failed += other.reads_failed;
        self.upkeep_steps += other.upkeep_steps;
        self.upkeep_crashes += other.upkeep_crashes;
        self.upkeep_failures += other.upkeep_failures;
        self.checkpoints += other.checkpoints;
        self.merges += other.merges;
        self.segments_removed += other.segments_removed;
        self.tables_removed += other.tables_removed;
        self.starts_on_tables += other.starts_on_tables;
        self.scrubbed += other.scrubbed;
        self.snapshots += other.snapshots;
        self.snapshot_failures += other.snapshot_failures;
        self.starts_on_snapshots += other.starts_on_snapshots;
        self.snapshots_damaged += other.snapshots_damaged;
        self.lies += other.lies;
        self.lies_refused += other.lies_refused;
        self.resets += other.resets;
        self.stalls += other.stalls;
        self.slow_readers += other.slow_readers;
        self.inspections += other.inspections;
        self.messages += other.messages;
        self.clock_jumps += other.clock_jumps;
        self.disk_bytes += other.disk_bytes;
        self.virtual_us += other.virtual_us;
        self.events += other.events;
        self.log_full += other.log_full;
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
    }
}
