//! The memory that the clients of a core make it hold: what they have sent and was not read yet, and answers that they
//! have not read.
//!
//! Each connection has bounds of its own, which allow it about two mebibytes; those of thousands together allow what no
//! machine has. So there is one for all. Beyond it nothing is begun for a connection that has answers to take first,
//! reads get large answers no more, and bodies that would need memory are refused. What connections without debts ask
//! for in small goes on: that is little for each of them. Metrics, which are not small, have a reserve.

use std::collections::VecDeque;

use super::connection::{Connection, ConnectionKey};
use super::room::Room;
use super::{Core, Now, mark};
use crate::api::{ApiError, Endpoint, ErrorCode, Method};

use super::response::Response;

/// Bytes that the connections of a core may hold.
pub const CLIENTS_BYTES_MAX: usize = 256 << 20;

/// From this size on an answer to a read is not given while connections hold as much as they may, in bytes.
const LARGE_ANSWER_BYTES: usize = 4 << 10;

/// From this size on a body that is coming in is not taken while connections hold as much as they may, in bytes: one of
/// less takes no more than a head may.
const LARGE_BODY_BYTES: usize = 16 << 10;

/// Bytes of metrics that nobody has taken yet, given while connections hold as much as they may: who watches the server must
/// see it then. An answer of two cores is some 17 KiB.
const METRICS_BYTES_MAX: usize = 1 << 20;

/// A connection that takes its answers slower than this gives way while connections hold as much as they may, in bytes a second.
const GIVES_WAY_BELOW_BYTES_PER_S: u64 = 16 << 10;

/// So much of what connections may hold is free when no further ones give way: one in so many parts.
const FREE_PART: usize = 8;

/// Connections that were held back and go on in one turn.
const RELEASED_A_TURN: usize = 64;

/// What the clients of a core make it hold, and who waits until it is less.
#[derive(Debug)]
pub(super) struct Clients {
    bytes_max: usize,
    /// Whether they have held as much as they may since connections were last looked at for who gives way.
    were_full: bool,
    /// What connections hold.
    pub(super) bytes: usize,
    /// Answers that are ready and were not handed to their connections yet.
    pub(super) answers_bytes: usize,
    /// Metrics that were given out of their reserve, and for whom: until all that this connection asked for is answered and
    /// taken. Each is at least a large answer, so there are few.
    metrics: Vec<(ConnectionKey, usize)>,
    /// Connections on which requests wait for nothing but memory. Those that are gone are thrown out when it comes to hold more than
    /// twice as many as there are.
    held_back: VecDeque<ConnectionKey>,
}

impl Clients {
    pub(super) fn new(bytes_max: usize) -> Clients {
        Clients {
            bytes_max,
            were_full: false,
            bytes: 0,
            answers_bytes: 0,
            metrics: Vec::new(),
            held_back: VecDeque::new(),
        }
    }

    /// Whether they hold as much as they may.
    pub(super) fn is_full(&self) -> bool {
        self.bytes + self.answers_bytes >= self.bytes_max
    }

    /// How many wait, those that are gone included.
    #[cfg(test)]
    pub(super) fn held_back_count(&self) -> usize {
        self.held_back.len()
    }

    /// Whether there is room for metrics in their reserve. If so, it is taken until the connection has nothing more to take.
    fn reserve_metrics(&mut self, key: ConnectionKey, bytes: usize) -> bool {
        let reserved: usize = self.metrics.iter().map(|(_, bytes)| bytes).sum();
        let has_room = reserved + bytes <= METRICS_BYTES_MAX;
        if has_room {
            self.metrics.push((key, bytes));
        }
        has_room
    }

    /// Gives back what of the reserve was for this connection.
    pub(super) fn release_metrics(&mut self, key: ConnectionKey) {
        self.metrics.retain(|&(of, _)| of != key);
    }

    fn count(&mut self, connection: &mut Connection) {
        let bytes = connection.bytes();
        self.bytes = self.bytes - connection.held_bytes + bytes;
        connection.held_bytes = bytes;
        self.were_full |= self.is_full();
    }

    /// Whether some are to give way, since they hold as much as they may, or have since this was asked last.
    pub(super) fn take_were_full(&mut self) -> bool {
        std::mem::take(&mut self.were_full) | self.is_full()
    }

    /// How many bytes are to be given back so that others find room.
    fn excess_bytes(&self) -> usize {
        self.bytes.saturating_sub(self.bytes_max - self.bytes_max / FREE_PART)
    }
}

