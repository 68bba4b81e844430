//! A disk that fails: errors, short and slow writes, power cuts that take what was not synchronised, rotten bits.
//!
//! The server runs on a [`FaultyDisk`]: the real binary, its io_uring and `O_DIRECT`, over FUSE. What the disk has told
//! is stable survives everything; of all else a power cut leaves any part, torn within blocks, and names of files with it.
//!
//! What the server promises, and is held to in each round:
//!
//! - A durable write that fails or is cut short ends its lane: writes there get 500 `storage_failed`, health is
//!   `degraded`, `/ready` is 503, the error counter moves, reads go on. The next start brings all back that was acknowledged.
//! - A write that takes long is waited for. A segment that cannot be prepared costs writes, not the lane, and not for longer
//!   than the fault lasts.
//! - After a power cut nothing is missing that was acknowledged or shown.
//! - A bit that has changed in what was acknowledged, or a part of it that cannot be read, is found at the next start,
//!   which is refused and names file and offset; when that is mended, all is there. Noise behind the end of a
//!   log is no damage.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::checkpoint::{DirManifest, Manifest};
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::frame::FrameKind;
use stemedb_engine::table::DirTables;

use super::{Figures, check};
use crate::disk::Workshop;
use crate::faulty_disk::{Fault, FaultyDisk};
use crate::history::History;
use crate::load::{Load, Mix};
use crate::wal::{self, FoundFrame, Segment};
use crate::{Random, Server, Start};

/// Rounds on one disk.
const ROUNDS_A_DISK: u64 = 8;

/// The most durable writes before the fault.
const WRITES_BEFORE_MAX: u64 = 300;

const DELAY: Duration = Duration::from_millis(300);
const DELAYED_WRITES_MAX: u64 = 4;

/// Claims acknowledged where nothing but time is waited for.
const ACKNOWLEDGED_MAX: u64 = 400;

/// Refusals before the test looks at the server.
const REFUSALS: u64 = 30;

/// The codes of writes that the disk refuses.
const CODES: &[&str] = &["storage_failed", "disk_full"];

/// The code of queries whose values cannot be read from tables any more, when the power has failed.
const UNREADABLE: &str = "storage_damaged";

const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(1);

/// What an error about damage tells to read.
const RUNBOOK: &str = "docs/operations/recovery.md";

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// A durable write fails, or is cut short.
    FailedWrite(Fault),
    SlowWrites,
    /// No segment can be prepared for a while.
    FailedPreparation(i32),
    PowerCut,
    ChangedBit,
    UnreadableBlock,
    NoiseBehindEnd,
}

pub(super) fn run(
    rounds: u64,
    mut random: Random,
    figures: &mut Figures,
    done: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let mut first = 0;
    while first < rounds {
        let workshop = Workshop::new();
        let mut disk = FaultyDisk::mount(&workshop.path("disk"))?;
        let history = History::new(random.fork(first));
        let last = (first + ROUNDS_A_DISK).min(rounds);
        for round in first..last {
            one_round(&mut disk, &history, round, &mut random, figures);
            done(round + 1);
        }
        let server = start(&disk, &mut random).serve();
        check::check(&server, &history);
        server.stop();
        figures.add_tally(history.tally());
        first = last;
    }
    Ok(())
}

fn one_round(
    disk: &mut FaultyDisk,
    history: &History,
    round: u64,
    random: &mut Random,
    figures: &mut Figures,
) {
    let server = start(disk, random).serve();
    check::check(&server, history);
    let trouble = trouble(random);
    let mix = match trouble {
        Trouble::FailedPreparation(_) => Mix::large(),
        _ if random.once_in(4) => Mix::large(),
        _ => Mix::small(),
    };
    let codes_of_queries: &[&str] = if trouble == Trouble::PowerCut { &[UNREADABLE] } else { &[] };
    let mix = Mix { codes_of_queries, ..mix.expecting(CODES) };
    let load = Load::new(history, server.address(), round, mix, random.fork(round));
    let mut name = name(trouble);
    match trouble {
        Trouble::FailedWrite(fault) => failed_write(disk, server, &load, fault, random, figures),
        Trouble::SlowWrites => slow_writes(disk, server, &load, history, random),
        Trouble::FailedPreparation(errno) => failed_preparation(disk, server, &load, history, errno),
        Trouble::PowerCut => power_cut(disk, server, &load, random),
        Trouble::ChangedBit | Trouble::UnreadableBlock => {
            let server = load.during(|load| {
                load.wait_for(random.within(1..=ACKNOWLEDGED_MAX));
                server
            });
            server.stop();
            if !damage(disk, trouble, random) {
                name = "rounds with nothing to damage";
            }
        }
        Trouble::NoiseBehindEnd => {
            load.during(|load| {
                load.wait_for(random.within(1..=ACKNOWLEDGED_MAX));
                load.server_ends();
                server.kill();
            });
            noise_behind_end(&disk.path().join("data/wal"), random);
        }
    }
    figures.add(name, 1);
    load.codes().iter().for_each(|(code, count)| figures.add(&format!("answers {code}"), *count));
}

