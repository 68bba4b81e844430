//! Series: the claims about one predicate of one subject, in time order.

use super::chunked_vec::ChunkedVec;
use super::id_table::{IdTable, Vacancy};
use super::row::{Link, Rows};
use super::seeded_hash::SeededHash;
use super::sorted_ids::{Backward, SortedIds};
use crate::order::ListKey;
use crate::prefetch::prefetch;

/// The most claims of a series that are kept as a chain through their rows; more are kept in a sorted list.
pub(super) const CHAIN_CLAIMS_MAX: u32 = 16;

/// All series of an index.
pub(super) struct SeriesStore {
    series: ChunkedVec<Series, 4096>,
    by_subject_and_predicate: IdTable,
    lists: ChunkedVec<SortedIds, 1024>,
    /// Bytes that the lists allocated.
    lists_bytes: usize,
}

/// The claims about one predicate of one subject.
pub(super) struct Series {
    pub(super) subject: u32,
    pub(super) predicate: u32,
    /// The subject's series that was new before this one.
    pub(super) same_subject: Link,
    claims: u32,
    /// Up to [`CHAIN_CLAIMS_MAX`] claims: the newest claim, which links to the next older; more: a list's
    /// number.
    head: u32,
}

impl SeriesStore {
    pub(super) fn new() -> SeriesStore {
        SeriesStore {
            series: ChunkedVec::new(),
            by_subject_and_predicate: IdTable::new(),
            lists: ChunkedVec::new(),
            lists_bytes: 0,
        }
    }

    /// The series of a subject and a predicate. If it is new, it is empty, a claim must follow, and
    /// `join_subject` is told its number and answers the series that was the subject's last.
    pub(super) fn find_or_add(
        &mut self,
        hash: &SeededHash,
        subject: u32,
        predicate: u32,
        join_subject: impl FnOnce(u32) -> Link,
    ) -> u32 {
        let vacancy = match self.find_or_vacancy(hash, subject, predicate) {
            Ok(series) => return series,
            Err(vacancy) => vacancy,
        };
        let id = self.series.len() as u32;
        let same_subject = join_subject(id);
        assert_eq!(self.push(subject, predicate, same_subject), id);
        self.by_subject_and_predicate.insert(vacancy, id);
        id
    }

    /// Adds a series that is new and empty. It is not found before [`Self::index_all`].
    pub(super) fn push(&mut self, subject: u32, predicate: u32, same_subject: Link) -> u32 {
        self.series.push(Series { subject, predicate, same_subject, claims: 0, head: 0 })
    }

