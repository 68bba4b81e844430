//! A batch of claims on its way in: `POST /v1/assert/batch`.

use std::collections::VecDeque;
use std::ops::Range;

use stemedb_engine::shard::Outcome;
use stemedb_engine::slot::Slot;
use stemedb_engine::time::UnixMicros;

use super::Now;
use super::intake::{Encoded, Intake};
use super::lines::{Line, Lines};
use super::message::Ticket;
use super::operation::{Awaits, Operation, OperationKey};
use super::requests::Asking;
use super::response::{Response, refused};
use super::room::{Answer, Batches, Room, Told};
use super::router::Router;
use crate::api::{ApiError, BatchFormat, BatchSummary, Endpoint, ErrorCode, blank_bytes, is_blank};
use crate::http::Status;
use crate::metrics::Counts;

/// Batches whose bodies come in at once on a core, or whose claims are on their way to the disk. Each may keep a line or an
/// array in memory.
pub(super) const BATCHES_MAX: usize = 64;

/// How long a batch has to show that it comes in faster than one that gives way, in microseconds.
const GIVES_WAY_AFTER_US: u64 = 10_000_000;

/// A batch that has come in slower than this on the whole gives way where another finds no room.
const GIVES_WAY_BELOW_BYTES_PER_S: u64 = 16 << 10;

/// What is known of a batch so far.
#[derive(Debug)]
pub(super) struct Batch {
    form: Form,
    /// The agent that the request's header names, valid, for claims that name none.
    agent: Option<Vec<u8>>,
    body_bytes_max: usize,
    /// Whether all of the body has come in.
    ended: bool,
    /// Claims of an array that were read and not yet sent on their way.
    waiting: WaitingClaims,
    /// Claims on their way to the disk.
    open: usize,
    /// The bytes of their records.
    open_bytes: usize,
    /// Bytes of the body that have come in.
    body_bytes: u64,
    lines: u64,
    summary: BatchSummary,
}

/// How the body of a batch is written.
#[derive(Debug)]
enum Form {
    /// Nothing but white space has come yet. How much of it belongs to a first line is known by these.
    Unknown(Lines),
    /// One claim a line: NDJSON.
    Lines(Lines),
    /// A JSON array, to be read when it is whole.
    Array(Vec<u8>),
}

/// Claims, encoded, in the order in which they came.
#[derive(Debug, Default)]
struct WaitingClaims {
    payloads: Vec<u8>,
    /// Of each its slot, its place in the array, and where its payload is.
    claims: VecDeque<(Slot, u64, Range<usize>)>,
}

/// What a batch works with while a piece of it is taken in.
#[derive(Debug)]
pub(super) struct Taking<'a> {
    pub(super) key: OperationKey,
    pub(super) now: UnixMicros,
    pub(super) intake: &'a mut Intake,
    pub(super) router: &'a mut Router,
    /// The bytes of records on their way to the disk, of all batches of this core.
    pub(super) open_bytes: &'a mut usize,
    pub(super) open_bytes_max: usize,
    /// Claims refused, by reason.
    pub(super) rejected: &'a mut Counts<ErrorCode>,
}

impl Batch {
    /// An empty batch. `agent` is a valid value of the header that names an agent.
    pub(super) fn new(agent: Option<Vec<u8>>, body_bytes_max: usize) -> Batch {
        Batch {
            form: Form::Unknown(Lines::new(body_bytes_max)),
            agent,
            body_bytes_max,
            ended: false,
            waiting: WaitingClaims::default(),
            open: 0,
            open_bytes: 0,
            body_bytes: 0,
            lines: 0,
            summary: BatchSummary::default(),
        }
    }

