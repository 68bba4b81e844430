//! Dropping a ring while operations are in flight: it waits for them, and nothing is left behind.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Completion, Descriptor, Received, Ring, RingConfig, listener};

use crate::{connection, small_ring, wait};

/// One operation of each kind that does not end by itself.
fn start_all(ring: &mut Ring) -> std::net::TcpStream {
    let listener = listener::bind("127.0.0.1:0".parse().expect("an address"), 4).expect("a free port");
    ring.accept_multishot(&Descriptor::from(listener), 1).expect("room for an operation");
    let (socket, peer) = connection();
    ring.receive_multishot(&socket, 2).expect("room for an operation");
    ring.send(&socket, vec![0; 20_000_000], 0..20_000_000, 3).expect("room for an operation");
    ring.timer(Duration::from_secs(3600), 4).expect("room for an operation");
    ring.waker(5).expect("a descriptor is to be had");
    let file = tempfile::tempfile().expect("room on the disk");
    let buffer = AlignedBuffer::zeroed(1 << 20);
    let bytes = buffer.len();
    ring.write_durable(&Descriptor::from(OwnedFd::from(file)), buffer, bytes, 0, 6)
        .expect("room for an operation");
    peer
}

#[test]
fn dropping_a_ring_ends_all_that_is_in_flight() {
    let mut ring = small_ring();
    let mut peer = start_all(&mut ring);
    ring.submit().expect("the ring works");
    drop(ring);
    // The socket was only held by the operations: it is closed, after what the kernel had taken to send.
    peer.read_to_end(&mut Vec::new()).expect("an orderly end");
}

#[test]
fn dropping_a_ring_ends_what_was_only_queued() {
    let mut ring = small_ring();
    let mut peer = start_all(&mut ring);
    drop(ring);
    peer.read_to_end(&mut Vec::new()).expect("an orderly end");
}

#[test]
fn a_received_buffer_outlives_its_ring() {
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    ring.receive_multishot(&socket, 1).expect("room for an operation");
    peer.write_all(b"to be kept").expect("connected");
    let Completion::Received { received: Received::Data(data), .. } = wait(&mut ring) else {
        panic!("no data")
    };
    drop(ring);
    assert_eq!(&*data, b"to be kept");
}

/// Rings that come and go leave no descriptor open.
#[test]
fn rings_leave_no_descriptors_behind() {
    // One descriptor is held through the test, so that its number tells whether lower ones leak.
    let lowest_free = || {
        use std::os::fd::AsRawFd;
        File::open("/dev/null").expect("Linux has it").as_raw_fd()
    };
    let config = RingConfig { operations_max: 8, receive_buffers: 4, receive_buffer_bytes: 1024 };
    let before = lowest_free();
    for _ in 0..200 {
        let mut ring = Ring::new(&config).expect("nothing ran out");
        ring.waker(1).expect("a descriptor is to be had");
        ring.timer(Duration::from_secs(3600), 2).expect("room for an operation");
    }
    // Other tests run in the same process and open a few descriptors of their own.
    assert!(lowest_free() < before + 200, "200 rings left descriptors behind");
}
