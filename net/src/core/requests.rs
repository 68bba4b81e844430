//! What a core does with each kind of request, and how it answers when all is known.

use std::sync::Arc;

use stemedb_engine::planted::{self, Bug};
use stemedb_engine::query::{Query, SubjectFilter};
use stemedb_engine::shard::{Admission, Outcome, Refusal};
use stemedb_engine::slot::Slot;

use super::Now;
use super::batch::Batch;
use super::clients;
use super::connection::ConnectionKey;
use super::fetches::Unreadable;
use super::lookups::LOOKUPS_MAX;
use super::message::{Message, Ticket};
use super::operation::{Awaits, Operation, OperationKey, StatesPurpose};
use super::queries::WaitingQuery;
use super::response::{Response, condition_failed, refused};
use super::room::{Answer, CoreState, Phase, Room, Told};
use super::states::{STATES_MAX, STATES_TOLD_A_TURN, StatesAnswer};
use crate::api::{self, ApiError, Endpoint, ErrorCode, Health, Method, Rows};
use crate::http::{self, BodyMode, Head, Reject, RequestId, ResponseHead, Status};
use crate::metrics::{self, CoreSnapshot, Read, ServerSnapshot};

/// What single claims of a core's clients may take that are on their way to the disk, here or on another core, in bytes. One that
/// is on its way already takes no room of a lane, so that lanes do not bound them; nor do connections, which come and go.
pub(super) const SINGLES_BYTES_MAX: usize = 64 << 20;

/// What each of them is counted for beside the bytes of its record: what waits for it here and where its slot is.
pub(super) const SINGLE_BYTES: usize = 256;

/// What is to become of a request, as its head decides.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) endpoint: Endpoint,
    pub(super) mode: BodyMode,
    /// The batch that the body belongs to.
    pub(super) batch: Option<OperationKey>,
}

/// Why a request goes no further than its head.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It is answered.
    Answered(Response),
    /// Its connection rejects it.
    Rejected(Reject),
}

impl From<Response> for NotTaken {
    fn from(response: Response) -> NotTaken {
        NotTaken::Answered(response)
    }
}

impl From<ApiError> for NotTaken {
    fn from(error: ApiError) -> NotTaken {
        NotTaken::Answered(Response::error(&error))
    }
}

