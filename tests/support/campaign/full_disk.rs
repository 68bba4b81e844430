//! A disk that fills up, and has space again.
//!
//! The data directory lies on a small file system beside a filler file. While clients write, the disk gets full: writes
//! are refused with 503 `disk_full` and nothing else, reads go on. Then one of two things happens. The filler is removed:
//! writes are taken again, by the same server, without anybody's help. Or the server is killed and started
//! on the disk that is still full: it may serve what there is or refuse to start, saying why; and when there is space
//! again, it starts, and nothing is lost.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::{Figures, check};
use crate::disk::{self, Disk, FileSystem, Workshop};
use crate::history::History;
use crate::load::{Load, Mix};
use crate::{Random, Server, Start};

/// The size of the file system, where a smaller one is possible, and what the filler leaves of it.
const DISK_BYTES: u64 = 64 << 20;
const LEFT_BYTES_MAX: u64 = 12 << 20;

/// Claims acknowledged after there is space again.
const ACKNOWLEDGED_AFTER: u64 = 300;

/// The code of a write that finds no space.
const DISK_FULL: &str = "disk_full";
const CODES: &[&str] = &[DISK_FULL];

/// Refusals before the disk counts as full, and how long the test waits for them.
const REFUSALS: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn run(
    rounds: u64,
    mut random: Random,
    figures: &mut Figures,
    done: &mut dyn FnMut(u64),
) -> Result<(), String> {
    disk::lack()?;
    for round in 0..rounds {
        let file_system = if round.is_multiple_of(2) { FileSystem::Ext4 } else { FileSystem::Xfs };
        let workshop = Workshop::new();
        let disk = Disk::make(file_system, &workshop.path("disk.img"), DISK_BYTES, &workshop.path("disk"));
        let history = History::new(random.fork(round));
        one_round(&disk, &history, round, &mut random, figures);
        figures.add_tally(history.tally());
        done(round + 1);
    }
    Ok(())
}

fn one_round(disk: &Disk, history: &History, round: u64, random: &mut Random, figures: &mut Figures) {
    let start = start(disk, random);
    let server = start.serve();
    check::check(&server, history);
    let filler = Filler::leaving(disk.path(), random.within(0..=LEFT_BYTES_MAX));
    let load = Load::new(history, server.address(), round, mix(random), random.fork(round));
    let is_killed = random.once_in(2);
    let (server, filler) = load.during(|load| {
        wait_until_full(load);
        expect_reads(&server);
        if is_killed {
            load.server_ends();
            server.kill();
            return (None, Some(filler));
        }
        filler.remove();
        let freed = Instant::now();
        load.wait_for(load.acknowledged() + ACKNOWLEDGED_AFTER);
        figures.add("ms until writes went on, in all", freed.elapsed().as_millis() as u64);
        figures.add("disks with space again under a running server", 1);
        (Some(server), None)
    });
    figures.add("writes refused for want of space", load.codes()[DISK_FULL]);
    match (server, filler) {
        (Some(server), _) => {
            check::check(&server, history);
            server.stop();
        }
        (None, filler) => start_on_full(&start, disk, history, filler.expect("it is there yet"), figures),
    }
    let server = self::start(disk, random).serve();
    check::check(&server, history);
    server.kill();
}

fn start(disk: &Disk, random: &mut Random) -> Start {
    Start::at(&data_dir(disk)).cores(random.within(1..=2) as usize)
}

fn data_dir(disk: &Disk) -> PathBuf {
    disk.path().join("data")
}

fn mix(random: &mut Random) -> Mix {
    let mix = if random.once_in(2) { Mix::large() } else { Mix { value_bytes_max: 4000, ..Mix::small() } };
    mix.expecting(CODES)
}

fn wait_until_full(load: &Load<'_>) {
    let until = Instant::now() + PATIENCE;
    while load.codes().get(DISK_FULL).is_none_or(|count| *count < REFUSALS) {
        assert!(Instant::now() < until, "the disk is full, and no write is refused: {:?}", load.codes());
        thread::sleep(PAUSE);
    }
}

/// A full disk is no reason to refuse a query, nor a failed lane.
fn expect_reads(server: &Server) {
    let health = server.health();
    assert_eq!(health["lanes_failed"], 0, "{health}");
    let mut client = server.client();
    let found = client.get("/v1/query?concept_path=*&limit=10").expect("an answer").ok();
    assert!(found["count"].as_u64().is_some_and(|count| count > 0), "{found}");
}

/// Starts the server on the disk that is still full, then when there is space again.
fn start_on_full(start: &Start, disk: &Disk, history: &History, filler: Filler, figures: &mut Figures) {
    match start.try_serve() {
        Ok(server) => {
            check::check(&server, history);
            server.kill();
            figures.add("starts on a full disk that served", 1);
        }
        Err(refused) => {
            let error = refused.text.lines().find(|line| line.contains("ERROR")).unwrap_or_default();
            // The first file for which there is no space may be a segment or any other of the data directory's.
            let names_a_file =
                error.contains("segment-") || error.contains(&*data_dir(disk).to_string_lossy());
            let says_why = error.contains("No space left on device") && names_a_file;
            assert!(says_why, "it refused to start with\n{}", refused.text);
            figures.add("starts on a full disk that were refused", 1);
        }
    }
    filler.remove();
}

/// A file that takes up space.
struct Filler {
    path: PathBuf,
}

impl Filler {
    /// Fills the disk, but for about `bytes`.
    fn leaving(directory: &Path, bytes: u64) -> Filler {
        let filler = Filler { path: directory.join("filler") };
        let space = statvfs(directory).expect("it is mounted");
        let taken = (space.f_bfree * space.f_frsize).saturating_sub(bytes);
        let file = File::create(&filler.path).expect("there is space for a file");
        // Some of the space is for metadata; then a little less is taken.
        let fits = |bytes: &u64| fallocate(&file, FallocateFlags::empty(), 0, *bytes).is_ok();
        let sizes = (0..64).map(|step| taken.saturating_sub(step << 18)).filter(|bytes| *bytes > 0);
        let _ = sizes.into_iter().find(fits);
        filler
    }

    fn remove(self) {
        fs::remove_file(&self.path).expect("it was made here");
    }
}
