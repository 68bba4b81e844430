//! A machine to install StemeDB on.

use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use super::Machine;
use crate::binary;

/// How long the machine may take for a step. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The user who types what the pages print: one who may use sudo and read the journal, and nothing else.
const OPERATOR: &str = "oncall";

/// What makes a process another user's: setpriv(1), which belongs to root and whose processes are root's whoever starts it.
const BECOME: &str = "/usr/local/lib/become";

/// What takes the place of sudo(8), which is not installed everywhere. It takes the environment away, as sudo does.
const SUDO: &str = r#"#!/bin/sh
user=root
if [ "$1" = -u ]; then user=$2; shift 2; fi
exec /usr/local/lib/become --reuid "$user" --regid "$(id -g "$user")" --init-groups -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM="$TERM" "$@"
"#;

/// What takes the place of systemctl(1) for those who are not root: here is no bus, over which they would ask what everybody may know.
const SYSTEMCTL: &str = r#"#!/bin/sh
case $1 in
cat | is-active | list-timers | show | status) exec /usr/local/lib/become --reuid 0 --regid 0 --clear-groups -- /usr/bin/systemctl "$@" ;;
esac
exec /usr/bin/systemctl "$@"
"#;

/// What takes the place of journalctl(1): it waits until what has been logged is in the journal, as whoever reads it has by the time that it is
/// typed by hand.
const JOURNALCTL: &str = r#"#!/bin/sh
/usr/local/lib/become --reuid 0 --regid 0 --clear-groups -- /usr/bin/journalctl --sync
exec /usr/bin/journalctl "$@"
"#;

/// What curl(1) does at a terminal, and would not do for a test: it shows no progress.
const CURLRC: &str = "silent\nshow-error\n";

/// A machine of its own, for StemeDB to be installed on.
#[derive(Debug)]
pub struct Host(Machine);

impl Host {
    /// Boots a machine that has what an operator's has. `Err` says what this one lacks for it.
    pub fn boot() -> Result<Host, String> {
        let host = Host(Machine::boot()?);
        // The installer takes what cargo has built for release; here that is what is under test.
        let release = Host::checkout().join("target/release");
        for binary in [binary::stemedb_api(), binary::stemedb_admin()] {
            let (release, binary) = (release.display(), binary.display());
            host.typed(&format!("mkdir -p {release} && ln -sf {binary} {release}"));
        }
        host.write("/usr/local/bin/sudo", SUDO);
        host.write("/usr/local/bin/systemctl", SYSTEMCTL);
        host.write("/usr/local/bin/journalctl", JOURNALCTL);
        host.typed(&format!(
            "chmod +x /usr/local/bin/{{sudo,systemctl,journalctl}} && install -m 4755 \"$(command -v setpriv)\" {BECOME} && \
             useradd --create-home --groups systemd-journal {OPERATOR}"
        ));
        for home in ["/root".to_owned(), host.operators_home()] {
            host.write(&format!("{home}/.curlrc"), CURLRC);
        }
        Ok(host)
    }

    /// Boots a machine and installs StemeDB on it, which is not started.
    pub fn install() -> Result<Host, String> {
        let host = Host::boot()?;
        host.typed(&format!("cd {} && deploy/install.sh", Host::checkout().display()));
        Ok(host)
    }

    /// Where the repository lies, there as here.
    pub fn checkout() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in the repository")
    }

    /// Types a line at the machine, as root.
    pub fn output(&self, line: &str) -> Output {
        self.0.output(line)
    }

    /// Types a line as an operator who is not root, in a directory that need not be theirs.
    pub fn output_for_operator(&self, directory: &Path, line: &str) -> Output {
        let word = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let (directory, home) = (word(&directory.display().to_string()), self.operators_home());
        let user = format!("setpriv --reuid {OPERATOR} --regid {OPERATOR} --init-groups");
        let environment =
            format!("env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 TERM=dumb HOME={home}");
        self.output(&format!("cd {directory} && {user} {environment} bash -o pipefail -c {}", word(line)))
    }

    /// The home of that operator.
    pub fn operators_home(&self) -> String {
        format!("/home/{OPERATOR}")
    }

    /// The same. The line must succeed; gives what it printed.
    pub fn typed(&self, line: &str) -> String {
        self.0.typed(line)
    }

    /// Writes a file of the machine; directories above it are made.
    pub fn write(&self, path: &str, text: &str) {
        self.0.write(path, text);
    }

    /// The number by which this machine knows a process of that one.
    pub fn number_here(&self, there: u32) -> u32 {
        self.0.number_here(there)
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
        self.typed("journalctl -u stemedb-api -o cat --no-pager")
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
