//! Goal: whatever changes in what is stored is found, told once and remembered, spreads nowhere and stops nothing that can go on;
//! and reading it keeps its pace.
//!
//! Method: stores of tables and segments with one byte changed at a time; a clock that only the test moves.

use super::*;
use crate::log::segment::SegmentHeader;

/// A store of some tables, and of segments that have ended and are kept though tables hold what they say.
fn store() -> World {
    let mut world = World::new(2);
    for round in 0..4 {
        (0..20).for_each(|at| world.claim(at, Some(at % 3), 4_000));
        world.retract(22, 2);
        world.keep_up(20, None, false);
        if round == 1 {
            world = world.restarted(2);
        }
    }
    assert!(world.upkeep.manifest().tables.len() >= 3);
    assert!(ended(&world).len() >= 6, "{:?}", ended(&world));
    world
}

/// The segments that their lanes have left, with the bytes of their frames.
fn ended(world: &World) -> Vec<(SegmentId, usize)> {
    let writing = writing(&world.lanes);
    let segments = world.log.both().0.segments.clone();
    let has_ended = |id: &SegmentId| id.number < writing[&id.lane];
    let end = |id: SegmentId| {
        let next = &segments[&SegmentId { number: id.number.next(), ..id }];
        SegmentHeader::decode(&next[..BLOCK_BYTES]).expect("it was begun").0.previous_end as usize
    };
    segments.keys().filter(|id| has_ended(id)).map(|&id| (id, end(id))).collect()
}

fn change_table(world: &World, number: TableNumber, offset: usize) {
    let mut bytes = world.tables.bytes(number).expect("it is there");
    bytes[offset] ^= 1;
    world.tables.insert(number, bytes);
}

fn change_segment(world: &World, id: SegmentId, offset: usize) {
    world.log.both().0.segments.get_mut(&id).expect("it is there")[offset] ^= 1;
}

/// A new upkeep of the same store, which knows of nothing.
fn forgetful(world: &mut World) {
    let store = Store {
        log: Box::new(world.log.clone()),
        tables: Box::new(world.tables.clone()),
        manifest: Box::new(world.manifest.clone()),
    };
    let config = world_config();
    let manifest = Manifest::open(&world.manifest, &world.tables).expect("it is sound");
    let facts = UpkeepFacts::default();
    world.upkeep = Upkeep::new(store, config, manifest, writing(&world.lanes), facts);
}

#[test]
fn a_byte_that_changes_in_a_table_is_found_wherever_it_is() {
    let mut world = store();
    for table in world.upkeep.manifest().clone().tables {
        let (number, bytes) = (table.facts.number, table.facts.bytes as usize);
        for offset in (0..bytes).step_by(bytes / 23).chain([bytes - 1]) {
            change_table(&world, number, offset);
            forgetful(&mut world);
            let damage = world.scrub();
            assert_eq!(damage.len(), 1, "byte {offset} of {number}: {damage:?}");
            assert_eq!(damage[0].path, world.tables.path(number));
            assert!(damage[0].offset as usize <= offset, "byte {offset}: {damage:?}");
            assert!(damage[0].problem.contains(&format!("at offset {}", damage[0].offset)), "{damage:?}");
            change_table(&world, number, offset);
        }
    }
    forgetful(&mut world);
    assert_eq!(world.scrub(), []);
}

#[test]
fn a_byte_that_changes_in_an_ended_segment_is_found_wherever_it_is() {
    let mut world = store();
    for (id, end) in ended(&world) {
        for offset in (0..end).step_by(end / 17).chain([end - 1]) {
            change_segment(&world, id, offset);
            forgetful(&mut world);
            let damage = world.scrub();
            assert_eq!(damage.len(), 1, "byte {offset} of {id}: {damage:?}");
            assert_eq!(damage[0].path, world.log.path(id));
            assert!(damage[0].offset as usize <= offset, "byte {offset}: {damage:?}");
            assert!(damage[0].problem.contains(&format!("at offset {}", damage[0].offset)), "{damage:?}");
            change_segment(&world, id, offset);
        }
    }
}

#[test]
fn a_seal_that_changes_is_found() {
    let mut world = store();
    let segments = world.log.both().0.segments.clone();
    let mut sealed = 0;
    for (id, end) in ended(&world) {
        let next = &segments[&SegmentId { number: id.number.next(), ..id }];
        let generation = |bytes: &[u8]| SegmentHeader::decode(&bytes[..BLOCK_BYTES]).unwrap().0.generation;
        if generation(&segments[&id]) != generation(next) || next[BLOCK_BYTES] == 0 {
            continue;
        }
        sealed += 1;
        change_segment(&world, id, end + 20);
        forgetful(&mut world);
        let damage = world.scrub();
        assert_eq!((damage.len(), damage[0].offset), (1, end as u64), "{damage:?}");
        change_segment(&world, id, end + 20);
    }
    assert!(sealed >= 2, "{sealed} segments with a seal");
}

