//! Everything of a core but its connections: requests under way, the shard, messages, counters.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::SlotMap;
use stemedb_engine::checkpoint::{TableSet, UpkeepFacts};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::{LaneWrite, WriteId};
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::shard::{Done, Shard};
use stemedb_engine::slot::{CoreId, SlotMap as Slots};
use stemedb_engine::snapshots::{Piece, SnapshotFacts};

use super::Now;
use super::asked::Asked;
use super::clients::Clients;
use super::connection::ConnectionKey;
use super::fetches::{FetchKey, Fetched, Fetches, TableRead, Unreadable, Waiter};
use super::intake::Intake;
use super::lookups::{LOOKUP_BYTES_A_TURN, LOOKUPS_A_TURN, Lookup, Lookups};
use super::message::{Message, Ticket};
use super::operation::{Operation, OperationKey};
use super::queries::{CLAIMS_A_TURN, HITS_A_TURN, Progress, QUERIES_A_TURN, RunningQuery};
use super::response::{Response, SpareBodies};
use super::retractions::Retractions;
use super::router::Router;
use super::snapshot::Snapshotting;
use super::states::StateQuestions;
use crate::api::Method;
use crate::http::{self, RequestId, Status};
use crate::json;
use crate::metrics::{CoreSnapshot, HttpOutcome, ProcessFigures, TlsSnapshot};
use crate::run_status::JobFacts;
use crate::tls::Credentials;

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
    /// Asks how the process is, which is no matter of a core; must not wait for anything.
    pub process: fn() -> ProcessFigures,
    /// By what the core proves who it is, if it speaks TLS.
    pub tls: Option<Credentials>,
    /// Bytes that the core's part of the log may take on disk before writes are refused until some of it is in tables.
    pub wal_bytes_max: u64,
    /// Bytes that connections may hold together: what came in and was not read yet, and answers that were not taken.
    pub clients_bytes_max: usize,
}

/// What is known of the log once it is recovered.
#[derive(Debug, Clone, Default)]
pub struct LogFacts {
    /// How long recovery took, in microseconds.
    pub recovery_us: u64,
    /// The generation that this start has opened.
    pub generation: u32,
    /// Segments of the core's lane.
    pub segments: u64,
    /// Bytes of their files.
    pub segment_bytes: u64,
    /// Bytes of each further segment.
    pub segment_bytes_each: u64,
    /// Segments that were lost and given up, ever.
    pub segments_given_up: u64,
    /// What is done to keep log and tables in order.
    pub upkeep: UpkeepFacts,
    /// How backups and what belongs to them went.
    pub jobs: JobFacts,
    /// What is known of snapshots of the indexes.
    pub snapshots: SnapshotFacts,
    /// The tables that are in force when the core opens, which keeps them where it is told of others.
    pub tables: Arc<TableSet>,
}

/// How a core is.
#[derive(Debug, Clone)]
pub struct CoreState {
    /// Where it stands between start and stop.
    pub(super) phase: Phase,
    /// Its figures.
    pub(super) figures: CoreSnapshot,
}

/// Where a core stands between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The log is being recovered: only questions about the server itself are answered.
    Recovering,
    /// Everything is served.
    Serving,
    /// The server stops: what was begun is finished.
    Draining,
}

/// What a connection is to be told.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) connection: ConnectionKey,
    pub(super) told: Told,
}

#[derive(Debug)]
pub(super) enum Told {
    /// The response to one of its requests.
    Response(RequestId, Response),
    /// To go on with a body that was paused.
    Resume,
}

/// Values that tables have and that a core lets go of in one turn.
const RELEASED_A_TURN: usize = 1024;

