//! Which connections to look at for what is overdue, and when.

use std::collections::VecDeque;

use super::connection::ConnectionKey;

/// In how many ticks all connections are looked at, if there are many.
const TICKS_A_ROUND: usize = 8;

/// How many are looked at in a tick if there are so many.
const CONNECTIONS_A_TICK_MIN: usize = 256;

/// The connections of a core, in the order in which they are looked at.
///
/// Looking at ten thousand at once takes most of a millisecond, for which every request would have to wait. So only some
/// are in each tick, and what is overdue is noticed up to a round later.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Connections that are gone stay here until it is their turn: no more than those there are, and those that came
    /// within a round.
    waiting: VecDeque<ConnectionKey>,
    /// How many of them are to be looked at before the round is over.
    left: usize,
}

impl Rounds {
    /// Adds a new connection.
    pub(super) fn add(&mut self, key: ConnectionKey) {
        self.waiting.push_back(key);
    }

    /// Looks at those whose turn it is in a tick: `look` says whether a connection is still there.
    pub(super) fn tick(&mut self, mut look: impl FnMut(ConnectionKey) -> bool) {
        if self.left == 0 {
            self.left = self.waiting.len();
        }
        let count = self.waiting.len().div_ceil(TICKS_A_ROUND).max(CONNECTIONS_A_TICK_MIN).min(self.left);
        for _ in 0..count {
            let key = self.waiting.pop_front().expect("no more are left than wait");
            if look(key) {
                self.waiting.push_back(key);
            }
        }
        self.left -= count;
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn all_are_looked_at_once_in_a_round_and_few_in_a_tick() {
        for connections in [0, 1, 255, 256, 257, 10_000] {
            let mut keys = SlotMap::<ConnectionKey, ()>::with_key();
            let mut rounds = Rounds::default();
            (0..connections).for_each(|_| rounds.add(keys.insert(())));
            for _ in 0..3 {
                let (mut seen, mut ticks) = (Vec::new(), 0);
                loop {
                    ticks += 1;
                    let before = seen.len();
                    rounds.tick(|key| {
                        seen.push(key);
                        true
                    });
                    assert!(seen.len() - before <= (connections / 8 + 1).max(256));
                    if rounds.left == 0 {
                        break;
                    }
                }
                assert!(ticks <= 8, "{ticks} ticks for {connections}");
                seen.sort();
                seen.dedup();
                assert_eq!(seen.len(), connections);
            }
        }
    }

    #[test]
    fn connections_that_are_gone_are_forgotten() {
        let mut keys = SlotMap::<ConnectionKey, ()>::with_key();
        let mut rounds = Rounds::default();
        (0..100).for_each(|_| rounds.add(keys.insert(())));
        rounds.tick(|_| false);
        assert!(rounds.waiting.is_empty());
        rounds.tick(|_| panic!("there are none"));
    }
}
