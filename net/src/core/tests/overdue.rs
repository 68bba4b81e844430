//! Goal: what is overdue comes to its end soon, and not all at once. Method: many clients are late together, and the test
//! counts in how many ticks they are told.

use super::*;

#[test]
fn many_who_are_late_together_are_told_over_several_ticks() {
    const CLIENTS: usize = 4_000;
    let mut world = World::with(1, |config| config.connections_max = CLIENTS);
    world.open();
    for _ in 0..CLIENTS {
        let (core, key) = world.connect(0);
        world.cores[core].received(key, b"GET", world.now);
    }
    world.run();
    world.now.monotonic_us += 60_000_000;
    let mut told = 0;
    for tick in 1..=8 {
        world.cores[0].tick(world.now);
        world.run();
        let more = world.received.len() - told;
        assert!((1..=CLIENTS / 8 + 1).contains(&more), "{more} in tick {tick}");
        told += more;
    }
    assert_eq!(told, CLIENTS);
    assert!(world.received.values().all(|answer| answer.starts_with(b"HTTP/1.1 408 ")));
}
