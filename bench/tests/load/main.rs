//! The promises of `stemedb_bench::load`: what it counts, what it times and how it fails.
//!
//! Method: servers of the standard library in threads of their own, each misbehaving in its own way, and a protocol in
//! which a request is a line and its answer is the same line. No test depends on how fast anything is: a server may be
//! slower than it means to be, and then latencies only grow.

mod failures;
mod open_loop;
mod pipelining;

use std::cell::RefCell;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stemedb_bench::client::{Client, Operation, Progress, Request};
use stemedb_bench::load::{self, Load, LoadError, Outcome, Pacing};

/// A client of the protocol. Requests are numbered; an answer must have the number of its request.
#[derive(Debug, Default)]
struct Lines {
    greets: bool,
    is_greeted: bool,
    requests: u64,
    answers: u64,
}

impl Client for Lines {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        if self.greets {
            out.extend_from_slice(b"hello\n");
        }
        self.greets
    }

    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        assert_eq!(self.greets, self.is_greeted, "requests wait for the greeting's answer");
        writeln!(out, "{}", self.requests).expect("memory takes all");
        self.requests += 1;
        Request { operation: Operation::Empty, units: 1 }
    }

    fn answer(
        &mut self,
        received: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
            return Ok(Progress::Incomplete);
        };
        let line = str::from_utf8(&received[..end])?;
        if self.greets && !self.is_greeted {
            assert_eq!(line, "hello");
            self.is_greeted = true;
        } else {
            let expected = self.answers.to_string();
            if line != expected {
                return Err(format!("expected {expected}, got {line}").into());
            }
            self.answers += 1;
        }
        Ok(Progress::Answered(end + 1))
    }
}

/// Serves every connection with `serve`, in a thread each, for as long as the test runs.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, serve) = (connection.expect("a connection"), Arc::clone(&serve));
            thread::spawn(move || serve(connection));
        }
    });
    address
}

/// The lines that come in on a connection, until it ends.
fn lines(connection: &TcpStream) -> impl Iterator<Item = String> {
    let reader = BufReader::new(connection.try_clone().expect("a descriptor"));
    reader.lines().map_while(Result::ok)
}

/// Says a line; a client that is gone does not mind.
fn say(mut connection: &TcpStream, line: &str) {
    let _ = connection.write_all(format!("{line}\n").as_bytes());
}

fn closed_loop(depth: u32) -> Load {
    Load {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        depth,
        pacing: Pacing::Closed,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(200),
    }
}

fn open_loop(rate_per_s: f64) -> Load {
    Load { pacing: Pacing::Open { rate_per_s }, ..closed_loop(1) }
}

/// Runs a load on new servers until the generator was not kept from running, which shows nothing.
fn run(load: &Load, connections: usize, server: impl Fn() -> SocketAddr) -> Result<Outcome, LoadError> {
    loop {
        let clients = (0..connections).map(|_| Lines::default()).collect();
        match load::run(&Load { address: server(), ..load.clone() }, clients) {
            Err(LoadError::Stopped(_)) => {}
            result => return result,
        }
    }
}

#[test]
fn all_answers_are_counted() {
    // That of the last server: those of runs that were given up may still count.
    let served = RefCell::new(Arc::new(AtomicU64::new(0)));
    let echo = || {
        let counter = Arc::new(AtomicU64::new(0));
        *served.borrow_mut() = Arc::clone(&counter);
        server(move |connection| {
            for line in lines(&connection) {
                counter.fetch_add(1, Ordering::SeqCst);
                say(&connection, &line);
            }
        })
    };
    let outcome = run(&closed_loop(2), 3, echo).expect("the server does nothing wrong");
    let served = served.into_inner();
    let measured = &outcome.operations[&Operation::Empty];
    assert_eq!(outcome.units_answered[&Operation::Empty], served.load(Ordering::SeqCst));
    assert!(measured.requests > 0 && measured.requests <= outcome.units_answered[&Operation::Empty]);
    assert_eq!(measured.units, measured.requests);
    assert_eq!(measured.latency_ns.len(), measured.requests);
    assert_eq!((outcome.due, outcome.unanswered), (0, 0));
    assert!(outcome.elapsed >= Duration::from_millis(200));
    assert!(outcome.cpu > Duration::ZERO);
}

#[test]
fn a_greeting_comes_before_all_requests_and_counts_for_nothing() {
    let (outcome, served) = loop {
        let served = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&served);
        let address = server(move |connection| {
            for (number, line) in lines(&connection).enumerate() {
                assert_eq!(line == "hello", number == 0);
                counter.fetch_add(u64::from(number > 0), Ordering::SeqCst);
                say(&connection, &line);
            }
        });
        let clients = (0..2).map(|_| Lines { greets: true, ..Lines::default() }).collect();
        match load::run(&Load { address, ..closed_loop(1) }, clients) {
            Err(LoadError::Stopped(_)) => {}
            result => break (result.expect("the server does nothing wrong"), served),
        }
    };
    assert_eq!(outcome.units_answered[&Operation::Empty], served.load(Ordering::SeqCst));
}

#[test]
fn rounds_add_up() {
    let echo = || server(|connection| lines(&connection).for_each(|line| say(&connection, &line)));
    let rounds = [1, 2].map(|_| run(&open_loop(500.0), 2, echo).expect("the server does nothing wrong"));
    let mut all = Outcome::new();
    rounds.iter().for_each(|round| all.merge(round));
    let requests = |outcome: &Outcome| outcome.operations[&Operation::Empty].requests;
    assert_eq!(requests(&all), rounds.iter().map(requests).sum::<u64>());
    assert_eq!(all.elapsed, rounds[0].elapsed + rounds[1].elapsed);
    assert_eq!(all.due, 200);
    assert_eq!(all.operations[&Operation::Empty].latency_ns.len(), 200);
    assert_eq!(all.requests_per_s(Operation::Empty), requests(&all) as f64 / all.elapsed.as_secs_f64());
}
