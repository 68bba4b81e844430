//! Bounds of a message: its head, its body, its chunks, its lines.

use stemedb_tests::claims::TestClaim;
use stemedb_tests::http;

use crate::Served;

const HEAD_BYTES_MAX: usize = 16 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;

/// A request without a body whose head is so long.
fn head_of(bytes: usize) -> Vec<u8> {
    let request =
        |padding: usize| http::request_with("GET", "/ready", &format!("A: {}\r\n", "a".repeat(padding)), b"");
    request(bytes - request(0).len())
}

/// A request whose target is so long.
fn target_of(bytes: usize) -> Vec<u8> {
    let target = "/v1/query?concept_path=a&";
    http::request("GET", &format!("{target}{}", "&".repeat(bytes - target.len())), b"")
}

/// A claim in so many bytes, most of them white space.
fn padded(bytes: usize) -> String {
    let claim = TestClaim::new("padded", "is", 1).json();
    format!("{claim}{}", " ".repeat(bytes - claim.len()))
}

/// Heads, targets and bodies at these bounds are served, and longer ones refused.
pub(crate) fn sizes_are(served: &mut Served, head_bytes_max: usize, body_bytes_max: usize) {
    for request in [head_of(head_bytes_max), target_of(head_bytes_max / 2)] {
        served.client.send(&request).expect("it is received");
        served.client.response().expect("an answer").ok();
    }
    served.refuses_and_closes(&head_of(head_bytes_max + 1), 431, "head_too_large");
    served.refuses_and_closes(&target_of(head_bytes_max / 2 + 1), 414, "target_too_long");

    served.takes("/v1/assert", padded(body_bytes_max));
    let request = http::request("POST", "/v1/assert", padded(body_bytes_max + 1).as_bytes());
    served.refuses_and_closes(&request, 413, "body_too_large");
    let array = |bytes: usize| format!("[{}]", padded(bytes - 2));
    served.takes("/v1/assert/batch", array(body_bytes_max));
    served.refuses("/v1/assert/batch", array(body_bytes_max + 1), 413, "body_too_large");

    let lines = [padded(body_bytes_max), padded(body_bytes_max + 1), padded(200)];
    let answer = served.takes("/v1/assert/batch", lines.join("\n"));
    assert_eq!((&answer["exists"], &answer["rejected"]), (&2.into(), &1.into()));
    assert_eq!(answer["errors"][0]["code"], "body_too_large");
    assert_eq!(answer["errors"][0]["line"], 2);
}

#[test]
fn heads_targets_bodies_and_lines_have_their_sizes() {
    let mut served = Served::with(&[]);
    sizes_are(&mut served, HEAD_BYTES_MAX, BODY_BYTES_MAX);
    served.server.stop();
}

#[test]
fn chunks_have_their_bounds() {
    const TRAILER_BYTES_MAX: usize = 4 << 10;
    const CHUNK_LINE_BYTES_MAX: usize = 16 << 10;
    let mut served = Served::with(&[]);
    let claim = TestClaim::new("chunk", "is", 1).json();
    let chunked = |target: &str, size: &str, trailer: &str| {
        let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        format!("{head}{size}\r\n{claim}\r\n0\r\n{trailer}\r\n")
    };
    let digits = |count: usize| format!("{:0>count$x}", claim.len());
    let trailer = |bytes: usize| format!("A:{}\r\n", "t".repeat(bytes - 6));
    // The line of a chunk's size, with its end.
    let extension = |bytes: usize| {
        let size = format!("{:x};", claim.len());
        format!("{size}{}", "e".repeat(bytes - size.len() - 2))
    };
    for target in ["/v1/assert", "/v1/assert/batch"] {
        for fine in [
            chunked(target, &digits(16), ""),
            chunked(target, &digits(1), &trailer(TRAILER_BYTES_MAX)),
            chunked(target, &extension(CHUNK_LINE_BYTES_MAX), ""),
        ] {
            served.client.send(fine.as_bytes()).expect("it is received");
            served.client.response().expect("an answer").ok();
        }
        for (wrong, status, code) in [
            (chunked(target, &digits(17), ""), 400, "invalid_chunk"),
            (chunked(target, &digits(1), &trailer(TRAILER_BYTES_MAX + 1)), 431, "trailer_too_large"),
            (chunked(target, &extension(CHUNK_LINE_BYTES_MAX + 1), ""), 400, "chunk_overhead"),
        ] {
            served.refuses_and_closes(wrong.as_bytes(), status, code);
        }
    }
    assert_eq!(served.server.assertion_count(), 1);
    served.server.stop();
}
