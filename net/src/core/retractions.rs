//! Retractions: what each core has to do for one, and how many may be under way.
//!
//! The core that is asked sends a retraction to the owner of the path's slot, whose record decides it. When that is durable
//! the owner sends the record to all others, which write copies however long that takes: a lane that cannot be extended
//! keeps them waiting. So the core that is asked counts what it has sent until all cores have done their part, and lets
//! only so many in: what waits anywhere is bounded by what all cores together may have under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use stemedb_engine::claim::{ConceptPath, Reason};
use stemedb_engine::shard::{Outcome, Refusal};
use stemedb_engine::slot::{CoreId, Slot};

use super::Now;
use super::message::{Message, RetractRequest, Ticket};
use super::operation::{Awaits, OperationKey};
use super::requests::Asking;
use super::response::{Response, refused};
use super::room::{Answer, Room};
use super::router::Router;
use crate::api::{self, ApiError, Endpoint, ErrorCode};
use crate::http::Status;

/// Retractions that a core's clients have asked for and that not all cores have done their part of.
pub(super) const RETRACTIONS_MAX: usize = 4096;

/// The retractions that a core has to do with.
#[derive(Debug, Default)]
pub(super) struct Retractions {
    /// Those that its clients have asked for, and how many cores have not told what became of them. A client that is gone
    /// or has been told of a refusal leaves them here.
    asked: BTreeMap<OperationKey, u16>,
    /// Those that are on their way to this core's disk, by who asked.
    writing: BTreeMap<(CoreId, OperationKey), Writing>,
    /// Those of other cores that the lane had no room for yet.
    copies: VecDeque<(Ticket, Arc<[u8]>)>,
}

/// A retraction whose record is on its way to the disk.
#[derive(Debug)]
struct Writing {
    part: Part,
    payload: Arc<[u8]>,
}

/// What a core has to do for a retraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Its record decides.
    Decide,
    /// It has been decided elsewhere.
    Copy,
}

impl Retractions {
    /// Whether this core has asked for the retraction of a ticket, and not all is known of it.
    pub(super) fn is_asked(&self, ticket: Ticket) -> bool {
        self.asked.contains_key(&ticket.operation)
    }

    /// A core has told what became of its part of a retraction.
    fn told(&mut self, ticket: Ticket, outcome: Outcome) {
        let open = self.asked.get_mut(&ticket.operation).expect("each core tells once of what it was asked");
        *open -= 1;
        // What was not decided is sent to no other core.
        let is_undecided = !ticket.is_copy() && matches!(outcome, Outcome::Refused(_));
        if *open == 0 || is_undecided {
            self.asked.remove(&ticket.operation);
        }
    }

    /// How many were asked for here and are not done everywhere.
    #[cfg(test)]
    pub(super) fn asked_count(&self) -> usize {
        self.asked.len()
    }

    /// How many copies the lane had no room for, and how many records are on their way to the disk.
    #[cfg(test)]
    pub(super) fn waiting_counts(&self) -> (usize, usize) {
        (self.copies.len(), self.writing.len())
    }
}

impl Room {
    /// Takes a client's retraction in.
    pub(super) fn retract(&mut self, asked: Asking, body: &[u8]) -> Result<(), ApiError> {
        let request = api::RetractRequest::read(&mut self.reader, body)?;
        if self.retractions.asked.len() >= RETRACTIONS_MAX {
            let message = "as many retractions as may are under way already; try again in a moment";
            return Err(ApiError::new(ErrorCode::Overloaded, message));
        }
        let owner = self.router.slots.owner(Slot::of(request.path.as_str().as_bytes()));
        let request = Box::new(RetractRequest {
            path: request.path.as_str().to_owned(),
            reason: request.reason.as_str().to_owned(),
        });
        let cores = self.router.slots.cores();
        let ticket = self.begin(asked, Awaits::Retract { open: cores, retracted: 0 });
        self.retractions.asked.insert(ticket.operation, cores);
        self.router.send(owner, Message::Retract { ticket, request });
        Ok(())
    }

