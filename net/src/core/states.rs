//! Questions about the server, for which all cores must tell how they are.

use super::operation::OperationKey;
use super::room::CoreState;

/// Questions about the server that clients of a core may have asked and that are not answered: four for each connection that it
/// may have.
pub(super) const STATES_MAX: usize = 64 << 10;

/// Who waits for the states of all cores.
///
/// They are asked once for all who wait, however many those are. Who comes meanwhile waits for the next time: what was told
/// already is older than his question.
#[derive(Debug, Default)]
pub(super) struct StateQuestions {
    /// For whom the cores are being asked.
    asked: Vec<OperationKey>,
    /// What they have told.
    states: Vec<CoreState>,
    /// Who has come since.
    next: Vec<OperationKey>,
}

impl StateQuestions {
    /// Adds somebody who wants to know.
    pub(super) fn add(&mut self, key: OperationKey) {
        self.next.push(key);
    }

    /// Begins to ask for all who have come. True if any have and the cores are not being asked already.
    pub(super) fn begin(&mut self) -> bool {
        if !self.asked.is_empty() {
            return false;
        }
        self.asked = std::mem::take(&mut self.next);
        !self.asked.is_empty()
    }

    /// One of `cores` has told how it is. If it was the last, gives all states and those for whom they were asked.
    pub(super) fn told(
        &mut self,
        state: CoreState,
        cores: u16,
    ) -> Option<(Vec<OperationKey>, Vec<CoreState>)> {
        self.states.push(state);
        let is_last = self.states.len() == usize::from(cores);
        is_last.then(|| (std::mem::take(&mut self.asked), std::mem::take(&mut self.states)))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.next.len()
    }
}
