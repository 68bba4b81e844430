//! As many requests are unanswered on a connection as its depth says, and never more.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stemedb_bench::client::Operation;

use crate::{closed_loop, run, server};

/// Goal: the depth is reached and kept.
/// Method: a server that answers nothing until as many requests as the depth are there. It notes how many were ever
/// unanswered, and answers a part at a time, cut in the middle of a line.
#[test]
fn the_depth_is_reached_and_never_passed() {
    const DEPTH: usize = 7;
    let unanswered_max = Arc::new(AtomicUsize::new(0));
    let withholds = || {
        let unanswered_max = Arc::clone(&unanswered_max);
        server(move |mut connection| {
            let (mut pending, mut started) = (Vec::new(), false);
            let mut chunk = [0; 4096];
            while let Ok(bytes @ 1..) = connection.read(&mut chunk) {
                pending.extend_from_slice(&chunk[..bytes]);
                let unanswered = pending.iter().filter(|byte| **byte == b'\n').count();
                unanswered_max.fetch_max(unanswered, Ordering::SeqCst);
                started |= unanswered >= DEPTH;
                if started {
                    let (one, other) = pending.split_at(pending.len() / 2);
                    if connection.write_all(one).and_then(|()| connection.write_all(other)).is_err() {
                        return;
                    }
                    pending.clear();
                }
            }
        })
    };
    let outcome = run(&closed_loop(DEPTH as u32), 3, withholds).expect("the server does nothing wrong");
    assert_eq!(unanswered_max.load(Ordering::SeqCst), DEPTH);
    assert!(outcome.operations[&Operation::Empty].requests > DEPTH as u64);
    assert_eq!(outcome.unanswered, 0);
}
