//! Insertions of claims that come in the order of a table, into an index that had none before.
//!
//! To see whether a claim, its subject and its series are new takes three searches, each of which waits for memory. Claims that come in
//! the order of a table, by slot, subject, predicate and time, need none: whatever equals a part of a claim is next to it. So they are put one
//! behind the other, and the tables that find them are made at once when the first claim comes that is not in this order.

use std::cmp::Ordering;

use super::{Checkpoints, Index, NewClaim};
use crate::claim::{Claim, ClaimHash};
use crate::slot::Slot;
use crate::time::UnixMicros;

/// The most claims of one series and time: each is compared with all of them.
const SAME_TIME_MAX: usize = 16;

/// The most claims that are noted to be retracted later.
const RETRACTED_MAX: usize = if cfg!(test) { 4 } else { 1 << 20 };

/// An index of which nothing is found yet by its name or hash.
#[derive(Debug, Default)]
pub(super) struct Appending {
    last: Option<Last>,
    /// Claims that are retracted.
    retracted: Vec<ClaimHash>,
}

/// The claim that came last.
#[derive(Debug, Clone, Copy)]
struct Last {
    slot: Slot,
    subject: u32,
    series: u32,
    timestamp: UnixMicros,
    /// The first claim of the series at this time.
    first: u32,
}

/// Where a claim comes behind all others.
#[derive(Debug, Clone, Copy)]
enum Place {
    NewSubject(Slot),
    NewSeries(Last),
    Later(Last),
    SameTime(Last),
}

