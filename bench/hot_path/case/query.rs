//! `GET /v1/query` for one subject with two claims: 64 connections, whose requests come in 32 at a time.

use super::measured;
use crate::claims::{claim, get, post, subject};
use crate::server::Server;

const CLIENTS: usize = 64;
const REQUESTS_A_TURN: usize = 32;
const CLAIMS: u64 = 1 << 15;
const REQUESTS: usize = 1 << 13;

pub(super) fn run() -> u64 {
    let mut server = Server::start(CLIENTS);
    for first in (0..CLAIMS).step_by(1024) {
        let lines: String = (first..first + 1024).map(|number| claim(number) + "\n").collect();
        server.receive(0, &post("/v1/assert/batch", "application/x-ndjson", &lines));
        server.settle(*b"200");
    }
    assert_eq!(server.claims(), CLAIMS);
    let requests: Vec<Vec<u8>> = (0..2 * REQUESTS)
        .map(|number| {
            let about = subject(number as u64);
            get(&format!("/v1/query?concept_path={about}&predicate=reading&limit=10"))
        })
        .collect();
    let (before, requests) = requests.split_at(REQUESTS);
    send(&mut server, before);
    measured(&mut || send(&mut server, requests));
    REQUESTS as u64
}

fn send(server: &mut Server, requests: &[Vec<u8>]) {
    let mut answers = 0;
    for (turn, requests) in requests.chunks(REQUESTS_A_TURN).enumerate() {
        let first_client = turn * REQUESTS_A_TURN % CLIENTS;
        for (client, request) in (first_client..).zip(requests) {
            server.receive(client, request);
        }
        answers += server.settle(*b"200");
    }
    assert_eq!(answers, requests.len());
}