impl Connection {
    /// How fast it takes its answers, if it takes large ones so slowly that it gives way where memory is short.
    pub(super) fn gives_way(&self, now_ms: u64) -> Option<u64> {
        let owes = self.http.unsent_bytes() >= LARGE_ANSWER_BYTES;
        self.http
            .taken_bytes_per_s(now_ms)
            .filter(|&bytes_per_s| owes && bytes_per_s < GIVES_WAY_BELOW_BYTES_PER_S)
    }
}

/// What a client is told whose request needs memory that there is not.
pub(super) fn refusal() -> ApiError {
    let message = "the memory for what clients send and have not read is used up; try again in a moment";
    ApiError::new(ErrorCode::Overloaded, message)
}

impl Room {
    /// The response to a read, or a refusal if the clients hold too much for it.
    pub(super) fn within_memory(
        &mut self,
        connection: ConnectionKey,
        endpoint: Endpoint,
        response: Response,
    ) -> Response {
        let bytes = response.body.len();
        if bytes < LARGE_ANSWER_BYTES || !self.clients.is_full() {
            return response;
        }
        let is_refused = match endpoint {
            Endpoint::Query | Endpoint::Assertion | Endpoint::ApiDoc => true,
            Endpoint::Metrics => !self.clients.reserve_metrics(connection, bytes),
            Endpoint::Assert
            | Endpoint::AssertBatch
            | Endpoint::Retract
            | Endpoint::Health
            | Endpoint::Ready => false,
        };
        if is_refused { Response::error(&refusal()) } else { response }
    }
}

impl Core {
    /// Counts what a connection holds, and remembers it if it is held back for want of memory.
    pub(super) fn count_bytes(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let clients = &mut self.room.clients;
        clients.count(connection);
        if !connection.http.has_debts() {
            clients.release_metrics(key);
        }
        if connection.http.is_held_back() && !connection.held_back {
            connection.held_back = true;
            clients.held_back.push_back(key);
            if clients.held_back.len() > 2 * self.connections.len() {
                let connections = &self.connections;
                clients.held_back.retain(|&key| connections.contains_key(key));
            }
        }
    }

    /// Cuts connections off that take their answers slowly, the slowest of these first, until others find room.
    pub(super) fn cut_off_slowest(&mut self, mut slow: Vec<(u64, ConnectionKey)>) {
        let mut excess_bytes = self.room.clients.excess_bytes();
        slow.sort_unstable();
        for (_, key) in slow {
            let Some(connection) = self.connections.get_mut(key).filter(|_| excess_bytes > 0) else { return };
            excess_bytes = excess_bytes.saturating_sub(connection.held_bytes);
            connection.http.cut_off();
            self.room.counters.connections_gave_way += 1;
            mark(&mut self.dirty, key, connection);
        }
    }

    /// A connection is gone with all that it held.
    pub(super) fn uncount_bytes(&mut self, key: ConnectionKey, connection: &Connection) {
        self.room.clients.bytes -= connection.held_bytes;
        self.room.clients.release_metrics(key);
    }

    /// Refuses a large body that is coming in on a connection, if memory is short. True if it did.
    pub(super) fn refuse_body(&mut self, key: ConnectionKey) -> bool {
        if !self.room.clients.is_full() {
            return false;
        }
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let Some((id, head, bytes)) = connection.http.unfinished_body() else { return false };
        if bytes < LARGE_BODY_BYTES {
            return false;
        }
        let response = Response::error(&refusal());
        self.room.count_answer(Method::from_name(head.method()), response.head.status);
        connection.endpoint = None;
        connection.http.respond_owned(id, &response.head, response.body);
        true
    }

    /// Lets connections go on that were held back, as far as there is memory again. Those that have been gone on meanwhile
    /// are looked at for nothing.
    pub(super) fn release_held_back(&mut self, now: Now) {
        for _ in 0..RELEASED_A_TURN {
            if self.room.clients.is_full() {
                return;
            }
            let Some(key) = self.room.clients.held_back.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.held_back = false;
                mark(&mut self.dirty, key, connection);
            }
            self.settle(now);
        }
    }

    /// Whether connections are held back that need not be.
    pub(super) fn may_release(&self) -> bool {
        !self.room.clients.held_back.is_empty() && !self.room.clients.is_full()
    }
}