    /// One core has done its part of a retraction that this one was asked for, or cannot.
    pub(super) fn retracted(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: Now,
        answers: &mut Vec<Answer>,
    ) {
        self.retractions.told(ticket, outcome);
        // It has been answered if a core before has refused it.
        let Some(operation) = self.operations.get_mut(ticket.operation) else { return };
        let Awaits::Retract { open, retracted } = &mut operation.awaits else {
            panic!("a retraction was answered to {:?}", operation.awaits)
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
            Outcome::Refused(refusal) => Response::error(&refused(refusal)),
            Outcome::Created | Outcome::Exists => panic!("a retraction was answered as a claim"),
        };
        self.finish(ticket.operation, Endpoint::Retract, response, now, answers);
    }

    /// Writes the record by which a retraction is decided.
    pub(super) fn decide_retraction(&mut self, ticket: Ticket, request: &RetractRequest, now: Now) {
        let path = ConceptPath::new(&request.path).expect("the asking core has checked it");
        let reason = Reason::new(&request.reason).expect("the asking core has checked it");
        let decided = match &mut self.router.shard {
            Some(shard) => shard.retract(path, reason, now.wall, ticket),
            None => Err(Refusal::Recovering),
        };
        match decided {
            Ok(payload) => self.note_writing(ticket, Part::Decide, payload),
            Err(refusal) => self.router.outcome(ticket, Outcome::Refused(refusal)),
        }
    }

    /// Takes a retraction that another core has decided.
    pub(super) fn take_copy(&mut self, ticket: Ticket, payload: Arc<[u8]>) {
        self.retractions.copies.push_back((ticket, payload));
    }

    /// Offers the lane the copies that it had no room for.
    pub(super) fn write_copies(&mut self) {
        while let Some((ticket, payload)) = self.retractions.copies.pop_front() {
            match self.router.copy_retraction(ticket, &payload) {
                Ok(()) => self.note_writing(ticket, Part::Copy, payload),
                Err(refusal) if may_pass(refusal) => {
                    self.retractions.copies.push_front((ticket, payload));
                    break;
                }
                Err(refusal) => self.router.outcome(ticket, Outcome::Refused(refusal)),
            }
        }
    }

    fn note_writing(&mut self, ticket: Ticket, part: Part, payload: Arc<[u8]>) {
        let before = self.retractions.writing.insert(ticket.retraction(), Writing { part, payload });
        assert!(before.is_none(), "a core has one part of a retraction: {ticket:?}");
    }

    /// Sends the outcomes of the shard to those who asked. A retraction that this core decided goes to all others
    /// as soon as it is durable here.
    pub(super) fn pass_on_outcomes(&mut self) {
        let Some(shard) = &mut self.router.shard else { return };
        let outcomes: Vec<_> = shard.drain_outcomes().collect();
        for (ticket, outcome) in outcomes {
            let writing = match outcome {
                Outcome::Created | Outcome::Exists => None,
                Outcome::Retracted(_) | Outcome::Refused(_) => {
                    self.retractions.writing.remove(&ticket.retraction())
                }
            };
            match (writing, outcome) {
                (Some(Writing { part: Part::Copy, payload }), Outcome::Refused(refusal))
                    if may_pass(refusal) =>
                {
                    // It has been decided, so it is copied, however long that takes.
                    self.retractions.copies.push_back((ticket, payload));
                    continue;
                }
                (Some(Writing { part: Part::Decide, payload }), Outcome::Retracted(_)) => {
                    send_copies(&mut self.router, ticket, &payload);
                }
                _ => {}
            }
            self.router.outcome(ticket, outcome);
        }
    }
}

/// Has all other cores copy what this one has decided.
fn send_copies(router: &mut Router, ticket: Ticket, payload: &Arc<[u8]>) {
    let own = router.id;
    for other in (0..router.slots.cores()).map(CoreId).filter(|other| *other != own) {
        router.send(other, Message::RetractCopy { ticket: ticket.for_copy(), payload: Arc::clone(payload) });
    }
}

/// Whether what was refused may be taken later, without a restart.
fn may_pass(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::Busy | Refusal::DiskFull | Refusal::LogFull | Refusal::NoSegment)
}
