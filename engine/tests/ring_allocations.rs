//! A ring in its steady state allocates nothing.
//!
//! Goal: no operation and no completion costs an allocation, so that none can fail for want of memory
//! and none costs more than it must.
//! Method: an allocator that counts, in a process of its own; warm up, count, exchange, count again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Completion, Descriptor, Received, Ring, RingConfig};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one turn moves around.
struct Exchange {
    ring: Ring,
    socket: Descriptor,
    peer: TcpStream,
    file: Descriptor,
    send_buffer: Option<Vec<u8>>,
    write_buffer: Option<AlignedBuffer>,
}

impl Exchange {
    /// One of each: receive, send, durable write, timer, message (to itself), wake. Waits for all of them.
    fn turn(&mut self, waker: &stemedb_engine::ring::Waker) {
        self.peer.write_all(b"ping").expect("connected");
        let buffer = self.send_buffer.take().expect("it came back");
        self.ring.send(&self.socket, buffer, 0..4, 2).expect("room for an operation");
        let buffer = self.write_buffer.take().expect("it came back");
        self.ring.write_durable(&self.file, buffer, 4096, 0, 3).expect("room for an operation");
        self.ring.timer(Duration::from_micros(10), 4).expect("room for an operation");
        self.ring.message(&self.ring.address(), 5, 0).expect("room for an operation");
        waker.wake();
        let mut seen = 0;
        while seen < 6 {
            self.ring.submit_and_wait().expect("the ring works");
            while let Some(completion) = self.ring.next_completion() {
                seen += 1;
                match completion {
                    Completion::Received { received: Received::Data(data), more: true, .. } => {
                        assert_eq!(&*data, b"ping")
                    }
                    Completion::Sent { buffer, result: Ok(4), .. } => self.send_buffer = Some(buffer),
                    Completion::Written { buffer, result: Ok(4096), .. } => self.write_buffer = Some(buffer),
                    Completion::Timer { .. } | Completion::Message { data: 5 } | Completion::Woken { .. } => {
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
        self.peer.read_exact(&mut [0; 4]).expect("connected");
    }
}

#[test]
fn a_turn_allocates_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (socket, _) = listener.accept().expect("a connection waits");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("segment");
    let file = OpenOptions::new().write(true).create_new(true).open(path).expect("room on the disk");
    let config = RingConfig { operations_max: 16, receive_buffers: 4, receive_buffer_bytes: 1024 };
    let mut exchange = Exchange {
        ring: Ring::new(&config).expect("this kernel has io_uring"),
        socket: Descriptor::from(OwnedFd::from(socket)),
        peer,
        file: Descriptor::from(OwnedFd::from(file)),
        send_buffer: Some(b"pong".to_vec()),
        write_buffer: Some(AlignedBuffer::zeroed(4096)),
    };
    let waker = exchange.ring.waker(1).expect("a descriptor is to be had");
    exchange.ring.receive_multishot(&exchange.socket, 2).expect("room for an operation");
    exchange.turn(&waker);
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        exchange.turn(&waker);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
