//! Everything under a real systemd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use stemedb_tests::binary;
use stemedb_tests::disk::Workshop;
use stemedb_tests::machine::Machine;

/// A machine with StemeDB installed as deploy/README.md says. `None`, and a word about it, where none can be booted.
fn installed() -> Option<(Machine, Workshop)> {
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(lack) => {
            eprintln!("skipped: {lack}");
            return None;
        }
    };
    // The installer takes what cargo has built for release; here that is what is under test.
    let target = Workshop::new();
    fs::create_dir(target.path("release")).expect("writable");
    for binary in [binary::stemedb_api(), binary::stemedb_admin()] {
        let name = binary.file_name().expect("a program has a name");
        symlink(binary, target.path("release").join(name)).expect("writable");
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in the repository");
    machine.typed(&format!(
        "cd {} && CARGO_TARGET_DIR={} deploy/install.sh",
        repository.display(),
        target.path("").display()
    ));
    Some((machine, target))
}

#[test]
fn a_service_is_installed_started_asked_and_stopped() {
    let Some((machine, _target)) = installed() else { return };
    machine.typed("systemctl start stemedb-api");
    println!("{}", machine.typed("systemctl status stemedb-api"));
    println!("{}", machine.typed("journalctl -u stemedb-api -n 50 | grep -i wal"));
    machine.typed("curl http://localhost:18180/v1/health");
}