/// How long after a failed preparation of a segment the next one is asked for.
const SEGMENT_RETRY_US: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) phase: Phase,
    pub(super) router: Router,
    pub(super) intake: Intake,
    pub(super) reader: json::Reader,
    pub(super) operations: SlotMap<OperationKey, Operation>,
    pub(super) batches: Batches,
    pub(super) spare_bodies: SpareBodies,
    /// What the core counts; what it holds is filled in when somebody asks.
    pub(super) counters: CoreSnapshot,
    /// What recovery found.
    pub(super) log: LogFacts,
    pub(super) process: fn() -> ProcessFigures,
    /// How it stands with the certificate, where TLS is spoken.
    pub(super) tls: Option<TlsSnapshot>,
    pub(super) body_bytes_max: usize,
    /// What single claims of this core's clients take that are on their way to the disk, in bytes.
    pub(super) singles_open_bytes: usize,
    /// Queries of this core's clients that are under way.
    pub(super) queries_asked: Asked,
    /// Claims that this core's clients look up.
    pub(super) lookups_asked: Asked,
    pub(super) state_questions: StateQuestions,
    /// Connections whose next query waits for its turn. Those that are gone are thrown out when it comes to hold more than twice as
    /// many as there are.
    pub(super) line: VecDeque<ConnectionKey>,
    pub(super) clients: Clients,
    queries: VecDeque<RunningQuery>,
    /// Claims to be looked up.
    lookups: Lookups,
    fetches: Fetches,
    /// Whether there may be values in memory that tables have.
    may_release: bool,
    pub(super) retractions: Retractions,
    segment: SegmentWish,
    wal_bytes_max: u64,
    pub(super) snapshotting: Snapshotting,
}

/// The batches under way.
#[derive(Debug, Default)]
pub(super) struct Batches {
    pub(super) keys: Vec<OperationKey>,
    /// Bytes of their claims that are on their way to the disk, here or on another core.
    pub(super) open_bytes: usize,
    pub(super) open_bytes_max: usize,
    /// Those that wait until there are fewer.
    pub(super) paused: Vec<OperationKey>,
}

/// Where the lane's wish for a further segment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SegmentWish {
    None,
    Asked,
    /// It could not be prepared; to be asked again at this time, monotonic microseconds.
    Failed(u64),
    /// The log is as large as it may be; to be asked when a segment was removed.
    LogFull,
}

impl Room {
    pub(super) fn new(config: CoreConfig) -> Room {
        let body_bytes_max = config.http.body_bytes_max;
        Room {
            phase: Phase::Recovering,
            router: Router::new(config.id, config.slots),
            intake: Intake::new(body_bytes_max, config.timestamp_future_us_max),
            reader: json::Reader::new(body_bytes_max),
            operations: SlotMap::with_key(),
            batches: Batches { open_bytes_max: config.batch_bytes_open_max, ..Batches::default() },
            spare_bodies: SpareBodies::default(),
            counters: CoreSnapshot::new(config.id),
            log: LogFacts::default(),
            process: config.process,
            tls: config
                .tls
                .as_ref()
                .map(|tls| TlsSnapshot { not_after_unix_s: tls.not_after_unix_s, reloads_failed: 0 }),
            body_bytes_max,
            singles_open_bytes: 0,
            queries_asked: Asked::default(),
            lookups_asked: Asked::default(),
            state_questions: StateQuestions::default(),
            line: VecDeque::new(),
            clients: Clients::new(config.clients_bytes_max),
            queries: VecDeque::new(),
            lookups: Lookups::new(config.slots.cores()),
            fetches: Fetches::default(),
            may_release: false,
            retractions: Retractions::default(),
            segment: SegmentWish::None,
            wal_bytes_max: config.wal_bytes_max,
            snapshotting: Snapshotting::default(),
        }
    }

    pub(super) fn open(&mut self, shard: Shard<Ticket>, mut log: LogFacts) {
        assert!(self.router.shard.is_none(), "a core gets its shard once");
        self.router.shard = Some(shard);
        self.counters.wal_segments = log.segments;
        self.counters.wal_disk_bytes = log.segment_bytes;
        // Not to be held here: others come into force, and what is read by nobody is removed.
        self.fetches.open(std::mem::take(&mut log.tables), log.upkeep.clone());
        self.log = log;
    }

