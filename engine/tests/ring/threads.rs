//! Messages between rings, and wakes from threads that have none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use stemedb_engine::ring::{Completion, CpuSet, Ring, RingAddress, RingConfig};

use crate::{small_ring, wait};

fn message(ring: &mut Ring) -> u64 {
    match wait(ring) {
        Completion::Message { data } => data,
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn all_64_bits_of_a_message_arrive() {
    let (send_address, receive_address) = mpsc::channel::<RingAddress>();
    let (send_back_address, receive_back_address) = mpsc::channel::<RingAddress>();
    let echo = thread::spawn(move || {
        let mut ring = small_ring();
        send_address.send(ring.address()).expect("the test waits");
        let back = receive_back_address.recv().expect("the test sends it");
        loop {
            let data = message(&mut ring);
            ring.message(&back, !data, 0).expect("room for an operation");
            if data == u64::MAX {
                // The answer leaves with the next call, and that waits for its completion, which is not reported.
                ring.submit().expect("the ring works");
                return;
            }
        }
    });
    let mut ring = small_ring();
    send_back_address.send(ring.address()).expect("the thread waits");
    let there = receive_address.recv().expect("the thread sends it");
    for data in [0, 1, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 0x0123_4567_89AB_CDEF, 1 << 63, u64::MAX] {
        ring.message(&there, data, 0).expect("room for an operation");
        assert_eq!(message(&mut ring), !data);
    }
    echo.join().expect("no panic");
    assert_eq!(ring.operations_free(), 8);
}

/// A busy core looks for completions without waiting, and sees what comes from elsewhere all the same.
#[test]
fn looking_without_waiting_sees_messages_and_wakes() {
    let mut ring = small_ring();
    let (address, waker) = (ring.address(), ring.waker(1).expect("a descriptor is to be had"));
    let sender = thread::spawn(move || {
        let mut ring = small_ring();
        ring.message(&address, 7, 0).expect("room for an operation");
        ring.submit().expect("the ring works");
        waker.wake();
    });
    let (mut messages, mut wakes) = (0, 0);
    while messages + wakes < 2 {
        ring.submit().expect("the ring works");
        match ring.next_completion() {
            Some(Completion::Message { data: 7 }) => messages += 1,
            Some(Completion::Woken { user: 1 }) => wakes += 1,
            Some(other) => panic!("unexpected {other:?}"),
            None => thread::yield_now(),
        }
    }
    assert_eq!((messages, wakes), (1, 1));
    sender.join().expect("no panic");
}

/// More messages than the completion queue holds, while nobody takes them out: the kernel keeps them all.
#[test]
fn a_flood_of_messages_loses_none() {
    let config = RingConfig { operations_max: 1, receive_buffers: 1, receive_buffer_bytes: 16 };
    let mut flooded = Ring::new(&config).expect("this kernel has io_uring");
    let address = flooded.address();
    let flood = thread::spawn(move || {
        let mut ring = small_ring();
        for data in 0..10_000 {
            while ring.message(&address, data, 0).is_err() {
                ring.submit_and_wait().expect("the ring works");
                assert!(ring.next_completion().is_none(), "only failures are reported");
            }
        }
        while ring.operations_free() < 8 {
            ring.submit_and_wait().expect("the ring works");
            assert!(ring.next_completion().is_none(), "only failures are reported");
        }
    });
    flood.join().expect("no panic");
    for data in 0..10_000 {
        assert_eq!(message(&mut flooded), data);
    }
}

#[test]
fn a_message_to_a_ring_that_is_gone_does_no_harm() {
    let address = thread::spawn(|| small_ring().address()).join().expect("no panic");
    let mut ring = small_ring();
    ring.message(&address, 1, 77).expect("room for an operation");
    while ring.operations_free() < 8 {
        ring.submit_and_wait().expect("the ring works");
        match ring.next_completion() {
            None => {}
            Some(Completion::MessageFailed { user: 77, .. }) => {}
            Some(other) => panic!("unexpected {other:?}"),
        }
    }
}

/// After each wake the ring sees all that its waker wrote before; however wakes merge, the last one is not lost.
#[test]
fn a_wake_is_never_lost() {
    const WAKES: u64 = 2_000;
    let mut ring = small_ring();
    let written = Arc::new(AtomicU64::new(0));
    let waker = ring.waker(3).expect("a descriptor is to be had");
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (waker, written) = (waker.clone(), Arc::clone(&written));
            thread::spawn(move || {
                for _ in 0..WAKES {
                    written.fetch_add(1, Ordering::Relaxed);
                    waker.wake();
                }
            })
        })
        .collect();
    let mut wakes = 0;
    while written.load(Ordering::Relaxed) < 2 * WAKES {
        assert!(matches!(wait(&mut ring), Completion::Woken { user: 3 }));
        wakes += 1;
    }
    assert!(wakes <= 2 * WAKES);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// A spinning wait is a wait: it ends with a completion, whether that comes while it spins or after.
#[test]
fn a_spinning_wait_ends_with_a_completion() {
    for (spin, after) in
        [(Duration::ZERO, Duration::from_millis(1)), (Duration::from_secs(600), Duration::ZERO)]
    {
        let mut ring = small_ring();
        ring.timer(after, 3).expect("room for an operation");
        let mut expired = false;
        while !expired {
            ring.submit_and_spin(spin).expect("the ring works");
            expired = matches!(ring.next_completion(), Some(Completion::Timer { user: 3, result: Ok(()) }));
        }
    }
}

/// Goal: a ring that spins does not keep the work of its own operations off the CPU.
/// Method: it spins for far longer than a test may take, on the one CPU where the other side has to run as well.
#[test]
fn a_spinning_wait_gives_the_cpu_to_others() {
    let here = CpuSet::of_current_thread().expect("a thread has CPUs").iter().next().expect("at least one");
    let one = CpuSet::from_iter([here]);
    one.bind_current_thread().expect("a CPU that it may use");
    let mut ring = small_ring();
    let address = ring.address();
    let other = thread::spawn(move || {
        one.bind_current_thread().expect("a CPU that it may use");
        let mut ring = small_ring();
        ring.message(&address, 5, 0).expect("room for an operation");
        ring.submit().expect("the ring works");
    });
    loop {
        ring.submit_and_spin(Duration::from_secs(600)).expect("the ring works");
        if let Some(Completion::Message { data }) = ring.next_completion() {
            assert_eq!(data, 5);
            break;
        }
    }
    other.join().expect("no panic");
}
