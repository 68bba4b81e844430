//! What clients have asked of a server and been told, and whether what a server holds later agrees with it.
//!
//! Nothing here knows how the server works. A claim that was sent may be there from then on; once it was acknowledged or
//! shown to a query it must be there for ever; one that was refused as often as it was sent must not be there. What was still unanswered at
//! a crash is settled by what the next listing shows: there for ever, or not at all until it is sent again. A
//! retraction strikes all claims of its group that were certain before it was sent, or none.
//!
//! All is ordered by [`Tick`]s. So a listing can be held against any [`Cut`] of the past as well: that of a copy of the
//! disk which was made while the clients went on.

mod check;
mod name;
mod record;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::Random;
use crate::claims::{Row, TestClaim};

pub use name::{Group, Name};
pub use record::Retraction;
use record::{ClaimRecord, Fate, RetractionRecord};
pub use violation::Violation;

/// A place in the order of all that the clients did and learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

/// A time during which something happened that clients do not see: a crash, or a copy of the disk.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// What was known by then must be there.
    pub before: Tick,
    /// What was first sent after it cannot be there.
    pub after: Tick,
}

/// All that happened on one data directory, from many connections at once.
#[derive(Debug)]
pub struct History {
    contents: Random,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ticks: u64,
    claims: HashMap<Name, ClaimRecord>,
    /// Sent once, and known not to be there.
    absent: Vec<Name>,
    retractions: HashMap<Group, Vec<RetractionRecord>>,
    violations: Vec<Violation>,
    tally: Tally,
}

/// How much there is in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Claims acknowledged, each time that one was.
    pub acknowledged: u64,
    /// Claims refused, each time that one was.
    pub refused: u64,
    /// Claims that a crash left without an answer and that were there after it.
    pub unanswered_there: u64,
    /// Claims that a crash left without an answer and that were not.
    pub unanswered_absent: u64,
    /// Claims in answers to queries while others wrote.
    pub seen: u64,
    /// Retractions acknowledged.
    pub retractions_acknowledged: u64,
    /// Retractions that a crash left without an answer and that happened.
    pub retractions_completed: u64,
    /// Retractions that a crash left without an answer and that never happened.
    pub retractions_never: u64,
}

impl History {
    /// An empty history, in which claims have the contents that `contents` gives them.
    pub fn new(contents: Random) -> History {
        History { contents, state: Mutex::default() }
    }

    /// The claim of a name.
    pub fn claim(&self, name: Name) -> TestClaim {
        name.claim(&self.contents)
    }

    /// The present.
    pub fn now(&self) -> Tick {
        self.lock().tick()
    }

    /// Notes that claims are about to be sent.
    pub fn sent(&self, names: &[Name]) {
        let mut state = self.lock();
        let tick = state.tick();
        for name in names {
            state.claims.entry(*name).or_insert_with(|| ClaimRecord::sent(tick)).open += 1;
        }
    }

    /// Notes that a claim is acknowledged, with this hash where the answer told it.
    pub fn acknowledged(&self, name: Name, hash: Option<&str>) {
        let mut state = self.lock();
        let tick = state.tick();
        state.tally.acknowledged += 1;
        let claim = state.claims.get_mut(&name).expect("it was sent");
        claim.certain.get_or_insert(tick);
        let known = claim.hash.clone();
        match (hash, known) {
            (Some(hash), None) => claim.hash = Some(hash.to_owned()),
            (Some(hash), Some(known)) if *hash != known => {
                state.violations.push(Violation::OtherHash { name, known, told: hash.to_owned() });
            }
            _ => {}
        }
    }

    /// Notes that a request to store a claim was refused: by this one nothing of it may be there.
    pub fn refused(&self, name: Name) {
        let mut state = self.lock();
        state.tally.refused += 1;
        let claim = state.claims.get_mut(&name).expect("it was sent");
        claim.open = claim.open.checked_sub(1).expect("a request is refused once");
    }

