//! One client's connection, as the core sees it.

use slotmap::new_key_type;

use super::operation::OperationKey;
use super::queries::WaitingQuery;
use crate::api::Endpoint;
use crate::http;

new_key_type! {
    /// Names a connection of a core. A key outlives its connection without ever meaning another one.
    pub struct ConnectionKey;
}

/// A client's connection and where its current request stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) http: http::Connection,
    /// What the request is for whose body is coming in.
    pub(super) endpoint: Option<Endpoint>,
    /// The batch whose body is coming in.
    pub(super) batch: Option<OperationKey>,
    /// The query that was begun last. There is one at a time, so that the memory for answers that nobody reads is
    /// bounded: nothing behind a query is begun before it is answered.
    pub(super) query: Option<OperationKey>,
    /// A query that waits for its turn.
    pub(super) query_waiting: Option<WaitingQuery>,
    /// Whether it waits in line for its turn among the core's connections with queries.
    pub(super) in_line: bool,
    /// Whether it waits in the list of connections to look after.
    pub(super) dirty: bool,
    /// Whether the driver was told to receive.
    pub(super) receiving: bool,
    /// What it held when it was last counted, in bytes.
    pub(super) held_bytes: usize,
    /// Whether it waits in the list of connections that go on when there is memory.
    pub(super) held_back: bool,
}
