//! What a seed chooses: the machine, its faults, and what clients do.
//!
//! Each seed turns most faults off and a few on, so that every one is also seen alone and in small company.

use std::sync::Arc;

use stemedb_engine::checkpoint::UpkeepConfig;
use stemedb_engine::log::lane::LaneConfig;
use stemedb_engine::log::{BLOCK_BYTES, Generation, SEGMENT_BYTES_LEAST};
use stemedb_engine::slot::LaneId;
use stemedb_net::http::Limits;
use stemedb_tests::Random;

/// How often something happens: once in so many times, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(u64);

impl Rate {
    const NEVER: Rate = Rate(0);

    /// One of `range` in one world of `once_in`, and never in the others.
    fn of(random: &mut Random, range: std::ops::RangeInclusive<u64>, once_in: u64) -> Rate {
        let chosen = random.within(range);
        if random.once_in(once_in) { Rate(chosen) } else { Rate::NEVER }
    }

    /// Whether it happens in this world at all.
    pub(crate) fn may_happen(self) -> bool {
        self.0 != 0
    }

    /// Whether it happens this time.
    pub(crate) fn happens(self, random: &mut Random) -> bool {
        self.may_happen() && random.once_in(self.0)
    }
}

/// What a seed has chosen.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The most cores that a start may have.
    pub(crate) cores_max: u16,
    /// What every lane is like, but for its number and generation.
    pub(crate) lane: LaneConfig,
    /// Limits of connections.
    pub(crate) http: Arc<Limits>,
    /// Connections that a core takes.
    pub(crate) connections_max: usize,
    /// Bytes that a core's part of the log may have.
    pub(crate) wal_bytes_max: u64,
    /// Bytes that the connections of a core may hold together.
    pub(crate) clients_bytes_max: usize,
    /// Bytes that the index of a core may have. An empty one has room for little below 7 MB.
    pub(crate) index_bytes_max: u64,
    /// How many clients there are.
    pub(crate) clients: usize,
    /// How many requests a client sends ahead of their answers.
    pub(crate) pipeline_max: u64,
    /// How many subjects there are, and so how often they meet.
    pub(crate) subjects: u64,
    /// How many sources there are.
    pub(crate) sources: u64,
    /// The longest filling of a value, in bytes, where it is long.
    pub(crate) value_bytes_max: u64,
    /// One of how many values is long.
    pub(crate) values_long_once_in: u64,
    /// How often the machine goes down, or the server is stopped.
    pub(crate) runs: u64,
    /// What clients do between two of those: requests, or claims in batches.
    pub(crate) operations_a_run: u64,
    /// Of the ends of runs, those that are orderly.
    pub(crate) stops: Rate,
    /// Of the runs, those before whose end faults stop for a while.
    pub(crate) lulls: Rate,
    /// Of the starts, those during which the machine goes down again.
    pub(crate) start_crashes: Rate,
    /// Of the starts, those before which something on the disk changes.
    pub(crate) lies: Rate,
    /// Writes that fail.
    pub(crate) write_errors: Rate,
    /// Writes that write less than they should.
    pub(crate) short_writes: Rate,
    /// Writes that take long.
    pub(crate) slow_writes: Rate,
    /// Segments that cannot be prepared, for some reason.
    pub(crate) prepare_errors: Rate,
    /// How often the disk is found full when a segment is prepared.
    pub(crate) full_disk: Rate,
    /// Pieces of what is sent after which a connection breaks.
    pub(crate) resets: Rate,
    /// Pieces of what is sent after which nothing moves for a while.
    pub(crate) stalls: Rate,
    /// Connections whose client takes its answers a little at a time.
    pub(crate) slow_readers: Rate,
    /// Requests after which a client says that it will send no more.
    pub(crate) half_closes: Rate,
    /// Pieces of what is sent that are cut in two.
    pub(crate) cuts: Rate,
    /// Turns of a core after which it gets no processor for a while.
    pub(crate) core_stalls: Rate,
    /// Messages between cores that take long.
    pub(crate) slow_messages: Rate,
    /// How often the wall clock is set to another time.
    pub(crate) clock_jumps: Rate,
    /// Requests that are not what a server should get.
    pub(crate) rude: Rate,
    /// Whether clients speak TLS.
    pub(crate) speaks_tls: bool,
    /// How large checkpoints, tables and steps are.
    pub(crate) upkeep: UpkeepConfig,
    /// Whether the upkeep never gets a processor, so that the log grows as long as there are faults.
    pub(crate) upkeep_starves: bool,
    /// Steps of upkeep that come late.
    pub(crate) upkeep_stalls: Rate,
    /// Steps of upkeep in which the disk fails.
    pub(crate) upkeep_errors: Rate,
    /// Steps of upkeep in which the machine goes down.
    pub(crate) upkeep_crashes: Rate,
    /// Whether snapshots of the indexes are taken.
    pub(crate) takes_snapshots: bool,
    /// Steps of upkeep at which somebody holds the files, so that none may be removed.
    pub(crate) upkeep_holds: Rate,
    /// Reads of tables, for single claims, that fail or give something else than was written.
    pub(crate) read_faults: Rate,
    /// Those that take long.
    pub(crate) slow_reads: Rate,
    /// Of the starts, those in which a read fails.
    pub(crate) start_read_errors: Rate,
    /// Of the starts, those in which something fails that is to open the generation.
    pub(crate) start_errors: Rate,
    /// Steps of upkeep in which a read fails.
    pub(crate) upkeep_read_errors: Rate,
    /// Steps of upkeep before which something on the disk changes.
    pub(crate) lies_in_runs: Rate,
    /// Segments that have their names, those of them at which the process is killed before that is durable.
    pub(crate) name_kills: Rate,
    /// Steps of upkeep that a step of the scrub follows.
    pub(crate) scrubs: Rate,
}

