//! Goal: a retraction that has been decided waits for a lane that cannot be extended, and no more of them than may; what is
//! refused leaves nothing. Method: two cores, of which one has no segment until the test gives it one.

use super::super::retractions::RETRACTIONS_MAX;
use super::*;

fn retraction(path: &str) -> String {
    post("/v1/retract", &format!(r#"{{"concept_path":"{path}","reason":"wrong"}}"#))
}

/// Two cores whose second has no disk.
fn world_with_a_full_disk() -> World {
    let mut world = World::new(2);
    world.open_with_segments(|core| core == 0);
    world.cores[1].segment_failed(true, world.now);
    world
}

/// Records that core 0 has written or is to write.
fn records(world: &World) -> u64 {
    world.cores[0].shard().expect("it is open").lane().next_lsn().0
}

#[test]
fn retractions_that_wait_for_another_lane_are_bounded_and_refused_before_anything_is_written() {
    let mut world = world_with_a_full_disk();
    let path = subject_on(0, 2);
    let mut asked = 0;
    // However often clients come again.
    while asked < RETRACTIONS_MAX {
        let client = world.connect(0);
        world.send(client, retraction(&path).repeat(64).as_bytes());
        assert_eq!(world.take(client), "", "the other core has not done its part");
        world.cores[0].broken(client.1);
        asked += 64;
    }
    let records_before = records(&world);
    for _ in 0..10 {
        let client = world.connect(0);
        world.send(client, retraction(&path).repeat(64).as_bytes());
        let answers = world.take(client);
        assert_eq!(answers.matches("HTTP/1.1 503").count(), 64, "{answers}");
        assert!(answers.contains("retry-after: 1") && answers.contains(r#""overloaded""#), "{answers}");
        world.cores[0].broken(client.1);
    }
    assert_eq!(records(&world), records_before, "nothing of what was refused is written");
    assert_eq!(world.cores[1].room.retractions.waiting_counts(), (RETRACTIONS_MAX, 0));
    assert_eq!(world.cores[0].room.retractions.asked_count(), RETRACTIONS_MAX);

    world.cores[1].segment_ready(SegmentNumber::FIRST);
    world.run();
    assert_eq!(world.cores[0].room.retractions.asked_count(), 0, "all are done");
    assert_eq!(world.cores[1].room.retractions.waiting_counts(), (0, 0));
    assert_eq!(world.ask(0, &retraction(&path)).0, OK);
}

#[test]
fn a_retraction_that_was_not_decided_is_forgotten_at_once() {
    let mut world = world_with_a_full_disk();
    let path = subject_on(1, 2);
    for _ in 0..3 {
        let (status, body) = world.ask(0, &retraction(&path));
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        assert!(body.contains("disk_full"), "{body}");
        assert_eq!(world.cores[0].room.retractions.asked_count(), 0);
    }
}

#[test]
fn a_retraction_that_a_failed_lane_refuses_is_forgotten_when_all_cores_have_told() {
    let mut world = World::serving(3);
    let path = subject_on(0, 3);
    world.post(0, "/v1/assert", &claim(&subject_on(1, 3), 1));
    // The lane of core 1 fails with the copy.
    world.disk_is_on = false;
    let client = world.connect(2);
    world.send(client, retraction(&path).as_bytes());
    while world.writes[1].is_empty() {
        world.do_writes(0);
        world.do_writes(2);
        world.run();
    }
    let write = world.writes[1].pop().expect("the copy is on its way");
    world.cores[1].write_done(write.id, write.buffer, Err(libc::EIO), 100, world.now);
    world.run();
    assert!(world.take(client).contains("storage_failed"), "the client is told at once");
    world.disk_is_on = true;
    while world.do_writes(2) {
        world.run();
    }
    world.run();
    for core in &world.cores {
        assert_eq!(
            (core.room.retractions.asked_count(), core.room.retractions.waiting_counts()),
            (0, (0, 0))
        );
    }
}

#[test]
fn many_retractions_sent_ahead_are_all_answered() {
    let mut world = World::serving(2);
    let clients: Vec<_> = (0..RETRACTIONS_MAX / 64).map(|_| world.connect(0)).collect();
    for &(core, key) in &clients {
        world.cores[core].received(key, retraction("a").repeat(64).as_bytes(), world.now);
    }
    world.run();
    for client in clients {
        assert_eq!(world.take(client).matches(OK).count(), 64);
    }
    assert_eq!(world.cores[0].room.retractions.asked_count(), 0);
}
