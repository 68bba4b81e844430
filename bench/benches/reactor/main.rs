//! What an exchange costs on the core loop's ring and on glommio: the same tiny HTTP request and response, the server on
//! one CPU, 64 connections from another. It is why the cores have a loop of their own.
//!
//! `cargo bench -p stemedb-bench --bench reactor`. Both servers live through all rounds, in threads of their own; one
//! waits while the other is measured. They take turns, because a machine that is shared is not always equally fast: only
//! the ratio within a round counts. The server's CPU time is that of its thread, the kernel's work for it included.

mod clients;
mod glommio_echo;
mod ring_echo;
mod server_thread;

use std::time::Duration;

use stemedb_bench::client::Operation;
use stemedb_bench::load::{self, Load, Pacing};
use stemedb_engine::ring::CpuSet;

use clients::FixedBytes;
use server_thread::ServerThread;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 9;
const DURATION: Duration = Duration::from_secs(1);

/// What the measured servers have in common: what they are asked, and what they say to that.
const REQUEST: &[u8] = b"GET /echo HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: reactor\r\naccept: */*\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nserver: echo\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// What one server showed in one round.
#[derive(Debug, Clone, Copy)]
struct Shown {
    exchanges_per_s: f64,
    cpu_us: f64,
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let (rounds, duration) = if test { (1, Duration::from_millis(50)) } else { (ROUNDS, DURATION) };
    let allowed: Vec<u16> = CpuSet::of_current_thread().expect("the kernel tells").iter().collect();
    let (server_cpu, load_cpu) = (allowed[0], allowed[allowed.len() - 1]);
    if server_cpu == load_cpu {
        println!("only one CPU: servers and load share it, and the exchanges a second mean nothing");
    }
    CpuSet::from_iter([load_cpu]).bind_current_thread().expect("the CPU is allowed");
    let ring = ServerThread::start(server_cpu, ring_echo::run);
    let glommio = ServerThread::start(server_cpu, glommio_echo::run);

    println!(
        "{CONNECTIONS} connections, servers on CPU {server_cpu}, load on CPU {load_cpu}, {duration:?} a round"
    );
    println!(
        "{:>8}{:>16}{:>12}{:>18}{:>12}{:>14}",
        "", "ring: 1/s", "CPU µs", "glommio: 1/s", "CPU µs", "CPU ratio"
    );
    let mut pairs = Vec::new();
    // The first round is the warm-up.
    for round in 0..=rounds {
        let (on_ring, on_glommio) = if round % 2 == 0 {
            let first = measure(&ring, duration);
            (first, measure(&glommio, duration))
        } else {
            let first = measure(&glommio, duration);
            (measure(&ring, duration), first)
        };
        if round > 0 {
            print_line(&round.to_string(), on_ring, on_glommio);
            pairs.push((on_ring, on_glommio));
        }
    }
    let of = |value: fn(&(Shown, Shown)) -> f64| Spread::of(pairs.iter().map(value));
    let median = |rate: Spread, cpu: Spread| Shown { exchanges_per_s: rate.median, cpu_us: cpu.median };
    print_line(
        "median",
        median(of(|pair| pair.0.exchanges_per_s), of(|pair| pair.0.cpu_us)),
        median(of(|pair| pair.1.exchanges_per_s), of(|pair| pair.1.cpu_us)),
    );
    println!(
        "server CPU an exchange, glommio ÷ ring:   {}",
        of(|(ring, glommio)| glommio.cpu_us / ring.cpu_us)
    );
    println!(
        "exchanges a second, ring ÷ glommio:       {}",
        of(|(ring, glommio)| ring.exchanges_per_s / glommio.exchanges_per_s)
    );
}

/// Loads one server for a while.
fn measure(server: &ServerThread, duration: Duration) -> Shown {
    let load = Load {
        address: server.address(),
        depth: 1,
        pacing: Pacing::Closed,
        // The CPU time is taken around the whole run, so all of the run counts.
        warm_up: Duration::ZERO,
        duration,
    };
    let clients = (0..CONNECTIONS).map(|_| FixedBytes).collect();
    let before = server.cpu_time();
    let outcome = load::run(&load, clients).expect("the server answers as it should");
    let cpu = server.cpu_time() - before;
    let exchanges = outcome.operations[&Operation::Empty].requests as f64;
    Shown {
        exchanges_per_s: exchanges / outcome.elapsed.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / exchanges,
    }
}

fn print_line(name: &str, ring: Shown, glommio: Shown) {
    println!(
        "{name:>8}{:>16.0}{:>12.2}{:>18.0}{:>12.2}{:>14.2}",
        ring.exchanges_per_s,
        ring.cpu_us,
        glommio.exchanges_per_s,
        glommio.cpu_us,
        glommio.cpu_us / ring.cpu_us
    );
}

/// The middle and the ends of several figures.
#[derive(Debug, Clone, Copy)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Spread {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_unstable_by(f64::total_cmp);
        Spread { median: figures[figures.len() / 2], min: figures[0], max: figures[figures.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.min, self.max)
    }
}

/// How many requests end in the bytes that a connection has just received, when `unread` bytes of one had come before.
/// All requests are the same, so that counting their bytes is enough.
fn requests_ended(unread: &mut usize, received: usize) -> usize {
    let bytes = *unread + received;
    *unread = bytes % REQUEST.len();
    bytes / REQUEST.len()
}
