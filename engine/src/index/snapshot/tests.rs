//! Goal: a snapshot whose checksums are right and whose content is not is refused, and the message says why. Method: a
//! snapshot of a few claims, one thing in it changed, and all checksums made anew.

use super::block::{BlockReader, BlockWriter, Section};
use super::*;
use crate::claim::{
    Agent, AgentName, Claim, ClaimHash, ConceptPath, EpochId, Metadata, Predicate, Timestamp, Value,
};
use crate::index::{Checkpoints, INLINE_BYTES_MAX, Index, IndexConfig, IndexLoader, NewClaim};
use crate::order::WriteOrder;
use crate::slot::SLOTS;
use crate::time::UnixMicros;

const CONFIG: IndexConfig = IndexConfig { bytes_max: 64 << 20, hash_seed: 1 };

/// The position that snapshots are given here.
const POSITION: [u8; 3] = [1, 2, 3];

type Blocks = Vec<(Section, Vec<u8>)>;

/// 40 claims of two subjects with two predicates, from two sources; one series is a list.
fn index() -> Index {
    let mut index = Index::new(CONFIG);
    for number in 0..40 {
        let mut claim = Claim::new(
            ConceptPath::new(["a", "b"][number / 36]).expect("valid"),
            Predicate::new(["is", "was"][number % 18 / 17]).expect("valid"),
            [Value::number(number as f64), Value::text("text"), Value::json("[1]")][number % 3]
                .clone()
                .expect("valid"),
            Timestamp::new(UnixMicros(number as i64)).expect("valid"),
        );
        claim.source = Some(ConceptPath::new(["s/1", "s/2"][number % 2]).expect("valid"));
        claim.epoch = Some(EpochId::new("now").expect("valid"));
        claim.agent = Some(Agent::Name(AgentName::new("alice").expect("valid")));
        let hash = ClaimHash([number as u8; 32]);
        index.insert(&hash, &claim, WriteOrder::new(1, number as u64 + 1)).expect("there is room");
    }
    index
}

fn blocks() -> Blocks {
    let (index, mut taken) = (index(), Vec::new());
    let mut cursor = SnapshotCursor::new(&index, 0..SLOTS, POSITION.to_vec());
    assert!(cursor.step(&index, 1 << 20, &mut taken), "so few claims take one step");
    let mut blocks = Blocks::new();
    let mut source = taken.as_slice();
    let mut reader = BlockReader::new(&mut source).expect("a snapshot");
    while blocks.last().is_none_or(|(section, _)| *section != Section::Footer) {
        let block = reader.next().expect("an undamaged block");
        blocks.push((block.section, block.payload.to_vec()));
    }
    blocks
}

fn encode(blocks: &Blocks) -> Vec<u8> {
    let (mut out, mut writer) = (Vec::new(), BlockWriter::new());
    BlockWriter::begin(&mut out);
    for (section, payload) in blocks {
        writer.append(*section, &mut out, |out| out.extend_from_slice(payload));
    }
    out
}

fn restore(blocks: &Blocks) -> Result<Index, SnapshotError> {
    let restored = IndexLoader::restore(&mut encode(blocks).as_slice(), CONFIG, 0..SLOTS);
    restored.map(|(loader, _)| loader.finish())
}

/// Changes the payload of a section's only block, and answers what is said of that.
fn refused(section: Section, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut blocks = blocks();
    let payload = blocks.iter_mut().find(|(other, _)| *other == section).expect("every section has a block");
    change(&mut payload.1);
    restore(&blocks).expect_err("what is wrong is refused").to_string()
}

#[test]
fn the_position_comes_back() {
    let (loader, position) =
        IndexLoader::restore(&mut encode(&blocks()).as_slice(), CONFIG, 0..SLOTS).expect("valid");
    assert_eq!((loader.finish().len(), position), (40, POSITION.to_vec()));
}

#[test]
fn what_is_behind_the_footer_is_not_read() {
    let mut bytes = encode(&blocks());
    let end = bytes.len();
    bytes.resize(end + 4_096, 0);
    let mut source = bytes.as_slice();
    IndexLoader::restore(&mut source, CONFIG, 0..SLOTS).expect("a whole snapshot");
    assert_eq!(source.len(), 4_096);
}

