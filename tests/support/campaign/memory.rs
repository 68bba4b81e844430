//! Too little memory: a bound of the server's own, or one of the system's.
//!
//! Under a bound of its own (`STEMEDB_INDEX_BYTES_MAX`) the server refuses writes with 503 `memory_full`, reads go on, and what
//! is stored still answers *exists*. Under one of the system, that of a control group, the kernel kills it in the
//! middle of whatever it does, also while it starts. The next server, with more memory, has all that was acknowledged.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use super::{Figures, check};
use crate::control_group::ControlGroup;
use crate::history::History;
use crate::load::{Load, Mix};
use crate::{Data, Random, Server, Start};

/// The bound of a server of its own, for each core: the least that it takes.
const INDEX_MIB_A_CORE: u64 = 16;

/// The bound of a control group.
const GROUP_MIB_MIN: u64 = 56;
const GROUP_MIB_MAX: u64 = 160;

const VALUE_BYTES_MAX: u64 = 40_000;

const MEMORY_FULL: &str = "memory_full";
const CODES: &[&str] = &[MEMORY_FULL];

/// Refusals before the test looks at the server, and claims that it sends again then.
const REFUSALS: u64 = 100;
const AGAIN: usize = 10;

/// Claims acknowledged in a control group at most, if the kernel does not kill the server before.
const ACKNOWLEDGED_MAX: u64 = 5000;

/// Claims acknowledged when there is memory again.
const ACKNOWLEDGED_AFTER: u64 = 200;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn run(
    rounds: u64,
    mut random: Random,
    figures: &mut Figures,
    done: &mut dyn FnMut(u64),
) -> Result<(), String> {
    drop(ControlGroup::with_memory(GROUP_MIB_MAX << 20)?);
    for round in 0..rounds {
        let data = Data::new();
        let history = History::new(random.fork(round));
        match round % 3 {
            0 => own_bound(&data, &history, round, &mut random, figures),
            _ => bound_of_system(&data, &history, round, &mut random, figures)?,
        }
        goes_on(&data, &history, rounds + round, &mut random);
        figures.add_tally(history.tally());
        done(round + 1);
    }
    Ok(())
}

fn mix() -> Mix {
    Mix { value_bytes_max: VALUE_BYTES_MAX, ..Mix::small() }.expecting(CODES)
}

fn own_bound(data: &Data, history: &History, round: u64, random: &mut Random, figures: &mut Figures) {
    let cores = random.within(1..=2);
    let bound = format!("{}MiB", cores * INDEX_MIB_A_CORE);
    let server = Start::on(data).cores(cores as usize).with("STEMEDB_INDEX_BYTES_MAX", bound).serve();
    let load = Load::new(history, server.address(), round, mix(), random.fork(round));
    load.during(|load| {
        let until = Instant::now() + PATIENCE;
        while load.codes().get(MEMORY_FULL).is_none_or(|count| *count < REFUSALS) {
            assert!(Instant::now() < until, "no write is refused: {:?}", load.codes());
            thread::sleep(PAUSE);
        }
        expect_known(&server, history, random);
        load.server_ends();
        server.kill();
    });
    figures.add("servers that filled their own bound", 1);
    figures.add("writes refused for want of memory", load.codes()[MEMORY_FULL]);
}

/// Claims that are stored exist, however little memory there is.
fn expect_known(server: &Server, history: &History, random: &mut Random) {
    let mut client = server.client();
    for name in history.some_certain(AGAIN, random) {
        let response = client.post("/v1/assert", history.claim(name).json()).expect("an answer");
        assert_eq!(response.status, 200, "{} is stored: {response:?}", name.path());
    }
    let health = server.health();
    assert_eq!(
        (health["status"].as_str(), health["lanes_failed"].as_u64()),
        (Some("healthy"), Some(0)),
        "{health}"
    );
}

fn bound_of_system(
    data: &Data,
    history: &History,
    round: u64,
    random: &mut Random,
    figures: &mut Figures,
) -> Result<(), String> {
    let group = ControlGroup::with_memory(random.within(GROUP_MIB_MIN..=GROUP_MIB_MAX) << 20)?;
    let start = Start::on(data).cores(random.within(1..=2) as usize).in_group(&group);
    let Some(server) = started(&start, figures) else { return Ok(()) };
    let load = Load::new(history, server.address(), round, mix(), random.fork(round));
    let killed = load.during(|load| {
        load.server_ends();
        let until = Instant::now() + PATIENCE;
        while load.acknowledged() < ACKNOWLEDGED_MAX && Instant::now() < until {
            if server.has_ended_within(PAUSE) {
                break;
            }
        }
        let killed = server.has_ended_within(PAUSE);
        server.kill();
        killed
    });
    figures.add("servers killed by the kernel", u64::from(killed));
    // What it has stored may be more than it can start with.
    if let Some(server) = started(&start, figures) {
        server.kill();
    }
    Ok(())
}

/// Starts a server that the kernel may kill before it serves.
fn started(start: &Start, figures: &mut Figures) -> Option<Server> {
    match start.try_serve() {
        Ok(server) => Some(server),
        Err(refused) => {
            let by_kernel = refused.status.signal() == Some(9);
            assert!(by_kernel || refused.text.contains("memory"), "{}:\n{}", refused.status, refused.text);
            figures.add("starts killed by the kernel or refused for want of memory", 1);
            None
        }
    }
}

/// With enough memory all is there, and writes are taken.
fn goes_on(data: &Data, history: &History, round: u64, random: &mut Random) {
    let server = Start::on(data).cores(random.within(1..=2) as usize).serve();
    check::check(&server, history);
    let load = Load::new(history, server.address(), round, Mix::small(), random.fork(round));
    let server = load.during(|load| {
        load.wait_for(ACKNOWLEDGED_AFTER);
        server
    });
    check::check(&server, history);
    server.stop();
}
