//! The server under test: started, watched, ended.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::control_group::ControlGroup;
use crate::left_behind::{self, Held, Leftover};
use crate::transcript::Transcript;
use crate::{Client, Data, binary, process};

/// How long a server may take for a step before the test gives up on it. Far beyond what it does take: nothing is
/// measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// The line that says what the server listens on, up to the address.
const BOUND: &str = "Bound to ";

/// The line that says that requests are served.
const COMPLETE: &str = "Startup complete";

/// A server that is to be started.
#[derive(Debug, Clone)]
pub struct Start {
    variables: BTreeMap<String, OsString>,
    arguments: Vec<OsString>,
    becomes: Becomes,
}

/// What the process is first that becomes the server.
#[derive(Debug, Clone)]
enum Becomes {
    /// Nothing else.
    Itself,
    /// One that enters this control group.
    InGroup(PathBuf),
    /// One that gives up what root may read beyond modes.
    ObeyingModes,
}

/// A running server. It is killed when it is dropped, also by a test that panics.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    transcript: Transcript,
    _held: Held,
}

/// A server that has ended instead of serving.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said on its standard error.
    pub text: String,
}

impl Start {
    /// A server on `data` and a free port of 127.0.0.1, of one core, with the smallest segments.
    pub fn on(data: &Data) -> Start {
        Start::at(data.root())
    }

    /// The same on a data directory `root` that belongs to somebody else.
    pub fn at(root: &Path) -> Start {
        let start = Start { variables: BTreeMap::new(), arguments: Vec::new(), becomes: Becomes::Itself };
        start
            .with("STEMEDB_BIND_ADDR", "127.0.0.1:0")
            .with("STEMEDB_WAL_DIR", root.join("wal"))
            .with("STEMEDB_DB_DIR", root.join("db"))
            .with("STEMEDB_SEGMENT_BYTES", "2MiB")
            .with("STEMEDB_CORES", "1")
    }

    /// Sets an environment variable.
    pub fn with(mut self, variable: &str, value: impl Into<OsString>) -> Start {
        self.variables.insert(variable.to_owned(), value.into());
        self
    }

    /// Leaves a variable to its default.
    pub fn without(mut self, variable: &str) -> Start {
        self.variables.remove(variable);
        self
    }

    /// Adds a command-line argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Start {
        self.arguments.push(argument.into());
        self
    }

    /// Sets the number of cores, or as many as there are CPUs if that is less.
    pub fn cores(self, cores: usize) -> Start {
        self.with("STEMEDB_CORES", cores.min(process::cpus()).to_string())
    }

    /// Has it run in a control group.
    pub fn in_group(self, group: &ControlGroup) -> Start {
        Start { becomes: Becomes::InGroup(group.path().to_owned()), ..self }
    }

    /// Has it read only what the modes of files allow, also where root runs the tests.
    pub fn obeying_modes(self) -> Start {
        Start { becomes: Becomes::ObeyingModes, ..self }
    }

    /// Starts the server and waits until it serves.
    pub fn serve(&self) -> Server {
        self.try_serve()
            .unwrap_or_else(|refused| panic!("the server ended with {}:\n{}", refused.status, refused.text))
    }

    /// Starts the server and waits until it serves or has ended.
    pub fn try_serve(&self) -> Result<Server, Refused> {
        let mut starting = self.begin();
        if starting.transcript.wait_for(COMPLETE, PATIENCE).is_none() {
            let status = starting.child.wait().expect("a child can be waited for");
            return Err(Refused { status, text: starting.transcript.text() });
        }
        Ok(starting)
    }

    /// Starts a server that must refuse to.
    pub fn refused(&self) -> Refused {
        match self.try_serve() {
            Err(refused) => refused,
            Ok(_) => panic!("the server should have refused to start: {self:?}"),
        }
    }

    /// Starts the server and waits only until it listens, or has ended; then its address is that of nobody.
    pub fn begin(&self) -> Server {
        let mut child = self.command().spawn().unwrap_or_else(|error| {
            panic!("{} cannot be run: {error}", binary::stemedb_api().display());
        });
        let held = left_behind::hold(Leftover::Process(child.id()));
        let transcript = Transcript::of(child.stderr.take().expect("it is piped"));
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Server { child, address: nobody, transcript, _held: held };
        if let Some(line) = server.transcript.wait_for(BOUND, PATIENCE) {
            let (_, rest) = line.split_once(BOUND).expect("the line was found by this part");
            let address = rest.split(' ').next().expect("a split has a first part");
            server.address = address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
        }
        server
    }

    fn command(&self) -> Command {
        let mut command = match &self.becomes {
            Becomes::Itself => Command::new(binary::stemedb_api()),
            Becomes::InGroup(group) => in_group(group, binary::stemedb_api()),
            Becomes::ObeyingModes => obeying_modes(binary::stemedb_api()),
        };
        // What is set for whoever runs the tests is not meant for the servers in them.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STEMEDB_")) {
            command.env_remove(name);
        }
        command.envs(&self.variables).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// A command that enters a control group, then becomes `program`: as the same process, by the same number.
