//! Segments that tables cover and that the archive still lacks.

use super::*;

/// Keeps so many bytes of segments for an archive that has nothing yet.
fn hold(world: &mut World, bytes_max: u64) {
    world.upkeep.config_mut().archive_hold_bytes_max = bytes_max;
    // What it is told anew counts, what it knows does not.
    world.upkeep.archived(Covered { generation: None, ..world.upkeep.manifest().covered.clone() }).unwrap();
    world.upkeep.archived(Covered::default()).unwrap();
}

/// Writes until there are so many segments.
fn fill(world: &mut World, segments: usize) {
    while world.log.list().unwrap().len() < segments {
        world.claim(7, None, 4_000);
    }
}

/// The segments that were given up, in that order.
fn given_up(done: &[Worked]) -> Vec<SegmentId> {
    let given_up = |worked: &Worked| match worked {
        Worked::GaveUpSegment(file) => Some(file.id),
        _ => None,
    };
    done.iter().filter_map(given_up).collect()
}

/// Goal: what the archive lacks is kept, up to the bound and no further, and then the oldest goes first. Method: segments are covered,
/// and the archive is said to have nothing, then all.
#[test]
fn segments_are_kept_until_they_are_archived_but_no_more_than_may_be() {
    let mut world = World::new(1);
    hold(&mut world, u64::MAX);
    fill(&mut world, 6);
    let mut all = world.log.list().unwrap();
    all.sort_unstable_by_key(|file| file.id);
    assert!(work(&mut world).iter().all(|worked| !matches!(worked, Worked::RemovedSegment(_))));
    assert_eq!(world.log.list().unwrap().len(), all.len());
    let held = world.upkeep.facts().snapshot().segments_held;
    assert!(held >= 3, "{held} of {} are covered and kept", all.len());
    // One less than is held: the oldest one goes.
    hold(&mut world, all[0].bytes * (held - 1));
    assert_eq!(given_up(&work(&mut world)), [all[0].id]);
    assert_eq!(world.upkeep.facts().snapshot().segments_given_up, 1);
    let archived = world.upkeep.manifest().covered.clone();
    world.upkeep.archived(archived).unwrap();
    assert!(work(&mut world).iter().any(|worked| matches!(worked, Worked::RemovedSegment(_))));
    assert_eq!(world.upkeep.facts().snapshot().segments_held, 0);
    world.check();
}

/// Goal: what is kept for the archive has no gap: of all that is older than a segment that is given up, nothing is kept. Method: small
/// segments of one generation and large ones of the next, and room for what is newer than the first large one and for a small one.
#[test]
fn nothing_is_kept_that_is_older_than_what_is_given_up() {
    let mut world = World::new(1);
    hold(&mut world, u64::MAX);
    fill(&mut world, 4);
    let mut large = opening(1);
    large.lane.segment_bytes *= 3;
    let mut world = world.opened(&large);
    hold(&mut world, u64::MAX);
    fill(&mut world, 8);
    assert_eq!(given_up(&work(&mut world)), []);
    let mut covered = world.log.list().unwrap();
    covered.retain(|file| world.upkeep.manifest().covered.contains(file.id));
    covered.sort_unstable_by_key(|file| file.id);
    assert_eq!(world.upkeep.facts().snapshot().segments_held, covered.len() as u64);
    let at = covered.iter().position(|file| file.bytes == large.lane.segment_bytes).expect("some are large");
    let (small, newer) = (&covered[at - 1], &covered[at + 1..]);
    assert!(small.bytes < covered[at].bytes && !newer.is_empty(), "{covered:?}");
    hold(&mut world, small.bytes + newer.iter().map(|file| file.bytes).sum::<u64>());
    let older: Vec<_> = covered[..=at].iter().map(|file| file.id).collect();
    assert_eq!(given_up(&work(&mut world)), older);
    assert_eq!(world.upkeep.facts().snapshot().segments_held, newer.len() as u64);
    world.check();
}

/// Writes claims of all slots, a second apart, until a lane has left so many further segments.
fn leave_segments(world: &mut World, lane: usize, segments: u64) {
    let until = world.lanes[lane].writing().unwrap().0 + segments;
    while world.lanes[lane].writing().unwrap().0 < until {
        world.now.0 += 1_000_000;
        world.claim((world.now.0 / 1_000_000 % 20) as u8, None, 4_000);
    }
}

/// Goal: of all lanes what was begun first goes first, however a lane numbers its segments. Method: a lane that is much younger than the other.
#[test]
fn a_lane_that_began_later_keeps_its_segments_longer() {
    let mut world = World::new(1);
    leave_segments(&mut world, 0, 5);
    let old: Vec<_> = world.log.list().unwrap().iter().map(|file| file.id).collect();
    let mut world = world.restarted(2);
    hold(&mut world, u64::MAX);
    leave_segments(&mut world, 1, 2);
    assert_eq!(given_up(&work(&mut world)), []);
    let held = world.upkeep.facts().snapshot().segments_held;
    let covered = |world: &World, lane| {
        let mut files = world.log.list().unwrap();
        files
            .retain(|file| file.id.lane == LaneId(lane) && world.upkeep.manifest().covered.contains(file.id));
        files
    };
    assert_eq!(covered(&world, 1).len(), 2);
    // All of the first generation but one.
    let bytes = world.log.list().unwrap()[0].bytes;
    hold(&mut world, bytes * (held - old.len() as u64 + 2));
    let gone = given_up(&work(&mut world));
    assert!(gone.len() >= 2 && gone.iter().all(|id| old.contains(id)), "{gone:?}");
    assert_eq!(covered(&world, 1).len(), 2, "they are the newest");
    world.check();
}

/// Goal: what is kept of a lane has no gap, whatever the clock did. Method: a clock that goes back by a day in the midst of a lane.
#[test]
fn what_is_kept_has_no_gap_where_the_clock_went_back() {
    let mut world = World::new(1);
    hold(&mut world, u64::MAX);
    leave_segments(&mut world, 0, 3);
    world.now.0 -= 86_400_000_000;
    leave_segments(&mut world, 0, 3);
    work(&mut world);
    let mut covered = world.log.list().unwrap();
    covered.retain(|file| world.upkeep.manifest().covered.contains(file.id));
    covered.sort_unstable_by_key(|file| file.id);
    assert_eq!(covered.len(), 6);
    hold(&mut world, covered[0].bytes * 4);
    let oldest: Vec<_> = covered[..2].iter().map(|file| file.id).collect();
    assert_eq!(given_up(&work(&mut world)), oldest);
    world.check();
}
