//! What the sections of a snapshot hold, written piece by piece.

use std::ops::Range;

use super::block::Section;
use super::{Counts, FIRST_OF_SERIES, RETRACTED, ROW_BYTES};
use crate::index::Index;
use crate::index::interner::Interner;
use crate::index::long::{Checkpoints, LongPlace};
use crate::index::path_chains::PathChains;
use crate::index::series::CHAIN_CLAIMS_MAX;

/// What it costs to look at a row that is anywhere in memory, in bytes that are copied in the same time or less.
const ROW_COST: usize = 64;

/// What it costs to find a place in an order again.
const PLACE_COST: usize = 1 << 10;

/// The content of a snapshot, and how far it was written.
#[derive(Debug)]
pub(super) struct Sections {
    slots: Range<u16>,
    position: Vec<u8>,
    counts: Counts,
    /// Chunks that have bodies of the snapshot, and how many bytes of the last.
    bodies_end: (usize, usize),
    /// What comes next in the section: a number of what it is about.
    next: u32,
    /// How much of the chunk of bodies was written.
    chunk_offset: usize,
    /// The path, or the claim of the series, that was looked at last.
    last: Option<u32>,
    /// Whether a claim of the series was written.
    is_begun: bool,
}

impl Sections {
    pub(super) fn new(index: &Index, slots: Range<u16>, position: Vec<u8>) -> Sections {
        let chunks = index.bodies.chunks();
        let bytes_in_last = chunks.checked_sub(1).map_or(0, |last| index.bodies.chunk(last).len());
        Sections {
            slots,
            position,
            counts: Counts {
                claims: index.rows.len() as u32,
                series: index.series.len() as u32,
                subjects: index.subjects.paths().len() as u32,
                sources: index.sources.paths().len() as u32,
                predicates: index.predicates.len() as u32,
                epochs: index.epochs.len() as u32,
                agents: index.agents.len() as u32,
                long: index.long.next_number(),
            },
            bodies_end: (chunks, bytes_in_last),
            next: 0,
            chunk_offset: 0,
            last: None,
            is_begun: false,
        }
    }

    /// Goes to the beginning of a section.
    pub(super) fn begin(&mut self) {
        (self.next, self.chunk_offset, self.last, self.is_begun) = (0, 0, None, false);
    }

    /// Whether a section was written to its end.
    pub(super) fn is_written(&self, section: Section) -> bool {
        let counts = &self.counts;
        let end = match section {
            Section::Header | Section::Footer => 1,
            Section::Predicates => counts.predicates,
            Section::Epochs => counts.epochs,
            Section::Agents => counts.agents,
            Section::Sources | Section::SourceOrder => counts.sources,
            Section::Subjects | Section::SubjectOrder => counts.subjects,
            Section::Series | Section::SeriesOrder => counts.series,
            Section::LongParts => counts.long,
            Section::Bodies => self.bodies_end.0 as u32,
            Section::Rows => counts.claims,
        };
        self.next == end
    }

    /// Appends the next piece of a section that is not written to its end. Answers what it cost, about `budget`.
    pub(super) fn append(
        &mut self,
        section: Section,
        index: &Index,
        budget: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let counts = self.counts;
        match section {
            Section::Header => self.append_header(out),
            Section::Predicates => self.append_names(&index.predicates, counts.predicates, budget, out),
            Section::Epochs => self.append_names(&index.epochs, counts.epochs, budget, out),
            Section::Agents => self.append_names(&index.agents, counts.agents, budget, out),
            Section::Sources => self.append_names(index.sources.paths(), counts.sources, budget, out),
            Section::Subjects => self.append_names(index.subjects.paths(), counts.subjects, budget, out),
            Section::Series => self.append_series(index, budget, out),
            Section::LongParts => self.append_long_parts(index, budget, out),
            Section::Bodies => self.append_bodies(index, budget, out),
            Section::Rows => self.append_rows(index, budget, out),
            Section::SourceOrder => self.append_path_order(&index.sources, counts.sources, budget, out),
            Section::SubjectOrder => self.append_path_order(&index.subjects, counts.subjects, budget, out),
            Section::SeriesOrder => self.append_series_order(index, budget, out),
            Section::Footer => {
                self.next = 1;
                0
            }
        }
    }