    /// Takes in a piece of the body.
    pub(super) fn piece(&mut self, bytes: &mut [u8], mut taking: Taking<'_>) {
        self.body_bytes += bytes.len() as u64;
        let bytes = match &mut self.form {
            Form::Unknown(lines) => {
                let (blank, rest) = bytes.split_at_mut(blank_bytes(bytes));
                // Blank lines that stand before everything else are passed over, however long they are.
                lines.push(blank, |_| self.lines += 1);
                let Some(format) = BatchFormat::of(rest) else { return };
                self.begin(format);
                rest
            }
            Form::Lines(_) | Form::Array(_) => bytes,
        };
        match std::mem::replace(&mut self.form, Form::Array(Vec::new())) {
            Form::Unknown(_) => panic!("the form of a batch is known by its first byte"),
            Form::Lines(mut lines) => {
                lines.push(bytes, |line| self.line(line, &mut taking));
                self.form = Form::Lines(lines);
            }
            Form::Array(mut array) => {
                // Of what is beyond the limit one byte is kept, by which the reader knows.
                let room = self.body_bytes_max + 1 - array.len();
                array.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.form = Form::Array(array);
            }
        }
    }

    /// The body is complete.
    ///
    /// # Errors
    ///
    /// When it is an array that cannot be read at all; then nothing of it has been stored.
    pub(super) fn end(&mut self, mut taking: Taking<'_>) -> Result<(), ApiError> {
        match std::mem::replace(&mut self.form, Form::Array(Vec::new())) {
            Form::Unknown(_) => {}
            Form::Lines(mut lines) => lines.finish(|line| self.line(line, &mut taking)),
            Form::Array(array) => {
                let agent = self.agent.take();
                let Taking { now, intake, rejected, .. } = &mut taking;
                intake.read_array(&array, agent.as_deref(), *now, |claim| {
                    self.lines += 1;
                    match claim {
                        Ok(claim) => self.waiting.push(&claim, self.lines),
                        Err(error) => self.reject(error, rejected),
                    }
                })?;
            }
        }
        self.ended = true;
        self.feed(taking.key, taking.router, taking.open_bytes, taking.open_bytes_max);
        Ok(())
    }

    /// Sends claims of an array on their way, as many as may be: it was read as a whole, and may hold more than the lane
    /// has room for.
    fn feed(
        &mut self,
        key: OperationKey,
        router: &mut Router,
        open_bytes: &mut usize,
        open_bytes_max: usize,
    ) {
        while self.open_bytes <= open_bytes_max / 4
            && *open_bytes <= open_bytes_max
            && let Some((slot, line, payload)) = self.waiting.claims.pop_front()
        {
            self.open += 1;
            self.open_bytes += payload.len();
            *open_bytes += payload.len();
            let ticket = Ticket { core: router.id, operation: key, line, bytes: payload.len() as u32 };
            router.assert(slot, &self.waiting.payloads[payload], ticket);
        }
        if self.waiting.claims.is_empty() {
            self.waiting = WaitingClaims::default();
        }
    }

    /// Whether claims of an array wait until there is room for them.
    fn has_waiting(&self) -> bool {
        !self.waiting.claims.is_empty()
    }

    /// A claim of this batch is decided.
    pub(super) fn outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        assert!(self.open > 0 && self.open_bytes >= ticket.bytes as usize, "a claim was decided twice");
        self.open -= 1;
        self.open_bytes -= ticket.bytes as usize;
        match outcome {
            Outcome::Created => self.summary.accepted += 1,
            Outcome::Exists => self.summary.exists += 1,
            Outcome::Refused(refusal) => self.summary.reject(ticket.line, refused(refusal)),
            Outcome::Retracted(_) => panic!("a claim of a batch was answered as a retraction"),
        }
    }

    /// The bytes of records that are on their way to the disk.
    pub(super) fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// What became of it, once all has come in and all of it is decided.
    pub(super) fn summary(&self) -> Option<&BatchSummary> {
        (self.ended && self.open == 0 && !self.has_waiting()).then_some(&self.summary)
    }

    /// The first byte that is not white space has come.
    fn begin(&mut self, format: BatchFormat) {
        let Form::Unknown(lines) = std::mem::replace(&mut self.form, Form::Array(Vec::new())) else {
            panic!("a batch begins once")
        };
        match format {
            BatchFormat::Ndjson => self.form = Form::Lines(lines),
            // Its claims are counted by their places, and what stands before it is no part of it.
            BatchFormat::Array => self.lines = 0,
        }
    }

    fn line(&mut self, line: Line<'_>, taking: &mut Taking<'_>) {
        self.lines += 1;
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::Overlong => {
                let message = format!("a line must be at most {} bytes long", self.body_bytes_max);
                return self.reject(ApiError::new(ErrorCode::BodyTooLarge, message), taking.rejected);
            }
        };
        if is_blank(bytes) {
            return;
        }
        let agent = self.agent.take();
        match taking.intake.read(bytes, agent.as_deref(), taking.now) {
            Ok(claim) => self.store(&claim, taking.key, taking.router, taking.open_bytes),
            Err(error) => self.reject(error, taking.rejected),
        }
        self.agent = agent;
    }

    /// Sends a claim, the one of the line just read, on its way.
    fn store(&mut self, claim: &Encoded<'_>, key: OperationKey, router: &mut Router, open_bytes: &mut usize) {
        let bytes = claim.payload.len();
        self.open += 1;
        self.open_bytes += bytes;
        *open_bytes += bytes;
        let ticket = Ticket { core: router.id, operation: key, line: self.lines, bytes: bytes as u32 };
        router.assert(claim.slot, claim.payload, ticket);
    }

    /// The line just read is wrong.
    fn reject(&mut self, error: ApiError, rejected: &mut Counts<ErrorCode>) {
        rejected.increment(error.code);
        self.summary.reject(self.lines, error);
    }
}

