//! What a core does with each kind of request, and how it answers when all is known.

use std::sync::Arc;

use stemedb_engine::claim::{ClaimHash, ConceptPath, Reason};
use stemedb_engine::shard::{Admission, Outcome, Refusal};
use stemedb_engine::slot::Slot;
use stemedb_engine::time::UnixMicros;

use super::Now;
use super::batch::{Batch, Form};
use super::connection::ConnectionKey;
use super::lines::{Line, Lines};
use super::message::{Message, RetractRequest, Ticket};
use super::operation::{Awaits, Operation, OperationKey, SnapshotPurpose};
use super::room::{Answer, BATCHES_MAX, Phase, Response, Room};
use crate::api::routes::{self, Endpoint};
use crate::api::{self, ApiError, AssertContext, ErrorCode};
use crate::http::{BodyMode, Head, RequestId, ResponseHead};

impl Room {
    /// Decides by its head what a request is for and how its body is wanted.
    pub(super) fn head(&self, head: &Head) -> Result<(Endpoint, BodyMode), Response> {
        let endpoint = routes::find(head.method(), head.path()).map_err(|miss| Response::not_found(&miss))?;
        if self.phase == Phase::Recovering && !endpoint.is_about_the_server() {
            return Err(Response::error(&refused(Refusal::Recovering)));
        }
        let mode = if endpoint == Endpoint::AssertBatch { BodyMode::Stream } else { BodyMode::Whole };
        Ok((endpoint, mode))
    }

    /// Does what a request asks for. Answers at once where nothing has to be waited for.
    pub(super) fn request(
        &mut self,
        connection: ConnectionKey,
        request: RequestId,
        endpoint: Endpoint,
        head: &Head,
        body: &mut [u8],
        now: Now,
    ) -> Option<Response> {
        let asked = Asked { connection, request, now };
        let done = match endpoint {
            Endpoint::Assert => self.assert_one(asked, head, body),
            Endpoint::Query => self.query(asked, head, body),
            Endpoint::Retract => self.retract(asked, body),
            Endpoint::Assertion => self.assertion(asked, head.path()),
            Endpoint::Health => Ok(self.ask_all_for_snapshot(asked, SnapshotPurpose::Health)),
            Endpoint::Ready => Ok(self.ask_all_for_snapshot(asked, SnapshotPurpose::Ready)),
            Endpoint::Metrics => Ok(self.ask_all_for_snapshot(asked, SnapshotPurpose::Metrics)),
            Endpoint::OpenApi => return Some(Response::json(api::OPENAPI.as_bytes().to_vec())),
            Endpoint::AssertBatch => panic!("the body of a batch is streamed"),
        };
        done.err().map(|error| self.rejected(&error))
    }
}

/// Who asked, and when.
#[derive(Debug, Clone, Copy)]
struct Asked {
    connection: ConnectionKey,
    request: RequestId,
    now: Now,
}

/// One claim.
impl Room {
    fn assert_one(&mut self, asked: Asked, head: &Head, body: &[u8]) -> Result<(), ApiError> {
        let agent = head.field("x-agent-id").map(api::agent_of_header).transpose()?;
        let context =
            AssertContext { now: asked.now.wall, future_us_max: self.timestamp_future_us_max, agent };
        self.payload.clear();
        let request = self.reader.read(body, &context)?;
        let slot = Slot::of(request.claim.subject.as_str().as_bytes());
        let timestamp = request.claim.timestamp.unix_micros();
        let hash = request.encode(&mut self.payload)?;
        let ticket = self.begin(asked, Awaits::Assert { hash, timestamp });
        self.assert(slot, ticket, Admission::Single);
        Ok(())
    }

    fn asserted(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        let operation = self.operations.remove(ticket.operation).expect("the caller has found it");
        let Awaits::Assert { hash, timestamp } = operation.awaits else {
            panic!("{:?} does not wait for one claim", operation.awaits)
        };
        let response = match outcome {
            Outcome::Created => Response::created(api::asserted(&hash, Some(timestamp))),
            Outcome::Exists => Response::json(api::asserted(&hash, None)),
            Outcome::Refused(refusal) => self.rejected(&refused(refusal)),
            Outcome::Retracted(_) => panic!("a claim was answered as a retraction"),
        };
        self.answer(&operation, response, now, answers);
    }
}

