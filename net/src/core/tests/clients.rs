//! Goal: what clients make a core hold is bounded, however many they are; who owes nothing is served meanwhile, and when
//! there is memory again all go on. Method: many connections ask for much and read nothing, or send much and never end,
//! until the bound is reached and far beyond.

use super::*;

const BYTES_MAX: usize = 4 << 20;

/// What may come on top: one connection is counted when all that it has asked for in a turn is answered.
const OVERSHOOT_BYTES_MAX: usize = (1 << 20) + (128 << 10);

/// And this for each connection: what one has sent before it is stopped, and an answer in small.
const CONNECTION_BYTES_MAX: usize = 16 << 10;

const API_DOC: &str = "GET /api-doc/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";

fn world() -> World {
    let mut world = World::with(1, |config| {
        config.clients_bytes_max = BYTES_MAX;
        config.connections_max = 1000;
    });
    world.open();
    world
}

/// What the connections of core 0 hold, counted anew.
fn held_bytes(world: &World) -> usize {
    let core = &world.cores[0];
    let held = core.connections.values().map(|connection| connection.http.held_bytes()).sum();
    assert_eq!(core.room.clients.bytes, held, "what was counted along the way");
    assert_eq!(core.room.clients.answers_bytes, 0, "no answer is under way");
    held
}

fn is_bounded(world: &World) {
    let held = held_bytes(world);
    let small = world.cores[0].connections.len() * CONNECTION_BYTES_MAX;
    assert!(held <= BYTES_MAX + OVERSHOOT_BYTES_MAX + small, "{held} bytes are held");
}

/// An answer to a client that reads, while others do not.
fn ask_beside_others(world: &mut World, request: &str) -> String {
    let others = std::mem::take(&mut world.unread);
    world.clients_read = true;
    let client = world.connect(0);
    world.send(client, request.as_bytes());
    world.clients_read = false;
    world.unread = others;
    let answer = world.take(client);
    world.cores[0].broken(client.1);
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// Connections that have asked for far more than may be held, and read nothing.
fn world_of_silent_readers(readers: usize, requests: usize) -> (World, Vec<(usize, ConnectionKey)>) {
    let mut world = world();
    assert_eq!(world.post(0, "/v1/assert", &claim("a", 1)).0, CREATED);
    world.clients_read = false;
    let clients: Vec<_> = (0..readers).map(|_| world.connect(0)).collect();
    for _ in 0..2 {
        for &client in &clients {
            world.send(client, API_DOC.repeat(requests / 2).as_bytes());
            is_bounded(&world);
        }
    }
    (world, clients)
}

#[test]
fn answers_that_nobody_reads_are_bounded_for_all_connections_together() {
    let (mut world, clients) = world_of_silent_readers(80, 400);
    assert!(held_bytes(&world) >= BYTES_MAX);
    let stopped = |world: &World| world.cores[0].connections.values().filter(|one| !one.receiving).count();
    assert_eq!(stopped(&world), 80, "nothing more is received from those who read nothing");

    // Who owes nothing is served in small.
    for value in 2..10 {
        assert!(ask_beside_others(&mut world, &post("/v1/assert", &claim("a", value))).starts_with(CREATED));
        for of_the_server in ["/ready", "/v1/health", "/metrics"] {
            assert!(ask_beside_others(&mut world, &get(of_the_server)).starts_with(OK), "{of_the_server}");
        }
    }
    for large in [get("/v1/query?concept_path=a"), API_DOC.to_owned()] {
        let answer = ask_beside_others(&mut world, &large);
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: 1") && answer.contains(r#""overloaded""#), "{answer}");
    }
    is_bounded(&world);

    // When they read, they get an answer to each request, and memory is there again.
    world.clients_read = true;
    world.run();
    for client in clients {
        let answers = world.take(client);
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 400);
        assert_eq!(answers.matches(OK).count() + answers.matches("HTTP/1.1 503").count(), 400);
    }
    assert_eq!(stopped(&world), 0);
    assert!(held_bytes(&world) < BYTES_MAX / 2);
    assert_eq!(world.get(0, "/v1/query?concept_path=a").0, OK);
    assert_eq!(world.get(0, "/api-doc/openapi.json").0, OK);
}

