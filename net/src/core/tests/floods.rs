//! Goal: what clients that are gone have asked for stays within bounds on every core, however often they come again while
//! another core, or the disk, has no time for it; and all who ask when that is over are answered. Method: two cores of which
//! one does not turn, or does not write, while connections come, ask and break.

use super::super::lookups::{LOOKUP_BYTES_A_TURN, LOOKUPS_MAX};
use super::super::queries::QUERIES_AT_ONCE;
use super::super::requests::{SINGLE_BYTES, SINGLES_BYTES_MAX};
use super::super::states::{STATES_MAX, STATES_TOLD_A_TURN};
use super::*;

/// A client of core 0 asks this and is gone, before core 1 turns.
fn ask_and_break(world: &mut World, requests: &[u8]) {
    let client = world.connect(0);
    world.cores[0].received(client.1, requests, world.now);
    world.turn(0);
    world.cores[0].broken(client.1);
}

#[test]
fn queries_of_clients_that_are_gone_are_bounded_on_all_cores() {
    let mut world = world_of_large_claims();
    for _ in 0..1000 {
        ask_and_break(&mut world, LARGE_QUERY.as_bytes());
        let (queries, _) = world.cores[1].room.work_counts();
        assert!(queries <= QUERIES_AT_ONCE, "core 1 works on {queries} queries");
        assert!(world.cores[0].room.operations.len() <= QUERIES_AT_ONCE);
        let connections = world.cores[0].connections.len() + 1;
        assert!(world.cores[0].room.line.len() <= 2 * connections, "those that are gone wait for no turn");
    }
    assert_eq!(world.cores[1].room.work_counts().0, QUERIES_AT_ONCE, "nothing less than may be is begun");
    // Who asks now is answered when those queries are done, and then there is room for all.
    let client = world.connect(0);
    world.cores[0].received(client.1, LARGE_QUERY.as_bytes(), world.now);
    (0..1000).for_each(|_| _ = world.turn(0));
    assert_eq!(world.take(client), "", "core 1 has not turned");
    world.run();
    assert!(world.take(client).starts_with(OK));
    assert_eq!(world.cores[0].room.queries_asked.len(), 0);
}

