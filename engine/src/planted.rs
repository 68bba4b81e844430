//! Deliberate bugs, each behind a switch that only a test of the simulator turns on.
//!
//! A checker that cannot fail is worth nothing: for each promise of the store there is a bug here that breaks it, and a
//! test that the simulator finds it. Without the feature `planted-bugs` no bug can be planted, and the switches are
//! constants.

use crate::time::UnixMicros;

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Writes are acknowledged when they are on their way.
    AcknowledgeBeforeDurable,
    /// The segments' names are not made durable before a generation uses them.
    ForgetNames,
    /// The lanes' ends are not made durable before a generation goes on.
    ForgetEnds,
    /// Recovery leaves out what is in lanes that have no core any more.
    LoseLanes,
    /// Of a frame, only the first half is applied.
    ApplyHalfFrames,
    /// A frame's checksum is not compared.
    AcceptTornFrames,
    /// Retractions that a crash interrupted are not completed.
    ForgetRetractions,
    /// Claims are visible when they are on their way.
    ApplyBeforeDurable,
    /// Of two frames in flight, the one that is done first is acknowledged first.
    AcknowledgeOutOfOrder,
    /// Some record numbers are left out.
    SkipLsns,
    /// A frame that is damaged ends its lane, whatever testifies that it was durable.
    ForgiveDamage,
    /// A write that failed counts as done.
    BelieveFailedWrites,
    /// A write that wrote too little counts as done.
    BelieveShortWrites,
    /// Connections are accepted beyond the bound.
    AcceptTooMany,
    /// Some writes are never answered.
    ForgetAnswers,
    /// A segment for which there was no space is never asked for again.
    NeverAskAgain,
    /// A claim without a timestamp gets the time of the real clock.
    AskTheClock,
    /// Segments are removed before the manifest is durable that makes them needless.
    RemoveTooEarly,
    /// The manifest is durable before the tables that it lists.
    ListTooEarly,
    /// A merge drops the retractions that strike claims of older tables.
    MergeAwayRetractions,
    /// A merge drops the claims of one of its inputs.
    MergeAwayInputs,
    /// A segment is covered while its lane writes to it.
    CoverTooMuch,
    /// What is covered ends one block too far.
    CoverTooFar,
    /// A checkpoint forgets the retractions that have not reached all lanes.
    CoverRetractions,
    /// A table that the manifest lists is removed as needless.
    RemoveListedTables,
    /// Segments are kept that tables have made needless.
    KeepSegments,
    /// Tables are kept that were merged into others.
    KeepTables,
    /// The snapshot that is there is removed when the next one is begun.
    RemoveSnapshotsTooEarly,
    /// A snapshot says that it has the next checkpoint, too.
    CountCheckpointsTooEarly,
    /// Retractions that tables have beyond a snapshot are not applied to what it has.
    ForgetRetractionsOfTables,
    /// A block of a snapshot is believed, whatever its checksum.
    AcceptRottenSnapshots,
    /// The scrub leaves out the last block of a segment.
    SkipLastBlocks,
    /// Tables that were merged into others are removed although cores read them.
    RemoveTablesInUse,
    /// Neither the checksum of a table's block nor the hash of a claim that is looked up in it is compared.
    BelieveBlocks,
    /// The checksums of blocks that are merged are not compared.
    BelieveMergedBlocks,
    /// A frame that does not go on with the next record is read all the same.
    AcceptStrayFrames,
    /// A lane that is gone counts as one that was never begun.
    TakeGoneForEmpty,
    /// A copy of the log ends at a segment whose seal a crash has kept from being written.
    WaitForSeals,
    /// Claims are let in although the index has no room for them.
    IgnoreIndexBound,
    /// A lane makes memory for further frames when all that it may have is used.
    MakeFrames,
    /// A lane has more writes under way than it may.
    WriteTooMany,
    /// A write that failed is done once more.
    RetryWrites,
    /// Some record numbers are given out twice.
    RepeatLsns,
    /// A query leaves out a row.
    DropRows,
    /// A lens picks the best claim among those that do not hold the winner's value.
    PickLosers,
    /// The page after a cursor begins one claim too late.
    SkipAtCursors,
    /// What was not known as of the time that was asked for is answered all the same.
    IgnoreAsOf,
    /// A claim that is refused goes into the log all the same.
    StoreRefused,
    /// Health tells one claim more than is held.
    MiscountHeld,
    /// Metrics count retractions among the claims that came.
    MiscountIngested,
}