impl From<Reject> for NotTaken {
    fn from(reason: Reject) -> NotTaken {
        NotTaken::Rejected(reason)
    }
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
        answers: &mut Vec<Answer>,
    ) -> Result<Taken, NotTaken> {
        let (method, path) = (head.method(), head.path());
        if path == "*" {
            return Err(Response::about_the_server().into());
        }
        let endpoint =
            api::route(method, path).map_err(|error| Response::misrouted(error, method, path))?.endpoint;
        let serves_itself =
            matches!(endpoint, Endpoint::Health | Endpoint::Ready | Endpoint::Metrics | Endpoint::ApiDoc);
        if self.phase == Phase::Recovering && !serves_itself {
            return Err(refused(Refusal::Recovering).into());
        }
        let mode = if endpoint == Endpoint::AssertBatch { BodyMode::Stream } else { BodyMode::Whole };
        head.check_body(mode, self.body_bytes_max)?;
        //= RFC 9110 section 13.1.1
        //# An origin server that evaluates an If-Match condition MUST NOT perform the requested method if the
        //# condition evaluates to false.  Instead, the origin server MAY indicate that the conditional request
        //# failed by responding with a 412 (Precondition Failed) status code.
        // A write is answered with that when nothing else is wrong with its head, and its body is not looked at; a read in the
        // place of what was found.
        if endpoint != Endpoint::AssertBatch {
            if head.wants_entity_tag() && matches!(endpoint, Endpoint::Assert | Endpoint::Retract) {
                if endpoint == Endpoint::Assert {
                    agent_field(head)?.map(api::agent_of_header).transpose()?;
                }
                return Err(condition_failed().into());
            }
            return Ok(Taken { endpoint, mode, batch: None });
        }
        let agent = agent_field(head)?;
        agent.map(api::agent_of_header).transpose()?;
        let gives_way = self.batch_to_give_way(now)?;
        if head.wants_entity_tag() {
            return Err(condition_failed().into());
        }
        // Not before it is known that nothing is wrong with the one that takes its place.
        if let Some(slowest) = gives_way {
            self.give_way(slowest, now, answers);
        }
        let asked = Asking::of(connection, request, head, now);
        let batch = Batch::new(agent.map(<[u8]>::to_vec), self.body_bytes_max);
        Ok(Taken { endpoint, mode, batch: Some(self.begin_batch(asked, batch)) })
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
        let asked = Asking::of(connection, request, head, now);
        let begun = match endpoint {
            Endpoint::Assert => self.assert_one(asked, head, body),
            Endpoint::Retract => self.retract(asked, body),
            Endpoint::Assertion => self.assertion(asked, head),
            Endpoint::Health => self.question_states(asked, StatesPurpose::Health),
            Endpoint::Ready => self.question_states(asked, StatesPurpose::Ready),
            Endpoint::Metrics => self.question_states(asked, StatesPurpose::Metrics),
            Endpoint::ApiDoc => {
                let response = Response::json(Status::Ok, |out| out.extend_from_slice(api::OPENAPI_JSON));
                let response = self.within_memory(connection, endpoint, response);
                return Some(response.under_condition(asked.wants_entity_tag));
            }
            Endpoint::AssertBatch => panic!("the body of a batch is streamed"),
            Endpoint::Query => panic!("a query waits for its turn"),
        };
        begun.err().map(|error| {
            if endpoint == Endpoint::Assert {
                self.counters.assertions_rejected.increment(error.code);
            }
            Response::error(&error)
        })
    }

    /// Takes what became of a write that this core asked for.
    pub(super) fn outcome(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        if let Outcome::Retracted(_) | Outcome::Refused(_) = outcome
            && self.retractions.is_asked(ticket)
        {
            return self.retracted(ticket, outcome, now, answers);
        }
        match ticket.admission() {
            Admission::Single => self.singles_open_bytes -= SINGLE_BYTES + ticket.bytes as usize,
            Admission::Stream => self.batches.open_bytes -= ticket.bytes as usize,
        }
        // The operation is gone if its connection broke, or if it was answered with an error already.
        let Some(operation) = self.operations.get_mut(ticket.operation) else { return };
        match &mut operation.awaits {
            Awaits::Assert { .. } => self.asserted(ticket, outcome, now, answers),
            Awaits::Batch(batch) => {
                if let Outcome::Refused(refusal) = outcome {
                    self.counters.assertions_rejected.increment(refused(refusal).code);
                }
                batch.outcome(ticket, outcome);
                self.finish_batch(ticket.operation, now, answers);
            }
            other => panic!("a write was answered to {other:?}"),
        }
    }

    /// Begins to wait for something.
    pub(super) fn begin(&mut self, asked: Asking, awaits: Awaits) -> Ticket {
        let operation = self.operations.insert(asked.operation(awaits));
        Ticket { core: self.router.id, operation, line: 0, bytes: 0 }
    }

    /// Ends an operation with a response.
    pub(super) fn finish(
        &mut self,
        key: OperationKey,
        endpoint: Endpoint,
        response: Response,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        let Operation { connection, request, method, wants_entity_tag, started_us, .. } =
            self.operations.remove(key).expect("an operation is finished once");
        let elapsed_us = now.monotonic_us.saturating_sub(started_us);
        match endpoint {
            Endpoint::Query => self.counters.read(Read::Query, elapsed_us),
            Endpoint::Assertion => self.counters.read(Read::Assertion, elapsed_us),
            _ => {}
        }
        let response = self.within_memory(connection, endpoint, response.under_condition(wants_entity_tag));
        self.clients.answers_bytes += response.body.capacity();
        self.count_answer(method, response.head.status);
        answers.push(Answer { connection, told: Told::Response(request, response) });
    }
}

//= RFC 9110 section 5.3
//# a sender MUST NOT generate multiple field lines with the same name in a message (whether in the headers or trailers) or
//# append a field line when a field line of the same name already exists in the message
/// The header that names the agent of claims which name none. Of several, a proxy may have meant to set one.
fn agent_field(head: &Head) -> Result<Option<&[u8]>, ApiError> {
    head.sole_field("x-agent-id").map_err(|http::Repeated| {
        ApiError::in_field(ErrorCode::InvalidAgentId, "X-Agent-Id", "must be there once, not several times")
    })
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    connection: ConnectionKey,
    request: RequestId,
    method: Option<Method>,
    wants_entity_tag: bool,
    now: Now,
}