impl WaitingClaims {
    fn push(&mut self, claim: &Encoded<'_>, line: u64) {
        let begin = self.payloads.len();
        self.payloads.extend_from_slice(claim.payload);
        self.claims.push_back((claim.slot, line, begin..self.payloads.len()));
    }
}

/// The batches of a core.
impl Room {
    /// Which batch gives way to one more, if there is no other room for it. Where as many are coming in as may, that is the slowest, if it
    /// is slow by any measure: else a few clients who hardly send anything would keep all others out.
    ///
    /// # Errors
    ///
    /// What is told to who comes when there is no room.
    pub(super) fn batch_to_give_way(&self, now: Now) -> Result<Option<OperationKey>, ApiError> {
        if self.batches.keys.len() < BATCHES_MAX {
            return Ok(None);
        }
        let message = "as many batches as may are coming in already; try again in a moment";
        self.slowest_batch(now).map(Some).ok_or_else(|| ApiError::new(ErrorCode::Overloaded, message))
    }

    /// Ends a batch that is slow, so that another finds room.
    pub(super) fn give_way(&mut self, slowest: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let message = format!(
            "the batch came in at less than {} KiB a second while others found no room; lines of it that came whole are stored, and all of it may be sent again",
            GIVES_WAY_BELOW_BYTES_PER_S >> 10
        );
        let error = ApiError::new(ErrorCode::Overloaded, message);
        self.end_batch(slowest, Response::error(&error), now, answers);
    }

    /// The batch whose body has come in slowest of those that have had some time and do not wait for the disk, if it is slow
    /// enough to give way.
    fn slowest_batch(&self, now: Now) -> Option<OperationKey> {
        let bytes_per_s = |key: &OperationKey| {
            let Operation { awaits: Awaits::Batch(batch), started_us, .. } = &self.operations[*key] else {
                panic!("only batches are in the list of batches")
            };
            let age_us = now.monotonic_us.saturating_sub(*started_us);
            let counts = !batch.ended && age_us >= GIVES_WAY_AFTER_US && !self.batches.paused.contains(key);
            counts.then(|| batch.body_bytes.saturating_mul(1_000_000) / age_us)
        };
        let rates = self.batches.keys.iter().filter_map(|key| Some((bytes_per_s(key)?, *key)));
        let slowest = rates.min_by_key(|(bytes_per_s, _)| *bytes_per_s);
        slowest.filter(|(bytes_per_s, _)| *bytes_per_s < GIVES_WAY_BELOW_BYTES_PER_S).map(|(_, key)| key)
    }

    /// Notes a batch whose body will come in.
    pub(super) fn begin_batch(&mut self, asked: Asking, batch: Batch) -> OperationKey {
        let operation = self.begin(asked, Awaits::Batch(Box::new(batch))).operation;
        self.batches.keys.push(operation);
        operation
    }

