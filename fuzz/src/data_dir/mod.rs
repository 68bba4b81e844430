//! A start on a whole store, log, tables, manifest and index snapshots, whose files were damaged together: it is refused, or every claim is
//! there and retracted as it was.
//!
//! The input is a little program. Its first byte chooses one of some stores, which are made once; its second says with how many cores
//! the start is and whether the store goes on to be kept in order; the rest damages the files.
//!
//! What a store cannot notice, and may therefore lose without an error, is:
//!
//! - records of the log for which nothing unharmed testifies: their segment is harmed, and so is every later one of its lane, and if
//!   all the harm is in one block, the record is in the lane's last frame;
//! - records that are in tables, if the manifest is harmed or gone, and with it every segment that the log has: nothing is
//!   left that knows of them;
//! - anything once a checksum was made to fit a wrong content. Then nothing but that there is no panic is promised, and that a snapshot
//!   refuses no start.

mod damage;
mod files;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use stemedb_engine::checkpoint::{OpenTables, TableSet};
use stemedb_engine::claim::{ClaimHash, assertion};
use stemedb_engine::index::{ClaimView, Index};
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::storage::LogStorage;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::slot::SlotMap;
use stemedb_engine::snapshots::keep_only;
use stemedb_engine::table::ClaimKey;
use stemedb_engine::time::UnixMicros;
use stemedb_net::server::recovery::{Hands, RebuildError, Rebuilt, Sources, rebuild_all};

use crate::program::Program;
use crate::recovery::damage::Damage;
use crate::recovery::truth::retracted;
use crate::recovery::{Place, Records, read_after};
use files::{Disk, Files, Name};
use history::{Lived, STORES};

/// Damage is done in so many steps at most.
const STEPS_MAX: usize = 8;

/// Steps of upkeep of a store that goes on.
const UPKEEP_STEPS: usize = 60;

/// When the generation is opened with which a store goes on.
const LATER: UnixMicros = UnixMicros(1_800_000_000_000_000);

/// Starts on a store whose files were damaged, twice.
pub fn data_dir(input: &[u8]) {
    run(input);
}

/// What became of a start.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// Nothing was the matter with the store.
    Sound,
    /// Not all files were as they were, and the start did without them.
    Managed,
    /// There is an index, of a store of which a checksum was made to fit.
    Forged,
}

fn run(input: &[u8]) -> Outcome {
    let mut program = Program::new(input);
    let lived = &history::stores()[usize::from(program.byte()) % STORES];
    let choices = program.byte();
    let (cores, is_kept_up) = (1 + u16::from(choices % 4), choices & 4 != 0);
    let (mut files, mut is_forged, mut steps) = (lived.files.clone(), false, 0);
    while !program.rest.is_empty() && steps < STEPS_MAX {
        is_forged |= damage::step(&mut files, lived, &mut program);
        steps += 1;
    }
    let harm = Harm::of(lived, &files, is_forged);
    let disk = Disk::of(&files);
    let started = start(&disk, cores);
    assert!(disk.files() == files, "a start has changed something before it was known whether it is one");
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            let refusal = chain(&error);
            harm.check_refusal(&refusal, &files);
            let again = start(&disk, cores).map(|_| "a start").map_err(|error| chain(&error));
            assert_eq!(again, Err(refusal), "a second start says something else");
            return Outcome::Refused;
        }
    };
    check_contents(&started, &harm);
    let answers = Answers::of(&started, &harm);
    if harm.is_forged {
        return Outcome::Forged;
    }
    check(&answers, &started, &disk, &harm);
    go_on(&disk, started, cores, is_kept_up);
    match start(&disk, cores) {
        Ok(started) => assert!(Answers::of(&started, &harm) == answers, "other claims after another start"),
        // What a snapshot had of it was not read in it before.
        Err(error) => {
            let refusal = chain(&error);
            assert!(harm.is_table_named(&refusal), "a store that was started on is refused: {refusal}");
        }
    }
    if harm.touched.is_empty() { Outcome::Sound } else { Outcome::Managed }
}

/// What a start has made.
struct Started {
    tables: OpenTables,
    rebuilt: Rebuilt,
}

/// Starts as servers do, up to where something is changed.
fn start(disk: &Disk, cores: u16) -> Result<Started, RebuildError> {
    let tables = OpenTables::open(&disk.manifest, &disk.tables)?;
    let log = || Box::new(disk.log.clone()) as Box<dyn LogStorage>;
    let sources = Sources { log: &log, tables: &tables, snapshots: Some(&disk.snapshots) };
    let rebuilt = rebuild_all(&sources, SlotMap::new(cores), 1, Hands::Caller)?;
    Ok(Started { tables, rebuilt })
}

