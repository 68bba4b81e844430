//! `kill -9`: under load, while the server starts, and now and then an orderly stop in its stead, or in the midst of one.
//!
//! What the kernel was given is not lost by this, so it tests the order of things in the server: that nothing is
//! acknowledged or shown before it is written, that recovery reads what a process left that ended anywhere, with any
//! number of lanes before and after. That written data are on the disk is the matter of `image` and `faults`.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use super::{Figures, check};
use crate::history::History;
use crate::load::{Load, Mix};
use crate::{Data, Random, Server, Start, process, wal};

/// Rounds on one data directory: few enough that all that it holds can be listed after each.
const ROUNDS_A_DIRECTORY: u64 = 20;

/// The most cores, if there are so many CPUs; the server does not start with more.
const CORES_MAX: u64 = 4;

/// Every so many rounds values are large, so that lanes fill their segments.
const LARGE_ONCE_IN: u64 = 8;

/// The most claims acknowledged in a round before the server is killed, and how much later that is.
const ACKNOWLEDGED_MAX: u64 = 1500;
const DELAY_US_MAX: u64 = 3000;

/// One start in so many is killed, soon after one of these steps, or some time after the first. It may serve by then.
const START_KILLED_ONCE_IN: u64 = 4;
const STEPS: [&str; 4] = ["Bound to", "Opened and locked", "Starting WAL recovery", "Opened generation"];
const STEP_KILLED_AFTER_US_MAX: u64 = 1000;
const START_KILLED_AFTER_US_MAX: u64 = 80_000;

/// What a start says when it serves.
const COMPLETE: &str = "Startup complete";

/// Starts killed of which some cannot have served before.
const STARTS_KILLED_ENOUGH: u64 = 20;

/// One round in so many ends with SIGTERM, and one in so many of these with SIGKILL at most so long after that.
const TERMINATED_ONCE_IN: u64 = 10;
const STOP_KILLED_ONCE_IN: u64 = 2;
const STOP_KILLED_AFTER_US_MAX: u64 = 20_000;

/// What is counted.
const KILLED_EARLY: &str = "starts killed before they served";
const KILLED_LATE: &str = "starts killed that served already";
const FILLED: &str = "segments filled";

/// Rounds of which some must have filled segments.
const ROUNDS_ENOUGH: u64 = 100;

/// How long an orderly stop may take before the test gives up.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(rounds: u64, mut random: Random, figures: &mut Figures, done: &mut dyn FnMut(u64)) {
    let mut first = 0;
    while first < rounds {
        let data = Data::new();
        let history = History::new(random.fork(first));
        let last = (first + ROUNDS_A_DIRECTORY).min(rounds);
        for round in first..last {
            one_round(&data, &history, round, &mut random, figures);
            done(round + 1);
        }
        let server = start(&data, &mut random, figures);
        check::check(&server, &history);
        server.stop();
        figures.add_tally(history.tally());
        first = last;
    }
    let killed_early = figures.count(KILLED_EARLY);
    let killed = killed_early + figures.count(KILLED_LATE);
    assert!(
        killed_early > 0 || killed < STARTS_KILLED_ENOUGH,
        "all of {killed} starts served before they were killed"
    );
    assert!(
        figures.count(FILLED) > 0 || rounds < ROUNDS_ENOUGH,
        "no lane has filled a segment in {rounds} rounds"
    );
}

fn one_round(data: &Data, history: &History, round: u64, random: &mut Random, figures: &mut Figures) {
    kill_starts(data, random, figures);
    let server = start(data, random, figures);
    check::check(&server, history);
    let mix = if random.once_in(LARGE_ONCE_IN) { Mix::large() } else { Mix::small() };
    let load = Load::new(history, server.address(), round, mix, random.fork(round));
    let acknowledged = random.within(0..=ACKNOWLEDGED_MAX);
    let delay = Duration::from_micros(random.within(0..=DELAY_US_MAX));
    let end = End::drawn(random);
    load.during(|load| {
        load.wait_for(acknowledged);
        thread::sleep(delay);
        load.server_ends();
        end.come(server, figures);
    });
    // Before the next start has them in tables.
    figures.add(FILLED, wal::segments_filled(&data.wal()));
    load.codes().iter().for_each(|(code, count)| figures.add(&format!("answers {code}"), *count));
}

/// Starts the server with another number of cores and other settings.
fn start(data: &Data, random: &mut Random, figures: &mut Figures) -> Server {
    let cores = random.within(1..=CORES_MAX.min(process::cpus() as u64));
    figures.add(&format!("starts with {cores} cores"), 1);
    configured(data, cores, random).serve()
}

fn configured(data: &Data, cores: u64, random: &mut Random) -> Start {
    Start::on(data)
        .cores(cores as usize)
        .with("STEMEDB_FRAMES_IN_FLIGHT", random.within(1..=2).to_string())
        .with("STEMEDB_SPIN_US", (100 * random.within(0..=1)).to_string())
}

/// Kills some starts.
fn kill_starts(data: &Data, random: &mut Random, figures: &mut Figures) {
    while random.once_in(START_KILLED_ONCE_IN) {
        let cores = random.within(1..=CORES_MAX);
        let server = configured(data, cores, random).begin();
        let delay_us_max = if random.once_in(4) {
            START_KILLED_AFTER_US_MAX
        } else {
            server.wait_for_line(STEPS[random.within(0..=STEPS.len() as u64 - 1) as usize]);
            STEP_KILLED_AFTER_US_MAX
        };
        thread::sleep(Duration::from_micros(random.within(0..=delay_us_max)));
        let (status, text) = server.kill_in_its_end();
        assert_eq!(status.signal(), Some(9), "it ended by itself:\n{text}");
        figures.add(if text.contains(COMPLETE) { KILLED_LATE } else { KILLED_EARLY }, 1);
    }
}

/// How the server of a round ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Kill,
    Stop,
    /// It is killed so long after it was told to stop.
    KillInStop(Duration),
}

impl End {
    fn drawn(random: &mut Random) -> End {
        if !random.once_in(TERMINATED_ONCE_IN) {
            return End::Kill;
        }
        let after = Duration::from_micros(random.within(0..=STOP_KILLED_AFTER_US_MAX));
        if random.once_in(STOP_KILLED_ONCE_IN) { End::KillInStop(after) } else { End::Stop }
    }

    fn come(self, server: Server, figures: &mut Figures) {
        let (status, text) = match self {
            End::Kill => {
                server.kill();
                return figures.add("kills under load", 1);
            }
            End::Stop => {
                server.terminate();
                server.ended(STOP_PATIENCE)
            }
            End::KillInStop(after) => {
                server.terminate();
                thread::sleep(after);
                server.kill_in_its_end()
            }
        };
        if matches!(self, End::KillInStop(_)) && status.signal() == Some(9) {
            return figures.add("orderly stops under load, cut short by a kill", 1);
        }
        assert!(status.success(), "after SIGTERM it ended with {status}:\n{text}");
        figures.add("orderly stops under load", 1);
    }
}
