//! `GET /metrics` of a server that has something to tell.

use super::measured;
use crate::claims::{claim, get, post};
use crate::server::Server;

const CLAIMS: u64 = 1000;
const SCRAPES: u64 = 100;

pub(super) fn run() -> u64 {
    let mut server = Server::start(1);
    for number in 0..CLAIMS {
        server.receive(0, &post("/v1/assert", "application/json", &claim(number)));
        server.settle(*b"201");
    }
    let request = get("/metrics");
    let scrape = |server: &mut Server| {
        server.receive(0, &request);
        assert_eq!(server.settle(*b"200"), 1);
    };
    scrape(&mut server);
    measured(&mut || (0..SCRAPES).for_each(|_| scrape(&mut server)));
    SCRAPES
}
