//! One client's connection, as the core sees it.

use slotmap::new_key_type;

use super::operation::OperationKey;
use super::queries::WaitingQuery;
use super::secured::Secured;
use crate::api::Endpoint;
use crate::http;

new_key_type! {
    /// Names a connection of a core. A key outlives its connection without ever meaning another one.
    pub struct ConnectionKey;
}

/// A client's connection and where its current request stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) http: http::Connection,
    /// TLS, where it is spoken.
    pub(super) secured: Option<Box<Secured>>,
    /// What the request is for whose body is coming in.
    pub(super) endpoint: Option<Endpoint>,
    /// The batch whose body is coming in.
    pub(super) batch: Option<OperationKey>,
    /// The query that was begun last. There is one at a time, so that the memory for answers that nobody reads is
    /// bounded: nothing behind a query is begun before it is answered.
    pub(super) query: Option<OperationKey>,
    /// A query that waits for its turn.
    pub(super) query_waiting: Option<WaitingQuery>,
    /// Whether it waits in line for its turn among the core's connections with queries.
    pub(super) in_line: bool,
    /// Whether it waits in the list of connections to look after.
    pub(super) dirty: bool,
    /// Whether the driver was told to receive.
    pub(super) receiving: bool,
    /// What it held when it was last counted, in bytes.
    pub(super) held_bytes: usize,
    /// Whether it waits in the list of connections that go on when there is memory.
    pub(super) held_back: bool,
}

impl Connection {
    /// A connection on which nothing has happened.
    pub(super) fn new(http: http::Connection, secured: Option<Box<Secured>>) -> Connection {
        Connection {
            http,
            secured,
            endpoint: None,
            batch: None,
            query: None,
            query_waiting: None,
            in_line: false,
            dirty: false,
            receiving: true,
            held_bytes: 0,
            held_back: false,
        }
    }

    /// The next bytes to send, if the ones before have been sent.
    pub(super) fn take_output(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        match &mut self.secured {
            None => self.http.take_output(now_ms),
            Some(secured) => secured.take_output(&mut self.http, now_ms),
        }
    }

    /// Notes that the client took `bytes` more of the buffer that was taken last.
    pub(super) fn sent(&mut self, bytes: usize, now_ms: u64) {
        match &mut self.secured {
            None => self.http.sent(bytes, now_ms),
            Some(secured) => secured.sent(&mut self.http, bytes, now_ms),
        }
    }

    /// Takes back a buffer that was sent whole.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        match &mut self.secured {
            None => self.http.recycle(buffer),
            Some(secured) => secured.session.recycle(buffer),
        }
    }

    /// Whether the sending side is to be shut down: true once.
    pub(super) fn take_shutdown(&mut self) -> bool {
        match &mut self.secured {
            None => self.http.take_shutdown(),
            Some(secured) => secured.take_shutdown(),
        }
    }

    /// Whether the socket is to be closed now.
    pub(super) fn should_close(&self) -> bool {
        self.http.should_close() || self.secured.as_ref().is_some_and(|secured| secured.is_broken())
    }

    /// Whether more bytes from the client are welcome.
    pub(super) fn wants_receive(&self) -> bool {
        self.http.wants_receive()
            && self
                .secured
                .as_ref()
                .is_none_or(|secured| !secured.is_in_line && secured.session.wants_receive())
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let secured = self.secured.as_ref().map_or(0, |secured| secured.heap_bytes());
        self.http.held_bytes() + secured
    }
}
