//! Snapshots of an index: what is damaged is refused, what is wrong under right checksums makes nothing panic, and what was
//! taken while the index went on changing gives the same answers after all is told again.

use stemedb_engine::claim::{
    Agent, AgentName, Claim, ClaimHash, ConceptPath, Confidence, EpochId, Metadata, Predicate, Timestamp,
    Value,
};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, Inserted, NewClaim, SnapshotCursor};
use stemedb_engine::lens::Lens;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::query::{Execution, LifecycleFilter, Query, Step, SubjectFilter};
use stemedb_engine::slot::SLOTS;
use stemedb_engine::snapshots::Position;
use stemedb_engine::time::UnixMicros;

use crate::program::Program;

const CONFIG: IndexConfig = IndexConfig { bytes_max: 256 << 20, hash_seed: 3 };

/// Events an input can make at most.
const EVENTS_MAX: usize = 150;

/// Bytes of the magic and the version, and of a block before its payload.
const BEGINNING_BYTES: usize = 12;
const BLOCK_HEADER_BYTES: usize = 12;
const SECTION_BYTES: usize = 2;

const VALID: &str = "the constants are valid";

/// What happens to an index, with when it was written.
#[expect(clippy::large_enum_variant, reason = "most are insertions")]
enum Event {
    Insert(NewClaim<'static>),
    Retract(&'static str, WriteOrder),
}

/// A program that fills an index, takes a snapshot of it while it goes on, and damages that. Or a position.
pub fn snapshot(input: &[u8]) {
    if let Ok(position) = Position::decode(input) {
        assert_eq!(position.encode(), input, "a position is written in one way");
    }
    let mut program = Program::new(input);
    let (mode, budget_bytes, steps_each) = (program.byte(), 1 + program.number() % 5_000, program.byte() % 4);
    let events = read_events(&mut program);
    let begun_after = usize::from(program.byte()) % (events.len() + 1);
    let (before, after) = events.split_at(begun_after);

    let mut index = Index::new(CONFIG);
    before.iter().for_each(|event| event.apply(&mut index));
    let (mut taken, mut during) = (Vec::new(), after.iter());
    let mut cursor = SnapshotCursor::new(&index, 0..SLOTS, vec![mode]);
    while !cursor.step(&index, budget_bytes, &mut taken) {
        during.by_ref().take(usize::from(steps_each)).for_each(|event| event.apply(&mut index));
    }
    during.for_each(|event| event.apply(&mut index));

    match mode % 4 {
        0 => check_replay(&taken, after, &index),
        1 => check_damage(taken, &mut program),
        2 => check_content(taken, &mut program, false),
        _ => check_content(taken, &mut program, true),
    }
}

/// A snapshot, and all that happened since it was begun, give what the index has.
fn check_replay(taken: &[u8], after: &[Event], index: &Index) {
    let (mut loader, _) = restore(taken).expect("an undamaged snapshot");
    for event in after {
        match event {
            Event::Insert(new) => loader.insert_all(std::slice::from_ref(new)).expect("there is room"),
            Event::Retract(path, before) => {
                loader.retract(path, 0..SLOTS, *before);
            }
        }
    }
    let restored = loader.finish();
    assert_eq!((restored.len(), restored.retracted_len()), (index.len(), index.retracted_len()));
    assert_eq!(list(&restored), list(index));
}

/// A change anywhere is noticed.
fn check_damage(mut taken: Vec<u8>, program: &mut Program<'_>) {
    let original = taken.clone();
    damage(&mut taken, 0, program);
    if taken != original && !taken.starts_with(&original) {
        assert!(restore(&taken).is_err(), "a damaged snapshot is restored");
    }
}

/// Whatever content has the right checksums: it is refused, or an index that can do all that an index does.
fn check_content(mut taken: Vec<u8>, program: &mut Program<'_>, is_structure_damaged: bool) {
    // Each behind the number of its section.
    let mut payloads = Vec::new();
    let mut at = BEGINNING_BYTES;
    while at < taken.len() {
        let bytes = payload_bytes(&taken, at);
        let payload = &taken[at + BLOCK_HEADER_BYTES..][..bytes];
        payloads.push([&taken[at..at + SECTION_BYTES], payload].concat());
        at += BLOCK_HEADER_BYTES + bytes;
    }
    for _ in 0..=program.byte() % 3 {
        let block = usize::from(program.byte()) % payloads.len();
        match program.byte() % 4 {
            0 if is_structure_damaged => drop(payloads.remove(block)),
            1 if is_structure_damaged => payloads.insert(block, payloads[block].clone()),
            _ => damage(&mut payloads[block], SECTION_BYTES, program),
        }
        if payloads.is_empty() {
            return;
        }
    }
    taken.truncate(BEGINNING_BYTES);
    let mut checksum = crc32c::crc32c(&taken);
    for payload in &payloads {
        let (section, payload) = payload.split_at(SECTION_BYTES);
        let mut header = [section[0], section[1], 0, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        checksum = crc32c::crc32c_append(crc32c::crc32c_append(checksum, &header), payload);
        taken.extend_from_slice(&header);
        taken.extend_from_slice(&checksum.to_le_bytes());
        taken.extend_from_slice(payload);
    }
    if let Ok((loader, _)) = restore(&taken) {
        exercise(loader.finish());
    }
}

/// Uses an index of unknown content: finds its claims, lists them, takes a snapshot of it, asks each lens, adds a claim and
/// retracts.
fn exercise(mut index: Index) {
    let listed = list(&index);
    assert_eq!(listed.len() as u64, index.len());
    for (hash, ..) in &listed {
        assert_eq!(index.claim(hash).map(|view| view.hash()), Some(*hash));
    }
    let (mut taken, mut cursor) = (Vec::new(), SnapshotCursor::new(&index, 0..SLOTS, Vec::new()));
    while !cursor.step(&index, 1_000, &mut taken) {}
    assert_eq!(list(&restore(&taken).expect("an undamaged snapshot").0.finish()), listed);
    for lens in Lens::ALL {
        let query = Query { lens: Some(lens), ..Query::new(SubjectFilter::Subtree(String::new())) };
        let mut execution = Execution::new(&query, &index);
        while execution.step(&index, 7) == Step::More {}
    }
    let mut program = Program::new(b"something new");
    let claim = read_claim(&mut program);
    let hash = ClaimHash([0xA5; 32]);
    let expected = match listed.iter().any(|(other, ..)| *other == hash) {
        true => Inserted::Exists,
        false => Inserted::New,
    };
    assert_eq!(index.insert(&hash, &claim, WriteOrder::new(9, 1)), Ok(expected));
    for path in PATHS {
        index.retract(path, 0..SLOTS, WriteOrder::new(9, 2));
    }
    assert_eq!(list(&index).len() as u64, index.len());
}

/// Where the length of a block's payload is.
fn payload_bytes(taken: &[u8], block: usize) -> usize {
    u32::from_le_bytes(taken[block + 4..block + 8].try_into().expect("four bytes")) as usize
}

/// Changes bytes, from `from` on, or cuts.
fn damage(bytes: &mut Vec<u8>, from: usize, program: &mut Program<'_>) {
    for _ in 0..=program.byte() % 4 {
        let length = bytes.len() - from;
        let at = from + program.number() % (length + 1);
        let byte = program.byte();
        match program.byte() % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => {}
        }
    }
}

fn restore(taken: &[u8]) -> Result<(IndexLoader, Vec<u8>), stemedb_engine::index::SnapshotError> {
    IndexLoader::restore(&mut &taken[..], IndexConfig { hash_seed: 4, ..CONFIG }, 0..SLOTS)
}

/// All claims of an index, in the order in which it lists them.
fn list(index: &Index) -> Vec<(ClaimHash, WriteOrder, bool, Claim<'_>)> {
    let query = Query {
        limit: 10_000,
        lifecycle: LifecycleFilter::Any,
        include_retracted: true,
        ..Query::new(SubjectFilter::Subtree(String::new()))
    };
    let mut execution = Execution::new(&query, index);
    while execution.step(index, 10) == Step::More {}
    let views = execution.into_hits().into_iter().map(|hit| index.view(hit.claim));
    views.map(|view| (view.hash(), view.order(), view.retracted(), view.claim())).collect()
}

const PATHS: [&str; 6] = ["a", "a/b", "a/b/c", "a/b-x", "b", "c/d"];

fn read_events(program: &mut Program<'_>) -> Vec<Event> {
    let count = usize::from(program.byte()) % EVENTS_MAX;
    (1..=count as u64)
        .map(|lsn| {
            let order = WriteOrder::new(1, lsn);
            match program.byte() {
                choice @ 0..16 => Event::Retract(PATHS[usize::from(choice) % PATHS.len()], order),
                _ => {
                    let claim = read_claim(program);
                    let mut canonical = Vec::new();
                    claim.encode_canonical(&mut canonical);
                    Event::Insert(NewClaim { hash: ClaimHash::of_canonical(&canonical), claim, order })
                }
            }
        })
        .collect()
}

fn read_claim(program: &mut Program<'_>) -> Claim<'static> {
    let value = match program.byte() {
        number @ 0..150 => Value::number(f64::from(number)),
        150..180 => Value::text("text"),
        180..200 => Value::reference("a/b"),
        200..220 => Value::json("[1,{}]"),
        even => Ok(Value::Boolean(even % 2 == 0)),
    };
    let mut claim = Claim::new(
        ConceptPath::new(program.pick(&PATHS)).expect(VALID),
        Predicate::new(program.pick(&["is", "is", "is", "has"])).expect(VALID),
        value.expect(VALID),
        Timestamp::new(UnixMicros(i64::from(program.byte() % 32))).expect(VALID),
    );
    let traits = program.byte();
    claim.source =
        (traits & 1 != 0).then(|| ConceptPath::new(PATHS[usize::from(traits >> 4) % 6]).expect(VALID));
    claim.epoch = (traits & 2 != 0).then(|| EpochId::new("2025").expect(VALID));
    claim.agent = (traits & 4 != 0).then(|| Agent::Name(AgentName::new("alice").expect(VALID)));
    claim.metadata = (traits & 0x48 == 0x48).then(|| Metadata::new("{\"k\":1}").expect(VALID));
    claim.parent = (traits & 0x28 == 0x28).then_some(ClaimHash([7; 32]));
    claim.confidence = Confidence::new(if traits & 0x10 == 0 { 1.0 } else { 0.5 }).expect(VALID);
    claim
}

impl Event {
    fn apply(&self, index: &mut Index) {
        match self {
            Event::Insert(NewClaim { hash, claim, order }) => {
                index.insert(hash, claim, *order).expect("there is room");
            }
            Event::Retract(path, before) => {
                index.retract(path, 0..SLOTS, *before);
            }
        }
    }
}
