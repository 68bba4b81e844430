//! Goal: no promise is broken in the first few worlds, and a seed says all. Method: some seeds, each run twice. The
//! program `stemedb-simulator` runs them by the thousand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use stemedb_simulator::{Totals, World};

/// Without optimisation a world takes about a second.
const SEEDS: u64 = if cfg!(debug_assertions) { 10 } else { 200 };

/// Goal: TLS breaks no promise, connections that break at any byte of it included, and a seed says all of it too.
/// Method: worlds whose clients all speak it, each run twice.
#[test]
fn tls_breaks_no_promise_and_a_seed_says_all_of_it() {
    let mut totals = Totals::default();
    for seed in 1..=SEEDS.div_ceil(2) {
        totals += &run_twice(World { seed, speaks_tls: true });
    }
    let Totals { operations, crashes, resets, answers, .. } = totals;
    assert!(operations > 100 * SEEDS && crashes > SEEDS && resets > 0, "{operations}, {crashes}, {resets}");
    assert!([200, 201, 400, 404, 405, 503].iter().all(|status| answers.contains_key(status)), "{answers:?}");
}

/// Runs a world twice, and says how to see it again if it breaks a promise or differs from itself.
fn run_twice(world: World) -> Totals {
    struct LastWords(World);
    impl Drop for LastWords {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("{}", self.0);
            }
        }
    }
    let _last_words = LastWords(world);
    let (outcome, again) = (world.simulation(false).run(), world.simulation(false).run());
    assert_eq!(outcome.sum, again.sum, "two runs of it differ");
    outcome.totals
}

/// What goes wrong in some world or other.
const FAULTS: [&str; 48] = [
    "log: Rot",
    "log: Lost",
    "log: Misdirected",
    "log: RotOfNothing",
    "log: Unreadable",
    "log: Stray",
    "log: SegmentGone",
    "log: LaneGone",
    "log: Replaced",
    "log: Older",
    "store: Rot",
    "store: Lost",
    "store: Cut",
    "snapshot: Rot",
    "snapshot: Lost",
    "snapshot: Cut",
    "snapshot: Gone",
    "unfinished write: all of it is left",
    "unfinished write: nothing is left",
    "unfinished write: its beginning is left",
    "unfinished write: some sectors are left",
    "unfinished write: a wrong bit",
    "power cut: the name of a segment is gone",
    "power cut: a removed segment is back",
    "power cut: blocks of a segment as they were",
    "power cut: a name of tables or manifest as it was",
    "write failed",
    "write was short",
    "write was slow",
    "segment was not prepared",
    "disk was full",
    "read was slow",
    "read of a start failed",
    "opening failed",
    "crash at the last operation of a start",
    "operation of upkeep failed",
    "read of upkeep failed",
    "damage met by upkeep",
    "damage met by the scrub",
    "change in a run",
    "killed before a name is durable",
    "stop was cut short",
    "core stalled",
    "messages between cores were late",
    "connection was half-closed",
    "connection broke in the midst of what was sent",
    "bytes came in pieces",
    "files were held",
];

#[test]
fn no_promise_is_broken_and_a_seed_says_all() {
    let next = AtomicU64::new(1);
    let worlds = || {
        let mut totals = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > SEEDS {
                return totals;
            }
            totals += &run_twice(World { seed, speaks_tls: false });
        }
    };
    let mut totals = Totals::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(worlds)).collect();
        threads.into_iter().for_each(|thread| totals += &thread.join().expect("no promise is broken"));
    });
    // Worlds in which nothing happens would break no promise either.
    let Totals {
        operations,
        crashes,
        start_crashes,
        stops,
        writes_torn,
        writes_failed,
        lies_refused,
        resets,
        stalls,
        slow_readers,
        inspections,
        clock_jumps,
        upkeep_crashes,
        upkeep_failures,
        checkpoints,
        merges,
        segments_removed,
        tables_removed,
        starts_on_tables,
        log_full,
        snapshots,
        starts_on_snapshots,
        scrubbed,
        reads,
        reads_failed,
        ..
    } = totals;
    assert!(operations > 500 * SEEDS && crashes > 5 * SEEDS, "{operations} operations, {crashes} crashes");
    let rare = [
        start_crashes,
        stops,
        writes_torn,
        writes_failed,
        lies_refused,
        resets,
        stalls,
        slow_readers,
        clock_jumps,
    ];
    assert!(rare.iter().all(|count| *count > 0), "{rare:?}");
    assert!(
        inspections > SEEDS,
        "{inspections}: one at the end of each world, and in the midst of some runs"
    );
    let of_tables = [upkeep_crashes, merges, segments_removed, tables_removed, starts_on_tables];
    let of_upkeep = [&of_tables[..], &[snapshots, starts_on_snapshots, scrubbed]].concat();
    assert!(checkpoints > SEEDS && of_upkeep.iter().all(|count| *count > 0), "{checkpoints}, {of_upkeep:?}");
    // Most worlds have none: ten may well be without.
    assert!(cfg!(debug_assertions) || upkeep_failures > 0, "no operation of upkeep has failed");
    assert!(cfg!(debug_assertions) || log_full > 0, "no log was full");
    assert!(
        cfg!(debug_assertions) || (reads > SEEDS && reads_failed > 0),
        "{reads} reads, {reads_failed} wrong"
    );
    // A fault that is drawn no more shows nothing.
    let missed: Vec<_> = FAULTS.iter().filter(|fault| !totals.faults.contains_key(**fault)).collect();
    assert!(cfg!(debug_assertions) || missed.is_empty(), "{missed:?} in none of {SEEDS} worlds");
    assert!([200, 201, 400, 404, 405, 500, 503].iter().all(|status| totals.answers.contains_key(status)));
}
