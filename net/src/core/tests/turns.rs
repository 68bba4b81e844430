//! Goal: what one turn does is bounded, is shared among those who wait, and is begun in the order in which they came.
//! Method: many clients ask before a turn, and the test counts the turns until they are answered.

use super::super::lookups::LOOKUPS_A_TURN;
use super::super::queries::{CLAIMS_A_TURN, HITS_A_TURN, QUERIES_A_TURN};
use super::*;

type Client = (usize, ConnectionKey);

/// A world of one core with `claims` claims about `big`, of a confidence of one half, and one about `small`.
fn world_of_claims(claims: usize) -> World {
    let mut world = World::serving(1);
    let line = |number: usize| {
        format!(
            r#"{{"subject":"big","predicate":"is","object":{number},"confidence":0.5,"timestamp":1600000000}}"#
        )
    };
    let lines: String = (0..claims).map(|number| line(number) + "\n").collect();
    assert_eq!(world.post(0, "/v1/assert/batch", &lines).0, OK);
    assert_eq!(world.post(0, "/v1/assert", &claim("small", 1)).0, CREATED);
    assert_eq!(world.assertions(), claims as u64 + 1);
    world
}

/// A client that has sent a query about which nothing has been done.
fn asking(world: &mut World, query: &str) -> Client {
    let (core, key) = world.connect(0);
    let request = format!("GET /v1/query?{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    world.cores[core].received(key, request.as_bytes(), world.now);
    (core, key)
}

/// The turns until all clients have their answers.
fn turns_until_answered(world: &mut World, clients: &[Client]) -> usize {
    let mut turns = 0;
    while clients.iter().any(|client| !world.received.contains_key(client)) {
        turns += 1;
        assert!(world.turn(0), "nothing goes on in turn {turns}, and not all have their answers");
    }
    turns
}

/// Looks at all claims about `big` and finds none.
const SEARCH: &str = "concept_path=big&min_confidence=0.9";

#[test]
fn a_small_query_does_not_wait_for_the_large_ones_before_it() {
    let mut world = world_of_claims(2 * CLAIMS_A_TURN);
    let large: Vec<_> = (1..QUERIES_A_TURN).map(|_| asking(&mut world, SEARCH)).collect();
    world.turn(0);
    let small = asking(&mut world, "concept_path=small");
    assert_eq!(turns_until_answered(&mut world, &[small]), 1);
    assert!(world.take(small).contains(r#""count":1,"#));
    assert!(large.iter().all(|client| !world.received.contains_key(client)), "they go on");
    world.run();
    for client in large {
        assert!(world.take(client).contains(r#""count":0,"#));
    }
}

#[test]
fn a_small_query_waits_a_turn_at_most_for_each_share_of_large_ones() {
    let mut world = world_of_claims(2 * CLAIMS_A_TURN);
    for _ in 0..3 * QUERIES_A_TURN {
        asking(&mut world, SEARCH);
    }
    world.turn(0);
    let small = asking(&mut world, "concept_path=small");
    assert!(turns_until_answered(&mut world, &[small]) <= 4);
}

#[test]
fn the_queries_of_a_turn_look_at_no_more_claims_than_one_alone_may() {
    let claims = CLAIMS_A_TURN / 2;
    for queries in [1, 5, QUERIES_A_TURN, 2 * QUERIES_A_TURN] {
        let mut world = world_of_claims(claims);
        let clients: Vec<_> = (0..queries).map(|_| asking(&mut world, SEARCH)).collect();
        let turns = turns_until_answered(&mut world, &clients);
        assert!(turns * CLAIMS_A_TURN >= queries * claims, "{queries} queries in {turns} turns");
    }
}

#[test]
fn the_queries_of_a_turn_write_no_more_hits_than_one_alone_may() {
    let hits = HITS_A_TURN * 3 / 4;
    let mut world = world_of_claims(hits);
    let clients: Vec<_> = (0..8).map(|_| asking(&mut world, "concept_path=big")).collect();
    let turns = turns_until_answered(&mut world, &clients);
    assert!(turns * HITS_A_TURN >= clients.len() * hits, "{turns} turns");
    for client in clients {
        assert!(world.take(client).contains(&format!(r#""count":{hits},"#)));
    }
}

#[test]
fn a_retraction_in_the_midst_of_a_query_shows_in_no_row_of_it() {
    let claims = 10 * HITS_A_TURN;
    let mut world = world_of_claims(claims);
    let reader = asking(&mut world, &format!("concept_path=big&limit={claims}"));
    world.turn(0);
    let (_, answer) = world.post(0, "/v1/retract", r#"{"concept_path":"big","reason":"meanwhile"}"#);
    assert!(answer.contains(&format!(r#""retracted":{claims}"#)), "{answer}");
    world.run();
    let page = world.take(reader);
    assert!(page.contains(&format!(r#""count":{claims},"#)), "they were found before");
    assert!(!page.contains(r#""status":"retracted""#), "retracted claims were not asked for");
}

#[test]
fn who_came_first_is_served_first() {
    let mut world = World::serving(1);
    let clients: Vec<_> = (0..10).map(|_| world.connect(0)).collect();
    for (number, &(core, key)) in (0..).zip(&clients) {
        world.cores[core].received(key, post("/v1/assert", &claim("a", number)).as_bytes(), world.now);
    }
    world.run();
    for client in clients {
        assert!(world.take(client).starts_with(CREATED));
    }
    // Of claims with one timestamp, those written last come first.
    let (_, page) = world.get(0, "/v1/query?concept_path=a");
    let places: Vec<_> = (0..10).rev().map(|number| page.find(&format!(r#""value":{number},"#))).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{page}");
}

#[test]
fn a_core_that_was_held_up_does_not_hold_it_against_its_clients() {
    let mut world = World::serving(1);
    for request in [
        "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        post("/v1/query", r#"{"concept_path":"small"}"#),
        post("/v1/assert/batch", "{}"),
    ] {
        let client = world.connect(0);
        let (first, rest) = request.as_bytes().split_at(request.len() - 1);
        world.send(client, first);
        // It finds in one turn that time has passed and that the rest has come.
        world.now.monotonic_us += 60_000_000;
        world.cores[0].tick(world.now);
        world.send(client, rest);
        let answer = world.take(client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let client = world.connect(0);
    world.send(client, b"GET");
    world.now.monotonic_us += 60_000_000;
    world.cores[0].tick(world.now);
    world.run();
    assert!(world.take(client).starts_with("HTTP/1.1 408 "), "who is late is late");
}

#[test]
fn a_turn_looks_no_more_claims_up_than_it_may() {
    let mut world = World::serving(1);
    let request = format!("GET /v1/assertion/{} HTTP/1.1\r\nhost: x\r\n\r\n", "0".repeat(64));
    let mut asking = |lookups: usize| {
        let (core, key) = world.connect(0);
        world.cores[core].received(key, request.repeat(lookups).as_bytes(), world.now);
        (core, key)
    };
    let first: Vec<Client> = (0..LOOKUPS_A_TURN / 64).map(|_| asking(64)).collect();
    let last = asking(1);
    assert!(world.turn(0), "one is left");
    for client in first {
        assert_eq!(world.take(client).matches("HTTP/1.1 404").count(), 64);
    }
    assert!(!world.received.contains_key(&last));
    world.turn(0);
    assert!(world.take(last).starts_with("HTTP/1.1 404"));
}
