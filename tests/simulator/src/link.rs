//! A connection between a client and a core: bytes in both directions, in order, as slowly as the network likes.

use stemedb_net::core::ConnectionKey;

/// Names a link for as long as the simulation runs.
pub(crate) type LinkNumber = u64;

/// A connection as the network sees it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) core: usize,
    pub(crate) key: ConnectionKey,
    /// What the client has sent and the core has not received.
    pub(crate) up: Vec<u8>,
    /// Whether the client will send no more.
    pub(crate) up_ends: bool,
    /// Whether the core has been told so.
    pub(crate) up_ended: bool,
    /// Whether the core takes anything.
    pub(crate) is_receiving: bool,
    /// The buffer that the core sends, and how much of it the client has.
    pub(crate) down: Option<(Vec<u8>, usize)>,
    /// Whether the core will send no more.
    pub(crate) down_ends: bool,
    /// Until when nothing moves.
    pub(crate) stalled_until_us: u64,
    pub(crate) up_is_foreseen: bool,
    pub(crate) down_is_foreseen: bool,
}

impl Link {
    pub(crate) fn new(client: usize, core: usize, key: ConnectionKey) -> Link {
        Link {
            client,
            core,
            key,
            up: Vec::new(),
            up_ends: false,
            up_ended: false,
            is_receiving: true,
            down: None,
            down_ends: false,
            stalled_until_us: 0,
            up_is_foreseen: false,
            down_is_foreseen: false,
        }
    }

    /// Whether something is on its way to the core that it would take.
    pub(crate) fn moves_up(&self) -> bool {
        self.is_receiving && (!self.up.is_empty() || (self.up_ends && !self.up_ended))
    }

    /// Whether something is on its way to the client.
    pub(crate) fn moves_down(&self) -> bool {
        self.down.is_some() || self.down_ends
    }
}
