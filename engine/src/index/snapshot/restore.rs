//! Reading a snapshot back, and believing none of it.

use std::io::Read;
use std::ops::Range;
use std::str::from_utf8;

use super::block::{Block, BlockReader, Section};
use super::body::{self, CheckedBody, CheckedLong};
use super::{Counts, FIRST_OF_SERIES, LONG_BYTES, POSITION_BYTES_MAX, RETRACTED, ROW_BYTES, SnapshotError};
use crate::claim::{AgentName, ConceptPath, EpochId, Metadata, Predicate, Timestamp, Value};
use crate::index::body::BODY_BYTES_MAX;
use crate::index::byte_arena::UNIT_BYTES;
use crate::index::interner::Interner;
use crate::index::long::{Checkpoints, LongParts, LongPlace};
use crate::index::path_chains::PathChains;
use crate::index::row::{Link, Row};
use crate::index::{BODIES_CHUNK_BYTES, Index, IndexConfig, IndexFull, IndexLoader};
use crate::order::{ListKey, WriteOrder};
use crate::prefetch::prefetch;
use crate::slot::Slot;
use crate::time::UnixMicros;

/// Bytes of the header before the position.
const HEADER_BYTES: usize = 2 * 2 + 8 * 4;

/// The bytes of an agent's key.
const AGENT_KEY_BYTES: usize = 32;

impl IndexLoader {
    /// Reads a snapshot of an index that holds the claims of `slots`. Answers the loader, which goes on from there, and the
    /// position that the snapshot was given when it was begun. What is behind the snapshot is not read.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not whole, was changed, is of another version or other slots, or does not fit.
    pub fn restore(
        source: &mut dyn Read,
        config: IndexConfig,
        slots: Range<u16>,
    ) -> Result<(IndexLoader, Vec<u8>), SnapshotError> {
        let mut blocks = BlockReader::new(source)?;
        let Block { section, offset, payload } = blocks.next()?;
        let header = match section {
            Section::Header => Header::decode(payload),
            other => Err(wrong(format!("it comes first, expected the {}", other.name()))),
        };
        let header = header.map_err(|problem| problem.at(section, offset))?;
        if header.slots != slots {
            let actual = (header.slots.start, header.slots.end);
            return Err(SnapshotError::Slots { expected: (slots.start, slots.end), actual });
        }
        let mut restoring = Restoring::new(config, slots, header.counts);
        loop {
            let Block { section, offset, payload } = blocks.next()?;
            while restoring.section < section {
                let ended = restoring.section;
                restoring.end_section().map_err(|problem| problem.at(ended, offset))?;
            }
            restoring.take(section, payload).map_err(|problem| problem.at(section, offset))?;
            if section == Section::Footer {
                return Ok((IndexLoader::of(restoring.index), header.position));
            }
        }
    }
}

/// What a snapshot says of itself.
struct Header {
    slots: Range<u16>,
    counts: Counts,
    position: Vec<u8>,
}

impl Header {
    fn decode(payload: &[u8]) -> Result<Header, Problem> {
        let Some((fixed, position)) = payload.split_first_chunk::<HEADER_BYTES>() else {
            return Err(wrong(format!("{} bytes, expected at least {HEADER_BYTES}", payload.len())));
        };
        if position.len() > POSITION_BYTES_MAX {
            let bytes = position.len();
            return Err(wrong(format!("a position of {bytes} bytes, expected at most {POSITION_BYTES_MAX}")));
        }
        let slot = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let count = |number: usize| u32_at(fixed, 4 + 4 * number);
        let counts = Counts {
            claims: count(0),
            series: count(1),
            subjects: count(2),
            sources: count(3),
            predicates: count(4),
            epochs: count(5),
            agents: count(6),
            long: count(7),
        };
        // All that a claim can bring with it, it brings once.
        let Counts { claims, series, subjects, sources, predicates, epochs, agents, long } = counts;
        let is_possible = claims <= Link::TARGET_MAX
            && [series, sources, epochs, agents, long].iter().all(|count| *count <= claims)
            && [subjects, predicates].iter().all(|count| *count <= series);
        match is_possible {
            true => Ok(Header { slots: slot(0)..slot(2), counts, position: position.to_vec() }),
            false => Err(wrong(format!("it counts what cannot be together: {counts:?}"))),
        }
    }
}

