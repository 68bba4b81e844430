//! What cores say to each other.
//!
//! A core asks the owner of a slot to do something and is told what became of it. Every request between cores
//! carries a [`Ticket`], which comes back with the answer and leads the asking core to whatever waits for it.

use std::ops::Range;
use std::sync::Arc;

use stemedb_engine::claim::ClaimHash;
use stemedb_engine::query::Query;
use stemedb_engine::shard::{Admission, Outcome};
use stemedb_engine::slot::CoreId;

use super::fetches::Unreadable;
use super::operation::OperationKey;
use super::room::CoreState;
use crate::api::Rows;

/// Leads from an answer back to the request that waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The core that asked.
    pub core: CoreId,
    /// What waits there.
    pub operation: OperationKey,
    /// Which line of a batch, counted from 1; 0 where there is only one. Of a retraction: whether it is a copy.
    pub line: u64,
    /// The size of the claim's record, to be given back to the bound on claims that wait.
    pub bytes: u32,
}

impl Ticket {
    /// How the claim is let in, by whichever core owns its slot.
    pub(super) fn admission(self) -> Admission {
        if self.line == 0 { Admission::Single } else { Admission::Stream }
    }

    /// The same retraction, to be copied instead of decided.
    pub(super) fn for_copy(self) -> Ticket {
        Ticket { line: 1, ..self }
    }

    /// Whether it is that of a copy of a retraction, and not of its decision.
    pub(super) fn is_copy(self) -> bool {
        self.line == 1
    }

    /// What tells one retraction from all others.
    pub(super) fn retraction(self) -> (CoreId, OperationKey) {
        (self.core, self.operation)
    }
}

/// One message from a core to another.
#[derive(Debug)]
pub enum Message {
    /// Keep these claims: the receiver owns their slots.
    Assert(Assertions),
    /// What became of writes.
    Outcomes(Vec<(Ticket, Outcome)>),
    /// Retract: the receiver owns the slot of the path, and its record decides.
    Retract {
        /// Who waits.
        ticket: Ticket,
        /// The path and the reason, both valid, and the time.
        request: Box<RetractRequest>,
    },
    /// The retraction is decided and durable: do it too.
    RetractCopy {
        /// Who waits.
        ticket: Ticket,
        /// The payload of its record.
        payload: Arc<[u8]>,
    },
    /// Find what matches in your slots.
    Query {
        /// Who waits.
        ticket: Ticket,
        /// What for.
        query: Arc<Query>,
    },
    /// What matched.
    Found {
        /// Who waited.
        ticket: Ticket,
        /// The rows, in order, or why they cannot be given.
        rows: Result<Rows, Unreadable>,
    },
    /// Look for a claim by its hash.
    Lookup {
        /// Who waits.
        ticket: Ticket,
        /// The claim.
        hash: ClaimHash,
    },
    /// The claim as a response body, if it was there.
    LookedUp {
        /// Who waited.
        ticket: Ticket,
        /// The claim as JSON, or why it cannot be given.
        body: Result<Option<Vec<u8>>, Unreadable>,
    },
    /// Tell how you are.
    Snapshot,
    /// How the core is.
    Snapped {
        /// How it is.
        state: Box<CoreState>,
    },
}

/// A retraction as a client asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetractRequest {
    /// The path whose claims go.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// The largest empty buffer for payloads that is kept to use again, in bytes.
const PAYLOAD_BYTES_KEPT: usize = 256 << 10;

/// Claims on their way to the core that owns them, packed together.
#[derive(Debug, Default)]
pub struct Assertions {
    entries: Vec<AssertionEntry>,
    payloads: Vec<u8>,
}

#[derive(Debug)]
struct AssertionEntry {
    ticket: Ticket,
    payload: Range<usize>,
}

impl Assertions {
    /// Adds a claim: the payload of its record.
    pub fn push(&mut self, ticket: Ticket, payload: &[u8]) {
        let start = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        self.entries.push(AssertionEntry { ticket, payload: start..self.payloads.len() });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all payloads.
    pub fn payload_bytes(&self) -> usize {
        self.payloads.len()
    }

    /// Takes all out, and keeps the memory unless a large claim has made it large.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.payloads.clear();
        self.payloads.shrink_to(PAYLOAD_BYTES_KEPT);
    }

    /// The claims in the order in which they were added, in groups of up to `claims_max`.
    pub fn groups(
        &self,
        claims_max: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = (Ticket, &[u8])> + Clone> {
        let claim = |entry: &AssertionEntry| (entry.ticket, &self.payloads[entry.payload.clone()]);
        self.entries.chunks(claims_max).map(move |group| group.iter().map(claim))
    }
}
