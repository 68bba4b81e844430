//! The client for whose sake the others are kept in bounds.

use std::time::{Duration, Instant};

use crate::claims::TestClaim;
use crate::{Client, Server};

/// How long the server may take for what is waited for, before the test gives up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// A client that writes one claim after another and must be answered each time.
#[derive(Debug)]
pub struct WellBehaved {
    client: Client,
    /// Claims it has written.
    pub written: u64,
}

impl WellBehaved {
    /// A client with a connection of its own.
    pub fn new(server: &Server) -> WellBehaved {
        WellBehaved { client: server.client(), written: 0 }
    }

    /// Writes a claim.
    pub fn write(&mut self) {
        let claim = TestClaim::new(format!("well/behaved/{}", self.written), "is", self.written);
        let response = self.client.post("/v1/assert", claim.json()).expect("an answer");
        assert_eq!(response.status, 201, "{response:?}");
        self.written += 1;
    }

    /// Writes until `done`, and gives up when that takes too long.
    pub fn write_until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < until, "not after {PATIENCE:?}: {what}");
            self.write();
        }
    }
}
