//! A hash table of ids whose every operation is small.

use super::chunked_vec::ChunkedVec;
use crate::prefetch::prefetch;

/// Slots in a line. A line is what the processor fetches at once: 64 bytes.
const LINE_SLOTS: usize = 8;

/// The most lines in a page, as long as there are hash bits left to split it by.
const PAGE_LINES_MAX: usize = 128;

/// By how many lines a page grows, once it has as many.
const PAGE_LINES_STEP: usize = 32;

/// The most hash bits that choose a page. Beyond it, at half a billion ids, pages grow instead of being
/// split.
const DEPTH_MAX: u32 = 20;

/// A slot without an id.
const EMPTY: u64 = 0;

/// The bit that is set in the hash of every slot that is taken, so that no hash is that of an empty slot.
const TAKEN: u32 = 1 << 31;

/// How many parts of pages a table is made by, one after the other. A power of two.
const PARTS: usize = 256;

/// The most ids that are put in parts together.
const PARTED_AT_ONCE_MAX: u32 = if cfg!(test) { 1 << 16 } else { 1 << 22 };

/// A hash table of `u32` ids; what an id stands for, its owner knows.
///
/// Extendible hashing (Fagin, Nievergelt, Pippenger, Strong 1979): a directory, indexed by some bits of the
/// hash, of pages. A full page is split in two by one more bit, so the longest that an insertion takes does
/// not depend on how much the table holds, but for the directory, which has 4 bytes for some 600 ids.
///
/// A page probes line by line, and a slot holds 31 bits of the hash beside the id. So a search mostly fetches
/// one line, for what it looks for or to know that it is absent, and growing never looks at what the ids
/// stand for, which would be anywhere in memory. Pages grow by small steps: an id takes 11 bytes, give or
/// take two.
pub(super) struct IdTable {
    /// Indices into `pages`; 2^depth of them, indexed by the lowest `depth` bits of the hash.
    directory: Vec<u32>,
    pages: ChunkedVec<Page, 128>,
    /// Bytes that the pages' lines have.
    lines_bytes: usize,
    len: usize,
}

impl IdTable {
    pub(super) fn new() -> IdTable {
        let mut table = IdTable { directory: vec![0], pages: ChunkedVec::new(), lines_bytes: 0, len: 0 };
        table.add_page(Page::of(0, 1, std::iter::empty()));
        table
    }

    /// A table of the ids from 0 to `count`, or two of them that are equal.
    ///
    /// Made at once, with as many pages as it takes, so that no page is split; and a part after the other, each of pages that stay in a
    /// near cache, so that no insertion waits for memory. Takes up to 64 MiB meanwhile.
    pub(super) fn of_distinct(
        count: u32,
        hash: impl Fn(u32) -> u64,
        are_equal: impl Fn(u32, u32) -> bool,
    ) -> Result<IdTable, (u32, u32)> {
        let mut table = IdTable::with_pages_for(count as usize);
        let group_ids = count.min(PARTED_AT_ONCE_MAX) as usize;
        let (mut slots, mut parted) = (Vec::with_capacity(group_ids), vec![EMPTY; group_ids]);
        for start in (0..count).step_by(PARTED_AT_ONCE_MAX as usize) {
            let group = start..count.min(start + PARTED_AT_ONCE_MAX);
            slots.clear();
            slots.extend(group.map(|id| slot(taken_hash(hash(id)), id)));
            part_by_page(&slots, &mut parted);
            for &slot in &parted[..slots.len()] {
                let id = slot_id(slot);
                match table.find_taken(slot_hash(slot), |other| are_equal(other, id)) {
                    Ok(other) => return Err((other, id)),
                    Err(vacancy) => table.insert(vacancy, id),
                }
            }
        }
        Ok(table)
    }

    /// An empty table whose pages have room for so many ids, if their hashes are spread evenly.
    fn with_pages_for(ids: usize) -> IdTable {
        // In most pages there is then room for some more than come.
        const PAGE_IDS_MAX: usize = 700;
        let Some(depth) =
            (0..=DEPTH_MAX).find(|depth| ids >> depth <= PAGE_IDS_MAX).filter(|depth| *depth > 0)
        else {
            return IdTable::new();
        };
        let page_ids = (ids >> depth) + 2 * (ids >> depth).isqrt();
        let lines = (page_ids / (LINE_SLOTS - 1) + 1).next_multiple_of(PAGE_LINES_STEP);
        let mut table = IdTable { directory: Vec::new(), pages: ChunkedVec::new(), lines_bytes: 0, len: 0 };
        table.directory =
            (0..1 << depth).map(|_| table.add_page(Page::of(depth, lines, std::iter::empty()))).collect();
        table
    }

