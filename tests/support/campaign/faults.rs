//! A disk that fails: errors, short and slow writes, power cuts that take what was not synchronised, rotten bits.
//!
//! The server runs on a [`FaultyDisk`]: the real binary, its io_uring and `O_DIRECT`, over FUSE. What the disk has told
//! is stable survives everything; of all else a power cut leaves any part, torn within blocks, and names of files with it.
//!
//! What the server promises, and is held to in each round:
//!
//! - A durable write that fails or is cut short ends its lane: writes there get 500 `storage_failed`, health is
//!   `degraded`, `/ready` is 503, the error counter moves, reads go on. The next start brings all back that was acknowledged.
//! - Whatever cannot be written or synchronised beside that costs no lane and no claim, neither what was acknowledged nor
//!   what is to come: a table or the manifest ends checkpoints until a restart, or for as long as space is wanted; a snapshot of
//!   the indexes is tried again; and all are told of.
//! - A start that meets an error of the disk serves all the same, or ends and says which; the next on a sound disk has
//!   everything. The same if the power fails while it starts.
//! - A write that takes long is waited for. A segment that cannot be prepared costs writes, not the lane, and not for longer
//!   than the fault lasts.
//! - After a power cut nothing is missing that was acknowledged or shown.
//! - A bit that has changed in what was acknowledged, or a part of it that cannot be read, is found at the next start,
//!   which is refused and names file and offset; when that is mended, all is there. Noise behind the end of a
//!   log is no damage.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
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
use crate::faulty_disk::{Fault, FaultyDisk, Requests};
use crate::history::History;
use crate::load::{Load, Mix};
use crate::wal::{self, FoundFrame, Segment};
use crate::{Random, Server, Start};

/// Rounds on one disk: few enough that all that it holds can be listed after each.
const ROUNDS_A_DISK: u64 = 5;

/// The most durable writes before the fault.
const WRITES_BEFORE_MAX: u64 = 300;

/// The most requests of any kind before a power cut: preparing segments makes more of them than durable writes do.
const REQUESTS_BEFORE_MAX: u64 = 1500;

/// How the names of tables begin.
const TABLES: &str = "assertions-";

/// One start in so many meets a fault, after so many requests at most.
const START_FAILS_ONCE_IN: u64 = 3;
const START_REQUESTS_BEFORE_MAX: u64 = 40;

const DELAY: Duration = Duration::from_millis(300);
const DELAYED_WRITES_MAX: u64 = 4;

/// Claims acknowledged where nothing but time is waited for.
const ACKNOWLEDGED_MAX: u64 = 400;

/// Claims of large values acknowledged until each core has sealed a segment, so that there is something for a checkpoint.
const ACKNOWLEDGED_SEALING: u64 = 800;

/// Claims acknowledged after something failed that is no matter of writes.
const ACKNOWLEDGED_AFTER: u64 = 100;

/// By how much the rounds are apart in which two loads of one round name their claims.
const SECOND_LOAD: u64 = 1 << 32;

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
    FailedPreparation {
        requests: Requests,
        errno: i32,
    },
    /// Tables or their manifest cannot be written, or synchronised.
    FailedCheckpoint {
        requests: Requests,
        errno: i32,
    },
    /// Snapshots of the indexes cannot be.
    FailedSnapshot {
        requests: Requests,
        errno: i32,
    },
    /// The power fails at one of these.
    PowerCut {
        requests: Requests,
        after: u64,
    },
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
    if random.once_in(START_FAILS_ONCE_IN) {
        start_in_trouble(disk, random, figures);
    }
    let trouble = trouble(random);
    if let Trouble::FailedSnapshot { requests, errno } = trouble {
        // One is due soon where there is none.
        remove_snapshots(disk);
        disk.arm(Fault::Error { requests, errno, after: 0, count: u64::MAX });
    }
    let server = start(disk, random).serve();
    check::check(&server, history);
    expect_healthy(&server);
    let mix = match trouble {
        Trouble::FailedPreparation { .. }
        | Trouble::FailedCheckpoint { .. }
        | Trouble::FailedSnapshot { .. } => Mix::large(),
        _ if random.once_in(4) => Mix::large(),
        _ => Mix::small(),
    };
    let is_power_cut = matches!(trouble, Trouble::PowerCut { .. });
    let codes_of_queries: &[&str] = if is_power_cut { &[UNREADABLE] } else { &[] };
    let mix = Mix { codes_of_queries, ..mix.expecting(CODES) };
    let address = server.address();
    let load = Load::new(history, address, round, mix.clone(), random.fork(round));
    let second = || Load::new(history, address, round + SECOND_LOAD, mix, random.fork(round + SECOND_LOAD));
    let mut name = name(trouble);
    match trouble {
        Trouble::FailedWrite(fault) => failed_write(disk, server, &load, fault, random, figures),
        Trouble::SlowWrites => slow_writes(disk, server, &load, history, random),
        Trouble::FailedPreparation { requests, errno } => {
            disk.arm(Fault::Error { requests, errno, after: 0, count: u64::MAX });
            failed_preparation(disk, server, &load, history);
        }
        Trouble::FailedCheckpoint { requests, errno } => {
            let second = second();
            disk.arm(Fault::Error { requests, errno, after: 0, count: u64::MAX });
            failed_checkpoint(disk, server, [&load, &second], errno, random);
        }
        Trouble::FailedSnapshot { .. } => {
            let second = second();
            failed_snapshot(disk, server, [&load, &second], random);
        }
        Trouble::PowerCut { requests, after } => {
            disk.arm(Fault::PowerCut { requests, after });
            power_cut(disk, server, &load, random);
        }
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
        // So that snapshots of the indexes are due early.
        .with("STEMEDB_CHECKPOINT_BYTES", "4MiB")
}