#[test]
fn an_empty_index_has_a_snapshot() {
    let (index, mut taken) = (Index::new(CONFIG), Vec::new());
    assert!(SnapshotCursor::new(&index, 3..9, Vec::new()).step(&index, 1_000, &mut taken));
    let (loader, position) = IndexLoader::restore(&mut taken.as_slice(), CONFIG, 3..9).expect("whole");
    assert!(loader.finish().is_empty() && position.is_empty());
    let other = IndexLoader::restore(&mut taken.as_slice(), CONFIG, 3..10).map(|_| ());
    assert!(matches!(other, Err(SnapshotError::Slots { expected: (3, 10), actual: (3, 9) })), "{other:?}");
}

#[test]
fn an_index_that_does_not_fit_is_refused() {
    let config = IndexConfig { bytes_max: 1 << 20, ..CONFIG };
    let restored = IndexLoader::restore(&mut encode(&blocks()).as_slice(), config, 0..SLOTS).map(|_| ());
    assert!(matches!(restored, Err(SnapshotError::Full(_))), "{restored:?}");
}

/// An index takes as much memory as it allows itself for a snapshot of ever so many claims, of which there are none.
#[test]
fn counts_alone_take_no_memory() {
    let mut blocks = blocks();
    blocks[0].1[4..32].fill(0x7F);
    blocks.drain(1..blocks.len() - 1);
    let message = restore(&blocks).expect_err("there is nothing").to_string();
    assert!(message.contains("0 of them, expected 2139062143"), "{message}");
}

#[test]
fn sections_come_in_their_order_and_whole() {
    for left_out in 1..blocks().len() - 1 {
        let mut blocks = blocks();
        let (section, _) = blocks.remove(left_out);
        let message = restore(&blocks).expect_err("a section is missing").to_string();
        assert!(message.contains("is wrong"), "{section:?}: {message}");
    }
    for swapped in 0..blocks().len() - 1 {
        let mut blocks = blocks();
        blocks.swap(swapped, swapped + 1);
        assert!(restore(&blocks).is_err(), "{swapped}");
    }
}

#[test]
fn wrong_content_is_refused_and_named() {
    let u32s = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let row = |number: usize| number * ROW_BYTES;
    let cases = [
        (refused(Section::Header, |header| header[4] = 39), "more than 39 of them"),
        (refused(Section::Header, |header| header[8] = 41), "cannot be together"),
        (refused(Section::Predicates, |names| names[2] = b'\n'), "is none"),
        (refused(Section::Predicates, |names| names.truncate(names.len() - 1)), "the last name is cut"),
        (refused(Section::Agents, |names| names[2] = 2), "is none"),
        (refused(Section::Sources, |names| names[4] = b'2'), "are the same"),
        (refused(Section::Subjects, |names| names[2] = 0xFF), "is no path"),
        (refused(Section::Subjects, |names| names.extend([1, 0, b'c'])), "more than 2"),
        (refused(Section::Series, |series| series[0] = 2), "subject 2 of 2"),
        (refused(Section::Series, |series| series[4] = 2), "predicate 2 of 2"),
        (refused(Section::Series, |series| series.copy_within(0..8, 8)), "are the same"),
        (refused(Section::Bodies, |bodies| bodies[0] = 1), "a piece of chunk 1"),
        (refused(Section::Bodies, |bodies| bodies[4] |= 7), "claim 0 has no valid body"),
        (refused(Section::Bodies, |bodies| bodies.extend([0; 8])), "bodies without claims"),
        (refused(Section::Bodies, |bodies| bodies.truncate(bodies.len() - 8)), "no valid body"),
        (refused(Section::Rows, |rows| rows[row(1) + 39] = 0x80), "claim 1 is of time"),
        (refused(Section::Rows, |rows| rows[row(1) + 48] = 9), "of series 9 of"),
        (
            refused(Section::Rows, |rows| rows.copy_within(row(2)..row(2) + 32, row(3))),
            "2 and 3 are the same",
        ),
        (refused(Section::Rows, |rows| rows.truncate(row(39))), "39 of them, expected 40"),
        (refused(Section::Rows, |rows| rows.truncate(row(39) + 5)), "expected 52 for each"),
        (refused(Section::SourceOrder, |ids| *ids = u32s(&[1, 0])), "path 0 is not there, or not after"),
        (refused(Section::SubjectOrder, |ids| *ids = u32s(&[0, 0])), "path 0 is not there, or not after"),
        (refused(Section::SubjectOrder, |ids| *ids = u32s(&[0, 2])), "path 2 is not there, or not after"),
        (refused(Section::SubjectOrder, |ids| *ids = u32s(&[0])), "paths that are missing"),
        (refused(Section::SeriesOrder, |ids| ids.truncate(ids.len() - 4)), "39 of them, expected 40"),
        (refused(Section::SeriesOrder, |ids| ids[3] = 0), "not of series"),
        (refused(Section::SeriesOrder, |ids| ids[4] = 200), "claim 200 is not of series 0"),
        (refused(Section::SeriesOrder, |ids| ids.copy_within(4..8, 8)), "not in order there"),
        (refused(Section::Footer, |footer| footer.push(0)), "1 bytes, expected none"),
    ];
    for (number, (message, expected)) in cases.iter().enumerate() {
        assert!(message.contains(expected), "case {number}: \"{message}\" does not say \"{expected}\"");
    }
}