/// What is wrong with a snapshot.
enum Problem {
    Wrong(String),
    Full(IndexFull),
}

impl Problem {
    fn at(self, section: Section, offset: u64) -> SnapshotError {
        match self {
            Problem::Wrong(problem) => SnapshotError::Content { offset, section: section.name(), problem },
            Problem::Full(full) => SnapshotError::Full(full),
        }
    }
}

fn wrong(problem: String) -> Problem {
    Problem::Wrong(problem)
}

/// An index of which some sections were read.
struct Restoring {
    index: Index,
    slots: Range<u16>,
    counts: Counts,
    /// The section that is being read.
    section: Section,
    /// Where the body of the next row is: in which chunk, and from which byte on.
    next_body: (usize, usize),
    /// The number of the next long parts.
    next_long: u32,
    /// How many series have claims, and how many claims have their places.
    series_begun: u32,
    claims_placed: u32,
    /// The key of the claim that was put into its place last, and belongs to the same series as the next.
    last_key: Option<ListKey>,
}

impl Restoring {
    fn new(config: IndexConfig, slots: Range<u16>, counts: Counts) -> Restoring {
        Restoring {
            index: IndexLoader::new(config).index,
            slots,
            counts,
            section: Section::Predicates,
            next_body: (0, 0),
            next_long: 0,
            series_begun: 0,
            claims_placed: 0,
            last_key: None,
        }
    }

    /// Takes a block. Its section is this one.
    fn take(&mut self, section: Section, payload: &[u8]) -> Result<(), Problem> {
        if section != self.section {
            return Err(wrong(format!("it comes after the {}", self.section.name())));
        }
        match section {
            Section::Header => return Err(wrong("it comes twice".to_owned())),
            Section::Predicates => self.take_names(
                payload,
                |index| &mut index.predicates,
                self.counts.predicates,
                |name| from_utf8(name).is_ok_and(|name| Predicate::new(name).is_ok()),
            ),
            Section::Epochs => self.take_names(
                payload,
                |index| &mut index.epochs,
                self.counts.epochs,
                |name| from_utf8(name).is_ok_and(|name| EpochId::new(name).is_ok()),
            ),
            Section::Agents => {
                self.take_names(payload, |index| &mut index.agents, self.counts.agents, is_agent)
            }
            Section::Sources => self.take_sources(payload),
            Section::Subjects => self.take_subjects(payload),
            Section::Series => self.take_series(payload),
            Section::LongParts => self.take_long_parts(payload),
            Section::Bodies => self.take_bodies(payload),
            Section::Rows => self.take_rows(payload),
            Section::SourceOrder => take_path_order(&mut self.index.sources, payload),
            Section::SubjectOrder => take_path_order(&mut self.index.subjects, payload),
            Section::SeriesOrder => self.take_series_order(payload),
            Section::Footer if payload.is_empty() => Ok(()),
            Section::Footer => Err(wrong(format!("{} bytes, expected none", payload.len()))),
        }?;
        let (bytes, bytes_max) = (self.index.bytes(), self.index.bytes_max);
        match bytes <= bytes_max {
            true => Ok(()),
            false => Err(Problem::Full(IndexFull::Memory { bytes, bytes_max })),
        }
    }

    /// Goes to the next section, if there is in this one what there must be.
    fn end_section(&mut self) -> Result<(), Problem> {
        let Restoring { index, counts, .. } = self;
        match self.section {
            Section::Header | Section::Bodies | Section::Footer => {}
            Section::Predicates => end_names(&mut index.predicates, &index.hash, counts.predicates)?,
            Section::Epochs => end_names(&mut index.epochs, &index.hash, counts.epochs)?,
            Section::Agents => end_names(&mut index.agents, &index.hash, counts.agents)?,
            Section::Sources => {
                check_count(index.sources.paths().len(), counts.sources)?;
                index.sources.index_all(&index.hash).map_err(same)?;
            }
            Section::Subjects => {
                check_count(index.subjects.paths().len(), counts.subjects)?;
                index.subjects.index_all(&index.hash).map_err(same)?;
            }
            Section::Series => {
                check_count(index.series.len(), counts.series)?;
                index.series.index_all(&index.hash).map_err(same)?;
            }
            Section::LongParts => check_count(index.long.next_number() as usize, counts.long)?,
            Section::Rows => self.end_rows()?,
            Section::SourceOrder if index.sources.is_in_order() => {}
            Section::SubjectOrder if index.subjects.is_in_order() => {}
            Section::SourceOrder | Section::SubjectOrder => {
                return Err(wrong("there are paths that are missing".to_owned()));
            }
            Section::SeriesOrder => {
                check_count(self.claims_placed as usize, counts.claims)?;
                check_count(self.series_begun as usize, counts.series)?;
            }
        }
        self.section = self.section.next().expect("nothing comes after the footer");
        Ok(())
    }

