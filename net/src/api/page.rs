//! Pages of query results: each core writes its rows, one of them puts the page together.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use stemedb_engine::index::{ClaimId, ClaimView, Index, LongParts};
use stemedb_engine::lens::{Lens, Resolution};
use stemedb_engine::order::ListKey;
use stemedb_engine::planted::{self, Bug};
use stemedb_engine::query::Hit;

use super::claim_json::{push_listed, push_value};
use super::cursor;
use super::text::{push_count, push_hex_string, push_number, push_seconds};

/// About how long a page may become, in bytes: it ends after the row that passes this, whatever its limit.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// The most memory that is taken for rows before they are there.
const ROOM_BYTES_MAX: usize = 16 << 10;

/// What a page has around and between its rows.
const FRAME_BYTES_USUAL: usize = 256;

/// What a small claim takes in a page.
const ROW_BYTES_USUAL: usize = 448;

/// The claims of an index, with what tables have of them.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// The index.
    pub index: &'a Index,
    /// The long parts of those that do not have them in memory.
    pub fetched: &'a HashMap<ClaimId, LongParts>,
}

impl<'a> Claims<'a> {
    fn view(&self, claim: ClaimId) -> ClaimView<'a> {
        let view = self.index.view(claim);
        self.fetched.get(&claim).map_or(view, |parts| view.with(parts))
    }

    /// The claims whose long parts are needed to show a hit and are not there.
    pub fn needed(&self, hit: &Hit) -> impl Iterator<Item = ClaimId> + use<'a> {
        let runner_up = hit.resolution.as_ref().and_then(|resolution| resolution.runner_up.as_ref());
        let claims = [Some(hit.claim), runner_up.map(|runner_up| runner_up.claim)];
        let Claims { index, fetched } = *self;
        let is_needed =
            move |claim: &ClaimId| index.view(*claim).stored().is_some() && !fetched.contains_key(claim);
        claims.into_iter().flatten().filter(is_needed)
    }
}

/// The rows that one core has to offer for a page, as JSON, in list order.
#[derive(Debug, Default)]
pub struct Rows {
    json: Vec<u8>,
    rows: Vec<Row>,
    /// Whether the core has rows behind the last one that it does not offer.
    cut: bool,
    /// Whether retracted claims were asked for.
    include_retracted: bool,
}

/// One row.
#[derive(Debug)]
struct Row {
    key: ListKey,
    /// Where its object stands in the text.
    object: Range<usize>,
    resolution: Option<RowResolution>,
}

/// What the answer's own `resolution` needs of a row's.
#[derive(Debug)]
struct RowResolution {
    candidates: u64,
    distinct_values: u64,
    /// Where the object of the runner-up stands in the text.
    runner_up: Option<Range<usize>>,
}

impl Rows {
    /// No rows, with memory for about as many as there are hits, if they are few.
    ///
    /// Unless the query is to `include_retracted` claims, all hits were active when they were found, and their rows say
    /// so, whatever has happened since: the answer is what was true at one time.
    pub fn with_room(hits: usize, include_retracted: bool) -> Rows {
        let json = Vec::with_capacity((hits * ROW_BYTES_USUAL).min(ROOM_BYTES_MAX));
        Rows { json, rows: Vec::with_capacity(hits), cut: false, include_retracted }
    }

    /// Adds a hit. Hits must come in list order. False if no more hits need to be added: the page is
    /// full with those that there are.
    pub fn push(&mut self, claims: &Claims<'_>, hit: &Hit) -> bool {
        if self.json.len() >= PAGE_BYTES_MAX {
            self.cut = true;
            return false;
        }
        assert!(self.rows.last().is_none_or(|last| last.key < hit.key), "hits come in list order");
        let out = &mut self.json;
        let begin = out.len();
        out.push(b'{');
        let view = claims.view(hit.claim);
        push_listed(out, &view, hit.effective_confidence, self.include_retracted && view.retracted());
        let resolution = hit.resolution.as_ref().map(|resolution| {
            out.extend_from_slice(b",\"resolution\":");
            push_resolution(out, claims, resolution)
        });
        out.push(b'}');
        self.rows.push(Row { key: hit.key, object: begin..out.len(), resolution });
        true
    }
}

