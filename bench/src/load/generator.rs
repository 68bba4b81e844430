//! The loop that drives all connections.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use stemedb_engine::ring::{Completion, Errno, Received, Ring, RingConfig};

use super::connection::{Answered, Connection};
use super::recorder::Recorder;
use super::schedule::{Nanos, Schedule};
use super::{Load, LoadError, Outcome, PATIENCE};
use crate::client::Client;

/// The size of a receive buffer: many small answers, or a part of a large one.
const RECEIVE_BUFFER_BYTES: u32 = 8 << 10;

/// A send of up to so many bytes is counted on to complete while it is submitted; it fits the buffer of a socket.
const PROMPT_SEND_BYTES_MAX: usize = 16 << 10;

/// A run in which the generator did not run for longer than this, or for as long as was to be measured, is void.
const STOPPED_MAX: Duration = Duration::from_secs(1);

/// A connected load generator.
pub(super) struct Generator<'a, C> {
    load: &'a Load,
    ring: Ring,
    connections: Vec<Connection<C>>,
    /// A place for each request that could be sent, the one that is free for the longest time first.
    free: VecDeque<Place>,
    /// Connections that may have something to send.
    listed: Vec<usize>,
    /// Sends queued since the last turn that will complete while they are submitted.
    prompt_sends: u32,
    epoch: Instant,
    now: Nanos,
}

/// A connection that can take one more request.
#[derive(Debug, Clone, Copy)]
struct Place {
    connection: usize,
    since: Nanos,
}