    fn take_names(
        &mut self,
        payload: &[u8],
        names: impl FnOnce(&mut Index) -> &mut Interner,
        count: u32,
        is_valid: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Problem> {
        let names = names(&mut self.index);
        each_name(payload, |name| {
            check_room(names, count)?;
            if !is_valid(name) {
                return Err(wrong(format!("\"{}\" is none", name.escape_ascii())));
            }
            names.push(name);
            Ok(())
        })
    }

    fn take_sources(&mut self, payload: &[u8]) -> Result<(), Problem> {
        let sources = &mut self.index.sources;
        each_name(payload, |name| {
            check_room(sources.paths(), self.counts.sources)?;
            sources.push_path(path(name)?);
            Ok(())
        })
    }

    fn take_subjects(&mut self, payload: &[u8]) -> Result<(), Problem> {
        let subjects = &mut self.index.subjects;
        each_name(payload, |name| {
            check_room(subjects.paths(), self.counts.subjects)?;
            let slot = Slot::of(name).number();
            if !self.slots.contains(&slot) {
                let (name, slots) = (name.escape_ascii(), &self.slots);
                return Err(wrong(format!("\"{name}\" is in slot {slot}, expected slots {slots:?}")));
            }
            subjects.push_path(path(name)?);
            Ok(())
        })
    }

    fn take_series(&mut self, payload: &[u8]) -> Result<(), Problem> {
        let Counts { subjects, predicates, series, .. } = self.counts;
        for entry in entries::<8>(payload)? {
            let (subject, predicate) = (u32_at(entry, 0), u32_at(entry, 4));
            if subject >= subjects || predicate >= predicates {
                return Err(wrong(format!(
                    "subject {subject} of {subjects}, predicate {predicate} of {predicates}"
                )));
            }
            let id = self.index.series.len() as u32;
            if id == series {
                return Err(wrong(format!("more than {series} of them")));
            }
            let same_subject = self.index.subjects.push(subject, id);
            self.index.series.push(subject, predicate, same_subject);
        }
        Ok(())
    }

    fn take_long_parts(&mut self, mut payload: &[u8]) -> Result<(), Problem> {
        while let Some((head, rest)) = payload.split_first_chunk::<LONG_BYTES>() {
            let long = &mut self.index.long;
            if long.next_number() == self.counts.long {
                return Err(wrong(format!("more than {} of them", self.counts.long)));
            }
            let checkpoints = Checkpoints { first: u32_at(head, 0), last: u32_at(head, 4) };
            let (value_bytes, metadata_bytes) = (u32_at(head, 8) as usize, u32_at(head, 12) as usize);
            let are_bounded = value_bytes <= Value::BYTES_MAX && metadata_bytes <= Metadata::BYTES_MAX;
            let texts = Some(value_bytes + metadata_bytes).filter(|_| are_bounded);
            let Some((texts, rest)) = texts.and_then(|bytes| rest.split_at_checked(bytes)) else {
                return Err(wrong(format!("{value_bytes} and {metadata_bytes} bytes of {}", rest.len())));
            };
            let is_stored = 1 <= checkpoints.first && checkpoints.first <= checkpoints.last;
            long.push_restored(match (checkpoints, texts.is_empty()) {
                (checkpoints, true) if is_stored => LongPlace::Stored(checkpoints),
                (Checkpoints { first: 0, last: 0 }, false) => {
                    LongPlace::Memory(LongParts::restored(texts, value_bytes))
                }
                _ => return Err(wrong(format!("{} bytes, and {checkpoints:?}", texts.len()))),
            });
            payload = rest;
        }
        match payload.is_empty() {
            true => Ok(()),
            false => Err(wrong("the last one is cut".to_owned())),
        }
    }

    /// Checks that these are the next long parts, and what their claim expects.
    fn check_long(&mut self, long: &CheckedLong, order: WriteOrder) -> bool {
        let is_next = long.number == self.next_long && long.number < self.counts.long;
        self.next_long += 1;
        if !is_next {
            return false;
        }
        let fits = match self.index.long.place(long.number) {
            LongPlace::Stored(_) => return true,
            LongPlace::Memory(parts) => long.fits(parts),
        };
        self.index.long.note_order(long.number, order);
        fits
    }

    fn take_bodies(&mut self, payload: &[u8]) -> Result<(), Problem> {
        let bodies = &mut self.index.bodies;
        let Some((number, piece)) = payload.split_first_chunk::<4>() else {
            return Err(wrong(format!("{} bytes, expected at least 4", payload.len())));
        };
        let number = u32::from_le_bytes(*number) as usize;
        if number == bodies.chunks() {
            // A chunk ends where the next body does not fit: so chunks take no more memory than their bodies call for.
            let full_bytes = BODIES_CHUNK_BYTES - BODY_BYTES_MAX - UNIT_BYTES;
            let is_full = number == 0 || bodies.chunk(number - 1).len() > full_bytes;
            if !is_full || !bodies.has_references_for(1) {
                return Err(wrong(format!("chunk {number} begins where the one before it has room")));
            }
            bodies.begin_chunk();
        } else if number + 1 != bodies.chunks() {
            return Err(wrong(format!("a piece of chunk {number} after {} chunks", bodies.chunks())));
        }
        match bodies.extend_chunk(piece) {
            true => Ok(()),
            false => Err(wrong(format!("chunk {number} is larger than {BODIES_CHUNK_BYTES} bytes"))),
        }
    }

    fn take_rows(&mut self, payload: &[u8]) -> Result<(), Problem> {
        for entry in entries::<ROW_BYTES>(payload)? {
            let id = self.index.rows.len() as u32;
            if id == self.counts.claims {
                return Err(wrong(format!("more than {id} of them")));
            }
            let (hash, rest) = entry.split_first_chunk::<32>().expect("a row is longer than a hash");
            let key = ListKey {
                timestamp: UnixMicros(u64_at(rest, 0) as i64),
                order: WriteOrder::from_u64(u64_at(rest, 8)),
                hash: *hash,
            };
            let series = u32_at(rest, 16) & !RETRACTED;
            if Timestamp::new(key.timestamp).is_err() || series >= self.counts.series {
                let (at, all) = (key.timestamp.0, self.counts.series);
                return Err(wrong(format!("claim {id} is of time {at} µs, and of series {series} of {all}")));
            }
            let (body, CheckedBody { source, long, .. }) = self.next_body(id)?;
            if long.is_some_and(|long| !self.check_long(&long, key.order)) {
                return Err(wrong(format!("claim {id} has other long parts than it says")));
            }
            let index = &mut self.index;
            let same_source = source.map_or(Link::NONE, |source| index.sources.push(source, id));
            let mut row = Row::new(&key, body, series, same_source);
            if u32_at(rest, 16) & RETRACTED != 0 {
                row.retract();
                index.retracted += 1;
            }
            index.rows.push(row);
        }
        Ok(())
    }

    /// The reference of the next body, which is that of claim `id`, and what is in it. Bodies are in the order of the claims.
    fn next_body(&mut self, id: u32) -> Result<(u32, CheckedBody), Problem> {
        let bodies = &self.index.bodies;
        let (chunk, offset) = self.next_body;
        let checked = match chunk < bodies.chunks() {
            true => body::check(&bodies.chunk(chunk)[offset..], &self.counts),
            false => None,
        };
        let end = checked.map(|body| (offset + body.bytes).next_multiple_of(UNIT_BYTES));
        let Some((body, end)) = checked.zip(end).filter(|(_, end)| *end <= bodies.chunk(chunk).len()) else {
            return Err(wrong(format!("claim {id} has no valid body at byte {offset} of chunk {chunk}")));
        };
        self.next_body = if end == bodies.chunk(chunk).len() { (chunk + 1, 0) } else { (chunk, end) };
        Ok((bodies.reference(chunk, offset), body))
    }

    fn end_rows(&mut self) -> Result<(), Problem> {
        let index = &mut self.index;
        check_count(index.rows.len(), self.counts.claims)?;
        if self.next_body != (index.bodies.chunks(), 0) {
            return Err(wrong("there are bodies without claims".to_owned()));
        }
        check_count(self.next_long as usize, self.counts.long)?;
        index.index_claims().map_err(same)
    }

    fn take_series_order(&mut self, payload: &[u8]) -> Result<(), Problem> {
        /// How many claims ahead rows are fetched.
        const AHEAD: usize = 16;
        let Index { rows, series, .. } = &mut self.index;
        let claims = entries::<4>(payload)?.map(|entry| u32_at(entry, 0));
        let mut ahead = claims.clone().skip(AHEAD);
        for entry in claims {
            let is_there = |claim: &u32| *claim < self.counts.claims;
            let fetched = ahead.next().map(|entry| entry & !FIRST_OF_SERIES).filter(is_there);
            fetched.inspect(|&claim| prefetch(&rows[claim]));
            if entry & FIRST_OF_SERIES != 0 {
                self.series_begun += 1;
                self.last_key = None;
            }
            let claim = Some(entry & !FIRST_OF_SERIES).filter(is_there);
            // The first key of a list is that of the newest claim.
            let is_next = |claim: &u32| {
                let row = &rows[*claim];
                row.series.checked_add(1) == Some(self.series_begun)
                    && self.last_key.is_none_or(|last| row.key() < last)
            };
            let Some(claim) = claim.filter(is_next) else {
                let (series, claim) = (self.series_begun.wrapping_sub(1), entry & !FIRST_OF_SERIES);
                return Err(wrong(format!("claim {claim} is not of series {series}, or not in order there")));
            };
            self.last_key = Some(rows[claim].key());
            series.insert(self.series_begun - 1, claim, rows);
            self.claims_placed += 1;
        }
        Ok(())
    }
}

fn take_path_order(paths: &mut PathChains, payload: &[u8]) -> Result<(), Problem> {
    let ids = entries::<4>(payload)?.map(|entry| u32_at(entry, 0));
    paths
        .append_in_order(ids)
        .map_err(|id| wrong(format!("path {id} is not there, or not after the one before it")))
}

fn end_names(names: &mut Interner, hash: &crate::index::SeededHash, count: u32) -> Result<(), Problem> {
    check_count(names.len(), count)?;
    names.index_all(hash).map_err(same)
}

/// Refuses one more name than there should be, or than there can be.
fn check_room(names: &Interner, count: u32) -> Result<(), Problem> {
    if names.len() == count as usize {
        return Err(wrong(format!("more than {count} of them")));
    }
    match names.has_references_for(1) {
        true => Ok(()),
        false => Err(Problem::Full(IndexFull::Numbers { claims: u64::from(count) })),
    }
}

fn check_count(actual: usize, expected: u32) -> Result<(), Problem> {
    match actual == expected as usize {
        true => Ok(()),
        false => Err(wrong(format!("{actual} of them, expected {expected}"))),
    }
}

fn same((one, other): (u32, u32)) -> Problem {
    wrong(format!("numbers {one} and {other} are the same"))
}

/// Calls `each` with every name: its length as u16, its bytes.
fn each_name(mut names: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), Problem>) -> Result<(), Problem> {
    while !names.is_empty() {
        let split = names.split_first_chunk::<2>();
        let split =
            split.and_then(|(bytes, rest)| rest.split_at_checked(usize::from(u16::from_le_bytes(*bytes))));
        let Some((name, rest)) = split else {
            return Err(wrong("the last name is cut".to_owned()));
        };
        each(name)?;
        names = rest;
    }
    Ok(())
}

/// The entries of a payload, each of `N` bytes.
fn entries<const N: usize>(payload: &[u8]) -> Result<impl Iterator<Item = &[u8]> + Clone, Problem> {
    match payload.len().is_multiple_of(N) {
        true => Ok(payload.chunks_exact(N)),
        false => Err(wrong(format!("{} bytes, expected {N} for each", payload.len()))),
    }
}

fn path(name: &[u8]) -> Result<&str, Problem> {
    let path = from_utf8(name).ok().and_then(|name| ConceptPath::new(name).ok());
    path.map(|path| path.as_str()).ok_or_else(|| wrong(format!("\"{}\" is no path", name.escape_ascii())))
}

/// Whether this is how agents are interned.
fn is_agent(bytes: &[u8]) -> bool {
    match bytes {
        [0, key @ ..] => key.len() == AGENT_KEY_BYTES,
        [1, name @ ..] => from_utf8(name).is_ok_and(|name| AgentName::new(name).is_ok()),
        _ => false,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
