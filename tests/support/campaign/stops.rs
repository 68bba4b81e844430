//! Time that goes wrong: the server is stopped and continued at random moments, its CPUs are taken by others, and the
//! clock of the day jumps forwards and back.
//!
//! None of this excuses anything. Whatever was asked is answered, with success; no lane ends; the server is healthy
//! afterwards and tells for how long it has run.
//!
//! The clock is that of libfaketime, preloaded into the server alone: what clock_gettime(2) tells of CLOCK_REALTIME is moved by
//! as much as a file says, CLOCK_MONOTONIC stays as it is. The system's clock is never set. After each jump the server is asked
//! for the time. Where the library is not installed, clocks do not jump, which is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::{Figures, check};
use crate::claims::TestClaim;
use crate::history::History;
use crate::left_behind::{self, Held, Leftover};
use crate::load::{Load, Mix};
use crate::{Data, Random, Server, Start, process, skip};

const ROUNDS_A_DIRECTORY: u64 = 10;

/// How many troubles there are in a round.
const TROUBLES: u64 = 6;

/// How long a server is stopped, and one time in so many it is longer.
const STOPPED_MS_MAX: u64 = 150;
const STOPPED_LONG_MS_MAX: u64 = 2000;
const STOPPED_LONG_ONCE_IN: u64 = 8;

/// How long it runs before the next trouble.
const RUNS_US_MAX: u64 = 40_000;

/// By how many seconds the clock is wrong: up to half a year.
const CLOCK_S_MAX: u64 = 180 * 86_400;

/// Claims acknowledged after the last trouble before the round ends: the server goes on.
const ACKNOWLEDGED_AFTER: u64 = 300;

/// The code of a claim that seems to come from the future when the clock has jumped back.
const IN_FUTURE: &str = "timestamp_in_future";
const CODES: &[&str] = &[IN_FUTURE];

/// A time after all clocks, and what the refusal of a claim of then says before the server's own.
const FAR_FUTURE_US: u64 = 9_999_999_999_000_000;
const SERVER_HAS: &str = "where the server has ";

/// How long the server's answer may take to be read, in seconds.
const CLOCK_DIFFERENCE_S_MAX: i64 = 60;

/// Where Debian and its descendants, and Fedora, install libfaketime for threads.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

pub(super) fn run(rounds: u64, mut random: Random, figures: &mut Figures, done: &mut dyn FnMut(u64)) {
    if FakeClock::library().is_none() {
        skip("clocks do not jump: libfaketime is not installed (on Debian, apt-get install faketime)");
    }
    let mut first = 0;
    while first < rounds {
        let data = Data::new();
        let history = History::new(random.fork(first));
        let last = (first + ROUNDS_A_DIRECTORY).min(rounds);
        for round in first..last {
            one_round(&data, &history, round, &mut random, figures);
            done(round + 1);
        }
        let server = Start::on(&data).serve();
        check::check(&server, &history);
        server.stop();
        figures.add_tally(history.tally());
        first = last;
    }
}

fn one_round(data: &Data, history: &History, round: u64, random: &mut Random, figures: &mut Figures) {
    let clock = FakeClock::new(data.root());
    let start = Start::on(data).cores(random.within(1..=2) as usize);
    let began = Instant::now();
    let server = clock.as_ref().map_or(start.clone(), |clock| clock.preloaded(start)).serve();
    let _traces = clock.as_ref().map(|_| FakeClock::traces(server.pid()));
    check::check(&server, history);
    let mix = if random.once_in(5) { Mix::large() } else { Mix::small() }.expecting(CODES);
    let load = Load::new(history, server.address(), round, mix, random.fork(round));
    let hogs = if random.once_in(3) { hogs(figures) } else { Vec::new() };
    let server = load.during(|load| {
        for _ in 0..TROUBLES {
            thread::sleep(Duration::from_micros(random.within(0..=RUNS_US_MAX)));
            match &clock {
                Some(clock) if random.once_in(2) => clock.jump(&server, random, figures),
                _ => stop_and_continue(&server, random, figures),
            }
        }
        load.wait_for(load.acknowledged() + ACKNOWLEDGED_AFTER);
        expect_healthy(&server, began);
        if random.once_in(2) {
            return Some(server);
        }
        load.server_ends();
        server.kill();
        None
    });
    drop(hogs);
    if let Some(server) = server {
        check::check(&server, history);
        server.stop();
    }
}

