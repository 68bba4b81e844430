//! Queries at work on this core's index, a little each turn so that no client waits long for another's query.

use stemedb_engine::claim::ClaimHash;
use stemedb_engine::index::Index;
use stemedb_engine::query::{Execution, Hit, Query, Step};
use stemedb_engine::slot::CoreId;

use super::message::Ticket;
use crate::api::{Method, Rows};
use crate::http::RequestId;

/// Claims that all running queries of a core may look at in one turn: about 100 µs of work.
pub(super) const CLAIMS_A_TURN: usize = 2048;

/// Hits that all running queries of a core may write in one turn.
pub(super) const HITS_A_TURN: usize = 128;

/// Queries that share a turn. Many that look at few claims each are then done in few turns, each of which is a system call.
pub(super) const QUERIES_A_TURN: usize = 16;

/// Queries of a core's own clients that are worked on at once.
pub(super) const QUERIES_AT_ONCE: usize = 64;

/// Claims that a core looks up by their hashes in one turn.
pub(super) const LOOKUPS_A_TURN: usize = 1024;

/// Bytes of claims, as JSON, after which a core looks no further up in a turn: the answers of a turn are in memory
/// together.
pub(super) const LOOKUP_BYTES_A_TURN: usize = 1 << 20;

/// A claim that is to be looked up by its hash.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) asker: CoreId,
    pub(super) ticket: Ticket,
    pub(super) hash: ClaimHash,
}

/// A query that was asked and is not worked on yet.
#[derive(Debug)]
pub(super) struct WaitingQuery {
    pub(super) request: RequestId,
    pub(super) method: Option<Method>,
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
    Writing(Vec<Hit>, usize, Rows),
}

impl RunningQuery {
    pub(super) fn new(asker: CoreId, ticket: Ticket, query: &Query, index: &Index) -> RunningQuery {
        let execution = Execution::new(query, index);
        let include_retracted = query.include_retracted;
        RunningQuery { asker, ticket, include_retracted, stage: Stage::Searching(Box::new(execution)) }
    }

    /// Goes on over about `claims_budget` claims, and then over hits, which are taken off `hits_budget`. Gives the rows
    /// when all are written.
    pub(super) fn step(
        &mut self,
        index: &Index,
        claims_budget: usize,
        hits_budget: &mut usize,
    ) -> Option<Rows> {
        match &mut self.stage {
            Stage::Searching(execution) => {
                if execution.step(index, claims_budget) == Step::More {
                    return None;
                }
                let done = Stage::Writing(Vec::new(), 0, Rows::default());
                let Stage::Searching(execution) = std::mem::replace(&mut self.stage, done) else {
                    panic!("the stage was just this one")
                };
                let hits = execution.into_hits();
                let rows = Rows::with_room(hits.len(), self.include_retracted);
                self.stage = Stage::Writing(hits, 0, rows);
                self.step(index, claims_budget, hits_budget)
            }
            Stage::Writing(hits, written, rows) => {
                let end = hits.len().min(*written + *hits_budget);
                *hits_budget -= end - *written;
                let fit = hits[*written..end].iter().all(|hit| rows.push(index, hit));
                *written = if fit { end } else { hits.len() };
                (*written == hits.len()).then(|| std::mem::take(rows))
            }
        }
    }
}

impl std::fmt::Debug for RunningQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningQuery({:?})", self.ticket)
    }
}
