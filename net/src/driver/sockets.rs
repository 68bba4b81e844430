//! The sockets of a core's connections.

use slotmap::SecondaryMap;
use stemedb_engine::ring::{Descriptor, Errno, OperationId, Received, Ring};

use super::{key_of, user_of};
use crate::core::{ConnectionKey, Core, Now, Wants};

/// Operations of the ring that sockets leave free, for the log, the timer and messages: connections that do nothing
/// must not keep a claim from the disk.
const OPERATIONS_RESERVED: u32 = 64;

/// The sockets, by connection.
#[derive(Debug)]
pub(super) struct Sockets {
    sockets: SecondaryMap<ConnectionKey, Socket>,
    /// Connections that are to receive and do not.
    to_receive: Vec<ConnectionKey>,
    /// What found the ring full and is tried again.
    to_send: Vec<(ConnectionKey, Vec<u8>)>,
    /// Operations of sockets that are closed.
    to_cancel: Vec<OperationId>,
}

#[derive(Debug)]
struct Socket {
    descriptor: Descriptor,
    receive: Option<OperationId>,
    receive_wanted: bool,
    send: Option<OperationId>,
    /// How much of the buffer being sent the socket has taken.
    sent_bytes: usize,
}

impl Sockets {
    pub(super) fn new() -> Sockets {
        Sockets {
            sockets: SecondaryMap::new(),
            to_receive: Vec::new(),
            to_send: Vec::new(),
            to_cancel: Vec::new(),
        }
    }

    /// Takes the socket of a new connection, which receives from now on.
    pub(super) fn insert(&mut self, key: ConnectionKey, descriptor: Descriptor) {
        let socket = Socket { descriptor, receive: None, receive_wanted: true, send: None, sent_bytes: 0 };
        self.sockets.insert(key, socket);
        self.to_receive.push(key);
    }

    /// Takes what a socket received.
    pub(super) fn received(&mut self, core: &mut Core, user: u64, received: Received, more: bool, now: Now) {
        let key = key_of(user);
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let mut again = !more;
        match received {
            Received::Data(bytes) => core.received(key, &bytes, now),
            Received::EndOfStream => {
                again = false;
                socket.receive = None;
                core.received_end(key, now);
            }
            Received::NoBuffer | Received::Failed(Errno::CANCELLED) => {}
            Received::Failed(_) => {
                self.broken(core, key);
                return;
            }
        }
        if again {
            socket.receive = None;
            if socket.receive_wanted {
                self.to_receive.push(key);
            }
        }
    }

    /// Takes what became of bytes to send.
    pub(super) fn sent(
        &mut self,
        core: &mut Core,
        ring: &mut Ring,
        user: u64,
        buffer: Vec<u8>,
        result: Result<usize, Errno>,
        now: Now,
    ) {
        let key = key_of(user);
        let Some(socket) = self.sockets.get_mut(key) else { return };
        socket.send = None;
        let Ok(bytes) = result else {
            self.broken(core, key);
            return;
        };
        socket.sent_bytes += bytes;
        core.sent(key, bytes, now);
        if socket.sent_bytes == buffer.len() {
            socket.sent_bytes = 0;
            core.send_done(key, buffer);
        } else {
            self.send(ring, key, buffer);
        }
    }

    /// Does what the core wants of its sockets.
    pub(super) fn do_wants(&mut self, ring: &mut Ring, wants: &mut Wants) {
        for (key, buffer) in std::mem::take(&mut self.to_send) {
            self.send(ring, key, buffer);
        }
        for (key, buffer) in wants.sends.drain(..) {
            self.send(ring, key, buffer);
        }
        for key in wants.shutdowns.drain(..) {
            if let Some(socket) = self.sockets.get(key) {
                // The peer may have been faster; then there is nothing left to shut down.
                let _ = socket.descriptor.shutdown(std::net::Shutdown::Write);
            }
        }
        for (key, wanted) in wants.receives.drain(..) {
            let Some(socket) = self.sockets.get_mut(key) else { continue };
            socket.receive_wanted = wanted;
            match socket.receive {
                Some(receive) if !wanted => ring.cancel(receive),
                None if wanted => self.to_receive.push(key),
                _ => {}
            }
        }
        for key in wants.closes.drain(..) {
            self.close(key);
        }
        for operation in self.to_cancel.drain(..) {
            ring.cancel(operation);
        }
        for key in std::mem::take(&mut self.to_receive) {
            self.receive(ring, key);
        }
    }

