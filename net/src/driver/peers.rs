//! The queues between cores.

use std::collections::VecDeque;

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use stemedb_engine::ring::{Ring, RingAddress};
use stemedb_engine::slot::CoreId;

use super::NO_CONNECTION;
use crate::core::Message;

/// Messages that a queue between two cores holds.
const QUEUE_MESSAGES_MAX: usize = 256;

/// A core's queues to and from the others.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    core: CoreId,
    address: Option<RingAddress>,
    to: Producer<Message>,
    from: Consumer<Message>,
}

/// Makes the queues between `cores` cores: for each core its ends of them.
pub fn meet(cores: u16) -> Vec<Peers> {
    let mut all: Vec<Peers> = (0..cores).map(|_| Peers { peers: Vec::new() }).collect();
    for low in 0..cores {
        for high in low + 1..cores {
            let (to_high, from_low) = RingBuffer::new(QUEUE_MESSAGES_MAX);
            let (to_low, from_high) = RingBuffer::new(QUEUE_MESSAGES_MAX);
            let mut add = |core: u16, peer: u16, to, from| {
                let peer = Peer { core: CoreId(peer), address: None, to, from };
                all[usize::from(core)].peers.push(peer);
            };
            add(low, high, to_high, from_high);
            add(high, low, to_low, from_low);
        }
    }
    all
}

impl Peers {
    /// Tells where the rings of all cores are, by core.
    pub fn introduce(&mut self, addresses: &[RingAddress]) {
        for peer in &mut self.peers {
            peer.address = Some(addresses[usize::from(peer.core.0)].clone());
        }
    }

    /// Takes all messages that have come.
    pub(super) fn receive(&mut self, mut each: impl FnMut(CoreId, Message)) {
        for peer in &mut self.peers {
            while let Ok(message) = peer.from.pop() {
                each(peer.core, message);
            }
        }
    }

    /// Sends messages, by receiver, as far as the queues have room, and wakes each receiver once. True if some are left.
    pub(super) fn send(&mut self, ring: &mut Ring, messages: &mut [VecDeque<Message>]) -> bool {
        let mut left = false;
        for peer in &mut self.peers {
            let waiting = &mut messages[usize::from(peer.core.0)];
            let mut sent = false;
            while let Some(message) = waiting.pop_front() {
                if let Err(PushError::Full(message)) = peer.to.push(message) {
                    waiting.push_front(message);
                    left = true;
                    break;
                }
                sent = true;
            }
            if sent {
                let address = peer.address.as_ref().expect("cores are introduced before they run");
                // On a full ring the receiver is woken by a later message, or finds this one at its next tick.
                let _ = ring.message(address, 0, NO_CONNECTION);
            }
        }
        left
    }
}
