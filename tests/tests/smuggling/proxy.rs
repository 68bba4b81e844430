//! A proxy in front of the server: started, watched, ended.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use stemedb_tests::skip;
use tempfile::TempDir;

/// How long a proxy may take for a step before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running proxy. It is killed when it is dropped, also by a test that panics.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    directory: TempDir,
}

impl Proxy {
    /// Starts `program` with the configuration that `configure` writes for a directory of its own. `arguments` come before
    /// the configuration's path. Its standard output is its log.
    ///
    /// `None` if the program is not installed.
    pub(crate) fn start(
        program: &str,
        arguments: &[&str],
        configure: impl FnOnce(&Path) -> String,
    ) -> Option<Proxy> {
        let Some(path) = installed(program) else {
            skip(format_args!("{program} is not installed (Debian's package of that name has it)"));
            return None;
        };
        let directory =
            tempfile::Builder::new().prefix("proxy-").tempdir().expect("there is a place for files");
        let configuration = directory.path().join("configuration");
        fs::write(&configuration, configure(directory.path())).expect("writable");
        let file = |name: &str| File::create(directory.path().join(name)).expect("writable");
        let child = Command::new(path)
            .args(arguments)
            .arg(configuration)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(file("log"))
            .stderr(file("errors"))
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        let mut proxy = Proxy { child, directory };
        proxy.wait_until_it_listens();
        Some(proxy)
    }

    /// Where clients connect that may stop in the middle: the proxy soon gives them up.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Where clients without guile connect: the proxy waits for them, however slow the machine is. All else is as behind the other
    /// socket, the connection to the server included.
    pub(crate) fn good_socket(&self) -> PathBuf {
        self.directory.path().join("good")
    }

    /// Ends it in the orderly way that `signal` stands for; gives its log.
    pub(crate) fn stop(mut self, signal: Signal) -> String {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child has a number");
        rustix::process::kill_process(pid, signal).expect("a child that was not waited for is there");
        self.child.wait().expect("a child can be waited for");
        fs::read_to_string(self.directory.path().join("log")).expect("a log is text")
    }

    fn wait_until_it_listens(&mut self) {
        let until = Instant::now() + PATIENCE;
        while [self.socket(), self.good_socket()].iter().any(|socket| UnixStream::connect(socket).is_err()) {
            let ended = self.child.try_wait().expect("a child can be asked for");
            assert!(
                ended.is_none() && Instant::now() < until,
                "it does not listen: {ended:?}\n{}",
                self.errors()
            );
            std::thread::yield_now();
        }
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.directory.path().join("errors")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what the proxy said:\n{}", self.errors());
        }
    }
}

/// Where a program is. Those of administrators are not on everybody's path.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join(program)).find(|path| path.is_file())
}
