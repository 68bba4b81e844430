//! Questions about the server, for which all cores must tell how they are.

use std::collections::VecDeque;
use std::sync::Arc;

use super::operation::OperationKey;
use super::response::Response;
use super::room::CoreState;
use crate::api::Endpoint;

/// Questions about the server that clients of a core may have asked and that are not answered: four for each connection that it
/// may have.
pub(super) const STATES_MAX: usize = 64 << 10;

/// Questions about the server that a core answers in one turn: each answer but one is a copy, of metrics some 17 KiB.
pub(super) const STATES_TOLD_A_TURN: usize = 64;

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
    /// Who is to be answered, and what.
    answers: VecDeque<StatesAnswer>,
}

/// What somebody is to be answered, which is the same for all who asked it together.
#[derive(Debug)]
pub(super) struct StatesAnswer {
    pub(super) key: OperationKey,
    pub(super) endpoint: Endpoint,
    pub(super) response: Arc<Response>,
}

impl StateQuestions {
    /// Adds somebody who wants to know.
    pub(super) fn add(&mut self, key: OperationKey) {
        self.next.push(key);
    }

    /// Begins to ask for all who have come. True if any have, the cores are not being asked already, and all are answered who
    /// had come before: however many come, there is one answer for them in memory.
    pub(super) fn begin(&mut self) -> bool {
        if !self.asked.is_empty() || self.has_answers() {
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

    /// Has all of `keys` answered with this response.
    pub(super) fn answer(
        &mut self,
        keys: impl Iterator<Item = OperationKey>,
        endpoint: Endpoint,
        response: Response,
    ) {
        let response = Arc::new(response);
        self.answers.extend(keys.map(|key| StatesAnswer { key, endpoint, response: Arc::clone(&response) }));
    }

    /// Takes the next answer to be given.
    pub(super) fn next_answer(&mut self) -> Option<StatesAnswer> {
        self.answers.pop_front()
    }

    /// Whether somebody is to be answered.
    pub(super) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.next.len() + self.answers.len()
    }
}