/// Goal: who watches the server sees it when memory is short, and cannot make it hold without end either. Method: beside
/// readers that hold all memory, metrics are asked for by clients that do not take them, up to their reserve; it is there again
/// as soon as one takes his, or is gone.
#[test]
fn metrics_have_a_reserve_that_is_bounded() {
    let (mut world, _) = world_of_silent_readers(80, 400);
    let before = held_bytes(&world);
    let asks = |world: &mut World| {
        let client = world.connect(0);
        world.send(client, get("/metrics").as_bytes());
        client
    };
    let (mut silent, mut refused) = (Vec::new(), None);
    while refused.is_none() {
        let client = asks(&mut world);
        let (_, _, answer) = world.unread.iter().rfind(|(_, key, _)| *key == client.1).expect("an answer");
        match answer.starts_with(OK.as_bytes()) {
            true => silent.push(client),
            false => refused = Some(answer.clone()),
        }
        assert!(silent.len() < 1000, "metrics are given without end");
    }
    let refused = String::from_utf8(refused.expect("one was refused")).unwrap();
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains(r#""overloaded""#), "{refused}");
    assert!(silent.len() > 20, "the reserve is for {} only", silent.len());
    let reserved = held_bytes(&world) - before;
    assert!((900 << 10..2 << 20).contains(&reserved), "{reserved} bytes for {} answers", silent.len());
    is_bounded(&world);

    // One takes his, one is gone: there is room for two, and no third.
    let (taker, leaver) = (silent[0], silent[1]);
    let taken = world.unread.iter().position(|(_, key, _)| *key == taker.1).expect("it has an answer");
    let (_, key, bytes) = world.unread.remove(taken);
    world.cores[0].sent(key, bytes.len(), world.now);
    world.cores[0].send_done(key, bytes);
    world.cores[0].broken(leaver.1);
    world.unread.retain(|(_, key, _)| *key != leaver.1);
    world.run();
    for expected in [OK, OK, "HTTP/1.1 503"] {
        let client = asks(&mut world);
        let (_, _, answer) = world.unread.iter().rfind(|(_, key, _)| *key == client.1).expect("an answer");
        assert!(answer.starts_with(expected.as_bytes()), "not {expected}");
    }
}

/// Goal: who takes his answers slowly keeps others from theirs for a while only, where there is memory for no more; the slowest
/// goes first, and nobody as long as there is memory. Method: readers that hold all memory take a little of what is sent to
/// them, too often to have taken nothing for too long.
#[test]
fn where_there_is_no_memory_the_slowest_readers_give_way() {
    let (mut world, clients) = world_of_silent_readers(80, 400);
    let slowest = clients[2];
    let trickle = |world: &mut World| {
        for &(core, key, _) in &world.unread {
            let bytes = if key == slowest.1 { 1 } else { 60 };
            world.cores[core].sent(key, bytes, world.now);
        }
    };
    let pass = |world: &mut World, ms: u64| {
        world.now.monotonic_us += 1000 * ms;
        world.cores[0].tick(world.now);
        world.run();
    };
    pass(&mut world, 20_000);
    trickle(&mut world);
    pass(&mut world, 9_900);
    assert!(world.closed.is_empty(), "they have 30 seconds");
    assert!(ask_beside_others(&mut world, API_DOC).starts_with("HTTP/1.1 503"));

    let held_before = held_bytes(&world);
    pass(&mut world, 1_000);
    assert_eq!(world.closed.first(), Some(&slowest));
    let cut_off = world.closed.len();
    assert!(cut_off <= held_before / (1 << 20), "{cut_off} are cut off, though each holds a mebibyte");
    // What others have asked for takes their place, as long as these are slow as well.
    for _ in 0..100 {
        pass(&mut world, 100);
    }
    is_bounded(&world);
    let held = held_bytes(&world);
    assert!(
        held < BYTES_MAX,
        "{held} bytes are held by those that are left: {}",
        world.cores[0].connections.len()
    );
    for large in [get("/v1/query?concept_path=a"), API_DOC.to_owned()] {
        assert!(ask_beside_others(&mut world, &large).starts_with(OK));
    }
    // Where there is memory, nobody gives way.
    let cut_off = world.closed.len();
    world.unread.retain(|(_, key, _)| world.cores[0].connections.contains_key(*key));
    for _ in 0..5 {
        pass(&mut world, 5_000);
        for &(core, key, _) in &world.unread {
            world.cores[core].sent(key, 1, world.now);
        }
    }
    assert_eq!(world.closed.len(), cut_off);
    assert_eq!(world.cores[0].room.counters.connections_gave_way, cut_off as u64);
}

#[test]
fn connections_that_were_held_back_go_on_when_others_are_gone() {
    let (mut world, clients) = world_of_silent_readers(80, 400);
    // The first hold all the memory; the last have got no answer that they could read, or one.
    let (gone, waiting) = clients.split_at(60);
    gone.iter().for_each(|&(core, key)| world.cores[core].broken(key));
    world.unread.retain(|(_, key, _)| world.cores[0].connections.contains_key(*key));
    let held_before = held_bytes(&world);
    world.run();
    assert!(held_bytes(&world) > held_before, "those who are left are served");
    is_bounded(&world);
    world.clients_read = true;
    world.run();
    for &client in waiting {
        assert_eq!(world.take(client).matches("HTTP/1.1 ").count(), 400);
    }
}

#[test]
fn connections_that_come_and_go_while_memory_is_short_leave_nothing() {
    let (mut world, _) = world_of_silent_readers(20, 400);
    for _ in 0..500 {
        let client = world.connect(0);
        world.send(client, API_DOC.repeat(3).as_bytes());
        world.cores[0].broken(client.1);
    }
    let core = &world.cores[0];
    assert!(core.room.clients.held_back_count() <= 2 * core.connections.len());
    is_bounded(&world);
}

#[test]
fn bodies_that_are_not_ended_are_bounded_for_all_connections_together() {
    const CLIENTS: usize = 60;
    const BODY_BYTES: usize = 500_000;
    let mut world = world();
    let clients: Vec<_> = (0..CLIENTS).map(|_| world.connect(0)).collect();
    for &client in &clients {
        let head = format!("POST /v1/assert HTTP/1.1\r\nhost: x\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
        world.send(client, head.as_bytes());
    }
    assert!(held_bytes(&world) < CLIENTS * 4096, "a promise costs nothing");
    let piece = " ".repeat(BODY_BYTES / 10);
    for _ in 0..9 {
        for &client in &clients {
            world.send(client, piece.as_bytes());
            is_bounded(&world);
        }
    }
    // In small, others are served; those who were refused may go on when they have sent what they promised.
    assert_eq!(world.post(0, "/v1/assert", &claim("a", 1)).0, CREATED);
    let mut refused = 0;
    for &client in &clients {
        let mut last = " ".repeat(BODY_BYTES / 10 - claim("a", 1).len());
        last += &claim("a", 1);
        world.send(client, last.as_bytes());
        let answer = world.take(client);
        if answer.starts_with("HTTP/1.1 503") {
            assert!(answer.contains("retry-after: 1") && answer.contains(r#""overloaded""#), "{answer}");
            refused += 1;
        } else {
            assert!(answer.starts_with(OK), "{answer}");
        }
        world.send(client, post("/v1/assert", &claim("a", 1)).as_bytes());
        assert!(world.take(client).starts_with(OK), "the connection goes on");
    }
    assert!(refused >= CLIENTS - 2 * BYTES_MAX / BODY_BYTES, "only {refused} were refused");
    assert!(refused < CLIENTS, "some fit");
    assert!(held_bytes(&world) < CLIENTS * (64 << 10));
}

#[test]
fn looking_up_large_claims_is_bounded_for_all_connections_together() {
    let mut world = world();
    let value = "v".repeat(60 << 10);
    let body = format!(r#"{{"subject":"large","predicate":"is","object":"{value}"}}"#);
    let (_, created) = world.post(0, "/v1/assert", &body);
    let request = get(&format!("/v1/assertion/{}", &created[9..73]));
    let clients: Vec<_> = (0..20).map(|_| world.connect(0)).collect();
    world.clients_read = false;
    for &(core, key) in &clients {
        world.cores[core].received(key, request.repeat(60).as_bytes(), world.now);
    }
    // All are asked for in the first turn.
    while world.turn(0) {
        is_bounded(&world);
    }
    world.clients_read = true;
    world.run();
    for client in clients {
        let answers = world.take(client);
        assert_eq!(answers.matches(OK).count() + answers.matches("HTTP/1.1 503").count(), 60);
        assert!(!answers.contains("HTTP/1.1 404"));
    }
    assert_eq!(world.ask(0, &request).0, OK);
}