/// Opens the next generation, and keeps the store in order for a while.
fn go_on(disk: &Disk, started: Started, cores: u16, is_kept_up: bool) {
    let Started { tables, rebuilt } = started;
    let used = rebuilt.snapshot.as_ref().map(|used| used.number);
    keep_only(&disk.snapshots, used).expect("memory takes every change");
    let lanes = history::open(&mut disk.log.clone(), &rebuilt.recovered, cores, LATER);
    let mut upkeep = history::upkeep(disk, tables.manifest().clone(), &lanes);
    for _ in 0..if is_kept_up { UPKEEP_STEPS } else { 0 } {
        // Damage that nobody has read so far is found, and ends what was begun.
        if upkeep.step(LATER, &mut |_| true).is_err() {
            break;
        }
    }
}

/// What was done to a store.
struct Harm<'l> {
    lived: &'l Lived,
    /// The files that are not as they were, are gone, or were not there.
    touched: BTreeSet<Name>,
    /// What of that is in the log.
    log: Damage,
    /// Whether every segment of the log that was begun is not as it was.
    is_all_of_the_log_touched: bool,
    /// Whether a checksum was made to fit.
    is_forged: bool,
}

impl<'l> Harm<'l> {
    fn of(lived: &'l Lived, files: &Files, is_forged: bool) -> Harm<'l> {
        let names: BTreeSet<Name> = lived.files.keys().chain(files.keys()).copied().collect();
        let is_touched = |name: &Name| lived.files.get(name) != files.get(name);
        let touched: BTreeSet<Name> = names.into_iter().filter(is_touched).collect();
        let mut log = Damage::default();
        for name in &touched {
            let Name::Segment(id) = *name else { continue };
            log.touched.insert(id);
            match (lived.files.get(name), files.get(name)) {
                (Some(before), Some(now)) if before.len() == now.len() => {
                    let blocks = before.chunks(BLOCK_BYTES).zip(now.chunks(BLOCK_BYTES)).enumerate();
                    log.blocks.extend(
                        blocks.filter(|(_, (one, other))| one != other).map(|(block, _)| (id, block)),
                    );
                }
                _ => log.is_structural = true,
            }
        }
        let mut begun =
            lived.sound.begun().copied().filter(|id| lived.files.contains_key(&Name::Segment(*id)));
        let is_all_of_the_log_touched = begun.all(|id| log.touched.contains(&id));
        let is_forged = is_forged && !touched.is_empty();
        Harm { lived, touched, log, is_all_of_the_log_touched, is_forged }
    }

    /// Whether a record may be gone without an error.
    fn may_be_lost(&self, place: &Place) -> bool {
        let knows_no_tables = self.touched.contains(&Name::Manifest) && self.is_all_of_the_log_touched;
        knows_no_tables || self.lived.sound.may_be_lost(place, &self.log)
    }

    /// Whether a refusal names a table that is not as it was.
    fn is_table_named(&self, refusal: &str) -> bool {
        let mut tables = self.touched.iter().filter(|name| matches!(name, Name::Table(_)));
        tables.any(|name| refusal.contains(&name.to_string()))
    }

    /// Checks that there is a reason for a refusal, and that it names it.
    fn check_refusal(&self, refusal: &str, files: &Files) {
        let harmful = || self.touched.iter().filter(|name| !matches!(name, Name::Part(..)));
        assert!(harmful().next().is_some(), "a sound store is refused: {refusal}");
        let names = self.lived.older.iter().chain([&self.lived.files, files]).flat_map(Files::keys);
        let is_named = |name: &Name| refusal.contains(&name.to_string());
        // What was forged may tell of files that never were.
        let is_other_named = || ["segment-", "assertions-"].iter().any(|kind| refusal.contains(kind));
        let is_any_named = names.clone().any(is_named) || (self.is_forged && is_other_named());
        assert!(is_any_named, "no file is named: {refusal}");
        if self.is_forged {
            return;
        }
        let is_in_place = if harmful().all(|name| matches!(name, Name::Table(_))) {
            harmful().any(is_named)
        } else if harmful().all(|name| matches!(name, Name::Segment(_))) {
            // A segment that is missed is named by the one behind it, too.
            let mut lanes = self.log.touched.iter().map(|id| format!("segment-{:02}-", id.lane.0));
            lanes.any(|lane| refusal.contains(&lane))
        } else {
            true
        };
        assert!(is_in_place, "damage in {:?} is not where the message says: {refusal}", self.touched);
    }
}

/// What a store says of its claims.
#[derive(PartialEq, Eq)]
struct Answers(BTreeMap<ClaimHash, (WriteOrder, bool)>);

impl Answers {
    /// All claims of a start.
    fn of(started: &Started, harm: &Harm<'_>) -> Answers {
        let mut answers = BTreeMap::new();
        for view in started.rebuilt.indexes.iter().flat_map(Index::claims) {
            let (hash, order, is_retracted) = (view.hash(), view.order(), view.retracted());
            let before = answers.insert(hash, (order, is_retracted));
            assert!(before.is_none() || harm.is_forged, "claim {hash} is there twice");
        }
        let counted: u64 = started.rebuilt.indexes.iter().map(Index::len).sum();
        assert!(counted == answers.len() as u64 || harm.is_forged, "{counted} claims are counted");
        Answers(answers)
    }
}

/// Reads every claim whole.
fn check_contents(started: &Started, harm: &Harm<'_>) {
    let set = started.tables.set();
    for view in started.rebuilt.indexes.iter().flat_map(Index::claims) {
        check_content(view, &set, harm);
    }
}

/// Reads all of a claim: it is what its hash says, or its table is damaged.
fn check_content(view: ClaimView<'_>, set: &TableSet, harm: &Harm<'_>) {
    let hash = view.hash();
    let mut canonical = Vec::new();
    if let Some(checkpoints) = view.stored() {
        let key = ClaimKey::new(view.subject_utf8(), view.predicate_utf8(), &view.key());
        let mut search = set.search(&key, checkpoints);
        let parts = loop {
            let Some((table, range)) = search.next_read() else { break None };
            let mut window = AlignedBuffer::zeroed(range.bytes);
            let read = table.read_at(range.offset, &mut window).expect("memory can be read");
            match search.take(&window[..read]) {
                Ok(None) => {}
                Ok(Some(parts)) => break Some(parts),
                Err(error) => {
                    let refusal = chain(&error);
                    assert!(harm.is_table_named(&refusal), "a sound table is refused: {refusal}");
                    return;
                }
            }
        };
        match parts {
            Some(parts) => view.with(&parts).claim().encode_canonical(&mut canonical),
            None => {
                assert!(harm.is_forged, "no table has claim {hash}");
                return;
            }
        }
    } else {
        view.claim().encode_canonical(&mut canonical);
    }
    assert!(ClaimHash::of_canonical(&canonical) == hash || harm.is_forged, "claim {hash} is another one");
}

/// Checks that all is there that must be, and nothing else.
fn check(answers: &Answers, started: &Started, disk: &Disk, harm: &Harm<'_>) {
    let Harm { lived, .. } = harm;
    let covered = started.tables.covered();
    let (found, _) = read_after(&disk.log, covered).expect("it was just recovered");
    for (place, record) in &found {
        assert_eq!(lived.records.get(place), Some(record), "a record that nobody wrote, at {place:?}");
    }
    let is_there =
        |place: &Place| found.contains_key(place) || covered.contains(lived.sound.segment_of(place));
    let (there, lost): (Records, Records) =
        lived.records.clone().into_iter().partition(|(place, _)| is_there(place));
    for place in lost.keys() {
        assert!(harm.may_be_lost(place), "{place:?} is gone without an error, with {:?}", harm.touched);
    }
    let is_retracted = retracted(&there, &lived.lanes);
    let claims = there.iter().filter(|(_, record)| record.kind == RecordKind::Assertion);
    let expected = claims.map(|((generation, _, lsn), record)| {
        let hash = assertion::hash(&record.payload);
        (hash, (WriteOrder::new(generation.0, *lsn), is_retracted[&hash]))
    });
    let expected: BTreeMap<_, _> = expected.collect();
    for (hash, facts) in &expected {
        assert_eq!(answers.0.get(hash), Some(facts), "claim {hash}, with {:?}", harm.touched);
    }
    assert_eq!(answers.0.len(), expected.len(), "claims that nobody wrote");
}

/// An error with all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Were nearly all starts refused, or nothing harmed, hardly any promise would be looked at.
    #[test]
    fn the_corpus_has_starts_that_manage_and_starts_that_are_refused() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/data_dir");
        let mut outcomes = Vec::new();
        for file in std::fs::read_dir(&directory).expect("it is checked in") {
            let path = file.expect("a directory that can be read").path();
            let outcome = run(&std::fs::read(&path).expect("a file that can be read"));
            let name = path.file_name().expect("it was listed").to_string_lossy().into_owned();
            assert_eq!(outcome == Outcome::Sound, name.starts_with("sound-"), "{name}: {outcome:?}");
            outcomes.push(outcome);
        }
        for (outcome, least) in [(Outcome::Refused, 20), (Outcome::Managed, 20), (Outcome::Forged, 3)] {
            let count = outcomes.iter().filter(|other| **other == outcome).count();
            assert!(count >= least, "{outcome:?} is the outcome of {count}");
        }
    }
}