    /// Whether a batch is still under way: it may have given way to another.
    pub(super) fn has_batch(&self, key: OperationKey) -> bool {
        self.operations.contains_key(key)
    }

    /// Answers a batch.
    fn end_batch(&mut self, key: OperationKey, response: Response, now: Now, answers: &mut Vec<Answer>) {
        self.batches.keys.retain(|other| *other != key);
        self.finish(key, Endpoint::AssertBatch, response, now, answers);
    }

    /// Takes in a piece of a batch.
    pub(super) fn batch_piece(&mut self, key: OperationKey, bytes: &mut [u8], now: Now) {
        let (batch, taking) = self.batch(key, now);
        batch.piece(bytes, taking);
    }

    /// Whether a batch is to wait before its next piece, since too much of it, or of all batches, is on its way to the
    /// disk. It is resumed when there is less.
    pub(super) fn batch_waits(&mut self, key: OperationKey) -> bool {
        let Room { batches, operations, .. } = self;
        if batches.paused.contains(&key) {
            return true;
        }
        let Awaits::Batch(batch) = &operations[key].awaits else { panic!("only batches wait like this") };
        let waits =
            batch.open_bytes() > batches.open_bytes_max / 4 || batches.open_bytes > batches.open_bytes_max;
        if waits {
            batches.paused.push(key);
        }
        waits
    }

    /// The body of a batch is complete.
    pub(super) fn batch_end(&mut self, key: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let (batch, taking) = self.batch(key, now);
        match batch.end(taking) {
            Ok(()) if batch.has_waiting() => self.batches.paused.push(key),
            Ok(()) => self.finish_batch(key, now, answers),
            Err(error) => self.end_batch(key, Response::error(&error), now, answers),
        }
    }

    /// The connection of a batch is gone: what was let in is stored, nobody will be told.
    pub(super) fn forget_batch(&mut self, key: OperationKey) {
        self.operations.remove(key);
        self.batches.keys.retain(|other| *other != key);
        self.batches.paused.retain(|other| *other != key);
    }

    /// Answers a batch if all of it is decided.
    pub(super) fn finish_batch(&mut self, key: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let Some(Operation { awaits: Awaits::Batch(batch), .. }) = self.operations.get_mut(key) else {
            panic!("only a batch is finished as one")
        };
        if let Some(summary) = batch.summary() {
            let response = Response::json(Status::Ok, |out| summary.write_json(out));
            self.end_batch(key, response, now, answers);
        }
    }

    /// Lets batches go on that waited for their claims to reach the disk. True if claims were sent on their way by that.
    pub(super) fn resume_batches(&mut self, answers: &mut Vec<Answer>) -> bool {
        let Room { batches: Batches { paused, open_bytes, open_bytes_max, .. }, operations, router, .. } =
            self;
        if *open_bytes > *open_bytes_max / 2 {
            return false;
        }
        let share_bytes = *open_bytes_max / 8;
        let mut has_fed = false;
        paused.retain(|&key| {
            let operation = &mut operations[key];
            let Awaits::Batch(batch) = &mut operation.awaits else { panic!("only batches pause") };
            if batch.open_bytes() > share_bytes {
                return true;
            }
            if batch.has_waiting() {
                batch.feed(key, router, open_bytes, *open_bytes_max);
                has_fed = true;
                return batch.has_waiting();
            }
            answers.push(Answer { connection: operation.connection, told: Told::Resume });
            false
        });
        has_fed
    }

    fn batch(&mut self, key: OperationKey, now: Now) -> (&mut Batch, Taking<'_>) {
        let Room { operations, intake, router, batches, counters, .. } = self;
        let Some(Operation { awaits: Awaits::Batch(batch), .. }) = operations.get_mut(key) else {
            panic!("a batch that is coming in is under way")
        };
        let taking = Taking {
            key,
            now: now.wall,
            intake,
            router,
            open_bytes: &mut batches.open_bytes,
            open_bytes_max: batches.open_bytes_max,
            rejected: &mut counters.assertions_rejected,
        };
        (batch, taking)
    }
}