/// Appends the answer to a query with this `limit` and `lens`: the page that the rows of all cores make, at most
/// `limit` of them, and a cursor if there are more.
pub fn write_page(out: &mut Vec<u8>, parts: &[Rows], limit: usize, lens: Option<Lens>) {
    let begin = out.len();
    let rows_bytes: usize = parts.iter().map(|part| part.json.len()).sum();
    out.reserve(rows_bytes.min(ROOM_BYTES_MAX) + FRAME_BYTES_USUAL);
    out.extend_from_slice(b"{\"assertions\":[");
    let mut merge = Merge::new(parts);
    let mut totals = Totals::default();
    let mut last = None;
    while totals.rows < limit as u64
        && out.len() - begin < PAGE_BYTES_MAX
        && let Some((part, row)) = merge.next()
    {
        if totals.rows > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&part.json[row.object.clone()]);
        totals.add(part, row);
        last = Some(row.key);
    }
    out.extend_from_slice(b"],\"count\":");
    push_count(out, totals.rows);
    out.extend_from_slice(b",\"lens\":");
    match lens {
        Some(lens) => {
            out.push(b'"');
            out.extend_from_slice(lens.name().as_bytes());
            out.extend_from_slice(b"\",\"resolution\":");
            totals.push(out);
        }
        None => out.extend_from_slice(b"null"),
    }
    if let Some(last) = last
        && merge.has_more()
    {
        let skipped = if planted::is(Bug::SkipAtCursors) { merge.next() } else { None };
        let last = skipped.map_or(last, |(_, row)| row.key);
        out.extend_from_slice(b",\"cursor\":\"");
        cursor::push(out, &last);
        out.push(b'"');
    }
    out.push(b'}');
}

/// The rows of all cores in list order, as far as the order is certain.
struct Merge<'r> {
    parts: &'r [Rows],
    /// The key of each part's next row, with the numbers of part and row; the smallest key on top.
    heads: BinaryHeap<Reverse<(ListKey, usize, usize)>>,
    /// Whether a part ended that was cut: what it left out may come before any further row.
    ended_cut: bool,
}

impl<'r> Merge<'r> {
    fn new(parts: &'r [Rows]) -> Merge<'r> {
        let mut merge = Merge { parts, heads: BinaryHeap::with_capacity(parts.len()), ended_cut: false };
        (0..parts.len()).for_each(|part| merge.advance(part, 0));
        merge
    }

    fn next(&mut self) -> Option<(&'r Rows, &'r Row)> {
        if self.ended_cut {
            return None;
        }
        let Reverse((_, part, row)) = self.heads.pop()?;
        self.advance(part, row + 1);
        Some((&self.parts[part], &self.parts[part].rows[row]))
    }

    fn has_more(&self) -> bool {
        self.ended_cut || !self.heads.is_empty()
    }

    fn advance(&mut self, part: usize, row: usize) {
        match self.parts[part].rows.get(row) {
            Some(next) => self.heads.push(Reverse((next.key, part, row))),
            None => self.ended_cut |= self.parts[part].cut,
        }
    }
}

/// What the answer says of all its rows together.
#[derive(Default)]
struct Totals<'r> {
    rows: u64,
    candidates: u64,
    distinct_values: u64,
    /// The runner-up of the last row, as JSON.
    runner_up: Option<&'r [u8]>,
}

impl<'r> Totals<'r> {
    fn add(&mut self, part: &'r Rows, row: &'r Row) {
        self.rows += 1;
        if let Some(resolution) = &row.resolution {
            self.candidates += resolution.candidates;
            self.distinct_values += resolution.distinct_values;
            self.runner_up = resolution.runner_up.clone().map(|range| &part.json[range]);
        }
    }

    /// Appends the answer's `resolution`. It has a runner-up if there is one winner: among several, each row has
    /// its own.
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"candidates\":");
        push_count(out, self.candidates);
        out.extend_from_slice(b",\"distinct_values\":");
        push_count(out, self.distinct_values);
        if let (1, Some(runner_up)) = (self.rows, self.runner_up) {
            out.extend_from_slice(b",\"runner_up\":");
            out.extend_from_slice(runner_up);
        }
        out.push(b'}');
    }
}

/// Appends a row's `resolution`.
fn push_resolution(
    out: &mut Vec<u8>,
    claims: &Claims<'_>,
    resolution: &Resolution<ClaimId>,
) -> RowResolution {
    out.extend_from_slice(b"{\"candidates\":");
    push_count(out, resolution.candidates);
    out.extend_from_slice(b",\"distinct_values\":");
    push_count(out, resolution.distinct_values);
    out.extend_from_slice(b",\"supporting\":");
    push_count(out, resolution.supporting);
    let runner_up = resolution.runner_up.map(|runner_up| {
        out.extend_from_slice(b",\"runner_up\":");
        let begin = out.len();
        push_runner_up(out, &claims.view(runner_up.claim), runner_up.supporting);
        begin..out.len()
    });
    out.push(b'}');
    let Resolution { candidates, distinct_values, .. } = *resolution;
    RowResolution { candidates, distinct_values, runner_up }
}

fn push_runner_up(out: &mut Vec<u8>, view: &ClaimView<'_>, supporting: u64) {
    out.extend_from_slice(b"{\"hash\":");
    push_hex_string(out, &view.hash().0);
    out.push(b',');
    push_value(out, view);
    out.extend_from_slice(b",\"confidence\":");
    push_number(out, view.confidence().value());
    out.extend_from_slice(b",\"timestamp\":");
    push_seconds(out, view.key().timestamp);
    out.extend_from_slice(b",\"supporting\":");
    push_count(out, supporting);
    out.push(b'}');
}