impl Scenario {
    /// The choices of a seed.
    pub(crate) fn of(random: &mut Random) -> Scenario {
        // By numbers of its own, so that it changes nothing else.
        let speaks_tls = random.fork(42).once_in(10);
        let mut of_upkeep = random.fork(43);
        let mut of_log = random.fork(44);
        let mut of_reads = random.fork(45);
        let mut of_disk = random.fork(46);
        let frame_blocks = random.within(2..=12);
        let frame_bytes_max = frame_blocks as usize * BLOCK_BYTES;
        let segment_bytes = SEGMENT_BYTES_LEAST + random.within(0..=16) * BLOCK_BYTES as u64;
        let wal_bytes_max = if of_log.once_in(3) { of_log.within(6..=12) * segment_bytes } else { u64::MAX };
        let frames_in_flight = random.within(1..=2) as usize;
        let lane = LaneConfig {
            segment_bytes,
            frame_bytes_max,
            frames_in_flight,
            frame_buffers: frames_in_flight + random.within(1..=6) as usize,
            ..LaneConfig::new(LaneId(0), Generation::FIRST)
        };
        let http = Limits {
            head_bytes_max: 2048,
            target_bytes_max: 1024,
            body_bytes_max: 16 * 1024,
            input_bytes_max: 4096 << random.within(0..=3),
            output_bytes_max: 4096 << random.within(0..=4),
            requests_outstanding_max: random.within(1..=32) as usize,
            idle_ms: 2000,
            head_ms: 500,
            body_window_ms: 500,
            body_window_bytes_min: 16,
            send_ms: 1000,
            linger_ms: 200,
        };
        // Small enough to be full before the end, by long values.
        let is_index_small = random.once_in(8);
        let value_bytes_top = (frame_bytes_max as u64 - 2048).min(14_000);
        let mut rate = |range: std::ops::RangeInclusive<u64>, once_in: u64| Rate::of(random, range, once_in);
        Scenario {
            stops: rate(2..=8, 1),
            lulls: rate(3..=10, 2),
            start_crashes: rate(2..=4, 2),
            lies: rate(2..=6, 3),
            write_errors: rate(50..=500, 4),
            short_writes: rate(50..=500, 6),
            slow_writes: rate(3..=100, 3),
            prepare_errors: rate(2..=10, 6),
            full_disk: rate(2..=10, 6),
            resets: rate(20..=400, 2),
            stalls: rate(20..=200, 3),
            slow_readers: rate(2..=20, 3),
            half_closes: rate(5..=50, 3),
            cuts: rate(2..=30, 2),
            core_stalls: rate(20..=400, 3),
            slow_messages: rate(2..=50, 3),
            clock_jumps: rate(5..=20, 3),
            rude: rate(5..=50, 3),
            speaks_tls,
            upkeep: UpkeepConfig {
                checkpoint_bytes: of_upkeep.within(16..=256) << 10,
                sort_bytes_max: (of_upkeep.within(64..=256) << 10) as usize,
                step_bytes: (of_upkeep.within(2..=64) << 10) as usize,
                tier_bytes: of_upkeep.within(8..=64) << 10,
                spare_bytes: 2 * segment_bytes,
                segment_bytes,
                core_log_bytes_max: wal_bytes_max,
                archive_hold_bytes_max: 0,
            },
            upkeep_starves: of_upkeep.once_in(5),
            upkeep_stalls: Rate::of(&mut of_upkeep, 3..=50, 3),
            upkeep_errors: Rate::of(&mut of_upkeep, 5..=50, 3),
            upkeep_crashes: Rate::of(&mut of_upkeep, 4..=40, 2),
            takes_snapshots: !of_upkeep.once_in(3),
            upkeep_holds: Rate::of(&mut of_upkeep, 2..=10, 4),
            read_faults: Rate::of(&mut of_reads, 2..=40, 2),
            slow_reads: Rate::of(&mut of_reads, 2..=40, 3),
            start_read_errors: Rate::of(&mut of_disk, 2..=6, 3),
            start_errors: Rate::of(&mut of_disk, 2..=6, 3),
            upkeep_read_errors: Rate::of(&mut of_disk, 5..=100, 3),
            lies_in_runs: Rate::of(&mut of_disk, 5..=200, 3),
            name_kills: Rate::of(&mut of_disk, 5..=50, 4),
            scrubs: Rate::of(&mut of_disk, 1..=20, 2),
            cores_max: if random.once_in(10) { 8 } else { random.within(1..=4) as u16 },
            lane,
            wal_bytes_max,
            http: Arc::new(http),
            connections_max: random.within(3..=16) as usize,
            index_bytes_max: if is_index_small { random.within(6_700_000..=9_000_000) } else { u64::MAX },
            clients: random.within(1..=10) as usize,
            pipeline_max: if random.once_in(2) { 1 } else { random.within(2..=16) },
            subjects: random.within(1..=40),
            sources: random.within(1..=8),
            value_bytes_max: if is_index_small {
                value_bytes_top
            } else {
                random.within(0..=value_bytes_top)
            },
            values_long_once_in: if is_index_small { 1 } else { 10 },
            runs: random.within(6..=20),
            operations_a_run: random.within(10..=160),
            clients_bytes_max: if random.once_in(4) { 256 << 10 } else { usize::MAX },
        }
    }

    /// The same without faults of disk, network and clock, to see that all goes on.
    pub(crate) fn without_faults(&self) -> Scenario {
        let calm = Rate::NEVER;
        Scenario {
            lulls: calm,
            start_crashes: calm,
            lies: calm,
            write_errors: calm,
            short_writes: calm,
            prepare_errors: calm,
            full_disk: calm,
            resets: calm,
            stalls: calm,
            slow_readers: calm,
            core_stalls: calm,
            upkeep_starves: false,
            upkeep_stalls: calm,
            upkeep_errors: calm,
            upkeep_crashes: calm,
            upkeep_holds: calm,
            read_faults: calm,
            start_read_errors: calm,
            start_errors: calm,
            upkeep_read_errors: calm,
            lies_in_runs: calm,
            name_kills: calm,
            clock_jumps: calm,
            rude: calm,
            ..self.clone()
        }
    }
}
