//! What must be true, from what clients have sent and what they were told.
//!
//! The model knows of each claim whether it must be stored, may be, or must not be, and the same of its retraction.
//! It has no opinion about order in time beyond what clients can know: something that ended before something else
//! began.

use std::collections::{BTreeMap, BTreeSet};

/// A moment as clients know it: they are counted.
pub(crate) type Moment = u64;

/// Which claim: its place in the model.
pub(crate) type ClaimNumber = usize;

/// Which retraction: its place in the model.
pub(crate) type RetractionNumber = usize;

/// A claim that some client sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    /// Its subject.
    pub(crate) subject: String,
    /// Its predicate.
    pub(crate) predicate: String,
    /// The path of its source, if it has one.
    pub(crate) source: Option<String>,
    /// Its text.
    pub(crate) value: String,
    /// In thousandths.
    pub(crate) confidence_milli: u64,
    /// Microseconds since 1970; `None` leaves it to the server.
    pub(crate) timestamp_us: Option<i64>,
}

/// A claim, as somebody says it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// The claim's number, as its value tells.
    pub(crate) number: ClaimNumber,
    /// Its subject.
    pub(crate) subject: String,
    /// Its predicate.
    pub(crate) predicate: String,
    /// Its text.
    pub(crate) value: String,
    /// Its confidence, rounded to thousandths.
    pub(crate) confidence_milli: u64,
    /// Microseconds since 1970.
    pub(crate) timestamp_us: i64,
    /// Whether it has been retracted.
    pub(crate) retracted: bool,
}

#[derive(Debug)]
struct KnownClaim {
    claim: Claim,
    first_sent: Moment,
    last_sent: Moment,
    /// Attempts whose outcome is not known and that may still be stored.
    open: u32,
    /// When it was first known to be stored: acknowledged, or seen.
    stored: Option<Moment>,
    /// The time that the server gave it, if it had none, as first seen.
    given_us: Option<i64>,
    /// When it was first seen to be retracted.
    seen_retracted: Option<Moment>,
}

#[derive(Debug)]
struct KnownRetraction {
    path: String,
    sent: Moment,
    /// When it can have had no further effect: it was answered, or the server was started again.
    ended: Option<Moment>,
    happened: Happened,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happened {
    Unknown,
    Yes,
    No,
}

/// What is known of all claims and retractions.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Whether all cores know what they hold.
    pub(crate) is_open: bool,
    /// The lanes that a failed write has ended since the last start.
    pub(crate) lanes_failed: BTreeSet<usize>,
    /// Whether a failure has ended the upkeep since the last start.
    pub(crate) upkeep_failed: bool,
    /// Whether a read of a table has gone wrong since the last start.
    pub(crate) reads_failed: bool,
    /// Whether upkeep has met since then what is not what was written, or cannot be read.
    pub(crate) damage_met: bool,
    moment: Moment,
    claims: Vec<KnownClaim>,
    retractions: Vec<KnownRetraction>,
}

/// What an answer to a question about claims has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Claims that were not retracted.
    Active,
    /// All.
    All,
}

