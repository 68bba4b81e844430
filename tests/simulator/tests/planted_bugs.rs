//! Goal: a checker that cannot fail is worth nothing; the simulator finds a bug in each promise of the store. Method:
//! one deliberate bug after the other is planted, and seeds are run until one of them shows it by the promise that the bug
//! breaks: whatever else goes wrong in a world does not count.

#![cfg(feature = "planted-bugs")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use stemedb_engine::planted::{Bug, plant};
use stemedb_simulator::World;

/// Within how many seeds each bug must show.
const SEEDS_MAX: u64 = 500;

thread_local! {
    /// What the thread's last panic said.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[test]
fn every_planted_bug_is_found() {
    std::panic::set_hook(Box::new(|panic| SAID.set(Some(panic.to_string()))));
    let next = AtomicUsize::new(0);
    let missed_of_some = || {
        let mut missed = Vec::new();
        while let Some(&(bug, invariant)) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let shown = |seed| broken_promise(bug, seed).filter(|said| said.contains(sign(bug)));
            match (1..=SEEDS_MAX).find_map(|seed| shown(seed).map(|said| (seed, said))) {
                Some((seed, said)) => {
                    let said = said.lines().nth(1).unwrap_or_default().chars().take(120).collect::<String>();
                    println!("invariant {invariant}: {bug:?} found by seed {seed}: {said}");
                }
                None => missed.push(bug),
            }
        }
        missed
    };
    // A bug is planted in its own thread only.
    let missed = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(missed_of_some));
        threads.map(|thread| thread.join().expect("its panics are caught")).concat()
    });
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}

/// What is said where a bug is found. Nothing else counts: a simulator that panics by itself has found nothing.
fn sign(bug: Bug) -> &'static str {
    match bug {
        Bug::AcknowledgeBeforeDurable
        | Bug::LoseLanes
        | Bug::ApplyHalfFrames
        | Bug::ApplyBeforeDurable
        | Bug::ForgetNames
        | Bug::ForgiveDamage => " and is gone: ",
        Bug::ForgetEnds | Bug::AcceptTornFrames | Bug::BelieveFailedWrites => "a sound log is refused",
        Bug::BelieveShortWrites => "lanes that failed",
        Bug::ForgetRetractions => "half a retraction",
        Bug::AcknowledgeOutOfOrder | Bug::SkipLsns => "frames are committed in LSN order",
        Bug::AcceptTooMany => " connections",
        Bug::ForgetAnswers => "has had no answer",
        Bug::NeverAskAgain => "at rest, ",
        Bug::AskTheClock => "two runs of one seed differ",
        Bug::RemoveTooEarly | Bug::CoverTooMuch | Bug::CoverTooFar => "a sound log is refused",
        Bug::ListTooEarly | Bug::RemoveListedTables => "a sound store is refused",
        Bug::MergeAwayRetractions => "was retracted by",
        Bug::MergeAwayInputs => " and is gone: ",
        Bug::CoverRetractions => "half a retraction",
        Bug::KeepSegments => "segments that have ended are there",
        Bug::RemoveTablesInUse => "all reads were right",
        Bug::BelieveBlocks => "is not what was sent",
        Bug::KeepTables => "tables that are there are not those that are listed",
        Bug::RemoveSnapshotsTooEarly => "no snapshot is whole any more",
        Bug::CountCheckpointsTooEarly => " and is gone: ",
        Bug::ForgetRetractionsOfTables => "was retracted by",
        Bug::AcceptRottenSnapshots => "with damage in",
        Bug::WaitForSeals => "a copy of the log",
        Bug::SkipLastBlocks => "files that the scrub finds damaged",
        Bug::BelieveMergedBlocks => "a merge has made a table of rot",
        Bug::AcceptStrayFrames => "claims held, and those of tables",
        Bug::TakeGoneForEmpty => "nobody misses it",
        Bug::IgnoreIndexBound => "the index of core",
        Bug::MakeFrames => "a lane has made memory of nothing",
        Bug::WriteTooMany => " writes under way",
        Bug::RetryWrites => "lanes that failed",
        Bug::RepeatLsns => "frames are committed in LSN order",
        Bug::DropRows | Bug::SkipAtCursors => " and is gone: ",
        Bug::PickLosers => " instead of Claim",
        Bug::IgnoreAsOf => "is too young",
        Bug::StoreRefused => "was refused and is there",
        Bug::MiscountHeld => "}, with ",
        Bug::MiscountIngested => "claims that came",
    }
}

/// What a seed says of a planted bug. Two runs that differ say something, too.
fn broken_promise(bug: Bug, seed: u64) -> Option<String> {
    plant(Some(bug));
    let run = || World { seed, speaks_tls: false }.simulation(false).run().sum;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let sum = run();
        if bug == Bug::AskTheClock {
            assert_eq!(sum, run(), "two runs of one seed differ");
        }
    }));
    plant(None);
    outcome.err().map(|_| SAID.take().unwrap_or_default())
}