    /// Notes that a group of claims is about to be retracted.
    pub fn retraction_sent(&self, group: Group) -> Retraction {
        let mut state = self.lock();
        let sent = state.tick();
        let of_group = state.retractions.entry(group).or_default();
        of_group.push(RetractionRecord { sent, answered: None, fate: Fate::Open });
        Retraction { group, number: of_group.len() - 1 }
    }

    /// Notes that a retraction is acknowledged.
    pub fn retraction_acknowledged(&self, retraction: Retraction) {
        let mut state = self.lock();
        let tick = state.tick();
        state.tally.retractions_acknowledged += 1;
        let record = state.retraction(retraction);
        record.answered = Some(tick);
        record.fate = Fate::Happened;
    }

    /// Notes that a retraction was refused, so that it strikes nothing.
    pub fn retraction_refused(&self, retraction: Retraction) {
        self.lock().retraction(retraction).fate = Fate::Never;
    }

    /// Notes an answer that the server should not have given.
    pub fn unexpected(&self, what: String) {
        self.lock().violations.push(Violation::Unexpected { what });
    }

    /// Notes what a query that was sent after `asked` has shown while other clients went on. Claims among `wanted` that
    /// were certain when it was sent must be among the rows.
    pub fn seen(&self, rows: &[Row], wanted: &[Name], asked: Tick) {
        let mut state = self.lock();
        let after = state.tick();
        let found = check::rows(&self.contents, &state, rows, Cut { before: asked, after });
        let missing = check::missing(&state, wanted.iter(), &found.held, asked);
        state.violations.extend(found.violations);
        state.violations.extend(missing);
        state.tally.seen += found.held.len() as u64;
        for (name, row) in found.held {
            state.claims.get_mut(&name).expect("it was found in the history").show(row, after);
        }
    }

    /// Compares all that a server holds, retracted claims included, with what it must and may hold at `cut`. Gives what
    /// is wrong, and all that was noted as wrong before.
    pub fn check(&self, rows: &[Row], cut: Cut) -> Vec<Violation> {
        let mut state = self.lock();
        let found = check::rows(&self.contents, &state, rows, cut);
        let mut violations = std::mem::take(&mut state.violations);
        violations.extend(found.violations);
        violations.extend(check::missing(&state, state.claims.keys(), &found.held, cut.before));
        violations.extend(check::retractions(&state, &found.held, cut));
        violations
    }

    /// Compares all that a server holds after a crash with the history, while no client writes, and settles what had been
    /// left open: what is there now stays, and what is not there must not come back.
    pub fn check_and_settle(&self, rows: &[Row]) -> Vec<Violation> {
        let now = self.now();
        let violations = self.check(rows, Cut { before: now, after: now });
        if violations.is_empty() {
            check::settle(&mut self.lock(), rows, now);
        }
        violations
    }

    /// Takes up to `most` claims that are known not to be there, to be sent again.
    pub fn take_absent(&self, most: usize) -> Vec<Name> {
        let mut state = self.lock();
        let keep = state.absent.len().saturating_sub(most);
        state.absent.split_off(keep)
    }

    /// Up to `most` claims that are certain to be there, chosen by `random`.
    pub fn some_certain(&self, most: usize, random: &mut Random) -> Vec<Name> {
        let state = self.lock();
        let mut certain: Vec<Name> =
            state.claims.iter().filter(|(_, claim)| claim.certain.is_some()).map(|(name, _)| *name).collect();
        // A map has another order in each process, and a seed must choose the same claims again.
        certain.sort_unstable();
        if certain.is_empty() {
            return certain;
        }
        let last = certain.len() as u64 - 1;
        (0..most.min(certain.len())).map(|_| certain[random.within(0..=last) as usize]).collect()
    }

    /// How much there is in it.
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }
}

impl State {
    fn tick(&mut self) -> Tick {
        self.ticks += 1;
        Tick(self.ticks)
    }

    fn retraction(&mut self, retraction: Retraction) -> &mut RetractionRecord {
        let of_group = self.retractions.get_mut(&retraction.group).expect("it was sent");
        &mut of_group[retraction.number]
    }
}