impl Asking {
    fn of(connection: ConnectionKey, request: RequestId, head: &Head, now: Now) -> Asking {
        let method = Method::from_name(head.method());
        Asking { connection, request, method, wants_entity_tag: head.wants_entity_tag(), now }
    }

    fn operation(self, awaits: Awaits) -> Operation {
        let Asking { connection, request, method, wants_entity_tag, now } = self;
        Operation { connection, request, method, wants_entity_tag, started_us: now.monotonic_us, awaits }
    }
}

/// One claim.
impl Room {
    fn assert_one(&mut self, asked: Asking, head: &Head, body: &[u8]) -> Result<(), ApiError> {
        let Room { intake, operations, router, singles_open_bytes, .. } = self;
        let claim = intake.read(body, agent_field(head)?, planted::claim_time(asked.now.wall))?;
        let bytes = claim.payload.len();
        if *singles_open_bytes + SINGLE_BYTES + bytes > SINGLES_BYTES_MAX {
            return Err(refused(Refusal::Busy));
        }
        *singles_open_bytes += SINGLE_BYTES + bytes;
        let awaits = Awaits::Assert { hash: claim.hash, timestamp: claim.timestamp };
        let operation = operations.insert(asked.operation(awaits));
        let ticket = Ticket { core: router.id, operation, line: 0, bytes: bytes as u32 };
        router.assert(claim.slot, claim.payload, ticket);
        Ok(())
    }

    fn asserted(&mut self, ticket: Ticket, outcome: Outcome, now: Now, answers: &mut Vec<Answer>) {
        let Awaits::Assert { hash, timestamp } = self.operations[ticket.operation].awaits else {
            panic!("the caller has looked")
        };
        let response = match outcome {
            Outcome::Created => {
                let body = self.spare_bodies.take();
                Response::json_in(body, Status::Created, |out| api::write_created(out, &hash, timestamp))
            }
            Outcome::Exists => Response::json(Status::Ok, |out| api::write_exists(out, &hash)),
            Outcome::Refused(refusal) => {
                let error = refused(refusal);
                self.counters.assertions_rejected.increment(error.code);
                Response::error(&error)
            }
            Outcome::Retracted(_) => panic!("a claim was answered as a retraction"),
        };
        self.finish(ticket.operation, Endpoint::Assert, response, now, answers);
    }
}

/// Queries.
impl Room {
    /// Reads a query. It begins when its connection has its turn.
    pub(super) fn read_query(
        &mut self,
        request: RequestId,
        head: &Head,
        body: &[u8],
        now: Now,
    ) -> Result<WaitingQuery, Response> {
        if self.clients.is_full() {
            return Err(Response::error(&clients::refusal()));
        }
        let (method, wants_entity_tag) = (Method::from_name(head.method()), head.wants_entity_tag());
        let query = if method == Some(Method::Post) {
            api::query_of_body(&mut self.reader, body, now.wall)
        } else {
            let pairs: Vec<_> = head.query_pairs().collect();
            api::query_of_parameters(pairs.iter().map(|(name, value)| (&**name, &**value)), now.wall)
        };
        match query {
            Ok(query) => {
                Ok(WaitingQuery { request, method, wants_entity_tag, asked_us: now.monotonic_us, query })
            }
            Err(error) => Err(Response::error(&error)),
        }
    }

    /// Begins a query of a connection that has none under way.
    pub(super) fn begin_query(&mut self, connection: ConnectionKey, waiting: WaitingQuery) -> OperationKey {
        let WaitingQuery { request, method, wants_entity_tag, asked_us, query } = waiting;
        let owner = match &query.subject {
            SubjectFilter::Exact(path) => Some(self.router.slots.owner(Slot::of(path.as_bytes()))),
            SubjectFilter::Subtree(_) => None,
        };
        let query = Arc::new(query);
        let cores = if owner.is_some() { 1 } else { self.router.slots.cores() };
        let awaits = Awaits::Query { query: Arc::clone(&query), parts: Vec::new() };
        let started_us = asked_us;
        let operation = Operation { connection, request, method, wants_entity_tag, started_us, awaits };
        let operation = self.operations.insert(operation);
        self.queries_asked.begin(operation, cores);
        let ticket = Ticket { core: self.router.id, operation, line: 0, bytes: 0 };
        let message = || Message::Query { ticket, query: Arc::clone(&query) };
        match owner {
            Some(owner) => self.router.send(owner, message()),
            None => self.router.send_all(message),
        }
        operation
    }

