//! A machine on which StemeDB is installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use super::Machine;
use crate::binary;
use crate::disk::Workshop;

/// How long the machine may take for a step. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What takes the place of sudo(8), which is not installed everywhere: whoever types here is root already.
const SUDO: &str = r#"#!/bin/sh
if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi
exec "$@"
"#;

/// A machine of its own with StemeDB installed as deploy/README.md says, not started.
#[derive(Debug)]
pub struct Host {
    machine: Machine,
    _target: Workshop,
}

impl Host {
    /// Boots a machine and installs StemeDB. `Err` says what this one lacks for it.
    pub fn install() -> Result<Host, String> {
        let machine = Machine::boot()?;
        // The installer takes what cargo has built for release; here that is what is under test.
        let target = Workshop::new();
        fs::create_dir(target.path("release")).expect("writable");
        for binary in [binary::stemedb_api(), binary::stemedb_admin()] {
            let name = binary.file_name().expect("a program has a name");
            symlink(binary, target.path("release").join(name)).expect("writable");
        }
        let host = Host { machine, _target: target };
        host.typed(&format!(
            "cd {} && CARGO_TARGET_DIR={} deploy/install.sh",
            Host::checkout().display(),
            host._target.path("").display()
        ));
        host.write("/usr/local/bin/sudo", SUDO);
        host.typed("chmod +x /usr/local/bin/sudo");
        Ok(host)
    }

    /// Where the repository lies, there as here.
    pub fn checkout() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in the repository")
    }

    /// Types a line at the machine, as root.
    pub fn output(&self, line: &str) -> Output {
        self.machine.output(line)
    }

    /// The same. The line must succeed; gives what it printed.
    pub fn typed(&self, line: &str) -> String {
        self.machine.typed(line)
    }

    /// Writes a file of the machine; directories above it are made.
    pub fn write(&self, path: &str, text: &str) {
        self.machine.write(path, text);
    }

    /// The number by which this machine knows a process of that one.
    pub fn number_here(&self, there: u32) -> u32 {
        self.machine.number_here(there)
    }

    /// Writes the drop-in of the server's unit that `systemctl edit stemedb-api` writes, where a terminal is needed.
    pub fn edit(&self, setting: &str) {
        let text = format!("[Service]\n{setting}\n");
        self.write("/etc/systemd/system/stemedb-api.service.d/override.conf", &text);
        self.typed("systemctl daemon-reload");
    }

    /// The server's process, by the number it has there.
    pub fn main_pid(&self) -> u32 {
        self.typed("systemctl show -P MainPID stemedb-api").trim().parse().expect("a number")
    }

    /// What the server has logged since the machine was booted.
    pub fn log(&self) -> String {
        self.typed("journalctl --sync && journalctl -u stemedb-api -o cat --no-pager")
    }

    /// Waits until something is so.
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "not after {PATIENCE:?}: {what}\n{}", self.log());
            thread::sleep(RETRY_PAUSE);
        }
    }
}
