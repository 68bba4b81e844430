//! What nobody should send to a server.

use stemedb_tests::Random;

/// Bytes that are no request, or only a part of one.
pub(crate) fn bytes(random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = match random.within(0..=9) {
        0 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        1 => b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(),
        2 => b"POST /v1/assert HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_vec(),
        3 => b"POST /v1/assert HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{\"subject\":\"x\"".to_vec(),
        4 => b"POST /v1/assert/batch HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
            .to_vec(),
        5 => format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(3000)).into_bytes(),
        6 => format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(100)).into_bytes(),
        7 => b"GET /v1/health HTTP/1.1\r\nho".to_vec(),
        8 => b"POST /v1/assert HTTP/1.1\r\nhost: a\r\ncontent-length: 999999\r\n\r\n".to_vec(),
        _ => Vec::new(),
    };
    for _ in 0..random.within(0..=40) {
        bytes.push(random.next_u64() as u8);
    }
    bytes
}
