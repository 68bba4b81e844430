//! Goal: a snapshot that a core takes while it serves holds what it says, and holds up nobody. Method: one core, whose pieces the
//! test takes when it likes, while clients go on.

use std::ops::Range;

use stemedb_engine::index::IndexLoader;
use stemedb_engine::log::Lsn;
use stemedb_engine::snapshots::{PIECE_BYTES, Piece, Position};

use super::super::snapshot::BYTES_A_TURN;
use super::*;

const ORDER: SnapshotOrder = SnapshotOrder { taken: UnixMicros(7), checkpoints: 3, opened: UnixMicros(5) };

/// Stores claims that rest on a bad source, each about a subject of its own.
fn store(world: &mut World, numbers: Range<usize>) {
    let line = |number| {
        format!(
            r#"{{"subject":"s/{number}","predicate":"is","object":{number},"source":"source/bad","timestamp":1600000000}}"#
        ) + "\n"
    };
    let lines: String = numbers.map(line).collect();
    let (status, answer) = world.post(0, "/v1/assert/batch", &lines);
    assert_eq!(status, OK, "{answer}");
}

/// Asks for the retraction of all of them, and answers who waits.
fn retract(world: &mut World) -> (usize, ConnectionKey) {
    let (core, key) = world.connect(0);
    let request = post("/v1/retract", r#"{"concept_path":"source/bad","reason":"wrong"}"#);
    world.cores[core].received(key, request.as_bytes(), world.now);
    (core, key)
}

fn committed(world: &World) -> Lsn {
    world.cores[0].shard().expect("it is open").lane().committed_lsn()
}

/// Takes the pieces that come until the last one, doing `meanwhile` between turns.
fn take(world: &mut World, mut meanwhile: impl FnMut(&mut World)) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while pieces.last().is_none_or(|piece: &Piece| !piece.is_last) {
        world.turn(0);
        pieces.append(&mut world.pieces);
        meanwhile(world);
    }
    pieces
}

fn restore(pieces: &[Piece]) -> (Index, Position) {
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| &piece.bytes).copied().collect();
    let config = IndexConfig { bytes_max: u64::MAX, hash_seed: 2 };
    let slots = Slots::new(1).slots_of(CoreId(0));
    let (loader, position) = IndexLoader::restore(&mut &*bytes, config, slots).expect("a whole snapshot");
    (loader.finish(), Position::decode(&position).expect("a position"))
}

#[test]
fn a_snapshot_holds_all_up_to_its_position_whatever_comes_meanwhile() {
    let mut world = World::serving(1);
    store(&mut world, 0..9_000);
    let begun_at = committed(&world);
    world.cores[0].take_snapshot(ORDER);
    let mut stored = 9_000;
    let pieces = take(&mut world, |world| {
        store(world, stored..stored + 20);
        stored += 20;
    });
    assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.bytes.len() < 2 * PIECE_BYTES));
    let (index, position) = restore(&pieces);
    let expected = Position {
        taken: ORDER.taken,
        checkpoints: ORDER.checkpoints,
        generation: Generation::FIRST,
        opened: ORDER.opened,
        lane: LaneId(0),
        lsn: begun_at,
    };
    assert_eq!(position, expected);
    assert!(index.claims().all(|claim| claim.order() <= position.order()));
    assert_eq!((index.len(), index.retracted_len()), (9_000, 0));
    assert!(stored >= 9_060 && world.assertions() == stored as u64, "{stored} were stored");
    assert!(!world.turn(0), "nothing is left to be done");
}

/// Goal: a snapshot holds up no turn for long. Method: its bytes against the turns that it takes; one may go beyond its part by a claim.
#[test]
fn a_turn_takes_no_more_of_a_snapshot_than_it_may() {
    const CLAIM_BYTES_MAX: usize = 1 << 10;
    let mut world = World::serving(1);
    store(&mut world, 0..9_000);
    world.cores[0].take_snapshot(ORDER);
    let mut turns = 0;
    let pieces = take(&mut world, |_| turns += 1);
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    assert!(bytes > 20 * BYTES_A_TURN, "{bytes} bytes");
    assert!(bytes <= turns * (BYTES_A_TURN + CLAIM_BYTES_MAX), "{bytes} bytes in {turns} turns");
}

#[test]
fn a_snapshot_begins_when_no_retraction_is_being_applied() {
    let mut world = World::serving(1);
    store(&mut world, 0..9_000);
    let client = retract(&mut world);
    while !world.cores[0].shard().expect("it is open").is_retracting() {
        world.turn(0);
    }
    assert_eq!(world.take(client), "", "it is under way");
    world.cores[0].take_snapshot(ORDER);
    let pieces = take(&mut world, |_| {});
    let (index, position) = restore(&pieces);
    assert_eq!((index.len(), index.retracted_len()), (9_000, 9_000));
    assert_eq!(position.lsn, committed(&world), "the retraction's record is in it");
    assert!(world.take(client).starts_with(OK));
}

#[test]
fn a_piece_that_nobody_takes_holds_up_the_snapshot_and_nothing_else() {
    let mut world = World::serving(1);
    store(&mut world, 0..9_000);
    world.takes_pieces = false;
    world.cores[0].take_snapshot(ORDER);
    world.run();
    let waits = world.cores[0].wants().piece.clone().expect("the first one is there");
    assert!(!waits.is_last);
    assert_eq!(world.post(0, "/v1/assert", &claim("another", 1)).0, CREATED);
    assert_eq!(world.cores[0].wants().piece.as_ref(), Some(&waits));
    world.takes_pieces = true;
    let pieces = take(&mut world, |_| {});
    assert_eq!(restore(&pieces).0.len(), 9_000);
}

#[test]
fn a_snapshot_that_is_given_up_or_ordered_anew_leaves_nothing_behind() {
    let mut world = World::serving(1);
    store(&mut world, 0..9_000);
    world.takes_pieces = false;
    world.cores[0].take_snapshot(ORDER);
    world.run();
    world.cores[0].give_up_snapshot();
    assert!(!world.turn(0) && world.cores[0].wants().piece.is_none());
    world.cores[0].take_snapshot(ORDER);
    world.run();
    world.takes_pieces = true;
    world.cores[0].take_snapshot(SnapshotOrder { checkpoints: 4, ..ORDER });
    let (index, position) = restore(&take(&mut world, |_| {}));
    assert_eq!((index.len(), position.checkpoints), (9_000, 4));
}
