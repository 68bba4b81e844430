//! Finds the core that a claim or a question belongs to: this one, or another by message.

use std::collections::VecDeque;
use std::sync::Arc;

use stemedb_engine::claim::assertion;
use stemedb_engine::shard::{Outcome, Refusal, Shard};
use stemedb_engine::slot::{CoreId, Slot, SlotMap};

use super::message::{Assertions, Message, Ticket};

/// How many claims are looked up together. What is fetched for them has to stay in the nearest cache.
const CLAIMS_LOOKED_UP_TOGETHER: usize = 32;

/// Bytes of claims that a core gathers for itself before it offers them to its shard.
const OWN_BYTES_MAX: usize = 64 << 10;

/// A core's shard, and the way to the others.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) id: CoreId,
    pub(super) slots: SlotMap,
    /// None until the log is recovered.
    pub(super) shard: Option<Shard<Ticket>>,
    /// By core. What stands under this core's own number are messages to itself.
    outgoing: Vec<Outgoing>,
}

/// Messages being packed for one core.
#[derive(Debug, Default)]
struct Outgoing {
    assertions: Assertions,
    outcomes: Vec<(Ticket, Outcome)>,
    others: VecDeque<Message>,
}

impl Router {
    pub(super) fn new(id: CoreId, slots: SlotMap) -> Router {
        let outgoing = (0..slots.cores()).map(|_| Outgoing::default()).collect();
        Router { id, slots, shard: None, outgoing }
    }

    /// Sends the payload of a claim's record to the core of its slot, which may be this one.
    pub(super) fn assert(&mut self, slot: Slot, payload: &[u8], ticket: Ticket) {
        let owner = self.slots.owner(slot);
        let assertions = &mut self.outgoing[usize::from(owner.0)].assertions;
        assertions.push(ticket, payload);
        if owner == self.id && assertions.payload_bytes() >= OWN_BYTES_MAX {
            self.store_own();
        }
    }

    /// Offers claims of this core's slots to its shard.
    pub(super) fn store(&mut self, assertions: &Assertions) {
        let Some(shard) = &mut self.shard else {
            for (ticket, _) in assertions.groups(usize::MAX).flatten() {
                self.outgoing[usize::from(ticket.core.0)]
                    .outcomes
                    .push((ticket, Outcome::Refused(Refusal::Recovering)));
            }
            return;
        };
        // Whether a claim is there already is found somewhere in a table of many megabytes: for a group of claims that is
        // fetched together.
        for group in assertions.groups(CLAIMS_LOOKED_UP_TOGETHER) {
            shard.index().prefetch(group.clone().map(|(_, payload)| assertion::hash(payload)));
            group.for_each(|(ticket, payload)| shard.assert(payload, ticket.admission(), ticket));
        }
    }

    /// Sends what became of a write to the core that asked for it.
    pub(super) fn outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        self.outgoing[usize::from(ticket.core.0)].outcomes.push((ticket, outcome));
    }

    /// Sends a message to a core, which may be this one.
    pub(super) fn send(&mut self, to: CoreId, message: Message) {
        self.outgoing[usize::from(to.0)].others.push_back(message);
    }

    /// Sends a message to every core, this one included.
    pub(super) fn send_all(&mut self, mut message: impl FnMut() -> Message) {
        for core in 0..self.slots.cores() {
            self.send(CoreId(core), message());
        }
    }

    /// Offers the claims to the shard that this core has sent to itself.
    pub(super) fn store_own(&mut self) {
        let own = usize::from(self.id.0);
        let mut assertions = std::mem::take(&mut self.outgoing[own].assertions);
        self.store(&assertions);
        assertions.clear();
        self.outgoing[own].assertions = assertions;
    }

    /// The next message of this core to itself.
    pub(super) fn next_own(&mut self) -> Option<Message> {
        self.outgoing[usize::from(self.id.0)].next()
    }

    /// Messages that are not packed yet.
    pub(super) fn messages_waiting(&self) -> usize {
        self.outgoing.iter().map(|outgoing| outgoing.others.len()).sum()
    }

    /// Packs the messages for each other core into its queue.
    pub(super) fn flush(&mut self, queues: &mut [VecDeque<Message>]) {
        for (core, (outgoing, queue)) in self.outgoing.iter_mut().zip(queues).enumerate() {
            if core != usize::from(self.id.0) {
                queue.extend(std::iter::from_fn(|| outgoing.next()));
            }
        }
    }

    /// Offers a retraction's record to the shard.
    pub(super) fn copy_retraction(&mut self, ticket: Ticket, payload: &Arc<[u8]>) -> Result<(), Refusal> {
        let shard = self.shard.as_mut().expect("a retraction is decided after all cores have shards");
        shard.retract_copy(payload, ticket)
    }
}

impl Outgoing {
    fn next(&mut self) -> Option<Message> {
        if !self.assertions.is_empty() {
            return Some(Message::Assert(std::mem::take(&mut self.assertions)));
        }
        if !self.outcomes.is_empty() {
            return Some(Message::Outcomes(std::mem::take(&mut self.outcomes)));
        }
        self.others.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::operation::OperationKey;

    #[test]
    fn a_core_gathers_few_claims_for_itself() {
        let mut router = Router::new(CoreId(0), SlotMap::new(1));
        let ticket = Ticket { core: CoreId(0), operation: OperationKey::default(), line: 0, bytes: 0 };
        let payload = [7; 1000];
        for claims in 1..=200 {
            router.assert(Slot::of(b"a"), &payload, ticket);
            let own = &router.outgoing[0];
            assert!(own.assertions.payload_bytes() < OWN_BYTES_MAX);
            let gathered = own.assertions.payload_bytes() / payload.len();
            assert_eq!(
                gathered + own.outcomes.len(),
                claims,
                "the others were offered, and refused without a shard"
            );
        }
    }
}