/// Batches.
impl Room {
    /// Begins to take in a batch.
    pub(super) fn begin_batch(
        &mut self,
        connection: ConnectionKey,
        request: RequestId,
        head: &Head,
        now: Now,
    ) -> Result<OperationKey, Response> {
        if self.batches >= BATCHES_MAX {
            return Err(self.rejected(&refused(Refusal::Busy)));
        }
        let agent = match head.field("x-agent-id").map(api::agent_of_header).transpose() {
            Ok(agent) => agent,
            Err(error) => return Err(self.rejected(&error)),
        };
        let agent = head.field("x-agent-id").map(<[u8]>::to_vec);
        self.batches += 1;
        let asked = Asked { connection, request, now };
        Ok(self.begin(asked, Awaits::Batch(Box::new(Batch::new(agent)))).operation)
    }

    /// Takes in a piece of a batch. True when the connection is to wait before the next piece.
    pub(super) fn batch_chunk(&mut self, key: OperationKey, bytes: &mut [u8], now: Now) -> bool {
        let mut batch = self.take_batch(key);
        if let Form::Unknown = batch.form {
            match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => {}
                Some(b'[') => batch.form = Form::Array(Vec::new()),
                Some(_) => batch.form = Form::Lines(Lines::new(self.body_bytes_max)),
            }
        }
        match std::mem::replace(&mut batch.form, Form::Unknown) {
            Form::Unknown => {}
            Form::Lines(mut lines) => {
                lines.push(bytes, |line| self.batch_line(key, &mut batch, line, now));
                batch.form = Form::Lines(lines);
            }
            Form::Array(mut array) => {
                // What is beyond the limit is not kept, but one byte, by which the end will know.
                let room = self.body_bytes_max + 1 - array.len();
                array.extend_from_slice(&bytes[..bytes.len().min(room)]);
                batch.form = Form::Array(array);
            }
        }
        batch.paused = batch.open_bytes() > self.batch_bytes_open_max / 4
            || self.batch_bytes_open > self.batch_bytes_open_max;
        let paused = batch.paused;
        if paused {
            self.paused.push(key);
        }
        self.put_batch(key, batch);
        paused
    }

    /// The body of a batch is complete.
    pub(super) fn batch_end(&mut self, key: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let mut batch = self.take_batch(key);
        match std::mem::replace(&mut batch.form, Form::Unknown) {
            Form::Unknown => {}
            Form::Lines(mut lines) => lines.finish(|line| self.batch_line(key, &mut batch, line, now)),
            Form::Array(array) => {
                if let Err(error) = self.batch_array(key, &mut batch, &array, now) {
                    let operation = self.operations.remove(key).expect("a batch that is coming in is known");
                    self.batches -= 1;
                    let response = self.rejected(&error);
                    self.answer(&operation, response, now, answers);
                    return;
                }
            }
        }
        batch.ended = true;
        self.put_batch(key, batch);
        self.finish_batch(key, now, answers);
    }

    /// The connection of a batch is gone: what was let in is stored, nobody will be told.
    pub(super) fn forget(&mut self, key: OperationKey) {
        if self.operations.remove(key).is_some() {
            self.batches -= 1;
        }
    }

    fn batch_line(&mut self, key: OperationKey, batch: &mut Batch, line: Line<'_>, now: Now) {
        let number = batch.next_line();
        let bytes = match line {
            Line::Overlong => {
                let message = format!("a line must be at most {} bytes", self.body_bytes_max);
                return batch.reject(number, ApiError::new(ErrorCode::BodyTooLarge, message));
            }
            Line::Whole(bytes) => bytes.trim_ascii(),
        };
        if bytes.is_empty() {
            return;
        }
        let context = AssertContext {
            now: now.wall,
            future_us_max: self.timestamp_future_us_max,
            agent: batch.agent(),
        };
        self.payload.clear();
        let read = self.reader.read(bytes, &context).and_then(|request| {
            let slot = Slot::of(request.claim.subject.as_str().as_bytes());
            request.encode(&mut self.payload).map(|_| slot)
        });
        self.batch_claim(key, batch, number, read);
    }

    fn batch_array(
        &mut self,
        key: OperationKey,
        batch: &mut Batch,
        array: &[u8],
        now: Now,
    ) -> Result<(), ApiError> {
        // The reader lends out claims while the room takes them in, so it stands outside for the time being.
        let mut reader = std::mem::replace(&mut self.reader, ClaimReader::new(0));
        let agent = batch.agent.clone();
        let context = AssertContext {
            now: now.wall,
            future_us_max: self.timestamp_future_us_max,
            agent: agent.as_deref().map(known_agent),
        };
        let read = reader.read_array(array, &context, |_, claim| {
            let number = batch.next_line();
            self.payload.clear();
            let encoded = claim.and_then(|request| {
                let slot = Slot::of(request.claim.subject.as_str().as_bytes());
                request.encode(&mut self.payload).map(|_| slot)
            });
            self.batch_claim(key, batch, number, encoded);
        });
        self.reader = reader;
        read.map(|_| ())
    }

    fn batch_claim(
        &mut self,
        key: OperationKey,
        batch: &mut Batch,
        number: u64,
        encoded: Result<Slot, ApiError>,
    ) {
        match encoded {
            Ok(slot) => {
                let bytes = self.payload.len() as u32;
                batch.opened(bytes);
                self.batch_bytes_open += self.payload.len();
                let ticket = Ticket { core: self.id, operation: key, line: number, bytes };
                self.assert(slot, ticket, Admission::Stream);
            }
            Err(error) => {
                self.counters.note_rejected_claim(error.code);
                batch.reject(number, error);
            }
        }
    }

    /// What became of a claim of a batch.
    fn batch_outcome(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        self.batch_bytes_open -= ticket.bytes as usize;
        // The batch is gone if its connection is.
        let Some(operation) = self.operations.get_mut(ticket.operation) else { return };
        let Awaits::Batch(batch) = &mut operation.awaits else {
            panic!("{:?} does not wait for a batch", operation.awaits)
        };
        batch.closed(ticket, outcome);
        self.finish_batch(ticket.operation, now, answers);
    }

    /// Answers a batch if all of it is decided.
    fn finish_batch(&mut self, key: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let Some(Operation { awaits: Awaits::Batch(batch), .. }) = self.operations.get(key) else {
            panic!("only a batch is finished as one")
        };
        if !batch.is_done() {
            return;
        }
        let operation = self.operations.remove(key).expect("it was just there");
        self.batches -= 1;
        let Operation { awaits: Awaits::Batch(batch), connection, request, started_us } = operation else {
            panic!("it was just a batch")
        };
        let mut body = Vec::new();
        api::push_batch_report(&mut body, &batch.report());
        self.answer(connection, request, started_us, Endpoint::AssertBatch, Response::json(body), now, answers);
    }

    /// Lets batches go on that waited for their claims to reach the disk.
    pub(super) fn resume_batches(&mut self, answers: &mut Vec<Answer>) {
        if self.paused.is_empty() || self.batch_bytes_open > self.batch_bytes_open_max / 2 {
            return;
        }
        let share = self.batch_bytes_open_max / 8;
        let operations = &mut self.operations;
        self.paused.retain(|&key| {
            let Some(operation) = operations.get_mut(key) else { return false };
            let Awaits::Batch(batch) = &mut operation.awaits else { panic!("only batches pause") };
            if batch.open_bytes() > share {
                return true;
            }
            batch.paused = false;
            let Operation { connection, request, .. } = *operation;
            answers.push(Answer { connection, request, response: None });
            false
        });
    }

    fn take_batch(&mut self, key: OperationKey) -> Box<Batch> {
        todo!()
    }
}
