//! What a core does with each kind of request, and how it answers when all is known.

use std::sync::Arc;

use stemedb_engine::claim::ClaimHash;
use stemedb_engine::claim::hex;
use stemedb_engine::query::{Query, SubjectFilter};
use stemedb_engine::shard::{Admission, Outcome, Refusal};
use stemedb_engine::slot::Slot;

use super::Now;
use super::batch::{Batch, Taking};
use super::connection::ConnectionKey;
use super::message::{Message, RetractRequest, Ticket};
use super::operation::{Awaits, Operation, OperationKey, SnapshotPurpose};
use super::response::{Response, refused};
use super::room::{Answer, Phase, Room, Told};
use crate::api::{self, ApiError, Endpoint, ErrorCode, Rows};
use crate::http::{BodyMode, Head, RequestId, ResponseHead, Status};
use crate::metrics::{self, CoreSnapshot};

/// Batches whose bodies may be coming in at once on one core.
const BATCHES_MAX: usize = 64;

/// What is to become of a request, as its head decides.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) endpoint: Endpoint,
    pub(super) mode: BodyMode,
    /// The batch that the body belongs to.
    pub(super) batch: Option<OperationKey>,
}

/// Requests, from their heads on.
impl Room {
    /// Decides by its head what a request is for and how its body is wanted.
    pub(super) fn head(
        &mut self,
        connection: ConnectionKey,
        request: RequestId,
        head: &Head,
        now: Now,
    ) -> Result<Taken, Response> {
        let (method, path) = (head.method(), head.path());
        let endpoint = api::route(method, path).map_err(|error| Response::misrouted(error, method, path))?.endpoint;
        let serves_itself =
            matches!(endpoint, Endpoint::Health | Endpoint::Ready | Endpoint::Metrics | Endpoint::ApiDoc);
        if self.phase == Phase::Recovering && !serves_itself {
            return Err(Response::error(&refused(Refusal::Recovering)));
        }
        if endpoint != Endpoint::AssertBatch {
            return Ok(Taken { endpoint, mode: BodyMode::Whole, batch: None });
        }
        let agent = head.field("x-agent-id");
        agent.map(api::agent_of_header).transpose().map_err(|error| Response::error(&error))?;
        if self.batches.count >= BATCHES_MAX {
            return Err(Response::error(&refused(Refusal::Busy)));
        }
        self.batches.count += 1;
        let batch = Batch::new(agent.map(<[u8]>::to_vec), self.body_bytes_max);
        let ticket = self.begin(connection, request, now, Awaits::Batch(Box::new(batch)));
        Ok(Taken { endpoint, mode: BodyMode::Stream, batch: Some(ticket.operation) })
    }

    /// Does what a request asks for. Answers at once where nothing has to be waited for.
    pub(super) fn request(
        &mut self,
        connection: ConnectionKey,
        request: RequestId,
        endpoint: Endpoint,
        head: &Head,
        body: &[u8],
        now: Now,
    ) -> Option<Response> {
        let asked = Asked { connection, request, now };
        let begun = match endpoint {
            Endpoint::Assert => self.assert_one(asked, head, body),
            Endpoint::Query => self.query(asked, head, body),
            Endpoint::Retract => self.retract(asked, body),
            Endpoint::Assertion => self.assertion(asked, head),
            Endpoint::Health => self.ask_for_snapshots(asked, SnapshotPurpose::Health),
            Endpoint::Ready => self.ask_for_snapshots(asked, SnapshotPurpose::Ready),
            Endpoint::Metrics => self.ask_for_snapshots(asked, SnapshotPurpose::Metrics),
            Endpoint::ApiDoc => {
                return Some(Response::json(Status::Ok, |out| out.extend_from_slice(api::OPENAPI.as_bytes())));
            }
            Endpoint::AssertBatch => panic!("the body of a batch is streamed"),
        };
        begun.err().map(|error| {
            self.counters.note_error(endpoint, error.code);
            Response::error(&error)
        })
    }

    /// Takes what became of a write that this core asked for.
    pub(super) fn outcome(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        self.batches.open_bytes -= ticket.bytes as usize;
        // The operation is gone if its connection broke, or if it was answered with an error already.
        let Some(operation) = self.operations.get_mut(ticket.operation) else { return };
        match &mut operation.awaits {
            Awaits::Assert { .. } => self.asserted(ticket, outcome, now, answers),
            Awaits::Batch(batch) => {
                batch.outcome(ticket, outcome);
                self.finish_batch(ticket.operation, now, answers);
            }
            Awaits::Retract { .. } => self.retracted(ticket, outcome, now, answers),
            other => panic!("a write was answered to {other:?}"),
        }
    }

