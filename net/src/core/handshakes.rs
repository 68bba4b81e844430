//! The TLS handshakes of a core: how many there may be at once, and how much is done for them in a turn.

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::ServerConfig;

use super::connection::ConnectionKey;
use crate::tls::{Clock, Credentials};

/// Handshakes under way at once on one core. Each costs up to 100 KiB while it is.
pub(super) const HANDSHAKES_MAX: usize = 1024;

/// Steps of handshakes that cost a computation of keys, in one turn: about 0.2 ms with a key on P-256. With more, a turn
/// would only be longer: the next one begins at once when there is more to do.
pub(super) const STEPS_A_TURN: usize = 1;

/// Records of one handshake that are looked at in a turn, so that it is the turn of others as well.
pub(super) const RECORDS_A_TURN: usize = 16;

/// The handshakes of a core.
#[derive(Debug)]
pub(super) struct Handshakes {
    config: Arc<ServerConfig>,
    clock: Arc<Clock>,
    under_way: usize,
    /// Connections that are to go on with their handshakes.
    pub(super) due: VecDeque<ConnectionKey>,
    /// Connections that have begun to speak and wait for a place. Those that are gone stay until it is their turn: each
    /// has been counted among the core's connections, and the line moves at least every time of a handshake.
    line: VecDeque<ConnectionKey>,
}

impl Handshakes {
    pub(super) fn new(credentials: &Credentials) -> Handshakes {
        let clock = Arc::new(Clock::default());
        Handshakes {
            config: config(credentials, &clock),
            clock,
            under_way: 0,
            due: VecDeque::new(),
            line: VecDeque::new(),
        }
    }

    /// Does further handshakes with these credentials.
    pub(super) fn renew(&mut self, credentials: &Credentials) {
        self.config = config(credentials, &self.clock);
    }

    /// Tells the time, in seconds since 1970.
    pub(super) fn set_time(&self, unix_s: u64) {
        self.clock.set(unix_s);
    }

    /// With what the next handshake is done.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Takes a place for a handshake. False if there is none.
    pub(super) fn enter(&mut self) -> bool {
        let is_free = self.under_way < HANDSHAKES_MAX;
        self.under_way += usize::from(is_free);
        is_free
    }

    /// Has a connection wait for a place.
    pub(super) fn wait(&mut self, key: ConnectionKey) {
        self.line.push_back(key);
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self) {
        self.under_way = self.under_way.checked_sub(1).expect("who leaves has entered");
    }

    /// The next in line, if there is a place.
    pub(super) fn next_in_line(&mut self) -> Option<ConnectionKey> {
        if self.under_way < HANDSHAKES_MAX { self.line.pop_front() } else { None }
    }
}

/// The same configuration with the core's own time.
fn config(credentials: &Credentials, clock: &Arc<Clock>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(&credentials.config);
    config.time_provider = Arc::clone(clock) as _;
    Arc::new(config)
}