    /// Inserts an id where a search for it ended in vain.
    pub(super) fn insert(&mut self, vacancy: Vacancy, id: u32) {
        assert_eq!(vacancy.len, self.len, "a vacancy is good until the next insertion");
        let slot = slot(vacancy.hash, id);
        match self.pages[vacancy.page].is_full() {
            false => self.pages[vacancy.page].insert_into(vacancy.line, slot),
            true => {
                self.make_room(vacancy.page, vacancy.hash);
                let page = self.page_of(vacancy.hash);
                let page = &mut self.pages[page];
                let line = page.find(vacancy.hash, |_| false).expect_err("nothing was looked for");
                page.insert_into(line, slot);
            }
        }
        self.len += 1;
    }

    /// The id with this hash for which `is_it` is true, or where it would be inserted.
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Result<u32, Vacancy> {
        self.find_taken(taken_hash(hash), is_it)
    }

    /// An id with this hash, or with one that is as good as the same; likely the one that a search would find.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true).ok()
    }

    /// Fetches the page in which a search for this hash will look, without its lines.
    pub(super) fn prefetch_page(&self, hash: u64) {
        prefetch(&self.pages[self.page_of(taken_hash(hash))]);
    }

    /// Fetches the line at which a search for this hash will look first; its page has been fetched.
    pub(super) fn prefetch_line(&self, hash: u64) {
        let hash = taken_hash(hash);
        let page = &self.pages[self.page_of(hash)];
        prefetch(&page.lines[page.first_line(hash)]);
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.lines_bytes + self.pages.bytes() + self.directory.capacity() * size_of::<u32>()
    }

    /// The most that [`Self::bytes`] can grow by so many insertions, as long as hashes are spread evenly.
    pub(super) fn growth_bytes_max(&self, insertions: usize) -> usize {
        // Each page may be about to be split, into two with 64 lines more; those that come after it have
        // enough with 24 bytes for each further id.
        let splits = insertions.min(self.pages.len());
        splits * PAGE_LINES_MAX * size_of::<Line>()
            + insertions * 24
            + self.pages.growth_bytes_max(splits + insertions / 256)
            + self.directory.capacity() * size_of::<u32>()
    }

    /// The same for what slots hold of a hash.
    fn find_taken(&self, hash: u32, is_it: impl FnMut(u32) -> bool) -> Result<u32, Vacancy> {
        let page = self.page_of(hash);
        self.pages[page].find(hash, is_it).map_err(|line| Vacancy { hash, page, line, len: self.len })
    }

    fn page_of(&self, hash: u32) -> u32 {
        self.directory[hash as usize & (self.directory.len() - 1)]
    }

    /// Makes room in full page `at`, to which this hash belongs, or in the pages that take its place.
    fn make_room(&mut self, mut at: u32, hash: u32) {
        while self.pages[at].is_full() {
            let page = &self.pages[at];
            let lines = page.lines.len();
            if lines >= PAGE_LINES_MAX && page.depth < DEPTH_MAX {
                self.split(at, hash);
                at = self.page_of(hash);
            } else {
                let step = if lines < PAGE_LINES_MAX { lines.min(PAGE_LINES_STEP) } else { lines / 4 };
                let grown = Page::of(page.depth, lines + step, page.slots());
                self.lines_bytes += grown.lines_bytes() - page.lines_bytes();
                self.pages[at] = grown;
            }
        }
    }

    /// Moves the slots of page `at` whose next hash bit is set to a new page. `hash` is one that belongs to
    /// the page.
    fn split(&mut self, at: u32, hash: u32) {
        let page = &self.pages[at];
        let depth = page.depth;
        let bit = 1 << depth;
        let is_set = |slot: &u64| slot_hash(*slot) & bit != 0;
        let set_len = page.slots().filter(is_set).count();
        let set = Page::of(depth + 1, lines_for(set_len), page.slots().filter(is_set));
        let clear_slots = page.slots().filter(|slot| !is_set(slot));
        let clear = Page::of(depth + 1, lines_for(page.len - set_len), clear_slots);
        self.lines_bytes += clear.lines_bytes();
        self.lines_bytes -= page.lines_bytes();
        self.pages[at] = clear;
        let new = self.add_page(set);
        if bit as usize == self.directory.len() {
            self.directory.extend_from_within(..);
        }
        let first = hash & (bit - 1) | bit;
        for entry in (first as usize..self.directory.len()).step_by(2 * bit as usize) {
            assert_eq!(self.directory[entry], at, "directory entry {entry} leads to the page that was split");
            self.directory[entry] = new;
        }
    }

    fn add_page(&mut self, page: Page) -> u32 {
        self.lines_bytes += page.lines_bytes();
        self.pages.push(page)
    }
}