impl Model {
    /// A number that is greater than those before it.
    pub(crate) fn tick(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    /// Takes in a claim that is going to be sent. Its value must tell this number.
    pub(crate) fn next_claim(&self) -> ClaimNumber {
        self.claims.len()
    }

    /// A claim by its number.
    pub(crate) fn claim(&self, number: ClaimNumber) -> &Claim {
        &self.claims[number].claim
    }

    /// How many claims there are that may be stored.
    pub(crate) fn possible(&self) -> usize {
        self.claims.iter().filter(|known| known.may_be_stored()).count()
    }

    /// How many claims there are that must be stored.
    pub(crate) fn certain(&self) -> usize {
        self.claims.iter().filter(|known| known.stored.is_some()).count()
    }

    /// Notes a claim that is being sent for the first time.
    pub(crate) fn send_new(&mut self, claim: Claim) -> ClaimNumber {
        let first_sent = self.tick();
        self.claims.push(KnownClaim {
            claim,
            first_sent,
            last_sent: first_sent,
            open: 1,
            stored: None,
            given_us: None,
            seen_retracted: None,
        });
        self.claims.len() - 1
    }

    /// Notes that a claim is being sent once more. No answer to an earlier attempt can come any more.
    pub(crate) fn send_again(&mut self, number: ClaimNumber) {
        let moment = self.tick();
        let known = &mut self.claims[number];
        known.open += 1;
        known.last_sent = moment;
    }

    /// Whether the last attempt to store a claim must have found it stored already, and whether it can have. To be asked
    /// before that attempt's answer is noted.
    pub(crate) fn existed(&self, number: ClaimNumber) -> (bool, bool) {
        let known = &self.claims[number];
        let must = known.stored.is_some_and(|stored| stored < known.last_sent);
        (must, known.last_sent > known.first_sent)
    }

    /// A claim was acknowledged.
    pub(crate) fn acknowledged(&mut self, number: ClaimNumber) {
        let moment = self.tick();
        let known = &mut self.claims[number];
        known.open -= 1;
        known.stored.get_or_insert(moment);
    }

    /// A claim was refused, with the promise that this attempt has written nothing.
    pub(crate) fn refused(&mut self, number: ClaimNumber) {
        self.claims[number].open -= 1;
    }

    /// Notes a retraction that is being sent.
    pub(crate) fn send_retraction(&mut self, path: String) -> RetractionNumber {
        let sent = self.tick();
        self.retractions.push(KnownRetraction { path, sent, ended: None, happened: Happened::Unknown });
        self.retractions.len() - 1
    }

    /// A retraction was answered: so many claims were taken back.
    pub(crate) fn retracted(&mut self, number: RetractionNumber, count: u64) {
        let moment = self.tick();
        let retraction = &mut self.retractions[number];
        retraction.ended = Some(moment);
        assert!(retraction.happened != Happened::No, "a retraction that never was has been acknowledged");
        retraction.happened = Happened::Yes;
        let retraction = &self.retractions[number];
        let covered = || self.claims.iter().filter(|known| retraction.covers(&known.claim));
        let may = covered().filter(|known| known.may_be_stored()).count() as u64;
        assert!(count <= may, "a retraction of {} took back {count} claims of {may}", retraction.path);
        let must = covered()
            .filter(|known| known.stored.is_some_and(|stored| stored < retraction.sent))
            .filter(|known| !self.others_may_retract(known, number))
            .count() as u64;
        assert!(
            count >= must,
            "a retraction of {} took back {count} claims instead of {must}",
            retraction.path
        );
    }

    /// A retraction was refused, with the promise that nothing was done.
    pub(crate) fn retraction_refused(&mut self, number: RetractionNumber) {
        let moment = self.tick();
        let retraction = &mut self.retractions[number];
        retraction.ended = Some(moment);
        assert!(retraction.happened != Happened::Yes, "a retraction that was seen has been refused");
        retraction.happened = Happened::No;
    }

    /// Checks what a subject's claims, or all below a path, are said to be. `covers` tells which claims were asked
    /// for; `sent` is when.
    pub(crate) fn check_list(
        &mut self,
        rows: &[Stored],
        asked: Asked,
        sent: Moment,
        covers: impl Fn(&Claim) -> bool,
        what: &str,
    ) {
        let mut found = BTreeMap::new();
        for row in rows {
            assert!(found.insert(row.number, row).is_none(), "{what}: claim {} is there twice", row.number);
            let known = self.claims.get(row.number);
            assert!(known.is_some_and(|known| covers(&known.claim)), "{what}: {row:?} was not asked for");
        }
        for row in rows {
            self.check_row(row, asked, sent, what);
        }
        for (number, known) in self.claims.iter().enumerate() {
            let must = known.stored.is_some_and(|stored| stored < sent) && covers(&known.claim);
            if !must || found.contains_key(&number) {
                continue;
            }
            let excused = asked == Asked::Active && self.may_be_retracted(known);
            assert!(
                excused,
                "{what}: claim {number} was stored at {:?} and is gone: {:?}",
                known.stored, known
            );
        }
    }

    /// Checks a claim that is said to be stored.
    pub(crate) fn check_row(&mut self, row: &Stored, asked: Asked, sent: Moment, what: &str) {
        let moment = self.tick();
        let known = &self.claims[row.number];
        let Claim { subject, predicate, value, confidence_milli, timestamp_us, .. } = &known.claim;
        let same = *subject == row.subject
            && *predicate == row.predicate
            && *value == row.value
            && *confidence_milli == row.confidence_milli
            && timestamp_us.or(known.given_us).is_none_or(|timestamp_us| timestamp_us == row.timestamp_us);
        assert!(same, "{what}: {row:?} is not what was sent: {known:?}");
        assert!(known.may_be_stored(), "{what}: claim {} was refused and is there: {known:?}", row.number);
        if row.retracted {
            assert!(
                asked == Asked::All,
                "{what}: claim {} is retracted, which was not asked for",
                row.number
            );
            assert!(
                self.may_be_retracted(known),
                "{what}: nobody has retracted claim {}: {known:?}",
                row.number
            );
            self.retraction_seen(row.number);
        } else {
            let why = self.must_be_retracted(known, sent);
            assert!(why.is_none(), "{what}: claim {} was retracted by {why:?}: {known:?}", row.number);
        }
        let known = &mut self.claims[row.number];
        if row.retracted {
            known.seen_retracted.get_or_insert(moment);
        }
        known.stored.get_or_insert(moment);
        known.given_us.get_or_insert(row.timestamp_us);
    }

    /// Checks what one answer of one core says about claims that it has all found at one moment: one that was sent when another was known to
    /// be stored is not there without that one.
    pub(crate) fn check_moment(&self, rows: &[Stored], asked: Asked, covers: impl Fn(&Claim) -> bool) {
        let found: BTreeSet<_> = rows.iter().map(|row| row.number).collect();
        let sent_last = found.iter().map(|number| self.claims[*number].first_sent).max();
        let Some(sent_last) = sent_last else { return };
        for (number, known) in self.claims.iter().enumerate() {
            let was_there = known.stored.is_some_and(|stored| stored < sent_last) && covers(&known.claim);
            let excused = asked == Asked::Active && self.may_be_retracted(known);
            assert!(
                !was_there || excused || found.contains(&number),
                "a list has a claim that was sent when {number} was stored, and has not {number}: {known:?}"
            );
        }
    }

    /// The server is at rest, and holds exactly `rows`.
    pub(crate) fn rests(&mut self, rows: &[Stored]) {
        let sent = self.tick();
        self.check_list(rows, Asked::All, sent, |_| true, "at rest");
        self.settle_retractions(rows);
    }

    /// The server has been started again, and holds exactly `rows`.
    pub(crate) fn restarted(&mut self, rows: &[Stored]) {
        let sent = self.tick();
        let before = self.moment;
        self.lanes_failed.clear();
        self.upkeep_failed = false;
        self.reads_failed = false;
        self.damage_met = false;
        for retraction in &mut self.retractions {
            retraction.ended.get_or_insert(before);
        }
        self.check_list(rows, Asked::All, sent, |_| true, "after a start");
        self.settle_retractions(rows);
        for known in &mut self.claims {
            known.open = 0;
        }
    }

    /// Decides which retractions of unknown outcome have happened: each wholly or not at all.
    fn settle_retractions(&mut self, rows: &[Stored]) {
        let mut retracted = vec![None; self.claims.len()];
        for row in rows {
            retracted[row.number] = Some(row.retracted);
        }
        for number in 0..self.retractions.len() {
            let retraction = &self.retractions[number];
            if retraction.happened == Happened::No {
                continue;
            }
            let mut evidence: [Option<ClaimNumber>; 2] = [None, None];
            for (claim, known) in self.claims.iter().enumerate() {
                let before = known.stored.is_some_and(|stored| stored < retraction.sent);
                if before && retraction.covers(&known.claim) {
                    let is_retracted = retracted[claim].expect("what is stored was found");
                    // A claim that is active tells whatever others may have done; one that is retracted does not.
                    if !is_retracted || !self.others_may_retract(known, number) {
                        evidence[usize::from(is_retracted)] = Some(claim);
                    }
                }
            }
            let path = &retraction.path;
            match evidence {
                [Some(active), Some(retracted)] => {
                    panic!("half a retraction of {path}: it took back {retracted} and not {active}")
                }
                [Some(active), None] => {
                    assert!(
                        retraction.happened != Happened::Yes,
                        "a retraction of {path} has been undone: {active} is active again"
                    );
                    self.retractions[number].happened = Happened::No;
                }
                [None, Some(_)] => self.retractions[number].happened = Happened::Yes,
                [None, None] => {}
            }
        }
    }

    /// A retracted claim was seen: if only one retraction can have done that, it has happened.
    fn retraction_seen(&mut self, number: ClaimNumber) {
        let known = &self.claims[number];
        let mut candidates =
            (0..self.retractions.len()).filter(|at| self.retractions[*at].may_retract(known));
        if let (Some(only), None) = (candidates.next(), candidates.next()) {
            self.retractions[only].happened = Happened::Yes;
        }
    }

    fn may_be_retracted(&self, known: &KnownClaim) -> bool {
        self.retractions.iter().any(|retraction| retraction.may_retract(known))
    }

    fn others_may_retract(&self, known: &KnownClaim, number: RetractionNumber) -> bool {
        let others = self.retractions.iter().enumerate().filter(|(other, _)| *other != number);
        others.into_iter().any(|(_, retraction)| retraction.may_retract(known))
    }

    /// The retraction because of which the claim cannot be active for who asked at `sent`.
    fn must_be_retracted(&self, known: &KnownClaim, sent: Moment) -> Option<String> {
        if known.seen_retracted.is_some_and(|seen| seen < sent) {
            return Some("what was seen before".to_owned());
        }
        let stored = known.stored?;
        let must = |retraction: &&KnownRetraction| {
            retraction.happened == Happened::Yes
                && retraction.covers(&known.claim)
                && stored < retraction.sent
                && retraction.ended.is_some_and(|ended| ended < sent)
        };
        self.retractions.iter().find(must).map(|retraction| format!("{retraction:?}"))
    }

    /// Whether the claim must be in the list of active claims of who asked at `sent`.
    pub(crate) fn must_be_active(&self, number: ClaimNumber, sent: Moment) -> bool {
        let known = &self.claims[number];
        known.stored.is_some_and(|stored| stored < sent) && !self.may_be_retracted(known)
    }

    /// The claims whose numbers and texts `covers` picks.
    pub(crate) fn claims_where(&self, covers: impl Fn(&Claim) -> bool) -> impl Iterator<Item = ClaimNumber> {
        let covered = self.claims.iter().enumerate().filter(move |(_, known)| covers(&known.claim));
        covered.map(|(number, _)| number)
    }
}

impl KnownClaim {
    fn may_be_stored(&self) -> bool {
        self.open > 0 || self.stored.is_some()
    }
}

impl KnownRetraction {
    /// Whether it concerns the claim: its path is the claim's subject, or its source or above it.
    fn covers(&self, claim: &Claim) -> bool {
        let below = |source: &String| {
            source.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        claim.subject == self.path || claim.source.as_ref().is_some_and(below)
    }

    fn may_retract(&self, known: &KnownClaim) -> bool {
        self.happened != Happened::No
            && self.covers(&known.claim)
            && self.ended.is_none_or(|ended| known.first_sent < ended)
    }
}
