//! Goal: the disk that forgets does so through the kernel as well, and whoever looks finds out what it has forgotten.
//!
//! Method: files are written with and without synchronising, the power is cut, and the files are read. Then a server
//! writes to a disk that only claims to have synchronised: after a power cut the check of a campaign must find what was lost.
//! And a server that has made its directories itself a moment ago must find them again.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use stemedb_tests::disk::Workshop;
use stemedb_tests::faulty_disk::{Fault, FaultyDisk};
use stemedb_tests::history::{History, Violation};
use stemedb_tests::load::{Load, Mix};
use stemedb_tests::{Random, Start, listing, skip};

/// Power cuts, each of which leaves something else.
const CUTS: u64 = 40;

#[test]
fn only_what_was_synchronised_is_sure_to_survive_a_power_cut() {
    let workshop = Workshop::new();
    let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
        Ok(disk) => disk,
        Err(lack) => return skip(lack),
    };
    let mut random = Random::for_test("power cuts");
    let (mut kept, mut lost) = (0, 0);
    for cut in 0..CUTS {
        let directory = disk.path().join(cut.to_string());
        fs::create_dir(&directory).expect("there is room");
        write(&directory.join("synchronised"), 0).sync_all().expect("a working disk");
        write(&directory.join("durable"), libc::O_DSYNC);
        File::open(&directory).and_then(|directory| directory.sync_all()).expect("a working disk");
        File::open(disk.path()).and_then(|root| root.sync_all()).expect("a working disk");
        write(&directory.join("loose"), 0);
        disk.restart(&mut random);
        for name in ["synchronised", "durable"] {
            assert_eq!(fs::read(directory.join(name)).expect("it is there"), [7; 8192], "{name}, cut {cut}");
        }
        match fs::read(directory.join("loose")) {
            Ok(bytes) if bytes == [7; 8192] => kept += 1,
            _ => lost += 1,
        }
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost");
}

fn write(path: &Path, flags: i32) -> File {
    let mut file =
        OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(path).expect("a free name");
    file.write_all(&[7; 8192]).expect("a working disk");
    file
}

/// Power cuts, of which one will do: now and then a disk keeps all, or enough.
const LIES: u64 = 20;

#[test]
fn what_a_disk_has_lost_that_lies_about_durable_writes_is_found() {
    let mut random = Random::for_test("a disk that lies");
    for lie in 0..LIES {
        let workshop = Workshop::new();
        let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
            Ok(disk) => disk,
            Err(lack) => return skip(lack),
        };
        let start = Start::at(&disk.path().join("data"));
        let server = start.serve();
        let history = History::new(random.fork(lie));
        disk.arm(Fault::Lie);
        let load = Load::new(&history, server.address(), lie, Mix::small(), random.fork(lie));
        load.during(|load| {
            load.wait_for(100);
            load.server_ends();
            server.kill();
        });
        disk.restart(&mut random);
        // A log that has lost its beginning and not its end is refused.
        let Ok(server) = start.try_serve() else { return };
        let rows = listing::all_with_retracted(&mut server.client(), "/*");
        let found = history.check_and_settle(&rows);
        if found.iter().any(|violation| matches!(violation, Violation::Lost { .. })) {
            return;
        }
    }
    panic!("{LIES} lies, and nothing was missed");
}

/// First starts that a power cut follows.
const FIRST_STARTS: u64 = 8;

#[test]
fn the_directories_that_a_first_start_has_made_survive_a_power_cut() {
    let mut random = Random::for_test("first starts");
    for first in 0..FIRST_STARTS {
        let workshop = Workshop::new();
        let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
            Ok(disk) => disk,
            Err(lack) => return skip(lack),
        };
        let start = Start::at(&disk.path().join("some/where/data"));
        let server = start.serve();
        let history = History::new(random.fork(first));
        let load = Load::new(&history, server.address(), first, Mix::small(), random.fork(first));
        load.during(|load| {
            load.wait_for(10);
            load.server_ends();
            server.kill();
        });
        disk.restart(&mut random);
        let server = start.serve();
        let rows = listing::all_with_retracted(&mut server.client(), "/*");
        assert_eq!(history.check_and_settle(&rows), [], "first start {first}");
        server.kill();
    }
}
