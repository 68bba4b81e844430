//! The index: all claims that one core holds, in memory, compact, ready to be looked up, listed and resolved.
//!
//! Nothing in it is authoritative: it is rebuilt from the log at each start. A claim is a 64-byte row, a body
//! of its few remaining bytes, and its places in the tables that find it. It grows by small pieces, so that
//! no insertion ever waits for the copy of something large, and it never gives memory back: claims are only
//! added.

mod appending;
mod batch;
mod body;
mod byte_arena;
mod chunked_vec;
mod claim_view;
mod id_table;
mod interner;
mod loader;
mod long;
mod lookup;
mod path_chains;
mod retraction_pass;
mod row;
mod seeded_hash;
mod series;
mod snapshot;
mod sorted_ids;

use std::ops::Range;

use self::batch::Known;
pub use self::batch::{BatchFull, NewClaim};
use self::body::{BODY_BYTES_MAX, SharedIds};
use self::byte_arena::ByteArena;
use self::claim_view::AGENT_BYTES_MAX;
pub use self::claim_view::ClaimView;
use self::id_table::{IdTable, Vacancy};
use self::interner::Interner;
pub use self::loader::IndexLoader;
pub use self::long::{Checkpoints, INLINE_BYTES_MAX, LongParts};
use self::long::{LongPlace, LongStore};
pub(crate) use self::lookup::{EpochNumber, PredicateId, SeriesId, SubjectId};
use self::path_chains::PathChains;
pub use self::retraction_pass::RetractionPass;
use self::row::{Link, Row, Rows};
use self::seeded_hash::SeededHash;
use self::series::SeriesStore;
pub use self::snapshot::{POSITION_BYTES_MAX, SnapshotCursor, SnapshotError};
use crate::claim::canonical::CANONICAL_BYTES_MAX;
use crate::claim::{Claim, ClaimHash, ConceptPath, EpochId, Predicate};
use crate::order::{ListKey, WriteOrder};

/// Bytes that bodies are allocated by.
const BODIES_CHUNK_BYTES: usize = 1 << 20;

/// Bytes that subjects are allocated by.
const SUBJECTS_CHUNK_BYTES: usize = 1 << 20;

/// Bytes that predicates, sources, epochs and agents are allocated by, each.
const NAMES_CHUNK_BYTES: usize = 64 << 10;

/// For how many claims at once an insertion makes sure that there is room.
const CLAIMS_CHECKED_MAX: usize = 256;

const _: () = assert!(BODY_BYTES_MAX <= BODIES_CHUNK_BYTES);

// A body has what the canonical encoding has, but for names, which it replaces by their numbers.
const _: () = assert!(BODY_BYTES_MAX <= CANONICAL_BYTES_MAX);

/// What an index needs to know from the start.
#[derive(Debug, Clone, Copy)]
pub struct IndexConfig {
    /// The most memory that the index may allocate, in bytes. Below about 4 MiB nothing fits.
    pub bytes_max: u64,
    /// Keys the hash tables, so that nobody can choose claims that collide. Has no influence on any answer.
    pub hash_seed: u64,
}

/// The claims of one core.
pub struct Index {
    bytes_max: u64,
    hash: SeededHash,
    rows: Rows,
    by_hash: IdTable,
    bodies: ByteArena,
    long: LongStore,
    /// With the chains of their series.
    subjects: PathChains,
    predicates: Interner,
    series: SeriesStore,
    /// With the chains of their claims.
    sources: PathChains,
    epochs: Interner,
    agents: Interner,
    retracted: u64,
    /// How many more claims are known to fit, whatever they are.
    claims_that_fit: usize,
    /// Reused by each insertion to put the body together.
    body: Vec<u8>,
}

/// A claim of one index, by its number there: claims are counted from 0 as they come.
///
/// Means nothing to another index, and nothing after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(u32);

/// What an insertion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The claim was not there and is now.
    New,
    /// The claim was there already, retracted or not, and stays as it was.
    Exists,
}

/// Why a claim was not inserted. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexFull {
    /// The next claim might take more memory than is allowed.
    #[error(
        "the index has {bytes} of {bytes_max} bytes in use, too many for another claim; \
         allow it more memory, or more cores to share the claims"
    )]
    Memory {
        /// Bytes in use.
        bytes: u64,
        /// Bytes allowed.
        bytes_max: u64,
    },
    /// The 32-bit numbers by which the index refers to its parts run out.
    #[error("the index holds {claims} claims and can number no more; use more cores to share the claims")]
    Numbers {
        /// Claims in the index.
        claims: u64,
    },
}