    /// Makes all series found, or answers two that are of the same subject and predicate.
    pub(super) fn index_all(&mut self, hash: &SeededHash) -> Result<(), (u32, u32)> {
        let names = |id: u32| (self.series[id].subject, self.series[id].predicate);
        let hash_of = |id| Self::hash(hash, names(id).0, names(id).1);
        let are_equal = |one, other| names(one) == names(other);
        self.by_subject_and_predicate = IdTable::of_distinct(self.len() as u32, hash_of, are_equal)?;
        Ok(())
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Puts `claim`, whose row is new, into its place in time.
    pub(super) fn insert(&mut self, series: u32, claim: u32, rows: &mut Rows) {
        let series = &mut self.series[series];
        match series.claims {
            0 => series.head = claim,
            1..CHAIN_CLAIMS_MAX => series.insert_into_chain(claim, rows),
            _ => {
                if series.claims == CHAIN_CLAIMS_MAX {
                    let list = series.chain_to_list(rows);
                    self.lists_bytes += list.bytes();
                    series.head = self.lists.push(list);
                }
                let list = &mut self.lists[series.head];
                self.lists_bytes -= list.bytes();
                insert_into_list(list, claim, rows);
                self.lists_bytes += list.bytes();
            }
        }
        series.claims += 1;
    }

    /// The series of a subject and a predicate.
    pub(super) fn find(&self, hash: &SeededHash, subject: u32, predicate: u32) -> Option<u32> {
        self.find_or_vacancy(hash, subject, predicate).ok()
    }

    /// The hash by which a series is found.
    pub(super) fn hash(hash: &SeededHash, subject: u32, predicate: u32) -> u64 {
        hash.of_u64(key(subject, predicate))
    }

    /// By hash, so that what a search looks at can be fetched before it.
    pub(super) fn ids(&self) -> &IdTable {
        &self.by_subject_and_predicate
    }

    /// The series that a search for this hash will likely find. Fetches it.
    pub(super) fn guess(&self, series_hash: u64) -> Option<u32> {
        let guess = self.by_subject_and_predicate.guess(series_hash);
        guess.inspect(|&id| prefetch(&self.series[id]))
    }

    /// Whether this is the series of a subject and a predicate.
    pub(super) fn is_of(&self, series: u32, subject: u32, predicate: u32) -> bool {
        let series = &self.series[series];
        (series.subject, series.predicate) == (subject, predicate)
    }

    /// Fetches where the list of a series is, if it has one, or else its newest claim.
    pub(super) fn prefetch_head(&self, series: u32, rows: &Rows) {
        let series = &self.series[series];
        match series.claims {
            0 => {}
            1..=CHAIN_CLAIMS_MAX => prefetch(&rows[series.head]),
            _ => prefetch(&self.lists[series.head]),
        }
    }

    /// The claims of a series that are kept in a list, oldest first.
    pub(super) fn list(&self, series: u32) -> Option<&SortedIds> {
        let series = &self.series[series];
        (series.claims > CHAIN_CLAIMS_MAX).then(|| &self.lists[series.head])
    }

    /// The claims of a series after `after` in list order, newest first.
    pub(super) fn newest_first<'a>(
        &'a self,
        series: u32,
        after: Option<&ListKey>,
        rows: &'a Rows,
    ) -> NewestFirst<'a> {
        let series = &self.series[series];
        if series.claims > CHAIN_CLAIMS_MAX {
            let list = &self.lists[series.head];
            // The list is oldest first, so the claims that come after a key in list order come before it
            // here.
            let position =
                after.map_or(list.end(), |after| list.position(|claim| rows[claim].key() > *after));
            return NewestFirst::List(list.backward(position));
        }
        let mut next = if series.claims == 0 { Link::NONE } else { Link::to(series.head) };
        if let Some(after) = after {
            while let Some(claim) = next.target().filter(|&claim| rows[claim].key() <= *after) {
                next = rows[claim].older;
            }
        }
        NewestFirst::Chain { next, rows }
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.series.bytes() + self.by_subject_and_predicate.bytes() + self.lists.bytes() + self.lists_bytes
    }

    /// The most that [`Self::bytes`] can grow by so many claims, each of any series, known or new.
    pub(super) fn growth_bytes_max(&self, claims: usize) -> usize {
        self.series.growth_bytes_max(claims)
            + self.by_subject_and_predicate.growth_bytes_max(claims)
            + self.lists.growth_bytes_max(claims)
            // A new list begins with a whole chain.
            + claims * CHAIN_CLAIMS_MAX as usize * 2 * size_of::<u32>()
            + SortedIds::growth_bytes_max(self.lists_bytes, claims)
    }

    fn find_or_vacancy(&self, hash: &SeededHash, subject: u32, predicate: u32) -> Result<u32, Vacancy> {
        self.by_subject_and_predicate
            .find(Self::hash(hash, subject, predicate), |id| self.is_of(id, subject, predicate))
    }
}

impl std::ops::Index<u32> for SeriesStore {
    type Output = Series;

    fn index(&self, series: u32) -> &Series {
        &self.series[series]
    }
}

impl Series {
    fn insert_into_chain(&mut self, claim: u32, rows: &mut Rows) {
        let key = rows[claim].key();
        let mut newer = None;
        let mut older = Link::to(self.head);
        while let Some(other) = older.target().filter(|&other| rows[other].key() < key) {
            newer = Some(other);
            older = rows[other].older;
        }
        rows[claim].older = older;
        match newer {
            Some(newer) => rows[newer].older = Link::to(claim),
            None => self.head = claim,
        }
    }

    fn chain_to_list(&self, rows: &Rows) -> SortedIds {
        let mut list = SortedIds::default();
        let mut next = Link::to(self.head);
        while let Some(claim) = next.target() {
            insert_into_list(&mut list, claim, rows);
            next = rows[claim].older;
        }
        list
    }
}

/// The numbers of a series' claims, newest first.
pub(super) enum NewestFirst<'a> {
    Chain { next: Link, rows: &'a Rows },
    List(Backward<'a>),
}

impl Iterator for NewestFirst<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            NewestFirst::Chain { next, rows } => {
                let claim = next.target()?;
                *next = rows[claim].older;
                Some(claim)
            }
            NewestFirst::List(list) => list.next(),
        }
    }
}

/// A list is oldest first, so that what usually comes, a newer claim, is appended.
fn insert_into_list(list: &mut SortedIds, claim: u32, rows: &Rows) {
    let key = rows[claim].key();
    list.insert(claim, |other| key.cmp(&rows[other].key()));
}

fn key(subject: u32, predicate: u32) -> u64 {
    u64::from(subject) << 32 | u64::from(predicate)
}
