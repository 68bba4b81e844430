//! Connections beyond the bound: each is told so before it is closed.

use std::io::{ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;

use socket2::SockRef;
use stemedb_engine::ring::Descriptor;

use crate::core::Now;

/// How many sockets a core keeps of those that it has turned away. Further ones are closed as soon as they are told.
pub(crate) const TURNED_AWAY_MAX: usize = 64;

/// How long one is kept at most, in microseconds.
const LINGER_US: u64 = 2_000_000;

/// How much is thrown away of what one has sent, in a tick: about what a socket receives at once.
const THROWN_AWAY_BYTES: usize = 256 << 10;

/// The sockets that were turned away and are not closed yet, and since when.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    sockets: Vec<(Descriptor, u64)>,
}

impl TurnedAway {
    /// Tells a client that there are too many. `number` is that of the connection.
    ///
    /// Its socket is kept until the client closes it: to close one on which something lies unread resets the connection, and may
    /// destroy what the client was told.
    pub(super) fn refuse(&mut self, socket: Descriptor, number: u64, now: Now) {
        let told = SockRef::from(&socket);
        // A new socket has room for that little. If this one has none, or is gone, the connection is just closed.
        let is_told = told.set_nonblocking(true).and_then(|()| (&*told).write_all(&refusal(number)));
        if is_told.and_then(|()| told.shutdown(Shutdown::Write)).is_ok()
            && self.sockets.len() < TURNED_AWAY_MAX
        {
            self.sockets.push((socket, now.monotonic_us));
        }
    }

    /// Throws away what clients have sent, and closes the sockets of those that have closed theirs or have had their time. To
    /// be called several times a second.
    pub(super) fn tick(&mut self, now: Now) {
        if self.sockets.is_empty() {
            return;
        }
        // Nothing is ever written there.
        let mut nowhere = Box::new_uninit_slice(THROWN_AWAY_BYTES);
        self.sockets.retain(|(socket, since_us)| {
            now.monotonic_us - since_us < LINGER_US && !is_over(socket, &mut nowhere)
        });
    }
}

/// Throws away what a client has sent, without a copy of it (`MSG_TRUNC`, tcp(7)), as much as `nowhere` would hold. True if nothing
/// more will come.
fn is_over(socket: &Descriptor, nowhere: &mut [MaybeUninit<u8>]) -> bool {
    match SockRef::from(socket).recv_with_flags(nowhere, libc::MSG_TRUNC).map_err(|error| error.kind()) {
        Ok(1..) | Err(ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
        Ok(0) | Err(_) => true,
    }
}

/// What a connection beyond the bound is told before it is closed.
fn refusal(number: u64) -> Vec<u8> {
    let body = r#"{"error":{"code":"overloaded","message":"too many connections, come back later"}}"#;
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nserver: stemedb\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nx-request-id: {number:016x}-0\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use stemedb_engine::time::UnixMicros;

    use super::*;

    fn at(monotonic_us: u64) -> Now {
        Now { monotonic_us, wall: UnixMicros(0) }
    }

    /// Goal: who is turned away reads why, whatever lies unread, and sockets are kept in a bounded number for a bounded time.
    /// Method: one client more than may be kept, each of which has sent something.
    #[test]
    fn who_is_turned_away_is_told_and_not_kept_for_long() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let mut turned_away = TurnedAway::default();
        let turn_away = |turned_away: &mut TurnedAway| {
            let mut client =
                TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
            client.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket takes the option");
            client.write_all(&[b'x'; 8 << 10]).expect("it is received");
            let (socket, _) = listener.accept().expect("a client has come");
            turned_away.refuse(Descriptor::from(OwnedFd::from(socket)), 7, at(0));
            client
        };
        let mut clients: Vec<_> = (0..TURNED_AWAY_MAX).map(|_| turn_away(&mut turned_away)).collect();
        let _closed_at_once = turn_away(&mut turned_away);
        assert_eq!(turned_away.sockets.len(), TURNED_AWAY_MAX);
        for client in &mut clients {
            let mut told = Vec::new();
            client.read_to_end(&mut told).expect("an end, and no reset");
            assert_eq!(told, refusal(7));
        }
        turned_away.tick(at(LINGER_US - 1));
        assert_eq!(turned_away.sockets.len(), TURNED_AWAY_MAX, "they may still send");
        clients.pop();
        while turned_away.sockets.len() == TURNED_AWAY_MAX {
            turned_away.tick(at(LINGER_US - 1));
        }
        assert_eq!(turned_away.sockets.len(), TURNED_AWAY_MAX - 1, "one has closed");
        turned_away.tick(at(LINGER_US));
        assert_eq!(turned_away.sockets.len(), 0);
    }
}