    fn append_header(&mut self, out: &mut Vec<u8>) -> usize {
        let Counts { claims, series, subjects, sources, predicates, epochs, agents, long } = self.counts;
        out.extend_from_slice(&self.slots.start.to_le_bytes());
        out.extend_from_slice(&self.slots.end.to_le_bytes());
        for count in [claims, series, subjects, sources, predicates, epochs, agents, long] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&self.position);
        self.next = 1;
        self.position.len()
    }

    fn append_names(&mut self, names: &Interner, count: u32, budget: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        while self.next < count && out.len() - start < budget {
            let name = names.string(self.next);
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name);
            self.next += 1;
        }
        out.len() - start
    }

    fn append_series(&mut self, index: &Index, budget: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        while self.next < self.counts.series && out.len() - start < budget {
            let series = &index.series[self.next];
            out.extend_from_slice(&series.subject.to_le_bytes());
            out.extend_from_slice(&series.predicate.to_le_bytes());
            self.next += 1;
        }
        out.len() - start
    }

    fn append_long_parts(&mut self, index: &Index, budget: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        while self.next < self.counts.long && out.len() - start < budget {
            let (checkpoints, value, metadata) = match index.long.place(self.next) {
                LongPlace::Memory(parts) => {
                    (Checkpoints { first: 0, last: 0 }, parts.value(), parts.metadata())
                }
                LongPlace::Stored(checkpoints) => (*checkpoints, &[][..], &[][..]),
            };
            let Checkpoints { first, last } = checkpoints;
            for number in [first, last, value.len() as u32, metadata.len() as u32] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(value);
            out.extend_from_slice(metadata);
            self.next += 1;
        }
        out.len() - start
    }

    fn append_bodies(&mut self, index: &Index, budget: usize, out: &mut Vec<u8>) -> usize {
        let at = self.next as usize;
        let (chunks, bytes_in_last) = self.bodies_end;
        let chunk = index.bodies.chunk(at);
        let chunk = if at + 1 == chunks { &chunk[..bytes_in_last] } else { chunk };
        let rest = &chunk[self.chunk_offset..];
        let piece = &rest[..rest.len().min(budget)];
        out.extend_from_slice(&self.next.to_le_bytes());
        out.extend_from_slice(piece);
        self.chunk_offset += piece.len();
        if piece.len() == rest.len() {
            (self.next, self.chunk_offset) = (self.next + 1, 0);
        }
        piece.len()
    }

    fn append_rows(&mut self, index: &Index, budget: usize, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        while self.next < self.counts.claims && out.len() - start < budget {
            let row = &index.rows[self.next];
            let retracted = if row.is_retracted() { RETRACTED } else { 0 };
            let mut bytes = [0; ROW_BYTES];
            bytes[..32].copy_from_slice(&row.hash);
            bytes[32..40].copy_from_slice(&row.key().timestamp.0.to_le_bytes());
            bytes[40..48].copy_from_slice(&row.order().as_u64().to_le_bytes());
            bytes[48..].copy_from_slice(&(row.series | retracted).to_le_bytes());
            out.extend_from_slice(&bytes);
            self.next += 1;
        }
        out.len() - start
    }

    /// Paths that came after the beginning are passed over.
    fn append_path_order(
        &mut self,
        paths: &PathChains,
        count: u32,
        budget: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut cost = PLACE_COST;
        for path in paths.beginning_with("", self.last) {
            self.last = Some(path);
            cost += size_of::<u32>();
            if path < count {
                out.extend_from_slice(&path.to_le_bytes());
                self.next += 1;
            }
            if self.next == count || cost >= budget {
                break;
            }
        }
        cost
    }

    fn append_series_order(&mut self, index: &Index, budget: usize, out: &mut Vec<u8>) -> usize {
        let mut cost = 0;
        while self.next < self.counts.series && cost < budget {
            match index.series.list(self.next) {
                None => cost += self.append_chain(index, out),
                Some(_) => cost += self.append_list(index, budget - cost, out),
            }
        }
        cost
    }

    /// Appends the claims of the next series, which are few.
    fn append_chain(&mut self, index: &Index, out: &mut Vec<u8>) -> usize {
        let mut claims = [0; CHAIN_CLAIMS_MAX as usize];
        let (mut count, mut seen) = (0, 0);
        for claim in index.series.newest_first(self.next, None, &index.rows) {
            seen += 1;
            if claim < self.counts.claims {
                claims[count] = claim;
                count += 1;
            }
        }
        claims[..count].iter().rev().for_each(|&claim| self.append_claim(claim, out));
        self.end_series();
        seen * ROW_COST
    }

    /// Appends further claims of the next series, which has many.
    fn append_list(&mut self, index: &Index, budget: usize, out: &mut Vec<u8>) -> usize {
        let list = index.series.list(self.next).expect("it was looked at and has one");
        let last_key = self.last.map(|last| index.rows[last].key());
        // The list is oldest first, and the first key is that of the newest.
        let position = match last_key {
            Some(last) => list.position(|claim| index.rows[claim].key() >= last),
            None => list.position(|_| false),
        };
        let mut cost = PLACE_COST;
        for claim in list.forward(position) {
            if cost >= budget.max(2 * PLACE_COST) {
                return cost;
            }
            cost += size_of::<u32>();
            self.last = Some(claim);
            if claim < self.counts.claims {
                self.append_claim(claim, out);
            }
        }
        self.end_series();
        cost
    }

    fn append_claim(&mut self, claim: u32, out: &mut Vec<u8>) {
        let first = if self.is_begun { 0 } else { FIRST_OF_SERIES };
        out.extend_from_slice(&(claim | first).to_le_bytes());
        self.is_begun = true;
    }

    fn end_series(&mut self) {
        assert!(self.is_begun, "a series has the claim that it was made for");
        (self.next, self.last, self.is_begun) = (self.next + 1, None, false);
    }
}
