//! Insertions of many claims at once, which wait for memory together.
//!
//! An insertion into a large index looks at a dozen places that are anywhere in memory, each found through the one
//! before it, and waits for each about as long as all of its arithmetic takes. So claims are looked up in groups, a group
//! in stages: each stage fetches, for all claims of the group, what the next one will look at. Then they are inserted
//! one by one, as if nothing had been looked up.

use super::series::SeriesStore;
use super::sorted_ids::SortedIds;
use super::{Checkpoints, Index, IndexFull};
use crate::claim::{Claim, ClaimHash};
use crate::order::WriteOrder;
use crate::prefetch::prefetch;

/// The most claims that are looked up together. What is fetched for them has to stay in the nearest cache.
const GROUP_CLAIMS_MAX: usize = 32;

/// A claim to be inserted.
#[derive(Debug, Clone)]
pub struct NewClaim<'a> {
    /// Its hash.
    pub hash: ClaimHash,
    /// The claim.
    pub claim: Claim<'a>,
    /// When it was written.
    pub order: WriteOrder,
}

/// Why a batch of claims was inserted in part only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claim {at} of the batch was not inserted")]
pub struct BatchFull {
    /// The first claim that was not inserted, counted from 0. Those before it are there, and none after it.
    pub at: usize,
    /// Why.
    #[source]
    pub full: IndexFull,
}

/// What is known of a claim before it is inserted. What was found once is there for ever, under the same number; what was
/// not found may have come since.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) subject: Option<u32>,
    pub(super) series: Option<u32>,
    /// Which checkpoints' tables have the claim, if one has.
    pub(super) stored: Option<Checkpoints>,
}

/// A claim of a group that is being looked up.
#[derive(Debug, Clone, Copy, Default)]
struct Search {
    /// Whether the claim before it is about the same subject.
    same_subject: bool,
    claim_hash: u64,
    subject_hash: u64,
    series_hash: u64,
    /// The subject, and later the series, that is likely the claim's.
    guess: Option<u32>,
    predicate: Option<u32>,
    known: Known,
}

impl Index {
    /// Inserts claims, each as [`Self::insert`] would, one after the other, but faster.
    ///
    /// # Errors
    ///
    /// At the first claim that there is no room for.
    pub fn insert_all(&mut self, claims: &[NewClaim<'_>]) -> Result<(), BatchFull> {
        self.insert_all_stored(claims, None)
    }

    /// The same for claims that may be in tables, so that what is long of them need not be in memory.
    pub(super) fn insert_all_stored(
        &mut self,
        claims: &[NewClaim<'_>],
        stored: Option<Checkpoints>,
    ) -> Result<(), BatchFull> {
        let mut searches = [Search::default(); GROUP_CLAIMS_MAX];
        for (number, group) in claims.chunks(GROUP_CLAIMS_MAX).enumerate() {
            let searches = &mut searches[..group.len()];
            self.look_up(group, searches);
            for (at, (new, search)) in group.iter().zip(searches).enumerate() {
                self.insert_known(&new.hash, &new.claim, new.order, Known { stored, ..search.known })
                    .map_err(|full| BatchFull { at: number * GROUP_CLAIMS_MAX + at, full })?;
            }
        }
        Ok(())
    }

    /// Lets the processor fetch what [`Self::contains`] will look at for each of these claims.
    pub fn prefetch(&self, claims: impl Iterator<Item = ClaimHash> + Clone) {
        for hash in claims.clone() {
            self.by_hash.prefetch_page(self.table_hash(&hash));
        }
        for hash in claims {
            self.by_hash.prefetch_line(self.table_hash(&hash));
        }
    }

    /// Finds subjects and series of a group of claims, and fetches what their insertion will look at.
    fn look_up(&self, group: &[NewClaim<'_>], searches: &mut [Search]) {
        let subjects = self.subjects.paths();
        let mut last_subject = "";
        for (new, search) in group.iter().zip(&mut *searches) {
            let subject = new.claim.subject.as_str();
            let same_subject = subject == last_subject;
            last_subject = subject;
            *search = Search { same_subject, claim_hash: self.table_hash(&new.hash), ..Search::default() };
            self.by_hash.prefetch_page(search.claim_hash);
            if !same_subject {
                search.subject_hash = self.hash.of_bytes(subject.as_bytes());
                subjects.ids().prefetch_page(search.subject_hash);
            }
        }
        for search in &*searches {
            self.by_hash.prefetch_line(search.claim_hash);
            if !search.same_subject {
                subjects.ids().prefetch_line(search.subject_hash);
            }
        }
        for search in searches.iter_mut().filter(|search| !search.same_subject) {
            search.guess = subjects.guess(search.subject_hash);
        }
        for guess in searches.iter().filter_map(|search| search.guess) {
            subjects.prefetch_string(guess);
        }
        self.look_up_series(group, searches);
        self.prefetch_places(searches);
    }

    /// Finds the series of a group, when what leads to the subjects has been fetched.
    fn look_up_series(&self, group: &[NewClaim<'_>], searches: &mut [Search]) {
        let subjects = self.subjects.paths();
        let mut last_subject = None;
        // A subject that is new will likely get the next number. Its series, new as well, will be looked for by that.
        let mut subjects_expected = subjects.len() as u32;
        let mut last_number = 0;
        for (NewClaim { claim, .. }, search) in group.iter().zip(&mut *searches) {
            if !search.same_subject {
                let find = |_| subjects.find_hashed(search.subject_hash, claim.subject.as_str().as_bytes());
                last_subject = search.guess.take().and_then(find);
                last_number = last_subject.unwrap_or(subjects_expected);
                subjects_expected += u32::from(last_subject.is_none());
            }
            search.known.subject = last_subject;
            search.predicate = self.predicates.find(&self.hash, claim.predicate.as_str().as_bytes());
            let Some(predicate) = search.predicate else { continue };
            search.series_hash = SeriesStore::hash(&self.hash, last_number, predicate);
            self.series.ids().prefetch_page(search.series_hash);
        }
        for search in searches.iter().filter(|search| search.predicate.is_some()) {
            self.series.ids().prefetch_line(search.series_hash);
        }
        for search in searches.iter_mut().filter(|search| search.predicate.is_some()) {
            search.guess = self.series.guess(search.series_hash);
        }
        for search in searches {
            let (Some(subject), Some(predicate)) = (search.known.subject, search.predicate) else { continue };
            let is_it = |series: &u32| self.series.is_of(*series, subject, predicate);
            search.known.series = search.guess.filter(is_it);
        }
    }

    /// Fetches the places in their series where claims of a group belong if they are newer than those that are there.
    fn prefetch_places(&self, searches: &[Search]) {
        let series = || searches.iter().filter_map(|search| search.known.series);
        let lists = || series().filter_map(|series| self.series.list(series));
        series().for_each(|series| self.series.prefetch_head(series, &self.rows));
        lists().for_each(SortedIds::prefetch_last_block);
        lists().for_each(SortedIds::prefetch_last_chunk);
        lists().for_each(SortedIds::prefetch_last);
        lists().filter_map(SortedIds::last).for_each(|claim| prefetch(&self.rows[claim]));
    }
}