impl Appending {
    /// Inserts the first of `claims`, those that come behind all that are there, and answers how many. They are `stored` in tables, if they are.
    pub(super) fn append(
        &mut self,
        index: &mut Index,
        claims: &[NewClaim<'_>],
        stored: Option<Checkpoints>,
    ) -> usize {
        let is_appended =
            |new: &&NewClaim<'_>| index.check_room().is_ok() && self.append_one(index, new, stored);
        claims.iter().take_while(is_appended).count()
    }

    /// Notes that a claim that was appended is retracted. False if there is no room for more of them.
    pub(super) fn mark_retracted(&mut self, hash: &ClaimHash) -> bool {
        let has_room = self.retracted.len() < RETRACTED_MAX;
        if has_room {
            self.retracted.push(*hash);
        }
        has_room
    }

    /// Makes everything found.
    pub(super) fn finish(self, index: &mut Index) {
        const IN_ORDER: &str = "each came after the one before it";
        index.subjects.index_all(&index.hash).expect(IN_ORDER);
        index.series.index_all(&index.hash).expect(IN_ORDER);
        if index.index_claims().is_err() {
            // Claims that differ have one hash, which is not that of both. As everywhere, the first one has it.
            for id in 0..index.rows.len() as u32 {
                if let Err(vacancy) = index.find_or_vacancy(&ClaimHash(index.rows[id].hash)) {
                    index.by_hash.insert(vacancy, id);
                }
            }
        }
        self.retracted.iter().for_each(|hash| index.mark_retracted(hash));
    }

    fn append_one(&mut self, index: &mut Index, new: &NewClaim<'_>, stored: Option<Checkpoints>) -> bool {
        let Some(place) = self.place(index, &new.claim) else { return false };
        let (slot, subject, series) = match place {
            Place::SameTime(Last { series, first, .. }) => {
                let mut same_time = first..index.rows.len() as u32;
                if same_time.len() == SAME_TIME_MAX {
                    return false;
                }
                match same_time.find(|&id| index.rows[id].hash == new.hash.0) {
                    Some(id) => index.let_go(id, stored),
                    None => _ = index.push(&new.hash, &new.claim, new.order, series, stored),
                }
                return true;
            }
            Place::Later(Last { slot, subject, series, .. }) => (slot, subject, series),
            Place::NewSeries(Last { slot, subject, .. }) => (slot, subject, index.push_series(subject, new)),
            Place::NewSubject(slot) => {
                let subject = index.subjects.push_path(new.claim.subject.as_str());
                (slot, subject, index.push_series(subject, new))
            }
        };
        let first = index.push(&new.hash, &new.claim, new.order, series, stored);
        self.last = Some(Last { slot, subject, series, timestamp: new.claim.timestamp.unix_micros(), first });
        true
    }

    /// Where the claim belongs, if that is behind all others.
    fn place(&self, index: &Index, claim: &Claim<'_>) -> Option<Place> {
        let subject = claim.subject.as_str().as_bytes();
        let Some(last) = self.last else { return Some(Place::NewSubject(Slot::of(subject))) };
        let last_subject = index.subjects.paths().string(last.subject);
        if subject != last_subject {
            let slot = Slot::of(subject);
            return ((slot, subject) > (last.slot, last_subject)).then_some(Place::NewSubject(slot));
        }
        let last_predicate = index.predicates.string(index.series[last.series].predicate);
        let by_predicate = claim.predicate.as_str().as_bytes().cmp(last_predicate);
        match by_predicate.then(claim.timestamp.unix_micros().cmp(&last.timestamp)) {
            Ordering::Less => None,
            Ordering::Equal => Some(Place::SameTime(last)),
            Ordering::Greater if by_predicate.is_eq() => Some(Place::Later(last)),
            Ordering::Greater => Some(Place::NewSeries(last)),
        }
    }
}

impl Index {
    /// Adds a series of a claim that is new, which is not found by its names.
    fn push_series(&mut self, subject: u32, new: &NewClaim<'_>) -> u32 {
        let predicate = self.predicates.intern(&self.hash, new.claim.predicate.as_str().as_bytes());
        let id = self.series.len() as u32;
        let same_subject = self.subjects.push(subject, id);
        self.series.push(subject, predicate, same_subject)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: an index of claims that come in the order of a table for a while is that of the same claims, inserted one by one. Method: a few
    //! subjects, predicates and times, so that there are many of each combination, the same claim more than once among them; sorted up to
    //! some claim, and then in any order.

    use proptest::prelude::*;

    use super::*;
    use crate::claim::{ConceptPath, Predicate, Timestamp, Value, assertion};
    use crate::index::{IndexConfig, IndexLoader};
    use crate::order::WriteOrder;
    use crate::query::{Execution, Query, Step, SubjectFilter};

    const CONFIG: IndexConfig = IndexConfig { bytes_max: u64::MAX, hash_seed: 1 };

    /// What makes a claim: subject, predicate, time and value.
    type Made = (u8, u8, u8, u8);

    fn with_claim<T>(made: Made, order: u64, then: impl FnOnce(&NewClaim<'_>) -> T) -> T {
        let (subject, predicate) = (format!("s/{}", made.0), format!("p{}", made.1));
        let claim = Claim::new(
            ConceptPath::new(&subject).expect("valid"),
            Predicate::new(&predicate).expect("valid"),
            Value::number(made.3.into()).expect("valid"),
            Timestamp::new(UnixMicros(made.2.into())).expect("valid"),
        );
        let hash = assertion::encode(&claim, &[], &mut Vec::new());
        then(&NewClaim { hash, claim, order: WriteOrder::new(1, order) })
    }

    /// All claims, by subject and then as a query has them, and whether each is retracted.
    fn listed(index: &Index) -> Vec<(ClaimHash, WriteOrder, bool)> {
        let mut execution = Execution::new(&Query::new(SubjectFilter::Subtree("s".to_owned())), index);
        while execution.step(index, usize::MAX) == Step::More {}
        let mut listed: Vec<_> =
            index.claims().map(|view| (view.hash(), view.order(), view.retracted())).collect();
        assert!(listed.iter().all(|(hash, ..)| index.contains(hash)));
        listed.sort_unstable();
        let hits = execution.into_hits().into_iter().map(|hit| index.view(hit.claim));
        listed.extend(hits.map(|view| (view.hash(), view.order(), view.retracted())));
        listed
    }

    proptest! {
        #[test]
        fn claims_in_the_order_of_a_table_make_the_same_index(
            mut made in proptest::collection::vec((0..4_u8, 0..2_u8, 0..2_u8, 0..40_u8), 0..400),
            sorted_share in 0..=4_usize,
            retracted_share in 0..4_usize,
        ) {
            let sorted = made.len() * sorted_share / 4;
            made[..sorted].sort_by_key(|made| {
                let subject = format!("s/{}", made.0);
                (Slot::of(subject.as_bytes()), subject, made.1, made.2)
            });
            let (mut loader, mut index) = (IndexLoader::new(CONFIG), Index::new(CONFIG));
            for (at, &made) in made.iter().enumerate() {
                with_claim(made, at as u64, |new| {
                    loader.insert_all(std::slice::from_ref(new)).expect("no bound");
                    index.insert(&new.hash, &new.claim, new.order).expect("no bound");
                    if at % 4 < retracted_share {
                        loader.mark_retracted(&new.hash);
                        index.mark_retracted(&new.hash);
                    }
                });
            }
            prop_assert_eq!(loader.len(), index.len());
            prop_assert_eq!(listed(&loader.finish()), listed(&index));
        }
    }

    /// Claims whose hash is not theirs come from no log of ours; the first one has it, as when they come one by one.
    #[test]
    fn of_claims_that_share_a_hash_the_first_is_found() {
        let mut loader = IndexLoader::new(CONFIG);
        let hash = with_claim((0, 0, 0, 0), 0, |new| {
            loader.insert_all(std::slice::from_ref(new)).expect("no bound");
            new.hash
        });
        with_claim((0, 1, 0, 0), 1, |new| {
            loader.insert_all(&[NewClaim { hash, ..new.clone() }]).expect("no bound");
        });
        let index = loader.finish();
        assert_eq!(index.claim(&hash).expect("it is there").order(), WriteOrder::new(1, 0));
    }
}