    /// The connection of a query is gone: nobody waits for what is found. It counts until all cores have found it.
    pub(super) fn forget_query(&mut self, key: OperationKey) {
        self.operations.remove(key);
    }

    /// One core has found what it has for a query.
    pub(super) fn found(
        &mut self,
        ticket: Ticket,
        rows: Result<Rows, Unreadable>,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        let is_last = self.queries_asked.told(ticket.operation);
        // Gone if its connection broke, or it was answered with an error.
        let Some(operation) = self.operations.get_mut(ticket.operation) else { return };
        let Awaits::Query { query, parts } = &mut operation.awaits else { panic!("rows belong to a query") };
        match rows {
            Ok(rows) => parts.push(rows),
            // What the other cores find comes too late then.
            Err(unreadable) => {
                let response = Response::error(&unreadable.error());
                return self.finish(ticket.operation, Endpoint::Query, response, now, answers);
            }
        }
        if is_last {
            let Query { limit, lens, .. } = **query;
            let body = self.spare_bodies.take();
            let response =
                Response::json_in(body, Status::Ok, |out| api::write_page(out, parts, limit, lens));
            self.finish(ticket.operation, Endpoint::Query, response, now, answers);
        }
    }
}

/// Single claims, by hash.
impl Room {
    fn assertion(&mut self, asked: Asking, head: &Head) -> Result<(), ApiError> {
        let route = api::route(head.method(), head.path()).expect("the request was routed by its head");
        let hash = api::hash_of_path(route.parameter.expect("the pattern has a parameter"))?;
        if self.lookups_asked.len() >= LOOKUPS_MAX {
            let message = "as many claims as may are being looked up already; try again in a moment";
            return Err(ApiError::new(ErrorCode::Overloaded, message));
        }
        let ticket = self.begin(asked, Awaits::Lookup { hash });
        self.lookups_asked.begin(ticket.operation, self.router.slots.cores());
        self.router.send_all(|| Message::Lookup { ticket, hash });
        Ok(())
    }

    /// One core has looked for a claim.
    pub(super) fn looked_up(
        &mut self,
        ticket: Ticket,
        found: Result<Option<Vec<u8>>, Unreadable>,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        let is_last = self.lookups_asked.told(ticket.operation);
        // A claim is on one core only: it is answered when that one has found it.
        let Some(operation) = self.operations.get(ticket.operation) else { return };
        let Awaits::Lookup { hash } = &operation.awaits else {
            panic!("a claim that was looked up belongs to a lookup")
        };
        let response = match found {
            Ok(Some(body)) => Response { head: ResponseHead::json(Status::Ok), body },
            Err(unreadable) => Response::error(&unreadable.error()),
            Ok(None) if !is_last => return,
            Ok(None) => {
                let message = format!("no claim has the hash {hash}");
                let error = ApiError::new(ErrorCode::AssertionNotFound, message);
                Response::error(&error)
            }
        };
        self.finish(ticket.operation, Endpoint::Assertion, response, now, answers);
    }
}

/// Questions about the server.
impl Room {
    fn question_states(&mut self, asked: Asking, purpose: StatesPurpose) -> Result<(), ApiError> {
        if self.state_questions.len() >= STATES_MAX {
            let message =
                "as many questions about the server as may wait for an answer already; try again in a moment";
            return Err(ApiError::new(ErrorCode::Overloaded, message));
        }
        let ticket = self.begin(asked, Awaits::States { purpose });
        self.state_questions.add(ticket.operation);
        Ok(())
    }

    /// Asks all cores how they are, if somebody wants to know and they are not being asked.
    pub(super) fn ask_for_states(&mut self) {
        if self.state_questions.begin() {
            self.router.send_all(|| Message::Snapshot);
        }
    }