    /// Takes a message from a core, which may be this one.
    pub(super) fn message(&mut self, from: CoreId, message: Message, now: Now, answers: &mut Vec<Answer>) {
        match message {
            Message::Assert(assertions) => self.router.store(&assertions),
            Message::Outcomes(outcomes) => {
                for (ticket, outcome) in outcomes {
                    self.outcome(ticket, outcome, now, answers);
                }
            }
            Message::Retract { ticket, request } => self.decide_retraction(ticket, &request, now),
            Message::RetractCopy { ticket, payload } => self.take_copy(ticket, payload),
            Message::Query { ticket, query } => {
                let shard = self.router.shard.as_ref().expect("queries begin when all cores have shards");
                self.queries.push_back(RunningQuery::new(from, ticket, &query, shard.index()));
            }
            Message::Found { ticket, rows } => self.found(ticket, rows, now, answers),
            Message::Lookup { ticket, hash } => self.lookups.add(Lookup { asker: from, ticket, hash }),
            Message::LookedUp { ticket, body } => self.looked_up(ticket, body, now, answers),
            Message::Snapshot => {
                let state = Box::new(self.state());
                self.router.send(from, Message::Snapped { state });
            }
            Message::Snapped { state } => self.snapped(*state, now),
        }
    }

    /// Does what follows within the core from all that has happened, until nothing more does.
    pub(super) fn settle(&mut self, now: Now, answers: &mut Vec<Answer>) {
        self.apply_committed();
        self.router.store_own();
        loop {
            self.write_copies();
            self.pass_on_outcomes();
            self.ask_for_states();
            if let Some(message) = self.router.next_own() {
                self.message(self.router.id, message, now, answers);
            } else if !self.resume_batches(answers) {
                break;
            }
        }
    }

    /// Goes on with what takes several turns, by a bounded piece of work. `unsent` are messages to other cores, by the number of
    /// the receiver, for which its queue has had no room yet.
    pub(super) fn step(&mut self, unsent: &[VecDeque<Message>], now: Now, answers: &mut Vec<Answer>) {
        self.tell_states(now, answers);
        let Some(shard) = &mut self.router.shard else { return };
        shard.step(CLAIMS_A_TURN);
        if self.may_release {
            self.may_release = !shard.release_long(self.fetches.tables(), RELEASED_A_TURN);
        }
        self.take_fetched();
        self.look_up(unsent);
        let sharing = self.queries.len().min(QUERIES_A_TURN);
        // Not shared: queries that find much end in different turns, so that their answers are not all in memory at once.
        let mut hits_budget = HITS_A_TURN;
        for _ in 0..sharing {
            if hits_budget == 0 {
                break;
            }
            let mut query = self.queries.pop_front().expect("no more than there are");
            // The client of another core is not known here: its query runs to its end, and counts there until then.
            if query.asker == self.router.id && !self.operations.contains_key(query.ticket.operation) {
                self.queries_asked.told(query.ticket.operation);
                continue;
            }
            let Some(shard) = &self.router.shard else { return };
            match query.step(shard.index(), CLAIMS_A_TURN / sharing, &mut hits_budget) {
                Progress::Done(rows) => {
                    self.router.send(query.asker, Message::Found { ticket: query.ticket, rows: Ok(rows) });
                }
                // The others come first now.
                Progress::More => self.queries.push_back(query),
                Progress::Needs(claims) if claims.len() <= self.fetches.room() => {
                    let views = claims.iter().map(|&claim| (claim, shard.index().view(claim)));
                    self.fetches.park(query, views);
                }
                Progress::Needs(_) => self.unreadable(&query, Unreadable::Busy),
            }
        }
    }

    /// Goes on with the snapshot that is being taken, by a bounded piece of work.
    pub(super) fn step_snapshot(&mut self) -> Option<Piece> {
        self.snapshotting.step(self.router.shard.as_ref()?)
    }

