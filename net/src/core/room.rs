//! Everything of a core but its connections: shard, waiting operations, messages, counters.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::SlotMap;
use stemedb_engine::claim::{ConceptPath, Reason};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::WriteId;
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::shard::{Admission, Outcome, Refusal, Shard};
use stemedb_engine::slot::{CoreId, Slot, SlotMap as Slots};

use super::connection::ConnectionKey;
use super::message::{Assertions, Message, Ticket};
use super::operation::{Awaits, Operation, OperationKey};
use super::queries::RunningQuery;
use super::wants::Wants;
use super::{Now, batch::Batch};
use crate::api::error::{ApiError, ErrorCode};
use crate::http::{self, RequestId, ResponseHead};
use crate::json;
use crate::metrics::{CoreSnapshot, Counters};

/// What a core must know from the start.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Which core it is.
    pub id: CoreId,
    /// Who owns which slots.
    pub slots: Slots,
    /// Limits of a connection.
    pub http: Arc<http::Limits>,
    /// Connections at once.
    pub connections_max: usize,
    /// Microseconds by which a claim's timestamp may lie in the future.
    pub timestamp_future_us_max: i64,
    /// Bytes of claims of batches that may be on their way to the disk before batches pause.
    pub batch_bytes_open_max: usize,
    /// The generation that this start opens; 0 until it is known.
    pub started_wall: stemedb_engine::time::UnixMicros,
}

/// Where a core stands between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The log is being recovered: only questions about health are answered.
    Recovering,
    /// Everything is served.
    Serving,
    /// The server stops: what was begun is finished.
    Draining,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) head: ResponseHead,
    pub(super) body: Vec<u8>,
}

/// What a connection is to be told: a response, or, with none, to go on with a paused body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) connection: ConnectionKey,
    pub(super) request: RequestId,
    pub(super) response: Option<Response>,
}

/// Batches whose bodies may be coming in at once on one core.
pub(super) const BATCHES_MAX: usize = 64;

/// How long after a failed preparation of a segment the next one is asked for.
const SEGMENT_RETRY_US: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: CoreId,
    pub(super) slots: Slots,
    pub(super) phase: Phase,
    pub(super) shard: Option<Shard<Ticket>>,
    pub(super) operations: SlotMap<OperationKey, Operation>,
    pub(super) batches: usize,
    /// Bytes of claims of this core's batches that are on their way to the disk, here or elsewhere.
    pub(super) batch_bytes_open: usize,
    pub(super) batch_bytes_open_max: usize,
    /// Batches that wait for `batch_bytes_open` to fall.
    pub(super) paused: Vec<OperationKey>,
    pub(super) queries: VecDeque<RunningQuery>,
    pub(super) reader: json::Reader,
    pub(super) payload: Vec<u8>,
    pub(super) timestamp_future_us_max: i64,
    pub(super) counters: Counters,
    pub(super) started_us: Option<u64>,
    /// Decided retractions that the lane had no room for yet.
    retractions_waiting: VecDeque<(Ticket, Arc<[u8]>)>,
    outgoing: Vec<Outgoing>,
    segment_wanted: Option<SegmentNumber>,
    segment_retry_us: Option<u64>,
}

/// Messages being packed for one other core.
#[derive(Debug, Default)]
struct Outgoing {
    assertions: Assertions,
    outcomes: Vec<(Ticket, Outcome)>,
    others: VecDeque<Message>,
}

impl Room {
    pub(super) fn new(config: CoreConfig) -> Room {
        Room {
            id: config.id,
            slots: config.slots,
            phase: Phase::Recovering,
            shard: None,
            operations: SlotMap::with_key(),
            batches: 0,
            batch_bytes_open: 0,
            batch_bytes_open_max: config.batch_bytes_open_max,
            paused: Vec::new(),
            queries: VecDeque::new(),
            reader: json::Reader::new(),
            payload: Vec::new(),
            timestamp_future_us_max: config.timestamp_future_us_max,
            counters: Counters::new(),
            retractions_waiting: VecDeque::new(),
            outgoing: (0..config.slots.cores()).map(|_| Outgoing::default()).collect(),
            segment_wanted: None,
            segment_retry_us: None,
        }
    }

    pub(super) fn open(&mut self, shard: Shard<Ticket>) {
        assert!(self.shard.is_none(), "a core gets its shard once");
        self.shard = Some(shard);
    }

    /// Stores a claim in the slot it belongs to, here or on another core.
    pub(super) fn assert(&mut self, slot: Slot, ticket: Ticket, admission: Admission) {
        let owner = self.slots.owner(slot);
        if owner != self.id {
            self.outgoing[usize::from(owner.0)].assertions.push(ticket, &self.payload);
            return;
        }
        let shard = self.shard.as_mut().expect("a core that serves has a shard");
        shard.assert(&self.payload, admission, ticket);
    }

    /// Sends a message to another core, or to this one.
    pub(super) fn send(&mut self, to: CoreId, message: Message) {
        self.outgoing[usize::from(to.0)].others.push_back(message);
    }

    /// Sends a message to every core, this one included. Answers with their number.
    pub(super) fn send_all(&mut self, mut message: impl FnMut() -> Message) -> u16 {
        for core in 0..self.slots.cores() {
            self.send(CoreId(core), message());
        }
        self.slots.cores()
    }

