//! A whole server without its ring: several clients send any bytes in any pieces and leave at any time, while the disk is slow
//! or fails.

use stemedb_engine::claim::{ClaimHash, Field};
use stemedb_net::http::Limits;
use stemedb_net::json::Reader;

use crate::program::Program;
use crate::world::{Client, World};

/// Connections at once.
const CLIENTS: usize = 3;

/// Bounds of a connection that a few requests reach.
fn small_limits() -> Limits {
    Limits {
        head_bytes_max: 256,
        target_bytes_max: 128,
        input_bytes_max: 256,
        output_bytes_max: 400,
        requests_outstanding_max: 3,
        ..Limits::default()
    }
}

/// A program of what clients, the disk and the clock do: nothing makes the server panic, each response is well-formed, none is
/// the server's fault unless its disk failed, what was acknowledged is there, and afterwards it still answers.
pub fn server(input: &[u8]) {
    let mut program = Program::new(input);
    let flags = program.byte();
    let limits = if flags & 0x40 == 0 { Limits::default() } else { small_limits() };
    let batch_bytes_open_max = if flags & 0x10 == 0 { 2_000 } else { 1 << 20 };
    let mut world = World::with_limits(1 + u16::from(flags) % 3, batch_bytes_open_max, limits);
    world.set_disk(flags & 0x20 == 0);
    let (mut has_failed, mut acknowledged) = (false, Acknowledged::default());
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
                    acknowledged.read(&world.leave_in_haste(client), has_failed);
                }
            }
            10 => clients[at].iter().for_each(|client| world.end(*client)),
            11 => world.pass_time(u64::from(program.byte()) * 1_000_000),
            12 => has_failed |= world.fail_write(),
            _ => world.rest(),
        }
    }
    world.rest();
    for client in clients.into_iter().flatten() {
        acknowledged.read(&world.leave_in_haste(client), has_failed);
    }
    world.rest();
    let count = acknowledged.created;
    assert!(world.claims() >= count, "{count} claims were acknowledged, {} are there", world.claims());
    for hash in &acknowledged.hashes {
        assert!(world.has_claim(hash), "{hash} was acknowledged");
    }
    let health = world.get(0, b"/v1/health");
    assert_eq!(health.status, 200, "{}", health.body);
    let found = world.get(0, b"/v1/query?concept_path=*&lifecycle=any&include_retracted=true&limit=1");
    assert_eq!(found.status, 200, "{}", found.body);
}

/// What clients were told of claims.
#[derive(Default)]
struct Acknowledged {
    /// How many were created. A batch says no more of them.
    created: u64,
    /// Those that were asserted one by one, created or there already.
    hashes: Vec<ClaimHash>,
}

impl Acknowledged {
    /// Reads what one client received as a sequence of responses, of which the last may be cut off.
    fn read(&mut self, mut received: &[u8], disk_has_failed: bool) {
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
            let is_json = field("content-type") == Some("application/json");
            let length = field("content-length").map_or(0, |length| length.parse().expect("a length"));
            assert!(status == 100 || field("x-request-id").is_some(), "every response has a name");
            received = &received[head_bytes..];
            // The answer to HEAD has a length and no body; a body begins with neither of these letters.
            let has_body = status != 100 && !received.starts_with(b"HTTP/");
            let body = if has_body { received.get(..length) } else { Some(&[][..]) };
            let Some(body) = body else { break };
            assert_excusable(status, body, disk_has_failed);
            received = &received[body.len()..];
            if !body.is_empty() {
                assert!(!is_json || Reader::new(8 << 20).parse(body).is_ok(), "{:?}", body.escape_ascii());
                self.note(status, body);
            }
        }
    }

    fn note(&mut self, status: u16, body: &[u8]) {
        self.created += u64::from(status == 201);
        let text = str::from_utf8(body).expect("answers are UTF-8");
        if let Some(rest) = text.strip_prefix("{\"accepted\":") {
            let (count, _) = rest.split_once(',').expect("more than a count is told");
            self.created += count.parse::<u64>().expect("a count");
        }
        let hash = text.strip_prefix("{\"hash\":\"").and_then(|rest| rest.split_once('"'));
        self.hashes.extend(hash.map(|(hash, rest)| {
            assert!(
                rest.starts_with(",\"status\":\"created\"")
                    || rest.starts_with(",\"status\":\"exists\"")
                    || rest.starts_with(",\"concept_path\""),
                "{text}"
            );
            ClaimHash::from_hex(Field::ParentHash, hash).expect("a hash")
        }));
    }
}

/// A response that is the server's fault is none, unless its disk failed. What is too much at once may be refused; there is
/// no bound of memory or of the log in these worlds, and they neither recover nor stop.
fn assert_excusable(status: u16, body: &[u8], disk_has_failed: bool) {
    let says = |code: &str| body.starts_with(format!("{{\"error\":{{\"code\":\"{code}\"").as_bytes());
    let is_excusable = match status {
        100..500 => true,
        // A method or a version that is not there, and parts of the contract that are not built.
        501 | 505 => true,
        503 => says("overloaded") || disk_has_failed && (says("not_ready") || body.is_empty()),
        500 => disk_has_failed && says("storage_failed"),
        _ => false,
    };
    assert!(is_excusable, "{status}: {:?}", body.escape_ascii());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_server_is_excused_only_by_a_failed_write() {
        let is_excused = |status, code: &str, disk_has_failed| {
            let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"…\"}}}}");
            std::panic::catch_unwind(|| assert_excusable(status, body.as_bytes(), disk_has_failed)).is_ok()
        };
        assert!(is_excused(503, "overloaded", false));
        for (status, code) in [(500, "storage_failed"), (503, "not_ready")] {
            assert!(is_excused(status, code, true) && !is_excused(status, code, false), "{code}");
        }
        for (status, code) in [
            (500, "storage_damaged"),
            (503, "disk_full"),
            (503, "log_full"),
            (503, "memory_full"),
            (503, "shutting_down"),
            (502, "overloaded"),
        ] {
            assert!(!is_excused(status, code, true), "{code}");
        }
    }
}
