//! Goal: a log that is cut back to a moment holds exactly what was queued by then, all that was acknowledged by then
//! included, and is a sound log that can be opened and go on. Method: random histories, cut at random moments and records.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::history::life;
use super::scripted::{Event, script};
use super::*;
use crate::log::covered::Covered;
use crate::log::inspect::{Inspected, InspectedHeader, inspect};
use crate::log::recovery::cut::{Cut, CutError, CutTarget, plan};
use crate::random_cases::of_256;

/// What is left of the log.
fn apply(cut: &Cut, disk: &MemoryStorage) -> MemoryStorage {
    let mut left = disk.clone();
    for shortened in &cut.shortened {
        left.truncate(shortened.segment, shortened.end_offset).unwrap();
    }
    for &segment in &cut.dropped {
        left.remove(segment).unwrap();
    }
    left
}

/// When the frame of each record was queued, by generation, lane and LSN.
fn times(disk: &MemoryStorage) -> BTreeMap<(u32, u16, u64), UnixMicros> {
    let mut times = BTreeMap::new();
    let (mut place, mut time) = ((0, 0), NOW);
    for inspected in inspect(disk) {
        match inspected {
            Inspected::Segment { header: InspectedHeader::Valid(header), .. } => {
                place = (header.generation.0, header.id.lane.0);
            }
            Inspected::Frame { header, .. } => time = header.time,
            Inspected::Record(record) => {
                times.insert((place.0, place.1, record.lsn.0), time);
            }
            _ => {}
        }
    }
    times
}

proptest! {
    #![proptest_config(of_256(24))]

    #[test]
    fn what_is_left_is_what_was_queued_by_then(
        lives in prop::collection::vec(life(), 1..4),
        moments in prop::collection::vec(0.0..1.1_f64, 8),
        lanes in 1_u16..4,
    ) {
        let events = script(&lives);
        let mut disk = MemoryStorage::new();
        events.iter().for_each(|event| event.happen(&mut disk));
        let (all, _) = read(&disk).unwrap();
        let times = times(&disk);
        let time_of = |record: &Read| times[&(record.0, record.1, record.2)];
        let steps: usize = lives.iter().map(|life| life.steps.len()).sum();
        for moment in moments {
            let until = UnixMicros(NOW.0 + (moment * steps as f64 * 10.0) as i64 - 10);
            let cut = plan(&disk, &Covered::default(), CutTarget::Time(until)).unwrap();
            let left = apply(&cut, &disk);
            let (records, recovered) = read(&left).unwrap();
            let expected: Vec<_> = all.iter().filter(|record| time_of(record) <= until).cloned().collect();
            prop_assert_eq!(&records, &expected);
            for event in &events {
                let Event::Acknowledged(generation, lane, lsn, at) = event else { continue };
                if *at <= until {
                    let is_it = |record: &Read| (record.0, record.1, record.2) == (generation.0, lane.0, lsn.0);
                    prop_assert!(records.iter().any(is_it));
                }
            }
            for lane in &cut.lanes {
                let end = recovered.lane_start(lane.lane).next_lsn;
                prop_assert_eq!(end, lane.next_lsn);
                prop_assert!(lane.last_kept.is_none_or(|time| time <= until));
                prop_assert!(lane.first_dropped.is_none_or(|time| time > until));
            }
            let mut world = World { disk: left, lanes: Vec::new() }.restarted(lanes);
            world.commit(0, &[b"it goes on"]);
            prop_assert_eq!(world.read().0.len(), records.len() + 1);
        }
        for record in all.iter().step_by(all.len() / 4 + 1) {
            let target = CutTarget::Record { lane: LaneId(record.1), lsn: Lsn(record.2) };
            let left = apply(&plan(&disk, &Covered::default(), target).unwrap(), &disk);
            let (records, _) = read(&left).unwrap();
            prop_assert!(records.contains(record));
            let later = |one: &&Read| (one.0, one.1) == (record.0, record.1) && time_of(one) > time_of(record);
            prop_assert_eq!(records.iter().find(later), None);
            let earlier = |one: &Read| time_of(one) < time_of(record);
            prop_assert!(all.iter().filter(|one| earlier(one)).all(|one| records.contains(one)));
        }
    }
}