/// Where an id that was searched in vain may be inserted. Good until the next insertion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vacancy {
    hash: u32,
    page: u32,
    line: usize,
    /// How many ids the table had.
    len: usize,
}

/// An open-addressed table of whole lines. Slots of a line are filled from the first to the last.
///
/// Aligned, so that one fetch gets all that leads to the lines.
#[repr(align(64))]
struct Page {
    lines: Vec<Line>,
    /// How many slots are taken.
    len: usize,
    /// How many hash bits, from the lowest, all slots of this page share.
    depth: u32,
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; LINE_SLOTS]);

impl Line {
    fn is_full(&self) -> bool {
        self.0[LINE_SLOTS - 1] != EMPTY
    }
}

impl Page {
    /// A page of so many lines that holds these slots.
    fn of(depth: u32, lines: usize, slots: impl Iterator<Item = u64>) -> Page {
        let mut page = Page { lines: vec![Line([EMPTY; LINE_SLOTS]); lines], len: 0, depth };
        // How many slots of each line are taken. Beside the lines, so that none has to be searched for a free
        // one.
        let mut taken = vec![0_u8; lines];
        for slot in slots {
            let mut line = page.first_line(slot_hash(slot));
            while usize::from(taken[line]) == LINE_SLOTS {
                line = page.next_line(line);
            }
            page.lines[line].0[usize::from(taken[line])] = slot;
            taken[line] += 1;
            page.len += 1;
        }
        page
    }

    /// Takes the first free slot of a line; there must be one.
    fn insert_into(&mut self, line: usize, slot: u64) {
        let Line(slots) = &mut self.lines[line];
        let taken = slots.iter().filter(|slot| **slot != EMPTY).count();
        slots[taken] = slot;
        self.len += 1;
    }

    /// The id with this hash for which `is_it` is true, or the first line with room for it.
    fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Result<u32, usize> {
        let mut line = self.first_line(hash);
        loop {
            for &slot in &self.lines[line].0 {
                if slot_hash(slot) == hash && is_it(slot_id(slot)) {
                    return Ok(slot_id(slot));
                }
            }
            // Only a full line was ever probed past.
            if !self.lines[line].is_full() {
                return Err(line);
            }
            line = self.next_line(line);
        }
    }

    /// Whether seven of eight slots are taken. There is always a line that is not full.
    fn is_full(&self) -> bool {
        self.len >= self.lines.len() * (LINE_SLOTS - 1)
    }

    fn slots(&self) -> impl Iterator<Item = u64> {
        self.lines.iter().flat_map(|line| line.0).filter(|slot| *slot != EMPTY)
    }

    fn lines_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// Where probing begins: by the highest bits of the hash but one, for the lowest are the same in the
    /// whole page.
    fn first_line(&self, hash: u32) -> usize {
        (u64::from(hash & !TAKEN) * self.lines.len() as u64 / u64::from(TAKEN)) as usize
    }

    fn next_line(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }
}

/// Puts slots in parts by the lowest bits of their hashes, which choose the page. Within a part they keep their order.
fn part_by_page(slots: &[u64], parted: &mut [u64]) {
    let part_of = |slot: u64| slot_hash(slot) as usize % PARTS;
    let mut places = [0; PARTS];
    slots.iter().for_each(|&slot| places[part_of(slot)] += 1);
    let mut before = 0;
    for place in &mut places {
        before += std::mem::replace(place, before);
    }
    for &slot in slots {
        let place = &mut places[part_of(slot)];
        parted[*place] = slot;
        *place += 1;
    }
}

/// How many lines a new page for so many slots has, with some room for more.
fn lines_for(slots: usize) -> usize {
    (slots * 9 / 8).div_ceil(LINE_SLOTS - 1).next_multiple_of(PAGE_LINES_STEP)
}

/// What slots hold of a hash.
fn taken_hash(hash: u64) -> u32 {
    // The upper half is as good as the lower one.
    (hash >> u32::BITS) as u32 | TAKEN
}

fn slot(hash: u32, id: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(id)
}

fn slot_hash(slot: u64) -> u32 {
    (slot >> 32) as u32
}

