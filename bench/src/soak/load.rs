//! The load: requests of all kinds at a steady rate, most of them claims that the server holds already, so that it does not
//! grow by what it is asked to keep; and clients that come and go, or say what nobody should.
//!
//! Requests are due at fixed times, whatever becomes of earlier ones, and latencies count from then.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::sample::Tally;
use super::wire::Wire;
use super::{Soak, SoakError};
use crate::client::http::{excerpt, post_head};
use crate::workload::RunId;

/// Claims that are sent again and again. New ones come beside them.
const POOL_CLAIMS: u64 = 20_000;

/// Claims in a batch.
const BATCH_CLAIMS: u64 = 20;

/// Paths whose claims are retracted again and again.
const RETRACTED_PATHS: u64 = 16;

/// Of a hundred claims, those that are new.
const NEW_PERCENT: u32 = 10;

/// What a client says that nobody should.
const BAD: [&[u8]; 4] = [
    b"GET /v1/query HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /v1/assert HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"POST /v1/assert HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"value\":",
];

/// Load that is put on a server.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) run: RunId,
    pub(super) soak: &'a Soak,
}

/// What all connections share.
pub(super) struct Shared {
    tally: Mutex<Tally>,
    /// New claims so far.
    new: AtomicU64,
    ends: AtomicBool,
}

impl Shared {
    /// What was counted since this was called last.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut self.tally.lock().expect("nobody panics with it"))
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().expect("nobody panics with it"));
    }
}

/// The kinds of requests, and of how many hundred there is one.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Claim,
    Batch,
    Query,
    Retraction,
    /// Another connection instead of this one.
    Reconnection,
    Bad,
}

impl Kind {
    fn choose(random: &mut Xoshiro256PlusPlus) -> Kind {
        match random.random_range(0..100) {
            0..70 => Kind::Claim,
            70..75 => Kind::Batch,
            75..93 => Kind::Query,
            93..94 => Kind::Retraction,
            94..97 => Kind::Reconnection,
            _ => Kind::Bad,
        }
    }
}

impl Load<'_> {
    /// Puts the load on the server while `watch` runs. Gives what that gives, and all that was counted and not taken.
    pub(super) fn run<T>(
        &self,
        watch: impl FnOnce(&Shared) -> Result<T, SoakError>,
    ) -> Result<(T, super::Answers), SoakError> {
        let shared = Shared { tally: Mutex::default(), new: AtomicU64::new(0), ends: AtomicBool::new(false) };
        let mut wires = Vec::new();
        for _ in 0..self.soak.connections {
            wires.push(Wire::connect(self.address).map_err(SoakError::Load)?);
        }
        let began = Instant::now();
        thread::scope(|scope| {
            let connections: Vec<_> = (0..)
                .zip(wires)
                .map(|(number, wire)| {
                    let shared = &shared;
                    scope.spawn(move || Connection::new(self, number, wire, shared).run(began))
                })
                .collect();
            let watched = watch(&shared);
            shared.ends.store(true, Ordering::Relaxed);
            let mut answers = super::Answers::default();
            for connection in connections {
                answers.add(&connection.join().expect("a connection does not panic"));
            }
            Ok((watched?, answers))
        })
    }

    /// The text of a claim of the pool, or of a new one, which has a number beyond it.
    fn claim(&self, number: u64) -> String {
        let run = self.run;
        format!(
            "{{\"concept_path\":\"soak/{run}/{}/{number}\",\"predicate\":\"reading\",\"value\":\"{:0>90}\",\
             \"timestamp\":{}}}",
            number % 500,
            number,
            1_700_000_000 + number,
        )
    }
}

/// The text of a claim that the server dates. Those of two connections may come in the same microsecond, and differ all the same: of two equal
/// claims the second one exists.
fn claim_to_retract(path: &str, connection: u32) -> String {
    format!("{{\"concept_path\":\"{path}\",\"predicate\":\"is\",\"value\":{connection}}}")
}

struct Connection<'a> {
    load: &'a Load<'a>,
    number: u32,
    wire: Wire,
    shared: &'a Shared,
    random: Xoshiro256PlusPlus,
    answers: super::Answers,
}

