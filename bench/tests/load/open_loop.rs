//! In an open loop requests are due whatever the server does, and what it delays is told.

use std::thread;
use std::time::Duration;

use stemedb_bench::client::Operation;
use stemedb_bench::load::Load;

use crate::{lines, open_loop, run, say, server};

/// Goal: no coordinated omission. A stall shows in all requests that were due during it, not only in the one that was
/// on its way.
/// Method: one connection, one request at a time, a thousand due each second, and a server that has its first answer
/// wait for 150 ms. The request that was due i ms after the first has waited for at least 150 - i ms.
#[test]
fn a_stall_shows_in_all_requests_that_were_due_meanwhile() {
    const STALL_MS: u64 = 150;
    let stalls = || {
        server(|connection| {
            for (number, line) in lines(&connection).enumerate() {
                if number == 0 {
                    thread::sleep(Duration::from_millis(STALL_MS));
                }
                say(&connection, &line);
            }
        })
    };
    let outcome = run(&open_loop(1000.0), 1, stalls).expect("the server does nothing wrong");
    let latency_ns = &outcome.operations[&Operation::Empty].latency_ns;
    assert_eq!((outcome.due, outcome.unanswered, latency_ns.len()), (200, 0, 200));
    for waited_ms in [10, 50, 100, 140] {
        // The histogram keeps three digits.
        let at_least = latency_ns.count_between(waited_ms * 999_000, u64::MAX);
        assert!(at_least >= STALL_MS - waited_ms, "{at_least} requests had to wait for {waited_ms} ms");
    }
    // The wait is the server's fault, not lateness of the generator, which had no place to send these.
    assert_eq!(outcome.lateness_ns.len(), 200);
}

/// Goal: overload shows. Method: a server that answers the first ten requests and no others.
#[test]
fn what_was_due_and_never_answered_is_counted() {
    let tires = || {
        server(|connection| {
            for (number, line) in lines(&connection).enumerate() {
                if number < 10 {
                    say(&connection, &line);
                }
            }
        })
    };
    let load = Load { depth: 4, ..open_loop(1000.0) };
    let outcome = run(&load, 1, tires).expect("a slow server is no error");
    assert_eq!((outcome.due, outcome.unanswered), (200, 190));
    assert_eq!(outcome.operations[&Operation::Empty].latency_ns.len(), 10);
}

#[test]
fn the_warm_up_is_not_measured() {
    let echo = || server(|connection| lines(&connection).for_each(|line| say(&connection, &line)));
    let load = Load { warm_up: Duration::from_millis(100), ..open_loop(1000.0) };
    let outcome = run(&load, 4, echo).expect("the server does nothing wrong");
    assert_eq!((outcome.due, outcome.unanswered), (200, 0));
    assert_eq!(outcome.operations[&Operation::Empty].latency_ns.len(), 200);
    assert_eq!(outcome.units_answered[&Operation::Empty], 300);
}
