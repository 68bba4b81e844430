//! A socket in the place of the service manager's, see sd_notify(3).

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use stemedb_tests::Start;
use tempfile::TempDir;

/// How long the server may take to say something. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Hears what a server tells its manager.
pub(crate) struct Manager {
    directory: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    pub(crate) fn new() -> Manager {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a short path");
        Manager { directory, socket }
    }

    /// Has a server tell it, and a watchdog of this time.
    pub(crate) fn of(&self, start: Start, watchdog: Duration) -> Start {
        start
            .with("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .with("WATCHDOG_USEC", watchdog.as_micros().to_string())
    }

    /// What has been said by now, one variable a line, until one of them begins with `end`.
    pub(crate) fn heard_until(&self, end: &str) -> Vec<String> {
        self.heard_until_one_of(&[end])
    }

    /// The same, until one of them begins with one of `ends`.
    pub(crate) fn heard_until_one_of(&self, ends: &[&str]) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).expect("a time");
            let mut message = [0; MESSAGE_BYTES_MAX];
            let bytes = self.socket.recv(&mut message);
            let bytes =
                bytes.unwrap_or_else(|error| panic!("{ends:?} was not heard: {error}; but {heard:#?}"));
            let text = String::from_utf8_lossy(&message[..bytes]);
            heard.extend(text.lines().map(str::to_owned));
            if text.lines().any(|line| ends.iter().any(|end| line.starts_with(end))) {
                return heard;
            }
        }
    }

    /// What has been said and not been heard.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("a socket");
        let mut heard = Vec::new();
        let mut message = [0; MESSAGE_BYTES_MAX];
        while let Ok(bytes) = self.socket.recv(&mut message) {
            heard.extend(String::from_utf8_lossy(&message[..bytes]).lines().map(str::to_owned));
        }
        self.socket.set_nonblocking(false).expect("a socket");
        heard
    }
}