impl Index {
    /// An empty index.
    pub fn new(config: IndexConfig) -> Index {
        Index {
            bytes_max: config.bytes_max,
            hash: SeededHash::new(config.hash_seed),
            rows: Rows::new(),
            by_hash: IdTable::new(),
            bodies: ByteArena::new(BODIES_CHUNK_BYTES),
            long: LongStore::new(),
            subjects: PathChains::new(SUBJECTS_CHUNK_BYTES),
            predicates: Interner::new(NAMES_CHUNK_BYTES),
            series: SeriesStore::new(),
            sources: PathChains::new(NAMES_CHUNK_BYTES),
            epochs: Interner::new(NAMES_CHUNK_BYTES),
            agents: Interner::new(NAMES_CHUNK_BYTES),
            retracted: 0,
            claims_that_fit: 0,
            body: Vec::new(),
        }
    }

    /// Inserts the claim with this hash, unless it is there already.
    ///
    /// `order` is when it was written. Within a subject the order is the claim's own; claims may come in any
    /// order.
    pub fn insert(
        &mut self,
        hash: &ClaimHash,
        claim: &Claim<'_>,
        order: WriteOrder,
    ) -> Result<Inserted, IndexFull> {
        self.insert_known(hash, claim, order, Known::default())
    }

    /// Inserts a claim of which something may be known already.
    fn insert_known(
        &mut self,
        hash: &ClaimHash,
        claim: &Claim<'_>,
        order: WriteOrder,
        known: Known,
    ) -> Result<Inserted, IndexFull> {
        if let Err(full) = self.check_room() {
            return if self.contains(hash) { Ok(Inserted::Exists) } else { Err(full) };
        }
        let vacancy = match self.find_or_vacancy(hash) {
            Ok(id) => {
                self.let_go(id, known.stored);
                return Ok(Inserted::Exists);
            }
            Err(vacancy) => vacancy,
        };
        let series = known.series.unwrap_or_else(|| self.series_of(claim, known));
        let id = self.push(hash, claim, order, series, known.stored);
        self.by_hash.insert(vacancy, id);
        Ok(Inserted::New)
    }

    /// Lets go of what is long of a claim, if a table has it.
    fn let_go(&mut self, id: u32, stored: Option<Checkpoints>) {
        if let (Some(stored), Some(long)) = (stored, self.view(ClaimId(id)).long_number()) {
            self.long.store(long, stored);
        }
    }

    /// Adds a claim that is new, and for which there is room, to its series. It is not found by its hash.
    fn push(
        &mut self,
        hash: &ClaimHash,
        claim: &Claim<'_>,
        order: WriteOrder,
        series: u32,
        stored: Option<Checkpoints>,
    ) -> u32 {
        let ids = self.intern_shared(claim);
        self.body.clear();
        let long = body::is_long(claim).then(|| {
            let number = self.long.next_number();
            let in_memory = || LongPlace::Memory(body::long_parts(claim));
            self.long.push(stored.map_or_else(in_memory, LongPlace::Stored), order);
            number
        });
        body::encode(claim, ids, long, &mut self.body);
        let key = ListKey { timestamp: claim.timestamp.unix_micros(), order, hash: hash.0 };
        self.add(series, ids, &key)
    }

    /// Inserts a claim of another index whose long parts are in a table.
    fn insert_copy(&mut self, view: &ClaimView<'_>) -> Result<Inserted, IndexFull> {
        let stored = view.stored().expect("what is in memory is inserted as a claim");
        self.check_room()?;
        let Err(vacancy) = self.find_or_vacancy(&view.hash()) else { return Ok(Inserted::Exists) };
        let claim = view.without_content();
        let series = self.series_of(&claim, Known::default());
        let ids = self.intern_shared(&claim);
        self.body.clear();
        let number = self.long.next_number();
        self.long.push(LongPlace::Stored(stored), view.order());
        view.encode_body_with(ids, number, &mut self.body);
        let id = self.add(series, ids, &view.key());
        self.by_hash.insert(vacancy, id);
        Ok(Inserted::New)
    }

