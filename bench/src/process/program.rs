//! What is to be started, and how.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use stemedb_engine::ring::CpuSet;

use super::error::ProcessError;
use super::registry;
use super::running::Running;

/// A user to run a program as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub user: u32,
    /// The number of the user's group.
    pub group: u32,
}

impl Account {
    /// The account of that name in `/etc/passwd`.
    pub fn named(name: &str) -> Option<Account> {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(|field| field.parse().ok());
        Some(Account { user: numbers.next()??, group: numbers.next()?? })
    }
}

/// A program to start. Its output goes to a log in its directory, which is its working directory too.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
    directory: PathBuf,
    cpus: CpuSet,
    stop_signal: Signal,
}

impl Program {
    /// The program at `path`, or of that name on the `PATH`, to be run on `cpus`.
    pub fn new(path: impl AsRef<OsStr>, directory: &Path, cpus: CpuSet) -> Program {
        let name = Path::new(path.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(path);
        command.current_dir(directory).stdin(Stdio::null());
        Program { name, command, directory: directory.to_owned(), cpus, stop_signal: Signal::TERM }
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Program {
        self.command.env(name, value);
        self
    }

    /// Runs it as another user.
    pub fn as_account(mut self, account: Account) -> Program {
        self.command.uid(account.user).gid(account.group);
        self
    }

    /// The signal that asks it to end; SIGTERM unless it is said otherwise.
    pub fn stopped_by(mut self, signal: Signal) -> Program {
        self.stop_signal = signal;
        self
    }

    /// Starts a server and waits until `is_ready` says so.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends, or is not ready `within` that time; it is killed then.
    pub fn start(self, within: Duration, is_ready: impl FnMut() -> bool) -> Result<Running, ProcessError> {
        let log = self.directory.join(format!("{}.log", self.name));
        let mut running = self.spawn(None, log)?;
        running.wait_until_ready(within, is_ready)?;
        Ok(running)
    }

    /// Runs a program that ends by itself, and returns what it wrote to its standard output.
    ///
    /// # Errors
    ///
    /// When it cannot be started, fails, or does not end `within` that time; it is killed then.
    pub fn run(self, within: Duration) -> Result<String, ProcessError> {
        let log = self.directory.join(format!("{}.log", self.name));
        let output = self.directory.join(format!("{}.out", self.name));
        let name = self.name.clone();
        let running = self.spawn(Some(&output), log)?;
        running.wait_for_success(within)?;
        let read = std::fs::read(&output).map_err(|source| ProcessError::Start { program: name, source })?;
        Ok(String::from_utf8_lossy(&read).into_owned())
    }

    /// Starts it with its output in `output`, or in the log like its errors.
    fn spawn(mut self, output: Option<&Path>, log: PathBuf) -> Result<Running, ProcessError> {
        let start_error = |source| ProcessError::Start { program: self.name.clone(), source };
        let log_file = OpenOptions::new().create(true).append(true).open(&log).map_err(start_error)?;
        let output_file = match output {
            Some(path) => File::create(path).map_err(start_error)?,
            None => log_file.try_clone().map_err(start_error)?,
        };
        self.command.stdout(output_file).stderr(log_file).process_group(0);
        let (cpus, parent) = (self.cpus, rustix::process::getpid());
        // SAFETY: between fork and exec the closure makes three system calls. It neither allocates nor takes a lock.
        unsafe { self.command.pre_exec(move || enter(cpus, parent)) };
        let mut registry = registry::lock();
        let child = self.command.spawn().map_err(start_error)?;
        registry.programs.push(Pid::from_child(&child));
        drop(registry);
        Ok(Running::new(self.name, child, log, self.cpus, self.stop_signal))
    }
}

/// What the new process does before it becomes the program: it takes its CPUs, and will not outlive its parent even if that is killed.
fn enter(cpus: CpuSet, parent: Pid) -> io::Result<()> {
    cpus.bind_current_thread()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match getppid() {
        Some(pid) if pid == parent => Ok(()),
        // The parent was gone before its death could be noticed.
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}
