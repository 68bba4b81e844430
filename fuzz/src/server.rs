//! A whole server without its ring: several clients send any bytes in any pieces and leave at any time, while the disk is slow
//! or fails.

use stemedb_net::json::Reader;

use crate::program::Program;
use crate::world::{Client, World};

/// Connections at once.
const CLIENTS: usize = 3;

/// A program of what clients, the disk and the clock do: nothing makes the server panic, each response is well-formed, none is
/// the server's fault unless its disk failed, what was acknowledged is there, and afterwards it still answers.
pub fn server(input: &[u8]) {
    let mut program = Program::new(input);
    let flags = program.byte();
    let mut world = World::new(1 + u16::from(flags) % 3, if flags & 0x10 == 0 { 2_000 } else { 1 << 20 });
    world.set_disk(flags & 0x20 == 0);
    let (mut has_failed, mut created) = (false, 0);
    let mut clients: [Option<Client>; CLIENTS] = [None; CLIENTS];
    while !program.rest.is_empty() {
        let what = program.byte();
        let at = usize::from(what >> 4) % CLIENTS;
        match what & 0x0f {
            0..=8 => {
                let bytes = program.number() % 2048;
                let client = *clients[at].get_or_insert_with(|| world.connect(at));
                world.send_if_open(client, program.take(bytes));
            }
            9 => {
                if let Some(client) = clients[at].take() {
                    created += check(&world.leave_in_haste(client), has_failed);
                }
            }
            10 => clients[at].iter().for_each(|client| world.end(*client)),
            11 => world.pass_time(u64::from(program.byte()) * 1_000_000),
            12 => {
                world.fail_write();
                has_failed = true;
            }
            _ => world.rest(),
        }
    }
    world.rest();
    for client in clients.into_iter().flatten() {
        created += check(&world.leave_in_haste(client), has_failed);
    }
    world.rest();
    assert!(world.claims() >= created, "{created} claims were acknowledged, {} are there", world.claims());
    let health = world.get(0, b"/v1/health");
    assert_eq!(health.status, 200, "{}", health.body);
    let found = world.get(0, b"/v1/query?concept_path=*&lifecycle=any&include_retracted=true&limit=1");
    assert_eq!(found.status, 200, "{}", found.body);
}

/// Reads what one client received as a sequence of responses, of which the last may be cut off. Gives how many claims they say
/// were created.
fn check(mut received: &[u8], disk_has_failed: bool) -> u64 {
    let mut created = 0;
    while !received.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(received).expect("responses are well-formed");
        let httparse::Status::Complete(head_bytes) = parsed else { break };
        let status = response.code.expect("it is complete");
        let field = |name: &str| {
            let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            str::from_utf8(field.value).ok()
        };
        assert!(
            (200..500).contains(&status) || matches!(status, 100 | 501 | 503 | 505) || disk_has_failed,
            "{:?}",
            String::from_utf8_lossy(received)
        );
        let is_json = field("content-type") == Some("application/json");
        let length = field("content-length").map_or(0, |length| length.parse().expect("a length"));
        assert!(status == 100 || field("x-request-id").is_some(), "every response has a name");
        received = &received[head_bytes..];
        // The answer to HEAD has a length and no body; a body begins with neither of these letters.
        if status == 100 || received.starts_with(b"HTTP/") {
            continue;
        }
        let Some((body, rest)) = received.split_at_checked(length) else { break };
        assert!(!is_json || Reader::new(8 << 20).parse(body).is_ok(), "{:?}", String::from_utf8_lossy(body));
        created += u64::from(status == 201);
        if let Some(rest) = body.strip_prefix(b"{\"accepted\":") {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            created += digits.fold(0, |number, digit| 10 * number + u64::from(digit - b'0'));
        }
        received = rest;
    }
    created
}
