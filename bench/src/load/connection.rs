//! One connection: its client, its socket, what is to be sent and what was received.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};
use stemedb_engine::ring::Descriptor;

use super::schedule::Nanos;
use crate::client::{Client, Operation, Progress};

/// A request without an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unanswered {
    /// When it was due.
    pub(super) due: Nanos,
    pub(super) operation: Operation,
    pub(super) units: u32,
}

/// What an answer was given to.
#[derive(Debug)]
pub(super) enum Answered {
    Greeting,
    Request(Unanswered),
}

#[derive(Debug)]
pub(super) struct Connection<C> {
    client: C,
    pub(super) socket: Descriptor,
    /// The greeting was said and is not answered.
    is_greeting: bool,
    unanswered: VecDeque<Unanswered>,
    /// What is to be sent next.
    out: Vec<u8>,
    /// The buffer that is not `out`, unless it is being sent.
    spare: Option<Vec<u8>>,
    /// How much of the buffer that is being sent has been taken.
    sent_bytes: usize,
    /// The beginning of an answer whose end has not come.
    part: Vec<u8>,
    /// Is on the generator's list of connections that have something to send.
    pub(super) is_listed: bool,
}

impl<C: Client> Connection<C> {
    /// Connects, and has the client greet the server.
    pub(super) fn new(mut client: C, address: SocketAddr) -> io::Result<Connection<C>> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.connect(&address.into())?;
        let mut out = Vec::new();
        let is_greeting = client.greet(&mut out);
        Ok(Connection {
            client,
            socket: Descriptor::from(OwnedFd::from(socket)),
            is_greeting,
            unanswered: VecDeque::new(),
            out,
            spare: Some(Vec::new()),
            sent_bytes: 0,
            part: Vec::new(),
            is_listed: false,
        })
    }

    /// Whether requests have to wait for the answer to the greeting.
    pub(super) fn is_greeting(&self) -> bool {
        self.is_greeting
    }

    /// How many requests have no answer.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// What the oldest request without an answer asks for.
    pub(super) fn oldest(&self) -> Option<Operation> {
        self.unanswered.front().map(|request| request.operation)
    }

    /// Appends a request that is due then to what is to be sent.
    pub(super) fn request(&mut self, due: Nanos) {
        let request = self.client.request(&mut self.out);
        self.unanswered.push_back(Unanswered { due, operation: request.operation, units: request.units });
    }

    /// Takes in what was received, and tells of each answer in it.
    pub(super) fn received(
        &mut self,
        received: &[u8],
        mut answered: impl FnMut(Answered),
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.part.is_empty() {
            let read = self.read_answers(received, &mut answered)?;
            self.part.extend_from_slice(&received[read..]);
        } else {
            let mut part = mem::take(&mut self.part);
            part.extend_from_slice(received);
            let read = self.read_answers(&part, &mut answered)?;
            part.drain(..read);
            self.part = part;
        }
        Ok(())
    }

    /// Reads whole answers. Says how many bytes they were.
    fn read_answers(
        &mut self,
        received: &[u8],
        answered: &mut impl FnMut(Answered),
    ) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let mut read = 0;
        while read < received.len() {
            match self.client.answer(&received[read..], &mut self.out)? {
                Progress::Incomplete => break,
                Progress::Skipped(bytes) => read += bytes,
                Progress::Answered(bytes) => {
                    read += bytes;
                    if self.is_greeting {
                        self.is_greeting = false;
                        answered(Answered::Greeting);
                    } else {
                        let request =
                            self.unanswered.pop_front().ok_or("an answer that nothing had asked for")?;
                        answered(Answered::Request(request));
                    }
                }
            }
        }
        Ok(read)
    }

    /// Whether there is something to send, and nothing is being sent.
    pub(super) fn can_send(&self) -> bool {
        !self.out.is_empty() && self.spare.is_some()
    }

    /// All that is to be sent, which [`sent`](Connection::sent) takes back.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        let spare = self.spare.take().expect("nothing is being sent");
        self.sent_bytes = 0;
        mem::replace(&mut self.out, spare)
    }

    /// Takes back the buffer that was sent, of which the socket took so much; or gives it again with where the rest
    /// begins.
    pub(super) fn sent(&mut self, mut buffer: Vec<u8>, bytes: usize) -> Option<(Vec<u8>, usize)> {
        self.sent_bytes += bytes;
        if self.sent_bytes < buffer.len() {
            return Some((buffer, self.sent_bytes));
        }
        buffer.clear();
        self.spare = Some(buffer);
        None
    }
}