#[test]
fn lookups_of_clients_that_are_gone_are_bounded_on_all_cores() {
    let mut world = World::serving(2);
    let (_, created) = world.post(0, "/v1/assert", &claim(&subject_on(1, 2), 1));
    let request = format!("GET /v1/assertion/{} HTTP/1.1\r\nhost: x\r\n\r\n", &created[9..73]);
    for _ in 0..LOOKUPS_MAX / 64 + 10 {
        ask_and_break(&mut world, request.repeat(64).as_bytes());
    }
    assert_eq!(world.cores[1].room.work_counts().1, LOOKUPS_MAX);
    assert_eq!(world.cores[0].room.operations.len(), LOOKUPS_MAX);
    let (status, body) = world.ask(0, &request);
    assert!(status.starts_with("HTTP/1.1 503") && body.contains(r#""overloaded""#), "{status} {body}");
    world.run();
    assert_eq!(world.ask(0, &request).0, OK);
    assert!(world.cores[0].room.operations.is_empty());
}

/// Goal: claims that were found are not in memory while the core that asked for them does not take them, but for those of a turn; and
/// nobody else waits for it. Method: no message of core 1 is taken, whose own clients ask meanwhile.
#[test]
fn claims_for_a_core_that_is_held_up_wait_to_be_looked_up() {
    const BODY_BYTES: usize = 60 << 10;
    let mut world = World::serving(2);
    let value = "v".repeat(BODY_BYTES);
    let body =
        format!(r#"{{"subject":"{}","predicate":"is","object":"{value}","timestamp":1}}"#, subject_on(1, 2));
    let (_, created) = world.post(1, "/v1/assert", &body);
    let request = format!("GET /v1/assertion/{} HTTP/1.1\r\nhost: x\r\n\r\n", &created[9..73]);
    let client = world.connect(0);
    world.cores[0].received(client.1, request.repeat(50).as_bytes(), world.now);
    world.turn(0);
    world.hold_messages = true;
    (0..100).for_each(|_| _ = world.turn(1));
    let unsent = world.cores[1].wants().messages[0].len();
    assert!(
        (2..=LOOKUP_BYTES_A_TURN.div_ceil(BODY_BYTES)).contains(&unsent),
        "{unsent} wait, and not what one turn brings"
    );
    assert_eq!(world.cores[1].room.work_counts().1, 50 - unsent);
    let other = world.connect(1);
    world.cores[1].received(other.1, request.as_bytes(), world.now);
    (0..3).for_each(|_| _ = world.turn(1));
    assert!(world.take(other).starts_with(OK), "core 0 is held up, and core 1 is not");
    world.hold_messages = false;
    world.run();
    assert_eq!(world.take(client).matches(OK).count(), 50);
}

/// Goal: a core that asks another one for much looks up what that one asks, as long as it takes what was found. Method: questions of core 1
/// wait to be sent to core 0 all the time.
#[test]
fn claims_are_looked_up_for_a_core_for_which_questions_wait() {
    let mut world = World::serving(2);
    let (_, created) = world.post(1, "/v1/assert", &claim(&subject_on(1, 2), 1));
    let request = format!("GET /v1/assertion/{} HTTP/1.1\r\nhost: x\r\n\r\n", &created[9..73]);
    let (client, other) = (world.connect(0), world.connect(1));
    world.cores[1].received(other.1, request.repeat(10).as_bytes(), world.now);
    world.hold_messages = true;
    world.turn(1);
    assert!(!world.cores[1].wants().messages[0].is_empty(), "its questions wait");
    world.hold_messages = false;
    world.cores[0].received(client.1, request.as_bytes(), world.now);
    world.turn(0);
    world.hold_messages = true;
    world.turn(1);
    assert_eq!(world.cores[1].room.work_counts().1, 0, "nothing waits to be looked up");
    world.hold_messages = false;
    world.run();
    assert!(world.take(client).starts_with(OK));
    assert_eq!(world.take(other).matches(OK).count(), 10);
}

/// Goal: an answer of the core that has the claim keeps no memory while others have not looked. Method: only the core that has it
/// turns.
#[test]
fn a_claim_is_shown_as_soon_as_one_core_has_found_it() {
    let mut world = World::serving(2);
    let (_, created) = world.post(0, "/v1/assert", &claim(&subject_on(0, 2), 1));
    let client = world.connect(0);
    let request = format!("GET /v1/assertion/{} HTTP/1.1\r\nhost: x\r\n\r\n", &created[9..73]);
    world.cores[0].received(client.1, request.as_bytes(), world.now);
    (0..3).for_each(|_| _ = world.turn(0));
    assert!(world.take(client).starts_with(OK));
    world.run();
    assert_eq!(world.take(client), "", "it is answered once");
    assert!(world.cores[0].room.operations.is_empty());
}

#[test]
fn questions_about_the_server_are_bounded_while_a_core_does_not_turn() {
    let mut world = World::serving(2);
    let questions: String = ["/v1/health", "/ready", "/metrics", "/ready"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
        .concat();
    for _ in 0..STATES_MAX / 64 {
        ask_and_break(&mut world, questions.repeat(16).as_bytes());
    }
    assert_eq!(world.cores[0].room.operations.len(), STATES_MAX);
    assert!(world.cores[1].room.router.messages_waiting() <= 1, "one answer for all");
    let refused = world.connect(0);
    world.cores[0].received(refused.1, questions.as_bytes(), world.now);
    world.turn(0);
    let answers = world.take(refused);
    assert_eq!(answers.matches("HTTP/1.1 503").count(), 4, "{answers}");
    assert_eq!(answers.matches(r#""overloaded""#).count(), 4, "{answers}");
    world.run();
    assert_eq!(world.cores[0].room.operations.len(), 0);
    assert_eq!(world.get(0, "/ready").0, OK);
}

/// Goal: however many ask at once, copies of the answer hold up no turn for long, and who comes meanwhile has no further answer made
/// that waits in memory. Method: they are counted by turns, after the other core has told how it is.
#[test]
fn a_turn_answers_no_more_questions_about_the_server_than_it_may() {
    let mut world = World::serving(2);
    let question = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let clients: Vec<_> = (0..50).map(|_| world.connect(0)).collect();
    for client in &clients {
        world.cores[0].received(client.1, question.repeat(4).as_bytes(), world.now);
    }
    world.turn(0);
    world.turn(1);
    let (mut left, mut late) = (4 * clients.len(), Vec::new());
    world.hold_messages = true;
    while left > 0 {
        late.push(world.connect(0));
        world.cores[0].received(late[late.len() - 1].1, question.as_bytes(), world.now);
        assert!(world.turn(0), "there is more to do");
        let answered = left - (world.cores[0].room.operations.len() - late.len());
        assert_eq!(answered, left.min(STATES_TOLD_A_TURN));
        left -= answered;
        let is_asked = !world.cores[0].wants().messages[1].is_empty();
        assert_eq!(is_asked, left == 0, "core 1 is asked again when all are answered");
    }
    world.hold_messages = false;
    world.run();
    late.into_iter().for_each(|client| assert_eq!(world.take(client).matches(OK).count(), 1));
    for client in clients {
        assert_eq!(world.take(client).matches(OK).count(), 4);
    }
}

/// Goal: what is asked about the server is answered by states from after the question. Method: a claim becomes visible on the other
/// core between two questions, of which the second finds the first under way.
#[test]
fn a_question_is_not_answered_with_what_was_told_before_it() {
    let mut world = World::serving(2);
    let health = "GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n";
    let (first, second) = (world.connect(0), world.connect(0));
    world.cores[0].received(first.1, health.as_bytes(), world.now);
    // Core 1 has told, and its answer is on its way.
    world.turn(0);
    world.disk_is_on = false;
    let writer = world.connect(1);
    world.cores[1].received(writer.1, post("/v1/assert", &claim(&subject_on(1, 2), 1)).as_bytes(), world.now);
    world.hold_messages = true;
    for _ in 0..5 {
        world.turn(1);
        world.do_writes(1);
    }
    assert!(world.take(writer).starts_with(CREATED));
    world.cores[0].received(second.1, health.as_bytes(), world.now);
    world.turn(0);
    world.hold_messages = false;
    world.disk_is_on = true;
    world.run();
    assert!(world.take(first).contains(r#""assertion_count":0"#));
    assert!(world.take(second).contains(r#""assertion_count":1"#));
}

#[test]
fn claims_of_clients_that_are_gone_are_bounded_while_the_disk_hangs() {
    let mut world = World::serving(2);
    world.disk_is_on = false;
    // The same claim again and again takes no room of the lane: it is on its way already.
    let value = "v".repeat(60 << 10);
    let body =
        format!(r#"{{"subject":"{}","predicate":"is","object":"{value}","timestamp":1}}"#, subject_on(1, 2));
    let request = post("/v1/assert", &body);
    let claims_max = SINGLES_BYTES_MAX / (SINGLE_BYTES + (60 << 10));
    for _ in 0..claims_max / 10 + 10 {
        ask_and_break(&mut world, request.repeat(10).as_bytes());
    }
    let operations = world.cores[0].room.operations.len();
    assert!(operations <= claims_max, "{operations} claims wait");
    assert!(operations > claims_max * 9 / 10, "only {operations} claims wait");
    world.turn(1);
    let client = world.connect(0);
    world.cores[0].received(client.1, request.as_bytes(), world.now);
    world.turn(0);
    let answer = world.take(client);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""overloaded""#), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");

    world.disk_is_on = true;
    (0..2).for_each(|core| _ = world.do_writes(core));
    world.run();
    assert_eq!(world.cores[0].room.operations.len(), 0);
    assert_eq!(world.cores[0].room.singles_open_bytes, 0);
    assert_eq!(world.ask(0, &request).0, OK, "it is stored, once");
    assert_eq!(world.assertions(), 1);
}

#[test]
fn batches_of_clients_that_are_gone_do_not_wait_for_the_disk() {
    let mut world = World::with(2, |config| config.batch_bytes_open_max = 1000);
    world.open();
    world.disk_is_on = false;
    let lines: String = (0..50).map(|value| claim("a", value) + "\n").collect();
    let patient = world.connect(0);
    world.send(patient, post("/v1/assert/batch", &lines).as_bytes());
    for _ in 0..300 {
        // More of it is to come.
        let head = "POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
        ask_and_break(&mut world, (head.to_owned() + &lines).as_bytes());
        assert!(world.cores[0].room.batches.paused.len() <= 1, "only the one that is there waits");
    }
    world.disk_is_on = true;
    (0..2).for_each(|core| _ = world.do_writes(core));
    world.run();
    assert!(world.take(patient).starts_with(OK));
    assert_eq!(world.cores[0].room.batches.open_bytes, 0);
}

/// Goal: metrics that were made for clients who did not wait for them leave their reserve to others. Method: all memory counts as
/// used, and core 1 tells how it is when they are gone.
#[test]
fn metrics_for_clients_that_are_gone_take_nothing_of_their_reserve() {
    let mut world = World::with(2, |config| config.clients_bytes_max = 0);
    world.open();
    for _ in 0..300 {
        ask_and_break(&mut world, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
        world.run();
    }
    assert_eq!(world.get(0, "/metrics").0, OK);
}