impl Bug {
    /// All of them, with the number of the invariant that each breaks in the list of `docs/reliability.md`.
    pub const ALL: &[(Bug, u8)] = &[
        (Bug::AcknowledgeBeforeDurable, 1),
        (Bug::ForgetNames, 1),
        (Bug::ForgetEnds, 1),
        (Bug::LoseLanes, 1),
        (Bug::ApplyHalfFrames, 2),
        (Bug::AcceptTornFrames, 2),
        (Bug::ForgetRetractions, 2),
        (Bug::ApplyBeforeDurable, 3),
        (Bug::AcknowledgeOutOfOrder, 4),
        (Bug::SkipLsns, 4),
        (Bug::ForgiveDamage, 5),
        (Bug::BelieveFailedWrites, 6),
        (Bug::BelieveShortWrites, 6),
        (Bug::AcceptTooMany, 7),
        (Bug::ForgetAnswers, 7),
        (Bug::NeverAskAgain, 7),
        (Bug::AskTheClock, 8),
        (Bug::RemoveTooEarly, 1),
        (Bug::ListTooEarly, 1),
        (Bug::MergeAwayRetractions, 3),
        (Bug::MergeAwayInputs, 1),
        (Bug::CoverTooMuch, 1),
        (Bug::CoverTooFar, 1),
        (Bug::CoverRetractions, 2),
        (Bug::RemoveListedTables, 1),
        (Bug::KeepSegments, 7),
        (Bug::KeepTables, 7),
        (Bug::RemoveSnapshotsTooEarly, 7),
        (Bug::CountCheckpointsTooEarly, 1),
        (Bug::ForgetRetractionsOfTables, 3),
        (Bug::AcceptRottenSnapshots, 5),
        (Bug::SkipLastBlocks, 5),
        (Bug::RemoveTablesInUse, 7),
        (Bug::BelieveBlocks, 5),
        (Bug::WaitForSeals, 1),
        (Bug::BelieveMergedBlocks, 5),
        (Bug::AcceptStrayFrames, 5),
        (Bug::TakeGoneForEmpty, 5),
        (Bug::IgnoreIndexBound, 7),
        (Bug::MakeFrames, 7),
        (Bug::WriteTooMany, 7),
        (Bug::RetryWrites, 6),
        (Bug::RepeatLsns, 4),
        (Bug::DropRows, 3),
        (Bug::PickLosers, 3),
        (Bug::SkipAtCursors, 3),
        (Bug::IgnoreAsOf, 3),
        (Bug::StoreRefused, 2),
        (Bug::MiscountHeld, 7),
        (Bug::MiscountIngested, 7),
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
    /// Whether tables are being merged.
    static MERGING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    /// What a bug has put off.
    static POSTPONED: std::cell::RefCell<Vec<Box<dyn FnOnce()>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Puts something off until [`catch_up`].
#[cfg(feature = "planted-bugs")]
pub(crate) fn postpone(job: impl FnOnce() + 'static) {
    POSTPONED.with_borrow_mut(|jobs| jobs.push(Box::new(job)));
}

/// Does what was put off.
#[cfg(feature = "planted-bugs")]
pub(crate) fn catch_up() {
    POSTPONED.take().into_iter().for_each(|job| job());
}

/// Puts nothing off: no bug is planted.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) fn postpone(_: impl FnOnce() + 'static) {}

/// Nothing was put off.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) fn catch_up() {}

/// Plants a bug in whatever the calling thread does from now on, or none. What another one was at when it was found is forgotten.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
    MERGING.set(false);
    drop(POSTPONED.take());
}

/// Whether a bug is planted.
#[cfg(feature = "planted-bugs")]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether a bug is planted: it never is.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}

/// Does a step of a merge.
#[cfg(feature = "planted-bugs")]
pub(crate) fn merging<T>(step: impl FnOnce() -> T) -> T {
    MERGING.set(true);
    let done = step();
    MERGING.set(false);
    done
}

/// Whether a bug is planted that concerns merges, and tables are being merged.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is_in_merge(bug: Bug) -> bool {
    is(bug) && MERGING.get()
}

/// Does a step of a merge.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(crate) fn merging<T>(step: impl FnOnce() -> T) -> T {
    step()
}

/// Whether a bug is planted: it never is.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub(crate) const fn is_in_merge(_: Bug) -> bool {
    false
}

/// The time that a claim without one gets, where `told` is what it is to get: the real clock's, if that bug is planted.
#[cfg(feature = "planted-bugs")]
pub fn claim_time(told: UnixMicros) -> UnixMicros {
    if !is(Bug::AskTheClock) {
        return told;
    }
    let since_1970 =
        std::time::UNIX_EPOCH.elapsed().expect("the clock of a machine that runs tests is past 1970");
    UnixMicros(since_1970.as_micros() as i64)
}

/// The time that a claim without one gets: as told.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn claim_time(told: UnixMicros) -> UnixMicros {
    told
}
