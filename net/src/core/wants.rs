//! What a core wants its driver to do.

use std::collections::VecDeque;

use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::LaneWrite;
use stemedb_engine::snapshots::Piece;

use super::connection::ConnectionKey;
use super::fetches::TableRead;
use super::message::Message;

/// Wishes of a core, to be taken out and done by its driver after each turn.
#[derive(Debug)]
pub struct Wants {
    /// Bytes to send, whole and in order; at most one buffer a connection at a time.
    pub sends: Vec<(ConnectionKey, Vec<u8>)>,
    /// Connections whose sending side is to be shut down.
    pub shutdowns: Vec<ConnectionKey>,
    /// Connections to begin or to stop receiving from.
    pub receives: Vec<(ConnectionKey, bool)>,
    /// Connections to close. The core does not know them any more.
    pub closes: Vec<ConnectionKey>,
    /// Writes of the lane.
    pub writes: VecDeque<LaneWrite>,
    /// Reads of tables.
    pub reads: VecDeque<TableRead>,
    /// A segment to prepare for the lane.
    pub segment: Option<SegmentNumber>,
    /// The next piece of a snapshot. What cannot be taken yet stays here.
    pub piece: Option<Piece>,
    /// Messages to other cores, by the number of the receiver. What does not fit its queue stays here.
    pub messages: Vec<VecDeque<Message>>,
}

impl Wants {
    pub(super) fn new(cores: u16) -> Wants {
        Wants {
            sends: Vec::new(),
            shutdowns: Vec::new(),
            receives: Vec::new(),
            closes: Vec::new(),
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            segment: None,
            piece: None,
            messages: (0..cores).map(|_| VecDeque::new()).collect(),
        }
    }
}