    fn receive(&mut self, ring: &mut Ring, key: ConnectionKey) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if socket.receive.is_some() || !socket.receive_wanted {
            return;
        }
        if ring.operations_free() <= OPERATIONS_RESERVED {
            self.to_receive.push(key);
            return;
        }
        let receive = ring.receive_multishot(&socket.descriptor, user_of(key));
        socket.receive = Some(receive.expect("operations are free"));
    }

    fn send(&mut self, ring: &mut Ring, key: ConnectionKey, buffer: Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if ring.operations_free() <= OPERATIONS_RESERVED {
            self.to_send.push((key, buffer));
            return;
        }
        let rest = socket.sent_bytes..buffer.len();
        let send = ring.send(&socket.descriptor, buffer, rest, user_of(key));
        socket.send = Some(send.expect("operations are free"));
    }

    fn broken(&mut self, core: &mut Core, key: ConnectionKey) {
        core.broken(key);
        self.close(key);
    }

    /// Lets go of a socket. Its descriptor is closed with the last operation that uses it.
    fn close(&mut self, key: ConnectionKey) {
        if let Some(socket) = self.sockets.remove(key) {
            self.to_cancel.extend(socket.receive.into_iter().chain(socket.send));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use slotmap::SlotMap;
    use stemedb_engine::ring::RingConfig;

    use super::*;
    use crate::driver::tests::core_config;

    /// Operations that sockets may use, and sockets beyond them.
    const ROOM: u32 = 8;
    const BEYOND: u32 = 3;

    /// Goal: however many connections there are, and whatever they do or do not, operations of the ring are left for the log, the timer and messages. Method: a
    /// ring with room for fewer sockets than there are, all of which stand there to receive.
    #[test]
    fn connections_leave_operations_of_the_ring_for_the_log() {
        let operations_max = OPERATIONS_RESERVED + ROOM;
        let config = RingConfig { operations_max, receive_buffers: 1, receive_buffer_bytes: 4096 };
        let mut ring = Ring::new(&config).expect("the kernel has rings");
        let (mut core, mut sockets) = (Core::new(core_config()), Sockets::new());
        let mut keys: SlotMap<ConnectionKey, UnixStream> = SlotMap::with_key();
        for _ in 0..ROOM + BEYOND {
            let (client, server) = UnixStream::pair().expect("there are files");
            sockets.insert(keys.insert(client), OwnedFd::from(server).into());
        }
        let mut left = |ring: &mut Ring, sockets: &mut Sockets| {
            sockets.do_wants(ring, core.wants());
            (ring.operations_free(), sockets.to_receive.len(), sockets.to_send.len())
        };
        assert_eq!(left(&mut ring, &mut sockets), (OPERATIONS_RESERVED, BEYOND as usize, 0));

        let first = keys.keys().next().expect("there are some");
        sockets.send(&mut ring, first, b"an answer".to_vec());
        assert_eq!(left(&mut ring, &mut sockets), (OPERATIONS_RESERVED, BEYOND as usize, 1));

        // What waits goes before what is to be received.
        let last = keys.keys().nth(ROOM as usize - 1).expect("there are some");
        sockets.close(last);
        assert_eq!(left(&mut ring, &mut sockets), (OPERATIONS_RESERVED, BEYOND as usize, 1));
        while ring.operations_free() == OPERATIONS_RESERVED {
            ring.submit_and_wait().expect("a receive was cancelled");
            while ring.next_completion().is_some() {}
        }
        assert_eq!(left(&mut ring, &mut sockets), (OPERATIONS_RESERVED, BEYOND as usize, 0));
    }
}