    /// Adds a claim whose body has been put together. It is not found by its hash.
    fn add(&mut self, series: u32, ids: SharedIds, key: &ListKey) -> u32 {
        let body = self.bodies.push([&self.body]);
        let id = self.rows.len() as u32;
        let same_source = ids.source.map_or(Link::NONE, |source| self.sources.push(source, id));
        let pushed = self.rows.push(Row::new(key, body, series, same_source));
        assert_eq!(pushed, id);
        self.series.insert(series, id, &mut self.rows);
        self.claims_that_fit -= 1;
        id
    }

    /// Retracts, at once, the claims about `path` and those whose source is `path` or below it, as far as
    /// their subjects are in `slots` and they were written before `before`. Answers how many were not retracted before.
    ///
    /// The time it takes grows with the number of claims it looks at; a core that serves should
    /// go step by step, with a [`RetractionPass`].
    pub fn retract(&mut self, path: &str, slots: Range<u16>, before: WriteOrder) -> u64 {
        let mut pass = RetractionPass::new(path, slots, before, self);
        while !pass.step(self, usize::MAX) {}
        pass.retracted()
    }

    fn mark_retracted(&mut self, hash: &ClaimHash) {
        let id =
            self.find_or_vacancy(hash).unwrap_or_else(|_| panic!("there is no claim {hash:?} to retract"));
        if self.rows[id].retract() {
            self.retracted += 1;
        }
    }

    /// Whether so many more claims, whose canonical encodings together have so many bytes, are sure to be
    /// inserted.
    ///
    /// Who promises an insertion before it can be made asks this first, for all that was promised and not yet
    /// kept.
    pub fn has_room_for(&self, claims: usize, canonical_bytes: usize) -> bool {
        // The last of them must still find room for its own worst case, which grows with the index, but does
        // not double.
        let growth = self.growth_bytes_max(claims, canonical_bytes);
        let growth_of_last = 2 * self.growth_bytes_max(1, CANONICAL_BYTES_MAX);
        self.bytes() + growth + growth_of_last <= self.bytes_max
            && self.has_numbers_for(claims + CLAIMS_CHECKED_MAX)
    }

    /// Lets go of values and metadata that are long and that `stored` says are in tables, as it is told when their claims were written:
    /// the claims that came first come first, up to `count_max`, until it says of one that it is not. False if there may be more.
    pub fn release_long(
        &mut self,
        count_max: usize,
        stored: &dyn Fn(WriteOrder) -> Option<Checkpoints>,
    ) -> bool {
        self.long.release(count_max, stored)
    }

    /// How many claims have values or metadata that are long: those that have them in memory, and those that have them in tables.
    pub fn long_counts(&self) -> (u64, u64) {
        self.long.counts()
    }

    /// Whether the claim with this hash is in the index, retracted or not.
    pub fn contains(&self, hash: &ClaimHash) -> bool {
        self.find_or_vacancy(hash).is_ok()
    }

    /// The number of the claim with this hash.
    pub fn find(&self, hash: &ClaimHash) -> Option<ClaimId> {
        self.find_or_vacancy(hash).ok().map(ClaimId)
    }

