//! What one core does, without I/O: its connections, its shard, and its part in the requests of other cores.
//!
//! A [`Core`] is told what happened (bytes came in, a write is done, a message arrived, time passed) and says
//! what it wants done ([`Wants`]). It has no clock, socket, file or randomness of its own: a driver puts it on a
//! ring, and a simulator can run many of them on one thread.
//!
//! ```text
//!  bytes ─▶ http::Connection ─▶ requests ─▶ shard (own slots) ─▶ lane writes
//!                   ▲               └─────▶ messages (other cores' slots)
//!                   └── answers ◀── operations ◀── outcomes, messages
//! ```
//!
//! The order of calls in each turn of a driver: whatever happened, then [`Core::turn`], then the wants.

mod asked;
mod batch;
mod clients;
mod connection;
mod fetches;
mod handshakes;
mod intake;
mod lines;
mod lookups;
mod message;
mod operation;
mod overdue;
mod queries;
mod requests;
mod response;
mod retractions;
mod room;
mod router;
mod secured;
mod snapshot;
mod states;
mod tls;
mod wants;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use slotmap::SlotMap;
use stemedb_engine::checkpoint::TableSet;
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::WriteId;
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::CoreId;
use stemedb_engine::time::UnixMicros;

pub use clients::CLIENTS_BYTES_MAX;
pub use connection::ConnectionKey;
pub(crate) use fetches::READS_AT_ONCE;
pub use fetches::{FetchKey, TableRead, Unreadable};
pub use message::{Message, Ticket};
pub use room::{CoreConfig, CoreState, LogFacts, Phase};
pub use snapshot::SnapshotOrder;
pub use wants::Wants;

use crate::api::{Endpoint, Method};
use crate::http::{self, Date, Event, Status};
use connection::Connection;
use handshakes::Handshakes;
use overdue::Rounds;
use queries::QUERIES_AT_ONCE;
use requests::NotTaken;
use response::{Response, SpareBodies};
use room::{Answer, Room, Told};
use secured::Secured;

/// The time, as the driver tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Microseconds since the core was started, of a clock that never goes back.
    pub monotonic_us: u64,
    /// The time of day.
    pub wall: UnixMicros,
}

impl Now {
    fn monotonic_ms(self) -> u64 {
        self.monotonic_us / 1000
    }

    fn unix_s(self) -> u64 {
        u64::try_from(self.wall.0).unwrap_or(0) / 1_000_000
    }
}

/// One core.
#[derive(Debug)]
pub struct Core {
    connections: SlotMap<ConnectionKey, Connection>,
    /// Connections that came, those that were turned away included.
    connections_numbered: u64,
    limits: Arc<http::Limits>,
    /// What responses tell as the time of day.
    date: Date,
    rounds: Rounds,
    /// Time has passed since connections were last looked at for what is overdue.
    ticked: bool,
    connections_max: usize,
    /// Connections on which something has happened since the last turn, in the order in which it did.
    dirty: Vec<ConnectionKey>,
    /// Connections whose wants are to be seen to at the end of the turn.
    touched: Vec<ConnectionKey>,
    answers: Vec<Answer>,
    /// Where TLS is spoken.
    handshakes: Option<Handshakes>,
    room: Room,
    wants: Wants,
}

impl Core {
    /// A core that has no shard yet: it answers that the log is being recovered.
    pub fn new(config: CoreConfig) -> Core {
        Core {
            connections: SlotMap::with_key(),
            connections_numbered: 0,
            limits: Arc::clone(&config.http),
            date: Date::of_unix_s(0),
            rounds: Rounds::default(),
            ticked: false,
            connections_max: config.connections_max,
            dirty: Vec::new(),
            touched: Vec::new(),
            answers: Vec::new(),
            handshakes: config.tls.as_ref().map(Handshakes::new),
            wants: Wants::new(config.slots.cores()),
            room: Room::new(config),
        }
    }

    /// Gives the core its shard, with which it answers the other cores.
    pub fn open(&mut self, shard: Shard<Ticket>, log: LogFacts) {
        self.room.open(shard, log);
    }