fn stop_and_continue(server: &Server, random: &mut Random, figures: &mut Figures) {
    let most = if random.once_in(STOPPED_LONG_ONCE_IN) { STOPPED_LONG_MS_MAX } else { STOPPED_MS_MAX };
    let stopped = random.within(10..=most);
    process::signal(server.pid(), Signal::STOP);
    thread::sleep(Duration::from_millis(stopped));
    process::signal(server.pid(), Signal::CONT);
    figures.add("stops", 1);
    figures.add("stopped for ms", stopped);
}

/// The server has lost no lane, and knows how long it has run, whatever the clock of the day says.
fn expect_healthy(server: &Server, began: Instant) {
    let health = server.health();
    assert_eq!(
        (health["status"].as_str(), health["lanes_failed"].as_u64()),
        (Some("healthy"), Some(0)),
        "{health}"
    );
    let uptime = health["uptime_seconds"].as_f64().expect("health has an uptime");
    let real = began.elapsed().as_secs_f64();
    assert!(uptime > 0.0 && uptime <= real, "it has run for {uptime} s, but was started {real} s ago");
}

/// A process for each CPU that does nothing as fast as it can.
fn hogs(figures: &mut Figures) -> Vec<Hog> {
    figures.add("rounds with busy CPUs", 1);
    (0..process::cpus()).map(|_| Hog::start()).collect()
}

struct Hog {
    child: Child,
    _held: Held,
}

impl Hog {
    fn start() -> Hog {
        let child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
        let child = child.expect("every system has a shell");
        let held = left_behind::hold(Leftover::Process(child.id()));
        Hog { child, _held: held }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        self.child.kill().expect("a child that was not waited for is there");
        self.child.wait().expect("a child can be waited for");
    }
}

/// The clock of the day, as a server sees it.
struct FakeClock {
    library: &'static str,
    /// Says by how much it is wrong.
    file: PathBuf,
}

impl FakeClock {
    /// A clock that is right so far, if the library is there.
    fn new(directory: &Path) -> Option<FakeClock> {
        let clock = FakeClock { library: FakeClock::library()?, file: directory.join("clock") };
        clock.set(0);
        Some(clock)
    }

    fn library() -> Option<&'static str> {
        LIBRARIES.into_iter().find(|path| Path::new(path).exists())
    }

    fn preloaded(&self, start: Start) -> Start {
        start
            .with("LD_PRELOAD", self.library)
            .with("FAKETIME_TIMESTAMP_FILE", &self.file)
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .with("NO_FAKE_STAT", "1")
    }

    fn jump(&self, server: &Server, random: &mut Random, figures: &mut Figures) {
        let sign = if random.once_in(2) { 1 } else { -1 };
        let wrong_s = sign * random.within(0..=CLOCK_S_MAX).cast_signed();
        self.set(wrong_s);
        let (told, real) = (server_clock_s(server), real_clock_s());
        assert!(
            (told - wrong_s - real).abs() <= CLOCK_DIFFERENCE_S_MAX,
            "the server's clock was set to {wrong_s:+} s at {real}, and the server says {told}"
        );
        figures.add("jumps of the clock", 1);
    }

    /// Puts a whole new file in place of the old one: the server reads it at any moment.
    fn set(&self, wrong_s: i64) {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{wrong_s:+}s"))
            .and_then(|()| fs::rename(&fresh, &self.file))
            .expect("the directory is writable");
    }

    /// What the library leaves in shared memory of a process that is killed.
    fn traces(pid: u32) -> [Held; 2] {
        ["faketime_shm", "sem.faketime_sem"]
            .map(|prefix| left_behind::hold(Leftover::File(format!("/dev/shm/{prefix}_{pid}").into())))
    }
}

/// What the server takes for the time, in seconds since 1970: it tells whoever is ahead of it.
fn server_clock_s(server: &Server) -> i64 {
    let mut claim = TestClaim::new("clock".to_owned(), "says", "tomorrow");
    claim.timestamp_us = FAR_FUTURE_US;
    let response = server.client().post("/v1/assert", claim.json()).expect("a running server answers");
    assert_eq!((response.status, response.error_code().as_str()), (400, IN_FUTURE), "{response:?}");
    let body = response.json();
    let message = body["error"]["message"].as_str().expect("an error has a message");
    let (_, told) =
        message.split_once(SERVER_HAS).unwrap_or_else(|| panic!("no time of the server in {message:?}"));
    let seconds: String = told.chars().take_while(char::is_ascii_digit).collect();
    seconds.parse().unwrap_or_else(|_| panic!("no time of the server in {message:?}"))
}

fn real_clock_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("this machine's clock is past 1970");
    since.as_secs().cast_signed()
}
