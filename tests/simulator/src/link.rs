//! A connection between a client and a core: bytes in both directions, in order, as slowly as the network likes.

use stemedb_net::core::ConnectionKey;

use crate::secured::TlsLink;

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
    /// Until when nothing moves towards the core.
    pub(crate) up_stalled_until_us: u64,
    /// Until when nothing moves towards the client.
    pub(crate) down_stalled_until_us: u64,
    /// Whether the client takes a little at a time, however fast it sends.
    pub(crate) reads_slowly: bool,
    pub(crate) up_is_foreseen: bool,
    pub(crate) down_is_foreseen: bool,
    /// The client's side of TLS, if it is spoken.
    pub(crate) tls: Option<Box<TlsLink>>,
}

impl Link {
    pub(crate) fn new(client: usize, core: usize, key: ConnectionKey, tls: Option<Box<TlsLink>>) -> Link {
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
            up_stalled_until_us: 0,
            down_stalled_until_us: 0,
            reads_slowly: false,
            up_is_foreseen: false,
            down_is_foreseen: false,
            tls,
        }
    }

    /// Takes what the client says.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            None => self.up.extend_from_slice(bytes),
            Some(tls) => tls.say(bytes),
        }
        self.speak();
    }

    /// Lets the client say nothing more; in TLS, `is_said` tells whether it says so.
    pub(crate) fn finish(&mut self, is_said: bool) {
        match &mut self.tls {
            None => self.up_ends = true,
            Some(tls) => tls.finish(is_said),
        }
        self.speak();
    }

    /// What the client understands of these bytes.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.tls {
            None => bytes.to_vec(),
            Some(tls) => tls.receive(bytes),
        }
    }

    /// Sends what TLS wants to send on the client's side.
    pub(crate) fn speak(&mut self) {
        if let Some(tls) = &mut self.tls
            && !self.up_ends
        {
            self.up_ends = tls.send(&mut self.up);
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
