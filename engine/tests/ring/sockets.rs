//! Receiving, sending, cancelling and closing, one socket at a time.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::ring::{Completion, Errno, Received};

use crate::{connection, small_ring, wait};

#[test]
fn a_cancelled_receive_can_be_started_again() {
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    let receiving = ring.receive_multishot(&socket, 5).expect("room for an operation");
    ring.cancel(receiving);
    let last = wait(&mut ring);
    let Completion::Received { user: 5, received: Received::Failed(Errno::CANCELLED), more: false } = last
    else {
        panic!("unexpected {last:?}")
    };
    ring.receive_multishot(&socket, 6).expect("room for an operation");
    peer.write_all(b"still here").expect("connected");
    let next = wait(&mut ring);
    let Completion::Received { user: 6, received: Received::Data(data), more: true } = next else {
        panic!("unexpected {next:?}")
    };
    assert_eq!(&*data, b"still here");
}

#[test]
fn a_peer_that_is_done_ends_the_receive() {
    let mut ring = small_ring();
    let (socket, peer) = connection();
    ring.receive_multishot(&socket, 5).expect("room for an operation");
    peer.shutdown(Shutdown::Write).expect("connected");
    let last = wait(&mut ring);
    assert!(
        matches!(last, Completion::Received { user: 5, received: Received::EndOfStream, more: false }),
        "{last:?}"
    );
    assert_eq!(ring.operations_free(), 8);
}

/// A buffer on loan keeps its bytes while later ones arrive, and is used again once it is dropped.
#[test]
fn a_lent_buffer_stays_as_it_is() {
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    let mut lent = Vec::new();
    ring.receive_multishot(&socket, 1).expect("room for an operation");
    for round in 0..4_u8 {
        peer.write_all(&[round; 1024]).expect("connected");
        let next = wait(&mut ring);
        let Completion::Received { received: Received::Data(data), more: true, .. } = next else {
            panic!("unexpected {next:?}")
        };
        lent.push(data);
    }
    assert_eq!(ring.receive_buffers_free(), 0);
    peer.write_all(&[4; 1024]).expect("connected");
    let last = wait(&mut ring);
    let Completion::Received { received: Received::NoBuffer, more: false, .. } = last else {
        panic!("unexpected {last:?}")
    };
    for (round, data) in lent.iter().enumerate() {
        assert_eq!(**data, [round as u8; 1024]);
    }
    lent.clear();
    assert_eq!(ring.receive_buffers_free(), 4);
    ring.receive_multishot(&socket, 1).expect("room for an operation");
    let next = wait(&mut ring);
    let Completion::Received { received: Received::Data(data), .. } = next else {
        panic!("unexpected {next:?}")
    };
    assert_eq!(*data, [4; 1024]);
}

#[test]
fn a_send_takes_a_part_and_the_caller_sends_the_rest() {
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|position| (position / 7) as u8).collect();
    // Nobody reads yet, and no socket buffers this much: the first send takes a part.
    ring.send(&socket, bytes.clone(), 0..bytes.len(), 1).expect("room for an operation");
    let Completion::Sent { mut buffer, result, .. } = wait(&mut ring) else { panic!("not the send") };
    let mut sent = result.expect("connected");
    assert!(sent > 0 && sent < bytes.len());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).expect("connected");
        all
    });
    while sent < bytes.len() {
        ring.send(&socket, buffer, sent..bytes.len(), 1).expect("room for an operation");
        let Completion::Sent { buffer: back, result, .. } = wait(&mut ring) else { panic!("not the send") };
        sent += result.expect("connected");
        buffer = back;
    }
    socket.shutdown(Shutdown::Write).expect("connected");
    assert!(reader.join().expect("the reader read") == bytes);
    assert!(buffer == bytes);
}

#[test]
fn a_send_to_a_peer_that_is_gone_fails_without_a_signal() {
    let mut ring = small_ring();
    let (socket, peer) = connection();
    drop(peer);
    let errno = loop {
        // The first send may still be taken, until the peer's reset arrives.
        ring.send(&socket, vec![0; 64], 0..64, 1).expect("room for an operation");
        let Completion::Sent { buffer, result, .. } = wait(&mut ring) else { panic!("not the send") };
        assert_eq!(buffer.len(), 64);
        if let Err(errno) = result {
            break errno;
        }
    };
    assert!(matches!(errno, Errno(libc::EPIPE | libc::ECONNRESET)), "{errno}");
}

/// A cancellation ends one operation, and with the last one that uses it a socket is closed: the peer sees the end of the connection.
#[test]
fn a_socket_is_closed_with_the_last_of_its_operations() {
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    let (other_socket, mut other_peer) = connection();
    let receive = ring.receive_multishot(&socket, 1).expect("room for an operation");
    ring.receive_multishot(&other_socket, 2).expect("room for an operation");
    ring.cancel(receive);
    drop(socket);
    let last = wait(&mut ring);
    let Completion::Received { user: 1, received: Received::Failed(Errno::CANCELLED), more: false } = last
    else {
        panic!("unexpected {last:?}")
    };
    other_peer.write_all(b"x").expect("connected");
    let next = wait(&mut ring);
    let Completion::Received { user: 2, received: Received::Data(_), more: true } = next else {
        panic!("unexpected {next:?}")
    };
    let mut rest = Vec::new();
    assert_eq!(peer.read_to_end(&mut rest).expect("an orderly end"), 0);
    assert_eq!(ring.operations_free(), 7);
}

/// A wait for several completions is not ended by fewer, and a wait for ever is ended by its timeout.
#[test]
fn a_wait_for_several_completions_has_them_all_or_times_out() {
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    ring.receive_multishot(&socket, 1).expect("room for an operation");
    ring.send(&socket, b"ping".to_vec(), 0..4, 2).expect("room for an operation");
    let echo = thread::spawn(move || {
        let mut bytes = [0; 4];
        peer.read_exact(&mut bytes).expect("connected");
        peer.write_all(&bytes).expect("connected");
        peer
    });
    ring.submit_and_wait_for(2, Duration::from_secs(60)).expect("the ring works");
    let users = [ring.next_completion(), ring.next_completion()].map(|completion| match completion {
        Some(Completion::Sent { user, .. } | Completion::Received { user, .. }) => user,
        other => panic!("unexpected {other:?}"),
    });
    assert_eq!(users, [2, 1]);
    let _peer = echo.join().expect("no panic");
    let started = Instant::now();
    ring.submit_and_wait_for(1, Duration::from_millis(20)).expect("a timeout is no error");
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert!(ring.next_completion().is_none());
}

/// A whole send has one completion, also when it is more than the socket takes at once.
#[test]
fn a_whole_send_is_told_when_all_is_taken() {
    const BYTES: usize = 8 << 20;
    let mut ring = small_ring();
    let (socket, mut peer) = connection();
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; BYTES];
        peer.read_exact(&mut bytes).expect("connected");
        bytes.iter().all(|byte| *byte == 7)
    });
    ring.send_whole(&socket, vec![7; BYTES], 0..BYTES, 1).expect("room for an operation");
    let sent = wait(&mut ring);
    assert!(matches!(sent, Completion::Sent { user: 1, result: Ok(BYTES), .. }), "{sent:?}");
    assert!(reader.join().expect("no panic"));
}
