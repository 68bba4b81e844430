//! A start on a disk that is full.

use std::process::Command;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::disk::{self, Disk, FileSystem, Workshop};
use stemedb_tests::{Start, process};

/// The size of the file system.
const DISK_BYTES: u64 = 64 << 20;

#[test]
fn a_start_on_a_full_disk_says_so_and_what_to_do_and_loses_nothing() {
    if let Err(lack) = disk::lack() {
        return stemedb_tests::skip(lack);
    }
    if process::cpus() < 2 {
        return stemedb_tests::skip("a second core needs a second CPU");
    }
    let workshop = Workshop::new();
    let disk = Disk::make(FileSystem::Ext4, &workshop.path("disk.img"), DISK_BYTES, &workshop.path("disk"));
    let typed = |line: &str| {
        let line = line.replace("/data", &disk.path().display().to_string());
        Command::new("bash").args(["-c", &line]).output().expect("bash is there")
    };
    let start = Start::at(&disk.path().join("data"));
    let server = start.serve();
    server.client().post("/v1/assert", TestClaim::new("a", "is", 1).json()).expect("an answer").ok();
    server.stop();

    let fresh = Start::at(&disk.path().join("fresh"));
    // One core might do with the segments that were prepared for it; for a second nothing is prepared.
    for (what, start) in [("an empty directory", &fresh), ("a log", &start.clone().cores(2))] {
        typed(
            "dd if=/dev/zero of=/data/filler-$RANDOM bs=4k; dd if=/dev/zero of=/data/filler-$RANDOM bs=512",
        );
        let refused = start.refused();
        assert_eq!(refused.status.code(), Some(1), "{what}: {}", refused.text);
        let errors: Vec<_> = refused.text.lines().filter(|line| line.contains("ERROR")).collect();
        let [error] = errors[..] else { panic!("{what}: not one line:\n{}", refused.text) };
        for part in ["No space left on device", "nothing is lost", "docs/operations/full.md"] {
            assert!(error.contains(part), "{what}: {part:?} is not in\n{error}");
        }
    }
    assert!(typed("rm /data/filler-*").status.success());
    let server = start.serve();
    assert_eq!(server.assertion_count(), 1);
    server.stop();
}