    /// Notes that a segment of the core's lane was removed, whose claims are in tables.
    pub fn segment_removed(&mut self, bytes: u64) {
        self.room.counters.wal_segments -= 1;
        self.room.counters.wal_disk_bytes -= bytes;
    }

    /// Begins a snapshot of the core's index, in the place of one that is under way. Its pieces are among the [wants](Core::wants).
    pub fn take_snapshot(&mut self, order: SnapshotOrder) {
        self.wants.piece = None;
        self.room.snapshotting.order(order);
    }

    /// Gives up the snapshot that is under way, if one is.
    pub fn give_up_snapshot(&mut self) {
        self.wants.piece = None;
        self.room.snapshotting.give_up();
    }

    /// All cores have their shards: requests of clients are served from now on.
    pub fn serve(&mut self) {
        assert_eq!(self.room.phase, Phase::Recovering, "a core begins to serve once");
        self.room.phase = Phase::Serving;
    }

    /// Begins the orderly end: no further requests are begun, those under way are answered.
    pub fn drain(&mut self) {
        self.room.phase = Phase::Draining;
        for (key, connection) in &mut self.connections {
            connection.http.drain();
            mark(&mut self.dirty, key, connection);
        }
    }

    /// Whether a draining core has nothing left to answer.
    pub fn is_drained(&self) -> bool {
        self.connections.is_empty()
    }

    /// Ends the lane in an orderly way. To be called when all cores are drained: none will send writes any more.
    pub fn close(&mut self) {
        if let Some(shard) = &mut self.room.router.shard {
            shard.close();
        }
    }

    /// Whether a closed core's lane has written all it had.
    pub fn is_closed(&self) -> bool {
        self.room.router.shard.as_ref().is_none_or(Shard::is_idle)
    }

    /// The core's shard, once it has one.
    pub fn shard(&self) -> Option<&Shard<Ticket>> {
        self.room.router.shard.as_ref()
    }

    /// Takes a new connection.
    ///
    /// # Errors
    ///
    /// When there are as many as there may be: the driver is to say so, with a 503 that bears this number, and to close
    /// the socket.
    pub fn accepted(&mut self, now: Now) -> Result<ConnectionKey, u64> {
        self.connections_numbered += 1;
        let number = u64::from(self.room.router.id.0) << 48 | self.connections_numbered;
        let connections_max = if planted::is(Bug::AcceptTooMany) { usize::MAX } else { self.connections_max };
        if self.connections.len() >= connections_max || self.room.phase == Phase::Draining {
            self.room.count_answer(None, Status::ServiceUnavailable);
            return Err(number);
        }
        self.room.counters.connections_accepted += 1;
        self.room.counters.connections += 1;
        let http = http::Connection::new(Arc::clone(&self.limits), number, now.monotonic_ms());
        let connection = match self.handshakes {
            None => Connection::new(http, None),
            Some(_) => Connection::new(http.secured(), Some(Box::<Secured>::default())),
        };
        let key = self.connections.insert(connection);
        self.rounds.add(key);
        Ok(key)
    }

    /// Takes bytes that a client sent.
    pub fn received(&mut self, key: ConnectionKey, bytes: &[u8], now: Now) {
        if let Some(connection) = self.connections.get_mut(key) {
            self.room.counters.received_bytes += bytes.len() as u64;
            if connection.secured.is_some() {
                self.received_secured(key, bytes, now);
            } else {
                connection.http.receive(bytes, now.monotonic_ms());
                mark(&mut self.dirty, key, connection);
            }
        }
    }

    /// Notes that a client will send nothing more.
    pub fn received_end(&mut self, key: ConnectionKey, now: Now) {
        if let Some(connection) = self.connections.get_mut(key) {
            if connection.secured.is_some() {
                self.received_end_secured(key, now);
            } else {
                connection.http.receive_eof(now.monotonic_ms());
                mark(&mut self.dirty, key, connection);
            }
        }
    }

    /// Notes that a socket broke.
    pub fn broken(&mut self, key: ConnectionKey) {
        self.remove(key);
    }

    /// Notes that a client took `bytes` more of the buffer that was to be sent.
    pub fn sent(&mut self, key: ConnectionKey, bytes: usize, now: Now) {
        if let Some(connection) = self.connections.get_mut(key) {
            self.room.counters.sent_bytes += bytes as u64;
            connection.sent(bytes, now.monotonic_ms());
        }
    }

