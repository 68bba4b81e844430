//! A machine of its own for a test that needs a service manager: systemd as process 1 of fresh namespaces, on a
//! throw-away copy of this machine's files. What it does is seen by nobody else, and gone at the end.

mod host;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::Workshop;
use crate::left_behind::{self, Held, Leftover};

pub use host::Host;

/// How long systemd may take to come up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A running machine. It is switched off when it is dropped.
#[derive(Debug)]
pub struct Machine {
    /// unshare(1), the parent of the machine's first process.
    parent: Child,
    /// The machine's first process, by the number it has here.
    first: u32,
    // In this order they are undone, after the processes are.
    _held: Held,
    _group: Group,
    _workshop: Workshop,
}

/// A control group and all below it.
#[derive(Debug)]
struct Group(PathBuf);

impl Machine {
    /// Boots a machine. `Err` says what this one lacks for it.
    pub fn boot() -> Result<Machine, String> {
        lack()?;
        let group = Group::make()?;
        let workshop = Workshop::new();
        let mut boot = Command::new("sh");
        boot.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(&group.0);
        boot.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net"]);
        boot.args(["--cgroup", "--propagation", "private", "sh", "-c", include_str!("boot.sh"), "boot"]);
        boot.arg(workshop.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let parent = boot.spawn().map_err(|error| format!("unshare: {error}"))?;
        let held = left_behind::hold(Leftover::Process(parent.id()));
        let mut machine = Machine { parent, first: 0, _held: held, _group: group, _workshop: workshop };
        machine.wait_until_up()?;
        Ok(machine)
    }

    /// Types a line at the machine, as root.
    pub fn output(&self, line: &str) -> Output {
        self.enter(&["bash", "-o", "pipefail", "-c", line]).output().expect("nsenter was there before")
    }

    /// The same. The line must succeed; gives what it printed.
    pub fn typed(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.output(line);
        let text = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{line}: {status}\n{text}{}", String::from_utf8_lossy(&stderr));
        text
    }

    /// Writes a file of the machine; directories above it are made.
    pub fn write(&self, path: &str, text: &str) {
        let path = PathBuf::from(format!("/proc/{}/root{path}", self.first));
        let directory = path.parent().expect("a file is in a directory");
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The number by which this machine knows a process of that one.
    pub fn number_here(&self, there: u32) -> u32 {
        let namespace = fs::read_link(format!("/proc/{}/ns/pid", self.first)).expect("it runs");
        let processes = fs::read_dir("/proc").expect("it is mounted");
        let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let is_it = |here: &u32| {
            let same = fs::read_link(format!("/proc/{here}/ns/pid")).is_ok_and(|its| its == namespace);
            let status = fs::read_to_string(format!("/proc/{here}/status")).unwrap_or_default();
            let number = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let number = number.and_then(|numbers| numbers.split_whitespace().last());
            same && number == Some(&there.to_string())
        };
        numbers.into_iter().find(is_it).unwrap_or_else(|| panic!("the machine has no process {there}"))
    }

    fn enter(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.first.to_string(), "--mount", "--pid", "--uts", "--ipc", "--net"]);
        enter.args(["--cgroup", "--root", "--wdns=/root", "--", "env", "-i"]);
        enter.args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]);
        enter.args(command).stdin(Stdio::null());
        enter
    }

    fn wait_until_up(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.parent.try_wait() {
                let stderr = self.parent.stderr.take().expect("it is piped");
                let said = std::io::read_to_string(stderr).unwrap_or_default();
                return Err(format!("no machine can be booted here: {status}: {}", said.trim()));
            }
            if let Some(first) = child_of(self.parent.id())
                && fs::read_to_string(format!("/proc/{first}/comm")).is_ok_and(|name| name == "systemd\n")
            {
                self.first = first;
                let state = self.enter(&["systemctl", "is-system-running"]).output();
                if state.is_ok_and(|state| matches!(&*state.stdout, b"running\n" | b"degraded\n")) {
                    return Ok(());
                }
            }
            if Instant::now() >= until {
                return Err(format!("systemd is not up after {PATIENCE:?}"));
            }
            thread::sleep(RETRY_PAUSE);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel ends all processes of the namespace with their first, which ends with its parent.
        let _ = self.parent.kill();
        let _ = self.parent.wait();
        let until = Instant::now() + PATIENCE;
        while Path::new(&format!("/proc/{}", self.first)).exists() && Instant::now() < until {
            thread::sleep(RETRY_PAUSE);
        }
    }
}

impl Group {
    fn make() -> Result<Group, String> {
        // Tests of one process run side by side.
        static GROUPS: AtomicU64 = AtomicU64::new(0);
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| format!("/proc/mounts: {error}"))?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup2").then_some(place)
        });
        let root = root.ok_or("control groups of version 2 are not mounted")?;
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(root).join(format!("stemedb-machine-{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Group(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let until = Instant::now() + PATIENCE;
        // Processes that were killed leave it a moment later.
        while remove_tree(&self.0).is_err() && Instant::now() < until {
            thread::sleep(RETRY_PAUSE);
        }
    }
}

/// Removes a control group and those below it; their files are the kernel's.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// What this machine lacks for another one, as far as can be told before it is tried.
fn lack() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("a machine can only be booted by root".to_owned());
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Err("systemd is not installed".to_owned());
    }
    for program in ["unshare", "nsenter", "journalctl", "systemd-machine-id-setup"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        found.map_err(|error| format!("{program}: {error}"))?;
    }
    Ok(())
}

/// The one child of a process, if it has one.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
