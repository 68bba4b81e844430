//! Whether all cores still turn.

use crate::driver::Heartbeat;

/// Looks at the cores' heartbeats, again and again.
#[derive(Debug)]
pub(super) struct Pulse {
    cores: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    heartbeat: Heartbeat,
    /// Turns when it was last looked at.
    turns: u64,
    /// Whether it had turned then since the time before.
    turns_on: bool,
}

/// What changed at a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) core: usize,
    /// Whether it turns again, or has stopped.
    pub(super) turns_on: bool,
}

impl Pulse {
    /// Of these cores, which count as turning until they are looked at.
    pub(super) fn of(heartbeats: impl Iterator<Item = Heartbeat>) -> Pulse {
        let watch = |heartbeat: Heartbeat| Watched { turns: heartbeat.turns(), heartbeat, turns_on: true };
        Pulse { cores: heartbeats.map(watch).collect() }
    }

    /// Looks at each core: gives those that have stopped turning since they were looked at last, or have begun again.
    pub(super) fn feel(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (core, watched) in self.cores.iter_mut().enumerate() {
            let turns = watched.heartbeat.turns();
            let turns_on = turns != watched.turns;
            if turns_on != watched.turns_on {
                changes.push(Change { core, turns_on });
            }
            (watched.turns, watched.turns_on) = (turns, turns_on);
        }
        changes
    }

    /// Whether all cores had turned when they were looked at last.
    pub(super) fn is_regular(&self) -> bool {
        self.cores.iter().all(|core| core.turns_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_that_does_not_turn_is_noticed_once_and_so_is_its_return() {
        let hearts = [Heartbeat::default(), Heartbeat::default()];
        let mut pulse = Pulse::of(hearts.iter().cloned());
        assert!(pulse.is_regular());
        hearts.iter().for_each(Heartbeat::beat);
        assert_eq!((pulse.feel(), pulse.is_regular()), (vec![], true));
        hearts[0].beat();
        assert_eq!((pulse.feel(), pulse.is_regular()), (vec![Change { core: 1, turns_on: false }], false));
        hearts[0].beat();
        assert_eq!((pulse.feel(), pulse.is_regular()), (vec![], false));
        hearts.iter().for_each(Heartbeat::beat);
        assert_eq!((pulse.feel(), pulse.is_regular()), (vec![Change { core: 1, turns_on: true }], true));
    }
}