    /// Takes back a buffer that was sent whole.
    pub fn send_done(&mut self, key: ConnectionKey, buffer: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.recycle(buffer);
            mark(&mut self.dirty, key, connection);
        }
    }

    /// Takes what became of a write of the lane, and how long it took. What follows from it waits for the
    /// [turn](Core::turn); the [next write](Core::start_writes) need not.
    pub fn write_done(
        &mut self,
        id: WriteId,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        elapsed_us: u64,
        now: Now,
    ) {
        self.room.write_done(id, buffer, result, elapsed_us, now);
    }

    /// Takes what became of a read of a table, and how long it took.
    pub fn read_done(
        &mut self,
        id: FetchKey,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        elapsed_us: u64,
    ) {
        self.room.read_done(id, buffer, result, elapsed_us);
    }

    /// Takes the tables that are in force from now on: what is long of the claims that they have leaves memory.
    pub fn set_tables(&mut self, tables: Arc<TableSet>) {
        self.room.set_tables(tables);
    }

    /// Notes that a segment has been prepared for the lane.
    pub fn segment_ready(&mut self, number: SegmentNumber) {
        self.room.segment_ready(number);
    }

    /// Notes that a segment could not be prepared, perhaps for want of space. It will be wanted again.
    pub fn segment_failed(&mut self, no_space: bool, now: Now) {
        self.room.segment_failed(no_space, now);
    }

    /// Takes a message from another core.
    pub fn message(&mut self, from: CoreId, message: Message, now: Now) {
        self.room.message(from, message, now, &mut self.answers);
    }

    /// Notes how long the last turn took.
    pub fn turn_took(&mut self, elapsed_us: u64) {
        self.room.counters.loop_us.record(elapsed_us);
    }

    /// Lets time pass for connections and the lane. To be called several times a second.
    pub fn tick(&mut self, now: Now) {
        self.ticked = true;
        self.room.tick(now);
    }

    /// Ends what is overdue. Not before all that had come is taken: a server that was held up finds at once that time has
    /// passed and that clients have done their part in it, and it must not hold the one against them before it sees the
    /// other.
    fn end_overdue(&mut self, now: Now) {
        let is_short = self.room.clients.take_were_full();
        let Core { connections, rounds, dirty, date, limits, .. } = self;
        let (mut handshakes_ended, mut slow) = (0, Vec::new());
        rounds.tick(|key| {
            let Some(connection) = connections.get_mut(key) else { return false };
            if tls::end_if_overdue(connection, limits.head_ms, now) {
                handshakes_ended += 1;
                mark(dirty, key, connection);
            }
            if connection.http.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now.monotonic_ms()) {
                connection.http.set_date(*date);
                // A request that is refused for it comes out as rejected, and is counted then.
                connection.http.tick(now.monotonic_ms());
                if let (0, Some(secured)) = (connection.http.heap_bytes(), &mut connection.secured) {
                    secured.session.release();
                }
                mark(dirty, key, connection);
            }
            if is_short
                && !connection.http.should_close()
                && let Some(bytes_per_s) = connection.gives_way(now.monotonic_ms())
            {
                slow.push((bytes_per_s, key));
            }
            true
        });
        self.cut_off_slowest(slow);
        (0..handshakes_ended).for_each(|_| self.handshake_failed());
    }

    /// Does all that follows from what happened. True when there is more to do, and the driver should come back
    /// without waiting.
    pub fn turn(&mut self, now: Now) -> bool {
        self.advance_date(now);
        self.shake_hands(now);
        self.settle(now);
        if std::mem::take(&mut self.ticked) {
            self.end_overdue(now);
        }
        self.room.step(&self.wants.messages, now, &mut self.answers);
        // Nobody waits for it: as long as a piece is not taken, the next one can wait.
        if self.wants.piece.is_none() {
            self.wants.piece = self.room.step_snapshot();
        }
        self.settle(now);
        self.release_held_back(now);
        self.start_writes(now);
        self.room.fetch_wants(&mut self.wants.reads);
        let mut touched = std::mem::take(&mut self.touched);
        for key in touched.drain(..) {
            self.note_wants(key, now);
        }
        self.touched = touched;
        self.room.router.flush(&mut self.wants.messages);
        let handshakes_due = self.handshakes.as_ref().is_some_and(|handshakes| !handshakes.due.is_empty());
        let snapshot_due = self.wants.piece.is_none() && self.room.snapshotting.is_taking();
        self.room.has_work() || self.may_release() || handshakes_due || snapshot_due
    }

    /// Lets the lane start what it can: to be called as soon as a write is done, so that the disk works while the core
    /// makes the last frame visible and answers for it.
    pub fn start_writes(&mut self, now: Now) {
        self.room.lane_wants(now, &mut self.wants.writes, &mut self.wants.segment);
    }

    /// What the core wants done since the wants were last taken out.
    pub fn wants(&mut self) -> &mut Wants {
        &mut self.wants
    }

    /// Writes the date out for the responses to come, once a second.
    fn advance_date(&mut self, now: Now) {
        if self.date.unix_s() != now.unix_s() {
            self.date = Date::of_unix_s(now.unix_s());
            if let Some(handshakes) = &self.handshakes {
                handshakes.set_time(now.unix_s());
            }
        }
    }

    /// Serves connections and answers them until nothing more follows.
    fn settle(&mut self, now: Now) {
        loop {
            // First come, first served: who came first finds room where there is little, and waits no longer than others.
            let mut dirty = std::mem::take(&mut self.dirty);
            dirty.drain(..).for_each(|key| self.service(key, now));
            assert!(self.dirty.is_empty(), "serving a connection marks none");
            self.dirty = dirty;
            self.call_next();
            self.room.settle(now, &mut self.answers);
            // A query may have come to its end for which nobody waits any more: the next in line begins.
            if self.answers.is_empty() && !self.may_call_next() {
                return;
            }
            let mut answers = std::mem::take(&mut self.answers);
            answers.drain(..).for_each(|answer| self.deliver(answer));
            self.answers = answers;
        }
    }

    /// Does all that follows from what has happened on a connection.
    fn service(&mut self, key: ConnectionKey, now: Now) {
        self.take_events(key, now);
        if self.refuse_body(key) {
            self.take_events(key, now);
        }
        self.begin_query(key);
        self.count_bytes(key);
    }

    /// Takes all events of a connection.
    fn take_events(&mut self, key: ConnectionKey, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.dirty = false;
        // One that has given way to another is as good as answered: what is left of its body is thrown away.
        connection.batch = connection.batch.filter(|&operation| self.room.has_batch(operation));
        connection.http.set_date(self.date);
        connection.http.restrain(self.room.clients.is_full());
        self.touched.push(key);
        let now_ms = now.monotonic_ms();
        loop {
            let Connection { http, secured, endpoint, batch, query_waiting, .. } = connection;
            if batch.is_some_and(|operation| self.room.batch_waits(operation)) {
                http.pause();
            }
            let Some(event) = http.next_event(now_ms) else {
                // What has come encrypted is read as there is room for it.
                if secured.as_mut().is_some_and(|secured| secured.feed(http, now_ms)) {
                    continue;
                }
                break;
            };
            match event {
                Event::Head { id, head } => match self.room.head(key, id, head, now, &mut self.answers) {
                    Ok(taken) => {
                        *endpoint = Some(taken.endpoint);
                        *batch = taken.batch;
                        if taken.endpoint == Endpoint::Query {
                            http.hold(id);
                        }
                        http.accept(id, taken.mode);
                    }
                    Err(NotTaken::Answered(response)) => {
                        self.room.count_answer(Method::from_name(head.method()), response.head.status);
                        http.respond_owned(id, &response.head, response.body);
                    }
                    Err(NotTaken::Rejected(reason)) => http.refuse(reason),
                },
                Event::Body { id, head, body } => {
                    let response = match endpoint.take().expect("a body follows a head that was accepted") {
                        Endpoint::Query => match self.room.read_query(id, head, body, now) {
                            Ok(query) => {
                                *query_waiting = Some(query);
                                None
                            }
                            Err(response) => Some(response),
                        },
                        endpoint => self.room.request(key, id, endpoint, head, body, now),
                    };
                    if let Some(response) = response {
                        self.room.count_answer(Method::from_name(head.method()), response.head.status);
                        http.respond_owned(id, &response.head, response.body);
                    }
                }
                Event::Chunk { bytes, .. } => {
                    if let Some(operation) = *batch {
                        self.room.batch_piece(operation, bytes, now);
                    }
                }
                Event::End { .. } => {
                    if let Some(operation) = batch.take() {
                        self.room.batch_end(operation, now, &mut self.answers);
                    }
                }
                Event::Rejected { reason, .. } => {
                    if let Some(operation) = batch.take() {
                        self.room.forget_batch(operation);
                    }
                    self.room.count_answer(None, reason.status());
                }
            }
        }
    }

    /// Begins the query that a connection has asked, if it has and it is its turn.
    fn begin_query(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.query_waiting.is_none() || connection.in_line {
            return;
        }
        if self.room.queries_asked.len() >= QUERIES_AT_ONCE {
            connection.in_line = true;
            self.room.line.push_back(key);
            if self.room.line.len() > 2 * self.connections.len() {
                let connections = &self.connections;
                self.room.line.retain(|&key| connections.contains_key(key));
            }
        } else if let Some(query) = connection.query_waiting.take() {
            connection.query = Some(self.room.begin_query(key, query));
        }
    }

    fn may_call_next(&self) -> bool {
        self.room.queries_asked.len() < QUERIES_AT_ONCE && !self.room.line.is_empty()
    }

    /// Lets the connections first in line begin their queries, as far as others have come to their end.
    fn call_next(&mut self) {
        while self.may_call_next() {
            let key = self.room.line.pop_front().expect("somebody is in line");
            if let Some(connection) = self.connections.get_mut(key) {
                connection.in_line = false;
            }
            self.begin_query(key);
        }
    }

    /// Hands an answer to the connection that waits for it, if it still does.
    fn deliver(&mut self, answer: Answer) {
        if let Told::Response(_, Response { body, .. }) = &answer.told {
            self.room.clients.answers_bytes -= body.capacity();
        }
        let Some(connection) = self.connections.get_mut(answer.connection) else {
            self.room.clients.release_metrics(answer.connection);
            return;
        };
        connection.http.set_date(self.date);
        match answer.told {
            Told::Response(request, Response { head, body }) if body.capacity() <= SpareBodies::BYTES_MAX => {
                connection.http.respond(request, &head, &body);
                self.room.spare_bodies.put(body);
            }
            Told::Response(request, response) => {
                connection.http.respond_owned(request, &response.head, response.body);
            }
            Told::Resume => connection.http.resume(),
        }
        mark(&mut self.dirty, answer.connection, connection);
        self.count_bytes(answer.connection);
    }

    /// Passes on what a connection wants from the driver.
    fn note_wants(&mut self, key: ConnectionKey, now: Now) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if let Some(output) = connection.take_output(now.monotonic_ms()) {
            self.wants.sends.push((key, output));
        }
        if connection.should_close() {
            if let Some(secured) = &mut connection.secured
                && let Some(output) = secured.last_words()
            {
                self.wants.sends.push((key, output));
            }
            self.wants.closes.push(key);
            self.remove(key);
            return;
        }
        if connection.take_shutdown() {
            self.wants.shutdowns.push(key);
        }
        let wants_receive = connection.wants_receive();
        if wants_receive != connection.receiving {
            connection.receiving = wants_receive;
            self.wants.receives.push((key, wants_receive));
        }
    }

    fn remove(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.remove(key) {
            self.room.counters.connections -= 1;
            self.uncount_bytes(key, &connection);
            if connection.secured.is_some_and(|secured| secured.session.is_in_handshake()) {
                self.handshake_failed();
            }
            if let Some(operation) = connection.batch {
                self.room.forget_batch(operation);
            }
            if let Some(operation) = connection.query {
                self.room.forget_query(operation);
            }
        }
    }
}

fn mark(dirty: &mut Vec<ConnectionKey>, key: ConnectionKey, connection: &mut Connection) {
    if !connection.dirty {
        connection.dirty = true;
        dirty.push(key);
    }
}