    /// The claim with this hash.
    pub fn claim(&self, hash: &ClaimHash) -> Option<ClaimView<'_>> {
        self.find(hash).map(|id| self.view(id))
    }

    /// The claim with this number. Panics if there is none, which only a number from another index can bring
    /// about.
    pub fn view(&self, claim: ClaimId) -> ClaimView<'_> {
        ClaimView::new(self, claim)
    }

    /// All claims, in the order in which they came.
    pub fn claims(&self) -> impl Iterator<Item = ClaimView<'_>> {
        (0..self.rows.len() as u32).map(|id| self.view(ClaimId(id)))
    }

    /// How many claims there are, with the retracted ones.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Whether there is no claim.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many claims are retracted.
    pub fn retracted_len(&self) -> u64 {
        self.retracted
    }

    /// Bytes allocated: the requests to the allocator, without what it adds to each.
    pub fn bytes(&self) -> u64 {
        let bytes = self.rows.bytes()
            + self.by_hash.bytes()
            + self.bodies.bytes()
            + self.long.bytes()
            + self.subjects.bytes()
            + self.predicates.bytes()
            + self.series.bytes()
            + self.sources.bytes()
            + self.epochs.bytes()
            + self.agents.bytes()
            + self.body.capacity();
        bytes as u64
    }

    /// Refuses another claim if its worst case does not fit.
    fn check_room(&mut self) -> Result<(), IndexFull> {
        if self.claims_that_fit > 0 {
            return Ok(());
        }
        let bytes = self.bytes();
        assert!(bytes <= self.bytes_max, "{bytes} bytes in use, {} allowed", self.bytes_max);
        let fits = |claims: &usize| {
            bytes + self.growth_bytes_max(*claims, claims * CANONICAL_BYTES_MAX) <= self.bytes_max
        };
        let Some(fitting) = [CLAIMS_CHECKED_MAX, 1].into_iter().find(fits) else {
            return Err(IndexFull::Memory { bytes, bytes_max: self.bytes_max });
        };
        if !self.has_numbers_for(fitting) {
            return Err(IndexFull::Numbers { claims: self.len() });
        }
        self.claims_that_fit = fitting;
        Ok(())
    }

    /// The most that [`Self::bytes`] can grow by so many claims whose canonical encodings together have so
    /// many bytes.
    fn growth_bytes_max(&self, claims: usize, canonical_bytes: usize) -> u64 {
        let names = |name_bytes_max: usize| canonical_bytes.min(claims * name_bytes_max);
        let bytes = self.rows.growth_bytes_max(claims)
            + self.by_hash.growth_bytes_max(claims)
            + self.bodies.growth_bytes_max(claims, canonical_bytes)
            + self.long.growth_bytes_max(claims, canonical_bytes)
            + self.subjects.growth_bytes_max(claims, names(ConceptPath::BYTES_MAX))
            + self.predicates.growth_bytes_max(claims, names(Predicate::BYTES_MAX))
            + self.series.growth_bytes_max(claims)
            + self.sources.growth_bytes_max(claims, names(ConceptPath::BYTES_MAX))
            + self.epochs.growth_bytes_max(claims, names(EpochId::BYTES_MAX))
            + self.agents.growth_bytes_max(claims, names(AGENT_BYTES_MAX))
            + 2 * BODY_BYTES_MAX;
        bytes as u64
    }

    /// Whether so many more claims can be numbered, and all that they bring with them.
    fn has_numbers_for(&self, claims: usize) -> bool {
        let names = [&self.predicates, &self.epochs, &self.agents];
        // There are never more subjects, series, names or sources than claims.
        self.rows.len() + claims <= Link::TARGET_MAX as usize
            && self.bodies.has_references_for(claims)
            && self.subjects.has_references_for(claims)
            && self.sources.has_references_for(claims)
            && names.iter().all(|names| names.has_references_for(claims))
    }

    /// The series of a claim that is new, new if it is new.
    fn series_of(&mut self, claim: &Claim<'_>, known: Known) -> u32 {
        let subject = match known.subject {
            Some(subject) => subject,
            None => self.subjects.intern(&self.hash, claim.subject.as_str()),
        };
        let predicate = self.predicates.intern(&self.hash, claim.predicate.as_str().as_bytes());
        let join_subject = |series| self.subjects.push(subject, series);
        self.series.find_or_add(&self.hash, subject, predicate, join_subject)
    }

    fn intern_shared(&mut self, claim: &Claim<'_>) -> SharedIds {
        let Index { hash, sources, epochs, agents, body, .. } = self;
        SharedIds {
            source: claim.source.map(|source| sources.intern(hash, source.as_str())),
            epoch: claim.epoch.map(|epoch| epochs.intern(hash, epoch.as_str().as_bytes())),
            agent: claim.agent.map(|agent| {
                body.clear();
                claim_view::encode_agent(&agent, body);
                agents.intern(hash, body)
            }),
        }
    }

    /// The hash by which a claim is found.
    fn table_hash(&self, hash: &ClaimHash) -> u64 {
        // Claim hashes are even, but anybody can look for claims whose hashes begin alike. So they are hashed
        // again.
        let (prefix, _) = hash.0.split_first_chunk().expect("32 bytes are more than 8");
        self.hash.of_u64(u64::from_le_bytes(*prefix))
    }

    /// Makes all claims found by their hashes, or answers two that have the same.
    fn index_claims(&mut self) -> Result<(), (u32, u32)> {
        let hash_of = |id| self.table_hash(&ClaimHash(self.rows[id].hash));
        let are_equal = |one, other| self.rows[one].hash == self.rows[other].hash;
        self.by_hash = IdTable::of_distinct(self.rows.len() as u32, hash_of, are_equal)?;
        Ok(())
    }

    fn find_or_vacancy(&self, hash: &ClaimHash) -> Result<u32, Vacancy> {
        self.by_hash.find(self.table_hash(hash), |id| self.rows[id].hash == hash.0)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({} claims, {} bytes)", self.len(), self.bytes())
    }
}
