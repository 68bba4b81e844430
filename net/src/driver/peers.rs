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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stemedb_engine::ring::RingConfig;

    use super::*;
    use crate::core::Ticket;

    fn numbered(line: u64) -> Message {
        let ticket = Ticket { core: CoreId(0), operation: Default::default(), line, bytes: 0 };
        Message::RetractCopy { ticket, payload: Arc::default() }
    }

    /// Goal: what a queue has no room for stays with its sender, in order, and none of it is lost or comes twice. Method: at its bound and one
    /// above it, and what is left when the receiver has taken some.
    #[test]
    fn what_a_queue_has_no_room_for_stays_with_the_sender() {
        let config = RingConfig { operations_max: 16, receive_buffers: 1, receive_buffer_bytes: 4096 };
        let mut rings = [(); 2].map(|()| Ring::new(&config).expect("the kernel has rings"));
        let addresses = rings.each_ref().map(Ring::address);
        let mut peers = meet(2);
        peers.iter_mut().for_each(|core| core.introduce(&addresses));
        let [low, high] = &mut peers[..] else { panic!("two cores") };
        let taken = |high: &mut Peers| {
            let mut lines = Vec::new();
            high.receive(|from, message| match message {
                Message::RetractCopy { ticket, .. } if from == CoreId(0) => lines.push(ticket.line),
                other => panic!("{from:?} has sent {other:?}"),
            });
            lines
        };

        let queue_messages_max = QUEUE_MESSAGES_MAX as u64;
        let mut messages = [VecDeque::new(), (0..queue_messages_max).map(numbered).collect()];
        assert!(!low.send(&mut rings[0], &mut messages), "as many as the queue holds");
        messages[1].extend([numbered(queue_messages_max), numbered(queue_messages_max + 1)]);
        assert!(low.send(&mut rings[0], &mut messages), "one more");
        assert_eq!(messages[1].len(), 2);
        assert_eq!(taken(high), (0..queue_messages_max).collect::<Vec<_>>());

        assert!(!low.send(&mut rings[0], &mut messages));
        assert_eq!(taken(high), [queue_messages_max, queue_messages_max + 1]);
        assert!(messages[1].is_empty() && taken(high).is_empty());
    }
}