    /// Ends an operation with a response.
    fn finish(
        &mut self,
        key: OperationKey,
        endpoint: Endpoint,
        response: Response,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        let Operation { connection, request, started_us, .. } =
            self.operations.remove(key).expect("an operation is finished once");
        self.counters.note_answer(endpoint, now.monotonic_us.saturating_sub(started_us));
        answers.push(Answer { connection, told: Told::Response(request, response) });
    }
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
struct Asked {
    connection: ConnectionKey,
    request: RequestId,
    now: Now,
}

/// One claim.
impl Room {
    fn assert_one(&mut self, asked: Asked, head: &Head, body: &[u8]) -> Result<(), ApiError> {
        let Room { intake, operations, router, .. } = self;
        let claim = intake.read(body, head.field("x-agent-id"), asked.now.wall)?;
        let operation = operations.insert(Operation {
            connection: asked.connection,
            request: asked.request,
            started_us: asked.now.monotonic_us,
            awaits: Awaits::Assert { hash: claim.hash, timestamp: claim.timestamp },
        });
        let ticket = Ticket { core: router.id, operation, line: 0, bytes: 0 };
        router.assert(claim.slot, claim.payload, ticket, Admission::Single);
        Ok(())
    }

    fn asserted(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        let Awaits::Assert { hash, timestamp } = self.operations[ticket.operation].awaits else {
            panic!("the caller has looked")
        };
        let response = match outcome {
            Outcome::Created => Response::json(Status::Created, |out| api::write_created(out, &hash, timestamp)),
            Outcome::Exists => Response::json(Status::Ok, |out| api::write_exists(out, &hash)),
            Outcome::Refused(refusal) => self.refused(Endpoint::Assert, refusal),
            Outcome::Retracted(_) => panic!("a claim was answered as a retraction"),
        };
        self.finish(ticket.operation, Endpoint::Assert, response, now, answers);
    }

    fn refused(&mut self, endpoint: Endpoint, refusal: Refusal) -> Response {
        let error = refused(refusal);
        self.counters.note_error(endpoint, error.code);
        Response::error(&error)
    }
}

/// Batches.
impl Room {
    /// Takes in a piece of a batch. True when the connection is to wait before the next piece.
    pub(super) fn batch_piece(&mut self, key: OperationKey, bytes: &mut [u8], now: Now) -> bool {
        let (batch, taking) = self.batch(key, now);
        batch.piece(bytes, taking);
        let open_bytes = batch.open_bytes();
        let batches = &mut self.batches;
        let pause =
            open_bytes > batches.open_bytes_max / 4 || batches.open_bytes > batches.open_bytes_max;
        if pause {
            batches.paused.push(key);
        }
        pause
    }

    /// The body of a batch is complete.
    pub(super) fn batch_end(&mut self, key: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let (batch, taking) = self.batch(key, now);
        match batch.end(taking) {
            Ok(()) => self.finish_batch(key, now, answers),
            Err(error) => {
                self.batches.count -= 1;
                self.counters.note_error(Endpoint::AssertBatch, error.code);
                self.finish(key, Endpoint::AssertBatch, Response::error(&error), now, answers);
            }
        }
    }

    /// The connection of a batch is gone: what was let in is stored, nobody will be told.
    pub(super) fn forget_batch(&mut self, key: OperationKey) {
        if self.operations.remove(key).is_some() {
            self.batches.count -= 1;
        }
    }

    /// Answers a batch if all of it is decided.
    fn finish_batch(&mut self, key: OperationKey, now: Now, answers: &mut Vec<Answer>) {
        let Some(Operation { awaits: Awaits::Batch(batch), .. }) = self.operations.get_mut(key) else {
            panic!("only a batch is finished as one")
        };
        if let Some(report) = batch.report() {
            self.batches.count -= 1;
            self.counters.note_lines_rejected(&report);
            let response = Response::json(Status::Ok, |out| report.write_json(out));
            self.finish(key, Endpoint::AssertBatch, response, now, answers);
        }
    }

