//! `kill -9`: under load, while the server starts, and now and then an orderly stop in its stead.
//!
//! What the kernel was given is not lost by this, so it tests the order of things in the server: that nothing is
//! acknowledged or shown before it is written, that recovery reads what a process left that ended anywhere, with any
//! number of lanes before and after. That written data are on the disk is the matter of `image` and `faults`.

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

/// One start in so many is killed before it serves, at most so long after it listens.
const START_KILLED_ONCE_IN: u64 = 4;
const START_KILLED_AFTER_US_MAX: u64 = 80_000;

/// One round in so many ends with SIGTERM.
const TERMINATED_ONCE_IN: u64 = 10;

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
        figures.add("segments filled", wal::segments_filled(&data.wal()));
        figures.add_tally(history.tally());
        first = last;
    }
}

fn one_round(data: &Data, history: &History, round: u64, random: &mut Random, figures: &mut Figures) {
    kill_starts(data, random, figures);
    let server = start(data, random, figures);
    check::check(&server, history);
    let mix = if random.once_in(LARGE_ONCE_IN) { Mix::large() } else { Mix::small() };
    let load = Load::new(history, server.address(), round, mix, random.fork(round));
    let acknowledged = random.within(0..=ACKNOWLEDGED_MAX);
    let delay = Duration::from_micros(random.within(0..=DELAY_US_MAX));
    let is_orderly = random.once_in(TERMINATED_ONCE_IN);
    load.during(|load| {
        load.wait_for(acknowledged);
        thread::sleep(delay);
        load.server_ends();
        end(server, is_orderly, figures);
    });
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

/// Kills some starts before they serve.
fn kill_starts(data: &Data, random: &mut Random, figures: &mut Figures) {
    while random.once_in(START_KILLED_ONCE_IN) {
        let cores = random.within(1..=CORES_MAX);
        let server = configured(data, cores, random).begin();
        thread::sleep(Duration::from_micros(random.within(0..=START_KILLED_AFTER_US_MAX)));
        server.kill();
        figures.add("starts killed", 1);
    }
}

fn end(server: Server, is_orderly: bool, figures: &mut Figures) {
    if !is_orderly {
        server.kill();
        return figures.add("kills under load", 1);
    }
    server.terminate();
    let (status, text) = server.ended(STOP_PATIENCE);
    assert!(status.success(), "after SIGTERM it ended with {status}:\n{text}");
    figures.add("orderly stops under load", 1);
}
