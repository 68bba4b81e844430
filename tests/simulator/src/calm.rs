//! What a world shows when its faults have stopped: everybody is served again, and all is as it was said to be.

use std::collections::VecDeque;

use crate::link::LinkNumber;
use crate::server::{Running, Server};
use crate::simulation::{Event, Simulation};

/// Within how long after the last fault the server has tried again whatever failed, in microseconds.
const TRIES_AGAIN_US: u64 = 10_000_000;

/// How far a world has come in showing that all goes on when faults have stopped: at its end, and in the midst of some runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calm {
    /// Things go wrong.
    No,
    /// What went wrong comes to its end.
    Settling,
    /// Clients ask for more, and get all their answers.
    Serving,
    /// Each core stores a claim.
    Probing,
    /// The figures are those of what is held.
    Counting,
}

impl Calm {
    /// Whether the server owes all answers, in time.
    pub(crate) fn is_held_to(self) -> bool {
        matches!(self, Calm::Serving | Calm::Probing | Calm::Counting)
    }
}

impl Simulation {
    /// Clients have done what they wanted to do for now.
    pub(crate) fn go_on(&mut self) {
        let calm = self.calm;
        match calm {
            Calm::No if self.scenario.lulls.happens(&mut self.random) && !self.has_failed() => {
                self.begin_lull()
            }
            Calm::No => self.end_run(),
            // What failed before the faults stopped stays as it is until the next start.
            Calm::Settling if self.has_failed() => self.end_run(),
            _ if !self.is_at_rest() => {}
            Calm::Settling if self.time_us - self.calm_since_us < TRIES_AGAIN_US => {}
            Calm::Settling => {
                self.enter(Calm::Serving);
                self.operations_left = self.scenario.operations_a_run.div_ceil(2);
            }
            Calm::Serving => {
                if let Some(link) = self.inspect() {
                    self.enter(Calm::Probing);
                    self.ask_for_progress(link);
                }
            }
            Calm::Probing => {
                if let Some(link) = self.inspect() {
                    self.enter(Calm::Counting);
                    self.ask_for_figures(link);
                }
            }
            Calm::Counting => {
                self.totals.inspections += 1;
                self.end_run();
            }
        }
    }

    /// Comes so far.
    pub(crate) fn enter(&mut self, calm: Calm) {
        self.auditor.tell(self.time_us, || format!("calm: {calm:?}"));
        self.calm = calm;
        self.calm_since_us = self.time_us;
    }

    /// The faults stop while the server runs.
    fn begin_lull(&mut self) {
        let calm = self.scenario.without_faults();
        let upkeep_starved = self.scenario.upkeep_starves;
        self.faulty = Some(std::mem::replace(&mut self.scenario, calm));
        self.disk.get().is_full = false;
        self.links.values_mut().for_each(|link| link.reads_slowly = false);
        if upkeep_starved && self.model.is_open {
            let begin_us = self.time_us;
            self.server().keeper.begin_at(begin_us);
            self.schedule.add(begin_us, Event::Upkeep);
        }
        self.enter(Calm::Settling);
    }

    /// Whether something has failed that only a start can heal, or the disk has lied.
    fn has_failed(&self) -> bool {
        let mut disk = self.disk.get();
        let has_lied = !disk.lied_about().is_empty() || disk.lied_about_in_store().is_some();
        drop(disk);
        has_lied
            || !self.model.lanes_failed.is_empty()
            || self.model.upkeep_failed
            || self.model.reads_failed
            || self.model.damage_met
    }

    /// Whether the server serves, no client waits for anything, nothing is on its way between cores or to the disk, and log and tables are in
    /// order.
    fn is_at_rest(&self) -> bool {
        let rests = |running: &Running| {
            !running.is_preparing && running.writes.is_empty() && running.inbox.is_empty()
        };
        let serves = |server: &Server| {
            server.serving == server.cores.len()
                && server.keeper.is_idle()
                && server.cores.iter().all(rests)
                && server.queues.iter().flatten().all(VecDeque::is_empty)
        };
        self.server.as_ref().is_some_and(serves)
            && self.clients.iter().all(|client| client.outstanding() == 0 && !client.is_reading())
    }

    /// The connection of the inspector, if a core has room for it now.
    fn inspect(&mut self) -> Option<LinkNumber> {
        let inspector = self.scenario.clients;
        if self.connected[inspector].is_none() {
            self.connect(inspector);
        }
        self.connected[inspector]
    }

    /// The inspector has lost its connection before it was answered, and is to ask for the same again.
    pub(crate) fn inspect_again(&mut self) {
        self.calm = match self.calm {
            Calm::Probing => Calm::Serving,
            Calm::Counting => Calm::Probing,
            calm => calm,
        };
    }

    /// Has every core of a server at rest store a claim, and answer. None may refuse.
    fn ask_for_progress(&mut self, link: LinkNumber) {
        let cores = self.server().cores.len() as u16;
        let request =
            self.clients[self.scenario.clients].ask_for_progress(&mut self.model, cores, self.time_us);
        self.send_up(link, &request);
    }

    /// Compares the figures of a server at rest with what it holds.
    fn ask_for_figures(&mut self, link: LinkNumber) {
        let known = self.check_rest();
        let request = self.clients[self.scenario.clients].ask_for_figures(known, self.time_us);
        self.send_up(link, &request);
    }
}
