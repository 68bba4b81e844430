//! Goal: upkeep puts off what it can, and no longer than the log has room; what it cannot do does not hurry it. Method: segments end one after
//! the other, wherever the bound of the log is and whatever is held; damage of tables and log.

use super::*;

/// Lets the core have so many segments.
fn bound(world: &mut World, segments: u64) {
    world.upkeep.config_mut().core_log_bytes_max = segments * SEGMENT_BYTES_LEAST;
}

/// Writes until the lane has left its segment.
fn end_segment(world: &mut World) {
    let before = world.lanes[0].writing();
    while world.lanes[0].writing() == before {
        world.claim(7, None, 4_000);
    }
    world.upkeep.lane_writes(LaneId(0), world.lanes[0].writing().unwrap());
}

/// How many segments end until upkeep is behind.
fn segments_until_behind(world: &mut World) -> u64 {
    assert!(!world.upkeep.is_behind());
    for ended in 1.. {
        end_segment(world);
        if world.upkeep.is_behind() {
            return ended;
        }
    }
    unreachable!("segments do not run out")
}

/// Does all that is to be done, and removes what is not `held`.
fn catch_up(world: &mut World, held: bool) {
    while world.upkeep.step(NOW, &mut |_| !held).unwrap() != Worked::Idle {}
}

#[test]
fn upkeep_is_behind_when_five_ended_segments_wait() {
    let mut world = World::new(1);
    for _ in 0..3 {
        assert_eq!(segments_until_behind(&mut world), 5);
        catch_up(&mut world, true);
    }
}

#[test]
fn upkeep_is_behind_before_the_log_is_full() {
    let mut world = World::new(1);
    bound(&mut world, 6);
    catch_up(&mut world, false);
    assert_eq!(segments_until_behind(&mut world), 3, "four would be all that there is room for");
    // A reader holds these three: there is room for a fourth, and no more.
    catch_up(&mut world, true);
    assert_eq!(segments_until_behind(&mut world), 1);
    catch_up(&mut world, true);
    bound(&mut world, 10);
    assert_eq!(segments_until_behind(&mut world), 3, "four are held, and four would be all");
    catch_up(&mut world, false);
    assert_eq!(segments_until_behind(&mut world), 5);
    catch_up(&mut world, false);
    // What the archive lacks is held as well.
    bound(&mut world, 6);
    world.upkeep.config_mut().archive_hold_bytes_max = 3 * SEGMENT_BYTES_LEAST;
    world.upkeep.archived(Covered::default()).unwrap();
    (0..3).for_each(|_| end_segment(&mut world));
    catch_up(&mut world, false);
    assert_eq!(world.upkeep.facts().snapshot().segments_held, 3);
    assert_eq!(segments_until_behind(&mut world), 1);
    world.check();
}

/// Of two lanes one is not written any more: what waits there takes room of the core that is left.
#[test]
fn segments_of_lanes_without_a_core_wait_as_well() {
    let mut world = World::new(2);
    while world.log.list().unwrap().iter().filter(|file| file.id.lane == LaneId(1)).count() < 4 {
        (0..20).for_each(|subject| world.claim(subject, None, 4_000));
    }
    let mut world = world.restarted(1);
    bound(&mut world, 6);
    assert!(matches!(world.upkeep.step(NOW, &mut |_| true), Ok(Worked::Opened { .. })));
    assert!(world.upkeep.is_behind());
    catch_up(&mut world, false);
    assert!(!world.upkeep.is_behind());
}

#[test]
fn a_damaged_log_hurries_nobody() {
    let mut world = World::new(1);
    catch_up(&mut world, false);
    segments_until_behind(&mut world);
    let first = SegmentId { lane: LaneId(0), number: crate::log::SegmentNumber::FIRST };
    world.log.both().0.segments.get_mut(&first).expect("it has ended")[2 * BLOCK_BYTES] ^= 1;
    let found = (0..9).map(|_| world.upkeep.step(NOW, &mut |_| true).unwrap());
    assert!(found.into_iter().any(|worked| matches!(worked, Worked::FoundDamage(_))));
    assert!(!world.upkeep.is_behind(), "nothing can be done about it");
    end_segment(&mut world);
    assert!(!world.upkeep.is_behind());
}

#[test]
fn damaged_tables_hurry_nobody() {
    let mut world = World::new(1);
    world.tables.set_free_bytes(0);
    while world.upkeep.manifest().tables.len() <= TABLES_MAX {
        assert!(!world.upkeep.is_behind());
        end_segment(&mut world);
        catch_up(&mut world, false);
    }
    assert!(world.upkeep.is_behind(), "tables are to be merged");
    let damaged = world.upkeep.manifest().tables[TABLES_MAX / 2].facts.number;
    let path = world.tables.path(damaged);
    world.upkeep.facts().damaged(DamagedPlace { path, offset: 0, problem: "damaged".to_owned() });
    assert!(!world.upkeep.is_behind(), "there are not many on either side of it");
}

/// A table is read for as long as it takes: neither the log nor the disk fills up meanwhile.
#[test]
fn a_table_that_is_read_holds_up_nothing_else() {
    let mut world = World::new(1);
    let mut read = None;
    let mut removed = (0, 0);
    for _ in 0..8 * TABLES_MAX {
        end_segment(&mut world);
        loop {
            // The first table that is needless is read from then on.
            let mut may_remove = |file| match file {
                Needless::Segment(_) => true,
                Needless::Table(number) => *read.get_or_insert(number) != number,
            };
            match world.upkeep.step(NOW, &mut may_remove).unwrap() {
                Worked::Idle => break,
                Worked::RemovedSegment(_) => removed.0 += 1,
                Worked::RemovedTable(_) => removed.1 += 1,
                _ => {}
            }
        }
        let left = world
            .log
            .list()
            .unwrap()
            .iter()
            .filter(|file| world.upkeep.manifest().covered.contains(file.id))
            .count();
        assert_eq!(left, 0, "segments that are covered are there");
    }
    let read = read.expect("tables were merged");
    assert!(
        removed.0 >= 8 * TABLES_MAX && removed.1 > TABLES_MAX,
        "segments and tables removed: {removed:?}"
    );
    assert!(world.tables.list().unwrap().iter().any(|file| file.number == read), "it is there still");
    while world.upkeep.step(NOW, &mut |_| true).unwrap() != Worked::Idle {}
    assert!(world.tables.list().unwrap().iter().all(|file| file.number != read), "nobody reads it any more");
    world.check();
}
