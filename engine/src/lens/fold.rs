//! The fold by which a lens takes its candidates in, one by one, and then names the winner.

use std::cmp::Ordering;

use hashbrown::HashTable;

use super::Lens;
use crate::order::ListKey;
use crate::planted::{self, Bug};

/// A claim that a lens may pick. `C` is how the caller names claims.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<C> {
    /// The claim.
    pub claim: C,
    /// Where it stands in a list, which breaks ties.
    pub key: ListKey,
    /// Its confidence, faded if decay was asked for. Not NaN.
    pub confidence: f64,
}

/// What a lens made of its candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution<C> {
    /// The claim that the lens picks.
    pub winner: C,
    /// How many candidates hold the winner's value.
    pub supporting: u64,
    /// How many candidates there were.
    pub candidates: u64,
    /// How many different values they held.
    pub distinct_values: u64,
    /// The best that the lens found among the other values.
    pub runner_up: Option<RunnerUp<C>>,
}

/// The claim that a lens would have picked if no claim had held the winner's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerUp<C> {
    /// The claim.
    pub claim: C,
    /// How many candidates hold its value.
    pub supporting: u64,
}

/// Up to how many distinct values are told apart by looking at each. Most series have fewer, and emptying a
/// table takes as long as the largest series needed it to be.
const SCANNED_GROUPS_MAX: usize = 8;

/// A lens at work. Takes memory for each distinct value, not for each candidate, and keeps it for the next
/// series.
#[derive(Debug)]
pub struct Fold<C> {
    lens: Lens,
    candidates: u64,
    groups: Vec<Group<C>>,
    /// The groups' indices, by the hashes of their values, once there are more than [`SCANNED_GROUPS_MAX`].
    by_value: HashTable<u32>,
    /// The best and the second-best group.
    best: Option<usize>,
    second: Option<usize>,
}

/// The candidates that hold one value.
#[derive(Debug)]
struct Group<C> {
    value_hash: u64,
    claims: u64,
    best: Candidate<C>,
}

impl<C: Copy> Fold<C> {
    /// A fold that has seen no candidate.
    pub fn new(lens: Lens) -> Fold<C> {
        let (groups, by_value) = (Vec::new(), HashTable::new());
        Fold { lens, candidates: 0, groups, by_value, best: None, second: None }
    }

    /// Takes a candidate in. `value_hash` is any hash of its value, `is_same_value` tells whether an earlier
    /// candidate holds an equal one.
    pub fn add(&mut self, candidate: Candidate<C>, value_hash: u64, is_same_value: impl Fn(C) -> bool) {
        assert!(!candidate.confidence.is_nan(), "a confidence is a number");
        self.candidates += 1;
        let at = match self.group_of(value_hash, is_same_value) {
            Some(at) => {
                let group = &mut self.groups[at];
                group.claims += 1;
                if self.lens.compare(&candidate, &group.best).is_lt() {
                    group.best = candidate;
                }
                at
            }
            None => self.add_group(Group { value_hash, claims: 1, best: candidate }),
        };
        self.rank(at);
    }

    /// The outcome over all candidates since the last outcome, if there were any; the next candidate begins
    /// anew.
    pub fn finish(&mut self) -> Option<Resolution<C>> {
        let (mut best, mut second) = (self.best.take()?, self.second.take());
        if planted::is(Bug::PickLosers)
            && let Some(second) = &mut second
        {
            std::mem::swap(&mut best, second);
        }
        let (best, second) = (&self.groups[best], second.map(|second| &self.groups[second]));
        let resolution = Resolution {
            winner: best.best.claim,
            supporting: best.claims,
            candidates: self.candidates,
            distinct_values: self.groups.len() as u64,
            runner_up: second.map(|group| RunnerUp { claim: group.best.claim, supporting: group.claims }),
        };
        self.candidates = 0;
        self.groups.clear();
        if !self.by_value.is_empty() {
            self.by_value.clear();
        }
        Some(resolution)
    }

    fn group_of(&self, value_hash: u64, is_same_value: impl Fn(C) -> bool) -> Option<usize> {
        let is_it = |group: &Group<C>| group.value_hash == value_hash && is_same_value(group.best.claim);
        if self.groups.len() <= SCANNED_GROUPS_MAX {
            return self.groups.iter().position(is_it);
        }
        self.by_value.find(value_hash, |&at| is_it(&self.groups[at as usize])).map(|&at| at as usize)
    }

    fn add_group(&mut self, group: Group<C>) -> usize {
        let at = self.groups.len();
        self.groups.push(group);
        let unlisted = match self.groups.len() {
            ..=SCANNED_GROUPS_MAX => 0..0,
            // One more than can be scanned: from now on the table has them all.
            len if self.by_value.is_empty() => 0..len,
            len => at..len,
        };
        for at in unlisted {
            let groups = &self.groups;
            let number = u32::try_from(at).expect("an index holds fewer claims than that");
            self.by_value.insert_unique(groups[at].value_hash, number, |&at| groups[at as usize].value_hash);
        }
        at
    }