fn trouble(random: &mut Random) -> Trouble {
    let after = random.within(0..=WRITES_BEFORE_MAX);
    let failed_write = |errno| Fault::Error { requests: Requests::LogWrites, errno, after, count: 1 };
    let errno = if random.once_in(2) { libc::EIO } else { libc::ENOSPC };
    match random.within(0..=17) {
        0 => Trouble::FailedWrite(failed_write(libc::EIO)),
        1 => Trouble::FailedWrite(failed_write(libc::ENOSPC)),
        2 => Trouble::FailedWrite(Fault::ShortWrite { after }),
        3 => Trouble::SlowWrites,
        4 => Trouble::FailedPreparation { requests: Requests::Preparations, errno },
        5 => Trouble::FailedPreparation { requests: Requests::Syncs("segment-"), errno },
        6 => Trouble::ChangedBit,
        7 => Trouble::UnreadableBlock,
        8 => Trouble::NoiseBehindEnd,
        9 => Trouble::FailedCheckpoint { requests: Requests::Writes(TABLES), errno },
        10 => Trouble::FailedCheckpoint { requests: Requests::Syncs(TABLES), errno },
        11 => Trouble::FailedCheckpoint { requests: manifest(random), errno },
        // When it is not known which manifest holds, it is no use to wait for space.
        12 => Trouble::FailedCheckpoint { requests: Requests::Syncs("db"), errno: libc::EIO },
        13 => Trouble::FailedSnapshot { requests: snapshot(random), errno },
        14 | 15 => Trouble::PowerCut { requests: Requests::LogWrites, after },
        _ => {
            let after = random.within(0..=REQUESTS_BEFORE_MAX);
            Trouble::PowerCut { requests: Requests::All, after }
        }
    }
}

fn manifest(random: &mut Random) -> Requests {
    const NAME: &str = "MANIFEST";
    if random.once_in(2) { Requests::Writes(NAME) } else { Requests::Syncs(NAME) }
}

/// The directory is called as its files begin.
fn snapshot(random: &mut Random) -> Requests {
    const NAME: &str = "index";
    if random.once_in(2) { Requests::Writes(NAME) } else { Requests::Syncs(NAME) }
}

/// What its rounds are counted under.
fn name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::FailedWrite(Fault::ShortWrite { .. }) => "rounds with a short write",
        Trouble::FailedWrite(Fault::Error { errno: libc::ENOSPC, .. }) => "rounds with a write without space",
        Trouble::FailedWrite(_) => "rounds with a failed write",
        Trouble::SlowWrites => "rounds with slow writes",
        Trouble::FailedPreparation { requests: Requests::Syncs(_), .. } => {
            "rounds without new segments for want of fsync"
        }
        Trouble::FailedPreparation { .. } => "rounds without new segments",
        Trouble::FailedCheckpoint { requests: Requests::Syncs(_), .. } => {
            "rounds without checkpoints for want of fsync"
        }
        Trouble::FailedCheckpoint { .. } => "rounds without checkpoints",
        Trouble::FailedSnapshot { requests: Requests::Syncs(_), .. } => {
            "rounds without index snapshots for want of fsync"
        }
        Trouble::FailedSnapshot { .. } => "rounds without index snapshots",
        Trouble::PowerCut { requests: Requests::All, .. } => "rounds with a power cut at any request",
        Trouble::PowerCut { .. } => "rounds with a power cut at a write to the log",
        Trouble::ChangedBit => "rounds with a changed bit",
        Trouble::UnreadableBlock => "rounds with an unreadable block",
        Trouble::NoiseBehindEnd => "rounds with noise behind the end",
    }
}

