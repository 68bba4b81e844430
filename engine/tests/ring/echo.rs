//! A ring as a server uses it: an echo service over loopback TCP.
//!
//! Goal: every byte that a client sends comes back, in order, with many clients at once, with more data in flight than
//! there are receive buffers, and with a submission queue far smaller than the number of operations.
//! Method: blocking clients of the standard library in threads of their own against one ring.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use stemedb_engine::ring::{Completion, Descriptor, Errno, Received, Ring, RingConfig, listener};

use crate::wait;

const LISTENER: u64 = u64::MAX;

/// One client of the echo service.
struct Connection {
    socket: Descriptor,
    /// Received, not yet given to a send.
    pending: Vec<u8>,
    sending: bool,
    receiving: bool,
}

/// Serves until `clients` clients have come and gone. Returns how often the receive buffers ran out.
fn serve(ring: &mut Ring, listener: &Descriptor, clients: u64) -> u64 {
    let accepting = ring.accept_multishot(listener, LISTENER).expect("room for an operation");
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let (mut next, mut gone, mut ran_out) = (0, 0, 0);
    while gone < clients {
        let user = match wait(ring) {
            Completion::Accepted { user, result, more } => {
                assert_eq!((user, more), (LISTENER, true));
                let socket = result.expect("a connection");
                ring.receive_multishot(&socket, next).expect("room for an operation");
                let pending = Vec::new();
                connections.insert(next, Connection { socket, pending, sending: false, receiving: true });
                next += 1;
                continue;
            }
            Completion::Received { user, received, more } => {
                let connection = connections.get_mut(&user).expect("a live connection");
                match received {
                    Received::Data(data) => connection.pending.extend_from_slice(&data),
                    Received::NoBuffer => ran_out += 1,
                    Received::EndOfStream => connection.receiving = false,
                    Received::Failed(errno) => panic!("receive: {errno}"),
                }
                if connection.receiving && !more {
                    ring.receive_multishot(&connection.socket, user).expect("room for an operation");
                }
                user
            }
            Completion::Sent { user, mut buffer, result } => {
                let connection = connections.get_mut(&user).expect("a live connection");
                connection.sending = false;
                buffer.drain(..result.expect("the client reads"));
                buffer.extend_from_slice(&connection.pending);
                connection.pending = buffer;
                user
            }
            other => panic!("unexpected {other:?}"),
        };
        let connection = connections.get_mut(&user).expect("a live connection");
        if !connection.sending && !connection.pending.is_empty() {
            let buffer = std::mem::take(&mut connection.pending);
            let all = 0..buffer.len();
            ring.send(&connection.socket, buffer, all, user).expect("room for an operation");
            connection.sending = true;
        }
        if !connection.receiving && !connection.sending {
            connections.remove(&user);
            gone += 1;
        }
    }
    ring.cancel(accepting);
    let last = wait(ring);
    let Completion::Accepted { user: LISTENER, result, more: false } = last else {
        panic!("unexpected {last:?}")
    };
    assert_eq!(result.expect_err("cancelled"), Errno::CANCELLED);
    ran_out
}

/// Sends `bytes` bytes that differ by client and position, and checks that they come back.
fn client(address: SocketAddr, number: usize, bytes: usize) {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    let sent: Vec<u8> = (0..bytes).map(|position| (position * 31 + position / 256 + number) as u8).collect();
    let mut writer = stream.try_clone().expect("a clone");
    let to_send = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&to_send).expect("the service reads");
        writer.shutdown(Shutdown::Write).expect("still connected");
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("the service writes");
    writing.join().expect("the writer wrote");
    assert!(received == sent, "client {number}: {} of {bytes} bytes came back", received.len());
}

fn echo(config: &RingConfig, clients: usize, bytes: usize) -> u64 {
    let socket = listener::bind("127.0.0.1:0".parse().expect("an address"), 64).expect("a free port");
    let address = listener::local_address(&socket).expect("it is bound");
    let clients: Vec<_> =
        (0..clients).map(|number| thread::spawn(move || client(address, number, bytes))).collect();
    let mut ring = Ring::new(config).expect("this kernel has io_uring");
    let ran_out = serve(&mut ring, &Descriptor::from(socket), clients.len() as u64);
    assert_eq!(ring.receive_buffers_free(), config.receive_buffers, "all buffers came back");
    assert_eq!(ring.operations_free(), config.operations_max, "all operations have ended");
    clients.into_iter().for_each(|client| client.join().expect("the client saw its echo"));
    ran_out
}

#[test]
fn what_is_sent_comes_back() {
    let config = RingConfig { operations_max: 64, receive_buffers: 64, receive_buffer_bytes: 4096 };
    echo(&config, 16, 300_000);
}

#[test]
fn running_out_of_receive_buffers_loses_nothing() {
    let config = RingConfig { operations_max: 64, receive_buffers: 1, receive_buffer_bytes: 64 };
    let ran_out = echo(&config, 4, 100_000);
    assert!(ran_out > 0, "one buffer of 64 bytes for 400,000 bytes in four streams must run out at times");
}
