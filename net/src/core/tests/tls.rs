//! Goal: requests over TLS get the answers that they get without, and handshakes cost a core no more than it allows.
//! Method: clients of `rustls` in memory, whose bytes the test carries.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use super::*;
use crate::core::handshakes::HANDSHAKES_MAX;
use crate::tls::Credentials;
use crate::tls::testing::{Authority, Client, NOW_UNIX_S, client_config, credentials};

type Link = (usize, ConnectionKey);

/// A world that serves TLS.
fn secured(cores: u16, configure: impl Fn(&mut CoreConfig)) -> (World, Authority) {
    let (authority, credentials) = credentials();
    let mut world = World::with(cores, |config| {
        config.tls = Some(credentials.clone());
        configure(config);
    });
    world.now.wall = UnixMicros(NOW_UNIX_S * UnixMicros::PER_SECOND);
    world.open();
    (world, authority)
}

fn client_of(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> (Client, Arc<ClientConfig>) {
    let config = client_config(authority, version, None);
    (Client::new(&config), config)
}

/// Carries what both say, in pieces of at most so many bytes, until nothing more follows.
fn converse(world: &mut World, link: Link, client: &mut Client, piece_bytes: usize) {
    loop {
        let up = client.output();
        up.chunks(piece_bytes).for_each(|piece| world.send(link, piece));
        let down = world.received.remove(&link).unwrap_or_default();
        if up.is_empty() && down.is_empty() {
            return;
        }
        client.receive(&down).expect("the server speaks TLS");
    }
}

fn metrics(world: &mut World, link: Link, client: &mut Client) -> String {
    client.received.clear();
    client.say(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    converse(world, link, client, usize::MAX);
    String::from_utf8(client.received.clone()).expect("metrics are UTF-8")
}

#[test]
fn requests_are_answered_over_tls_however_they_are_cut() {
    let (mut world, authority) = secured(2, |_| {});
    for (version, piece_bytes) in [(&TLS13, usize::MAX), (&TLS12, usize::MAX), (&TLS13, 1), (&TLS12, 7)] {
        let (mut client, _) = client_of(&authority, version);
        let link = world.connect(0);
        let body = claim(&format!("tls/{piece_bytes}/{:?}", version.version), 1);
        client.say(post("/v1/assert", &body).as_bytes());
        client.say(b"GET https://anything/ready HTTP/1.1\r\nhost: x\r\n\r\n");
        converse(&mut world, link, &mut client, piece_bytes);
        let text = String::from_utf8(client.received.clone()).expect("answers are UTF-8");
        assert!(text.starts_with(CREATED), "{text}");
        assert!(text.ends_with(r#"{"status":"ready"}"#), "{text}");
    }
    assert_eq!(world.assertions(), 4);
}

#[test]
fn large_answers_and_bodies_pass_with_their_bounds() {
    let (mut world, authority) = secured(1, |_| {});
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    let lines: String = (0..2000).map(|number| claim(&format!("large/{number}"), number) + "\n").collect();
    client.connection.set_buffer_limit(None);
    client.say(post("/v1/assert/batch", &lines).as_bytes());
    converse(&mut world, link, &mut client, 16 << 10);
    client.say(b"GET /v1/query?concept_path=large/*&limit=2000 HTTP/1.1\r\nhost: x\r\n\r\n");
    converse(&mut world, link, &mut client, 16 << 10);
    let text = String::from_utf8(client.received.clone()).expect("answers are UTF-8");
    assert!(
        text.contains(r#""accepted":2000"#) && text.ends_with(r#""count":2000,"lens":null}"#),
        "{}",
        text.len()
    );
}

/// Goal: what a client has taken of an answer counts while it takes it, as without TLS, and nothing counts before all of it is sent.
/// Method: a large answer that is taken in small pieces.
#[test]
fn what_is_taken_counts_while_it_is_taken() {
    const PIECE_BYTES: usize = 1000;
    let (mut world, authority) = secured(1, |_| {});
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    let lines: String = (0..500).map(|number| claim(&format!("large/{number}"), number) + "\n").collect();
    client.connection.set_buffer_limit(None);
    client.say(post("/v1/assert/batch", &lines).as_bytes());
    converse(&mut world, link, &mut client, 16 << 10);
    world.clients_read = false;
    client.say(b"GET /v1/query?concept_path=large/*&limit=500 HTTP/1.1\r\nhost: x\r\n\r\n");
    converse(&mut world, link, &mut client, 16 << 10);
    let now = world.now;
    let (core, key, piece) = loop {
        let (core, key, piece) = world.unread.pop().expect("the answer is on its way");
        if piece.len() > 50_000 {
            break (core, key, piece);
        }
        world.cores[core].sent(key, piece.len(), now);
        world.cores[core].send_done(key, piece);
        world.run();
    };
    let owed = |world: &World| world.cores[core].connections[key].http.unsent_bytes();
    let mut before = owed(&world);
    let mut left = piece.len();
    while left > PIECE_BYTES {
        world.cores[core].sent(key, PIECE_BYTES, now);
        left -= PIECE_BYTES;
        let after = owed(&world);
        assert!(
            (PIECE_BYTES - 20..=PIECE_BYTES + 1).contains(&(before - after)),
            "{before}, {after}, {left}"
        );
        before = after;
    }
    assert!(before > 0, "the last bytes are not sent");
    world.cores[core].sent(key, left, now);
    assert!(owed(&world) < before);
}

//= RFC 9112 section 9.8
//# Servers MUST attempt to initiate an exchange of closure alerts with the client before closing the connection.
#[test]
fn an_orderly_end_is_said_before_it_comes() {
    let (mut world, authority) = secured(1, |_| {});
    // By the client's wish, with the last answer.
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    client.say(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    converse(&mut world, link, &mut client, usize::MAX);
    assert!(client.is_closed && client.received.ends_with(br#"{"status":"ready"}"#));

    // By a client that will say nothing more.
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    converse(&mut world, link, &mut client, usize::MAX);
    client.say(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
    client.connection.send_close_notify();
    converse(&mut world, link, &mut client, usize::MAX);
    assert!(client.is_closed && client.received.ends_with(br#"{"status":"ready"}"#));
    assert!(world.closed.contains(&link));

    // By the time that an idle connection has.
    let (mut client, _) = client_of(&authority, &TLS12);
    let link = world.connect(0);
    client.say(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
    converse(&mut world, link, &mut client, usize::MAX);
    assert!(!client.is_closed);
    world.now.monotonic_us += 76_000_000;
    world.cores[0].tick(world.now);
    world.run();
    converse(&mut world, link, &mut client, usize::MAX);
    assert!(client.is_closed && world.closed.contains(&link));
}

//= RFC 9112 section 9.8
//# Servers SHOULD be prepared to receive an incomplete close from the client, since the client can often locate the end of server
//# data.
#[test]
fn a_connection_that_breaks_off_has_asked_what_is_complete() {
    let (mut world, authority) = secured(1, |_| {});
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    client.say(post("/v1/assert", &claim("cut/whole", 1)).as_bytes());
    client.say(b"POST /v1/assert HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    // Not a word of an end.
    let hello = client.output();
    world.send(link, &hello);
    client.receive(&world.received.remove(&link).expect("an answer")).expect("a handshake");
    let rest = client.output();
    world.cores[0].received(link.1, &rest, world.now);
    world.cores[0].received_end(link.1, world.now);
    world.run();
    client.receive(&world.received.remove(&link).expect("answers")).expect("records");
    let text = String::from_utf8(client.received.clone()).expect("answers are UTF-8");
    assert!(text.starts_with(CREATED) && text.contains("incomplete_request"), "{text}");
    assert_eq!(world.assertions(), 1);
}

#[test]
fn plain_http_is_answered_plainly() {
    let (mut world, authority) = secured(1, |_| {});
    for (request, body_is_told) in
        [("GET / HTTP/1.1\r\nhost: x\r\n\r\n", true), ("HEAD /", false), ("\r\n", true)]
    {
        let link = world.connect(0);
        world.send(link, request.as_bytes());
        let answer = world.take(link);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\ndate: "), "{answer}");
        assert_eq!(answer.contains(r#""code":"tls_required""#), body_is_told, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    let text = metrics(&mut world, link, &mut client);
    assert!(text.contains("stemedb_tls_handshakes_total{result=\"failed\"} 3"), "{text}");
    assert!(text.contains("stemedb_tls_handshakes_total{result=\"full\"} 1"), "{text}");
}

/// Goal: handshakes under way are bounded, those beyond wait without being received from, established connections go on,
/// and who is slow gives way. Method: as many as may be, each with half of its hello, and some more.
#[test]
fn handshakes_beyond_the_bound_wait_and_the_slow_give_way() {
    let (mut world, authority) = secured(1, |config| config.connections_max = 2 * HANDSHAKES_MAX);
    let (mut established, config) = client_of(&authority, &TLS13);
    let own = world.connect(0);
    converse(&mut world, own, &mut established, usize::MAX);

    let hello = Client::new(&config).output();
    let slow: Vec<Link> = (0..HANDSHAKES_MAX).map(|_| world.connect(0)).collect();
    for link in &slow {
        world.cores[0].received(link.1, &hello[..hello.len() / 2], world.now);
    }
    world.run();
    assert!(world.paused.is_empty(), "all of them have a place");
    let (mut late, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    let hello = late.output();
    world.send(link, &hello);
    assert_eq!(world.paused, [(0, link.1, true)], "nothing more is received from who has no place");
    assert!(!world.received.contains_key(&link));
    let text = metrics(&mut world, own, &mut established);
    assert!(text.contains("result=\"full\"} 1"), "an established connection goes on: {text}");

    // One that gives up makes room for the next, whoever is slow gives way in time.
    world.cores[0].broken(slow[0].1);
    world.run();
    assert_eq!(world.paused.last(), Some(&(0, link.1, false)));
    late.receive(&world.received.remove(&link).expect("an answer")).expect("a handshake");
    late.say(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
    converse(&mut world, link, &mut late, usize::MAX);
    assert!(late.received.ends_with(br#"{"status":"ready"}"#));

    world.now.monotonic_us += 10_000_000;
    for _ in 0..10 {
        world.cores[0].tick(world.now);
        world.run();
    }
    let text = metrics(&mut world, link, &mut late);
    let failed = format!("stemedb_tls_handshakes_total{{result=\"failed\"}} {HANDSHAKES_MAX}");
    assert!(text.contains(&failed), "{text}");
    // They may still say that they go.
    world.now.monotonic_us += 2_100_000;
    for _ in 0..10 {
        world.cores[0].tick(world.now);
        world.run();
    }
    assert!(slow[1..].iter().all(|link| world.closed.contains(link)));
}

#[test]
fn a_handshake_that_breaks_off_leaves_nothing() {
    let (mut world, authority) = secured(1, |_| {});
    let (mut client, config) = client_of(&authority, &TLS13);
    let hello = Client::new(&config).output();
    for bytes in [0, 1, hello.len() - 1, hello.len()] {
        let link = world.connect(0);
        world.cores[0].received(link.1, &hello[..bytes], world.now);
        world.cores[0].received_end(link.1, world.now);
        world.run();
        assert!(world.closed.contains(&link), "after {bytes} bytes");
    }
    let link = world.connect(0);
    let text = metrics(&mut world, link, &mut client);
    assert!(text.contains("stemedb_tls_handshakes_total{result=\"failed\"} 3"), "{text}");
    assert!(text.contains("stemedb_core_connections{core=\"0\"} 1"), "{text}");
}

#[test]
fn a_turn_computes_for_a_few_handshakes_only() {
    let (mut world, authority) = secured(1, |_| {});
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (mut client, _) = client_of(&authority, &TLS13);
            let link = world.connect(0);
            world.cores[0].received(link.1, &client.output(), world.now);
            link
        })
        .collect();
    let mut answered = 0;
    for turn in 1.. {
        let more = world.turn(0);
        let now_answered = clients.iter().filter(|link| world.received.contains_key(link)).count();
        assert!(now_answered - answered <= 1, "{} in turn {turn}", now_answered - answered);
        answered = now_answered;
        if answered == clients.len() {
            break;
        }
        assert!(more, "the driver is to come back at once");
    }
}

#[test]
fn new_credentials_are_for_new_connections() {
    let (mut world, authority) = secured(1, |_| {});
    let (mut old, _) = client_of(&authority, &TLS13);
    let old_link = world.connect(0);
    converse(&mut world, old_link, &mut old, usize::MAX);

    let other = Authority::new();
    let renewed = Credentials::from_pem(&other.signs(1, 5000).pem(), NOW_UNIX_S).expect("a certificate");
    world.cores[0].renew_tls(&renewed);
    world.cores[0].tls_renewal_failed();
    let (mut new, _) = client_of(&other, &TLS13);
    let link = world.connect(0);
    let text = metrics(&mut world, link, &mut new);
    let expiry = format!("stemedb_tls_certificate_expiry_timestamp_seconds {}", NOW_UNIX_S + 5000);
    assert!(text.contains(&expiry), "{text}");
    assert!(text.contains("stemedb_tls_reload_failures_total 1"), "{text}");
    let text = metrics(&mut world, old_link, &mut old);
    assert!(text.contains("200 OK"), "{text}");
}

/// Goal: the memory of TLS counts among what connections hold, and an idle one keeps little. Method: the sum that the core
/// makes, before and after a second of silence.
#[test]
fn the_memory_of_sessions_is_counted_and_given_back() {
    let (mut world, authority) = secured(1, |_| {});
    let (mut client, _) = client_of(&authority, &TLS13);
    let link = world.connect(0);
    client.say(b"GET /v1/query?concept_path=a/* HTTP/1.1\r\nhost: x\r\n\r\n");
    converse(&mut world, link, &mut client, usize::MAX);
    world.cores[0].tick(world.now);
    world.run();
    let used = world.cores[0].room.clients.bytes;
    world.now.monotonic_us += 1_100_000;
    for _ in 0..2 {
        world.cores[0].tick(world.now);
        world.run();
    }
    let idle = world.cores[0].room.clients.bytes;
    assert!(used > idle && (4 << 10..5 << 10).contains(&idle), "{used} bytes, then {idle}");
}