    /// One core has told how it is. If it was the last, all who wait are to be answered.
    pub(super) fn snapped(&mut self, state: CoreState, now: Now) {
        let Some((waiting, states)) = self.state_questions.told(state, self.router.slots.cores()) else {
            return;
        };
        let purpose_of = |key: &OperationKey| match self.operations[*key].awaits {
            Awaits::States { purpose } => purpose,
            _ => panic!("states belong to a question about the server"),
        };
        let waiting: Vec<_> = waiting.into_iter().map(|key| (purpose_of(&key), key)).collect();
        // The same for all, however many ask at once.
        for purpose in [StatesPurpose::Health, StatesPurpose::Ready, StatesPurpose::Metrics] {
            let mut keys = waiting.iter().filter(|asked| asked.0 == purpose).map(|asked| asked.1).peekable();
            if keys.peek().is_none() {
                continue;
            }
            let (endpoint, response) = match purpose {
                StatesPurpose::Health => (Endpoint::Health, self.health(&states, now)),
                StatesPurpose::Ready => (Endpoint::Ready, ready(&states)),
                StatesPurpose::Metrics => (Endpoint::Metrics, self.metrics(&states, now)),
            };
            self.state_questions.answer(keys, endpoint, response);
        }
    }

    /// Answers those for whom all cores have told how they are, as many as may be answered in a turn.
    pub(super) fn tell_states(&mut self, now: Now, answers: &mut Vec<Answer>) {
        for _ in 0..STATES_TOLD_A_TURN {
            let Some(StatesAnswer { key, endpoint, response }) = self.state_questions.next_answer() else {
                return;
            };
            // The last of those who asked together takes the original.
            self.finish(key, endpoint, Arc::unwrap_or_clone(response), now, answers);
        }
    }

    fn health(&self, states: &[CoreState], now: Now) -> Response {
        let held: u64 = states.iter().map(|core| core.figures.assertions).sum();
        let health = Health {
            uptime_s: now.monotonic_us as f64 / 1e6,
            assertions: held + u64::from(planted::is(Bug::MiscountHeld)),
            cores: states.len() as u16,
            generation: self.log.generation,
            is_recovering: states.iter().any(|core| core.phase == Phase::Recovering),
            lanes_failed: states.iter().filter(|core| core.figures.lane_failed).count() as u16,
            upkeep_failed: self.log.upkeep.snapshot().has_ended,
            damage: self.log.upkeep.damage(),
        };
        Response::json(Status::Ok, |out| health.write_json(out))
    }

    fn metrics(&self, states: &[CoreState], now: Now) -> Response {
        let server = ServerSnapshot {
            recovery_us: self.log.recovery_us,
            restarts: u64::from(self.log.generation.saturating_sub(1)),
            segments_given_up: self.log.segments_given_up,
            ready: unready(states).is_none(),
            process: (self.process)(),
            upkeep: self.log.upkeep.snapshot(),
            snapshots: self.log.snapshots.figures(),
            tls: self.tls,
            jobs: self.log.jobs.all(),
            now_unix_s: now.wall.0.max(0).unsigned_abs() / 1_000_000,
        };
        let mut figures: Vec<&CoreSnapshot> = states.iter().map(|state| &state.figures).collect();
        figures.sort_by_key(|figures| figures.core);
        let mut response = Response::json(Status::Ok, |out| metrics::render(out, &server, &figures));
        response.head.content_type = metrics::CONTENT_TYPE;
        response
    }
}

fn ready(states: &[CoreState]) -> Response {
    match unready(states) {
        None => Response::json(Status::Ok, |out| out.extend_from_slice(api::READY_JSON)),
        Some(problem) => Response::error(&problem),
    }
}

/// Why the server should not be sent requests now, if there is a reason.
fn unready(states: &[CoreState]) -> Option<ApiError> {
    let in_phase = |phase| states.iter().any(|core| core.phase == phase);
    let (code, message) = if states.iter().any(|core| core.figures.lane_failed) {
        (ErrorCode::NotReady, "a lane of the log has failed; a restart is needed")
    } else if in_phase(Phase::Recovering) {
        (ErrorCode::NotReady, "the log is being recovered")
    } else if in_phase(Phase::Draining) {
        (ErrorCode::ShuttingDown, "the server is stopping")
    } else {
        return None;
    };
    Some(ApiError::new(code, message))
}