impl<'a, C: Client> Generator<'a, C> {
    /// Connects all clients and waits until they have greeted the server.
    pub(super) fn connect(load: &'a Load, clients: Vec<C>) -> Result<Generator<'a, C>, LoadError> {
        let count = clients.len();
        let mut ring = Ring::new(&RingConfig {
            // One receive and one send each.
            operations_max: 2 * count as u32,
            receive_buffers: (2 * count).next_power_of_two().max(64) as u16,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        })?;
        let mut connections = Vec::with_capacity(count);
        for (number, client) in clients.into_iter().enumerate() {
            let connection = Connection::new(client, load.address).map_err(|source| LoadError::Connect {
                connection: number,
                address: load.address,
                source,
            })?;
            ring.receive_multishot(&connection.socket, number as u64)
                .expect("each connection has one receive");
            connections.push(connection);
        }
        let places = count * load.depth as usize;
        let mut generator = Generator {
            load,
            ring,
            connections,
            free: VecDeque::with_capacity(places),
            listed: Vec::with_capacity(count),
            prompt_sends: 0,
            epoch: Instant::now(),
            now: 0,
        };
        generator.greet()?;
        generator
            .free
            .extend((0..places).map(|place| Place { connection: place % count, since: generator.now }));
        Ok(generator)
    }

    fn greet(&mut self) -> Result<(), LoadError> {
        (0..self.connections.len()).for_each(|connection| self.list(connection));
        let give_up = self.now + PATIENCE.as_nanos() as u64;
        loop {
            let greeting = self.connections.iter().filter(|connection| connection.is_greeting()).count();
            if greeting == 0 {
                return Ok(());
            }
            if self.now >= give_up {
                return Err(LoadError::Greeting { connections: greeting });
            }
            self.turn(give_up, |_, _| {})?;
        }
    }

    /// Runs the load.
    pub(super) fn run(mut self) -> Result<Outcome, LoadError> {
        self.now = self.clock();
        let mut schedule = Schedule::new(self.load, self.now);
        let mut recorder = Recorder::new();
        let give_up = schedule.end() + PATIENCE.as_nanos() as u64;
        loop {
            recorder.tick(&schedule, self.now);
            let next_due = self.send_due(&mut schedule, &mut recorder);
            let all_sent = self.now >= schedule.end() && next_due.is_none();
            if (all_sent && self.unanswered() == 0) || self.now >= give_up {
                break;
            }
            // A request that is due and not sent waits for a free place, which an answer gives.
            let next_due = next_due.filter(|due| *due > self.now);
            let phases = [schedule.measured_from(), schedule.end(), give_up];
            let until = phases.into_iter().filter(|phase| *phase > self.now).chain(next_due).min();
            self.turn(until.unwrap_or(give_up), |answered, now| {
                if let Answered::Request(request) = answered {
                    recorder.answered(&schedule, &request, now);
                }
            })?;
        }
        let unanswered = self.unanswered();
        Ok(recorder.outcome(&schedule, unanswered))
    }

    /// Has connections say the requests that are due, as far as there are free places. Says when the next one is due.
    fn send_due(&mut self, schedule: &mut Schedule, recorder: &mut Recorder) -> Option<Nanos> {
        loop {
            let due = schedule.next_due(self.now)?;
            if due > self.now {
                return Some(due);
            }
            let Some(place) = self.free.pop_front() else { return Some(due) };
            schedule.take();
            recorder.sent(schedule, due, place.since, self.now);
            self.connections[place.connection].request(due);
            self.list(place.connection);
        }
    }

    /// Requests that have no answer.
    fn unanswered(&self) -> u64 {
        let places = self.connections.len() * self.load.depth as usize;
        (places - self.free.len()) as u64
    }

    /// Sends what there is to send, waits until something happens or it is `until`, and takes in what has happened.
    fn turn(&mut self, until: Nanos, mut answered: impl FnMut(Answered, Nanos)) -> Result<(), LoadError> {
        self.send_listed();
        let timeout = Duration::from_nanos(until.saturating_sub(self.now));
        self.ring.submit_and_wait_for(1 + self.prompt_sends, timeout).map_err(LoadError::Wait)?;
        self.prompt_sends = 0;
        self.now = self.clock();
        let stopped = Duration::from_nanos(self.now.saturating_sub(until));
        if stopped >= STOPPED_MAX.min(self.load.duration) {
            return Err(LoadError::Stopped(stopped));
        }
        while let Some(completion) = self.ring.next_completion() {
            match completion {
                Completion::Received { user, received, more } => {
                    self.received(user as usize, &received, &mut answered)?;
                    drop(received);
                    if !more {
                        let socket = &self.connections[user as usize].socket;
                        self.ring.receive_multishot(socket, user).expect("the last receive has ended");
                    }
                }
                Completion::Sent { user, buffer, result } => self.sent(user as usize, buffer, result)?,
                other => panic!("nobody asked for {other:?}"),
            }
        }
        Ok(())
    }

    fn received(
        &mut self,
        number: usize,
        received: &Received,
        answered: &mut impl FnMut(Answered, Nanos),
    ) -> Result<(), LoadError> {
        let connection = &mut self.connections[number];
        match received {
            Received::Data(data) => {
                let (now, free) = (self.now, &mut self.free);
                let taken_in = connection.received(data, |answer| {
                    if let Answered::Request(_) = answer {
                        free.push_back(Place { connection: number, since: now });
                    }
                    answered(answer, now);
                });
                if let Err(source) = taken_in {
                    let operation = connection.oldest();
                    return Err(LoadError::Answer { connection: number, operation, source });
                }
                // The protocol may want something said at once.
                self.list(number);
                Ok(())
            }
            Received::NoBuffer => Ok(()),
            Received::EndOfStream => {
                Err(LoadError::Closed { connection: number, unanswered: connection.unanswered() })
            }
            Received::Failed(errno) => Err(self.broken(number, *errno)),
        }
    }

    fn sent(
        &mut self,
        number: usize,
        buffer: Vec<u8>,
        result: Result<usize, Errno>,
    ) -> Result<(), LoadError> {
        let bytes = result.map_err(|errno| self.broken(number, errno))?;
        match self.connections[number].sent(buffer, bytes) {
            Some((buffer, rest)) => self.send(number, buffer, rest),
            None => self.list(number),
        }
        Ok(())
    }

    fn broken(&self, number: usize, source: Errno) -> LoadError {
        let unanswered = self.connections[number].unanswered();
        LoadError::Broken { connection: number, unanswered, source }
    }

    /// Looks at a connection before the next turn: it may have something to send.
    fn list(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        if !connection.is_listed && connection.can_send() {
            connection.is_listed = true;
            self.listed.push(number);
        }
    }

    fn send_listed(&mut self) {
        for place in 0..self.listed.len() {
            let number = self.listed[place];
            let connection = &mut self.connections[number];
            connection.is_listed = false;
            let buffer = connection.take_out();
            self.send(number, buffer, 0);
        }
        self.listed.clear();
    }

    fn send(&mut self, number: usize, buffer: Vec<u8>, from: usize) {
        if buffer.len() - from <= PROMPT_SEND_BYTES_MAX {
            self.prompt_sends += 1;
        }
        let all = from..buffer.len();
        let socket = &self.connections[number].socket;
        self.ring.send_whole(socket, buffer, all, number as u64).expect("each connection has one send");
    }

    fn clock(&self) -> Nanos {
        self.epoch.elapsed().as_nanos() as u64
    }
}