    /// Goes on with what waited for claims that have been fetched.
    fn take_fetched(&mut self) {
        for Fetched { waiter, claim, result } in self.fetches.take_done() {
            if result == Err(Unreadable::Damaged) {
                self.counters.value_read_errors += 1;
            }
            match waiter {
                Waiter::Query(parked) => match self.fetches.unpark(parked, claim, result) {
                    None => {}
                    Some((query, None)) => self.queries.push_back(query),
                    Some((query, Some(unreadable))) => self.unreadable(&query, unreadable),
                },
                Waiter::Lookup(Lookup { asker, ticket, .. }) => {
                    let shard = self.router.shard.as_ref().expect("lookups begin when all cores have shards");
                    let view = shard.index().view(claim);
                    let body = result.map(|parts| Some(Response::assertion(&view.with(&parts))));
                    self.router.send(asker, Message::LookedUp { ticket, body });
                }
            }
        }
    }

    fn unreadable(&mut self, query: &RunningQuery, unreadable: Unreadable) {
        self.router.send(query.asker, Message::Found { ticket: query.ticket, rows: Err(unreadable) });
    }

    /// Takes the tables that are in force from now on.
    pub(super) fn set_tables(&mut self, tables: Arc<TableSet>) {
        self.fetches.set_tables(tables);
        self.may_release = true;
    }

    /// Asks for what is to be read.
    pub(super) fn fetch_wants(&mut self, reads: &mut VecDeque<TableRead>) {
        self.fetches.start(reads);
    }

    pub(super) fn read_done(
        &mut self,
        id: FetchKey,
        buffer: AlignedBuffer,
        result: Result<usize, i32>,
        elapsed_us: u64,
    ) {
        if let Ok(bytes) = result {
            self.counters.value_read_us.record(elapsed_us);
            self.counters.value_read_bytes += bytes as u64;
        }
        self.fetches.read_done(id, buffer, result);
    }

    /// Looks claims up, as many as may be in a turn. Not for a core for which claims that were found before still wait, so that
    /// of those in memory no more than a turn brings wait there once more for one that is held up.
    fn look_up(&mut self, unsent: &[VecDeque<Message>]) {
        self.lookups.note_behind(unsent);
        let mut bytes = 0;
        for _ in 0..LOOKUPS_A_TURN {
            let Some(Lookup { asker, ticket, hash }) = self.lookups.take() else { return };
            let shard = self.router.shard.as_ref().expect("lookups begin when all cores have shards");
            let found = shard.index().find(&hash).map(|claim| (claim, shard.index().view(claim)));
            let body = match found {
                Some((claim, view)) if view.stored().is_some() => {
                    if self.fetches.room() > 0 {
                        self.fetches.look_up(Lookup { asker, ticket, hash }, claim, &view);
                        continue;
                    }
                    Err(Unreadable::Busy)
                }
                found => Ok(found.map(|(_, view)| Response::assertion(&view))),
            };
            bytes += body.as_ref().map_or(0, |body| body.as_ref().map_or(0, Vec::capacity));
            self.router.send(asker, Message::LookedUp { ticket, body });
            if bytes >= LOOKUP_BYTES_A_TURN {
                return;
            }
        }
    }

    /// Whether there is something to go on with.
    pub(super) fn has_work(&self) -> bool {
        !self.queries.is_empty()
            || self.may_release
            || self.fetches.has_done()
            || !self.lookups.is_empty()
            || self.state_questions.has_answers()
            || self.router.shard.as_ref().is_some_and(Shard::is_retracting)
    }

    /// How many queries this core works on, those that wait for reads of tables aside, and how many claims it is to look up.
    #[cfg(test)]
    pub(super) fn work_counts(&self) -> (usize, usize) {
        (self.queries.len(), self.lookups.len())
    }