    /// Lets batches go on that waited for their claims to reach the disk.
    pub(super) fn resume_batches(&mut self, answers: &mut Vec<Answer>) {
        let Room { batches, operations, .. } = self;
        if batches.open_bytes > batches.open_bytes_max / 2 {
            return;
        }
        let share_bytes = batches.open_bytes_max / 8;
        batches.paused.retain(|&key| {
            // Gone if the connection broke.
            let Some(operation) = operations.get(key) else { return false };
            let Awaits::Batch(batch) = &operation.awaits else { panic!("only batches pause") };
            let waits = batch.open_bytes() > share_bytes;
            if !waits {
                answers.push(Answer { connection: operation.connection, told: Told::Resume });
            }
            waits
        });
    }

    fn batch(&mut self, key: OperationKey, now: Now) -> (&mut Batch, Taking<'_>) {
        let Room { operations, intake, router, batches, .. } = self;
        let Some(Operation { awaits: Awaits::Batch(batch), .. }) = operations.get_mut(key) else {
            panic!("a batch that is coming in is under way")
        };
        (batch, Taking { key, now: now.wall, intake, router, open_bytes: &mut batches.open_bytes })
    }
}

/// Retractions.
impl Room {
    fn retract(&mut self, asked: Asked, body: &[u8]) -> Result<(), ApiError> {
        let request = api::RetractRequest::read(&mut self.reader, body)?;
        let owner = self.router.slots.owner(Slot::of(request.path.as_str().as_bytes()));
        let request = Box::new(RetractRequest {
            path: request.path.as_str().to_owned(),
            reason: request.reason.as_str().to_owned(),
        });
        let awaits = Awaits::Retract { open: self.router.slots.cores(), retracted: 0 };
        let ticket = self.begin(asked.connection, asked.request, asked.now, awaits);
        self.router.send(owner, Message::Retract { ticket, request });
        Ok(())
    }

    /// One core has done its part of a retraction, or cannot.
    fn retracted(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        let Awaits::Retract { open, retracted } = &mut self.operations[ticket.operation].awaits else {
            panic!("the caller has looked")
        };
        let response = match outcome {
            Outcome::Retracted(claims) => {
                *retracted += claims;
                *open -= 1;
                if *open > 0 {
                    return;
                }
                let retracted = *retracted;
                Response::json(Status::Ok, |out| api::write_retracted(out, retracted))
            }
            Outcome::Refused(refusal) => self.refused(Endpoint::Retract, refusal),
            Outcome::Created | Outcome::Exists => panic!("a retraction was answered as a claim"),
        };
        self.finish(ticket.operation, Endpoint::Retract, response, now, answers);
    }
}

/// Queries.
impl Room {
    fn query(&mut self, asked: Asked, head: &Head, body: &[u8]) -> Result<(), ApiError> {
        let now = asked.now.wall;
        let query = if head.method() == "POST" {
            api::query_of_body(&mut self.reader, body, now)?
        } else {
            let pairs: Vec<(String, String)> = head.query_pairs().collect();
            api::query_of_parameters(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())), now)?
        };
        let owner = match &query.subject {
            SubjectFilter::Exact(path) => Some(self.router.slots.owner(Slot::of(path.as_bytes()))),
            SubjectFilter::Subtree(_) => None,
        };
        let query = Arc::new(query);
        let open = if owner.is_some() { 1 } else { self.router.slots.cores() };
        let awaits = Awaits::Query { query: Arc::clone(&query), parts: Vec::new(), open };
        let ticket = self.begin(asked.connection, asked.request, asked.now, awaits);
        let message = || Message::Query { ticket, query: Arc::clone(&query) };
        match owner {
            Some(owner) => self.router.send(owner, message()),
            None => self.router.send_all(message),
        }
        Ok(())
    }

    /// One core has found what it has for a query.
    pub(super) fn found(&mut self, ticket: Ticket, rows: Rows, now: Now, answers: &mut Vec<Answer>) {
        let Awaits::Query { query, parts, open } = &mut self.operations[ticket.operation].awaits else {
            panic!("rows belong to a query")
        };
        parts.push(rows);
        *open -= 1;
        if *open == 0 {
            let Query { limit, lens, .. } = **query;
            let response = Response::json(Status::Ok, |out| api::write_page(out, parts, limit, lens));
            self.finish(ticket.operation, Endpoint::Query, response, now, answers);
        }
    }
}