fn start(disk: &FaultyDisk, random: &mut Random) -> Start {
    Start::at(&disk.path().join("data"))
        .cores(random.within(1..=2) as usize)
        .with("STEMEDB_FRAMES_IN_FLIGHT", random.within(1..=2).to_string())
}

fn trouble(random: &mut Random) -> Trouble {
    let after = random.within(0..=WRITES_BEFORE_MAX);
    match random.within(0..=11) {
        0 => Trouble::FailedWrite(Fault::WriteError { errno: libc::EIO, after }),
        1 => Trouble::FailedWrite(Fault::WriteError { errno: libc::ENOSPC, after }),
        2 => Trouble::FailedWrite(Fault::ShortWrite { after }),
        3 => Trouble::SlowWrites,
        4 => Trouble::FailedPreparation(libc::EIO),
        5 => Trouble::FailedPreparation(libc::ENOSPC),
        6 => Trouble::ChangedBit,
        7 => Trouble::UnreadableBlock,
        8 => Trouble::NoiseBehindEnd,
        _ => Trouble::PowerCut,
    }
}

/// What its rounds are counted under.
fn name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::FailedWrite(Fault::ShortWrite { .. }) => "rounds with a short write",
        Trouble::FailedWrite(Fault::WriteError { errno: libc::ENOSPC, .. }) => {
            "rounds with a write without space"
        }
        Trouble::FailedWrite(_) => "rounds with a failed write",
        Trouble::SlowWrites => "rounds with slow writes",
        Trouble::FailedPreparation(_) => "rounds without new segments",
        Trouble::PowerCut => "rounds with a power cut",
        Trouble::ChangedBit => "rounds with a changed bit",
        Trouble::UnreadableBlock => "rounds with an unreadable block",
        Trouble::NoiseBehindEnd => "rounds with noise behind the end",
    }
}

/// A failed write ends a lane, and all is said that there is to say about it.
fn failed_write(
    disk: &mut FaultyDisk,
    server: Server,
    load: &Load<'_>,
    fault: Fault,
    random: &mut Random,
    figures: &mut Figures,
) {
    disk.arm(fault);
    load.during(|load| {
        wait_until("the fault was met", || disk.hits() > 0);
        wait_until(&format!("writes are refused after {fault:?}"), || refusals(load) >= REFUSALS);
        let health = server.health();
        let told = (health["status"].as_str(), health["lanes_failed"].as_u64());
        assert_eq!(told, (Some("degraded"), Some(1)), "{health}");
        let ready = server.client().get("/ready").expect("an answer");
        assert_eq!((ready.status, ready.error_code().as_str()), (503, "not_ready"));
        assert!(server.metric("stemedb_wal_fsync_errors_total") >= 1.0, "the error is counted");
        expect_reads(&server);
        load.server_ends();
        end(server, random, figures);
    });
    disk.disarm();
    // The machine may go down as well before the next start.
    if random.once_in(2) {
        disk.restart(random);
    }
}

fn end(server: Server, random: &mut Random, figures: &mut Figures) {
    if random.once_in(2) {
        return server.kill();
    }
    server.terminate();
    let (status, text) = server.ended(PATIENCE);
    assert!(status.code().is_some(), "it ended with {status}:\n{text}");
    figures.add("orderly stops with an ended lane", 1);
}

fn slow_writes(disk: &FaultyDisk, server: Server, load: &Load<'_>, history: &History, random: &mut Random) {
    let writes = random.within(1..=DELAYED_WRITES_MAX);
    disk.arm(Fault::Delay { delay: DELAY, writes });
    let server = load.during(|load| {
        wait_until("writes were delayed", || disk.hits() >= writes);
        load.wait_for(load.acknowledged() + random.within(0..=ACKNOWLEDGED_MAX));
        server
    });
    assert_eq!(refusals(load), 0, "{:?}", load.codes());
    expect_healthy(&server);
    check::check(&server, history);
    server.kill();
    disk.disarm();
}

/// Writes are refused when the segment is full, and taken when the next can be prepared.
fn failed_preparation(disk: &FaultyDisk, server: Server, load: &Load<'_>, history: &History, errno: i32) {
    disk.arm(Fault::PrepareError { errno });
    let server = load.during(|load| {
        wait_until("writes are refused for want of a segment", || refusals(load) >= REFUSALS);
        expect_healthy(&server);
        expect_reads(&server);
        assert!(disk.disarm() > 0, "no preparation was refused");
        load.wait_for(load.acknowledged() + ACKNOWLEDGED_MAX);
        server
    });
    expect_healthy(&server);
    check::check(&server, history);
    server.stop();
}

