//! Copies of the disk, taken while the server writes, and recovered elsewhere: what the machine finds after a power cut
//! in that moment.
//!
//! The data directory lies on an ext4 or XFS file system on a loop device over an image file. The image file lies on an XFS of
//! its own, which can clone a file: the clone shares the blocks of the original as they are at one moment. The
//! argument for that moment:
//!
//! - The loop device writes to the image file with direct I/O. A write that it has completed is in the blocks of the file,
//!   a write that it has not begun is not, and no page cache has anything else.
//! - `FICLONE` takes the lock of the image file for writers, waits for the direct I/O that is under way, and then shares all
//!   blocks before it lets anybody write again. So the clone is an exact cut: each write of the device is in it wholly
//!   or not at all, and if one was completed before another was begun, the other is not there without it.
//! - An answer that a client had before the clone was begun came after the write that it stands for was completed. That
//!   write must be in the clone.
//!
//! A clone holds no data that only the server's memory or the page cache of the inner file system had, and its journal is
//! replayed as after a power cut. What a device's own volatile cache may lose is not in question here: the loop
//! device has none. `faults` loses what was not synchronised.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Figures, check};
use crate::disk::{self, Disk, FileSystem, Workshop};
use crate::history::{Cut, History};
use crate::load::{Load, Mix};
use crate::{Random, Start};

/// Copies in a round, all of them during one life of the server.
pub(super) const COPIES: u64 = 4;

/// Rounds on one file system. Then the other kind is made anew.
const ROUNDS_A_DISK: u64 = 5;

/// The size of the image of the data directory's file system, and of the one that holds the images.
const IMAGE_BYTES: u64 = 384 << 20;
const OUTER_BYTES: u64 = 8 << 30;

/// The most claims acknowledged between two copies, and how much later the copy is made.
const ACKNOWLEDGED_MAX: u64 = 300;
const DELAY_US_MAX: u64 = 3000;

const LARGE_ONCE_IN: u64 = 5;
const CORES_MAX: u64 = 2;

pub(super) fn run(
    rounds: u64,
    mut random: Random,
    figures: &mut Figures,
    done: &mut dyn FnMut(u64),
) -> Result<(), String> {
    disk::lack()?;
    let workshop = Workshop::new();
    let outer =
        Disk::make(FileSystem::Xfs, &workshop.path("outer.img"), OUTER_BYTES, &workshop.path("outer"));
    let mut first = 0;
    let mut file_system = FileSystem::Ext4;
    while first < rounds {
        let last = (first + ROUNDS_A_DISK).min(rounds);
        let image = outer.path().join("disk.img");
        let disk = Disk::make(file_system, &image, IMAGE_BYTES, &workshop.path("disk"));
        let history = History::new(random.fork(first));
        for round in first..last {
            let site = Site { workshop: &workshop, outer: outer.path(), disk: &disk, file_system };
            one_round(&site, &history, round, &mut random, figures);
            done(round + 1);
        }
        drop(disk);
        fs::remove_file(image).expect("it was made here");
        figures.add_tally(history.tally());
        first = last;
        file_system = match file_system {
            FileSystem::Ext4 => FileSystem::Xfs,
            FileSystem::Xfs => FileSystem::Ext4,
        };
    }
    Ok(())
}

/// Where the disk of the server and its copies are.
struct Site<'a> {
    workshop: &'a Workshop,
    outer: &'a Path,
    disk: &'a Disk,
    file_system: FileSystem,
}

fn one_round(site: &Site<'_>, history: &History, round: u64, random: &mut Random, figures: &mut Figures) {
    let server = start(site.disk, random).serve();
    check::check(&server, history);
    let mix = if random.once_in(LARGE_ONCE_IN) { Mix::large() } else { Mix::small() };
    let load = Load::new(history, server.address(), round, mix, random.fork(round));
    let cuts: Vec<Cut> = load.during(|load| {
        let cuts = (0..COPIES).map(|copy| {
            load.wait_for(load.acknowledged() + random.within(0..=ACKNOWLEDGED_MAX));
            thread::sleep(Duration::from_micros(random.within(0..=DELAY_US_MAX)));
            let before = history.now();
            clone(&site.outer.join("disk.img"), &site.copy(copy));
            Cut { before, after: history.now() }
        });
        let cuts = cuts.collect();
        load.server_ends();
        server.kill();
        cuts
    });
    for (copy, cut) in (0..).zip(cuts) {
        check_copy(site, history, copy, cut, random, figures);
        figures.add(&format!("copies of {}", site.file_system.name()), 1);
    }
}

/// Starts a server on a copy of the disk, and on what that leaves when it is killed.
fn check_copy(
    site: &Site<'_>,
    history: &History,
    copy: u64,
    cut: Cut,
    random: &mut Random,
    figures: &mut Figures,
) {
    let disk = Disk::mount(site.file_system, &site.copy(copy), &site.workshop.path("copy"));
    let server = start(&disk, random).serve();
    check::check_copy(&server, history, cut);
    figures.add("copies with an unfinished commit", u64::from(server.text().contains("Dropped")));
    figures.add("copies with an unfinished retraction", u64::from(server.text().contains("Completing")));
    server.kill();
    if random.once_in(3) {
        let server = start(&disk, random).serve();
        check::check_copy(&server, history, cut);
        server.stop();
    }
    drop(disk);
    fs::remove_file(site.copy(copy)).expect("it was made here");
}

impl Site<'_> {
    fn copy(&self, number: u64) -> std::path::PathBuf {
        self.outer.join(format!("copy-{number}.img"))
    }
}

fn start(disk: &Disk, random: &mut Random) -> Start {
    Start::at(&disk.path().join("data"))
        .cores(random.within(1..=CORES_MAX) as usize)
        .with("STEMEDB_FRAMES_IN_FLIGHT", random.within(1..=2).to_string())
}

/// Makes a file that shares all blocks of another as they are at one moment.
fn clone(original: &Path, copy: &Path) {
    let cloned = File::open(original)
        .and_then(|original| Ok((original, File::create(copy)?)))
        .and_then(|(original, copy)| Ok(rustix::fs::ioctl_ficlone(copy, original)?));
    cloned.unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
}