#[test]
fn what_is_found_is_told_once_and_known_until_the_file_is_gone() {
    let mut world = store();
    let number = world.upkeep.manifest().tables[0].facts.number;
    let (segment, _) = ended(&world)[0];
    change_table(&world, number, 6_000);
    change_segment(&world, segment, 6_000);
    assert_eq!(world.scrub().len(), 2);
    assert_eq!(world.scrub(), []);
    let count = |world: &World| {
        let scrub = world.upkeep.facts().snapshot().scrub;
        (scrub.damage, scrub.damaged_files, scrub.passes)
    };
    assert_eq!(count(&world), (2, 2, 2));

    // That it can be read now does not mean that it could, or will.
    change_table(&world, number, 6_000);
    assert_eq!(world.scrub(), []);
    assert_eq!(count(&world), (2, 2, 3));

    // The segment's claims are in tables: it goes, and its damage with it.
    assert!(work(&mut world).iter().any(|done| matches!(done, Worked::RemovedSegment(_))));
    assert_eq!(count(&world), (2, 1, 3));
    assert_eq!(world.upkeep.facts().damage()[0].path, world.tables.path(number));
    world.log.both().1.segments.get_mut(&segment).expect("it was removed")[6_000] ^= 1;
    world.check();
}

/// Goal: a merge that meets damage neither spreads it nor loses a claim, and nothing else stops for it. Method: a table among many
/// is damaged before its merge; what goes on is counted, and when the byte is mended, all is there.
#[test]
fn a_damaged_table_stays_out_of_merges_and_everything_else_goes_on() {
    let mut world = World::new(1);
    let mut damaged = None;
    for round in 0..400 {
        world.claim(round as u8 % 20, None, 4_000);
        if round % 10 != 9 {
            continue;
        }
        let done = work(&mut world);
        let found: Vec<&DamagedPlace> = done
            .iter()
            .filter_map(|done| match done {
                Worked::FoundDamage(place) => Some(place),
                _ => None,
            })
            .collect();
        match damaged {
            None if world.upkeep.manifest().tables.len() == 3 => {
                let number = world.upkeep.manifest().tables[1].facts.number;
                change_table(&world, number, 6_000);
                damaged = Some((number, round));
            }
            None => assert_eq!(found, [] as [&DamagedPlace; 0]),
            Some((number, _)) => {
                found.iter().for_each(|place| assert_eq!(place.path, world.tables.path(number)));
                assert!(world.upkeep.manifest().lists(number), "it stays in its place");
            }
        }
        assert!(world.upkeep.manifest().tables.len() <= 2 * TABLES_MAX + 1);
    }
    let (number, _) = damaged.expect("there were three tables once");
    let facts = world.upkeep.facts().snapshot();
    assert_eq!((facts.scrub.damage, facts.failures), (1, 0));
    assert!(facts.merges >= 2 && facts.checkpoints > 10, "{facts:?}");
    assert_eq!(world.tables.list().unwrap().len() as u64, facts.tables, "nothing is left of the attempt");
    assert!(!world.scrub().iter().any(|place| place.path != world.tables.path(number)));
    change_table(&world, number, 6_000);
    world.check();
    world.restarted(2).check();
}

#[test]
fn a_checkpoint_that_meets_damage_keeps_the_log_and_says_so() {
    let mut world = World::new(1);
    (0..20).for_each(|at| world.claim(at, None, 4_000));
    let (segment, _) = ended(&world)[0];
    change_segment(&world, segment, 6_000);
    let before = world.log.list().unwrap();
    let done = work(&mut world);
    assert!(
        matches!(&done[..], [Worked::FoundDamage(place)] if place.path == world.log.path(segment)),
        "{done:?}"
    );
    (0..20).for_each(|at| world.claim(at, None, 4_000));
    assert_eq!(work(&mut world), [], "nothing is tried twice");
    assert!(world.log.list().unwrap().len() > before.len(), "the log is kept");
    let facts = world.upkeep.facts().snapshot();
    assert_eq!((facts.checkpoints, facts.failures, facts.scrub.damaged_files), (0, 1, 1));
    change_segment(&world, segment, 6_000);
    world.check();
    let mut world = world.restarted(1);
    assert!(work(&mut world).contains(&Worked::Checkpointed));
    world.check();
}

/// Goal: the scrub takes no more of the disk than it may, at any time, and does take that. Method: steps on a clock that
/// stands still but for the pauses that the pace demands.
#[test]
fn the_pace_is_kept() {
    const RATE: u64 = 300_000;
    let mut world = store();
    let mut pace = ScrubPace::new(RATE);
    let (mut now_us, mut bytes_read, mut largest) = (5_000_000, 0, 0);
    let began_us = now_us;
    loop {
        let scrubbed = world.upkeep.scrub(NOW);
        pace.took(&scrubbed, now_us);
        let due_us = pace.due_us().expect("it is not switched off");
        match scrubbed {
            Scrubbed::Sound { bytes } => {
                bytes_read += bytes;
                largest = largest.max(bytes);
                now_us = due_us;
            }
            Scrubbed::Passed => {
                assert_eq!(due_us, now_us + 60_000_000, "a small store is not read all the time");
                break;
            }
            other => panic!("{other:?}"),
        }
        let allowed = (now_us - began_us) * RATE / 1_000_000;
        assert!(bytes_read <= allowed + 1, "{bytes_read} bytes, {allowed} allowed");
        assert!(bytes_read + largest >= allowed, "{bytes_read} bytes, {allowed} allowed");
    }
    let scrub = world.upkeep.facts().snapshot().scrub;
    assert_eq!((scrub.bytes, scrub.position_bytes), (bytes_read, bytes_read));
    let stored = world.upkeep.manifest().bytes();
    assert!(bytes_read > stored && scrub.pass_bytes > bytes_read, "{scrub:?}, {stored} bytes of tables");
    assert_eq!(ScrubPace::new(0).due_us(), None);
}
