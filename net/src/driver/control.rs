//! What the server's main thread and its drivers say to each other.

use std::sync::Arc;

use stemedb_engine::checkpoint::TableSet;
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::LaneId;

use super::PieceSender;
use crate::core::{LogFacts, SnapshotOrder, Ticket};
use crate::tls::Credentials;

/// What the main thread tells a driver.
#[derive(Debug)]
pub enum Control {
    /// Here is the core's shard.
    Open(Box<Shard<Ticket>>, LogFacts),
    /// These tables are in force from now on.
    Tables(Arc<TableSet>),
    /// A segment of the core's lane was removed; it had so many bytes.
    SegmentRemoved(u64),
    /// Take a snapshot of the index, and hand it over there.
    TakeSnapshot(SnapshotOrder, PieceSender),
    /// All cores have their shards: serve.
    Serve,
    /// Do TLS handshakes with these credentials from now on.
    RenewTls(Credentials),
    /// Other credentials for TLS were to be used and cannot be.
    TlsRenewalFailed,
    /// Take nothing new, answer what was asked.
    Drain,
    /// All cores are drained: finish the lane and end.
    Close,
}

/// What a driver tells the main thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The core has its shard.
    Opened,
    /// The core's lane has sealed all segments before this one.
    LaneWrites(LaneId, SegmentNumber),
    /// Everything asked is answered.
    Drained,
    /// The lane is finished; the driver ends.
    Closed {
        /// The claims that the core holds.
        claims: u64,
    },
    /// The driver has ended by itself, which is an error.
    Failed,
}
