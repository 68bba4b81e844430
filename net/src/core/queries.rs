//! Queries at work on this core's index, a little each turn so that no client waits long for another's query.

use std::collections::HashMap;

use stemedb_engine::index::{ClaimId, Index, LongParts};
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::query::{Execution, Hit, Query, Step};
use stemedb_engine::slot::CoreId;

use super::message::Ticket;
use crate::api::{Claims, Method, Rows};
use crate::http::RequestId;

/// Claims that all running queries of a core may look at in one turn: about 100 µs of work.
pub(super) const CLAIMS_A_TURN: usize = 2048;

/// Hits that all running queries of a core may write in one turn.
pub(super) const HITS_A_TURN: usize = 128;

/// Queries that share a turn. Many that look at few claims each are then done in few turns, each of which is a system call.
pub(super) const QUERIES_A_TURN: usize = 16;

/// Queries of a core's own clients that are worked on at once.
pub(super) const QUERIES_AT_ONCE: usize = 64;

/// Hits of a query for which claims are fetched together, and how many claims and about how many bytes of them.
const HITS_AHEAD: usize = 64;
const NEEDS_MAX: usize = 16;
const BYTES_AHEAD: usize = 256 << 10;

/// A query that was asked and is not worked on yet.
#[derive(Debug)]
pub(super) struct WaitingQuery {
    pub(super) request: RequestId,
    pub(super) method: Option<Method>,
    pub(super) wants_entity_tag: bool,
    /// When it was asked, monotonic microseconds.
    pub(super) asked_us: u64,
    pub(super) query: Query,
}

/// A query that this core works on, for itself or another.
pub(super) struct RunningQuery {
    pub(super) asker: CoreId,
    pub(super) ticket: Ticket,
    include_retracted: bool,
    stage: Stage,
}

enum Stage {
    Searching(Box<Execution>),
    /// Hits being written into rows, and how many are.
    Writing(Writing),
}

/// Hits being written.
#[derive(Default)]
struct Writing {
    hits: Vec<Hit>,
    /// How many are written.
    written: usize,
    rows: Rows,
    /// What tables have of the next hits.
    fetched: HashMap<ClaimId, LongParts>,
}

/// How far a step of a query came.
#[derive(Debug)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// The claims that have to be fetched before it goes on.
    Needs(Vec<ClaimId>),
    /// All rows are written.
    Done(Rows),
}

impl RunningQuery {
    pub(super) fn new(asker: CoreId, ticket: Ticket, query: &Query, index: &Index) -> RunningQuery {
        let execution = Execution::new(query, index);
        let include_retracted = query.include_retracted;
        RunningQuery { asker, ticket, include_retracted, stage: Stage::Searching(Box::new(execution)) }
    }

    /// Goes on over about `claims_budget` claims, and then over hits, which are taken off `hits_budget`.
    pub(super) fn step(&mut self, index: &Index, claims_budget: usize, hits_budget: &mut usize) -> Progress {
        match &mut self.stage {
            Stage::Searching(execution) => {
                if execution.step(index, claims_budget) == Step::More {
                    return Progress::More;
                }
                let done = Stage::Writing(Writing::default());
                let Stage::Searching(execution) = std::mem::replace(&mut self.stage, done) else {
                    panic!("the stage was just this one")
                };
                let mut hits = execution.into_hits();
                if planted::is(Bug::DropRows) && hits.len() > 2 {
                    hits.remove(1);
                }
                let rows = Rows::with_room(hits.len(), self.include_retracted);
                self.stage = Stage::Writing(Writing { hits, rows, ..Writing::default() });
                self.step(index, claims_budget, hits_budget)
            }
            Stage::Writing(writing) => writing.step(index, hits_budget),
        }
    }

    /// Takes what a table has of a claim that was needed.
    pub(super) fn fetched(&mut self, claim: ClaimId, parts: LongParts) {
        let Stage::Writing(writing) = &mut self.stage else { panic!("only what is written needs claims") };
        writing.fetched.insert(claim, parts);
    }
}

impl Writing {
    fn step(&mut self, index: &Index, hits_budget: &mut usize) -> Progress {
        let end = self.hits.len().min(self.written + *hits_budget);
        *hits_budget -= end - self.written;
        while self.written < end {
            let claims = Claims { index, fetched: &self.fetched };
            let hit = &self.hits[self.written];
            if claims.needed(hit).next().is_some() {
                // All that was fetched before has been written.
                self.fetched.clear();
                return Progress::Needs(self.needs(index));
            }
            if !self.rows.push(&claims, hit) {
                return Progress::Done(std::mem::take(&mut self.rows));
            }
            self.written += 1;
        }
        match self.written == self.hits.len() {
            true => Progress::Done(std::mem::take(&mut self.rows)),
            false => Progress::More,
        }
    }

    /// The claims to be fetched for the next hits: those of one hit, and further ones as long as they are few and small.
    fn needs(&self, index: &Index) -> Vec<ClaimId> {
        let claims = Claims { index, fetched: &self.fetched };
        let (mut needs, mut bytes) = (Vec::new(), 0);
        for hit in self.hits[self.written..].iter().take(HITS_AHEAD) {
            let of_hit: Vec<ClaimId> = claims.needed(hit).collect();
            bytes += of_hit.iter().map(|claim| index.view(*claim).long_bytes()).sum::<usize>();
            if !needs.is_empty() && (bytes > BYTES_AHEAD || needs.len() + of_hit.len() > NEEDS_MAX) {
                break;
            }
            needs.extend(of_hit.into_iter().filter(|claim| !needs.contains(claim)).collect::<Vec<_>>());
        }
        needs
    }
}

impl std::fmt::Debug for RunningQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningQuery({:?})", self.ticket)
    }
}