proptest! {
    #![proptest_config(of_256(24))]

    /// Where tables hold the beginning of the log, the rest is cut just as exactly; or it is refused, since they may hold what came later.
    #[test]
    fn what_is_covered_is_never_later_than_the_moment(
        lives in prop::collection::vec(life(), 1..4),
        moments in prop::collection::vec((0.0..1.1_f64, prop_oneof![0_u64..200_000, Just(u64::MAX)]), 8),
        lanes in 1_u16..4,
    ) {
        let mut disk = MemoryStorage::new();
        script(&lives).iter().for_each(|event| event.happen(&mut disk));
        let (all, _) = read(&disk).unwrap();
        let times = times(&disk);
        let time_of = |record: &Read| times[&(record.0, record.1, record.2)];
        let steps: usize = lives.iter().map(|life| life.steps.len()).sum();
        let begun = inspect(&disk).filter_map(|inspected| match inspected {
            Inspected::Segment { header: InspectedHeader::Valid(header), .. } => Some(header.created),
            _ => None,
        });
        let last = begun.chain(times.values().copied()).max().unwrap_or(NOW);
        for (moment, bytes_max) in moments {
            let covered = covered_of(&disk, bytes_max);
            let mut behind = disk.clone();
            behind.segments.retain(|&segment, _| !covered.contains(segment));
            let until = UnixMicros(NOW.0 + (moment * steps as f64 * 10.0) as i64 - 10);
            let (in_tables, in_log): (Vec<_>, Vec<_>) =
                all.iter().cloned().partition(|record| is_covered(&covered, record.0, record.1, record.2));
            let cut = match plan(&behind, &covered, CutTarget::Time(until)) {
                Err(CutError::Covered { .. }) => {
                    prop_assert!(until < last, "nothing is later");
                    continue;
                }
                cut => cut.unwrap(),
            };
            prop_assert_eq!(in_tables.iter().find(|record| time_of(record) > until), None);
            let left = apply(&cut, &behind);
            let covered = covered.of_copy(&left.list().unwrap());
            let (records, recovered) = read_behind(&left, &covered).unwrap();
            let expected: Vec<_> = in_log.into_iter().filter(|record| time_of(record) <= until).collect();
            prop_assert_eq!(&records, &expected);
            let mut world = World { disk: left, lanes: Vec::new() };
            world.lanes = open_generation(&mut world.disk, &recovered, &opening(lanes)).unwrap();
            world.commit(0, &[b"it goes on"]);
            prop_assert_eq!(read_behind(&world.disk, &covered).unwrap().0.len(), records.len() + 1);
            if let Some((lane, lsn)) = in_tables.last().map(|record| (LaneId(record.1), Lsn(record.2))) {
                let error = plan(&behind, &covered, CutTarget::Record { lane, lsn }).unwrap_err();
                prop_assert!(matches!(error, CutError::Covered { .. }), "{}", error);
            }
        }
    }
}

#[test]
fn a_later_generation_goes_with_what_it_was_opened_on_even_if_the_clock_was_set_back() {
    let mut world = World::new(2);
    world.commit(0, &[b"kept"]);
    world.lanes[0].append(RecordKind::Assertion, 0, b"an hour later").unwrap();
    let later = UnixMicros(NOW.0 + 3_600_000_000);
    drive(&mut world.lanes[0], &mut world.disk, later, 0).unwrap();
    let mut world = world.restarted(2);
    world.commit(1, &[b"the clock was set back"]);
    let cut = plan(&world.disk, &Covered::default(), CutTarget::Time(NOW)).unwrap();
    let left = apply(&cut, &world.disk);
    let (records, recovered) = read(&left).unwrap();
    assert_eq!(records.iter().map(|record| &record.3[..]).collect::<Vec<_>>(), [b"kept"]);
    assert_eq!(recovered.next_generation, Generation(2));
    assert_eq!(cut.records_dropped(), 4, "two claims, and the record of a generation in two lanes");
}

#[test]
fn nothing_is_dropped_of_a_log_that_ends_before_the_moment() {
    let mut world = World::new(1);
    world.commit(0, &[b"a"]);
    let cut = plan(&world.disk, &Covered::default(), CutTarget::Time(NOW)).unwrap();
    assert!(cut.drops_nothing());
    assert_eq!((cut.records_dropped(), cut.last_kept()), (0, Some(NOW)));
    let before = plan(&world.disk, &Covered::default(), CutTarget::Time(UnixMicros(NOW.0 - 1))).unwrap();
    assert!(read(&apply(&before, &world.disk)).unwrap().0.is_empty());
    assert_eq!(before.last_kept(), None);
}

#[test]
fn a_record_that_is_not_there_is_no_place_to_cut_at() {
    let mut world = World::new(1);
    world.commit(0, &[b"a"]);
    for (lane, lsn, next) in [(0, 3, 3), (1, 1, 1)] {
        let target = CutTarget::Record { lane: LaneId(lane), lsn: Lsn(lsn) };
        let error = plan(&world.disk, &Covered::default(), target).unwrap_err();
        assert!(matches!(error, CutError::NoRecord { next_lsn, .. } if next_lsn == Lsn(next)), "{error}");
    }
}