/// Starts the server on a disk that fails meanwhile, or loses its power.
fn start_in_trouble(disk: &mut FaultyDisk, random: &mut Random, figures: &mut Figures) {
    let requests = Requests::All;
    let after = random.within(0..=START_REQUESTS_BEFORE_MAX);
    let is_power_cut = random.once_in(2);
    let (errno, error) = match random.once_in(2) && !is_power_cut {
        true => (libc::ENOSPC, "No space left on device"),
        false => (libc::EIO, "Input/output error"),
    };
    let count = if random.once_in(2) { 1 } else { u64::MAX };
    disk.arm(match is_power_cut {
        true => Fault::PowerCut { requests, after },
        false => Fault::Error { requests, errno, after, count },
    });
    let trouble = if is_power_cut { "in a power cut" } else { "on a failing disk" };
    let outcome = match start(disk, random).try_serve() {
        Ok(server) => {
            server.kill();
            "that served"
        }
        Err(refused) => {
            assert!(disk.hits() > 0, "it ended without cause:\n{}", refused.text);
            assert_eq!(refused.status.code(), Some(1), "{}", refused.text);
            let says_why = |line: &str| line.contains("ERROR") && line.contains(error);
            assert!(refused.text.lines().any(says_why), "it does not say {error}:\n{}", refused.text);
            "that ended"
        }
    };
    figures.add(&format!("starts {trouble} {outcome}"), 1);
    figures.add("starts of these that met no fault", u64::from(disk.hits() == 0));
    disk.disarm();
    // The machine may go down as well before the next start.
    if is_power_cut || random.once_in(2) {
        disk.restart(random);
    }
}

fn remove_snapshots(disk: &FaultyDisk) {
    match fs::remove_dir_all(disk.path().join("data/db/indexes")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed.expect("a working disk"),
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
        wait_until(&server, "the fault was met", || disk.hits() > 0);
        wait_until(&server, &format!("writes are refused after {fault:?}"), || refusals(load) >= REFUSALS);
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
    after_failure(disk, random);
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
        wait_until(&server, "writes were delayed", || disk.hits() >= writes);
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
fn failed_preparation(disk: &FaultyDisk, server: Server, load: &Load<'_>, history: &History) {
    let server = load.during(|load| {
        wait_until(&server, "writes are refused for want of a segment", || refusals(load) >= REFUSALS);
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

/// Checkpoints end, or wait for space, and all else goes on.
fn failed_checkpoint(
    disk: &mut FaultyDisk,
    server: Server,
    [load, second]: [&Load<'_>; 2],
    errno: i32,
    random: &mut Random,
) {
    let server = seal_segments(disk, server, load);
    if errno == libc::ENOSPC {
        server.wait_for_line("No checkpoint for want of space");
        expect_healthy(&server);
    } else {
        let said = server.wait_for_line("Checkpoints have failed");
        assert!(said.contains("Input/output error") && said.contains(RUNBOOK), "{said}");
        expect_no_checkpoints(&server);
    }
    assert!(server.metric("stemedb_checkpoint_failures_total") >= 1.0, "the failure is counted");
    if errno == libc::ENOSPC && random.once_in(2) {
        let before = server.metric("stemedb_checkpoints_total");
        disk.disarm();
        wait_until(&server, "checkpoints go on", || server.metric("stemedb_checkpoints_total") > before);
    }
    goes_on_and_ends(server, second, random);
    after_failure(disk, random);
}

/// A snapshot is given up, and all else goes on.
fn failed_snapshot(
    disk: &mut FaultyDisk,
    server: Server,
    [load, second]: [&Load<'_>; 2],
    random: &mut Random,
) {
    let server = seal_segments(disk, server, load);
    server.wait_for_line("No index snapshot, trying again later");
    assert!(server.metric("stemedb_index_snapshot_failures_total") >= 1.0, "the failure is counted");
    expect_healthy(&server);
    goes_on_and_ends(server, second, random);
    after_failure(disk, random);
}

/// Has segments sealed, and waits until what is done with them has met the fault: nobody writes meanwhile, since writes go first.
fn seal_segments(disk: &FaultyDisk, server: Server, load: &Load<'_>) -> Server {
    let server = load.during(|load| {
        load.wait_for(ACKNOWLEDGED_SEALING);
        server
    });
    wait_until(&server, "the fault was met", || disk.hits() > 0);
    server
}

/// Writes and reads go on whatever has become of what is done behind them. Then the server is ended.
fn goes_on_and_ends(server: Server, load: &Load<'_>, random: &mut Random) {
    load.during(|load| {
        load.wait_for(ACKNOWLEDGED_AFTER);
        assert_eq!(refusals(load), 0, "{:?}", load.codes());
        assert_eq!(server.client().get("/ready").expect("an answer").status, 200);
        expect_reads(&server);
        load.server_ends();
        if random.once_in(2) {
            server.kill();
        } else {
            server.stop();
        }
    });
}

fn expect_no_checkpoints(server: &Server) {
    let health = server.health();
    assert_eq!(
        (health["status"].as_str(), health["upkeep_failed"].as_bool(), health["lanes_failed"].as_u64()),
        (Some("degraded"), Some(true), Some(0)),
        "{health}"
    );
    assert_eq!(server.metric("stemedb_upkeep_failed"), 1.0);
}

/// The disk works again for the next start, and may have been without power.
fn after_failure(disk: &mut FaultyDisk, random: &mut Random) {
    disk.disarm();
    if random.once_in(2) {
        disk.restart(random);
    }
}

fn power_cut(disk: &mut FaultyDisk, server: Server, load: &Load<'_>, random: &mut Random) {
    load.during(|load| {
        wait_until(&server, "the power has failed", || {
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

fn wait_until(server: &Server, what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < until,
            "not within {PATIENCE:?}: {what}; the server said:\n{}",
            server.text()
        );
        thread::sleep(PAUSE);
    }
}