fn in_group(group: &Path, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(group).arg(program);
    command
}

/// A command that gives up root's right to read everything, if it has that, then becomes `program`: capabilities(7), setpriv(1).
fn obeying_modes(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-dac_override,-dac_read_search").arg(program);
    command
}

impl Server {
    /// Kills it, as `kill -9` does, and waits for its end.
    pub fn kill(self) {
        let (status, text) = self.kill_in_its_end();
        assert_eq!(status.signal(), Some(9), "it had ended before it was killed:\n{text}");
    }

    /// The same of a server that may end by itself. Gives its status and what it said.
    pub fn kill_in_its_end(mut self) -> (ExitStatus, String) {
        self.child.kill().expect("a child that was not waited for is there");
        self.ended(PATIENCE)
    }

    /// Sends SIGTERM. [`Server::ended`] waits for the end.
    pub fn terminate(&self) {
        process::signal(self.pid(), Signal::TERM);
    }

    /// Sends SIGINT, as a terminal does. [`Server::ended`] waits for the end.
    pub fn interrupt(&self) {
        process::signal(self.pid(), Signal::INT);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        process::signal(self.pid(), Signal::HUP);
    }

    /// Keeps it from running until [`Server::resume`]: what is sent to it meanwhile comes in at once.
    pub fn pause(&self) {
        process::signal(self.pid(), Signal::STOP);
        process::wait_until_stopped(self.pid());
    }

    /// Lets it run again.
    pub fn resume(&self) {
        process::signal(self.pid(), Signal::CONT);
    }

    /// Waits for the end of a server that was told to end. Gives its status and what it said.
    pub fn ended(mut self, limit: Duration) -> (ExitStatus, String) {
        let ended = self.transcript.wait_for_end(limit);
        assert!(ended, "it has not ended after {limit:?}:\n{}", self.text());
        let status = self.child.wait().expect("a child can be waited for");
        (status, self.text())
    }

    /// Stops it in the orderly way, which must succeed.
    pub fn stop(self) -> String {
        self.terminate();
        let (status, text) = self.ended(PATIENCE);
        assert!(status.success(), "it ended with {status}:\n{text}");
        text
    }

    /// Waits for a line of its log that contains `part`.
    pub fn wait_for_line(&self, part: &str) -> String {
        let line = self.transcript.wait_for(part, PATIENCE);
        line.unwrap_or_else(|| panic!("it ended without saying {part:?}:\n{}", self.text()))
    }

    /// Whether it ends by itself within `limit`.
    pub fn has_ended_within(&self, limit: Duration) -> bool {
        self.transcript.wait_for_end(limit)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said so far on its standard error.
    pub fn text(&self) -> String {
        self.transcript.text()
    }

    /// A new connection to it.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
            .unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.text()))
    }

    /// What it answers to `/v1/health`, on a connection of its own.
    pub fn health(&self) -> Value {
        self.client().get("/v1/health").expect("a running server answers").ok()
    }

    /// How many claims it says it holds.
    pub fn assertion_count(&self) -> u64 {
        self.health()["assertion_count"].as_u64().expect("health has a count")
    }

    /// The value of a sample in `/metrics`: a name, with its labels as they stand there.
    pub fn metric(&self, sample: &str) -> f64 {
        let response = self.client().get("/metrics").expect("a running server answers");
        assert_eq!(response.status, 200, "{response:?}");
        let text = String::from_utf8(response.body).expect("metrics are text");
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| {
            let name = sample.split('{').next().expect("a split has a first part");
            let samples: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
            panic!("no sample {sample}, but {samples:#?}")
        });
        value.parse().unwrap_or_else(|_| panic!("{sample} is {value}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what the server said:\n{}", self.text());
        }
    }
}
