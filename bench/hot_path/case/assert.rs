//! `POST /v1/assert` with one claim: 64 connections with one request each, of which 32 are answered by each frame
//! while the other 32 come in.

use super::measured;
use crate::claims::{claim, post};
use crate::server::Server;

const CLIENTS: usize = 64;
const REQUESTS_A_FRAME: usize = 32;
const REQUESTS_BEFORE: usize = 1 << 14;
const REQUESTS: usize = 1 << 15;

pub(super) fn run() -> u64 {
    let requests: Vec<Vec<u8>> = (0..REQUESTS_BEFORE + REQUESTS)
        .map(|number| post("/v1/assert", "application/json", &claim(number as u64)))
        .collect();
    let (before, requests) = requests.split_at(REQUESTS_BEFORE);
    let mut server = Server::start(CLIENTS);
    send(&mut server, before);
    server.settle(*b"201");
    measured(&mut || send(&mut server, requests));
    server.settle(*b"201");
    assert_eq!(server.claims(), (REQUESTS_BEFORE + REQUESTS) as u64);
    REQUESTS as u64
}

fn send(server: &mut Server, requests: &[Vec<u8>]) {
    for (turn, requests) in requests.chunks(REQUESTS_A_FRAME).enumerate() {
        let first_client = turn * REQUESTS_A_FRAME % CLIENTS;
        for (client, request) in (first_client..).zip(requests) {
            server.receive(client, request);
        }
        server.turn(*b"201");
    }
}