#[test]
fn bodies_are_what_bodies_can_be() {
    let counts = Counts { sources: 3, epochs: 3, agents: 3, ..Counts::default() };
    let is_valid = |bytes: &[u8]| body::check(bytes, &counts).is_some_and(|body| body.bytes == bytes.len());
    let number = |value: f64| [&[1, 0][..], &value.to_le_bytes()].concat();
    let text =
        |value_type: u8, text: &str| [&[value_type, 0, text.len() as u8][..], text.as_bytes()].concat();
    assert!(is_valid(&number(-1.5)) && is_valid(&[2, 0, 1]) && is_valid(&text(0, "ü")));
    assert!(is_valid(&text(3, "a/b")) && is_valid(&text(4, "[1]")));
    // A value has one spelling: queries tell values apart by their bytes.
    assert!(!is_valid(&number(-0.0)) && !is_valid(&number(f64::NAN)) && !is_valid(&[2, 0, 2]));
    assert!(!is_valid(&text(3, "")) && !is_valid(&text(4, "[1, 2]")) && !is_valid(&[0, 0, 1, 0xFF]));
    // Unknown types, classes and stages; texts and numbers that are cut or too large.
    assert!(!is_valid(&[5, 0]) && !is_valid(&[2, 7, 1]) && !is_valid(&[2 | 5 << 3, 0, 1]));
    assert!(!is_valid(&[0, 0, 2, b'a']) && !is_valid(&[0, 0, 0x80, 0x80, 0x80, 0x80, 0x10]));
    // Names that are there, and names that are not.
    let named = |id| [2, 1 << 3 | 1 << 4 | 1 << 5, 2, id, 2, 1];
    assert!(is_valid(&named(2)) && !is_valid(&named(3)));
    assert!(is_valid(&[&[2 | 1 << 6, 0][..], &0.5_f64.to_le_bytes(), &[1]].concat()));
    assert!(!is_valid(&[&[2 | 1 << 6, 0][..], &1.5_f64.to_le_bytes(), &[1]].concat()));
    // Rare fields: a list of parents that is too long, metadata that is no object.
    let rare = |flags: u8, rest: &[u8]| [&[2 | 1 << 7, 0, flags, 1][..], rest].concat();
    assert!(is_valid(&rare(2, &[&[2][..], &[7; 64]].concat())) && !is_valid(&rare(2, &[65])));
    assert!(!is_valid(&rare(2, &[&[65][..], &[7; 65 * 32]].concat())));
    assert!(is_valid(&rare(8, b"\x02{}")) && !is_valid(&rare(8, b"\x02[]")));
}