/// Single claims, by hash.
impl Room {
    fn assertion(&mut self, asked: Asked, head: &Head) -> Result<(), ApiError> {
        let route = api::route(head.method(), head.path()).expect("the request was routed by its head");
        let hash = ClaimHash(hash_of_path(route.parameter.expect("the pattern has a parameter"))?);
        let awaits = Awaits::Lookup { hash, body: None, open: self.router.slots.cores() };
        let ticket = self.begin(asked.connection, asked.request, asked.now, awaits);
        self.router.send_all(|| Message::Lookup { ticket, hash });
        Ok(())
    }

    /// One core has looked for a claim.
    pub(super) fn looked_up(
        &mut self,
        ticket: Ticket,
        found: Option<Vec<u8>>,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        let Awaits::Lookup { hash, body, open } = &mut self.operations[ticket.operation].awaits else {
            panic!("a claim that was looked up belongs to a lookup")
        };
        *open -= 1;
        *body = body.take().or(found);
        if *open > 0 {
            return;
        }
        let response = match body.take() {
            Some(body) => Response { head: ResponseHead::json(Status::Ok), body },
            None => {
                let message = format!("no claim has the hash {hash}");
                let error = ApiError::new(ErrorCode::AssertionNotFound, message);
                self.counters.note_error(Endpoint::Assertion, error.code);
                Response::error(&error)
            }
        };
        self.finish(ticket.operation, Endpoint::Assertion, response, now, answers);
    }
}

/// Questions about the server.
impl Room {
    fn ask_for_snapshots(&mut self, asked: Asked, purpose: SnapshotPurpose) -> Result<(), ApiError> {
        let awaits = Awaits::Snapshots { purpose, snapshots: Vec::new(), open: self.router.slots.cores() };
        let ticket = self.begin(asked.connection, asked.request, asked.now, awaits);
        self.router.send_all(|| Message::Snapshot { ticket });
        Ok(())
    }

    /// One core has told how it is.
    pub(super) fn snapped(
        &mut self,
        ticket: Ticket,
        snapshot: CoreSnapshot,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        let Awaits::Snapshots { purpose, snapshots, open } = &mut self.operations[ticket.operation].awaits else {
            panic!("a snapshot belongs to a question about the server")
        };
        snapshots.push(snapshot);
        *open -= 1;
        if *open > 0 {
            return;
        }
        let uptime_us = now.wall.0.saturating_sub(self.started.0).max(0) as u64;
        let (purpose, snapshots) = (*purpose, std::mem::take(snapshots));
        let (endpoint, response) = match purpose {
            SnapshotPurpose::Health => {
                let health = metrics::health(&snapshots, uptime_us);
                (Endpoint::Health, Response::json(Status::Ok, |out| health.write_json(out)))
            }
            SnapshotPurpose::Ready => (Endpoint::Ready, ready(&snapshots)),
            SnapshotPurpose::Metrics => {
                let mut response = Response::json(Status::Ok, |out| metrics::write_text(out, &snapshots, uptime_us));
                response.head.content_type = metrics::CONTENT_TYPE;
                (Endpoint::Metrics, response)
            }
        };
        self.finish(ticket.operation, endpoint, response, now, answers);
    }
}

fn ready(snapshots: &[CoreSnapshot]) -> Response {
    let problem = if snapshots.iter().any(|core| core.lane_failed) {
        Some((ErrorCode::StorageFailed, "a lane of the log has failed; a restart is needed"))
    } else if snapshots.iter().any(|core| core.phase == Phase::Recovering) {
        Some((ErrorCode::NotReady, "the log is being recovered"))
    } else if snapshots.iter().any(|core| core.phase == Phase::Draining) {
        Some((ErrorCode::ShuttingDown, "the server is stopping"))
    } else {
        None
    };
    match problem {
        None => Response::json(Status::Ok, |out| out.extend_from_slice(api::READY_JSON)),
        Some((code, message)) => {
            let mut response = Response::error(&ApiError::new(code, message));
            response.head.status = Status::ServiceUnavailable;
            response
        }
    }
}

fn hash_of_path(text: &str) -> Result<[u8; 32], ApiError> {
    hex::decode(stemedb_engine::claim::Field::AssertionHash, text)
        .map_err(|error| ApiError::new(ErrorCode::InvalidHash, error.to_string()))
}