fn power_cut(disk: &mut FaultyDisk, server: Server, load: &Load<'_>, random: &mut Random) {
    disk.arm(Fault::PowerCut { after: random.within(0..=WRITES_BEFORE_MAX) });
    load.during(|load| {
        wait_until("the power has failed", || {
            let is_unreadable = load.codes().contains_key(UNREADABLE);
            let has_failed = disk.hits() > 0;
            assert!(has_failed || !is_unreadable, "something cannot be read before the power has failed");
            has_failed
        });
        load.server_ends();
        server.kill();
    });
    disk.restart(random);
}

/// Damages something that was acknowledged, if tables do not have all. The server must refuse to start, and start when it is mended.
fn damage(disk: &FaultyDisk, trouble: Trouble, random: &mut Random) -> bool {
    let segments = wal::segments(&disk.path().join("data/wal"));
    let db = disk.path().join("data/db");
    let manifest = Manifest::open(&DirManifest::new(&db), &DirTables::new(&db)).expect("it is sound");
    // A stop may leave segments of which tables have all: nobody reads these any more. And nothing testifies to the marker at the end
    // of each lane.
    let covered: Vec<(&Segment, &FoundFrame)> = segments
        .iter()
        .filter(|segment| !manifest.covered.contains(segment.id))
        .flat_map(|segment| segment.frames.iter().map(move |frame| (segment, frame)))
        .filter(|(segment, frame)| frame.range().end < segment.end())
        .collect();
    // There may be only the markers, if the stop came when a lane had just gone on in another segment.
    let Some(last) = covered.len().checked_sub(1) else { return false };
    let (segment, frame) = covered[random.within(0..=last as u64) as usize];
    let at = random.within(frame.offset as u64..=frame.range().end as u64 - 1);
    let place = format!("offset {} of {}", frame.offset, segment.path.display());
    let refused = if trouble == Trouble::ChangedBit {
        let byte = segment.bytes[at as usize];
        overwrite(&segment.path, at, &[byte ^ 1 << random.within(0..=7)]);
        let refused = start(disk, random).refused();
        overwrite(&segment.path, at, &[byte]);
        assert!(refused.text.contains(RUNBOOK), "no runbook is named:\n{}", refused.text);
        assert!(refused.text.contains(&place), "{place} is not named:\n{}", refused.text);
        refused
    } else {
        let inode = fs::metadata(&segment.path).expect("it was just read").ino();
        disk.arm(Fault::ReadError { inode, offset: at, bytes: 1 });
        let refused = start(disk, random).refused();
        assert!(disk.disarm() > 0, "it has not tried to read {place}");
        assert!(
            refused.text.contains(&*segment.path.to_string_lossy()),
            "no file is named:\n{}",
            refused.text
        );
        refused
    };
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text);
    true
}

/// Writes noise where each lane would have written next.
fn noise_behind_end(wal: &Path, random: &mut Random) {
    let segments = wal::segments(wal);
    let begun: Vec<&Segment> = segments.iter().filter(|segment| segment.header.is_some()).collect();
    for lane in begun.chunk_by(|one, next| one.id.lane == next.id.lane) {
        let segment = written_next(lane);
        if segment.end() + BLOCK_BYTES <= segment.bytes.len() {
            let mut noise = vec![0; BLOCK_BYTES];
            noise.fill_with(|| random.next_u64() as u8);
            overwrite(&segment.path, segment.end() as u64, &noise);
        }
    }
}

/// Of the begun segments of a lane, the one that it would have written to next. That is not the last if the seal of the one before is
/// due: nothing is written to the last before that is durable.
fn written_next<'a>(lane: &[&'a Segment]) -> &'a Segment {
    let generation = |segment: &Segment| segment.header.map(|header| header.generation);
    let is_sealed =
        |segment: &Segment| segment.frames.last().is_some_and(|frame| frame.header.kind == FrameKind::Seal);
    match lane {
        [.., before, last] if generation(before) == generation(last) && !is_sealed(before) => before,
        [.., last] => last,
        [] => unreachable!("a chunk has an element"),
    }
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("it is there");
    file.write_all_at(bytes, offset).and_then(|()| file.sync_all()).expect("a working disk");
}

fn refusals(load: &Load<'_>) -> u64 {
    CODES.iter().filter_map(|code| load.codes().get(*code).copied()).sum()
}

fn expect_healthy(server: &Server) {
    let health = server.health();
    assert_eq!(
        (health["status"].as_str(), health["lanes_failed"].as_u64()),
        (Some("healthy"), Some(0)),
        "{health}"
    );
}

fn expect_reads(server: &Server) {
    let found = server.client().get("/v1/query?concept_path=*&limit=10").expect("an answer").ok();
    assert!(found["count"].as_u64().is_some(), "{found}");
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        thread::sleep(PAUSE);
    }
}
