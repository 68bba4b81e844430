//! An installation as operators have it: programs, scripts, data, and a service that a stand-in for systemd controls.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;

use crate::{Client, binary, wal};

/// How long the server may take for what is waited for. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What stands in for systemctl: it starts and stops the server of the installation, and knows no other unit.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
home=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
echo "$*" >>"$home/systemctl.log"
[[ ${2:-} == stemedb-api ]] || exit 4
pid=$(cat "$home/server.pid" 2>/dev/null || true)
case $1 in
cat) ;;
show) printf '%s\n' "WorkingDirectory=$home" "EnvironmentFiles=$home/stemedb.env (ignore_errors=yes)" ;;
stop)
    [[ -n $pid ]] || exit 0
    kill "$pid" 2>/dev/null || true
    # It is gone when it has ended, even if whoever inherited it takes its time to notice.
    while grep -qs '^State:[[:space:]]*[^Z]' "/proc/$pid/status"; do sleep 0.02; done
    rm -f "$home/server.pid"
    ;;
start)
    cd "$home"
    : >"$home/server.log"
    # Small segments, so that a test sees many; the log may still become as long as with those of the usual size.
    STEMEDB_BIND_ADDR=127.0.0.1:0 STEMEDB_SEGMENT_BYTES=2MiB STEMEDB_WAL_BYTES_MAX=4GiB setsid "$home/bin/stemedb-api" >"$home/server.log" 2>&1 </dev/null &
    echo $! >"$home/server.pid"
    while ! grep -q 'Startup complete' "$home/server.log"; do
        kill -0 "$(cat "$home/server.pid")" 2>/dev/null || { rm "$home/server.pid"; cat "$home/server.log" >&2; exit 1; }
        sleep 0.02
    done
    ;;
*) exit 1 ;;
esac
"#;

/// An installation in a directory of its own, which is removed at the end; its server is killed then.
#[derive(Debug)]
pub struct Installation {
    root: TempDir,
}

impl Installation {
    /// One with an empty data directory. Its service is not running.
    pub fn new() -> Installation {
        let root = tempfile::Builder::new().prefix("installation-").tempdir_in(binary::scratch_directory());
        let installation = Installation { root: root.expect("the scratch directory is writable") };
        let home = installation.home();
        for directory in ["bin", "scripts", "data", "fake"] {
            fs::create_dir(home.join(directory)).expect("writable");
        }
        for program in [binary::stemedb_api(), binary::stemedb_admin()] {
            let name = program.file_name().expect("a program has a name");
            std::os::unix::fs::symlink(program, home.join("bin").join(name)).expect("writable");
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/scripts");
        // By another process, as below.
        let mut copy = Command::new("cp");
        copy.args(["-R", "--no-target-directory"]).arg(scripts).arg(home.join("scripts"));
        assert!(copy.status().expect("cp is there").success(), "the scripts cannot be copied");
        installation.write_script("fake/systemctl", SYSTEMCTL);
        installation
    }

    /// Writes a script that can be run. A process of its own does: of a file that this one has open for writing, whatever
    /// another thread starts at that moment would have a copy of the descriptor, and nobody could run it (ETXTBSY).
    pub fn write_script(&self, name: &str, text: &str) {
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(self.path(name)).stdin(Stdio::piped());
        let mut child = install.spawn().expect("install is there");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("install reads");
        drop(stdin);
        assert!(child.wait().expect("a child can be waited for").success(), "{name} cannot be written");
    }

    /// Its root, as `/opt/stemedb` is.
    pub fn home(&self) -> &Path {
        self.root.path()
    }

    /// Where a file or directory of it is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// Writes the file of settings, which systemd would give to the units. The stand-in gives its service what it is called with.
    pub fn set(&self, settings: &str) {
        fs::write(self.path("stemedb.env"), settings).expect("writable");
    }

    /// Types a line in the installation's root, as root.
    pub fn output_of(&self, line: &str) -> Output {
        self.command(line).output().expect("bash is there")
    }

    /// What types it, for more than its output.
    pub fn command(&self, line: &str) -> Command {
        let path = format!(
            "{}:{}:{}",
            self.path("fake").display(),
            self.path("bin").display(),
            std::env::var("PATH").expect("there is a PATH")
        );
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["STEMEDB_", "BACKUP_", "MINIO_", "AWS_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .args(["-o", "pipefail", "-c", line])
            .current_dir(self.home())
            .env("PATH", path)
            .env("SETTINGS", self.path("stemedb.env"))
            .env_remove("http_proxy")
            .env_remove("ALL_PROXY")
            .stdin(Stdio::null());
        command
    }

    /// Types a line, which must succeed, and gives what it printed.
    pub fn typed(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.output_of(line);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{line}: {status}\n{stdout}{stderr}{}", self.log());
        stdout.into_owned()
    }

    /// Types a line, which must fail, and gives its exit code and what it said on its standard error.
    pub fn refused(&self, line: &str) -> (i32, String) {
        let Output { status, stdout, stderr } = self.output_of(line);
        assert!(!status.success(), "{line} has succeeded:\n{}", String::from_utf8_lossy(&stdout));
        (status.code().expect("it was not killed"), String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Starts the service.
    pub fn start(&self) {
        self.typed("systemctl start stemedb-api");
    }

    /// Stops the service.
    pub fn stop(&self) {
        self.typed("systemctl stop stemedb-api");
    }

    /// Waits until each lane of the running server has its next segment. As long as it is asked for nothing, the server makes
    /// no more files then.
    pub fn wait_until_prepared(&self) {
        let is_prepared = || {
            let segments = wal::segments(&self.path("data/wal"));
            let is_next = |segment: &&wal::Segment| segment.header.is_none();
            let prepared: Vec<_> = segments.iter().filter(is_next).map(|next| next.id.lane).collect();
            segments.iter().all(|segment| prepared.contains(&segment.id.lane))
        };
        let until = Instant::now() + PATIENCE;
        while !is_prepared() {
            assert!(Instant::now() < until, "not after {PATIENCE:?}: segments are prepared\n{}", self.log());
            thread::sleep(RETRY_PAUSE);
        }
    }

    /// What the server said since it was started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    /// The address of the running server, `http://127.0.0.1:…`.
    pub fn url(&self) -> String {
        let log = self.log();
        let (_, rest) = log.split_once(" on http://").unwrap_or_else(|| panic!("it does not serve:\n{log}"));
        format!("http://{}", rest.split(' ').next().expect("a split has a first part"))
    }

    /// A connection to the running server.
    pub fn client(&self) -> Client {
        let url = self.url();
        let address = url.strip_prefix("http://").expect("it begins so").parse().expect("an address");
        Client::connect(address).unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.log()))
    }

    /// How many claims the running server says it has.
    pub fn assertion_count(&self) -> u64 {
        let health = self.client().get("/v1/health").expect("an answer").ok();
        health["assertion_count"].as_u64().expect("health has a count")
    }

    /// The directories of all backups, oldest first.
    pub fn backups(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("backups")).expect("backups were taken");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let mut backups: Vec<_> = paths
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("stemedb-backup-"))
            })
            .collect();
        backups.sort();
        backups
    }
}

impl Default for Installation {
    fn default() -> Installation {
        Installation::new()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // The process of our own service, by its number.
        if let Some(pid) =
            fs::read_to_string(self.path("server.pid")).ok().and_then(|text| text.trim().parse().ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