    /// Ranks a group again that has become better; none ever becomes worse.
    fn rank(&mut self, at: usize) {
        let is_better = |than: Option<usize>| {
            than.is_none_or(|than| self.lens.compare_groups(&self.groups[at], &self.groups[than]).is_lt())
        };
        if self.best == Some(at) {
            return;
        }
        if is_better(self.best) {
            self.second = self.best.replace(at);
        } else if is_better(self.second) {
            self.second = Some(at);
        }
    }
}

impl Lens {
    /// Which of two claims with the same value stands for it: the lesser.
    fn compare<C>(self, one: &Candidate<C>, other: &Candidate<C>) -> Ordering {
        match self {
            Lens::Recency | Lens::Consensus => one.key.cmp(&other.key),
            Lens::Confidence => {
                other.confidence.total_cmp(&one.confidence).then_with(|| one.key.cmp(&other.key))
            }
        }
    }

    /// Which of two values wins: the lesser.
    fn compare_groups<C>(self, one: &Group<C>, other: &Group<C>) -> Ordering {
        match self {
            Lens::Recency | Lens::Confidence => self.compare(&one.best, &other.best),
            Lens::Consensus => {
                other.claims.cmp(&one.claims).then_with(|| self.compare(&one.best, &other.best))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::order::WriteOrder;
    use crate::time::UnixMicros;

    /// Timestamp, LSN, hash, confidence in tenths, value.
    type Sample = (i64, u64, u8, u8, u8);

    fn candidate(claim: usize, &(timestamp, lsn, hash, tenths, _): &Sample) -> Candidate<usize> {
        let key =
            ListKey { timestamp: UnixMicros(timestamp), order: WriteOrder::new(1, lsn), hash: [hash; 32] };
        Candidate { claim, key, confidence: f64::from(tenths) / 10.0 }
    }

    /// Feeds the samples in the order in which `numbers` names them. All values share two hashes, so that
    /// equal hashes prove nothing.
    fn fold(lens: Lens, samples: &[Sample], numbers: &[usize]) -> Option<Resolution<usize>> {
        let mut fold = Fold::new(lens);
        for &at in numbers {
            let value = samples[at].4;
            fold.add(candidate(at, &samples[at]), u64::from(value & 1), |other| samples[other].4 == value);
        }
        let resolution = fold.finish();
        assert_eq!(fold.finish(), None, "an outcome begins anew");
        resolution
    }

    /// What the lenses promise, computed plainly: among which claims, then by which order.
    fn naive(lens: Lens, samples: &[Sample]) -> Option<Resolution<usize>> {
        let holding = |value| samples.iter().filter(move |sample| sample.4 == value).count();
        let pick = |among: &[usize]| {
            among.iter().copied().min_by_key(|&at| {
                let (timestamp, lsn, hash, tenths, value) = samples[at];
                let first = match lens {
                    Lens::Recency => 0,
                    Lens::Consensus => holding(value),
                    Lens::Confidence => usize::from(tenths),
                };
                (std::cmp::Reverse((first, timestamp, lsn)), hash)
            })
        };
        let all: Vec<usize> = (0..samples.len()).collect();
        let winner = pick(&all)?;
        let others: Vec<usize> = all.into_iter().filter(|&at| samples[at].4 != samples[winner].4).collect();
        Some(Resolution {
            winner,
            supporting: holding(samples[winner].4) as u64,
            candidates: samples.len() as u64,
            distinct_values: samples
                .iter()
                .map(|sample| sample.4)
                .collect::<std::collections::HashSet<_>>()
                .len() as u64,
            runner_up: pick(&others)
                .map(|claim| RunnerUp { claim, supporting: holding(samples[claim].4) as u64 }),
        })
    }

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        // Few different numbers, so that every kind of tie happens; hashes made unique, as they are.
        let sample = (0_i64..4, 0_u64..3, 0_u8..=10, prop_oneof![0_u8..5, 0_u8..40]);
        proptest::collection::vec(sample, 0..60).prop_map(|samples| {
            let numbered = samples.into_iter().zip(0_u8..);
            numbered
                .map(|((timestamp, lsn, tenths, value), at)| (timestamp, lsn, at, tenths, value))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_winner_is_the_promised_one_whatever_the_order(
            (samples, shuffled) in samples().prop_flat_map(|samples| {
                let numbers: Vec<usize> = (0..samples.len()).collect();
                (Just(samples), Just(numbers).prop_shuffle())
            })
        ) {
            for lens in Lens::ALL {
                let expected = naive(lens, &samples);
                let numbers: Vec<usize> = (0..samples.len()).collect();
                prop_assert_eq!(fold(lens, &samples, &numbers), expected);
                prop_assert_eq!(fold(lens, &samples, &shuffled), expected);
            }
        }
    }

    #[test]
    fn lenses_disagree_where_they_should() {
        // Value 0 is newest, value 1 is held by most, value 2 is the most confident.
        let samples = [(9, 1, 0, 5, 0), (5, 1, 1, 4, 1), (4, 1, 2, 3, 1), (1, 1, 3, 9, 2)];
        let winner = |lens| fold(lens, &samples, &[0, 1, 2, 3]).map(|resolution| resolution.winner);
        assert_eq!(winner(Lens::Recency), Some(0));
        assert_eq!(winner(Lens::Consensus), Some(1));
        assert_eq!(winner(Lens::Confidence), Some(3));
    }
}