fn slot_id(slot: u64) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use super::super::seeded_hash::SeededHash;
    use super::*;

    fn hash(id: u32) -> u64 {
        SeededHash::new(7).of_u64(u64::from(id))
    }

    fn find(table: &IdTable, id: u32) -> Option<u32> {
        table.find(hash(id), |found| found == id).ok()
    }

    fn insert(table: &mut IdTable, hash: u64, id: u32) {
        let vacancy = table.find(hash, |found| found == id).expect_err("not inserted yet");
        table.insert(vacancy, id);
    }

    #[test]
    fn finds_what_was_inserted_and_nothing_else() {
        const IDS: u32 = 200_000;
        let mut table = IdTable::new();
        for id in 0..IDS {
            let most = table.bytes() + table.growth_bytes_max(1);
            insert(&mut table, hash(id), id);
            assert!(table.bytes() <= most);
            assert!(id < 10_000 || (table.bytes() as u32) < 14 * id, "{} bytes for {id} ids", table.bytes());
        }
        assert!((0..IDS).all(|id| find(&table, id) == Some(id)));
        assert!((IDS..2 * IDS).all(|id| find(&table, id).is_none()));
        assert!(table.directory.len() >= 256);
        let lines: usize = (0..table.pages.len()).map(|at| table.pages[at as u32].lines_bytes()).sum();
        assert_eq!(table.lines_bytes, lines);
    }

    #[test]
    fn a_table_made_at_once_is_as_good_as_one_that_grew() {
        for ids in [0, 1, 31, 32, 33, 700, 701, 3_000, 200_000] {
            let mut table = IdTable::of_distinct(ids, hash, |_, _| false).expect("no two are equal");
            let mut grown = IdTable::new();
            (0..ids).for_each(|id| insert(&mut grown, hash(id), id));
            assert!(table.bytes() <= grown.bytes() * 5 / 4, "{} and {} bytes", table.bytes(), grown.bytes());
            for id in ids..2 * ids {
                let most = table.bytes() + table.growth_bytes_max(1);
                insert(&mut table, hash(id), id);
                assert!(table.bytes() <= most);
            }
            assert!((0..2 * ids).all(|id| find(&table, id) == Some(id)));
            assert_eq!(find(&table, 2 * ids), None);
        }
    }

    #[test]
    fn a_table_made_at_once_tells_two_that_are_equal() {
        let key = |id: u32| if id == 1_999 { 77 } else { id };
        let made = IdTable::of_distinct(2_000, |id| hash(key(id)), |one, other| key(one) == key(other));
        assert_eq!(made.err(), Some((77, 1_999)));
    }

    /// No page, which is the most that an insertion moves, ever becomes larger, however many there are.
    #[test]
    fn pages_stay_small() {
        let mut table = IdTable::new();
        (0..300_000).for_each(|id| insert(&mut table, hash(id), id));
        assert!((0..table.pages.len()).all(|at| table.pages[at as u32].lines.len() <= PAGE_LINES_MAX));
    }

    /// Hashes that share the bits which choose a page only make that page large.
    #[test]
    fn hashes_that_all_collide_do_not_blow_the_directory_up() {
        let mut table = IdTable::new();
        let hash = |id: u32| u64::from(id) << 56;
        (0..3_000).for_each(|id| insert(&mut table, hash(id), id));
        assert!((0..3_000).all(|id| table.find(hash(id), |found| found == id).ok() == Some(id)));
        assert!(table.find(hash(3), |_| false).is_err());
        assert!(table.bytes() < 200_000, "{} bytes", table.bytes());
    }

    #[test]
    fn no_hash_and_no_id_is_taken_for_an_empty_slot() {
        let mut table = IdTable::new();
        for (hash, id) in [(0, 0), (0, u32::MAX), (u64::MAX, 0), (u64::MAX, u32::MAX), (1 << 63, 0)] {
            assert!(table.find(hash, |found| found == id).is_err() || id == 0);
            if table.find(hash, |found| found == id).is_err() {
                insert(&mut table, hash, id);
            }
            assert_eq!(table.find(hash, |found| found == id).ok(), Some(id));
        }
    }

    #[test]
    #[should_panic(expected = "a vacancy is good until the next insertion")]
    fn a_vacancy_is_used_once() {
        let mut table = IdTable::new();
        let vacancy = table.find(hash(1), |_| true).expect_err("the table is empty");
        table.insert(vacancy, 1);
        table.insert(vacancy, 2);
    }
}
