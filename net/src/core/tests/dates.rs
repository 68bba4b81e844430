//! Goal: a response tells the time of day at which it was written, not that of some earlier turn. Method: the clock goes on
//! between a request and its answer.

use super::*;

const A_MINUTE_US: i64 = 60_000_000;

impl World {
    /// Lets the clocks go on.
    fn wait(&mut self, us: i64) {
        self.now.monotonic_us += us.cast_unsigned();
        self.now.wall.0 += us;
    }
}

/// The date of a response, which has one.
fn date_of(response: &str) -> &str {
    let (_, rest) = response.split_once("\r\ndate: ").unwrap_or_else(|| panic!("no date: {response}"));
    rest.split_once("\r\n").expect("a header is a line").0
}

#[test]
fn each_response_has_the_date_of_its_turn() {
    let mut world = World::serving(1);
    let client = world.connect(0);
    for date in
        ["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:14:20 GMT", "Tue, 14 Nov 2023 22:15:20 GMT"]
    {
        // One that is answered by its head, and one that is answered when the cores have told how they are.
        for path in ["/nowhere", "/ready"] {
            world.send(client, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
            assert_eq!(date_of(&world.take(client)), date, "{path}");
        }
        world.wait(A_MINUTE_US);
    }
}

#[test]
fn an_answer_that_waited_for_the_disk_has_the_date_on_which_it_came() {
    let mut world = World::serving(1);
    world.disk_is_on = false;
    let client = world.connect(0);
    world.send(client, post("/v1/assert", &claim("a", 1)).as_bytes());
    assert_eq!(world.take(client), "");
    world.wait(A_MINUTE_US);
    // What was under way before the claim came is written first.
    for _ in 0..4 {
        world.disk_tick();
    }
    assert_eq!(date_of(&world.take(client)), "Tue, 14 Nov 2023 22:14:20 GMT");
}

#[test]
fn a_refusal_for_lateness_has_its_own_date() {
    let mut world = World::serving(1);
    let client = world.connect(0);
    world.send(client, b"GET");
    world.wait(A_MINUTE_US);
    world.cores[0].tick(world.now);
    world.run();
    let answer = world.take(client);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(date_of(&answer), "Tue, 14 Nov 2023 22:14:20 GMT");
}
