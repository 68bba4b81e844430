//! Many clients at once, of all kinds, that tell a history what they do and what they are told.

mod answer;
mod progress;
mod querier;
mod retractor;
mod worker;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::Random;
use crate::history::{History, Name};

pub use progress::Progress;
use worker::Worker;

/// How many clients of each kind there are, what they write, and which refusals they take for granted.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Connections that send a claim when the last is answered, and now and then one that must be refused.
    pub singles: u64,
    /// Connections that send many requests before they read an answer.
    pub pipelines: u64,
    /// Connections that send NDJSON, with bad lines in it, and sometimes break off.
    pub batches: u64,
    /// Pairs of connections that send the same claim at the same time.
    pub twins: u64,
    /// Pairs of connections that write claims and retract them.
    pub retractors: u64,
    /// Connections that look for what others have written.
    pub queriers: u64,
    /// The most bytes of a value.
    pub value_bytes_max: u64,
    /// Codes of errors that the server may answer to requests with which nothing is wrong.
    pub codes_expected: &'static [&'static str],
    /// Further ones, to queries.
    pub codes_of_queries: &'static [&'static str],
}

/// Clients on one server.
#[derive(Debug)]
pub struct Load<'a> {
    history: &'a History,
    address: SocketAddr,
    round: u64,
    random: Random,
    mix: Mix,
    /// Claims to be sent again, which are there already or are not.
    again: Vec<(Name, bool)>,
    /// The server is being ended: connections may break.
    is_ending: AtomicBool,
    is_stopped: AtomicBool,
    progress: Progress,
    /// What was acknowledged in this round.
    acknowledged: Mutex<Vec<Name>>,
    codes: Mutex<BTreeMap<String, u64>>,
}

/// Claims of earlier rounds that are sent again in each: so many that are not there, and so many that are.
const ABSENT_AGAIN_MAX: usize = 200;
const PRESENT_AGAIN: usize = 24;

impl Mix {
    /// All kinds of clients, with small values.
    pub fn small() -> Mix {
        Mix {
            singles: 10,
            pipelines: 3,
            batches: 3,
            twins: 2,
            retractors: 2,
            queriers: 2,
            value_bytes_max: 200,
            codes_expected: &[],
            codes_of_queries: &[],
        }
    }

    /// The same with values so large that lanes go from one segment to the next.
    pub fn large() -> Mix {
        Mix { value_bytes_max: 16_000, ..Mix::small() }
    }

    /// The same, where these errors may be answered.
    pub fn expecting(self, codes_expected: &'static [&'static str]) -> Mix {
        Mix { codes_expected, ..self }
    }
}

impl<'a> Load<'a> {
    /// Clients of the server at `address`, which has been checked, so that it is known which claims of earlier rounds are
    /// there.
    pub fn new(
        history: &'a History,
        address: SocketAddr,
        round: u64,
        mix: Mix,
        mut random: Random,
    ) -> Load<'a> {
        let absent = history.take_absent(ABSENT_AGAIN_MAX).into_iter().map(|name| (name, false));
        let present = history.some_certain(PRESENT_AGAIN, &mut random).into_iter().map(|name| (name, true));
        Load {
            history,
            address,
            round,
            again: absent.chain(present).collect(),
            random,
            mix,
            is_ending: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            progress: Progress::default(),
            acknowledged: Mutex::default(),
            codes: Mutex::default(),
        }
    }

    /// Runs all clients while `meanwhile` runs, then until each has the answer to what it has asked. Gives what
    /// `meanwhile` gave.
    pub fn during<T>(&self, meanwhile: impl FnOnce(&Load<'a>) -> T) -> T {
        thread::scope(|scope| {
            let workers: Vec<_> = self.workers().map(|work| scope.spawn(move || work(self))).collect();
            let stop = StopAtEnd(self);
            let outcome = meanwhile(self);
            drop(stop);
            for worker in workers {
                worker.join().expect("each answer is HTTP as it should be");
            }
            outcome
        })
    }

    /// Waits until so many claims of this round are acknowledged.
    pub fn wait_for(&self, acknowledged: u64) {
        self.progress.wait_for(acknowledged);
    }

    /// Claims of this round that are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.progress.acknowledged()
    }

    /// From now on a connection that breaks is no surprise.
    pub fn server_ends(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
    }

    /// How often each code of an error was answered that was to be expected.
    pub fn codes(&self) -> BTreeMap<String, u64> {
        self.codes.lock().expect("no thread panics with the lock").clone()
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    fn count_code(&self, code: &str) {
        let mut codes = self.codes.lock().expect("no thread panics with the lock");
        *codes.entry(code.to_owned()).or_default() += 1;
    }

    fn note_acknowledged(&self, names: &[Name]) {
        self.acknowledged.lock().expect("no thread panics with the lock").extend(names);
        self.progress.add(names.len() as u64);
    }

    /// What each client does, by its kind.
    fn workers(&self) -> impl Iterator<Item = impl FnOnce(&Load<'a>) + Send + use<'a>> + use<'a> {
        type Work = fn(&mut Worker<'_>) -> std::io::Result<()>;
        let Mix { singles, pipelines, batches, twins, retractors, queriers, .. } = self.mix;
        let kinds: [(u64, Work); 6] = [
            (singles, writer::singles),
            (pipelines, writer::pipelines),
            (batches, writer::batches),
            (twins, writer::twins),
            (retractors, retractor::retractions),
            (queriers, querier::queries),
        ];
        let works = kinds.into_iter().flat_map(|(count, work)| (0..count).map(move |_| work));
        works
            .enumerate()
            .map(|(writer, work)| move |load: &Load<'a>| Worker::new(load, writer as u64).run(work))
    }
}

/// Stops the clients also when the test panics while they run: they would be waited for.
struct StopAtEnd<'a, 'b>(&'a Load<'b>);

impl Drop for StopAtEnd<'_, '_> {
    fn drop(&mut self) {
        self.0.is_stopped.store(true, Ordering::SeqCst);
    }
}
