//! Goal: only what is about the time of day follows the clock of the day. Method: that clock jumps.

use super::*;

#[test]
fn the_uptime_does_not_follow_the_clock_of_the_day() {
    let mut world = World::serving(1);
    let uptime = |world: &mut World| {
        let (_, health) = world.get(0, "/v1/health");
        let health: serde_json::Value = serde_json::from_str(&health).expect("health is JSON");
        health["uptime_seconds"].as_f64().expect("health has an uptime")
    };
    let mut before = uptime(&mut world);
    for jump_us in [-86_400_000_000, 172_800_000_000] {
        world.now.wall.0 += jump_us;
        world.now.monotonic_us += 5_000_000;
        let after = uptime(&mut world);
        assert!((5.0..5.1).contains(&(after - before)), "5 s after {before} s it is {after} s");
        before = after;
    }
}