/// An index with one claim whose value is long and in memory, one whose metadata is, and one whose value is in a table.
fn long_index() -> Index {
    let mut loader = IndexLoader::new(CONFIG);
    let value = "v".repeat(INLINE_BYTES_MAX + 1);
    let metadata = format!("{{\"m\":\"{value}\"}}");
    for number in 0..3_u8 {
        let text = if number == 1 { "short" } else { &value };
        let mut claim = Claim::new(
            ConceptPath::new("a").expect("valid"),
            Predicate::new("is").expect("valid"),
            Value::text(text).expect("valid"),
            Timestamp::new(UnixMicros(i64::from(number))).expect("valid"),
        );
        claim.metadata = (number == 1).then(|| Metadata::new(&metadata).expect("valid"));
        let new = NewClaim {
            hash: ClaimHash([number; 32]),
            claim,
            order: WriteOrder::new(1, u64::from(number) + 1),
        };
        match number {
            2 => loader.insert_all_stored(&[new], Checkpoints { first: 3, last: 5 }),
            _ => loader.insert_all(&[new]),
        }
        .expect("there is room");
    }
    loader.finish()
}

fn restored_long(change: impl FnOnce(&mut Vec<u8>)) -> Result<Index, SnapshotError> {
    let (index, mut taken) = (long_index(), Vec::new());
    let mut cursor = SnapshotCursor::new(&index, 0..SLOTS, POSITION.to_vec());
    assert!(cursor.step(&index, 1 << 20, &mut taken), "so few claims take one step");
    let mut source = taken.as_slice();
    let mut reader = BlockReader::new(&mut source).expect("a snapshot");
    let mut blocks = Blocks::new();
    while blocks.last().is_none_or(|(section, _)| *section != Section::Footer) {
        let block = reader.next().expect("an undamaged block");
        blocks.push((block.section, block.payload.to_vec()));
    }
    let long = blocks.iter_mut().find(|(section, _)| *section == Section::LongParts).expect("there are some");
    change(&mut long.1);
    restore(&blocks)
}

#[test]
fn long_values_come_back_and_where_they_are_in_tables() {
    let (index, restored) = (long_index(), restored_long(|_| {}).expect("a sound snapshot"));
    for number in 0..3 {
        let hash = ClaimHash([number; 32]);
        let (before, after) =
            (index.claim(&hash).expect("it is there"), restored.claim(&hash).expect("it is there"));
        assert_eq!(before.stored(), after.stored());
        assert_eq!(before.stored().is_some(), number == 2);
        assert_eq!(before.long_bytes(), after.long_bytes());
        if number < 2 {
            assert_eq!(before.claim(), after.claim());
        }
    }
    assert_eq!(restored.long_counts(), (2, 1));
    let mut restored = restored;
    let stored = |order: WriteOrder| (order.lsn() == 1).then_some(Checkpoints { first: 6, last: 6 });
    assert!(restored.release_long(10, &stored));
    assert_eq!(restored.long_counts(), (1, 2), "when a claim was written is known again");
}

#[test]
fn long_values_that_are_not_those_of_their_claims_are_refused() {
    let refused = |change: fn(&mut Vec<u8>)| restored_long(change).expect_err("it was changed").to_string();
    let other = "other long parts than it says";
    assert!(refused(|bytes| bytes[LONG_BYTES] = b'w').contains(other));
    assert!(refused(|bytes| bytes[LONG_BYTES] = 0xFF).contains(other));
    assert!(refused(|bytes| bytes[0] = 1).contains("Checkpoints"));
    assert!(refused(|bytes| bytes[8..12].fill(0xFF)).contains("bytes of"));
    assert!(refused(|bytes| bytes.truncate(bytes.len() - 1)).contains("is cut"));
    assert!(refused(|bytes| bytes.truncate(bytes.len() - LONG_BYTES)).contains("2 of them, expected 3"));
    assert!(refused(|bytes| bytes.extend([1; 16])).contains("more than 3"));
}
