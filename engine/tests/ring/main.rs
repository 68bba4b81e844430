//! The promises of `engine::ring`, against the kernel that runs the tests.

mod closing;
mod echo;
mod files;
mod sockets;
mod threads;

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use stemedb_engine::ring::{Completion, Descriptor, Ring, RingConfig};

/// The next completion, waiting for it if need be.
fn wait(ring: &mut Ring) -> Completion {
    loop {
        match ring.next_completion() {
            Some(completion) => return completion,
            None => ring.submit_and_wait().expect("the ring works"),
        }
    }
}

/// A ring with room for a few operations.
fn small_ring() -> Ring {
    let config = RingConfig { operations_max: 8, receive_buffers: 4, receive_buffer_bytes: 1024 };
    Ring::new(&config).expect("this kernel has io_uring")
}

/// A connected pair of sockets: one for a ring, one for blocking use.
fn connection() -> (Descriptor, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let peer = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (socket, _) = listener.accept().expect("a connection waits");
    (Descriptor::from(OwnedFd::from(socket)), peer)
}
