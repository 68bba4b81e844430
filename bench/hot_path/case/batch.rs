//! `POST /v1/assert/batch` with 1000 claims as NDJSON, which come in as large as the server's receive buffers are.

use super::measured;
use crate::claims::{claim, post};
use crate::server::Server;

const CLAIMS_A_BATCH: usize = 1000;
const BATCHES_BEFORE: usize = 16;
const BATCHES: usize = 32;
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

pub(super) fn run() -> u64 {
    let batches: Vec<Vec<u8>> = (0..BATCHES_BEFORE + BATCHES).map(batch).collect();
    let (before, batches) = batches.split_at(BATCHES_BEFORE);
    let mut server = Server::start(1);
    send(&mut server, before);
    measured(&mut || send(&mut server, batches));
    let claims = (BATCHES * CLAIMS_A_BATCH) as u64;
    assert_eq!(server.claims(), (BATCHES_BEFORE * CLAIMS_A_BATCH) as u64 + claims);
    claims
}

fn batch(number: usize) -> Vec<u8> {
    let first = number * CLAIMS_A_BATCH;
    let lines: String = (first..first + CLAIMS_A_BATCH).map(|number| claim(number as u64) + "\n").collect();
    post("/v1/assert/batch", "application/x-ndjson", &lines)
}

fn send(server: &mut Server, batches: &[Vec<u8>]) {
    for batch in batches {
        for bytes in batch.chunks(RECEIVE_BUFFER_BYTES) {
            server.receive(0, bytes);
            server.turn(*b"200");
        }
        assert!(server.settle(*b"200") <= 1, "a batch has one answer");
    }
}
