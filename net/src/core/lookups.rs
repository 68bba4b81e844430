//! Claims that cores are to look up by their hashes, a bounded number each turn.

use std::collections::VecDeque;

use stemedb_engine::claim::ClaimHash;
use stemedb_engine::slot::CoreId;

use super::message::{Message, Ticket};

/// Claims that a core's clients have asked for by their hashes and that not all cores have looked for.
pub(super) const LOOKUPS_MAX: usize = 16 << 10;

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

/// Those that a core is to look up, for itself and the others.
#[derive(Debug)]
pub(super) struct Lookups {
    /// By the core that asks.
    by_asker: Vec<OfAsker>,
    /// Whose turn it is.
    next: usize,
}

#[derive(Debug, Default)]
struct OfAsker {
    lookups: VecDeque<Lookup>,
    /// Whether claims that were found for it wait to be taken by it.
    is_behind: bool,
}

impl Lookups {
    pub(super) fn new(cores: u16) -> Lookups {
        Lookups { by_asker: (0..cores).map(|_| OfAsker::default()).collect(), next: 0 }
    }

    pub(super) fn add(&mut self, lookup: Lookup) {
        self.by_asker[usize::from(lookup.asker.0)].lookups.push_back(lookup);
    }

    /// Notes for which cores claims that were found wait among the messages that are `unsent`, by the number of the receiver.
    pub(super) fn note_behind(&mut self, unsent: &[VecDeque<Message>]) {
        for (asker, unsent) in
            self.by_asker.iter_mut().zip(unsent).filter(|(asker, _)| !asker.lookups.is_empty())
        {
            asker.is_behind =
                unsent.iter().any(|message| matches!(message, Message::LookedUp { body: Ok(Some(_)), .. }));
        }
    }

    /// Takes the next one, of the cores by turns. Those of cores that are behind wait.
    pub(super) fn take(&mut self) -> Option<Lookup> {
        let askers = self.by_asker.len();
        for _ in 0..askers {
            let asker = &mut self.by_asker[self.next];
            self.next = (self.next + 1) % askers;
            if !asker.is_behind
                && let Some(lookup) = asker.lookups.pop_front()
            {
                return Some(lookup);
            }
        }
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_asker.iter().all(|asker| asker.lookups.is_empty())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_asker.iter().map(|asker| asker.lookups.len()).sum()
    }
}
