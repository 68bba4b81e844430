//! Segments that tables cover and that the archive still lacks.

use super::*;

/// Goal: what the archive lacks is kept, up to the bound and no further, and then the oldest goes first. Method: segments are covered,
/// and the archive is said to have nothing, then all.
#[test]
fn segments_are_kept_until_they_are_archived_but_no_more_than_may_be() {
    let mut world = World::new(1);
    world.upkeep.set_archive_hold(u64::MAX);
    world.upkeep.archived(Covered::default()).unwrap();
    while world.log.list().unwrap().len() < 6 {
        world.claim(7, None, 4_000);
    }
    let mut all = world.log.list().unwrap();
    all.sort_unstable_by_key(|file| file.id);
    assert!(work(&mut world).iter().all(|worked| !matches!(worked, Worked::RemovedSegment(_))));
    assert_eq!(world.log.list().unwrap().len(), all.len());
    let held = world.upkeep.facts().snapshot().segments_held;
    assert!(held >= 3, "{held} of {} are covered and kept", all.len());
    // One less than is held: the oldest one goes.
    world.upkeep.set_archive_hold(all[0].bytes * (held - 1));
    world.upkeep.archived(Covered { generation: None, ..world.upkeep.manifest().covered.clone() }).unwrap();
    world.upkeep.archived(Covered::default()).unwrap();
    let given_up: Vec<_> = work(&mut world)
        .into_iter()
        .filter_map(|worked| match worked {
            Worked::GaveUpSegment(file) => Some(file.id),
            _ => None,
        })
        .collect();
    assert_eq!(given_up, [all[0].id]);
    assert_eq!(world.upkeep.facts().snapshot().segments_given_up, 1);
    let archived = world.upkeep.manifest().covered.clone();
    world.upkeep.archived(archived).unwrap();
    assert!(work(&mut world).iter().any(|worked| matches!(worked, Worked::RemovedSegment(_))));
    assert_eq!(world.upkeep.facts().snapshot().segments_held, 0);
    world.check();
}