    /// Asks the lane for its next writes and whether it wants a segment.
    pub(super) fn lane_wants(
        &mut self,
        now: Now,
        writes: &mut VecDeque<LaneWrite>,
        segment: &mut Option<SegmentNumber>,
    ) {
        let Some(shard) = &mut self.router.shard else { return };
        while let Some(write) = shard.next_write(now.wall) {
            writes.push_back(write);
        }
        let has_room = self.counters.wal_disk_bytes + self.log.segment_bytes_each <= self.wal_bytes_max;
        let due = match self.segment {
            SegmentWish::None => true,
            SegmentWish::LogFull => has_room,
            SegmentWish::Asked => false,
            SegmentWish::Failed(again_us) => again_us <= now.monotonic_us,
        };
        let Some(number) = shard.lane().segment_wanted().filter(|_| due) else { return };
        if has_room {
            self.segment = SegmentWish::Asked;
            *segment = Some(number);
        } else {
            self.segment = SegmentWish::LogFull;
            shard.log_full();
            tracing::warn!(
                bytes = self.counters.wal_disk_bytes,
                "The log has reached STEMEDB_WAL_BYTES_MAX: writes are refused when the last segment is full, until checkpoints \
                 have moved older ones into tables; docs/operations/full.md says more"
            );
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
        let shard = self.router.shard.as_mut().expect("a write belongs to a shard");
        let counters = &mut self.counters;
        if let Ok(bytes) = result {
            counters.wal_write_us.record(elapsed_us);
            counters.wal_bytes_written += bytes as u64;
        }
        shard.write_done(id, buffer, result, now.monotonic_us);
    }

    /// Makes what has become durable visible.
    fn apply_committed(&mut self) {
        let Some(shard) = &mut self.router.shard else { return };
        let counters = &mut self.counters;
        shard.apply_committed(|done| match done {
            Done::Frame { records, claims } => {
                counters.wal_batch_records.record(u64::from(records));
                let ingested = if planted::is(Bug::MiscountIngested) { records } else { claims };
                counters.assertions_ingested += u64::from(ingested);
            }
            Done::SegmentSealed => counters.wal_rotations += 1,
            Done::LaneFailed => counters.wal_write_errors += 1,
        });
    }

    pub(super) fn segment_ready(&mut self, number: SegmentNumber) {
        self.segment = SegmentWish::None;
        self.counters.wal_segments += 1;
        self.counters.wal_disk_bytes += self.log.segment_bytes_each;
        self.router.shard.as_mut().expect("a segment belongs to a shard").segment_ready(number);
    }

    pub(super) fn segment_failed(&mut self, no_space: bool, now: Now) {
        self.segment = if planted::is(Bug::NeverAskAgain) && no_space {
            SegmentWish::Asked
        } else {
            SegmentWish::Failed(now.monotonic_us + SEGMENT_RETRY_US)
        };
        if let Some(shard) = &mut self.router.shard {
            shard.segment_failed(no_space);
        }
    }

    pub(super) fn tick(&mut self, now: Now) {
        if let Some(shard) = &mut self.router.shard {
            shard.tick(now.monotonic_us);
        }
    }

    /// Counts an answer.
    pub(super) fn count_answer(&mut self, method: Option<Method>, status: Status) {
        self.counters.http_requests.increment(HttpOutcome { method, status: status.code() });
    }

    /// How the core is.
    fn state(&self) -> CoreState {
        let mut figures = self.counters.clone();
        figures.requests_parked = self.operations.len() as u64;
        figures.messages_waiting = self.router.messages_waiting() as u64;
        self.fetches.fill_in(&mut figures);
        if let Some(shard) = &self.router.shard {
            figures.assertions = shard.index().len();
            figures.index_bytes = shard.index().bytes();
            figures.index_bytes_max = shard.index_bytes_max();
            figures.wal_bytes_max = self.wal_bytes_max;
            (figures.values_in_memory, figures.values_stored) = shard.index().long_counts();
            figures.lane_failed = shard.lane().failure().is_some();
        }
        CoreState { phase: self.phase, figures }
    }
}