impl<'a> Connection<'a> {
    fn new(load: &'a Load<'a>, number: u32, wire: Wire, shared: &'a Shared) -> Connection<'a> {
        let random = Xoshiro256PlusPlus::seed_from_u64(u64::from(number));
        Connection { load, number, wire, shared, random, answers: super::Answers::default() }
    }

    /// Asks until the load ends, each time when it is due.
    fn run(mut self, began: Instant) -> super::Answers {
        let connections = f64::from(self.load.soak.connections);
        let gap = Duration::from_secs_f64(connections / self.load.soak.rate_per_s);
        let mut due = began + gap.mul_f64(f64::from(self.number) / connections);
        while !self.shared.ends.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let kind = Kind::choose(&mut self.random);
            let answered = self.ask(kind);
            let took = due.elapsed();
            match answered {
                Ok(()) => {
                    self.answers.right += 1;
                    self.shared.count(|tally| tally.answered(took));
                }
                Err(problem) => {
                    self.answers.wrong += 1;
                    let problem = format!("{kind:?}: {problem}");
                    self.answers.first_problem.get_or_insert_with(|| problem.clone());
                    self.shared.count(|tally| tally.went_wrong(problem));
                    // It may be broken.
                    let _ = self.reconnect();
                }
            }
            due += gap;
        }
        self.answers
    }

    fn ask(&mut self, kind: Kind) -> Result<(), String> {
        match kind {
            Kind::Claim => {
                let number = self.choose_claim();
                let claim = self.load.claim(number);
                self.post("/v1/assert", &claim, |status, body| match status {
                    201 => body.contains("\"created\""),
                    200 => body.contains("\"exists\""),
                    _ => false,
                })
            }
            Kind::Batch => {
                let lines: String =
                    (0..BATCH_CLAIMS).map(|_| self.load.claim(self.choose_claim()) + "\n").collect();
                self.post("/v1/assert/batch", &lines, |status, body| {
                    status == 200 && body.contains("\"rejected\":0")
                })
            }
            Kind::Query => {
                let path = format!("soak/{}/{}/*", self.load.run, self.random.random_range(0..500));
                let query = format!("{{\"concept_path\":\"{path}\",\"limit\":10}}");
                self.post("/v1/query", &query, |status, body| status == 200 && body.contains("\"count\":"))
            }
            Kind::Retraction => {
                let path =
                    format!("soak/{}/taken/{}", self.load.run, self.random.random_range(0..RETRACTED_PATHS));
                let claim = claim_to_retract(&path, self.number);
                self.post("/v1/assert", &claim, |status, _| status == 201)?;
                let retraction = format!("{{\"concept_path\":\"{path}\",\"reason\":\"soak\"}}");
                self.post("/v1/retract", &retraction, |status, _| status == 200)
            }
            Kind::Reconnection => {
                self.reconnect().map_err(|error| error.to_string())?;
                let query = format!("{{\"concept_path\":\"soak/{}\"}}", self.load.run);
                self.post("/v1/query", &query, |status, _| status == 200)
            }
            Kind::Bad => self.misbehave(),
        }
    }

    /// A claim of the pool, or a new one.
    fn choose_claim(&mut self) -> u64 {
        if self.random.random_range(0..100) < NEW_PERCENT {
            return POOL_CLAIMS + self.shared.new.fetch_add(1, Ordering::Relaxed);
        }
        self.random.random_range(0..POOL_CLAIMS)
    }

    fn post(
        &mut self,
        path: &str,
        body: &str,
        is_right: impl FnOnce(u16, &str) -> bool,
    ) -> Result<(), String> {
        let mut request = post_head(path, "application/json", body.len(), self.load.address);
        request.extend_from_slice(body.as_bytes());
        let (status, answer) = self.wire.ask(&request).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&answer);
        if is_right(status, &text) { Ok(()) } else { Err(format!("{status} {}", excerpt(&answer))) }
    }

    fn reconnect(&mut self) -> io::Result<()> {
        self.wire = Wire::connect(self.load.address)?;
        Ok(())
    }

    /// A client of its own that says what is wrong, and breaks off where it only began to.
    fn misbehave(&mut self) -> Result<(), String> {
        let mut wire = Wire::connect(self.load.address).map_err(|error| error.to_string())?;
        let place = self.random.random_range(0..BAD.len());
        if place == BAD.len() - 1 {
            return wire.send(BAD[place]).map_err(|error| error.to_string());
        }
        match wire.ask(BAD[place]) {
            Ok((400, _)) => Ok(()),
            Ok((status, body)) => Err(format!("{status} {}", excerpt(&body))),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_that_the_server_dates_are_no_two_connections_own() {
        let claims = [0, 1].map(|connection| claim_to_retract("soak/taken/1", connection));
        assert_ne!(claims[0], claims[1]);
    }
}
