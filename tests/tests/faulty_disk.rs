//! Goal: the disk that forgets does so through the kernel as well, and whoever looks finds out what it has forgotten.
//!
//! Method: files are written with and without synchronising, the power is cut, and the files are read. Then a server
//! writes to a disk that only claims to have synchronised: after a power cut the check of a campaign must find what was lost.
//! A server that has made its directories itself a moment ago must find them again. And a server goes on when the disk fails it
//! in what it does in the background, and starts after any start that the disk has failed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::disk::Workshop;
use stemedb_tests::faulty_disk::{Fault, FaultyDisk, Requests};
use stemedb_tests::history::{History, Violation};
use stemedb_tests::load::{Load, Mix};
use stemedb_tests::{Random, Server, Start, listing, skip};

/// Power cuts, each of which leaves something else.
const CUTS: u64 = 40;

/// Names in a directory that is listed while it changes.
const NAMES: u32 = 2000;

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

#[test]
fn a_directory_that_changes_while_it_is_read_has_what_stays_in_it_once() {
    let workshop = Workshop::new();
    let disk = match FaultyDisk::mount(&workshop.path("disk")) {
        Ok(disk) => disk,
        Err(lack) => return skip(lack),
    };
    let directory = disk.path().join("names");
    fs::create_dir(&directory).expect("there is room");
    // Long names, so that no single call lists them all.
    let path = |number: u32| directory.join(format!("{number:0100}"));
    for number in 0..NAMES {
        File::create(path(number)).expect("there is room");
    }
    let mut listed = Vec::new();
    for entry in fs::read_dir(&directory).expect("it is there") {
        let name = entry.expect("a working disk").file_name();
        let number: u32 = name.to_str().and_then(|name| name.parse().ok()).expect("the test has named it");
        listed.push(number);
        // One in four goes when it was listed, and another one comes.
        if number < NAMES && number.is_multiple_of(4) {
            fs::remove_file(path(number)).expect("it is there");
            File::create(path(number + 2 * NAMES)).expect("there is room");
        }
    }
    let times_listed = |number: u32| listed.iter().filter(|&&listed| listed == number).count();
    let wrong = (0..NAMES).map(|number| (number, times_listed(number))).find(|&(_, times)| times != 1);
    assert_eq!(wrong, None, "the first name that was not listed once, and how often it was");
}

#[test]
fn what_could_not_be_synchronised_is_not_by_trying_again() {
    let workshop = Workshop::new();
    let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
        Ok(disk) => disk,
        Err(lack) => return skip(lack),
    };
    let mut random = Random::for_test("synchronising that fails");
    let mut lost = 0;
    for cut in 0..CUTS {
        let name = format!("file-{cut}");
        let file = write(&disk.path().join(&name), 0);
        disk.arm(Fault::Error { requests: Requests::Syncs("file-"), errno: libc::EIO, after: 0, count: 1 });
        assert_eq!(file.sync_all().expect_err("the disk fails").raw_os_error(), Some(libc::EIO));
        file.sync_all().expect("the disk works again");
        assert_eq!(disk.disarm(), 1);
        File::open(disk.path()).and_then(|root| root.sync_all()).expect("a working disk");
        drop(file);
        disk.restart(&mut random);
        lost += u64::from(fs::read(disk.path().join(name)).expect("it has its name") != [7; 8192]);
    }
    assert!(lost > 0, "the second time all was made stable");
}

/// Power cuts, of which one will do: now and then a disk keeps all, or enough.
const LIES: u64 = 20;

/// What ends the message about a log that contradicts itself.
const REFUSAL: &str = "Nothing on disk was changed; docs/operations/recovery.md says what to do";

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
        let server = match start.try_serve() {
            Ok(server) => server,
            // A log that has lost its beginning and not its end is refused, and for nothing else.
            Err(refused) => {
                assert!(refused.text.contains(REFUSAL), "{}: {}", refused.status, refused.text);
                return;
            }
        };
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

/// Claims that fill two segments of 2 MiB, and bytes of the value of each.
const CLAIMS: u64 = 300;
const VALUE_BYTES: usize = 16_000;

/// Writes [`CLAIMS`] claims, the first of them number `first`.
fn fill(server: &Server, first: u64, random: &mut Random) {
    let lines = (first..first + CLAIMS)
        .map(|number| TestClaim::new(format!("fill/{number}"), "is", random.text(VALUE_BYTES)).json() + "\n");
    let answer = server.client().post("/v1/assert/batch", lines.collect::<String>()).expect("an answer").ok();
    assert_eq!(answer["accepted"], CLAIMS, "{answer}");
}

