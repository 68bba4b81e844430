//! Goal: the disk that forgets does so through the kernel as well, and a server's log survives it only because it
//! synchronises. Method: files are written with and without synchronising, the power is cut, and the files are read.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use stemedb_tests::Random;
use stemedb_tests::disk::Workshop;
use stemedb_tests::faulty_disk::FaultyDisk;

/// Power cuts, each of which leaves something else.
const CUTS: u64 = 40;

#[test]
fn only_what_was_synchronised_is_sure_to_survive_a_power_cut() {
    let workshop = Workshop::new();
    let mut disk = match FaultyDisk::mount(&workshop.path("disk")) {
        Ok(disk) => disk,
        Err(lack) => return println!("skipped: {lack}"),
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