    /// Takes a message from a core.
    pub(super) fn message(&mut self, from: CoreId, message: Message, now: Now, answers: &mut Vec<Answer>) {
        match message {
            Message::Assert(assertions) => {
                for (ticket, payload) in assertions.iter() {
                    match &mut self.shard {
                        // Who sent it has let it in already.
                        Some(shard) => shard.assert(payload, Admission::Stream, ticket),
                        None => self.return_outcome(ticket, Outcome::Refused(Refusal::Recovering), now, answers),
                    }
                }
            }
            Message::Asserted(outcomes) => {
                for (ticket, outcome) in outcomes {
                    self.outcome(ticket, outcome, now, answers);
                }
            }
            Message::Retract { ticket, request } => self.retract_here(ticket, &request.path, &request.reason, now),
            Message::RetractCopy { ticket, payload } => self.retractions_waiting.push_back((ticket, payload)),
            Message::Retracted { ticket, outcome, payload } => {
                self.retracted(ticket, outcome, payload, now, answers);
            }
            Message::Query { ticket, query } => self.begin_query(from, ticket, query),
            Message::Found { ticket, rows } => self.found(ticket, rows, now, answers),
            Message::Lookup { ticket, hash } => {
                let body = self.look_up(&hash);
                self.send(from, Message::LookedUp { ticket, body });
            }
            Message::LookedUp { ticket, body } => self.looked_up(ticket, body, now, answers),
            Message::Snapshot { ticket } => {
                let snapshot = Box::new(self.snapshot(0));
                self.send(from, Message::Snapped { ticket, snapshot });
            }
            Message::Snapped { ticket, snapshot } => self.snapped(ticket, &snapshot, now, answers),
        }
    }

    /// Does what follows within the core from all that has happened: messages to itself, outcomes of its shard.
    pub(super) fn settle(&mut self, now: Now, answers: &mut Vec<Answer>) {
        loop {
            let own = usize::from(self.id.0);
            while let Some(message) = self.outgoing[own].others.pop_front() {
                self.message(self.id, message, now, answers);
            }
            self.copy_retractions();
            let Some(shard) = &mut self.shard else { break };
            let outcomes: Vec<_> = shard.drain_outcomes().collect();
            if outcomes.is_empty() && self.outgoing[own].others.is_empty() {
                break;
            }
            for (ticket, outcome) in outcomes {
                self.return_outcome(ticket, outcome, now, answers);
            }
        }
        self.resume_batches(answers);
    }

    /// Hands out all messages that have come together.
    pub(super) fn flush_messages(&mut self, wants: &mut Wants) {
        for (outgoing, queue) in self.outgoing.iter_mut().zip(&mut wants.messages) {
            if !outgoing.assertions.is_empty() {
                queue.push_back(Message::Assert(std::mem::take(&mut outgoing.assertions)));
            }
            if !outgoing.outcomes.is_empty() {
                queue.push_back(Message::Asserted(std::mem::take(&mut outgoing.outcomes)));
            }
            queue.append(&mut outgoing.others);
        }
        wants.segment = self.segment_wanted.take();
    }

    /// Asks the lane for its next writes.
    pub(super) fn next_write(&mut self, now: Now, writes: &mut Vec<LaneWrite>) {
        let Some(shard) = &mut self.shard else { return };
        while let Some(write) = shard.next_write(now.wall) {
            writes.push(write);
        }
        if self.segment_retry_us.is_none_or(|retry_us| retry_us <= now.monotonic_us) {
            self.segment_retry_us = None;
            // Asked for once: the next question is due when this one has been answered.
            if let Some(number) = shard.lane().segment_wanted().filter(|number| self.segment_asked != Some(*number)) {
                self.segment_asked = Some(number);
                self.segment_wanted = Some(number);
            }
        }
    }

    pub(super) fn write_done(
        &mut self,
        id: WriteId,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        elapsed_us: u64,
        now: Now,
    ) {
        self.counters.note_write(result.as_ref().ok().copied(), elapsed_us);
        let shard = self.shard.as_mut().expect("a write belongs to a shard");
        let applied = shard.write_done(id, buffer, result, now.monotonic_us);
        self.counters.note_commit(&applied);
    }

    pub(super) fn segment_ready(&mut self, number: SegmentNumber) {
        self.disk_full = false;
        self.shard.as_mut().expect("a segment belongs to a shard").segment_ready(number);
    }

    pub(super) fn segment_failed(&mut self, no_space: bool, now: Now) {
        self.disk_full = no_space;
        self.segment_asked = None;
        self.segment_retry_us = Some(now.monotonic_us + SEGMENT_RETRY_US);
    }

    pub(super) fn tick(&mut self, now: Now) {
        if let Some(shard) = &mut self.shard {
            shard.tick(now.monotonic_us);
        }
    }

    pub(super) fn snapshot(&self, connections: usize) -> CoreSnapshot {
        todo!("{connections}")
    }

    /// Passes what became of a write to the core that asked for it.
    fn return_outcome(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        if ticket.core == self.id {
            self.outcome(ticket, outcome, now, answers);
        } else {
            self.outgoing[usize::from(ticket.core.0)].outcomes.push((ticket, outcome));
        }
    }
}