#[test]
fn no_failure_of_tables_or_manifest_costs_a_claim_and_the_next_start_makes_checkpoints_again() {
    let mut random = Random::for_test("checkpoints on a failing disk");
    for requests in [
        Requests::Writes("assertions-"),
        Requests::Syncs("assertions-"),
        Requests::Writes("MANIFEST"),
        Requests::Syncs("MANIFEST"),
        Requests::Syncs("db"),
    ] {
        let workshop = Workshop::new();
        let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
            Ok(disk) => disk,
            Err(lack) => return skip(lack),
        };
        let start = Start::at(&disk.path().join("data"));
        let server = start.serve();
        disk.arm(Fault::Error { requests, errno: libc::EIO, after: 0, count: u64::MAX });
        fill(&server, 0, &mut random);
        let said = server.wait_for_line("Checkpoints have failed");
        assert!(said.contains("Input/output error") && said.contains("recovery.md"), "{requests:?}: {said}");
        let health = server.health();
        assert_eq!(health["upkeep_failed"], true, "{requests:?}: {health}");
        fill(&server, CLAIMS, &mut random);
        assert_eq!(disk.disarm(), 1, "{requests:?}: what has failed is not tried again");
        server.kill();
        disk.restart(&mut random);

        let server = start.serve();
        assert_eq!(server.assertion_count(), 2 * CLAIMS, "{requests:?}");
        server.wait_for_line("Checkpoint:");
        assert_eq!(server.health()["status"], "healthy", "{requests:?}");
        server.kill();
        disk.restart(&mut random);
        let server = start.serve();
        let rows = listing::all(&mut server.client(), "/*");
        assert_eq!(rows.len() as u64, 2 * CLAIMS, "{requests:?}");
        server.stop();
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_is_given_up_and_all_else_goes_on() {
    let mut random = Random::for_test("snapshots on a failing disk");
    for requests in [Requests::Writes("index-"), Requests::Syncs("index-"), Requests::Syncs("indexes")] {
        let workshop = Workshop::new();
        let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
            Ok(disk) => disk,
            Err(lack) => return skip(lack),
        };
        // So that one is due when there are tables.
        let start = Start::at(&disk.path().join("data")).with("STEMEDB_CHECKPOINT_BYTES", "4MiB");
        let server = start.serve();
        disk.arm(Fault::Error { requests, errno: libc::EIO, after: 0, count: 1 });
        fill(&server, 0, &mut random);
        let said = server.wait_for_line("No index snapshot");
        assert!(said.contains("Input/output error"), "{requests:?}: {said}");
        assert_eq!(server.metric("stemedb_index_snapshot_failures_total"), 1.0, "{requests:?}");
        assert_eq!(server.health()["status"], "healthy", "{requests:?}");
        assert_eq!(disk.disarm(), 1);
        fill(&server, CLAIMS, &mut random);
        server.kill();
        disk.restart(&mut random);
        let server = start.serve();
        assert_eq!(server.assertion_count(), 2 * CLAIMS, "{requests:?}");
        server.stop();
    }
}

/// How many requests of a start fail, one in each.
const START_REQUESTS: u64 = 40;

#[test]
fn a_start_that_the_disk_fails_says_so_or_serves_and_the_next_one_has_all() {
    let workshop = Workshop::new();
    let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
        Ok(disk) => disk,
        Err(lack) => return skip(lack),
    };
    let mut random = Random::for_test("starts on a failing disk");
    let start = Start::at(&disk.path().join("data"));
    let server = start.serve();
    fill(&server, 0, &mut random);
    server.kill();
    let mut refusals = 0;
    for after in 0..START_REQUESTS {
        disk.arm(Fault::Error { requests: Requests::All, errno: libc::EIO, after, count: 1 });
        match start.try_serve() {
            Ok(server) => {
                assert_eq!(server.assertion_count(), CLAIMS, "{after} requests before the fault");
                server.kill();
            }
            Err(refused) => {
                assert_eq!(refused.status.code(), Some(1), "{}", refused.text);
                let says_why = |line: &str| line.contains("ERROR") && line.contains("Input/output error");
                assert!(refused.text.lines().any(says_why), "{}", refused.text);
                refusals += 1;
            }
        }
        disk.restart(&mut random);
        let server = start.serve();
        let rows = listing::all(&mut server.client(), "/*");
        assert_eq!(rows.len() as u64, CLAIMS, "{after} requests before the fault");
        server.kill();
    }
    assert!(refusals > 0, "no fault has kept a start from serving");
}
