//! The echo on the ring of the engine, as the server's driver uses it: a multishot accept, a multishot receive for each
//! connection, sends whose buffers are used again, and one system call a turn.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use stemedb_engine::ring::listener::{bind, local_address};
use stemedb_engine::ring::{Completion, Descriptor, Received, Ring, RingConfig};

use crate::{CONNECTIONS, RESPONSE, requests_ended};

/// The `user` of the accept.
const ACCEPT: u64 = u64::MAX;

struct Connection {
    socket: Descriptor,
    /// Bytes of a request whose end has not come.
    unread: usize,
}

pub(crate) fn run(_cpu: u16, listening: &Sender<SocketAddr>) {
    let listener = bind(([127, 0, 0, 1], 0).into(), CONNECTIONS as u32).expect("a free port");
    // The receive buffers are the server's.
    let config = RingConfig { operations_max: 1024, receive_buffers: 512, receive_buffer_bytes: 16 << 10 };
    let mut ring = Ring::new(&config).expect("io_uring");
    let address = local_address(&listener).expect("it is bound");
    let listener = Descriptor::from(listener);
    ring.accept_multishot(&listener, ACCEPT).expect("room for an operation");
    listening.send(address).expect("somebody waits for it");

    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut accepted = 0;
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let mut answers: Vec<(u64, usize)> = Vec::new();
    loop {
        ring.submit_and_wait().expect("the ring works");
        while let Some(completion) = ring.next_completion() {
            match completion {
                Completion::Accepted { result, more, .. } => {
                    assert!(more, "the accept stands");
                    let socket = result.expect("a connection");
                    ring.receive_multishot(&socket, accepted).expect("room for an operation");
                    connections.insert(accepted, Connection { socket, unread: 0 });
                    accepted += 1;
                }
                Completion::Received { user, received: Received::Data(bytes), more } => {
                    let connection = connections.get_mut(&user).expect("it is open");
                    assert!(more, "the receive stands");
                    answers.push((user, requests_ended(&mut connection.unread, bytes.len())));
                }
                Completion::Received {
                    user, received: Received::EndOfStream | Received::Failed(_), ..
                } => {
                    // What is being sent ends by itself, and closes the socket.
                    connections.remove(&user).expect("it was open");
                }
                Completion::Sent { buffer, result, .. } => {
                    if let Ok(bytes) = result {
                        assert_eq!(bytes, buffer.len(), "so few bytes are taken whole");
                    }
                    spare.push(buffer);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        for (user, requests) in answers.drain(..) {
            let Some(connection) = connections.get(&user) else { continue };
            if requests == 0 {
                continue;
            }
            let mut buffer = spare.pop().unwrap_or_default();
            buffer.clear();
            (0..requests).for_each(|_| buffer.extend_from_slice(RESPONSE));
            let all = 0..buffer.len();
            ring.send(&connection.socket, buffer, all, user).expect("room for an operation");
        }
    }
}
